"""The combination: the one distribution that agrees best with the generalist and the active specialists.

Per example, q minimises, over the active specialists m (Hinton, Vinyals, Dean 2015, section 5.3),

    forward:  KL(p_g || q) + sum of KL(p_m || q_m)
    reverse:  KL(q || p_g) + sum of KL(q_m || p_m)

where q_m is q with all classes outside the subset of m summed into one dustbin. `forward_kl` and `reverse_kl`
solve one example, `patterns` and `row_kernel` go from probabilities to that problem and back, `forward_rows`
and `reverse_rows` do so for a block of rows; this module checks, divides tables into blocks and hands these to as
many threads as torch is set to use.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specialists import forward_kl, forward_rows, reverse_kl, reverse_rows
from specialists.block import (
    INFINITE,
    NOT_A_DISTRIBUTION,
    NOT_CONVERGED,
    Accuracy,
    Active,
    Block,
    Subsets,
    Table,
    index_rows,
)
from specialists.combine_checks import DIVERGENCES, active_faults, argument_faults, subset_faults
from specialists.errors import raise_all
from specialists.patterns import room_for_row

__all__ = ["DIVERGENCES", "Combination", "combine", "combine_rows", "subset_faults"]

BLOCK_ROWS = 2048
_HALF = (torch.float16, torch.bfloat16)


class _Method(NamedTuple):
    """What combines a block, the solver's room for so many patterns and specialists, and its best tolerance."""

    combine_block: Callable[..., None]
    workspace: Callable[[int, int], Any]
    tolerance: float


_METHODS = {
    "forward": _Method(forward_rows.combine_block, forward_kl.workspace, forward_kl.TOLERANCE),
    "reverse": _Method(reverse_rows.combine_block, reverse_kl.workspace, reverse_kl.TOLERANCE),
}


@dataclass(frozen=True)
class Combination:
    """Soft targets and the proof that they are the minimum.

    Attributes:
        probs: Soft targets q at temperature 1, (batch, classes), in the generalist's dtype and on its device.
        residual: Per row, the largest violation of the conditions for a minimum by q as returned (in half
            precision, by q before it is rounded to that), from q alone, float64 (batch,): the largest of
            |sum q - 1| and, over the classes i, of

                forward:  |q_i - a_i / lambda - q_i sum_{m: i outside m} d_m / (lambda Q_m)|
                reverse:  |q_i - [C p_g[i] prod_{m: i in m} p_m[i] prod_{m: i outside m} d_m / Q_m]^(1/(1+c_i))|

            with a_i the sum of all teachers' probabilities of class i, lambda the number of teachers, d_m the
            dustbin of m, Q_m the sum of q over the classes that it stands for, c_i the number of active
            specialists around i, and C the one number that fits best. At most 1e-12 for float64 probabilities
            and 1e-6 for all others.
        iterations: Newton steps per row, int64 (batch,); 0 where the closed form applies.
    """

    probs: Tensor
    residual: Tensor
    iterations: Tensor


def combine(
    generalist: Tensor,
    specialists: Sequence[Tensor],
    subsets: Sequence[Tensor],
    active: Tensor,
    *,
    divergence: str = "forward",
    out: Tensor | None = None,
) -> Combination:
    """Combine the generalist with the specialists that are active on each row.

    Args:
        generalist: Probabilities, any float dtype (batch, classes). Rows may sum to 1 within 1e-3 (1e-2 in
            half precision); they are renormalised in float64.
        specialists: By specialist, probabilities (batch, |S_m| + 1), dustbin last. Rows where it is not
            active are not read.
        subsets: By specialist, its class ids, int64 (|S_m|,), in the order of its outputs.
        active: Which specialists count on which row, bool (batch, specialists).
        divergence: `forward`, KL(teacher || q), or `reverse`, KL(q || teacher).
        out: Where to write the soft targets; a new tensor by default. May be `generalist`.

    Returns:
        Soft targets, certificate and iterations.

    Raises:
        SpecialistsError: Shapes, dtypes or subsets do not fit, more than 62 specialists are active on a row, a row
            is not a distribution or does not converge, or its reverse divergence is infinite whatever q is.
    """
    raise_all(active_faults(generalist, specialists, subsets, active))
    rows = [active[:, m].nonzero().squeeze(1) for m in range(len(subsets))]
    probs = [table[index] for table, index in zip(specialists, rows, strict=True)]
    return combine_rows(generalist, rows, probs, subsets, divergence=divergence, out=out)


