"""Stage `evaluate`: everything that is measured on the test split, whose examples no other stage reads."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact, Json, Work
from specialists.dustbin import corrected
from specialists.ensemble import Prediction
from specialists.subsets import coverage
from stages import network, teachers
from stages.learning import metrics, training
from stages.learning.models import as_tensor
from stages.parameters import CombineParameters

Labels = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]

TIMED_IMAGES = 256
"""Images in the batch on which the time an image is measured."""
TIMED_CALLS = 5
"""Calls of which the fastest is reported: the others were disturbed."""


def evaluate(
    *,
    test: Artifact,
    generalist: Artifact,
    specialists: Sequence[Artifact],
    students: Sequence[Artifact],
    variants: Sequence[str],
    combine: CombineParameters,
    work: Work,
    calibrations: Sequence[Artifact] = (),
) -> Artifact:
    """Measure teachers, ensemble and students.

    Args:
        test: The test half of the data set.
        generalist: The trained generalist.
        specialists: The trained specialists.
        students: The trained students, the distilled one first.
        variants: Their names.
        combine: How the ensemble is combined.
        work: Its seed draws the bootstrap; its threads.
        calibrations: The teachers' temperatures, the generalist's first; none where they are not calibrated.

    Returns:
        Facts as results.json holds them (`generalist`, `specialists`, `ensemble`, `students`, `differences`), and
        `confusion`, the generalist's counts by true and predicted class. Where teachers are calibrated, `ensemble` has
        their `temperatures`, and as `uncalibrated` what it would be without. Arrays: `labels` int64 (examples,), and
        log-probabilities, float32 (examples, classes): `generalist`, `ensemble`, and `student-` with each variant's
        name, for a control may be called as a teacher is.

    Raises:
        SpecialistsError: The teachers' outputs cannot be combined; names the rows.
    """
    training.use_threads(work.threads)
    labels = np.asarray(test.arrays["labels"])
    images = as_tensor(test.arrays["images"]).to(training.device())
    logits = network.predict(generalist, images).cpu()
    outputs = [network.predict(specialist, images).cpu() for specialist in specialists]
    subsets = [specialist.facts["subset"] for specialist in specialists]
    temperatures = [calibration.facts["temperature"] for calibration in calibrations]
    asked = _Teachers(logits, outputs, specialists, combine)
    prediction = asked.combined(temperatures)
    alone, together = _log_probs(logits), _log_probs(prediction.probs.log())
    scores = {
        variant: _log_probs(network.predict(student, images))
        for variant, student in zip(variants, students, strict=True)
    }
    facts: dict[str, Json] = {
        "generalist": _measured(alone, labels) | _size(generalist, images),
        "specialists": [
            _specialist_facts(specialist, output, alone, labels, test.facts["class_names"])
            for specialist, output in zip(specialists, outputs, strict=True)
        ],
        "ensemble": _measured(together, labels)
        | {
            "mean_active": float(prediction.active.sum(dim=1, dtype=torch.float64).mean()),
            "by_cover": _by_cover(alone, together, labels, coverage(subsets, logits.shape[1])),
        }
        | (_calibration(asked, temperatures, labels) if temperatures else {}),
        "students": {
            variant: _measured(scores[variant], labels)
            | {"agreement": metrics.agreement(scores[variant], together)}
            | _size(student, images)
            for variant, student in zip(variants, students, strict=True)
        },
        "differences": _differences(scores, labels, variants, work.seed),
        "confusion": _counts(alone, labels).tolist(),
    }
    kept = {f"student-{variant}": log_probs for variant, log_probs in scores.items()}
    return Artifact({"labels": labels, "generalist": alone, "ensemble": together, **kept}, facts)


@dataclass(frozen=True)
class _Teachers:
    """What all teachers say of all test examples: asked once, combined with and without their temperatures.

    Attributes:
        logits: The generalist's, (examples, classes).
        outputs: Of every specialist, its logits, (examples, subset and dustbin).
        specialists: The specialists.
        wanted: How they are combined.
    """

    logits: Tensor
    outputs: Sequence[Tensor]
    specialists: Sequence[Artifact]
    wanted: CombineParameters

    def combined(self, temperatures: Sequence[float]) -> Prediction:
        """Return what the ensemble says, at the teachers' temperatures, the generalist's first; at 1 without any."""
        outputs = [output.__getitem__ for output in self.outputs]
        together = teachers.ensemble(self.logits.__getitem__, outputs, self.specialists, self.wanted, temperatures)
        return together(torch.arange(len(self.logits)))


def _calibration(asked: _Teachers, temperatures: Sequence[float], labels: Labels) -> dict[str, Json]:
    """Return the temperatures by teacher, and what the ensemble would be without them."""
    names = ["generalist", *(specialist.facts["name"] for specialist in asked.specialists)]
    log_probs = _log_probs(asked.combined([]).probs.log())
    return {
        "temperatures": dict(zip(names, temperatures, strict=True)),
        "uncalibrated": {"nll": metrics.nll(log_probs, labels), "ece": metrics.ece(log_probs, labels)},
    }


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
    return {
        "parameters": model.facts["parameters"],
        "bytes": sum(array.nbytes for array in model.arrays.values()),
        "milliseconds_per_image": _milliseconds(model, images[:TIMED_IMAGES]) / min(len(images), TIMED_IMAGES),
    }


def _milliseconds(model: Artifact, batch: Tensor) -> float:
    """Return how long a network takes for a batch; building it does not count."""
    predict = network.predictor(model, batch.device)
    predict(batch)  # the first call allocates, and builds what later ones reuse
    seconds: list[float] = []
    for _ in range(TIMED_CALLS):
        started = time.perf_counter()
        predict(batch).cpu()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds)


def _specialist_facts(
    specialist: Artifact, logits: Tensor, generalist: Scores, labels: Labels, names: Sequence[str]
) -> dict[str, Json]:
    """Return a specialist beside the generalist, from its logits (examples, subset and dustbin).

    A share of examples of which the test split has none is None.
    """
    subset = specialist.facts["subset"]
    output = corrected(logits, specialist.facts["prior_correction"]).numpy()
    inside = np.isin(labels, subset)

    def accuracy(scores: Scores) -> float | None:
        return metrics.conditional_accuracy(scores, labels, subset) if inside.any() else None

    return {
        "classes": subset,
        "names": [names[c] for c in subset],
        "state": "trained",
        "conditional_accuracy": accuracy(output[:, :-1]),
        "generalist_conditional_accuracy": accuracy(generalist[:, subset]),
        "dustbin_recall": None if inside.all() else float((output[~inside].argmax(axis=1) == len(subset)).mean()),
    }


def _by_cover(generalist: Scores, ensemble: Scores, labels: Labels, cover: NDArray[np.int64]) -> list[dict[str, Json]]:
    """Return what the ensemble gained, by how many specialists hold the true class (Hinton et al. 2015, table 4)."""
    right = metrics.correct(generalist, labels), metrics.correct(ensemble, labels)
    rows: list[dict[str, Json]] = []
    for n in np.unique(cover[labels]):
        chosen = cover[labels] == n
        before, after = (int(flags[chosen].sum()) for flags in right)
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
