"""What must hold of a subset of the classes, as a tensor."""

from torch import Tensor, int64


def subset_faults(name: str, subset: Tensor, n_classes: int) -> list[str]:
    """Return what is wrong with one subset: it needs 1 to N - 1 different class ids, int64 (|S|,).

    Args:
        name: What the message calls it.
        subset: Whatever was given for one.
        n_classes: N.

    Returns:
        One message, or none.
    """
    if subset.dtype != int64 or subset.ndim != 1:
        return [f"{name} must be int64 of one dimension; got {subset.dtype} {tuple(subset.shape)}"]
    ids = subset.tolist()
    if not 1 <= len(ids) < n_classes or len(set(ids)) != len(ids) or min(ids) < 0 or max(ids) >= n_classes:
        return [f"{name} must be different classes out of 0..{n_classes - 1}, not all of them; got {ids[:20]}"]
    return []
