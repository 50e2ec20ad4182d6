"""Runs side by side: what their models score, and by how much they differ, with the uncertainty of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from pipeline.errors import StageError
from pipeline.stage import Artifact, Json
from stages.comparison import Leads, leads, of_examples
from stages.learning import metrics
from stages.learning.metrics import Interval, Labels, Scores
from stages.report.words import NO_CONTROLS, model_name

FEWEST = 3
"""Seeds from which on an interval over them says something: of two, the deviation is hardly known."""

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
        controls: The models that are controls of the `student`.
    """

    name: str
    seed: int
    setting: str
    test: str
    labels: Labels
    log_probs: Mapping[str, Mapping[int, Scores]]
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    controls: Sequence[str] = ()


def scored(name: str, seed: int, setting: str, test: str, evaluation: Artifact) -> Scored:
    """Return what the models of a run say, from what stage `evaluate` returned."""
    arrays, facts = evaluation.arrays, evaluation.facts
    variants, (first, *others) = facts["variants"], facts["seeds"]
    students = {
        model_name(variant): {
            first: arrays[f"student-{variant}"],
            **{seed: arrays[f"student-{variant}/{seed}"] for seed in others},
        }
        for variant in variants
    }
    measured = {model_name(variant): facts["students"][variant] for variant in variants}
    teachers = ("generalist", "ensemble")
    return Scored(
        name,
        seed,
        setting,
        test,
        np.asarray(arrays["labels"]),
        students | {teacher: {0: arrays[teacher]} for teacher in teachers},
        measured | {teacher: facts[teacher] for teacher in teachers},
        [model_name(variant) for variant in variants if variant not in NO_CONTROLS],
    )


@dataclass(frozen=True)
class Difference:
    """How a model of a run differs from the same of the run that all are compared with.

    Attributes:
        run: The run.
        model: The model.
        accuracy: The run's less the other's, over the same test examples.
        nll: The same of the NLL.
        same: Whether both say exactly the same, as two uses of one network do.
        seeds: The seeds of the run whose trainings are compared.
        against: Those of the other: the same, each paired with its like, unless they have none in common.
        unused: The seeds of the run that are not compared, for the other has none of them.
        unused_against: Those of the other that the run has not.
    """

    run: str
    model: str
    accuracy: Interval
    nll: Interval
    same: bool = False
    seeds: Sequence[int] = (0,)
    against: Sequence[int] = (0,)
    unused: Sequence[int] = ()
    unused_against: Sequence[int] = ()

    @property
    def is_over_seeds(self) -> bool:
        """Whether the intervals hold what another seed would change: there are several on both sides."""
        return min(len(self.seeds), len(self.against)) > 1


def differences(runs: Sequence[Scored]) -> list[Difference]:
    """Return how each run differs from the first, model by model: paired over test examples, and by seed.

    Of students those seeds are compared that both runs have; all of both, unpaired, where there are none.

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
    seeds, against = (common, common) if common else (list(ours), list(theirs))
    scores, others = [ours[seed] for seed in seeds], [theirs[seed] for seed in against]
    values = (of_examples(side, run.labels) for side in (scores, others))
    return Difference(
        run.name,
        model,
        *leads(*values, seed=BOOTSTRAP_SEED, is_paired=bool(common)),
        same=len(scores) == len(others) and all(map(np.array_equal, scores, others)),
        seeds=seeds,
        against=against,
        unused=[seed for seed in ours if seed not in seeds],
        unused_against=[seed for seed in theirs if seed not in against],
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
    leads: Mapping[str, Leads]


def over_seeds(runs: Sequence[Scored]) -> list[OverSeeds]:
    """Return what runs say together that differ in the seed alone, for every two or more of them.

    The intervals of the leads are Student's, over runs and test examples: they hold what another seed would change.
    """
    groups: dict[str, dict[int, Scored]] = {}
    for run in runs:
        groups.setdefault(run.setting, {})[run.seed] = run
    return [_over_seeds(list(group.values())) for group in groups.values() if len(group) > 1]


def _over_seeds(runs: Sequence[Scored]) -> OverSeeds:
    values = {
        model: {fact: [float(run.facts[model][fact]) for run in runs] for fact in ("accuracy", "nll")}
        for model in runs[0].facts
    }
    return OverSeeds(
        [run.name for run in runs],
        {
            model: {
                fact: {"mean": fmean(numbers), "deviation": metrics.deviation(numbers)}
                for fact, numbers in facts.items()
            }
            for model, facts in values.items()
        },
        {control: _leads_over_runs(runs, control) for control in runs[0].controls},
    )


def _leads_over_runs(runs: Sequence[Scored], control: str) -> Leads:
    """Return how far the student is above a control; a run counts as one training, the mean of its own."""
    student, other = (
        np.stack([of_examples(list(run.log_probs[model].values()), run.labels).mean(axis=1) for run in runs], axis=1)
        for model in ("student", control)
    )
    return leads(student, other, seed=BOOTSTRAP_SEED)
