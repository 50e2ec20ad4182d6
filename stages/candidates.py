"""Which students a run trains: each variant with every seed, at every setting that a sweep tries. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pipeline.stage import Facts
from stages.parameters import SWEPT, CombineParameters, Parameters, StudentParameters

DISTILLED = "distilled"
SWEEP = "sweep"
REFIT = "refit"

_MEANINGFUL = {DISTILLED: SWEPT, "generalist": ("temperature", "alpha", "learning_rate"), "hard": ("learning_rate",)}
"""Settings that make a difference to a variant: each tries all of its own."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A student of a run.

    Attributes:
        variant: `distilled`, or the control that it is.
        settings: What the sweep sets, by name; empty where there is none.
        seed: Of its weights and order.
        name: What sets its task apart.
    """

    variant: str
    settings: Settings
    seed: int
    name: str

    @property
    def task(self) -> str:
        """The id of the task that trains it."""
        return f"student[{self.name}]"


def variants(parameters: Parameters) -> tuple[str, ...]:
    """Return the distilled student and the controls that are asked for."""
    return (DISTILLED, *parameters.controls)


def evaluated(parameters: Parameters) -> tuple[str, ...]:
    """Return all of that, and last the refit, if it is asked for."""
    return (*variants(parameters), *((REFIT,) if parameters.refit else ()))


def candidates(parameters: Parameters) -> list[Candidate]:
    """Return all students of a run: those of a variant follow each other, and so do the seeds of a setting."""
    return [
        Candidate(variant, settings, seed, _name(parameters, variant, settings, seed))
        for variant in variants(parameters)
        for settings in _grid(parameters, variant)
        for seed in parameters.seeds
    ]


def chosen(parameters: Parameters, known: Mapping[str, Facts]) -> list[Candidate]:
    """Return the students that are evaluated, all seeds of each variant: at the settings that the sweep chose."""
    settings = known[SWEEP]["chosen"] if parameters.sweep else {}
    return [
        candidate
        for candidate in candidates(parameters)
        if candidate.settings == settings.get(candidate.variant, candidate.settings)
    ]


def refitted(parameters: Parameters) -> list[str]:
    """Return the tasks that train the students of the refit, one for each seed; none without one."""
    names = (_name(parameters, DISTILLED, {}, seed) for seed in parameters.seeds)
    return [f"refit-student[{name}]" for name in names] if parameters.refit else []


def student_of(parameters: Parameters, candidate: Candidate) -> StudentParameters:
    """Return how a student is trained. Soft targets that weigh nothing have no temperature to speak of."""
    update = {name: value for name, value in candidate.settings.items() if name != "active_classes"}
    if candidate.variant == "hard":
        update |= {"alpha": 0.0, "temperature": 1.0}
    return parameters.student.model_copy(update=update)


def combination_of(parameters: Parameters, settings: Settings) -> CombineParameters:
    """Return how the teachers of a distilled student are combined."""
    active = settings.get("active_classes", parameters.combine.active_classes)
    return parameters.combine.model_copy(update={"active_classes": active})


def active_classes(parameters: Parameters) -> Sequence[int]:
    """Return every number of active classes that a combination is made for, ascending."""
    return sorted((parameters.sweep and parameters.sweep.active_classes) or [parameters.combine.active_classes])


def temperatures(parameters: Parameters) -> list[float]:
    """Return every temperature at which soft targets are read, ascending."""
    return sorted((parameters.sweep and parameters.sweep.temperature) or [parameters.student.temperature])


def _grid(parameters: Parameters, variant: str) -> list[dict[str, Any]]:
    axes = parameters.sweep.axes if parameters.sweep else {}
    own = {name: values for name, values in axes.items() if name in _MEANINGFUL[variant]}
    return [dict(zip(own, values, strict=True)) for values in product(*own.values())]


def _name(parameters: Parameters, variant: str, settings: Settings, seed: int) -> str:
    """Return a task's identity, of the parts in which the students of the run differ."""
    parts = [variant]
    if settings:
        parts.append(",".join(f"{name}={_told(value)}" for name, value in settings.items()))
    if len(parameters.seeds) > 1:
        parts.append(str(seed))
    return "/".join(parts)


def _told(value: float) -> str:
    """Return a value in six digits where these are all of it, else in as many as tell it from every other."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
