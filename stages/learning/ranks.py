"""Several processes that train one network together, each on its share of every batch."""

import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from stages.learning.batches import Share, share_of
from stages.learning.state import Arrays, Checkpoint, Facts, Snapshot

_T = TypeVar("_T")

_PATIENCE = timedelta(days=1)
"""How long one waits for the others, such as for the first to validate: that one has died is told sooner."""

_SIOCGIFADDR = 0x8915
"""Linux' number of the request for an interface's address."""


class Team(Protocol):
    """The processes that train together, as one of them sees it."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    @property
    def host(self) -> str:
        """The address at which the others reach this one."""

    @property
    def meet(self) -> Callable[[str], str]:
        """Given where the first listens, returns it in all of them; the others give nothing, and wait."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one training, which call all of this at the same points; one alone shares with nobody.

    Attributes:
        rank: Which one this is, from 0: the first validates and keeps checkpoints.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, rows: slice) -> Share:
        """Return which rows of a batch this process computes, and what their mean counts."""
        return share_of(rows, self.rank, self.size)

    def network(self, network: nn.Module) -> nn.Module:
        """Return a network that averages its gradients over the processes; all begin with the first one's weights.

        Norms have the statistics of each process's own share; the first one's are those that are kept.
        """
        if self.size == 1:
            return network
        # A network may have weights that it does not use. And what adds up in which order is laid out anew after the
        # first step unless they are looked for: a training that goes on from a checkpoint would end with other bits.
        return DistributedDataParallel(network, find_unused_parameters=True)

    def weighed(self, loss: Tensor, weight: float) -> Tensor:
        """Return a share's loss such that the mean of its gradients over the processes is the whole batch's."""
        return loss if self.size == 1 else loss * (weight * self.size)

    def whole(self, loss: Tensor) -> Tensor:
        """Return the loss of the whole batch, from the weighed ones."""
        if self.size > 1:
            loss = loss / self.size
            dist.all_reduce(loss)
        return loss

    def of_first(self, make: Callable[[], _T]) -> _T:
        """Return in every process what the first one makes; the others make nothing."""
        if self.size == 1:
            return make()
        told: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(told, device=torch.device("cpu"))
        return told[0]  # type: ignore[no-any-return]

    def checkpoint(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Return what the first process keeps alone, and all go on from."""
        return checkpoint if checkpoint is None or self.size == 1 else _Shared(checkpoint, self)


ALONE = Ranks()


@dataclass(frozen=True)
class _Kept:
    """A snapshot on its way to the other processes."""

    arrays: Arrays
    facts: Facts


class _Shared:
    """A checkpoint that is read, written and complained of by the first process."""

    def __init__(self, own: Checkpoint, ranks: Ranks) -> None:
        self._own = own
        self._ranks = ranks
        self._is_first = ranks.rank == 0

    def load(self) -> Snapshot | None:
        """Return what the first finds: what the others would find may be another by then."""
        return self._ranks.of_first(self._found)

    def is_due(self) -> bool:
        """Return whether this process is to keep something now."""
        return self._is_first and self._own.is_due()

    def save(self, arrays: Arrays, facts: Facts, *, position: int) -> None:
        """Keep it."""
        self._own.save(arrays, facts, position=position)

    def discard(self, why: str) -> None:
        """Say it once."""
        if self._is_first:
            self._own.discard(why)

    def _found(self) -> _Kept | None:
        found = self._own.load()
        return None if found is None else _Kept(dict(found.arrays), dict(found.facts))


@contextmanager
def joined(team: Team) -> Iterator[Ranks]:
    """Let processes train together in the block.

    They listen at the address of their `host` alone.

    Args:
        team: Who they are.

    Yields:
        This one among them.

    Raises:
        ConnectionError: Another one has gone.
    """
    if team.size == 1:
        yield ALONE
        return
    _choose_interface(team.host)
    try:
        store = _meet(team)
        dist.init_process_group(
            _backend(store, team), store=store, rank=team.rank, world_size=team.size, timeout=_PATIENCE
        )
        yield Ranks(team.rank, team.size)
    except RuntimeError as error:
        # The group is left as it is: to end it may mean to wait for those that have gone.
        if not _is_of_others(error):
            raise
        rule = f"worker {team.rank + 1} of {team.size} must stay in touch with the others"
        raise ConnectionError(f"{rule}; got {str(error).splitlines()[0]}") from error
    dist.destroy_process_group()


def backend_of(gpus: Sequence[str]) -> str:
    """Return by what processes exchange tensors.

    Args:
        gpus: The name that each one's GPU has everywhere; empty where it has none.
    """
    # NCCL refuses two processes of one GPU.
    return "cpu:gloo,cuda:nccl" if all(gpus) and len(set(gpus)) == len(gpus) else "gloo"


def _backend(store: Store, team: Team) -> str:
    gpu = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else ""
    store.set(f"gpu/{team.rank}", gpu)
    return backend_of([store.get(f"gpu/{rank}").decode() for rank in range(team.size)])


def _meet(team: Team) -> Store:
    """Return where the processes find one another."""
    if team.rank == 0:
        # Left to itself, torch would listen on every interface.
        family = socket.AF_INET6 if ":" in team.host else socket.AF_INET
        listener = socket.create_server((team.host, 0), family=family)
        port = listener.getsockname()[1]
        team.meet(f"{team.host}:{port}")
        return TCPStore(
            team.host, port, team.size, is_master=True, timeout=_PATIENCE, master_listen_fd=listener.detach()
        )
    host, _, port = team.meet("").rpartition(":")
    return TCPStore(host, int(port), team.size, is_master=False, timeout=_PATIENCE)


def _choose_interface(host: str) -> None:
    """Have gloo and NCCL use the interface of an address; on a cluster, unless its environment names another."""
    is_loopback = host.startswith("127.") or host == "::1"
    name = "lo" if is_loopback else _interface(host)
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        if is_loopback or (name and variable not in os.environ):
            os.environ[variable] = name


def _interface(host: str) -> str:
    """Return the name of the interface that has an IPv4 address; empty if none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has none
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == host:
                    return name
    return ""


def _is_of_others(error: RuntimeError) -> bool:
    """Whether an error says that another process could not be reached; gloo's are of no kind of their own."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)
