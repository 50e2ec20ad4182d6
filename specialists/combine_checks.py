"""What must hold of the arguments of `combine`: every fault is found before any work begins."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from specialists.layouts import MAX_ACTIVE
from specialists.subset_checks import subset_faults

DIVERGENCES = ("forward", "reverse")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def tensor_faults(tensors: Mapping[str, object], lists: Mapping[str, object]) -> list[str]:
    """Return what is no tensor though it must be one.

    Args:
        tensors: What must be tensors, by the names of the arguments.
        lists: What must be lists of tensors, or a tensor whose rows are taken.

    Returns:
        Messages, one a fault.
    """
    faults = []
    items = dict(tensors)
    for name, values in lists.items():
        if isinstance(values, list | tuple | Tensor):
            items |= {f"{name}[{m}]": value for m, value in enumerate(values)}
        else:
            faults.append(f"{name} must be a list of tensors; got {type(values).__name__}")
    return faults + [
        f"{name} must be a tensor; got {type(value).__name__}; did you mean torch.tensor({name})?"
        for name, value in items.items()
        if not isinstance(value, Tensor)
    ]


def active_faults(
    generalist: Tensor, specialists: Sequence[Tensor], subsets: Sequence[Tensor], active: Tensor
) -> list[str]:
    """Return what is wrong with the arguments of `combine` that `combine_rows` does not get to see.

    Args:
        generalist: As in `combine`; so are the others.
        specialists: Of these only the number of rows.
        subsets: Of these only how many.
        active: Dtype and shape.

    Returns:
        Messages, one a fault.
    """
    lists = {"specialists": specialists, "subsets": subsets}
    if faults := tensor_faults({"generalist": generalist, "active": active}, lists) or _generalist_faults(generalist):
        return faults
    wanted = (len(generalist), len(subsets))
    if active.dtype != torch.bool or active.shape != wanted:
        return [f"active must be bool of shape {wanted}; got {active.dtype} of shape {tuple(active.shape)}"]
    if len(specialists) != len(subsets):
        return [f"specialists must be one tensor per subset, {len(subsets)}; got {len(specialists)}"]
    return [
        f"specialists[{m}] must have {len(generalist)} rows like the generalist; got shape {tuple(table.shape)}"
        for m, table in enumerate(specialists)
        if table.shape[:1] != generalist.shape[:1]
    ]


def argument_faults(
    generalist: Tensor,
    rows: Sequence[Tensor],
    probs: Sequence[Tensor],
    subsets: Sequence[Tensor],
    divergence: str,
    out: Tensor | None,
) -> list[str]:
    """Return everything that is wrong with the arguments of `combine_rows`, except the probabilities' values.

    Args:
        generalist: As in `combine_rows`; so are the others.
        rows: Dtype, shape, order, range, and how many specialists a row has.
        probs: Dtypes and shapes.
        subsets: Dtypes, shapes and class ids.
        divergence: Whether it is one of `DIVERGENCES`.
        out: Dtype and shape.

    Returns:
        Messages, one a fault; the generalist's alone where it is no table, because the others are measured by it.
    """
    tensors = {"generalist": generalist} | ({} if out is None else {"out": out})
    lists = {"rows": rows, "probs": probs, "subsets": subsets}
    if faults := tensor_faults(tensors, lists) or _generalist_faults(generalist):
        return faults
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
        if index.ndim == subset.ndim == 1:
            faults += _table_faults(f"probs[{m}]", table, (len(index), len(subset) + 1))
    return faults or _crowd_faults(rows)


def _generalist_faults(generalist: Tensor) -> list[str]:
    """Return what is wrong with the generalist's shape and dtype."""
    if generalist.ndim != 2 or not generalist.shape[1] or generalist.dtype not in FLOATS:
        rule = f"be (batch, classes), 1 class or more, of {_names(FLOATS)}"
        return [f"generalist must {rule}; got {generalist.dtype} {tuple(generalist.shape)}"]
    return []


def _table_faults(name: str, table: Tensor, shape: tuple[int, int]) -> list[str]:
    """Return what is wrong with the shape and dtype of a specialist's probabilities."""
    if table.shape != shape or table.dtype not in FLOATS:
        return [f"{name} must be {shape} of {_names(FLOATS)}; got {table.dtype} {tuple(table.shape)}"]
    return []


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


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
