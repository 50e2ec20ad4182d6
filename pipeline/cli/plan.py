"""`plan` and `run --dry-run`: shows what a run would do about every task, why, and what it will take."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from pipeline import room
from pipeline.amounts import duration, size
from pipeline.cli.compose import Composition, compose
from pipeline.cli.last_run import Since
from pipeline.cli.outlook import cpus_of
from pipeline.cli.planned import Planned, check_inputs, look
from pipeline.cli.selection import DATA, Selection
from pipeline.cli.tables import console_for_rows, print_json, say, tell
from pipeline.counted import in_words
from pipeline.forecast import Estimate, Forecast
from pipeline.labels import ELLIPSIS, fitted
from pipeline.planner import Step
from pipeline.progress_words import says_more, takes
from pipeline.visible import visible

FOLDED = 8
"""So many tasks of a stage are one line each though they have different reasons; of more no other names are shown."""

NAME, NEEDS, ACTION = 27, 15, 5
"""Columns of a task's name, of what it takes of a node, and of what is done about it."""
AMOUNTS = (12, 9, 9)
"""Columns of its time, its memory, and what it writes."""

_WHOLE = NAME + NEEDS + ACTION + 2 + sum(AMOUNTS)
"""Columns of a line that says everything, and of one that leaves out what a task needs, and its memory."""
_LEAST = _WHOLE - NEEDS - AMOUNTS[1]

INDENT = 4
"""Columns before the reasons of a task."""

CHANGED = 3
"""So many settings are named that have changed since the last run."""

STYLES = {"reuse": "green", "run": "bold", "open": "dim"}
"""How the actions are shown."""

MEMORY = 1
"""The place of the memory among the amounts."""


def show(config: Path, overrides: Sequence[str], selection: Selection, *, as_json: bool) -> None:
    """Print what a run would do.

    Raises:
        ConfigError: The config is wrong, or the inputs of a stage to be done alone are not there.
        StoreError: What is to be kept certainly does not fit; raised when all is printed.
    """
    # Its files have to be read for their digest anyway.
    composition = compose(config, overrides, load=True, anew=DATA in selection.force)
    check_inputs(composition, selection)
    graph = composition.graph(selection.until)
    with composition.placing():
        planned = look(composition, graph, selection.scope(list(graph.stages)), load=True)
    if as_json:
        print_json(planned.as_json(composition))
    else:
        _print(planned, composition)
    if planned.forecast is not None:
        room.check_disk(planned.forecast, composition.store.location, room.free_disk(composition.store.location))


def _print(planned: Planned, composition: Composition) -> None:
    console = console_for_rows()
    rows = [(_name(planned, steps), steps) for steps in _folded(planned.steps)]
    width = console.width
    needs = [len(_reserved(planned.needs(steps[0]))) for _, steps in rows if steps[0].action != "reuse"]
    widths = _Widths.that_fit(width, max((cell_len(name) for name, _ in rows), default=0), max(needs, default=0))
    short = _shortened({name: steps[0] for name, steps in rows}, widths.name)
    headings = _columns(widths, "task, and why", "", "needs", "time", "memory", "writes")
    console.print(Text(headings, style="bold"), soft_wrap=True)
    for name, steps in rows:
        _print_steps(console, widths, planned, short[name], steps)
    say("")
    if planned.since and planned.since.changed:
        say(_changed(planned.since))
    say(_counts(planned))
    for line in _totals(planned.forecast, planned.start_seconds, composition) if planned.forecast else ():
        say(line)
    for message in planned.warnings(composition.store.location):
        say(f"warning: {message}")


def _changed(since: Since) -> str:
    """Return which settings have changed, on one line; of many the first."""
    named, n_more = since.changed[:CHANGED], len(since.changed) - CHANGED
    told = in_words([*named, f"{n_more} more"] if n_more > 0 else named)
    return f"changed since the last run, {since.run}: {visible(told)}"


def _counts(planned: Planned) -> str:
    """Return how many tasks there are to reuse, to run beside what every run writes, and not decided yet."""
    beside = f" beside {in_words(planned.written)}" if planned.written else ""
    counts = f"{planned.n_reused} to reuse, {planned.n_run} to run{beside}"
    if not planned.deciding:
        return counts
    number = "those" if planned.n_open is None else f"about {planned.n_open}"
    return f"{counts}, and {number} that depend on {in_words(planned.deciding)}"


