"""What must hold of the arguments of `combine`: every fault is found before any work begins."""

from collections.abc import Sequence

import torch
from torch import Tensor

from specialists.errors import SpecialistsError
from specialists.layouts import MAX_ACTIVE

DIVERGENCES = ("forward", "reverse")


def active_faults(
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


def argument_faults(
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
