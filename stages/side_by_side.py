"""Runs side by side: what their models score, and by how much they differ, with the uncertainty of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json
from stages.comparison import lead, lead_in_nll
from stages.learning import metrics
from stages.learning.metrics import Interval, Labels, Scores
from stages.report.words import NO_CONTROLS

BOOTSTRAP_SEED = 0
"""Comparisons draw the same resamples every time."""


@dataclass(frozen=True)
class Scored:
    """What the models of a run say of its test split.

    Attributes:
        name: The run's name.
        seed: Its seed.
        setting: What it shares with the runs that differ from it in the seed alone.
        test: The digest of its test split.
        labels: int64 (examples,).
        log_probs: By model, (examples, classes) of each training by its seed; of the `generalist` and the `ensemble`
            there is one, by 0.
        facts: What was measured of each, means over its seeds.
    """

    name: str
    seed: int
    setting: str
    test: str
    labels: Labels
    log_probs: Mapping[str, Mapping[int, Scores]]
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def scored(name: str, seed: int, setting: str, test: str, evaluation: Artifact) -> Scored:
    """Return what the models of a run say, from what stage `evaluate` returned."""
    arrays, facts = evaluation.arrays, evaluation.facts
    variants, (first, *others) = facts["variants"], facts["seeds"]
    students = {
        student_name(variant): {
            first: arrays[f"student-{variant}"],
            **{seed: arrays[f"student-{variant}/{seed}"] for seed in others},
        }
        for variant in variants
    }
    measured = {student_name(variant): facts["students"][variant] for variant in variants}
    teachers = ("generalist", "ensemble")
    return Scored(
        name,
        seed,
        setting,
        test,
        np.asarray(arrays["labels"]),
        students | {teacher: {0: arrays[teacher]} for teacher in teachers},
        measured | {teacher: facts[teacher] for teacher in teachers},
    )


def student_name(variant: str) -> str:
    """Return what a student is called beside teachers."""
    return NO_CONTROLS.get(variant) or f"control {variant}"


@dataclass(frozen=True)
class Difference:
    """How a model of a run differs from the same of the run that all are compared with.

    Attributes:
        run: The run.
        model: The model.
        accuracy: The run's less the other's, over the same test examples.
        nll: The same of the NLL.
        same: Whether both say exactly the same, as two uses of one network do.
        seeds: The seeds whose trainings are compared, each with its like.
        is_part: Whether the run, or the other, has more of them.
    """

    run: str
    model: str
    accuracy: Interval
    nll: Interval
    same: bool = False
    seeds: Sequence[int] = (0,)
    is_part: bool = False


def differences(runs: Sequence[Scored]) -> list[Difference]:
    """Return how each run differs from the first, model by model: paired over test examples, and by seed.

    Students that have no seed in common are paired in their order.

    Raises:
        StageError: The runs have not the same test split; names those that differ from the first.
    """
    first, *others = runs
    strange = [run.name for run in others if run.test != first.test]
    if strange:
        raise StageError(f"the test split must be that of {first.name}; got another of {', '.join(strange)}")
    return [_difference(run, first, model) for run in others for model in first.log_probs if model in run.log_probs]


def _difference(run: Scored, first: Scored, model: str) -> Difference:
    ours, theirs = run.log_probs[model], first.log_probs[model]
    common = [seed for seed in ours if seed in theirs]
    seeds = list(zip(common, common, strict=True)) or list(zip(ours, theirs, strict=False))
    pairs = [(ours[our], theirs[their]) for our, their in seeds]
    left, right = [one for one, _ in pairs], [other for _, other in pairs]
    return Difference(
        run.name,
        model,
        lead(left, right, run.labels, seed=BOOTSTRAP_SEED),
        lead_in_nll(left, right, run.labels, seed=BOOTSTRAP_SEED),
        all(np.array_equal(*pair) for pair in pairs),
        [our for our, _ in seeds],
        len(seeds) < max(len(ours), len(theirs)),
    )


@dataclass(frozen=True)
class OverSeeds:
    """What several runs say that differ in the seed alone.

    Attributes:
        runs: Their names.
        means: By model, `mean` and `deviation` over the seeds of accuracy and NLL. An interval of a mean over two or
            three seeds would reach beyond what either can be.
        leads: By control, by how much the student's accuracy and NLL are more, paired by seed.
    """

    runs: Sequence[str]
    means: Mapping[str, Mapping[str, Mapping[str, float]]]
    leads: Mapping[str, Mapping[str, Interval]]


def over_seeds(runs: Sequence[Scored]) -> list[OverSeeds]:
    """Return what runs say together that differ in the seed alone, for every two or more of them.

    The intervals of the leads are Student's, over seeds: they hold what another seed would change, which those over
    test examples do not.
    """
    groups: dict[str, dict[int, Scored]] = {}
    for run in runs:
        groups.setdefault(run.setting, {})[run.seed] = run
    return [_over_seeds(list(group.values())) for group in groups.values() if len(group) > 1]


def _over_seeds(runs: Sequence[Scored]) -> OverSeeds:
    values = {
        model: {fact: np.array([run.facts[model][fact] for run in runs]) for fact in ("accuracy", "nll")}
        for model in runs[0].facts
    }
    controls = [model for model in values if model.startswith("control ")]
    return OverSeeds(
        [run.name for run in runs],
        {
            model: {
                fact: {"mean": float(numbers.mean()), "deviation": float(numbers.std(ddof=1))}
                for fact, numbers in facts.items()
            }
            for model, facts in values.items()
        },
        {
            control: {
                fact: metrics.student_interval(values["student"][fact] - values[control][fact])
                for fact in values[control]
            }
            for control in controls
        },
    )
