"""Stage `evaluate`: everything that is measured on the test split, whose examples no other stage reads."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json, Work
from specialists.dustbin import corrected
from specialists.ensemble import Ensemble
from specialists.subsets import coverage
from stages import changes, comparison, contents, network, speed
from stages.asked import Models, Said, Teachers, as_log_probs
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
        `contents.N_SHOWN`,), examples that show what the specialists changed, and `shown-images` uint8, for nobody else
        reads the images of the test split.

    Raises:
        SpecialistsError: The teachers' outputs cannot be combined; names the rows.
        StageError: A model gives no probability at all to the class that an example has.
    """
    training.use_threads(work.threads)
    labels, n = np.asarray(test.arrays["labels"]), len(seeds)
    images = Pixels.of(test, budget=memory_budget * GIB).show(np.arange(len(labels)))
    of_variants = {variant: students[i * n : (i + 1) * n] for i, variant in enumerate(variants)}
    temperatures = [calibration.facts["temperature"] for calibration in calibrations]
    models = Models(generalist, specialists, of_variants, seeds, combine, temperatures)
    said = models.asked(images, labels, work.warn)
    refuse_impossible(said.by_model(seeds), labels)
    facts = _facts_of_models(models, said, images, test.facts["class_names"], seed=work.seed) | {
        "differences": comparison.differences(said.students, labels, seed=work.seed),
        "per_class": comparison.per_class(said.generalist, said.ensemble, said.students, labels),
        "variants": list(variants),
        "seeds": list(seeds),
        "changed": changes.counts(said.generalist, said.ensemble, labels),
        "measured_on": speed.measured_on(),
    }
    shown = changes.shown_examples(said.generalist, said.ensemble, labels)
    arrays = contents.evaluation(
        labels=labels,
        generalist=said.generalist,
        ensemble=said.ensemble,
        students=_by_student(said.students, seeds),
        specialists=said.teachers.of_specialists(temperatures),
        active=said.active.numpy(force=True),
        shown=shown,
        shown_images=np.asarray(test.arrays["images"])[shown],
    )
    return Artifact(arrays, facts)


def refuse_impossible(scores: Mapping[str, Scores], labels: Labels) -> None:
    """Refuse a model with an infinite NLL: no table or interval can hold it.

    Args:
        scores: By model, log-probabilities (examples, classes).
        labels: int64 (examples,).

    Raises:
        StageError: A model gives no probability at all to the class that an example has.
    """
    for model, log_probs in scores.items():
        impossible = np.isneginf(metrics.label_log_probs(log_probs, labels)).sum()
        if impossible:
            got = f"got 0 for {impossible:,} of {len(labels):,} test examples"
            raise StageError(
                f"{model}: the class that an example has must have a probability above 0; {got}: training has diverged"
                " where a network is as sure of what is wrong; a smaller learning rate may help, or combine.calibrate"
            )


def _by_student(scores: Mapping[str, Sequence[Scores]], seeds: Sequence[int]) -> dict[str, Scores]:
    """Return the log-probabilities of all students, as `contents.evaluation` names them."""
    return {
        variant + (f"/{seed}" if seed != seeds[0] else ""): log_probs
        for variant, of_seeds in scores.items()
        for seed, log_probs in zip(seeds, of_seeds, strict=True)
    }


def _facts_of_models(models: Models, said: Said, images: Images, names: Sequence[str], *, seed: int) -> dict[str, Json]:
    """Return what each model comes to, and what it costs."""
    labels = said.labels
    return {
        "generalist": comparison.measured(said.generalist, labels) | _size(models.generalist, images),
        "specialists": [
            _specialist_facts(specialist, output, said.generalist, labels, names)
            for specialist, output in zip(models.specialists, said.teachers.outputs, strict=True)
        ],
        "ensemble": _ensemble_facts(said, models.temperatures, seed=seed)
        | _speed_of_ensemble(models.ensemble(), images),
        "students": {
            variant: comparison.over_seeds(said.students[variant], said.ensemble, labels, models.seeds)
            | _size(trained[0], images)
            for variant, trained in models.students.items()
        },
    }


def _ensemble_facts(said: Said, temperatures: Sequence[float], *, seed: int) -> dict[str, Json]:
    """Return what the ensemble comes to, and what of that is the specialists' doing."""
    subsets = [specialist.facts["subset"] for specialist in said.teachers.specialists]
    cover = coverage(subsets, said.ensemble.shape[1])
    return (
        comparison.measured(said.ensemble, said.labels)
        | {
            "mean_active": float(said.active.sum(dim=1, dtype=torch.float64).mean()),
            "by_cover": _by_cover(said.generalist, said.ensemble, said.labels, cover),
            "lead": comparison.difference([said.ensemble], [said.generalist], said.labels, seed=seed),
        }
        | (_calibration(said.teachers, temperatures, said.labels) if temperatures else {})
    )


def _calibration(asked: Teachers, temperatures: Sequence[float], labels: Labels) -> dict[str, Json]:
    """Return the temperatures by teacher, and what the ensemble would be without them."""
    names = ["generalist", *(specialist.facts["name"] for specialist in asked.specialists)]
    without = as_log_probs(asked.combined([]).probs.log())
    return {
        "temperatures": dict(zip(names, temperatures, strict=True)),
        "uncalibrated": {"nll": metrics.nll(without, labels), "ece": metrics.ece(without, labels)},
    }


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
