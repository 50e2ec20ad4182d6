"""Stratified splits that depend on nothing but the labels and a seed."""

import numpy as np
from numpy.typing import NDArray


def split_holdout(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the examples that are held out: of every class the same share, at least one, and never all.

    Args:
        labels: int64 (examples,), every class at least twice.
        share: Between 0 and 1.
        seed: Not negative. Every example draws a number from it; the smallest of each class are held out.

    Returns:
        bool (examples,), true where an example is held out.
    """
    # A bit generator's raw output is the same in every version of numpy; that of a permutation need not be.
    numbers = np.random.Philox(key=seed).random_raw(len(labels))
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        n_held_out = min(max(round(share * len(members)), 1), len(members) - 1)
        mask[members[np.argsort(numbers[members], kind="stable")[:n_held_out]]] = True
    return mask
