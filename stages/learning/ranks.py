"""Several processes that train one network together, each on its share of every batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stages.learning.batches import Share, share_of
from stages.learning.state import Arrays, Checkpoint, Facts, Snapshot

_T = TypeVar("_T")


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
