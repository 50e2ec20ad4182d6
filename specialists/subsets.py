"""Confusable subsets: which classes each specialist is for (Hinton, Vinyals, Dean 2015, section 5.1).

The paper clusters the covariance of the generalist's predictions. Here its soft confusion is clustered, which
gives balanced subsets where the covariance of ten classes gave singletons. No torch in this module.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from specialists.errors import SpecialistsError, raise_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Subsets = tuple[tuple[int, ...], ...]

_FLOOR = 1e-6  # of the mean affinity: connects the graph, without which its spectrum says nothing


def soft_confusion(probs: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Return the mean predicted probabilities of each true class.

    Args:
        probs: Predictions on examples that the generalist was not trained on, (examples, classes).
        labels: Their class ids, (examples,).

    Returns:
        C[t, j] = mean probability of class j over the examples of class t, float64 (classes, classes).

    Raises:
        SpecialistsError: A class has no example.
    """
    n_classes = probs.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    if len(counts) > n_classes or not counts.all():
        missing = np.flatnonzero(counts[:n_classes] == 0)[:20].tolist()
        raise SpecialistsError(f"labels must hold each class of 0..{n_classes - 1}, no other; missing {missing}")
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, labels, probs.astype(np.float64))
    return confusion / counts[:, None]


def affinity(confusion: Floats) -> Floats:
    """Return how much classes are taken for each other: the symmetrised confusion without its diagonal."""
    symmetric = (confusion + confusion.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    return symmetric


def largest_size(n_classes: int, count: int) -> int:
    """Return the most classes of a subset whose size is not asked for: half more than an even division gives.

    At most two thirds of the classes, so that the dustbin stands for something.
    """
    return max(2, min(math.ceil(1.5 * n_classes / count), math.ceil(2 * n_classes / 3), n_classes - 1))


def confusable_subsets(confusion: Floats, count: int, *, size: int | None = None, seed: int) -> Subsets:
    """Divide the classes into groups that are taken for each other, by spectral clustering.

    Classes are first put in an order that depends on the confusion alone, so that relabelling them relabels
    the subsets. Clusters that are too large hand on the classes that fit them least, those too small borrow
    the classes that fit them best; with `size`, every cluster is trimmed or grown to the classes of highest
    affinity to it, so that subsets may overlap or leave classes out.

    Args:
        confusion: From `soft_confusion`, float64 (classes, classes).
        count: Number of subsets.
        size: Classes in each; by default 2 to `largest_size`, together covering all classes.
        seed: Of the clustering.

    Returns:
        `count` different subsets, each of ascending class ids, in lexicographic order; each has at least 2
        classes and not all.

    Raises:
        SpecialistsError: So many subsets, or this size, cannot be had from so many classes.
    """
    n_classes = len(confusion)
    raise_all(_faults(confusion, count, size))
    similar = affinity(confusion)
    # Sorted rows are the same for a class under whatever number it has; lexsort wants its first key last.
    canonical = np.lexsort(np.sort(similar, axis=1).T)
    ordered = similar[np.ix_(canonical, canonical)]
    clusters = _clusters(ordered, count, seed)
    if size is None:
        _hand_on(clusters, ordered, largest_size(n_classes, count))
    found: list[frozenset[int]] = []
    # The largest first: the smaller a cluster, the more different ways it has to grow, always more than are taken.
    for cluster in sorted(clusters, key=len, reverse=True):
        found.append(_fitted(cluster, ordered, size or max(2, len(cluster)), found))
    return tuple(sorted(tuple(sorted(int(canonical[i]) for i in subset)) for subset in found))


def coverage(subsets: Sequence[Sequence[int]], n_classes: int) -> Integers:
    """Return how many subsets hold each class, int64 (classes,)."""
    classes = [i for subset in subsets for i in subset]
    return np.bincount(np.array(classes, dtype=np.int64), minlength=n_classes).astype(np.int64)


def held_confusion(confusion: Floats, subsets: Sequence[Sequence[int]]) -> Floats:
    """Return the share of all off-diagonal confusion that lies within each subset, float64 (subsets,).

    All 0 where nothing is ever confused.
    """
    similar = affinity(confusion)
    total = similar.sum()
    within = [similar[np.ix_(subset, subset)].sum() for subset in subsets]
    return np.array(within) / total if total > 0 else np.zeros(len(subsets))


def _faults(confusion: Floats, count: int, size: int | None) -> list[str]:
    """Return what is wrong with the arguments of `confusable_subsets`."""
    n_classes = len(confusion)
    faults = []
    if confusion.shape != (n_classes, n_classes) or not np.isfinite(confusion).all() or (confusion < 0).any():
        faults.append(f"confusion must be square, finite and non-negative; got shape {confusion.shape}")
    if n_classes < 3:
        faults.append(f"subsets need at least 3 classes; got {n_classes}")
    if not 1 <= count <= n_classes // 2:
        faults.append(f"count must be within 1..{n_classes // 2} for {n_classes} classes; got {count}")
    if size is not None and not 2 <= size < n_classes:
        faults.append(f"size must be within 2..{n_classes - 1} for {n_classes} classes; got {size}")
    return faults


def _clusters(similar: Floats, count: int, seed: int) -> list[list[int]]:
    """Cluster, and make sure that no cluster is empty."""
    from sklearn.cluster import SpectralClustering  # noqa: PLC0415 - a second of imports, for one caller

    connected = similar + _FLOOR * (similar.mean() or 1.0)
    np.fill_diagonal(connected, 0.0)
    labels = np.zeros(len(similar), dtype=np.int64)
    if count > 1:
        model = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=seed)
        labels = model.fit_predict(connected)
    clusters = [np.flatnonzero(labels == c).tolist() for c in range(count)]
    for cluster in clusters:
        if not cluster:
            largest = max(clusters, key=len)
            cluster.append(_pop_least(largest, similar))
    return clusters


def _fit(cluster: Sequence[int], similar: Floats) -> Floats:
    """Return each class's mean affinity to the other members of a cluster, float64 (classes,)."""
    others = np.full(len(similar), len(cluster))
    others[list(cluster)] -= 1
    fit: Floats = similar[:, list(cluster)].sum(axis=1) / np.maximum(others, 1)
    return fit


def _pop_least(cluster: list[int], similar: Floats) -> int:
    """Take the class out of a cluster that fits it least."""
    fit = _fit(cluster, similar)
    least = min(cluster, key=lambda i: fit[i])
    cluster.remove(least)
    return least


def _hand_on(clusters: list[list[int]], similar: Floats, largest: int) -> None:
    """Move classes from clusters above the largest size to those with room that they fit best."""
    for cluster in clusters:
        while len(cluster) > largest:
            moved = _pop_least(cluster, similar)
            roomy = [other for other in clusters if other is not cluster and len(other) < largest]
            if roomy:  # a single cluster has nowhere to hand on to: the class is left out
                max(roomy, key=lambda other: _fit(other, similar)[moved]).append(moved)


def _fitted(cluster: Sequence[int], similar: Floats, size: int, taken: Sequence[frozenset[int]]) -> frozenset[int]:
    """Trim or grow a cluster to the classes that fit it best; unlike any subset that is taken."""
    fit = _fit(cluster, similar)
    members = sorted(cluster, key=lambda i: -fit[i])[:size]
    strangers = [int(i) for i in np.argsort(-fit, kind="stable") if i not in cluster]
    choices = combinations(strangers, size - len(members))  # the best first
    return next(subset for choice in choices if (subset := frozenset([*members, *choice])) not in taken)
