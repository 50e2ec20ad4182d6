"""Confusable subsets: which classes each specialist is for (Hinton, Vinyals, Dean 2015, section 5.1).

The paper clusters the covariance of the generalist's predictions, `covariance_subsets`. The default here is to
cluster its soft confusion, `confusable_subsets`, which gives balanced subsets where the covariance of ten classes
gave singletons. No torch in this module.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from specialists.errors import SpecialistsError, raise_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Subsets = tuple[tuple[int, ...], ...]
Clustering = Callable[[Floats], Integers]

_FLOOR = 1e-6  # of the mean affinity: connects the graph, without which its spectrum says nothing


def soft_confusion(probs: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Return the mean predicted probabilities of each true class.

    Args:
        probs: Predictions on examples that the generalist was not trained on, float (examples, classes).
        labels: Their class ids, integers (examples,).

    Returns:
        C[t, j] = mean probability of class j over the examples of class t, float64 (classes, classes).

    Raises:
        SpecialistsError: The shapes do not fit, a label is not an integer, or not a class, or a class has no example.
    """
    if probs.ndim != 2 or labels.shape != probs.shape[:1] or labels.dtype.kind not in "iu":
        got = f"{probs.shape}, {labels.dtype} {labels.shape}"
        raise SpecialistsError(f"probs must be (examples, classes) and labels integers (examples,); got {got}")
    n_classes = probs.shape[1]
    known = labels[(labels >= 0) & (labels < n_classes)]
    counts = np.bincount(known.astype(np.int64), minlength=n_classes)
    if len(known) < len(labels) or not counts.all():
        missing = np.flatnonzero(counts == 0)[:20].tolist()
        rule = f"labels must hold each class of 0..{n_classes - 1}, no other"
        raise SpecialistsError(f"{rule}; missing {missing}, {len(labels) - len(known)} others")
    confusion = np.zeros((n_classes, n_classes))
    np.add.at(confusion, labels, probs.astype(np.float64))
    return confusion / counts[:, None]


