"""Stratified splits that depend on nothing but the labels and a seed, or on the names of the examples."""

import hashlib
from collections.abc import Sequence
from typing import Any

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
    return _smallest_of_each(labels, share, np.random.Philox(key=seed).random_raw(len(labels)))


def split_folds(labels: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Deal the examples out to folds: of every class as many to each as to any other, or one more.

    Args:
        labels: int64 (examples,), every class at least twice, so that no fold has all of one.
        n_folds: At least 2.
        seed: Not negative. Every example draws a number from it, in whose order those of a class are dealt out.

    Returns:
        int64 (examples,), the fold of each, from 0. Folds differ by one example at most.
    """
    order = np.lexsort((np.random.Philox(key=seed).random_raw(len(labels)), labels))
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def choose_share(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose examples: of every class the same share, at least one.

    Args:
        labels: int64 (examples,).
        share: In (0, 1]; a smaller one chooses some of what a larger one does.
        seed: Not negative; as for `split_holdout`.

    Returns:
        bool (examples,), true where an example is chosen.
    """
    numbers = np.random.Philox(key=seed).random_raw(len(labels))
    return _smallest_of_each(labels, share, numbers, n_left=0)


def split_by_name(labels: NDArray[np.int64], share: float, names: Sequence[bytes]) -> NDArray[np.bool_]:
    """Choose the examples of a test half, so that one more example moves hardly any other to the other half.

    Args:
        labels: int64 (examples,), every class at least twice.
        share: Between 0 and 1.
        names: Of the examples. Their hashes are numbers of which the smallest of each class are chosen.

    Returns:
        bool (examples,), true where an example is chosen.
    """
    numbers = [int.from_bytes(hashlib.sha256(name).digest()[:8]) for name in names]
    return _smallest_of_each(labels, share, np.array(numbers, dtype=np.uint64))


def _smallest_of_each(
    labels: NDArray[np.int64], share: float, numbers: NDArray[Any], n_left: int = 1
) -> NDArray[np.bool_]:
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        n_chosen = min(max(round(share * len(members)), 1), len(members) - n_left)
        mask[members[np.argsort(numbers[members], kind="stable")[:n_chosen]]] = True
    return mask
