"""What a run that goes on prints where there is no terminal: a line for what matters, for logs and pipes."""

from collections.abc import Callable, Mapping

from rich.console import Console

from pipeline import progress_words as words
from pipeline.amounts import size
from pipeline.counted import counted
from pipeline.events import RunState
from pipeline.stage import Json, stage_of
from pipeline.visible import visible_lines

LINE_EVERY = 10.0
"""Seconds between two lines of progress of one task."""

Event = Mapping[str, Json]


class Lines:
    """A listener to events that prints lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state = RunState()
        self._shown: dict[str, float] = {}
        self._awaiting: set[tuple[str, str]] = set()
        self._doing: set[str] = {""}
        self._is_foreseen = False
        self._tellers: dict[str, Callable[[Event], str]] = {
            "run_started": lambda event: f"run in {event['folder']}",
            "executor_starting": self._starting,
            "executor_ready": lambda event: f"Ray is up: {_resources(event)}",
            "foreseen": self._foreseen,
            "task_progress": self._progress,
            "task_finished": self._finished,
            "task_awaited": self._awaited,
            "task_failed": self._failed,
            "task_dropped": lambda _: f"warning: {self._state.warnings[-1]}",
            "warning": lambda event: f"warning: {event['message']}",
        }

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        self._state.apply(event)
        teller = self._tellers.get(event["event"])
        line = teller(event) if teller else ""
        if line:
            told = f"{event['time'] - self._state.started:7.1f} s  {visible_lines(line)}"
            self._console.print(told, markup=False, soft_wrap=True)

    def _starting(self, event: Event) -> str:
        n = event["reused"]
        return f"{counted(n, 'result is', 'results are')} in the store; starting to compute the others"

    def _foreseen(self, event: Event) -> str:
        """Return what the run will take, once, as soon as all of its tasks are counted."""
        if self._is_foreseen or not event["is_complete"]:
            return ""
        self._is_foreseen = True
        most = event["most_bytes"]
        writes = f"{size(event['least_bytes'])} or more" if most is None else f"up to {size(most)}"
        facts = {name: event[name] for name in ("cpus", "untimed", "is_complete")}
        takes = words.takes(event["timed_seconds"], event["start_seconds"], **facts)
        return f"{counted(event['n_tasks'], 'task')} to do, {writes} to write; time: {takes}"

    def _progress(self, event: Event) -> str:
        name = event["task"]
        if "resumed" in event:
            return words.resumed(name, self._state.tasks[name])
        if event.get("doing", "") not in self._doing:
            self._doing.add(event["doing"])
            return f"{name}: {event['doing']}"
        if "epoch" not in event or event["time"] - self._shown.get(name, self._state.tasks[name].started) < LINE_EVERY:
            return ""
        self._shown[name] = event["time"]
        told = [*words.reported(self._state.tasks[name]), words.time_left(self._state, name, event["time"])]
        return f"{name}: running, {', '.join(filter(None, told))}"

    def _finished(self, event: Event) -> str:
        told = [f"done in {event['seconds']:.1f} s", *words.reported(self._state.tasks[event["task"]])]
        return f"{event['task']}: {', '.join(told)}"

    def _awaited(self, event: Event) -> str:
        """Return what is told once of the tasks of a stage that another run does."""
        stage = stage_of(event["task"])
        if (stage, event["run"]) in self._awaiting:
            return ""
        self._awaiting.add((stage, event["run"]))
        return f"{event['task']}: waiting for run {event['run']}, which does it"

    def _failed(self, event: Event) -> str:
        first, *more = event["fault"].splitlines()
        return f"{event['task']}: FAILED: {first}{' ...' if more else ''}"


def _resources(event: Event) -> str:
    """Return what a Ray has, such as `3 nodes, 12 CPUs, 2 GPUs`."""
    amounts = {"node": event["nodes"], "CPU": event["cpus"], "GPU": event["gpus"]}
    return ", ".join(f"{amount:g} {name}{'' if amount == 1 else 's'}" for name, amount in amounts.items() if amount)