def affinity(confusion: Floats) -> Floats:
    """Return how much classes are taken for each other: the symmetrised confusion without its diagonal.

    Args:
        confusion: C, from `soft_confusion`, float64 (classes, classes).

    Returns:
        (C + C^T) / 2 with 0 on its diagonal, float64 (classes, classes).
    """
    symmetric = (confusion + confusion.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    return symmetric


def largest_size(n_classes: int, count: int) -> int:
    """Return the most classes of a subset whose size is not asked for: half more than an even division gives.

    At most two thirds of the classes, so that the dustbin stands for something.

    Args:
        n_classes: N, 3 or more.
        count: Number of subsets, 1 or more.

    Returns:
        Number of classes, 2 to N - 1.
    """
    return max(2, min(math.ceil(1.5 * n_classes / count), math.ceil(2 * n_classes / 3), n_classes - 1))


def confusable_subsets(confusion: Floats, count: int, *, size: int | None = None, seed: int) -> Subsets:
    """Divide the classes into groups that are taken for each other, by spectral clustering.

    Of the symmetrised confusion, with the clusters read off the eigenvectors by a pivoted QR factorisation (Damle,
    Minden, Ying 2019). Classes are first put in an order that depends on the confusion alone, so that relabelling
    them relabels the subsets. Clusters that are too large hand on the classes that fit them least, those too small
    borrow the classes that fit them best; with `size`, every cluster is trimmed or grown to the classes of highest
    affinity to it, so that subsets may overlap or leave classes out.

    Args:
        confusion: From `soft_confusion`, float64 (classes, classes).
        count: Number of subsets.
        size: Classes in each; by default 2 to `largest_size`, together covering all classes unless `count` is 1.
        seed: Of the clustering.

    Returns:
        `count` different subsets, each of ascending class ids, in lexicographic order; each has at least 2
        classes and not all.

    Raises:
        SpecialistsError: The confusion is not square, finite and non-negative, or so many subsets, or this size, cannot
            be had from so many classes.
    """
    raise_all(_square_faults(confusion) + _faults(len(confusion), count, size))
    return _divided(affinity(confusion), lambda similar: _spectral(similar, count, seed), count, size)


def covariance_subsets(probs: NDArray[np.floating], count: int, *, size: int | None = None, seed: int) -> Subsets:
    """Divide the classes into groups that are predicted together, by K-means (Hinton et al. 2015, section 5.1).

    Clustered are the columns of the covariance of the predictions, which needs no labels. Order of the classes,
    bounds and growing are as in `confusable_subsets`, by covariance in place of affinity.

    Args:
        probs: Predictions on examples that the generalist was not trained on, float (examples, classes), two examples
            or more.
        count: Number of subsets.
        size: Classes in each; by default 2 to `largest_size`, together covering all classes unless `count` is 1.
        seed: Of the clustering.

    Returns:
        As `confusable_subsets`.

    Raises:
        SpecialistsError: As there, or the predictions are not such a table, not finite or fewer than two.
    """
    if probs.ndim != 2:
        raise SpecialistsError(f"probs must be (examples, classes); got shape {probs.shape}")
    n_examples, n_classes = probs.shape
    faults = _faults(n_classes, count, size)
    if n_examples < 2 or not np.isfinite(probs).all():
        faults.insert(0, f"probs must be 2 examples or more, all finite; got shape {probs.shape}")
    raise_all(faults)
    with _one_thread():
        covariance = np.cov(probs.astype(np.float64), rowvar=False)
    # Sums of a matrix product may differ between (i, j) and (j, i) in their last bit; ties must stay ties.
    symmetric = (covariance + covariance.T) / 2
    return _divided(symmetric, lambda columns: _k_means(columns, count, seed), count, size)


def shuffled_subsets(subsets: Subsets, n_classes: int, seed: int) -> Subsets:
    """Deal the classes out at random: a control whose sizes, overlaps and cover are those of other subsets.

    Args:
        subsets: The subsets to be a control of, as `given_subsets` returns them.
        n_classes: Number of classes.
        seed: Of the draw.

    Returns:
        The subsets under a random renumbering of the classes, in the form of `confusable_subsets`.
    """
    renumbered = np.random.default_rng(seed).permutation(n_classes).tolist()
    return _in_order([renumbered[i] for i in subset] for subset in subsets)


def given_subsets(subsets: Sequence[Sequence[int]], n_classes: int) -> Subsets:
    """Return subsets that somebody has chosen, in the form of `confusable_subsets`.

    Args:
        subsets: Class ids of each.
        n_classes: Number of classes.

    Returns:
        Each of ascending class ids, in lexicographic order.

    Raises:
        SpecialistsError: There is none; a subset has a class twice, one that there is not, fewer than 2 or all; or two
            are equal.
    """
    faults = [] if subsets else ["subsets must be at least one; got none"]
    found: dict[frozenset[int], int] = {}
    for position, subset in enumerate(subsets):
        ids = set(subset)
        if len(ids) != len(subset) or not ids <= set(range(n_classes)) or not 2 <= len(ids) < n_classes:
            rule = f"be at least 2 different classes out of 0..{n_classes - 1}, not all of them"
            faults.append(f"subsets[{position}] must {rule}; got {list(subset)[:20]}")
        if (first := found.setdefault(frozenset(ids), position)) != position:
            faults.append(f"subsets[{position}] must differ from subsets[{first}]; got {sorted(ids)[:20]} twice")
    raise_all(faults)
    return _in_order(subsets)


def coverage(subsets: Sequence[Sequence[int]], n_classes: int) -> Integers:
    """Return how many subsets hold each class.

    Args:
        subsets: Class ids of each.
        n_classes: Number of classes.

    Returns:
        int64 (classes,).

    Raises:
        SpecialistsError: A class id is not within 0..classes-1.
    """
    classes = [i for subset in subsets for i in subset]
    if strangers := sorted({i for i in classes if not 0 <= i < n_classes}):
        raise SpecialistsError(f"subsets must be of classes 0..{n_classes - 1}; got {strangers[:20]}")
    return np.bincount(np.array(classes, dtype=np.int64), minlength=n_classes).astype(np.int64)


def held_confusion(confusion: Floats, subsets: Sequence[Sequence[int]]) -> Floats:
    """Return the share of all off-diagonal confusion that lies within each subset.

    Args:
        confusion: From `soft_confusion`, float64 (classes, classes).
        subsets: Class ids of each, as `given_subsets` returns them.

    Returns:
        float64 (subsets,), within 0..1; all 0 where nothing is ever confused.
    """
    similar = affinity(confusion)
    total = similar.sum()
    within = [similar[np.ix_(subset, subset)].sum() for subset in subsets]
    return np.array(within) / total if total > 0 else np.zeros(len(subsets))


def _in_order(subsets: Iterable[Iterable[int]]) -> Subsets:
    return tuple(sorted(tuple(sorted(subset)) for subset in subsets))


def _square_faults(confusion: Floats) -> list[str]:
    if confusion.shape != (len(confusion),) * 2 or not np.isfinite(confusion).all() or (confusion < 0).any():
        return [f"confusion must be square, finite and non-negative; got shape {confusion.shape}"]
    return []


def _faults(n_classes: int, count: int, size: int | None) -> list[str]:
    """Return what is wrong with the number and size of subsets wanted."""
    faults = []
    if n_classes < 3:
        faults.append(f"subsets need at least 3 classes; got {n_classes}")
    if not 1 <= count <= n_classes // 2:
        faults.append(f"count must be within 1..{n_classes // 2} for {n_classes} classes; got {count}")
    if size is not None and not 2 <= size < n_classes:
        faults.append(f"size must be within 2..{n_classes - 1} for {n_classes} classes; got {size}")
    return faults


def _divided(matrix: Floats, cluster: Clustering, count: int, size: int | None) -> Subsets:
    """Cluster the classes of a symmetric matrix in canonical order, and fit the clusters to the sizes wanted."""
    # Sorted rows are the same for a class under whatever number it has; lexsort wants its first key last.
    canonical = np.lexsort(np.sort(matrix, axis=1).T)
    similar = matrix[np.ix_(canonical, canonical)]
    labels = cluster(similar)
    np.fill_diagonal(similar, 0.0)
    clusters = _filled([np.flatnonzero(labels == c).tolist() for c in range(count)], similar)
    if size is None:
        _hand_on(clusters, similar, largest_size(len(matrix), count))
    found: list[frozenset[int]] = []
    # The largest first: the smaller a cluster, the more different ways it has to grow, always more than are taken.
    for members in sorted(clusters, key=len, reverse=True):
        found.append(_fitted(members, similar, size or max(2, len(members)), found))
    return _in_order((int(canonical[i]) for i in subset) for subset in found)


def _one_thread() -> AbstractContextManager[object]:
    """Keep sums in one order: with more threads the last bits of BLAS and OpenMP sums differ."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn, needed beside it alone

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _spectral(similar: Floats, count: int, seed: int) -> Integers:
    """Return the cluster of each class, by spectral clustering of an affinity, int64 (classes,)."""
    from sklearn.cluster import SpectralClustering  # noqa: PLC0415 - a second of imports, for one caller

    if count == 1:  # which scikit-learn refuses
        return np.zeros(len(similar), dtype=np.int64)
    connected = similar + _FLOOR * (similar.mean() or 1.0)
    np.fill_diagonal(connected, 0.0)
    model = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=_seed32(seed))
    with _one_thread():
        labels: Integers = model.fit_predict(connected)
    return labels


def _k_means(columns: Floats, count: int, seed: int) -> Integers:
    """Return the cluster of each class, by K-means on the rows of a symmetric matrix, int64 (classes,)."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - a second of imports, for one caller
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with _one_thread(), warnings.catch_warnings():
        # It warns of fewer different columns than clusters; the clusters that stay empty are filled afterwards.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: Integers = KMeans(count, n_init=10, random_state=_seed32(seed)).fit_predict(columns)
    return labels


def _seed32(seed: int) -> int:
    """Return a seed as scikit-learn takes it."""
    return seed % 2**32


def _filled(clusters: list[list[int]], similar: Floats) -> list[list[int]]:
    """Give every empty cluster the class that fits the largest one least."""
    for cluster in clusters:
        if not cluster:
            cluster.append(_pop_least(max(clusters, key=len), similar))
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
