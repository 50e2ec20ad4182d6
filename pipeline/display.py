"""What a person sees while a run goes on: a live table in a terminal, plain lines everywhere else."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline import progress_words as words
from pipeline.amounts import rough_duration
from pipeline.events import Listener, RunState, TaskState
from pipeline.lines import Lines
from pipeline.remaining import seconds_left
from pipeline.stage import Json, stage_of
from pipeline.visible import visible, visible_lines

BAR = 12
"""Columns of a progress bar, so that a row fits into a terminal of 80."""

LABEL = 22
"""Columns of the name of a task, likewise."""

FULL = 80
"""Columns of a terminal in which names get no more: what a wider one has beyond that is theirs."""


@contextmanager
def display(console: Console) -> Iterator[Listener]:
    """Yield a listener that shows events as fits the console."""
    if not console.is_terminal:
        yield Lines(console)
        return
    table = LiveTable()
    try:
        with Live(table, console=console, refresh_per_second=4, transient=True):
            yield table
    finally:  # what was done, and the warnings, are of interest most where the run failed
        console.print(table.done(console.width))


class LiveTable:
    """A table with a row a stage, and under it a row for each running task."""

    def __init__(self) -> None:
        self._state = RunState()

    def __call__(self, event: Mapping[str, Json]) -> None:
        """Take in one event."""
        self._state.apply(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table as it stands."""
        yield render(self._state, time.time(), width=options.max_width)

    def done(self, width: int) -> Group:
        """Return the table as it was at the end, without the faults: the run's error tells those."""
        return render(self._state, self._state.latest, width=width, faults=False)


def render(state: RunState, now: float, *, width: int, faults: bool = True, everything: bool = False) -> Group:
    """Return a table of a run's stages, and of the tasks that are of interest now.

    Args:
        state: What is known of the run.
        now: The time, in seconds since the epoch, that durations are counted to.
        width: Columns that there are.
        faults: Whether to tell why tasks failed.
        everything: Whether tasks that people have a name for are shown also where they do not run.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(no_wrap=True)
    for stage in _stages(state):
        tasks = state.of_stage(stage)
        table.add_row(*_stage_row(state, stage, now))
        if len(tasks) > 1:
            for name, task in tasks.items():
                if task.state in {"running", "failed", "dropped"} or (everything and task.title):
                    table.add_row(*_task_row(state, name, now, LABEL + max(0, width - FULL)))
    told = [Text(line, style="dim") for line in _outlook(state, now)]
    told += [Text(f"warning: {visible_lines(message)}", style="yellow") for message in state.warnings]
    if faults:
        told += [Text(visible_lines(fault), style="red") for fault in faults_of(state)]
    return Group(table, *told)


def _outlook(state: RunState, now: float) -> Iterator[str]:
    """Yield what is going on that is no task, and how long it all will take."""
    if state.starting:
        yield f"starting what computes: {rough_duration(now - state.starting)}"
    yield from filter(None, (words.resumed(*item) for item in state.tasks.items() if item[1].state == "running"))
    left = seconds_left(state, now)
    if left is not None:
        yield f"about {rough_duration(left)} left in all"


def _stages(state: RunState) -> list[str]:
    """Return the stages that have tasks or may get some, in order; what they read of others is no news."""
    known = dict.fromkeys(stage_of(name) for name in state.tasks)
    if state.asked_for:  # runs of earlier versions did not tell
        known = {name: None for name in known if name in state.asked_for}
    ordered = dict.fromkeys([*state.stages, *known])
    return [name for name in ordered if name in known or name in state.undecided]


def faults_of(state: RunState) -> list[str]:
    """Return why the run failed; while it still goes on, or was killed, why tasks have."""
    if state.fault:
        return [state.fault]
    return [f"{name}: {task.fault}" for name, task in state.tasks.items() if task.fault]


Cell = str | Text | ProgressBar
Row = tuple[Cell, Cell, Cell, Cell]


def _stage_row(state: RunState, stage: str, now: float) -> Row:
    tasks, is_over = state.of_stage(stage), state.status != "running"
    states = [task.state for task in tasks.values()]
    finished = sum(state in {"done", "reused", "dropped"} for state in states)
    share = f"{finished} of {len(states)}" if len(states) > 1 else ""
    for word, style in (("failed", "red"), ("stopped", "yellow")):
        if word in states:
            return Text(stage, style=style), Text(word, style=style), share, ""
    if states and finished == len(states):
        return stage, *_finished(tasks)
    if len(tasks) == 1 and "running" in states:
        ((name, task),) = tasks.items()
        return stage, _bar(task), ", ".join(words.reported(task)), words.time_left(state, name, now)
    runs = dict.fromkeys(task.run for task in tasks.values() if task.state == "awaited")
    if runs and "running" not in states:
        return stage, Text("waits", style="yellow"), share, Text(f"for {', '.join(runs)}", style="yellow")
    if ("running" in states or finished) and not is_over:
        return stage, ProgressBar(total=len(states), completed=finished, width=BAR), share, ""
    return Text(stage, style="dim"), Text("not done" if is_over else "waiting", style="dim"), share, ""


def _finished(tasks: Mapping[str, TaskState]) -> tuple[Cell, Cell, Cell]:
    reused, dropped = (sum(task.state == state for task in tasks.values()) for state in ("reused", "dropped"))
    seconds = sum(task.seconds for task in tasks.values() if task.state == "done")
    parts = ["reused" if reused == len(tasks) else "done", f"{reused} reused" if 0 < reused < len(tasks) else ""]
    parts += [f"{dropped} dropped" if dropped else ""]
    return (
        Text(", ".join(part for part in parts if part), style="yellow" if dropped else "green"),
        f"{len(tasks)}" if len(tasks) > 1 else "",
        f"{seconds:.1f} s" if seconds else "",
    )


def _task_row(state: RunState, name: str, now: float, columns: int) -> Row:
    task = state.tasks[name]
    styles = {"done": "green", "reused": "green", "failed": "red", "dropped": "yellow", "stopped": "yellow"}
    is_left = state.status != "running" and task.state in {"waiting", "awaited"}
    word = "not done" if is_left else task.state
    shown = _bar(task) if task.state == "running" else Text(word, style=styles.get(word, "dim"))
    time_told = (
        words.time_left(state, name, now)
        if task.state == "running"
        else f"{task.seconds:.1f} s"
        if task.seconds
        else ""
    )
    return Text(f"  {_label(name, task, columns)}"), shown, ", ".join(words.reported(task)), time_told


def _bar(task: TaskState) -> ProgressBar | str:
    if "epochs" not in task.reported:
        return "running"
    return ProgressBar(total=task.reported["epochs"], completed=task.reported["epoch"], width=BAR)


def _label(name: str, task: TaskState, columns: int) -> str:
    """Return what tells a task from its stage's others: its identity, and what people call it where that says more."""
    identity = name.partition("[")[2].removesuffix("]")
    if not words.says_more(task.title, name):
        label = identity
    elif len(identity) > columns // 2:
        label = task.title
    else:
        label = f"{identity} {task.title}"
    label = visible(label)
    if len(label) <= columns:
        return label
    begin = (columns - 3) // 2  # of several that begin alike, such as a sweep's, the ends tell
    return f"{label[:begin]}...{label[begin + 3 - columns :]}"
