"""How good predictions are.

Scores are logits or log-probabilities, (examples, classes); where two are equal, the lower class comes first.
"""

from collections.abc import Iterable, Sequence
from math import hypot, sqrt
from statistics import stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.learning.errors import LearningError

Scores = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class Reliability(NamedTuple):
    """Of each bin of confidence, (bins,): how many examples, the sum of their confidence, how many are right."""

    examples: NDArray[np.int64]
    confidence: NDArray[np.float64]
    right: NDArray[np.float64]


def correct(scores: Scores, labels: Labels) -> Flags:
    """Return whether each example's most probable class is its label, bool (examples,)."""
    right: Flags = scores.argmax(axis=1) == labels
    return right


def accuracy(scores: Scores, labels: Labels) -> float:
    """Return the share of examples whose most probable class is their label."""
    return float(correct(scores, labels).mean())


def top_k(scores: Scores, labels: Labels, k: int) -> float:
    """Return the share of examples whose label is among the k most probable classes."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    n_before = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return float((n_before < k).mean())


def balanced_accuracy(scores: Scores, labels: Labels) -> float:
    """Return the mean over classes, of those that have examples, of the share that is right."""
    right = correct(scores, labels)
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def per_class_accuracy(scores: Scores, labels: Labels) -> list[float | None]:
    """Return the share of each class's examples that is right, in the order of the classes; None where it has none."""
    n_examples = np.bincount(labels, minlength=scores.shape[1])
    n_right = np.bincount(labels[correct(scores, labels)], minlength=scores.shape[1])
    return [right / n if n else None for right, n in zip(n_right.tolist(), n_examples.tolist(), strict=True)]


def conditional_accuracy(scores: Scores, labels: Labels, classes: Sequence[int]) -> float:
    """Return the accuracy among some classes: on their examples, with no other class to choose.

    Args:
        scores: (examples, len(classes)), of the classes alone, in their order.
        labels: int64 (examples,), of the whole class set.
        classes: The class of each column.

    Raises:
        LearningError: No example is of these classes.
    """
    chosen = np.asarray(classes)[scores.argmax(axis=1)]
    members = np.isin(labels, classes)
    if not members.any():
        raise LearningError(f"labels must hold an example of the classes {list(classes)}; got none")
    return float((chosen == labels)[members].mean())


def nll(log_probs: Scores, labels: Labels) -> float:
    """Return the mean negative log-probability of the labels, in nats.

    Args:
        log_probs: (examples, classes); of all classes, they sum to 1.
        labels: int64 (examples,).
    """
    return float(-label_log_probs(log_probs, labels).mean(dtype=np.float64))


def label_log_probs(log_probs: Scores, labels: Labels) -> Scores:
    """Return the log-probability of each example's label, (examples,)."""
    return np.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]


