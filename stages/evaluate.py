"""Stage `evaluate`: everything that is measured on the test split, which no other stage reads."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact, Json, Work
from specialists.active import active_set
from specialists.combine import combine_rows
from specialists.subsets import coverage
from stages import network
from stages.learning import metrics, training
from stages.learning.models import as_tensor
from stages.parameters import CombineParameters

Labels = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]

TIMED_IMAGES = 256
"""Images in the batch on which the time an image is measured."""


def evaluate(
    *,
    dataset: Artifact,
    test: Artifact,
    generalist: Artifact,
    specialists: Sequence[Artifact],
    students: Sequence[Artifact],
    variants: Sequence[str],
    combine: CombineParameters,
    work: Work,
) -> Artifact:
    """Measure teachers, ensemble and students.

    Args:
        dataset: The training half of the data set; its facts alone are read.
        test: The test half.
        generalist: The trained generalist.
        specialists: The trained specialists.
        students: The trained students, the distilled one first.
        variants: Their names.
        combine: How the ensemble is combined.
        work: Its seed draws the bootstrap; its threads.

    Returns:
        Facts as results.json holds them (`generalist`, `specialists`, `ensemble`, `students`, `differences`), and
        `confusion`, the generalist's counts by true and predicted class. Arrays: `labels` int64 (examples,), and by
        model its log-probabilities, float32 (examples, classes).
    """
    training.use_threads(work.threads)
    labels = np.asarray(test.arrays["labels"])
    images = as_tensor(test.arrays["images"]).to(training.device())
    logits = network.predict(generalist, images).cpu()
    outputs = [_corrected(network.predict(specialist, images).cpu(), specialist) for specialist in specialists]
    ensemble, active = _combined(logits, outputs, _subsets(specialists), combine)
    scores = {"generalist": _log_probs(logits), "ensemble": _log_probs(ensemble.log())}
    scores |= {
        variant: _log_probs(network.predict(student, images))
        for variant, student in zip(variants, students, strict=True)
    }
    facts: dict[str, Json] = {
        "generalist": _measured(scores["generalist"], labels) | _size(generalist, images),
        "specialists": [
            _specialist_facts(specialist, output.numpy(), scores["generalist"], labels, dataset.facts["class_names"])
            for specialist, output in zip(specialists, outputs, strict=True)
        ],
        "ensemble": _measured(scores["ensemble"], labels)
        | {
            "mean_active": float(active.sum(dim=1, dtype=torch.float64).mean()),
            "by_cover": _by_cover(scores, labels, coverage([s.facts["subset"] for s in specialists], logits.shape[1])),
        },
        "students": {
            variant: _measured(scores[variant], labels)
            | {"agreement": metrics.agreement(scores[variant], scores["ensemble"])}
            | _size(student, images)
            for variant, student in zip(variants, students, strict=True)
        },
        "differences": _differences(scores, labels, variants, work.seed),
        "confusion": _counts(scores["generalist"], labels).tolist(),
    }
    return Artifact({"labels": labels, **scores}, facts)


def _corrected(logits: Tensor, specialist: Artifact) -> Tensor:
    logits[:, -1] += specialist.facts["prior_correction"]
    return logits


def _subsets(specialists: Sequence[Artifact]) -> list[Tensor]:
    return [torch.tensor(specialist.facts["subset"]) for specialist in specialists]


def _combined(
    logits: Tensor, outputs: Sequence[Tensor], subsets: Sequence[Tensor], combine: CombineParameters
) -> tuple[Tensor, Tensor]:
    """Return the ensemble's probabilities, float64 (examples, classes), and who was active on what."""
    active = active_set(logits, subsets, combine.active_classes)
    rows = [torch.nonzero(column).squeeze(1) for column in active.T]
    combination = combine_rows(
        logits.double().softmax(dim=1),
        rows,
        [output[chosen].double().softmax(dim=1) for output, chosen in zip(outputs, rows, strict=True)],
        subsets,
        divergence=combine.divergence,
    )
    return combination.probs, active


def _log_probs(logits: Tensor) -> NDArray[np.float32]:
    return logits.double().log_softmax(dim=1).float().numpy(force=True)


def _measured(log_probs: Scores, labels: Labels) -> dict[str, float]:
    return {
        "accuracy": metrics.accuracy(log_probs, labels),
        "top5": metrics.top_k(log_probs, labels, 5),
        "balanced_accuracy": metrics.balanced_accuracy(log_probs, labels),
        "nll": metrics.nll(log_probs, labels),
        "ece": metrics.ece(log_probs, labels),
    }


def _size(model: Artifact, images: Tensor) -> dict[str, float]:
    """Return parameters, bytes of the weights, and milliseconds for one image in a batch of `TIMED_IMAGES`."""
    batch = images[:TIMED_IMAGES]
    network.predict(model, batch)  # the first call allocates, and builds what later ones reuse
    started = time.perf_counter()
    network.predict(model, batch).cpu()
    seconds = time.perf_counter() - started
    return {
        "parameters": model.facts["parameters"],
        "bytes": sum(array.nbytes for array in model.arrays.values()),
        "milliseconds_per_image": 1000 * seconds / len(batch),
    }


def _specialist_facts(
    specialist: Artifact, output: Scores, generalist: Scores, labels: Labels, names: Sequence[str]
) -> dict[str, Json]:
    """Return a specialist beside the generalist, from corrected logits (examples, subset and dustbin)."""
    subset = specialist.facts["subset"]
    outside = ~np.isin(labels, subset)
    return {
        "classes": subset,
        "names": [names[c] for c in subset],
        "state": "trained",
        "conditional_accuracy": metrics.conditional_accuracy(output[:, :-1], labels, subset),
        "generalist_conditional_accuracy": metrics.conditional_accuracy(generalist[:, subset], labels, subset),
        "dustbin_recall": float((output[outside].argmax(axis=1) == len(subset)).mean()),
    }


def _by_cover(scores: Mapping[str, Scores], labels: Labels, cover: NDArray[np.int64]) -> list[dict[str, Json]]:
    """Return what the ensemble gained, by how many specialists hold the true class (Hinton et al. 2015, table 4)."""
    right = {name: metrics.correct(scores[name], labels) for name in ("generalist", "ensemble")}
    rows: list[dict[str, Json]] = []
    for n in np.unique(cover[labels]):
        chosen = cover[labels] == n
        before, after = int(right["generalist"][chosen].sum()), int(right["ensemble"][chosen].sum())
        gained = {"gained": after - before, "relative": (after - before) / before if before else None}
        rows.append({"specialists": int(n), "examples": int(chosen.sum()), **gained})
    return rows


def _differences(
    scores: Mapping[str, Scores], labels: Labels, variants: Sequence[str], seed: int
) -> dict[str, dict[str, Json]]:
    """Return how much more accurate the distilled student is than each control."""
    distilled, *controls = variants
    found: dict[str, dict[str, Json]] = {}
    for control in controls:
        right = metrics.correct(scores[distilled], labels), metrics.correct(scores[control], labels)
        interval = metrics.paired_bootstrap(*right, seed=seed)
        found[control] = interval._asdict() | {"method": "paired bootstrap over test examples, 10000 resamples"}
    return found


def _counts(log_probs: Scores, labels: Labels) -> NDArray[np.int64]:
    counts = np.zeros((log_probs.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (labels, log_probs.argmax(axis=1)), 1)
    return counts
