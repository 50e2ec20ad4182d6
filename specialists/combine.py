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
from specialists import forward_kl
from specialists.patterns import MAX_ACTIVE, Active, Subsets, index_rows, room_for_row
from specialists.row_kernel import NOT_A_DISTRIBUTION, NOT_CONVERGED, Accuracy, Result, Table, combine_block

DIVERGENCES = ("forward",)
BLOCK_ROWS = 2048
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
    job = _Job(generalist, rows, probs, subsets)
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
        self, generalist: Tensor, rows: Sequence[Tensor], probs: Sequence[Tensor], subsets: Sequence[Tensor]
    ) -> None:
        self.generalist = generalist
        self.rows = [index.cpu().numpy() for index in rows]
        self.probs = [_array(table) if _is_direct(table) else table for table in probs]
        self.subsets = _joined(subsets)
        self.single = all(table.dtype != torch.float64 for table in (generalist, *probs))
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
        n_active = int(np.diff(active.starts).max(initial=0))
        sizes = np.sort(np.diff(self.subsets.starts))[::-1]
        n_members = min(generalist.shape[1], int(sizes[:n_active].sum()))
        combine_block(
            _table(generalist),
            _table(tables),
            self.subsets,
            active,
            _accuracy(self.generalist),
            room_for_row(generalist.shape[1], n_members, n_active),
            forward_kl.workspace(n_members + 1, n_active),
            Result(_table(soft_targets), result.residual[start:stop].numpy(), result.iterations[start:stop].numpy()),
        )
        if not direct:
            target.copy_(torch.from_numpy(soft_targets))

    def active(self, block: int, start: int, stop: int) -> tuple[Active, NDArray[Any]]:
        """Gather the active specialists of a block, by row and then by specialist, and their probabilities."""
        bounds = self.bounds[:, block : block + 2].tolist()
        dtype = np.float32 if self.single else np.float64
        tables = [_array(table[first:last]).ravel() for table, (first, last) in zip(self.probs, bounds, strict=True)]
        rows = [index[first:last] for index, (first, last) in zip(self.rows, bounds, strict=True)]
        counts = np.array([last - first for first, last in bounds], dtype=np.int64)
        n_entries = int(counts.sum())
        active = Active(*(np.empty(n, np.int64) for n in (stop - start + 1, n_entries, n_entries)))
        index_rows(counts, np.concatenate([np.empty(0, np.int64), *rows]), start, self.subsets, active)
        return active, np.concatenate([np.empty(0, dtype), *tables])


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


def _accuracy(generalist: Tensor) -> Accuracy:
    """What is asked of values of this precision."""
    return Accuracy(
        sums=1e-2 if generalist.dtype in _HALF else 1e-3,
        residual=1e-12 if generalist.dtype == torch.float64 else 1e-6,
        products=forward_kl.TOLERANCE if generalist.dtype == torch.float64 else 1e-10,
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
    return faults or _crowd_faults(rows)


def _crowd_faults(rows: Sequence[Tensor]) -> list[str]:
    """Return the row with more active specialists than the kernel can tell apart."""
    if len(rows) <= MAX_ACTIVE:
        return []
    counts = torch.cat(list(rows)).bincount()
    if counts.max() <= MAX_ACTIVE:
        return []
    return [f"at most {MAX_ACTIVE} specialists must be active on a row; got {counts.max()} on row {counts.argmax()}"]


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
