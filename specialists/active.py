"""Which specialists count on an example."""

from collections.abc import Sequence

import torch
from torch import Tensor

from specialists.errors import SpecialistsError, raise_all
from specialists.subset_checks import subset_faults


def active_set(generalist_logits: Tensor, subsets: Sequence[Tensor], n: int) -> Tensor:
    """Find the specialists whose subset meets the n most probable classes of the generalist.

    Hinton, Vinyals, Dean 2015, section 5.3, step 1. Of equal logits the lower class ids count as more
    probable.

    Args:
        generalist_logits: Logits as they are stored, any float dtype that torch sorts (batch, classes); infinite ones
            are in order.
        subsets: By specialist, its class ids, int64 (|S_m|,).
        n: How many classes count as the most probable.

    Returns:
        Whether each specialist is active, bool (batch, specialists).

    Raises:
        SpecialistsError: The logits are not such a table, a subset is not 1 to N - 1 different classes, `n` is not
            within 1..classes, or a logit is NaN.
    """
    raise_all(_faults(generalist_logits, subsets, n))
    top = _top_classes(generalist_logits, n)
    active = torch.zeros(len(top), len(subsets), dtype=torch.bool, device=top.device)
    for m, subset in enumerate(subsets):
        active[:, m] = top[:, subset].any(1)
    return active


def _top_classes(logits: Tensor, n: int) -> Tensor:
    """Mark the n largest logits of each row, bool (batch, classes); topk leaves ties open."""
    smallest = logits.topk(n, dim=1).values[:, -1:]
    above = logits > smallest
    equal = logits == smallest
    if not bool((above | equal | (logits < smallest)).all()):
        raise SpecialistsError("the generalist's logits must not be NaN")
    room = n - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1) <= room))


def _faults(logits: Tensor, subsets: Sequence[Tensor], n: int) -> list[str]:
    """Return what is wrong with the arguments of `active_set`, except NaN."""
    if logits.ndim != 2 or not logits.is_floating_point():
        return [f"the generalist's logits must be float (batch, classes); got {logits.dtype} {tuple(logits.shape)}"]
    n_classes = logits.shape[1]
    faults = [fault for m, subset in enumerate(subsets) for fault in subset_faults(f"subsets[{m}]", subset, n_classes)]
    if not 1 <= n <= n_classes:
        faults.append(f"the number of active classes must be within 1..{n_classes}; got {n}")
    return faults
