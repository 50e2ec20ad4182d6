"""What happened in a run, one JSON object a line; and what a reader of those lines knows at any moment."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

from pipeline.errors import StoreError
from pipeline.stage import Json, stage_of

Listener = Callable[[Mapping[str, Json]], None]


class Events:
    """Tells every listener what happens, with the time it happened at."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        """Tell one more listener from now on, after the others."""
        self._listeners.append(listener)

    def tell(self, event: str, /, **facts: Json) -> None:
        """Tell all listeners of an event."""
        for listener in self._listeners:
            listener({"time": time.time(), "event": event, **facts})


class EventLog:
    """Appends events to a file as they come, so that what a killed run did can be read.

    Raises:
        StoreError: The file cannot be made or written; says where, and why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Without a buffer nothing is left over that closing the file could fail on.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    def __call__(self, event: Mapping[str, Json]) -> None:
        """Append one event. After a failure, which has been raised, nothing more: half a line must be the last."""
        if self._file.closed:
            return
        line = memoryview(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self.close()
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: must be writable; got {error.strerror}: set `runs` to another folder")


def read_events(path: Path, *, but: str = "") -> Iterator[Mapping[str, Json]]:
    """Yield the events of a run; a last line that a killed run left unfinished is no event.

    Args:
        path: The file.
        but: A kind of event that is left out, and not even parsed: most events tell of progress.

    Raises:
        StoreError: The file cannot be read, or a line is none that was written here; says which.
    """
    unwanted = f'"event": "{but}"'  # in a text of an event the quotes would be escaped
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.endswith("\n") and not (but and unwanted in line):
                yield _parsed(line, path, number)


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StoreError(f"{path}: must be readable; got {error.strerror}") from error


def _parsed(line: str, path: Path, number: int) -> Mapping[str, Json]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        rule = "be an event, a JSON object, as the run wrote it"
        raise StoreError(f"{path}:{number}: must {rule}; got {line[:40]!r}: delete the line, or that run's folder")
    return event


class Epoch(NamedTuple):
    """An epoch that a task has reported: when, in seconds since 1970, and its number, from 1."""

    time: float
    epoch: int


@dataclass
class TaskState:
    """What is known of one task.

    Attributes:
        state: `waiting`, `awaited` from another run, `running`, `done`, `reused`, `failed`, `dropped` where the run
            goes on without it, or `stopped` where the run ended meanwhile.
        started: When it began, in seconds since the epoch.
        seconds: How long it took; of a reused result, how long it took then.
        reported: The latest the task told of itself, such as its epoch.
        first_epoch: The first one it reported since it began.
        fault: Why it failed.
        title: What people call it, where the id says little.
        run: The run that it is awaited from.
    """

    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    reported: dict[str, Json] = field(default_factory=dict)
    first_epoch: Epoch | None = None
    fault: str = ""
    title: str = ""
    run: str = ""


@dataclass
class RunState:
    """What the events of a run so far add up to.

    Attributes:
        status: `running`, `done`, `failed` or `interrupted`.
        fault: Why it failed.
        process: Which process the driver is; what `temporary_name` returned to it.
        host: The driver's host.
        started: When the run began, in seconds since the epoch.
        latest: When the latest event happened.
        stages: All stages, in order.
        asked_for: Those that this run is to do.
        undecided: Those of them whose tasks are not known yet.
        tasks: The tasks by id, in the order in which they became known.
        warnings: What went wrong and was mended.
        starting: Since when what computes is being started, in seconds since the epoch; 0 where it is not.
        start_began: Since when it was; 0 before that.
        foreseen: By task id, the seconds that tasks were foreseen to take; of those not decided yet, assumed ids.
        foreseen_seconds: How long all of these were foreseen to take, side by side; None where some are unknown.
        foreseen_start: How long it was foreseen to take before until they are worked on; None where that is unknown.
    """

    status: str = "running"
    fault: str = ""
    process: str = ""
    host: str = ""
    started: float = 0.0
    latest: float = 0.0
    stages: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    starting: float = 0.0
    start_began: float = 0.0
    foreseen: dict[str, float] = field(default_factory=dict)
    foreseen_seconds: float | None = None
    foreseen_start: float | None = None

    def apply(self, event: Mapping[str, Json]) -> None:
        """Take in one event; kinds that are not known change nothing."""
        self.latest = event["time"]
        handler = _HANDLERS.get(event["event"])
        if handler is not None:
            handler(self, event)

    def end(self, status: str, fault: str = "") -> None:
        """Take in that the run is over, and with it what still ran."""
        self.status, self.fault, self.starting = status, fault, 0.0
        for task in self.tasks.values():
            if task.state in {"running", "awaited"}:
                task.state = "stopped"

    def of_stage(self, stage: str) -> dict[str, TaskState]:
        """Return the known tasks of a stage."""
        return {name: task for name, task in self.tasks.items() if stage_of(name) == stage}

    def task(self, name: str) -> TaskState:
        """Return what is known of a task, which becomes known by this."""
        return self.tasks.setdefault(name, TaskState())


def _run_started(run: RunState, event: Mapping[str, Json]) -> None:
    # A run of an earlier version told neither which process it was, but for its number, nor the stages.
    run.started, run.process, run.host = event["time"], str(event["process"]), event["host"]
    run.stages, run.undecided = event.get("stages", []), event.get("undecided", [])
    run.asked_for = run.undecided


def _tasks_known(run: RunState, event: Mapping[str, Json]) -> None:
    titles, run.undecided = event.get("titles", {}), event.get("undecided", [])
    # What is not named any more was to be made from a result that was lost, and came out otherwise.
    dropped = {name: task for name, task in run.tasks.items() if task.state == "dropped"}
    run.tasks = dropped | {
        name: run.tasks.get(name) or TaskState(title=titles.get(name, "")) for name in event["tasks"]
    }


def _foreseen(run: RunState, event: Mapping[str, Json]) -> None:
    run.foreseen, run.foreseen_seconds = event["tasks"], event["seconds"]
    run.foreseen_start = event.get("start_seconds")  # runs of earlier versions did not tell


def _executor_starting(run: RunState, event: Mapping[str, Json]) -> None:
    run.starting = run.start_began = event["time"]


def _executor_ready(run: RunState, _: Mapping[str, Json]) -> None:
    run.starting = 0.0


def _task_reused(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    task.state, task.seconds = "reused", event["seconds"]


def _task_progress(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    if task.state == "done":
        return  # a letter that came late
    run.starting = 0.0
    task.state = "running"
    task.started = task.started or event["time"]
    task.reported.update({name: event[name] for name in event if name not in {"time", "event", "task", "state"}})
    if "epoch" in event and (task.first_epoch is None or event["epoch"] < task.first_epoch.epoch):
        task.first_epoch = Epoch(event["time"], event["epoch"])


def _task_finished(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    task.state, task.seconds = "done", event["seconds"]


def _task_written(run: RunState, event: Mapping[str, Json]) -> None:
    run.task(event["task"]).state = "done"


def _task_failed(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    task.state, task.fault = "failed", event["fault"]


def _task_dropped(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    task.state = "dropped"
    run.warnings.append(f"{event['task']} failed, and the run goes on without it: {event['fault']}")


def _task_awaited(run: RunState, event: Mapping[str, Json]) -> None:
    task = run.task(event["task"])
    task.state, task.run = "awaited", event["run"]


def _task_lost(run: RunState, event: Mapping[str, Json]) -> None:
    run.tasks[event["task"]] = TaskState(title=run.task(event["task"]).title)


def _warning(run: RunState, event: Mapping[str, Json]) -> None:
    run.warnings.append(event["message"])


def _run_ended(run: RunState, event: Mapping[str, Json]) -> None:
    run.end(event["status"], event.get("fault", ""))


_HANDLERS: dict[str, Callable[[RunState, Mapping[str, Json]], None]] = {
    "run_started": _run_started,
    "tasks_known": _tasks_known,
    "foreseen": _foreseen,
    "executor_starting": _executor_starting,
    "executor_ready": _executor_ready,
    "task_reused": _task_reused,
    "task_progress": _task_progress,
    "task_finished": _task_finished,
    "task_written": _task_written,
    "task_failed": _task_failed,
    "task_dropped": _task_dropped,
    "task_awaited": _task_awaited,
    "task_lost": _task_lost,
    "warning": _warning,
    "run_ended": _run_ended,
}
