"""Stage `evaluate`: everything that is measured on the test split, whose examples no other stage reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact, Json, Work
from specialists.dustbin import corrected
from specialists.ensemble import Ensemble, Prediction
from specialists.subsets import coverage
from stages import changes, network, speed, teachers
from stages.learning import metrics, training
from stages.learning.models import as_tensor
from stages.parameters import CombineParameters

Labels = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]


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
        Facts as results.json holds them: `generalist`, `specialists`, `ensemble`, `students`, `differences`,
        `measured_on`; where teachers are calibrated, `ensemble` has their `temperatures`, and as `uncalibrated` what it
        would be without. `changed` counts what the specialists changed of the generalist's answers;
        `variants` are the students in their order.

        Arrays: `labels` int64 (examples,). Log-probabilities, float32 (examples, classes): `generalist`, `ensemble`,
        and `student-` with each variant's name, for a control may be called as a teacher is; of (examples, subset and
        dustbin) `specialist-` with each one's name, corrected and calibrated, for all examples. `active`, bool
        (examples, specialists). `shown` int64 (at most `changes.N_SHOWN`,), examples that show what the specialists
        changed, and `shown-images` uint8, for nobody else reads the images of the test split.

    Raises:
        SpecialistsError: The teachers' outputs cannot be combined; names the rows.
    """
    training.use_threads(work.threads)
    labels = np.asarray(test.arrays["labels"])
    images = as_tensor(test.arrays["images"]).to(training.device())
    logits = network.predict(generalist, images, warn=work.warn).cpu()
    outputs = [network.predict(specialist, images, warn=work.warn).cpu() for specialist in specialists]
    subsets = [specialist.facts["subset"] for specialist in specialists]
    temperatures = [calibration.facts["temperature"] for calibration in calibrations]
    asked = _Teachers(logits, outputs, specialists, combine)
    prediction = asked.combined(temperatures)
    alone, together = _log_probs(logits), _log_probs(prediction.probs.log())
    scores = {
        variant: _log_probs(network.predict(student, images, warn=work.warn))
        for variant, student in zip(variants, students, strict=True)
    }
    shown = changes.shown_examples(alone, together, labels)
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
        | (_calibration(asked, temperatures, labels) if temperatures else {})
        | _speed_of_ensemble(teachers.networks(generalist, specialists, combine, temperatures), images),
        "students": {
            variant: _measured(scores[variant], labels)
            | {"agreement": metrics.agreement(scores[variant], together)}
            | _size(student, images)
            for variant, student in zip(variants, students, strict=True)
        },
        "differences": _differences(scores, labels, variants, work.seed),
        "variants": list(variants),
        "changed": changes.counts(alone, together, labels),
        "measured_on": speed.measured_on(),
    }
    arrays = {
        "labels": labels,
        "generalist": alone,
        "ensemble": together,
        "active": prediction.active.numpy(force=True),
        "shown": shown,
        "shown-images": np.asarray(test.arrays["images"])[shown],
        **{f"student-{variant}": log_probs for variant, log_probs in scores.items()},
        **{f"specialist-{name}": log_probs for name, log_probs in asked.of_specialists(temperatures).items()},
    }
    return Artifact(arrays, facts)


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
        return self._ensemble(temperatures)(self._all)

    def of_specialists(self, temperatures: Sequence[float]) -> dict[str, NDArray[np.float32]]:
        """Return by its name the log-probabilities of every specialist."""
        members = self._ensemble(temperatures).specialists
        return {
            net.facts["name"]: _log_probs(member.probs(self._all).log())
            for net, member in zip(self.specialists, members, strict=True)
        }

    @property
    def _all(self) -> Tensor:
        return torch.arange(len(self.logits))

    def _ensemble(self, temperatures: Sequence[float]) -> Ensemble:
        outputs = [output.__getitem__ for output in self.outputs]
        return teachers.ensemble(self.logits.__getitem__, outputs, self.specialists, self.wanted, temperatures)


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
    """Return parameters, bytes of the weights, and how fast the network is."""
    return {
        "parameters": model.facts["parameters"],
        "bytes": sum(array.nbytes for array in model.arrays.values()),
        **speed.measured(network.predictor(model, images.device), images),
    }


def _speed_of_ensemble(ensemble: Ensemble, images: Tensor) -> dict[str, float]:
    return speed.measured(lambda batch: ensemble(batch).probs, images)


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
    """Return by how much the distilled student's accuracy and NLL differ from each control's."""
    distilled, *controls = variants
    found: dict[str, dict[str, Json]] = {}
    for control in controls:
        right = metrics.correct(scores[distilled], labels), metrics.correct(scores[control], labels)
        losses = [-metrics.label_log_probs(scores[name], labels).astype(np.float64) for name in (distilled, control)]
        found[control] = {
            **metrics.paired_bootstrap(*right, seed=seed)._asdict(),
            "nll": metrics.bootstrap_mean(losses[0] - losses[1], seed=seed)._asdict(),
            "method": "paired bootstrap over test examples, 10000 resamples",
        }
    return found
