"""The tasks of the refit: students trained once more on all training examples, when everything has been chosen.

What they need is made again of all examples, the holdout among them: teachers, views, soft targets. The tasks are those
of the stages that made it the first time, with the same seeds, under stages of their own that come last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.stage import Facts, Task, stage_of
from stages import candidates
from stages.learning.history import best_epoch
from stages.parameters import Parameters
from stages.tasks import soft_targets, students, teachers
from stages.tasks.data import data as halves
from stages.tasks.data import views as draws
from stages.tasks.shared import Known

PREFIX = "refit-"
_LISTS = {
    "data": halves,
    "views": draws,
    "generalist": teachers.generalist,
    "specialist": teachers.specialist,
    "targets": soft_targets.targets,
    "combined": soft_targets.combined,
    "student": students.student,
}
_TRAININGS = {"generalist": "generalist", "specialist": "specialists", "student": "student"}
"""By stage, the parameter that says how its networks are trained."""


def with_everything(known: Known) -> dict[str, Facts]:
    """Return what is known, as if nothing of the training half were held out."""
    train = known["data[train]"]
    return {**known, "data[train]": {**train, "transfer": train["transfer"] + train["holdout"], "holdout": 0}}


def _again(stage: str, parameters: Parameters, known: Known) -> list[Task]:
    """List the tasks of a stage anew, of all examples and by the settings that were chosen; none without a refit."""
    if not parameters.refit:
        return []
    settled, everything = _settled(parameters, known), with_everything(known)
    tasks = [task for task in _LISTS[stage](settled, everything) if task.id != "data[test]"]
    judged = _judged(parameters, known) if stage == "student" else [task.id for task in tasks]
    return [_moved(task, known.get(first, {})) for task, first in zip(tasks, judged, strict=True)]


data, views, generalist, specialist, targets, combined, student = (partial(_again, stage) for stage in _LISTS)


def _settled(parameters: Parameters, known: Known) -> Parameters:
    """Return the parameters with nothing held out and nothing left to be chosen or compared with."""
    distilled = candidates.chosen(parameters, known)[0]
    return parameters.model_copy(
        update={
            "data": parameters.data.model_copy(update={"holdout": 0.0}),
            "student": candidates.student_of(parameters, distilled),
            "combine": candidates.combination_of(parameters, distilled.settings),
            "controls": (),
            "sweep": None,
        }
    )


def _judged(parameters: Parameters, known: Known) -> list[str]:
    """Return the tasks of the distilled students that were judged on the holdout, at the chosen settings."""
    chosen = candidates.chosen(parameters, known)
    return [candidate.task for candidate in chosen if candidate.variant == candidates.DISTILLED]


def _moved(task: Task, first: Facts) -> Task:
    """Return a task as one of the refit: it draws what its like drew, such as the same initial weights.

    Args:
        task: The task of all examples, under its stage's name.
        first: What is known of the result of its like, which was judged on the holdout.
    """
    name = _TRAININGS.get(task.stage, "")
    trained = {name: _as_long(task.parameters[name], first)} if name in task.parameters else {}
    return replace(
        task,
        stage=PREFIX + task.stage,
        seed_stage=task.stage,
        inputs={argument: _renamed(ids) for argument, ids in task.inputs.items()},
        parameters={**task.parameters, **trained},
    )


def _as_long(training: Any, first: Facts) -> Any:
    """Return a training of as many epochs as were best, where the best one was to be kept: none can be found now.

    A plan that does not know the best one yet counts all of them.
    """
    if training.keep == "last":
        return training
    history: Sequence[Mapping[str, float]] = first.get("history", ())
    return training.model_copy(update={"keep": "last"} | ({"epochs": best_epoch(history)} if history else {}))


def _renamed(ids: str | Sequence[str]) -> str | list[str]:
    if not isinstance(ids, str):
        return [str(_renamed(one)) for one in ids]
    return PREFIX + ids if stage_of(ids) in _LISTS else ids
