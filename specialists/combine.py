"""The combination: the one distribution that agrees best with the generalist and the active specialists.

Per example, q minimises KL(p_g || q) + sum over active specialists m of KL(p_m || q_m), where q_m is q with
all classes outside the subset of m summed into one dustbin (Hinton, Vinyals, Dean 2015, section 5.3).
`forward_kl` solves it for one example, `row_kernel` goes from probabilities to that problem and back, this
module checks, divides into blocks of rows and hands these to as many threads as torch is set to use.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specialists.errors import SpecialistsError, raise_all
from specialists.row_kernel import NOT_A_DISTRIBUTION, NOT_CONVERGED, Accuracy, Active, Result, Subsets, combine_block

DIVERGENCES = ("forward",)
BLOCK_ROWS = 1024
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Combination:
    """Soft targets and the proof that they are the minimum.

    Attributes:
        probs: Soft targets q at temperature 1, (batch, classes), in the generalist's dtype and on its device.
        residual: Per row, the largest violation of the conditions for a minimum by q as returned (in half
            precision, by q before it is rounded to that): |sum q - 1| and, with a_i the sum of all teachers'
            probabilities of class i and lambda the number of teachers, |lambda q_i - a_i - q_i sum_{m: i
            outside m} d_m / Q_m| / lambda; float64 (batch,). At most 1e-12 for float64 probabilities and 1e-6
            for all others.
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
        divergence: `forward`, KL(teacher || q).
        out: Where to write the soft targets; a new tensor by default. May be `generalist`.

    Returns:
        Soft targets, certificate and iterations.

    Raises:
        SpecialistsError: Shapes, dtypes or subsets do not fit, a row is not a distribution, or does not
            converge.
    """
    raise_all(_active_faults(generalist, specialists, subsets, active))
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
    raise_all(_faults(generalist, rows, probs, subsets, divergence, out))
    n_rows = len(generalist)
    target = torch.empty_like(generalist, memory_format=torch.contiguous_format) if out is None else out
    result = Combination(target, torch.empty(n_rows, dtype=torch.float64), torch.empty(n_rows, dtype=torch.int64))
    job = _Job(generalist, [index.cpu().numpy() for index in rows], probs, _joined(subsets), result)
    starts = range(0, n_rows, BLOCK_ROWS)
    n_threads = min(torch.get_num_threads(), len(starts))
    if n_threads <= 1:
        for start in starts:
            job.run(start)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(job.run, starts))
    _raise_unsolved(result.iterations)
    return result


@dataclass(frozen=True)
class _Job:
    """All that a block of rows needs."""

    generalist: Tensor
    rows: list[NDArray[np.int64]]
    probs: Sequence[Tensor]
    subsets: Subsets
    result: Combination

    def run(self, start: int) -> None:
        """Combine the block of rows that begins here."""
        stop = min(start + BLOCK_ROWS, len(self.generalist))
        generalist = _array(self.generalist[start:stop])
        target = self.result.probs[start:stop]
        direct = target.is_contiguous() and target.device.type == "cpu" and target.dtype not in _HALF
        soft_targets = target.detach().numpy() if direct else np.empty_like(generalist)
        result = Result(
            soft_targets, self.result.residual[start:stop].numpy(), self.result.iterations[start:stop].numpy()
        )
        combine_block(generalist, self.subsets, self.active(start, stop), _accuracy(self.generalist), result)
        if not direct:
            target.copy_(torch.from_numpy(soft_targets))

    def active(self, start: int, stop: int) -> Active:
        """Gather the active specialists of a block, by row and then by specialist."""
        bounds = [np.searchsorted(index, (start, stop)) for index in self.rows]
        counts = np.array([last - first for first, last in bounds], dtype=np.int64)
        widths = np.diff(self.subsets.starts) + 1
        block_starts = np.concatenate(([0], np.cumsum(counts * widths)))
        flat = np.empty(block_starts[-1])
        for m, (first, last) in enumerate(bounds):
            flat[block_starts[m] : block_starts[m + 1]] = _array(self.probs[m][first:last]).ravel()
        empty = np.empty(0, dtype=np.int64)
        row = np.concatenate([empty, *(index[slice(*bound)] for index, bound in zip(self.rows, bounds, strict=True))])
        specialist = np.repeat(np.arange(len(counts)), counts)
        position = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        offset = block_starts[specialist] + position * widths[specialist]
        order = np.argsort(row, kind="stable")
        row_starts = np.searchsorted(row[order], np.arange(start, stop + 1))
        return Active(row_starts, specialist[order], offset[order], flat)


def _array(values: Tensor) -> NDArray[Any]:
    """Return values as a contiguous float32 or float64 array; half precision becomes float32."""
    values = values.detach().cpu()
    return (values.float() if values.dtype in _HALF else values).contiguous().numpy()


def _accuracy(generalist: Tensor) -> Accuracy:
    """What is asked of values of this precision."""
    return Accuracy(
        sums=1e-2 if generalist.dtype in _HALF else 1e-3,
        residual=1e-12 if generalist.dtype == torch.float64 else 1e-6,
    )


def _joined(subsets: Sequence[Tensor]) -> Subsets:
    """Lay all subsets end to end."""
    sizes = [0, *(len(subset) for subset in subsets)]
    classes = [subset.cpu().numpy().astype(np.int64) for subset in subsets]
    return Subsets(np.concatenate([np.empty(0, np.int64), *classes]), np.cumsum(sizes, dtype=np.int64))


def _raise_unsolved(iterations: Tensor) -> None:
    """Raise for the rows that are no distributions or have not converged."""
    faults = []
    for code, rule in (
        (NOT_A_DISTRIBUTION, "probabilities must be non-negative and sum to 1 for every teacher"),
        (NOT_CONVERGED, "combination must converge"),
    ):
        bad = (iterations == code).nonzero().squeeze(1).tolist()
        if bad:
            faults.append(f"{rule}; got otherwise in {len(bad)} rows, the first {bad[:5]}")
    raise_all(faults)


def _active_faults(
    generalist: Tensor, specialists: Sequence[Tensor], subsets: Sequence[Tensor], active: Tensor
) -> list[str]:
    """Return what is wrong with the arguments that only `combine` has."""
    wanted = (len(generalist), len(subsets))
    if active.dtype != torch.bool or active.shape != wanted:
        return [f"active must be bool of shape {wanted}; got {active.dtype} of shape {tuple(active.shape)}"]
    if len(specialists) != len(subsets):
        return [f"specialists must be one tensor per subset, {len(subsets)}; got {len(specialists)}"]
    return [
        f"specialists[{m}] must have {len(generalist)} rows like the generalist; got {len(table)}"
        for m, table in enumerate(specialists)
        if len(table) != len(generalist)
    ]


def _faults(
    generalist: Tensor,
    rows: Sequence[Tensor],
    probs: Sequence[Tensor],
    subsets: Sequence[Tensor],
    divergence: str,
    out: Tensor | None,
) -> list[str]:
    """Return everything that is wrong with the arguments, except their values."""
    if generalist.ndim != 2 or not generalist.is_floating_point():
        shape = tuple(generalist.shape)
        raise SpecialistsError(f"generalist must be float (batch, classes); got {generalist.dtype} {shape}")
    faults = []
    if divergence not in DIVERGENCES:
        faults.append(f"divergence must be one of {', '.join(DIVERGENCES)}; got '{divergence}'")
    if out is not None and (out.shape != generalist.shape or out.dtype != generalist.dtype):
        wanted = (generalist.dtype, tuple(generalist.shape))
        faults.append(f"out must be {wanted} like the generalist; got {(out.dtype, tuple(out.shape))}")
    if not len(rows) == len(probs) == len(subsets):
        return [
            *faults,
            f"rows, probs and subsets must be equally many; got {len(rows)}, {len(probs)}, {len(subsets)}",
        ]
    for m, (index, table, subset) in enumerate(zip(rows, probs, subsets, strict=True)):
        faults += subset_faults(f"subsets[{m}]", subset, generalist.shape[1])
        faults += _row_faults(m, index, len(generalist))
        if not table.is_floating_point() or table.shape != (len(index), len(subset) + 1):
            wanted_shape = (len(index), len(subset) + 1)
            faults.append(f"probs[{m}] must be float {wanted_shape}; got {table.dtype} {tuple(table.shape)}")
    return faults


def _row_faults(m: int, index: Tensor, n_rows: int) -> list[str]:
    """Return what is wrong with the rows of specialist m."""
    if index.dtype != torch.int64 or index.ndim != 1:
        return [f"rows[{m}] must be int64 of one dimension; got {index.dtype} {tuple(index.shape)}"]
    if len(index) and (index[0] < 0 or index[-1] >= n_rows or bool((index.diff() <= 0).any())):
        return [f"rows[{m}] must ascend within 0..{n_rows - 1}; got {index[:5].tolist()}..{index[-1:].tolist()}"]
    return []


def subset_faults(name: str, subset: Tensor, n_classes: int) -> list[str]:
    """Return what is wrong with one subset: it needs 1 to N - 1 different class ids, int64."""
    if subset.dtype != torch.int64 or subset.ndim != 1:
        return [f"{name} must be int64 of one dimension; got {subset.dtype} {tuple(subset.shape)}"]
    ids = subset.tolist()
    if not 1 <= len(ids) < n_classes or len(set(ids)) != len(ids) or min(ids) < 0 or max(ids) >= n_classes:
        return [f"{name} must be different classes out of 0..{n_classes - 1}, not all of them; got {ids[:20]}"]
    return []
