"""How processes that train one network together find one another, and by what they talk."""

import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from stages.learning.ranks import ALONE, Ranks

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
