"""Tables divided into blocks of rows, as the compiled kernels take them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specialists import forward_kl, forward_newton, forward_rows, reverse_kl, reverse_rows
from specialists.block import Accuracy, Active, Block, Subsets, index_rows
from specialists.layouts import Layouts, class_dtype, room_for_layouts
from specialists.memory import overwrite
from specialists.patterns import Row, padded, room_for_row

_BLOCK_ROWS, _BLOCK_VALUES = 4096, 1 << 22  # the most of a block; a copy of it is all that other devices' tables need
KEPT_SHARE = 0.04  # of the table's memory, for layouts
_HALF = (torch.float16, torch.bfloat16)


def block_rows(n_classes: int) -> int:
    """Return how many rows to combine at a time, for so many classes (1 or more); at least 1."""
    return max(1, min(_BLOCK_ROWS, _BLOCK_VALUES // n_classes))


class _Method(NamedTuple):
    """What combines a block, the solver's room for so many patterns and specialists, and its best tolerance."""

    combine_block: Callable[..., None]
    workspace: Callable[[int, int], Any]
    tolerance: float


METHODS = {
    "forward": _Method(forward_rows.combine_block, forward_newton.workspace, forward_kl.TOLERANCE),
    "reverse": _Method(reverse_rows.combine_block, reverse_kl.workspace, reverse_kl.TOLERANCE),
}


class _Room(NamedTuple):
    """What a thread works in: the layouts that it has met, a row, and the iterate of the method's solver."""

    layouts: Layouts
    row: Row
    solver: Any


class Job:
    """Tables to be combined, and where the result goes.

    Args:
        tables: Generalist, rows, probabilities and subsets as `combine.combine_rows` takes them, checked.
        divergence: A key of `METHODS`.
        out: Soft targets, residuals and iterations of a `combine.Combination`, filled in by `run`. None may share
            memory with the tables, but the first with the generalist, value by value.
        n_threads: How many threads will call `run`; each keeps its share of the layouts.
    """

    def __init__(
        self,
        tables: tuple[Tensor, Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]],
        divergence: str,
        out: tuple[Tensor, Tensor, Tensor],
        n_threads: int,
    ) -> None:
        generalist, rows, probs, subsets = tables
        self.generalist, self.out = generalist, out
        self.rows = [index.cpu().numpy() for index in rows]
        self.probs = [_array(table) if _is_direct(table) else table for table in probs]
        self.subsets = _joined(subsets, class_dtype(generalist.shape[1]))
        self.method = METHODS[divergence]
        self.accuracy = _accuracy(generalist, probs, self.method.tolerance)
        # Fewer pairs of precisions, each of which is compiled; the reverse divergence works in float64 throughout.
        double = divergence == "reverse" or any(table.dtype == torch.float64 for table in (generalist, *probs))
        self.dtype = np.float64 if double else np.float32
        self.kept_share = KEPT_SHARE / n_threads
        self.n_active = int(np.bincount(_end_to_end(self.rows, np.int64)).max(initial=0))
        self.starts = np.array([*range(0, len(generalist), block_rows(generalist.shape[1])), len(generalist)])
        bounds = [np.searchsorted(index, self.starts) for index in self.rows]
        self.bounds = np.array(bounds, np.int64).reshape(len(rows), len(self.starts))

    def run(self, blocks: Iterator[int]) -> None:
        """Combine blocks of rows, by number; several threads may do so, each with other blocks."""
        room = self.room()
        for block in blocks:
            self.run_block(block, room)

    def room(self) -> _Room:
        """Return room for any row of the table; one thread at a time may use it."""
        n_rows, n_classes = self.generalist.shape
        n_outputs = int(np.sort(np.diff(self.subsets.starts))[::-1][: self.n_active].sum())
        n_members = min(n_classes, n_outputs)
        dtype = np.dtype(np.float64 if self.generalist.dtype == torch.float64 else np.float32)
        return _Room(
            room_for_layouts(n_rows, n_classes, n_outputs, int(self.kept_share * n_rows * n_classes * dtype.itemsize)),
            room_for_row(n_classes, n_members, self.n_active, dtype),
            self.method.workspace(padded(n_members + 1), self.n_active),
        )

    def run_block(self, block: int, room: _Room) -> None:
        """Combine a block of rows.

        Args:
            block: Its number; its rows are `starts[block]` to `starts[block + 1]`.
            room: From `room`; its layouts are kept from block to block.
        """
        start, stop = self.starts[block : block + 2].tolist()
        active, tables = self.active(block, start, stop)
        target, residual, iterations = (values[start:stop] for values in self.out)
        generalist = _array(self.generalist[start:stop])
        direct = _is_direct(target)
        probs = target.detach().numpy() if direct else np.empty_like(generalist)
        certificates = residual.numpy(), iterations.numpy()
        self.method.combine_block(
            Block(generalist, tables, self.subsets, active, self.accuracy, probs, *certificates), *room
        )
        if not direct:
            overwrite(target, torch.from_numpy(probs))

    def active(self, block: int, start: int, stop: int) -> tuple[Active, NDArray[Any]]:
        """Gather the active specialists of a block, by row and then by specialist, and their probabilities.

        Args:
            block: Its number.
            start: Its first row.
            stop: The row after its last.

        Returns:
            Who is active, and their probabilities, in which `Active.offset` counts, float32 or float64 (values,).
        """
        bounds = self.bounds[:, block : block + 2].tolist()
        tables = [_array(table[first:last]).ravel() for table, (first, last) in zip(self.probs, bounds, strict=True)]
        rows = [index[first:last] for index, (first, last) in zip(self.rows, bounds, strict=True)]
        counts = np.array([last - first for first, last in bounds], dtype=np.int64)
        n_entries = int(counts.sum())
        active = Active(*(np.empty(n, np.int64) for n in (stop - start + 1, n_entries, n_entries)))
        index_rows(counts, _end_to_end(rows, np.int64), start, self.subsets, active)
        return active, _end_to_end(tables, self.dtype)


def _is_direct(values: Tensor) -> bool:
    """Whether the kernel can work on the tensor's own memory."""
    return values.is_contiguous() and values.device.type == "cpu" and values.dtype not in _HALF


def _array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    """Return values as a contiguous float32 or float64 array; half precision becomes float32."""
    if isinstance(values, np.ndarray):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype in _HALF else values).contiguous().numpy()


def _end_to_end(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """Lay arrays end to end, of which there may be none."""
    return np.concatenate([np.empty(0, dtype), *arrays], dtype=dtype)


def _accuracy(generalist: Tensor, tables: Sequence[Tensor], tolerance: float) -> Accuracy:
    """What is asked of values of this precision."""
    double = generalist.dtype == torch.float64
    return Accuracy(
        sums=1e-2 if generalist.dtype in _HALF else 1e-3,
        table_sums=1e-2 if any(table.dtype in _HALF for table in tables) else 1e-3,
        residual=1e-12 if double else 1e-6,
        products=tolerance if double else 1e-10,  # soft targets will be rounded at 6e-8
    )


def _joined(subsets: Sequence[Tensor], dtype: np.dtype[Any]) -> Subsets:
    """Lay all subsets end to end."""
    sizes = [0, *(len(subset) for subset in subsets)]
    classes = [subset.cpu().numpy().astype(dtype) for subset in subsets]
    return Subsets(_end_to_end(classes, dtype), np.cumsum(sizes, dtype=np.int64))
