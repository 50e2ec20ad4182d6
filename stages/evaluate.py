"""Stage `evaluate`: everything that is measured on the test split, whose examples no other stage reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json, Work
from specialists.dustbin import corrected
from specialists.ensemble import Ensemble, Prediction
from specialists.subsets import coverage
from stages import changes, comparison, network, speed, teachers
from stages.learning import metrics, training
from stages.learning.metrics import Labels, Scores
from stages.learning.prediction import Images
from stages.parameters import GIB, MEMORY_BUDGET, CombineParameters
from stages.shown import Pixels


def evaluate(
    *,
    test: Artifact,
    generalist: Artifact,
    specialists: Sequence[Artifact],
    students: Sequence[Artifact],
    variants: Sequence[str],
    seeds: Sequence[int],
    combine: CombineParameters,
    work: Work,
    calibrations: Sequence[Artifact] = (),
    memory_budget: float = MEMORY_BUDGET,
) -> Artifact:
    """Measure teachers, ensemble and students.

    Args:
        test: The test half of the data set.
        generalist: The trained generalist.
        specialists: The trained specialists.
        students: The trained students, all seeds of the distilled one first, then those of each control.
        variants: The names of the variants, in their order.
        seeds: The seeds, in their order.
        combine: How the ensemble is combined.
        work: Its seed draws the bootstrap; its threads.
        calibrations: The teachers' temperatures, the generalist's first; none where they are not calibrated.
        memory_budget: What the images may take on the device, in GiB.

    Returns:
        Facts as results.json holds them: `generalist`, `specialists`, `ensemble`, `students`, `differences`,
        `per_class`, `measured_on`; where teachers are calibrated, `ensemble` has their `temperatures`, and as
        `uncalibrated` what it would be without. `changed` counts what the specialists changed of the generalist's
        answers; `variants` are the students in their order, `seeds` what each was trained with.

        Arrays: `labels` int64 (examples,). Log-probabilities, float32 (examples, classes): `generalist`, `ensemble`,
        and `student-` with each variant's name, for a control may be called as a teacher is: of the first seed; those
        of the others have `/` and the seed after it. Of (examples, subset and dustbin) `specialist-` with each one's
        name, corrected and calibrated, for all examples. `active`, bool (examples, specialists). `shown` int64 (at most
        `changes.N_SHOWN`,), examples that show what the specialists changed, and `shown-images` uint8, for nobody else
        reads the images of the test split.

    Raises:
        SpecialistsError: The teachers' outputs cannot be combined; names the rows.
        StageError: A model gives no probability at all to the class that an example has.
    """
    training.use_threads(work.threads)
    labels = np.asarray(test.arrays["labels"])
    images = Pixels.of(test, budget=memory_budget * GIB).show(np.arange(len(labels)))
    temperatures = [calibration.facts["temperature"] for calibration in calibrations]
    logits = network.predict(generalist, images, warn=work.warn).cpu()
    outputs = [network.predict(specialist, images, warn=work.warn).cpu() for specialist in specialists]
    asked = _Teachers(logits, outputs, specialists, combine)
    prediction = asked.combined(temperatures)
    alone, together = _log_probs(logits), _log_probs(prediction.probs.log())
    n = len(seeds)
    of_variants = {variant: students[i * n : (i + 1) * n] for i, variant in enumerate(variants)}
    scores = {
        variant: [_log_probs(network.predict(student, images, warn=work.warn)) for student in trained]
        for variant, trained in of_variants.items()
    }
    names = test.facts["class_names"]
    students_say = {f"student {variant}": one for variant, of_seeds in scores.items() for one in of_seeds}
    _refuse_impossible({"generalist": alone, "ensemble": together, **students_say}, labels)
    facts: dict[str, Json] = {
        "generalist": comparison.measured(alone, labels) | _size(generalist, images),
        "specialists": [
            _specialist_facts(specialist, output, alone, labels, names)
            for specialist, output in zip(specialists, outputs, strict=True)
        ],
        "ensemble": _ensemble_facts(asked, prediction, temperatures, alone, labels)
        | _speed_of_ensemble(teachers.networks(generalist, specialists, combine, temperatures), images),
        "students": {
            variant: comparison.over_seeds(scores[variant], together, labels, seeds) | _size(trained[0], images)
            for variant, trained in of_variants.items()
        },
        "differences": comparison.differences(scores, labels, seed=work.seed),
        "per_class": comparison.per_class(alone, together, scores, labels),
        "variants": list(variants),
        "seeds": list(seeds),
        "changed": changes.counts(alone, together, labels),
        "measured_on": speed.measured_on(),
    }
    shown = changes.shown_examples(alone, together, labels)
    arrays = {
        "labels": labels,
        "generalist": alone,
        "ensemble": together,
        "active": prediction.active.numpy(force=True),
        "shown": shown,
        "shown-images": np.asarray(test.arrays["images"])[shown],
    }
    specialists_say = {f"specialist-{name}": said for name, said in asked.of_specialists(temperatures).items()}
    return Artifact(arrays | _by_student(scores, seeds) | specialists_say, facts)


def _refuse_impossible(scores: Mapping[str, Scores], labels: Labels) -> None:
    """Refuse a model with an infinite NLL: no table or interval can hold it."""
    for model, log_probs in scores.items():
        impossible = np.isneginf(metrics.label_log_probs(log_probs, labels)).sum()
        if impossible:
            got = f"got 0 for {impossible:,} of {len(labels):,} test examples"
            raise StageError(
                f"{model}: the class that an example has must have a probability above 0; {got}: training has diverged"
                " where a network is as sure of what is wrong; a smaller learning rate may help, or combine.calibrate"
            )


def _by_student(scores: Mapping[str, Sequence[Scores]], seeds: Sequence[int]) -> dict[str, Scores]:
    """Return the log-probabilities of all students by the names of their arrays."""
    return {
        f"student-{variant}" + (f"/{seed}" if seed != seeds[0] else ""): log_probs
        for variant, of_seeds in scores.items()
        for seed, log_probs in zip(seeds, of_seeds, strict=True)
    }


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


def _ensemble_facts(
    asked: _Teachers, prediction: Prediction, temperatures: Sequence[float], generalist: Scores, labels: Labels
) -> dict[str, Json]:
    """Return what the ensemble comes to, and what of that is the specialists' doing."""
    log_probs = _log_probs(prediction.probs.log())
    cover = coverage([specialist.facts["subset"] for specialist in asked.specialists], log_probs.shape[1])
    return (
        comparison.measured(log_probs, labels)
        | {
            "mean_active": float(prediction.active.sum(dim=1, dtype=torch.float64).mean()),
            "by_cover": _by_cover(generalist, log_probs, labels, cover),
        }
        | (_calibration(asked, temperatures, labels) if temperatures else {})
    )


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


def _size(model: Artifact, images: Images) -> dict[str, float]:
    """Return parameters, bytes of the weights, and how fast the network is."""
    return {
        "parameters": model.facts["parameters"],
        "bytes": sum(array.nbytes for array in model.arrays.values()),
        **speed.measured(network.predictor(model, images.device), images),
    }


def _speed_of_ensemble(ensemble: Ensemble, images: Images) -> dict[str, float]:
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
        "state": specialist.facts.get("state", "trained"),
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
