"""Why a run has tasks that the last one did not have, in the words of a config: by which settings there are others.

A setting is a cause where, had it alone stayed as it was in the last run, there would be no such task, or it would read
more or fewer others: that is found by listing the tasks so. It can be told as far as what decides is known: which
subsets would have been found by other settings is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.cli.schema import Config
from pipeline.config_source import read
from pipeline.config_words import cut_apart, shown
from pipeline.errors import Location, MisfitError, dotted
from pipeline.graph import Graph
from pipeline.planner import Differing, Listing
from pipeline.runs import CONFIG, RESULTS, newest_first
from pipeline.stage import Facts, Task, imported
from stages import STAGES, assumptions, manual
from stages.candidates import SWEEP
from stages.parameters import Parameters, resolved
from stages.tasks import refit

SUBSETS = ("count", "size", "method", "given", "subsets")
"""The settings of the specialists that decide their subsets."""

CHOSEN = ("classes", "omit", "fraction")
"""The settings of the transfer set that decide its examples."""

_LISTS = {stage.name: stage.tasks for stage in STAGES}
"""By stage, what lists its tasks."""


@dataclass(frozen=True)
class Setting:
    """A setting that is another than in the last run.

    Attributes:
        path: Its place in the config.
        before: What it was, as a config holds it.
        line: The setting with both values.
    """

    path: Location
    before: Any
    line: str


def since_last_run(config: Config, graph: Graph) -> Listing:
    """Return what tells by which settings there are other tasks than in the last run of its name that ended well.

    Args:
        config: That of the run.
        graph: Its tasks, and what decides them as far as that is known.
    """

    @cache
    def found() -> Compared | None:
        folders = newest_first(Path(config.runs), config.name)
        last = next((folder for folder in folders if (folder.path / RESULTS).is_file()), None)
        before = read(last.path / CONFIG, []).values if last else None  # to read YAML takes long: one, where it tells
        return compared(resolved(config), before, graph.deciding_facts()) if before else None

    def told(task: Task, argument: str = "", n_before: int = 0) -> Differing:
        both = found()
        return both.differing(task, argument, n_before) if both else Differing()

    return told


def compared(now: Parameters, values: Mapping[str, Any], known: Mapping[str, Facts]) -> "Compared | None":
    """Return by what a run differs from the last one; None where that had keys that there are not any more.

    Args:
        now: Its parameters.
        values: The last one's, as its config was written.
        known: Facts by task id, as far as they are known, of all that decides which tasks there are.
    """
    try:
        before = type(now).model_validate(values)
    except ValidationError:
        return None
    found = differences(values, now.model_dump(mode="json", by_alias=True))
    settings = [Setting(path, _at(before, path), _line(path, *both)) for path, *both in found]
    return Compared(now, settings, {**assumptions.OPEN_SUBSETS[0], **known})


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[Location, Any, Any]]:
    """Yield the paths at which two configs have different values, with both; a key that one lacks is no difference.

    A section that only one of both has is one value.
    """
    for key in now:
        if key not in before or before[key] == now[key]:
            continue
        if isinstance(before[key], Mapping) and isinstance(now[key], Mapping):
            yield from (((key, *path), *both) for path, *both in differences(before[key], now[key]))
        else:
            yield (key,), before[key], now[key]


class Compared:
    """A run and the settings by which it differs from the last one.

    Args:
        now: Its parameters.
        settings: What differs.
        known: Facts by task id, as the stages list their tasks by them.
    """

    def __init__(self, now: Parameters, settings: Sequence[Setting], known: Mapping[str, Facts]) -> None:
        self._now = now
        self._settings = settings
        self._known = known
        self._tasks: dict[tuple[str, tuple[Location, ...]], list[dict[str, Task]]] = {}

    def differing(self, task: Task, argument: str, n_before: int) -> Differing:
        """Return by which settings there is a task, or by which it reads more or fewer others. As `Listing`."""
        same_as = "" if argument else self._former_name(task)
        n_now = _n_read(task, argument) if argument else 1
        whole = self._number(task, argument, self._settings)
        if whole not in {None, n_before}:  # not what is to be explained: an older run's, or of other data
            return Differing(same_as=same_as)
        numbers = {setting.line: self._number(task, argument, [setting]) for setting in self._settings}
        causes = tuple(line for line, n in numbers.items() if n not in {None, n_now})
        others = tuple(line for line, n in numbers.items() if n is None)
        if whole is None and argument:
            causes, others = (), (*causes, *others)
        return Differing(causes, others, same_as)

    def _number(self, task: Task, argument: str, settings: Sequence[Setting]) -> int | None:
        """Return how many tasks a task would read as an argument, had some settings stayed as they were.

        Of no argument it is whether there would be such a task, if need be by another name; None where that is unknown.
        """
        found = set[int]()
        for tasks in self._without(task.stage, settings):
            same = tasks.get(task.id) or _same(task, tasks)
            found.add(int(same is not None) if not argument else _n_read(same, argument) if same else 0)
        return found.pop() if len(found) == 1 else None

    def _former_name(self, task: Task) -> str:
        """Return the id that the same task would have, had one setting stayed as it was; its own is left out."""
        for setting in self._settings:
            for tasks in self._without(task.stage, [setting]):
                same = _same(task, tasks)
                if same is not None and same.id != task.id:
                    return same.id
        return ""

    def _without(self, stage: str, settings: Sequence[Setting]) -> list[dict[str, Task]]:
        """Return the tasks of a stage by id, had some settings stayed as they were, in each way they may turn out.

        Returns nothing where it cannot be told.
        """
        key = stage, tuple(setting.path for setting in settings)
        if key not in self._tasks:
            parameters = self._now
            for setting in settings:
                parameters = with_value(parameters, setting.path, setting.before)
            self._tasks[key] = self._listed(stage, parameters)
        return self._tasks[key]

    def _listed(self, stage: str, parameters: Parameters) -> list[dict[str, Task]]:
        is_chosen_otherwise = parameters.sweep not in {None, self._now.sweep}
        if stage.startswith(refit.PREFIX) and parameters.refit and is_chosen_otherwise:
            return []
        try:
            ways = [self._facts(parameters) | subsets for subsets in self._subsets(parameters)]
            listed = [imported(_LISTS[stage])(parameters, facts) for facts in ways]
        except (KeyError, MisfitError):  # facts are of this run: it lacks some, or they do not fit what was before
            return []
        return [{task.id: task for task in tasks} for tasks in listed]

    def _facts(self, parameters: Parameters) -> dict[str, Facts]:
        """Return what is known, without what holds for the parameters of this run alone."""
        known = dict(self._known)
        if any(getattr(parameters.data.transfer, name) != getattr(self._now.data.transfer, name) for name in CHOSEN):
            known.pop("transfer", None)
        if parameters.sweep is not None:  # whichever settings are chosen, they are as many students
            chosen = assumptions.choice(parameters)[SWEEP]["chosen"]
            made = self._known.get(SWEEP, {"chosen": {}})["chosen"] if parameters.sweep == self._now.sweep else {}
            known[SWEEP] = {"chosen": chosen | made}
        unknown = {name: {"digest": "", "store": "", "record": ""} for name in parameters.targets.imported}
        return known | {"imported": {**unknown, **self._known["imported"]}}

    def _subsets(self, parameters: Parameters) -> list[dict[str, Facts]]:
        """Return the ways in which the subsets may have turned out by some parameters."""
        wanted, now = parameters.specialists, self._now.specialists
        known = {"subsets": self._known["subsets"]}
        if all(getattr(wanted, name) == getattr(now, name) for name in SUBSETS) or (
            now.listed and wanted.listed == now.listed
        ):
            return [known]
        if now.listed and wanted.method == "manual":
            names = self._known["data[train]"]["class_names"]
            lists = list(wanted.listed.values())
            if any(manual.faults_of(lists, len(names), names)):
                return []
            return [{"subsets": {"subsets": [{"classes": subset} for subset in manual.resolve(lists, names)]}}]
        return [dict(assumptions.OPEN_SUBSETS[0]), known]


def _same(task: Task, tasks: Mapping[str, Task]) -> Task | None:
    """Return the task that draws, reads and does the same as another, whatever it is called."""
    if task.seed_identity is None:  # what it draws is by its name
        return None
    return next((other for other in tasks.values() if _unnamed(other) == _unnamed(task)), None)


def _unnamed(task: Task) -> Task:
    return replace(task, identity="", title="", settings={})


def _n_read(task: Task, argument: str) -> int:
    """Return how many tasks a task reads as an argument."""
    ids = task.inputs.get(argument, ())
    return 1 if isinstance(ids, str) else len(ids)


def with_value(model: Any, path: Location, value: Any) -> Any:
    """Return a config, or a section or mapping of it, with another value at a path: whether that fits is not checked.

    Args:
        model: The config.
        path: In the words of a config.
        value: As a config holds it.
    """
    if not path:
        return value
    inner = with_value(_at(model, path[:1]), path[1:], value)
    if isinstance(model, BaseModel):
        return model.model_copy(update={_field(model, path[0]): inner})
    return {**model, path[0]: inner}


def _at(model: Any, path: Location) -> Any:
    """Return what a config holds at a path."""
    for key in path:
        model = getattr(model, _field(model, key)) if isinstance(model, BaseModel) else model[key]
    return model


def _field(model: BaseModel, key: int | str) -> str:
    """Return the name of a field that a config calls by a key."""
    return next(name for name, field in type(model).model_fields.items() if key == (field.alias or name))


def _line(path: Location, before: Any, now: Any) -> str:
    return f"{dotted(path)} {' -> '.join(cut_apart(*map(_said, (before, now))))}"


def _said(value: Any) -> str:
    """Return a value as text, of a section without what it leaves open."""
    return shown({key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value)
