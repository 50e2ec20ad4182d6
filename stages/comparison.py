"""The students side by side: what each variant comes to, and how the distilled one differs from its controls."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

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
        By control what `difference` returns.
    """
    (_, distilled), *controls = scores.items()
    return {control: difference(distilled, others, labels, seed=seed) for control, others in controls}


def difference(scores: Sequence[Scores], others: Sequence[Scores], labels: Labels, *, seed: int) -> dict[str, Json]:
    """Return by how much accuracy and NLL of trainings are above those of others, each paired with its like.

    Args:
        scores: Log-probabilities (examples, classes) of each training.
        others: The same of the others.
        labels: int64 (examples,).
        seed: Of the resampling.

    Returns:
        `mean`, `low` and `high` of the accuracy, the same of the `nll`, and the `method`.
    """
    accuracy, loss = leads(of_examples(scores, labels), of_examples(others, labels), seed=seed)
    over_seeds = f"Student's over {len(scores)} seeds and over test examples, paired, added in quadrature"
    method = over_seeds if len(scores) > 1 else OVER_EXAMPLES
    return {**accuracy._asdict(), "nll": loss._asdict(), "method": method}


class Leads(NamedTuple):
    """How far accuracy and NLL are above those of others."""

    accuracy: Interval
    nll: Interval


def leads(values: NDArray[np.float64], others: NDArray[np.float64], *, seed: int, is_paired: bool = True) -> Leads:
    """Return how far accuracy and NLL of trainings are above those of others.

    The interval of the accuracy is cut to what a difference of shares can be: Student's of few trainings is wider.

    Args:
        values: float64 (2, trainings, examples), as `of_examples` returns it.
        others: The same of the others, in the order of their pairs.
        seed: Of the resampling.
        is_paired: Whether they are pairs.
    """
    accuracy, loss = (
        metrics.mean_interval(ours - theirs, seed=seed)
        if is_paired
        else metrics.unpaired_interval(ours, theirs, seed=seed)
        for ours, theirs in zip(values, others, strict=True)
    )
    return Leads(Interval(accuracy.mean, max(accuracy.low, -1.0), min(accuracy.high, 1.0)), loss)


def of_examples(scores: Sequence[Scores], labels: Labels) -> NDArray[np.float64]:
    """Return what the accuracy and the NLL of trainings are the means of.

    Args:
        scores: Log-probabilities (examples, classes) of each training.
        labels: int64 (examples,).

    Returns:
        float64 (2, trainings, examples): 1 where an example is right, else 0; the NLL of its label, in nats.
    """
    right = [metrics.correct(one, labels) for one in scores]
    losses = [-metrics.label_log_probs(one, labels) for one in scores]
    return np.array([right, losses], dtype=np.float64)
