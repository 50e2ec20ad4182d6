"""The students side by side: what each variant comes to, and how the distilled one differs from its controls."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Json
from stages.learning import metrics
from stages.learning.metrics import Interval, Labels, Scores

OVER_EXAMPLES = "paired bootstrap over test examples, 10000 resamples"
"""How the interval of a difference between two networks is found."""


def measured(log_probs: Scores, labels: Labels) -> dict[str, float]:
    """Return how good predictions are, from log-probabilities (examples, classes)."""
    return {
        "accuracy": metrics.accuracy(log_probs, labels),
        "top5": metrics.top_k(log_probs, labels, 5),
        "balanced_accuracy": metrics.balanced_accuracy(log_probs, labels),
        "nll": metrics.nll(log_probs, labels),
        "ece": metrics.ece(log_probs, labels),
    }


def over_seeds(scores: Sequence[Scores], ensemble: Scores, labels: Labels, seeds: Sequence[int]) -> dict[str, Json]:
    """Return what a variant comes to.

    Args:
        scores: Log-probabilities (examples, classes) of each seed's student.
        ensemble: Log-probabilities (examples, classes).
        labels: int64 (examples,).
        seeds: The seeds.

    Returns:
        The figures of `measured` and `agreement` with the ensemble, means over the seeds. Where there are several, also
        `deviation`, the standard deviation of each figure (of a sample, so by n - 1), and `seeds`, the figures of each.
    """
    found = [measured(one, labels) | {"agreement": metrics.agreement(one, ensemble)} for one in scores]
    means: dict[str, Json] = {name: fmean(one[name] for one in found) for name in found[0]}
    if len(seeds) == 1:
        return means
    deviation = {name: metrics.deviation(one[name] for one in found) for name in found[0]}
    return means | {"deviation": deviation, "seeds": {str(seed): one for seed, one in zip(seeds, found, strict=True)}}


def per_class(
    generalist: Scores, ensemble: Scores, students: Mapping[str, Sequence[Scores]], labels: Labels
) -> dict[str, Json]:
    """Return the accuracy of every model on the examples of each class, in the order of the classes.

    Args:
        generalist: Log-probabilities (examples, classes).
        ensemble: Log-probabilities (examples, classes).
        students: By variant, the same of each seed's student.
        labels: int64 (examples,).

    Returns:
        `examples` of each class; the shares of `generalist` and `ensemble`, and by variant of `students`, means over
        the seeds; None where a class has no example.
    """
    return {
        "examples": np.bincount(labels, minlength=generalist.shape[1]).tolist(),
        "generalist": metrics.per_class_accuracy(generalist, labels),
        "ensemble": metrics.per_class_accuracy(ensemble, labels),
        "students": {
            variant: _means([metrics.per_class_accuracy(one, labels) for one in of_seeds])
            for variant, of_seeds in students.items()
        },
    }


def _means(shares: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return the mean share of each class, from one list a seed."""
    of_classes = zip(*shares, strict=True)
    return [
        fmean(share for share in of_class if share is not None) if None not in of_class else None
        for of_class in of_classes
    ]


def differences(scores: Mapping[str, Sequence[Scores]], labels: Labels, *, seed: int) -> dict[str, dict[str, Json]]:
    """Return by how much the distilled student's accuracy and NLL differ from each control's.

    Args:
        scores: By variant, the distilled one first, log-probabilities (examples, classes) of each seed's student.
        labels: int64 (examples,).
        seed: Of the resampling.

    Returns:
        By control `mean`, `low` and `high` of the accuracy, the same of the `nll`, and the `method`.
    """
    (_, distilled), *controls = scores.items()
    n = len(distilled)
    over_seeds = f"Student's over {n} seeds and over test examples, paired, added in quadrature"
    method = over_seeds if n > 1 else OVER_EXAMPLES
    return {control: {**_both_leads(distilled, others, labels, seed), "method": method} for control, others in controls}


def lead_of_ensemble(ensemble: Scores, generalist: Scores, labels: Labels, *, seed: int) -> dict[str, Json]:
    """Return by how much the ensemble's accuracy and NLL differ from the generalist's, as `differences` does.

    Args:
        ensemble: Log-probabilities (examples, classes).
        generalist: The same.
        labels: int64 (examples,).
        seed: Of the resampling.
    """
    return {**_both_leads([ensemble], [generalist], labels, seed), "method": OVER_EXAMPLES}


def _both_leads(scores: Sequence[Scores], others: Sequence[Scores], labels: Labels, seed: int) -> dict[str, Json]:
    accuracy, loss = (measure(scores, others, labels, seed=seed) for measure in (lead, lead_in_nll))
    return {**accuracy._asdict(), "nll": loss._asdict()}


def lead(scores: Sequence[Scores], others: Sequence[Scores], labels: Labels, *, seed: int) -> Interval:
    """Return how much more accurate trainings are than others, each than its pair, as `metrics.mean_interval` does."""
    return possible(metrics.mean_interval(right(scores, labels).astype(np.float64) - right(others, labels), seed=seed))


def possible(difference: Interval) -> Interval:
    """Return a difference of shares with its interval cut to what it can be: Student's of few trainings is wider."""
    return Interval(difference.mean, max(difference.low, -1.0), min(difference.high, 1.0))


def lead_in_nll(scores: Sequence[Scores], others: Sequence[Scores], labels: Labels, *, seed: int) -> Interval:
    """Return by how much the NLL of trainings is above that of others, likewise."""
    return metrics.mean_interval(losses(scores, labels) - losses(others, labels), seed=seed)


def right(scores: Sequence[Scores], labels: Labels) -> NDArray[np.bool_]:
    """Return which examples each training has right, bool (trainings, examples)."""
    return np.stack([metrics.correct(one, labels) for one in scores])


def losses(scores: Sequence[Scores], labels: Labels) -> NDArray[np.float64]:
    """Return the negative log-probability of each label, float64 (trainings, examples), in nats."""
    return np.stack([-metrics.label_log_probs(one, labels).astype(np.float64) for one in scores])
