"""When the tasks of a run were at work, stage by stage."""

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.amounts import duration
from pipeline.stage import TaskSummary
from stages.report import svg
from stages.report.words import prepared_words

WIDTH = 720.0
LEFT = 92.0
LANE = 13.0


def timeline(tasks: Sequence[TaskSummary]) -> Markup | None:
    """Return what this run did when: a bar a task, beside each other where they were at work at the same time.

    Args:
        tasks: All results of the run; those that were there already are not shown.

    Returns:
        None where all of them were.
    """
    done = [task for task in tasks if task.ended is not None]
    if not done:
        return None
    end = max(task.ended or 0.0 for task in done)
    x = svg.linear(0, end, LEFT, WIDTH - 10)
    parts: list[Markup] = []
    top = 6.0
    for stage in dict.fromkeys(task.stage for task in done):
        lanes = _lanes([task for task in done if task.stage == stage])
        parts.append(svg.text(LEFT - 8, top + LANE * len(lanes) / 2 + 4, stage, class_="end"))
        for lane in lanes:
            parts += [bar for task in lane for bar in _bars(task, x, top)]
            top += LANE
        top += 5
    axis = svg.x_axis(x, svg.ticks(0, end, 6), 0, top, lambda v: f"{v:g} s")
    label = "seconds since the run began"
    return svg.figure(
        WIDTH, top + 34, axis, *parts, svg.text(WIDTH - 10, top + 30, label, class_="end"), label=label, class_="wide"
    )


def _bars(task: TaskSummary, x: svg.Scale, top: float) -> list[Markup]:
    """Return a task's bar, and before it, lighter, that of what was prepared for it."""
    started, ended = _span(task)
    begun = ended - task.seconds
    tip = f"{task.id}: {duration(task.seconds)}, done {duration(ended)} into the run"
    bars = [_bar(x(max(begun, 0.0)), x(ended), top, "bar s1", tip)]
    if task.prepared:
        tip = f"before {task.id}: {prepared_words(task.prepared)}"
        bars.append(_bar(x(started), x(max(begun, 0.0)), top, "bar s1 light", tip))
    return bars


def _bar(left: float, right: float, top: float, style: str, tip: str) -> Markup:
    width = max(right - left, 1.0)
    return svg.element("rect", x=left, y=top + 1, width=width, height=LANE - 2, class_=style, data_tip=tip)


def _lanes(tasks: Sequence[TaskSummary]) -> list[list[TaskSummary]]:
    """Return tasks in as few rows as keep those apart that were at work at the same time."""
    lanes: list[list[TaskSummary]] = []
    for task in sorted(tasks, key=_span):
        free = next((lane for lane in lanes if _span(lane[-1])[1] <= _span(task)[0] + 1e-3), None)
        if free is None:
            lanes.append([task])
        else:
            free.append(task)
    return lanes


def _span(task: TaskSummary) -> tuple[float, float]:
    """Return when a task was begun and done, with what was prepared for it."""
    ended = task.ended or 0.0
    return max(ended - task.seconds - sum(task.prepared.values()), 0.0), ended