def ece(log_probs: Scores, labels: Labels, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, in bins of confidence.

    Source: Guo, Pleiss, Sun, Weinberger 2017, equation 3.

    Args:
        log_probs: (examples, classes).
        labels: int64 (examples,).
        bins: Number of equally wide bins of the largest probability; a bin holds its upper end.
    """
    found = reliability(log_probs, labels, bins)
    return float(np.abs(found.right - found.confidence).sum() / len(labels))


def reliability(log_probs: Scores, labels: Labels, bins: int = 15) -> Reliability:
    """Return how confident and how right predictions are, in equally wide bins of confidence.

    Args:
        log_probs: (examples, classes).
        labels: int64 (examples,).
        bins: Number of bins of the largest probability; a bin holds its upper end.
    """
    confidence = np.exp(log_probs.max(axis=1).astype(np.float64))
    members = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return Reliability(
        np.bincount(members, minlength=bins),
        np.bincount(members, weights=confidence, minlength=bins).astype(np.float64),
        np.bincount(members, weights=correct(log_probs, labels), minlength=bins).astype(np.float64),
    )


def confusion_counts(scores: Scores, labels: Labels) -> NDArray[np.int64]:
    """Return how many examples of each class (rows) are taken for each class (columns), (classes, classes)."""
    counts = np.zeros((scores.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (labels, scores.argmax(axis=1)), 1)
    return counts


def agreement(scores: Scores, others: Scores) -> float:
    """Return the share of examples for which two predictions have the same most probable class."""
    return float((scores.argmax(axis=1) == others.argmax(axis=1)).mean())


def mean_interval(values: NDArray[np.floating[Any]], *, seed: int, resamples: int = 10_000) -> Interval:
    """Return the mean of what trainings have of each example, with its 95 % interval.

    Of one training, examples are drawn again (percentile bootstrap): what another test split might say of the very same
    networks. Of several, all of which meet the same examples, it also holds what another seed might change: half its
    width is that of Student's interval over the trainings' means and that of Student's over the examples' means, added
    in quadrature. Of normal values it holds the mean at least as often as it says, whichever of the two varies more:
    its square averages two bounds that each hold 95 %, and how often a normal value's square is below a bound is
    concave in that. What neither trainings nor examples explain is in both, which makes it a little wider still. A
    bootstrap of two or three trainings would be far too narrow. Source: Banerjee 1960, "Approximate confidence interval
    for linear functions of means of k populations when the population variances are not equal".

    Args:
        values: (trainings, examples), such as what one model has of each example more than another.
        seed: Of the resampling.
        resamples: Number of resamples.
    """
    values = values.astype(np.float64)
    if len(values) == 1:
        return _bootstrapped(values[0], seed, resamples)
    return _student(values.mean(axis=1), values.mean(axis=0), mean=float(values.mean()))


def unpaired_interval(
    values: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]], *, seed: int, resamples: int = 10_000
) -> Interval:
    """Return how far the mean of trainings is above that of others, which are not their pairs, with a 95 % interval.

    As `mean_interval`, but that each side adds Student's interval over its own trainings' means. What another seed
    changes cannot be told where one side is a single training: then examples alone are drawn again. Where both sides
    are as few and vary alike, it is wider than it need be: that they vary alike is not known.

    Args:
        values: (trainings, examples).
        others: (other trainings, examples), of the same examples.
        seed: Of the resampling.
        resamples: Number of resamples.
    """
    of_examples = values.mean(axis=0, dtype=np.float64) - others.mean(axis=0, dtype=np.float64)
    if min(len(values), len(others)) == 1:
        return _bootstrapped(of_examples, seed, resamples)
    of_trainings = (side.mean(axis=1, dtype=np.float64) for side in (values, others))
    return _student(*of_trainings, of_examples, mean=float(of_examples.mean()))


def deviation(values: Iterable[float]) -> float:
    """Return the standard deviation of two values or more, such as one of each seed; of a sample, so by n - 1."""
    return float(stdev(values))


def _student(*samples: NDArray[np.float64], mean: float) -> Interval:
    """Return a mean with the halves of Student's 95 % intervals of the means of samples, added in quadrature."""
    half = hypot(*map(_half, samples))
    return Interval(mean, mean - half, mean + half)


def _half(values: NDArray[np.float64]) -> float:
    """Return half the width of Student's 95 % interval of a mean; one value alone tells of none."""
    from scipy.special import stdtrit  # noqa: PLC0415  # only several seeds want it

    n = len(values)
    return float(stdtrit(n - 1, 0.975) * values.std(ddof=1)) / sqrt(n) if n > 1 else 0.0


def _bootstrapped(values: NDArray[np.float64], seed: int, resamples: int) -> Interval:
    generator = np.random.default_rng(seed)
    n_at_once = max(1, 2**22 // len(values))
    means = []
    for start in range(0, resamples, n_at_once):
        size = (min(n_at_once, resamples - start), len(values))
        means.append(values.take(generator.integers(len(values), size=size, dtype=np.int32)).mean(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))
