"""Batches: what a step of a training sees."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What one step sees, all on one device.

    Attributes:
        images: Normalised, float32 (batch, channels, height, width).
        labels: int64 (batch,).
        log_q: Logarithm of the soft targets at temperature 1, float32 (batch, classes), if there are any.
        weight: What the mean of these examples counts in that of the step, of which others may compute a part.
    """

    images: Tensor
    labels: Tensor
    log_q: Tensor | None = None
    weight: float = 1.0

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        """Return some of the examples, of a slice as views, or all in the order of an int64 tensor on the device."""
        return Batch(self.images[rows], self.labels[rows], None if self.log_q is None else self.log_q[rows])


def batch_slices(n_examples: int, batch_size: int) -> list[slice]:
    """Return the batches of an epoch as slices of its order, none dropped.

    A last batch of one example, which batch normalisation cannot learn from, joins the one before.
    """
    starts = list(range(0, n_examples, batch_size))
    if len(starts) > 1 and batch_size > 1 and n_examples - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in pairwise([*starts, n_examples])]


class Share(NamedTuple):
    """What one of several processes computes of a batch.

    Attributes:
        rows: Which examples, of the epoch's order.
        weight: What their mean counts in that of the batch; the weights of all processes sum to 1.
    """

    rows: slice
    weight: float


def share_of(rows: slice, rank: int, size: int) -> Share:
    """Return the share that one of several processes has of a batch.

    Each has two examples at least, which batch normalisation needs; where there are too few for that, the last
    processes compute what the first does, and it counts for nothing.

    Args:
        rows: The batch.
        rank: The process, from 0.
        size: How many there are.
    """
    n = rows.stop - rows.start
    n_parts = max(1, min(size, n // 2))
    part = rank if rank < n_parts else 0
    start, stop = n * part // n_parts, n * (part + 1) // n_parts
    weight = (stop - start) / n if rank < n_parts else 0.0
    return Share(slice(rows.start + start, rows.start + stop), weight)
