"""A finished run as the commands after it see it: its folder, its config, and its results in the store."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import config, runs
from pipeline.cli.schema import Config
from pipeline.cli.store import opened
from pipeline.config_source import read
from pipeline.errors import ConfigError, StoreError
from pipeline.events import RunState, read_events
from pipeline.runs import CONFIG, EVENTS, PLAN, RESULTS, RunFolder
from pipeline.stage import Artifact, Facts, Stage, Task, imported, stage_of
from pipeline.store import Manifest, Store
from pipeline.worker import load_inputs
from stages import STAGES
from stages.rebuilding import with_code

_VERSIONS = {stage.name: stage.version for stage in STAGES}
_ENDED = {"failed": "failed before that", "interrupted": "was interrupted before that"}
"""How a run ended that has not reached its end."""


@dataclass(frozen=True)
class KeptRun:
    """A run whose results are kept.

    Attributes:
        folder: Its folder.
        place: The store's location; None for where the run had it.
    """

    folder: RunFolder
    place: str | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it has been evaluated, after which a run has all its results."""
        return "evaluate" in self.keys

    @property
    def name(self) -> str:
        """The run's own name, that of its folder."""
        return self.folder.path.name

    @cached_property
    def config(self) -> Config:
        """The resolved config.

        Raises:
            ConfigError: It is not there, or of another version of the program.
        """
        return config.load(self.folder.path / CONFIG, Config).model

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The resolved config as plain values, whatever version of the program made it.

        Raises:
            ConfigError: It is not there, or no YAML.
        """
        return dict(read(self.folder.path / CONFIG, []).values or {})

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The recipe keys of its results, by task id."""
        return {event["task"]: event["key"] for event in self._endings}

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        # An early version told none.
        return {event["task"]: event["digest"] for event in self._endings if "digest" in event}

    @cached_property
    def _endings(self) -> Sequence[Mapping[str, Any]]:
        return list(self.folder.endings())

    @cached_property
    def dropped(self) -> Sequence[str]:
        """The tasks that failed, and that it went on without."""
        return [name for name, task in self.folder.state().tasks.items() if task.state == "dropped"]

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """The digests that modules with a function which makes a network had when it was planned, by name.

        There are none where an earlier version of the program planned it.

        Raises:
            StoreError: Its plan is damaged.
        """
        file = self.folder.path / PLAN
        try:
            return dict(json.loads(file.read_bytes()).get("modules", {}))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StoreError(f"{file} must be the JSON that a run writes; got: {error}: do the run again") from error

    @cached_property
    def store(self) -> Store:
        """The store of its results.

        Raises:
            ConfigError: There is no store where the run had it, or none that can be used.
        """
        location = self.place or self._recorded_place()
        try:
            there = Store.is_at(location)
        except StoreError as error:
            raise ConfigError(f"{error}; it was the store of {self.name}: give its place by --store") from error
        if not there:
            raise ConfigError(
                f"{location}: must be the store of {self.name}; got none there; give its place by --store"
            )
        return opened(location)

    def ended_folder(self) -> Path:
        """Return the run's folder with what a run leaves there at its end, the student among it.

        Raises:
            ConfigError: The run has not reached its end.
        """
        if not (self.folder.path / RESULTS).is_file():
            raise self._unreached("end")
        return self.folder.path

    def manifest(self, task_id: str) -> Manifest:
        """Return the manifest of a result.

        Raises:
            ConfigError: The run has no such result.
            StoreError: It is no longer in the store, another lies in its place, or another version of the program made
                it.
        """
        if task_id not in self.keys:
            # Whoever asks for the evaluation asks for what a run has at its end: all commands say so in the same words.
            raise self._unreached("end" if task_id == "evaluate" else task_id)
        manifest = self.store.find(self.keys[task_id])
        if manifest is None:
            where = self.store.location
            raise StoreError(f"{task_id} of {self.name} must be in {where}; got nothing: do the run again")
        made, known = manifest.recipe["version"], _VERSIONS[stage_of(task_id)]
        if made != known:
            rule = f"be of version {known} of its stage, which this program reads"
            raise StoreError(f"{task_id} of {self.name} must {rule}; got version {made}: do the run again")
        if stage_of(task_id) != "evaluate":  # which holds measured times, and so is another whenever it is made
            manifest.check_is(self._digests.get(task_id), f"{task_id} of {self.name}")
        return manifest

    def facts(self, task_id: str) -> Facts:
        """Return the facts of a result."""
        return self.store.facts(self.manifest(task_id))

    def artifact(self, task_id: str) -> Artifact:
        """Return a result; of a network with the digest of the module that makes it, where there is one."""
        return self._known_code(self.store.load(self.manifest(task_id)))

    def task(self, stage: str) -> Task:
        """Return the one task of a stage that has one.

        Raises:
            ConfigError: The run has not reached what decides it.
        """
        found = next(item for item in STAGES if item.name == stage)
        tasks: list[Task] = imported(found.tasks)(self.config, self._known(found))
        return tasks[0]

    def inputs(self, task: Task) -> dict[str, Any]:
        """Return what a task reads, by argument name: artifacts, or lists of them."""
        manifests: dict[str, Manifest | list[Manifest]] = {
            name: self.manifest(ids) if isinstance(ids, str) else [self.manifest(one) for one in ids]
            for name, ids in task.inputs.items()
        }
        return {
            name: [self._known_code(one) for one in found] if isinstance(found, list) else self._known_code(found)
            for name, found in load_inputs(self.store, manifests).items()
        }

    def networks(self, task: Task) -> dict[str, Any]:
        """Return what a task reads, as `inputs`, when it is sure that all networks can be made again.

        Raises:
            StageError: One cannot, such as one of a function whose module has changed; says which.
        """
        from stages.network import check_rebuilt  # noqa: PLC0415  # brings torch

        inputs = self.inputs(task)
        for name, ids in task.inputs.items():
            found = [(ids, inputs[name])] if isinstance(ids, str) else zip(ids, inputs[name], strict=True)
            for task_id, artifact in found:
                if "network" in artifact.facts:
                    check_rebuilt(artifact, f"{task_id} of {self.name}")
        return inputs

    def _known_code(self, artifact: Artifact) -> Artifact:
        return with_code(artifact, self.modules) if "network" in artifact.facts else artifact

    def _known(self, stage: Stage) -> dict[str, Facts]:
        tasks = {name: [task_id for task_id in self.keys if stage_of(task_id) == name] for name in stage.decided_by}
        # A stage may have no task at all; but then the run has got to its evaluation, which follows all of them.
        if not all(tasks.values()) and not self.is_ended:
            raise self._unreached("end")
        known = {task_id: self.facts(task_id) for task_ids in tasks.values() for task_id in task_ids}
        dropped = {"dropped": {"tasks": self.dropped}} if self.dropped else {}
        return {**known, "models": {"modules": self.modules}, **dropped}

    def _unreached(self, name: str) -> ConfigError:
        state = self.folder.state()
        part = part_of(state)
        if lost := lost_files(self.folder, state):
            return ConfigError(f"{self.name} must have what it had at its {name}; got one that is done, but {lost}")
        if state.status == "running":
            got, advice = "one that still goes on", "wait for it, or name another"
        elif part:
            got = f"one that was asked for no more than {part}"
            advice = "run its config without --until or --only, and name that run, or another"
        else:
            got = f"one that {_ENDED.get(state.status, 'has not')}"
            advice = f"{going_on(self.folder, state)}, as a new run: name that, or another"
        return ConfigError(f"{self.name} must have reached its {name}; got {got}: {advice}")

    def _recorded_place(self) -> str:
        place = str(_beginning(self.folder).get("store", ""))
        return place if "://" in place else os.path.normpath(self.folder.path / place)  # as `relpath` took it


