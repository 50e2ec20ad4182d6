"""Batches: what a step of a training sees."""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What one step sees, all on one device.

    Attributes:
        images: Normalised, float32 (batch, channels, height, width).
        labels: int64 (batch,).
        log_q: Logarithm of the soft targets at temperature 1, float32 (batch, classes), if there are any.
    """

    images: Tensor
    labels: Tensor
    log_q: Tensor | None = None

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