def _folded(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yield what is shown together: tasks without a name of which the same is said, or very many of a stage."""
    sizes = Counter((step.stage, step.action) for step in steps)
    groups: dict[tuple[str, ...], list[Step]] = {}
    for step in steps:
        is_one_of_many = sizes[step.stage, step.action] > FOLDED
        which = (step.id,) if step.title else () if is_one_of_many else tuple(step.reasons)
        groups.setdefault((step.stage, step.action, *which), []).append(step)
    yield from groups.values()


def _name(planned: Planned, steps: Sequence[Step]) -> str:
    """Return what steps that are shown together are called."""
    first, estimates = steps[0], [planned.estimate(step) for step in steps]
    n_tasks = sum(estimate.tasks if estimate else 1 for estimate in estimates)
    name = first.id if n_tasks == 1 else f"{first.stage} ({n_tasks} tasks)"
    return f"{name} {visible(first.title)}" if says_more(first.title, first.id) else name


def _shortened(rows: Mapping[str, Step], columns: int) -> dict[str, str]:
    """Return names in so many columns at most, by the whole one: where one is too long, none tells its classes' ids."""
    told = {name: name for name in rows}
    titled = {name: step for name, step in rows.items() if step.title}
    if any(cell_len(name) > columns for name in titled):
        told |= {name: _by_classes(step, columns) for name, step in titled.items()}
    alike = Counter(told.values())
    told |= {name: _called(step) for name, step in titled.items() if alike[told[name]] > 1}
    short = fitted(told.values(), columns)
    return {name: short[text] for name, text in told.items()}


def _called(step: Step) -> str:
    """Return what a task is called by its classes alone."""
    return f"{step.stage}: {visible(step.title)}"


def _by_classes(step: Step, columns: int) -> str:
    """Return what a task is called by its classes; of many by the first, as far as whole names fit.

    How many more there are is not told: a name may have commas of its own.
    """
    whole, more = _called(step), f", {ELLIPSIS}"
    ends = [comma.start() for comma in re.finditer(", ", whole)]
    fitting = [whole[:end] for end in ends if cell_len(whole[:end] + more) <= columns]
    return whole if cell_len(whole) <= columns or not fitting else fitting[-1] + more


def _print_steps(console: Console, widths: "_Widths", planned: Planned, name: str, steps: Sequence[Step]) -> None:
    first, estimates = steps[0], [planned.estimate(step) for step in steps]
    amounts = [_reserved(planned.needs(first)), *_amounts(estimates)] if first.action != "reuse" else []
    line = Text(_columns(widths, name, first.action, *amounts))
    start = widths.name + 1
    line.stylize(STYLES[first.action], start, start + ACTION)
    console.print(line, soft_wrap=True)
    reasons = list(dict.fromkeys("; ".join(step.reasons) for step in steps if step.reasons))
    if len(reasons) > 3:
        reasons = [*reasons[:2], f"and {len(reasons) - 2} reasons more"]
    for reason in reasons:
        tell(console, visible(reason), indent=INDENT, style="dim")


def _reserved(needs: Mapping[str, float]) -> str:
    return ", ".join(size(amount) if name == "memory" else f"{amount:g} {name}" for name, amount in needs.items())


@dataclass(frozen=True)
class _Widths:
    """Columns of a whole line, and those of them that a task's name gets, and what it needs."""

    line: int
    name: int
    needs: int

    @classmethod
    def that_fit(cls, line: int, name: int, needs: int) -> "_Widths":
        """Return the columns of names: of a wide line what the longest takes, otherwise what the others leave.

        Args:
            line: Columns that there are.
            name: Those of the longest name.
            needs: Those of the longest that is said of what a task takes of a node; unused ones are for names.
        """
        if line < _WHOLE:
            return cls(line, max(12, min(NAME, NAME + line - _LEAST)), 0)
        needs = max(len("needs"), min(needs, NEEDS))
        return cls(line, max(NAME, min(name, NAME + line - _WHOLE + NEEDS - needs)), needs)


def _columns(widths: _Widths, name: str, action: str, *amounts: str) -> str:
    """Return a line; where it would not fit the terminal, without what a task needs and its memory."""
    needs, *others = amounts or ("",)
    cells = [f" {amount:>{columns - 1}}" for amount, columns in zip(others, AMOUNTS, strict=False)]
    if widths.line < _WHOLE:
        needs, cells = "", [cell for place, cell in enumerate(cells) if place != MEMORY]
    else:
        needs = f"{needs:{widths.needs}}"
    told = "".join(cells)
    return f"{set_cell_size(name, widths.name)} {action:{ACTION}} {needs}{told}".rstrip()


def _amounts(estimates: Sequence[Estimate | None]) -> list[str]:
    """Return time, memory and bytes to write of tasks together, as text; nothing of what takes nothing."""
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < len(estimates):
        return []
    seconds = [estimate.seconds for estimate in known if estimate.seconds is not None]
    most = [estimate.most_bytes for estimate in known if estimate.most_bytes is not None]
    memory = [estimate.memory for estimate in known if estimate.memory is not None]
    return [
        duration(sum(seconds)) if len(seconds) == len(known) else "?",
        size(max(memory)) if memory else "?",
        size(sum(most)) if len(most) == len(known) else "?",
    ]


def _totals(forecast: Forecast, start: float | None, composition: Composition) -> Iterator[str]:
    total = forecast.total
    cpus, untimed, is_complete = cpus_of(composition.config.ray), forecast.untimed, forecast.is_complete
    yield f"time: {takes(forecast.timed_seconds, start, cpus=cpus, untimed=untimed, is_complete=is_complete)}"
    location = composition.store.location
    free = room.free_disk(location)
    least = f"{size(total.least_bytes)} at least" if total.least_bytes else "unknown"
    most = f"{size(total.most_bytes)} at most" if total.most_bytes is not None else least
    yield f"to write: {most}" + (f"; {size(free)} free in {location}" if free is not None else "")