def find(base: Path, run: str, place: str | None = None, *, lacking: str = EVENTS, option: str = "--runs") -> KeptRun:
    """Return the run that a user names by its path, folder or name: of a name's the newest that reached its end.

    Args:
        base: The folder that holds the runs.
        run: What the user wrote.
        place: The store's location; None for where the run had it.
        lacking: As `runs.find` takes it; so is `option`.
        option: What names another `base`.

    Raises:
        ConfigError: There is no such run.
    """
    return KeptRun(runs.find(base, run, having=RESULTS, lacking=lacking, option=option), place)


def going_on(folder: RunFolder, state: RunState) -> str:
    """Return which command goes on with a run that has not reached what it was asked for, from the current folder.

    The resolved config asks for the same results as what was written, and its changes by `--set`, did; its relative
    places are those of the folder where the run began.
    """
    part, config, place = part_of(state), (folder.path / CONFIG).resolve(), _began_in(folder)
    if not config.is_file():
        where = "" if place == Path.cwd() else f", given in {place or 'the folder where that was'},"
        return f"the command that began it{where} goes on from there"
    again = f"python -m pipeline run {shlex.quote(str(config))}{f' --until {part}' if part else ''}"
    if place is None:
        return f"the command that began it, or `{again}`, given in the folder where it began, goes on from there"
    if place == Path.cwd():
        return f"the command that began it, or `{again}`, goes on from there"
    there = f"cd {shlex.quote(str(place))} && {again}"
    return f"`{there}`, or the command that began it, given in the same folder, goes on from there"


def _began_in(folder: RunFolder) -> Path | None:
    """Return the folder in which a run was begun; None of a run of an earlier version, which did not tell."""
    place = _beginning(folder).get("began_in")
    return None if place is None else Path(os.path.normpath(folder.path.resolve() / place))


def _beginning(folder: RunFolder) -> Mapping[str, Any]:
    """Return the first event of a run; nothing where it has none."""
    return next(read_events(folder.path / EVENTS), {})


def lost_files(folder: RunFolder, state: RunState) -> str:
    """Return what a run that reached its end has lost of its files since, and what to do; nothing where none is."""
    if state.status != "done" or part_of(state) or (folder.path / RESULTS).is_file():
        return ""
    again = f"python -m pipeline report {shlex.quote(str(folder.path))}"
    return f"its {RESULTS} is no longer there: `{again}` writes its files again"


def part_of(state: RunState) -> str:
    """Return the last stage that a run was asked for by --until or --only; nothing where it was asked for all."""
    asked_for = state.asked_for  # nothing in the events of an early version
    return asked_for[-1] if asked_for and STAGES[-1].name not in asked_for else ""
