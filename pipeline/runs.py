"""Run folders: one for each run, made exclusively, named by the run and the time to the millisecond."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.counted import first_of
from pipeline.errors import ConfigError, StoreError, did_you_mean
from pipeline.events import RunState, read_events
from pipeline.stage import Json, Making
from pipeline.store.processes import is_abandoned
from pipeline.store.records import config_name

CONFIG = "config.yaml"
PLAN = "plan.json"
EVENTS = "events.jsonl"
RESULTS = "results.json"
LOGS = "logs"
OTHER_RUNS = "set `runs` to another folder"
"""What to do where a run cannot be kept."""
_BEGUN = ("task_progress", "task_finished", "task_failed", "task_dropped", "task_written")
"""Events that tell of a task which this run has done, or begun."""
_SHOWN = 5
"""How many of the names of runs a message lists."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(cls, base: Path, name: str) -> "RunFolder":
        """Make the folder of a new run.

        Raises:
            StoreError: The folder cannot be made; says where, and why.
        """
        try:
            base.mkdir(parents=True, exist_ok=True)
            return cls(_make_stamped(base, name))
        except OSError as error:
            rule = "must be a folder that can be written to"
            raise StoreError(f"{rule}; got {error.strerror} at {base}: {OTHER_RUNS}") from error

    def write(self, name: str, content: str | bytes, *, otherwise: str = OTHER_RUNS) -> None:
        """Write a file whole or not at all: no reader sees a part of it.

        Args:
            name: Of the file.
            content: Of the file.
            otherwise: What to do where it cannot be written.

        Raises:
            StoreError: It cannot be written; says where, and why.
        """
        target = self.path / name
        with _told(target, otherwise):
            write_whole(target, content.encode() if isinstance(content, str) else content)

    def keep_tracebacks(self, event: Mapping[str, Json]) -> None:
        """Keep what belongs to a fault and is not for the terminal, in `logs`; a listener to events.

        Raises:
            StoreError: It cannot be written; says where, and why.
        """
        if event["event"] in {"task_failed", "task_dropped"}:
            with _told(self.path / LOGS):
                (self.path / LOGS).mkdir(exist_ok=True)
            self.write(f"{LOGS}/{log_name(event['task'])}", event["details"])

    def state(self) -> RunState:
        """Return what the run's events add up to; takes no lock, and so may be asked while it runs."""
        state = self._told()
        idle = time.time() - (self.path / EVENTS).stat().st_mtime
        if state.status == "running" and is_abandoned(state.process, idle):
            state = self._told()  # it may have ended since its events were read
            if state.status == "running":
                state.end("interrupted")
        return state

    def keys(self) -> Mapping[str, str]:
        """Return the recipe keys of the tasks that have a result, by task id."""
        return {event["task"]: event["key"] for event in self.endings()}

    def seed(self) -> int | None:
        """Return the run's seed; None where its config does not tell."""
        with suppress(OSError):
            # A resolved config has a line for it. To read YAML would take longer than a plan does otherwise.
            text = (self.path / CONFIG).read_text("utf-8", "replace")
            found = re.search(r"^seed: (\d+)$", text, re.MULTILINE)
            return int(found[1]) if found else None
        return None

    def endings(self) -> Iterator[Mapping[str, Json]]:
        """Yield the events that tell of a result, made or reused, and what it took to make."""
        events = read_events(self.path / EVENTS, but="task_progress")
        return (event for event in events if event["event"] in {"task_reused", "task_finished"})

    def discard_unbegun(self) -> bool:
        """Delete the folder of a run that was refused before any of its tasks began; return whether it was one.

        Otherwise it would be taken for the newest run of its name, and there is nothing to see in it. It is kept where
        its events cannot be read.

        Raises:
            OSError: It was one, but cannot be deleted.
        """
        told = self.path / EVENTS  # which is not there where it could not be made
        try:
            has_begun = told.is_file() and any(event["event"] in _BEGUN for event in read_events(told))
        except StoreError:
            return False
        if not has_begun:
            shutil.rmtree(self.path)
        return not has_begun

    def _told(self) -> RunState:
        state = RunState()
        for event in read_events(self.path / EVENTS):
            state.apply(event)
        return state

    def made(self) -> Mapping[str, Making]:
        """Return of every task that this run did when it was done, and what was prepared for it, by task id."""
        started, made = 0.0, dict[str, Making]()
        for event in read_events(self.path / EVENTS):
            if event["event"] == "run_started":
                started = event["time"]
            elif event["event"] == "task_finished":
                made[event["task"]] = Making(event["time"] - started, event.get("prepared", {}))
        return made


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all: no reader sees a part of it.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    finally:
        with suppress(OSError):  # what kept it from being written is what is told
            unfinished.unlink()


def log_name(task_id: str) -> str:
    """Return the file name of a task's log, such as `specialist-3-5-8.log`: one that no shell takes apart."""
    return f"{re.sub(r'[^A-Za-z0-9._]+', '-', task_id).strip('-')}.log"


def newest_first(base: Path, name: str = "") -> Iterator[RunFolder]:
    """Yield the folders of the runs of a name, or of all runs."""
    folders = [path for path in base.glob("*") if (path / EVENTS).is_file() and config_name(path.name).startswith(name)]
    stamped = sorted(folders, key=lambda path: path.name[len(config_name(path.name)) :], reverse=True)
    yield from (RunFolder(path) for path in stamped if name in {"", config_name(path.name)})


def find(
    base: Path, run: str | None, *, having: str = EVENTS, lacking: str = EVENTS, option: str = "--runs"
) -> RunFolder:
    """Return the folder of the run that a user names by its path, folder or name; of the newest if by nothing.

    Args:
        base: The folder that holds the runs.
        run: What the user names.
        having: A file of its folder: of several runs the newest is meant that has it, if any has.
        lacking: What an error says that a folder is without which is none of a run.
        option: What names another `base`, to whoever asks.

    Raises:
        ConfigError: There is no such run.
    """
    if run and (Path(run) / EVENTS).is_file():
        return RunFolder(Path(run))
    folders = list(newest_first(base))
    meant = [folder for folder in folders if run in {None, folder.path.name, config_name(folder.path.name)}]
    if meant:
        return next((folder for folder in meant if (folder.path / having).is_file()), meant[0])
    if run is None:
        raise ConfigError(f"{base}: must hold a run; got none: start one with `python -m pipeline run CONFIG`")
    if not folders:
        got = f"'{run}', and no run there: name another folder of runs ({option})"
        raise ConfigError(f"the run must be one of those in {base}; got {got}")
    raise ConfigError(_no_such_run(base, run, [folder.path.name for folder in folders], lacking))


def _no_such_run(base: Path, run: str, folders: Sequence[str], lacking: str) -> str:
    """Return what is wrong with the name of a run, and which there are."""
    got = f"'{run}', a folder without {lacking}" if run and Path(run).is_dir() else f"'{run}'"
    named = list(dict.fromkeys(map(config_name, folders)))
    hint = did_you_mean(run, [*named, *folders]) if got == f"'{run}'" else ""
    return f"the run must be one of those in {base} ({first_of(named, _SHOWN)}), or a folder of one; got {got}{hint}"


@contextmanager
def _told(path: Path, otherwise: str = OTHER_RUNS) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: must be writable; got {error.strerror}: {otherwise}") from error


def _make_stamped(base: Path, name: str) -> Path:
    while True:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
        path = base / f"{name}-{stamp}"
        try:
            path.mkdir()
        except FileExistsError:
            time.sleep(0.001)  # another run took this millisecond
        else:
            return path
