"""What a person sees while a run goes on: a live table in a terminal, plain lines everywhere else."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline import progress_words as words
from pipeline.amounts import rough_duration
from pipeline.events import Listener, RunState, TaskState
from pipeline.labels import fitted
from pipeline.lines import Lines
from pipeline.remaining import seconds_left
from pipeline.stage import Json, stage_of
from pipeline.visible import visible, visible_lines

BAR = 12
"""Columns of a progress bar, so that a row fits into a terminal of 80."""

INDENT = "  "
"""Stands before the name of a task."""

GAP = 2
"""Columns between two columns of a table."""

TOLD = 2
"""The place of the column that is cut where a row does not fit."""

LABEL = 22
"""Columns that the name of a task has at least; more where what is told of it leaves room."""


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
    rows = list(_rows(state, now, everything=everything))
    labels = fitted((row.label for row in rows if row.label), _label_columns(rows, width))
    table = Table(box=None, pad_edge=False, show_header=False)
    for place in range(4):
        table.add_column(no_wrap=place != TOLD)  # rich narrows columns that may wrap before the others
    for row in rows:
        name = Text(f"{INDENT}{labels[row.label]}") if row.label else row.name
        table.add_row(name, row.state, Text(row.told, no_wrap=True, overflow="ellipsis"), row.time)
    told = [Text(line, style="dim") for line in _outlook(state, now)]
    told += [Text(f"warning: {visible_lines(message)}", style="yellow") for message in state.warnings]
    if faults:
        told += [Text(visible_lines(fault), style="red") for fault in faults_of(state)]
    return Group(table, *told)


def _outlook(state: RunState, now: float) -> Iterator[str]:
    """Yield what is going on that is no task, and how long it all will take."""
    if state.starting:
        foreseen = f" of about {rough_duration(state.foreseen_start)}" if state.foreseen_start else ""
        yield f"starting what computes: {rough_duration(now - state.starting)}{foreseen}"
    yield from filter(None, (words.resumed(*item) for item in state.tasks.items() if item[1].state == "running"))
    left = seconds_left(state, now)
    if left is not None:
        is_all = not state.starting or state.foreseen_start is not None
        yield f"about {rough_duration(left)} {'left in all' if is_all else 'of work left'}"


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


class _Row(NamedTuple):
    """A row: what it is about, how it stands with it, what is told of it, and its time."""

    name: Text
    state: Cell
    told: str
    time: Cell
    label: str = ""
    """Of a task's row what tells it from the others, in place of a name."""


def _rows(state: RunState, now: float, *, everything: bool) -> Iterator[_Row]:
    """Yield a row for each stage, and those of its tasks that are of interest."""
    for stage in _stages(state):
        tasks = state.of_stage(stage)
        yield _stage_row(state, stage, now)
        if len(tasks) > 1:
            for name, task in tasks.items():
                if task.state in {"running", "failed", "dropped"} or (everything and task.title):
                    yield _task_row(state, name, now)


def _label_columns(rows: Sequence[_Row], width: int) -> int:
    """Return the columns that names of tasks get: all that the rest of their rows leaves, which is cut before them."""
    others = [
        max((cell_len(_text(cell)) for cell in column), default=0) for column in list(zip(*rows, strict=True))[1:4]
    ]
    return max(LABEL, width - sum(others) - GAP * len(others) - len(INDENT))


def _text(cell: Cell) -> str:
    return " " * BAR if isinstance(cell, ProgressBar) else str(cell)


def _stage_row(state: RunState, stage: str, now: float) -> _Row:
    tasks, is_over = state.of_stage(stage), state.status != "running"
    states = [task.state for task in tasks.values()]
    finished = sum(state in {"done", "reused", "dropped"} for state in states)
    share = f"{finished} of {len(states)}" if len(states) > 1 else ""
    for word, style in (("failed", "red"), ("stopped", "yellow")):
        if word in states:
            return _Row(Text(stage, style=style), Text(word, style=style), share, "")
    name = Text(stage)
    if states and finished == len(states):
        return _Row(name, *_finished(tasks))
    if len(tasks) == 1 and "running" in states:
        ((task_id, task),) = tasks.items()
        return _Row(name, _bar(task), ", ".join(words.reported(task)), words.time_left(state, task_id, now))
    runs = dict.fromkeys(task.run for task in tasks.values() if task.state == "awaited")
    if runs and "running" not in states:
        return _Row(name, Text("waits", style="yellow"), share, Text(f"for {', '.join(runs)}", style="yellow"))
    if ("running" in states or finished) and not is_over:
        return _Row(name, ProgressBar(total=len(states), completed=finished, width=BAR), share, "")
    return _Row(Text(stage, style="dim"), Text("not done" if is_over else "waiting", style="dim"), share, "")


def _finished(tasks: Mapping[str, TaskState]) -> tuple[Cell, str, Cell]:
    reused, dropped = (sum(task.state == state for task in tasks.values()) for state in ("reused", "dropped"))
    seconds = sum(task.seconds for task in tasks.values() if task.state == "done")
    parts = ["reused" if reused == len(tasks) else "done", f"{reused} reused" if 0 < reused < len(tasks) else ""]
    parts += [f"{dropped} dropped" if dropped else ""]
    return (
        Text(", ".join(part for part in parts if part), style="yellow" if dropped else "green"),
        f"{len(tasks)}" if len(tasks) > 1 else "",
        f"{seconds:.1f} s" if seconds else "",
    )


def _task_row(state: RunState, name: str, now: float) -> _Row:
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
    return _Row(Text(), shown, ", ".join(words.reported(task)), time_told, _label(name, task))


def _bar(task: TaskState) -> ProgressBar | str:
    if "epochs" not in task.reported:
        return "running"
    return ProgressBar(total=task.reported["epochs"], completed=task.reported["epoch"], width=BAR)


def _label(name: str, task: TaskState) -> str:
    """Return what tells a task from its stage's others: its identity, and what people call it where that says more."""
    identity = name.partition("[")[2].removesuffix("]")
    if not words.says_more(task.title, name):
        return visible(words.spelled(identity))
    return visible(task.title if len(identity) > LABEL // 2 else f"{identity} {task.title}")