def combine_rows(
    generalist: Tensor,
    rows: Sequence[Tensor],
    probs: Sequence[Tensor],
    subsets: Sequence[Tensor],
    *,
    divergence: str = "forward",
    out: Tensor | None = None,
) -> Combination:
    """Combine, given each specialist's probabilities only for the rows where it is active.

    The arithmetic is float64 on the CPU, row by row: the result is the same in its last bit for any number of
    threads and any other rows in the batch. Tensors on another device are copied block by block.

    Args:
        generalist: As in `combine`.
        rows: By specialist, the rows where it is active, int64 (active rows,), ascending.
        probs: By specialist, its probabilities on these rows, (active rows, |S_m| + 1), dustbin last.
        subsets: As in `combine`.
        divergence: As in `combine`.
        out: As in `combine`.

    Returns:
        As `combine`.

    Raises:
        SpecialistsError: As `combine`.
    """
    raise_all(argument_faults(generalist, rows, probs, subsets, divergence, out))
    n_rows = len(generalist)
    target = torch.empty_like(generalist, memory_format=torch.contiguous_format) if out is None else out
    result = Combination(target, torch.empty(n_rows, dtype=torch.float64), torch.empty(n_rows, dtype=torch.int64))
    job = _Job(generalist, rows, probs, subsets, divergence)
    blocks = range(-(-n_rows // BLOCK_ROWS))
    n_threads = min(torch.get_num_threads(), len(blocks))
    if n_threads <= 1:
        for block in blocks:
            job.run(block, result)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(lambda block: job.run(block, result), blocks))
    _raise_unsolved(result.iterations)
    return result


class _Job:
    """All that a block of rows needs."""

    def __init__(
        self,
        generalist: Tensor,
        rows: Sequence[Tensor],
        probs: Sequence[Tensor],
        subsets: Sequence[Tensor],
        divergence: str,
    ) -> None:
        self.generalist = generalist
        self.rows = [index.cpu().numpy() for index in rows]
        self.probs = [_array(table) if _is_direct(table) else table for table in probs]
        self.subsets = _joined(subsets)
        self.method = _METHODS[divergence]
        self.accuracy = _accuracy(generalist, self.method.tolerance)
        # Logarithms, which the reverse divergence takes of them, need double precision.
        single = divergence == "forward" and all(table.dtype != torch.float64 for table in probs)
        self.dtype = np.float32 if single else np.float64
        self.block_starts = np.arange(0, len(generalist) + BLOCK_ROWS, BLOCK_ROWS)
        bounds = [np.searchsorted(index, self.block_starts) for index in self.rows]
        self.bounds = np.array(bounds, np.int64).reshape(len(rows), len(self.block_starts))

    def run(self, block: int, result: Combination) -> None:
        """Combine a block of rows."""
        start = block * BLOCK_ROWS
        stop = min(start + BLOCK_ROWS, len(self.generalist))
        active, tables = self.active(block, start, stop)
        target = result.probs[start:stop]
        direct = _is_direct(target)
        generalist = _array(self.generalist[start:stop])
        soft_targets = target.detach().numpy() if direct else np.empty_like(generalist)
        n_classes = generalist.shape[1]
        n_active = int(np.diff(active.starts).max(initial=0))
        largest_subsets = np.sort(np.diff(self.subsets.starts))[::-1][:n_active]
        n_members = min(n_classes, int(largest_subsets.sum()))
        self.method.combine_block(
            Block(
                _table(generalist),
                _table(tables),
                self.subsets,
                active,
                self.accuracy,
                _table(soft_targets),
                result.residual[start:stop].numpy(),
                result.iterations[start:stop].numpy(),
            ),
            room_for_row(n_classes, n_members, n_active),
            self.method.workspace(n_members + 1, n_active),
        )
        if not direct:
            target.copy_(torch.from_numpy(soft_targets))

    def active(self, block: int, start: int, stop: int) -> tuple[Active, NDArray[Any]]:
        """Gather the active specialists of a block, by row and then by specialist, and their probabilities."""
        bounds = self.bounds[:, block : block + 2].tolist()
        tables = [_array(table[first:last]).ravel() for table, (first, last) in zip(self.probs, bounds, strict=True)]
        rows = [index[first:last] for index, (first, last) in zip(self.rows, bounds, strict=True)]
        counts = np.array([last - first for first, last in bounds], dtype=np.int64)
        n_entries = int(counts.sum())
        active = Active(*(np.empty(n, np.int64) for n in (stop - start + 1, n_entries, n_entries)))
        index_rows(counts, np.concatenate([np.empty(0, np.int64), *rows]), start, self.subsets, active)
        return active, np.concatenate([np.empty(0, self.dtype), *tables], dtype=self.dtype)


def _is_direct(values: Tensor) -> bool:
    """Whether the kernel can work on the tensor's own memory."""
    return values.is_contiguous() and values.device.type == "cpu" and values.dtype not in _HALF


def _array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    """Return values as a contiguous float32 or float64 array; half precision becomes float32."""
    if isinstance(values, np.ndarray):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype in _HALF else values).contiguous().numpy()


def _table(values: NDArray[Any]) -> Table:
    """Return values as the kernel takes them."""
    if values.dtype == np.float32:
        return Table(values, np.empty((0,) * values.ndim))
    return Table(np.empty((0,) * values.ndim, np.float32), values)


def _accuracy(generalist: Tensor, tolerance: float) -> Accuracy:
    """What is asked of values of this precision."""
    double = generalist.dtype == torch.float64
    return Accuracy(
        sums=1e-2 if generalist.dtype in _HALF else 1e-3,
        residual=1e-12 if double else 1e-6,
        products=tolerance if double else 1e-10,  # soft targets will be rounded at 6e-8
    )


def _joined(subsets: Sequence[Tensor]) -> Subsets:
    """Lay all subsets end to end."""
    sizes = [0, *(len(subset) for subset in subsets)]
    classes = [subset.cpu().numpy().astype(np.uint32) for subset in subsets]
    return Subsets(np.concatenate([np.empty(0, np.uint32), *classes]), np.cumsum(sizes, dtype=np.int64))


def _raise_unsolved(iterations: Tensor) -> None:
    """Raise for the rows that are no distributions or have not converged."""
    faults = []
    for code, rule in (
        (NOT_A_DISTRIBUTION, "probabilities must be non-negative and sum to 1 for every teacher"),
        (NOT_CONVERGED, "combination must converge"),
        (
            INFINITE,
            "the reverse divergence must be finite for some q: each row needs a class that no teacher rules out",
        ),
    ):
        bad = (iterations == code).nonzero().squeeze(1).tolist()
        if bad:
            faults.append(f"{rule}; got otherwise in {len(bad)} rows, the first {bad[:5]}")
    raise_all(faults)
