"""Memory that tensors may share, and writing over it."""

from collections.abc import Sequence

import torch
from torch import Tensor


def is_in_the_way(out: Tensor, generalist: Tensor, tables: Sequence[Tensor]) -> bool:
    """Whether writing some rows of `out` may change what other rows are still to be combined from.

    It does not where `out` is the generalist, value by value: a row is read before it is written. For other tensors
    only the ends of their memory are compared, so that some are found in the way which lie between each other.

    Args:
        out: Where the soft targets go, (batch, classes).
        generalist: Of the same shape and dtype.
        tables: The specialists' probabilities.

    Returns:
        False only where it is sure that they are not.
    """
    if out.data_ptr() == generalist.data_ptr() and out.stride() == generalist.stride():
        return any(_meet(out, table) for table in tables)
    return any(_meet(out, table) for table in (generalist, *tables))


def overwrite(out: Tensor, values: Tensor) -> None:
    """Copy values into a tensor, whatever autograd thinks of it.

    Workers' threads do not take over the mode in which the caller made the tensor.

    Args:
        out: Any float dtype, any strides, on any device.
        values: Of the same shape.
    """
    with torch.inference_mode():
        out.detach().copy_(values)


def mark_overwritten(out: Tensor) -> None:
    """Tell autograd of values that were written past torch, so that a backward pass that needs the old ones raises."""
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)


def _meet(first: Tensor, second: Tensor) -> bool:
    """Whether the memory of one begins before that of the other ends."""
    if first.device != second.device or not first.numel() or not second.numel():
        return False
    return first.data_ptr() < _end(second) and second.data_ptr() < _end(first)


def _end(values: Tensor) -> int:
    """The address after a tensor's last value; torch's strides are never negative."""
    last = sum((size - 1) * stride for size, stride in zip(values.shape, values.stride(), strict=True))
    return values.data_ptr() + (last + 1) * values.element_size()
