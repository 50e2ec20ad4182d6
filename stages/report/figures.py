"""The figures of the report, each from plain values to one drawing. Colours are of classes that the page's style has.

Series differ in dashes or marks, too: of six colours some are alike to those who cannot tell red from green.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pipeline.counted import counted
from pipeline.labels import listed
from stages.learning.metrics import Reliability
from stages.report import svg
from stages.report.words import percent, points

WIDTH = 420.0
"""Of a figure, in its own pixels: what a phone shows without much shrinking."""
LABELS = 130.0
"""Of that, the columns of names at the left."""
GAP = 10.0
"""Between a name and what is drawn right of it, half a mark included."""


def intervals(rows: Sequence[tuple[str, Mapping[str, float]]], *, label: str, unit: float = 100.0) -> Markup:
    """Return differences with their intervals, one a row, around a line at zero.

    Args:
        rows: Name, and `mean`, `low` and `high`, of each.
        label: What they are.
        unit: What they are multiplied by to be shown.
    """
    ends = [unit * value[end] for _, value in rows for end in ("low", "high")]
    low, high = _widened(min(0.0, *ends), max(0.0, *ends))
    x, bottom = svg.linear(low, high, LABELS, WIDTH - 12), 26.0 * len(rows) + 8
    parts = [svg.x_axis(x, svg.ticks(low, high), 4, bottom, _signed), svg.line(x(0), 4, x(0), bottom, "zero")]
    for i, (name, value) in enumerate(rows):
        y = 26.0 * i + 20
        mean, ends = unit * value["mean"], [unit * value["low"], unit * value["high"]]
        tip = f"{name}: {_signed(mean)} ({_signed(ends[0])} to {_signed(ends[1])})"
        parts += [
            _row_name(name, y, name),
            svg.line(x(ends[0]), y, x(ends[1]), y, "interval s1"),
            svg.element("circle", cx=x(mean), cy=y, r=5, class_="dot s1", data_tip=tip),
        ]
    return svg.figure(WIDTH, bottom + 32, *parts, svg.text(WIDTH - 12, bottom + 28, label, class_="end"), label=label)


def dumbbells(rows: Sequence[tuple[str, str, float | None, float | None]], *, label: str) -> Markup:
    """Return pairs of shares, one a row: before as a ring, after as a dot.

    Args:
        rows: Name, the same in full, before, after; None where there is nothing to count.
        label: What the shares are.
    """
    shares = [100 * share for _, _, *pair in rows for share in pair if share is not None]
    low, high = _widened(min(shares, default=0.0), min(100.0, max(shares, default=100.0)), most=100.0)
    x, bottom = svg.linear(low, high, LABELS, WIDTH - 16), 24.0 * len(rows) + 8
    parts = [svg.x_axis(x, svg.ticks(low, high, 4), 4, bottom, lambda v: f"{v:g} %")]
    for i, (name, full, before, after) in enumerate(rows):
        y = 24.0 * i + 18
        parts.append(_row_name(name, y, full))
        if before is None or after is None:
            parts.append(svg.text(LABELS + 4, y + 4, "no test examples", class_="small"))
            continue
        tip = f"{full}: generalist {percent(before)}, specialist {percent(after)}"
        left, right = x(100 * before), x(100 * after)
        parts += [
            svg.line(left, y, right, y, "interval s0"),
            svg.element("circle", cx=left, cy=y, r=5.5, class_="ring s0", data_tip=tip),
            svg.element("circle", cx=right, cy=y, r=4, class_="dot s1", data_tip=tip),
        ]
    return svg.figure(WIDTH, bottom + 32, *parts, svg.text(WIDTH - 16, bottom + 28, label, class_="end"), label=label)


def gains(by_cover: Sequence[Mapping[str, Any]]) -> Markup:
    """Return how many more right answers there are, by the number of specialists that hold the true class."""
    left, width, top, bottom = 44.0, WIDTH - 8, 18.0, 150.0
    values = [row["gained"] for row in by_cover]
    low, high = _widened(min(0, *values), max(0, *values, 1))
    y = svg.linear(low, high, bottom, top)
    step = (width - left) / len(by_cover)
    whole = [value for value in svg.ticks(low, high, 4) if value == int(value)]
    parts = [svg.y_axis(y, whole, left, width, _signed)]
    for i, row in enumerate(by_cover):
        gained, x = row["gained"], left + i * step + 0.2 * step
        relative = "" if row["relative"] is None else f", {points(row['relative'])} % of the generalist's right answers"
        of_how_many = f"{gained:+d} of {counted(row['examples'], 'example')}{relative}"
        tip = f"{counted(row['specialists'], 'specialist')}: {of_how_many}"
        from_, to = sorted((y(0), y(gained)))
        colour = "s1" if gained >= 0 else "s2"
        rectangle = {"x": x, "y": from_, "width": 0.6 * step, "height": max(to - from_, 1.0)}
        above = min(from_, y(0)) - 4
        parts += [
            svg.element("rect", class_=f"bar {colour}", data_tip=tip, **rectangle),
            svg.text(x + 0.3 * step, above, _signed(gained), class_="small middle"),
            svg.text(x + 0.3 * step, bottom + 16, row["specialists"], class_="middle"),
        ]
    parts += [svg.line(left, y(0), width, y(0), "zero")]
    label = "specialists whose subset holds the true class"
    return svg.figure(WIDTH, bottom + 38, *parts, svg.text(width, bottom + 34, label, class_="end"), label=label)


def reliability(name: str, found: Reliability, ece: float) -> Markup:
    """Return how right a model is at each confidence: on the diagonal it is as right as it is sure.

    Args:
        name: The model's.
        found: Its bins.
        ece: Its expected calibration error.
    """
    left, right, top, bottom = 40.0, 250.0, 8.0, 218.0
    x, y = svg.linear(0, 1, left, right), svg.linear(0, 1, bottom, top)
    quarters = [0, 0.25, 0.5, 0.75, 1]
    parts = [
        svg.x_axis(x, quarters, top, bottom, _percent),
        svg.y_axis(y, quarters, left, right, _percent),
        svg.line(x(0), y(0), x(1), y(1), "zero"),
    ]
    most = max(int(found.examples.max()), 1)
    for n, confidence, hits in zip(found.examples, found.confidence, found.right, strict=True):
        if not n:
            continue
        sure, correct = float(confidence / n), float(hits / n)
        tip = f"{counted(int(n), 'example')}: {percent(sure, 1)} sure, {percent(correct, 1)} right"
        parts += [
            svg.line(x(sure), y(sure), x(sure), y(correct), "interval s2"),
            svg.element("circle", cx=x(sure), cy=y(correct), r=2.5 + 5 * float((n / most) ** 0.5), class_="dot s1",
                        data_tip=tip),
        ]  # fmt: skip
    caption = [
        svg.text(left, bottom + 34, svg.cut(name, right - left), class_="strong"),
        svg.text(left, bottom + 52, f"ECE {ece:.4f}"),
    ]
    return svg.figure(262, bottom + 58, *parts, *caption, label=f"Reliability of {name}: ECE {ece:.4f}")


def curves(series: Mapping[str, Sequence[Mapping[str, float]]], fact: str, *, label: str) -> Markup:
    """Return how something went over the epochs, one line a network.

    Args:
        series: The history of each network's training, by its name.
        fact: Which fact of each epoch is shown.
        label: What it is.
    """
    left, right, top, bottom = 48.0, WIDTH - 8, 10.0, 190.0
    values = [epoch[fact] for history in series.values() for epoch in history]
    low, high = _widened(min(values), max(values), most=1.0 if fact == "accuracy" else None)
    last = max(len(history) for history in series.values())
    x, y = svg.linear(1, max(last, 2), left, right), svg.linear(low, high, bottom, top)
    shown = _percent if fact == "accuracy" else _plain
    parts = [
        svg.x_axis(x, [v for v in svg.ticks(1, max(last, 2)) if v == int(v)], top, bottom, _plain),
        svg.y_axis(y, svg.ticks(low, high, 4), left, right, shown),
    ]
    for i, (name, history) in enumerate(series.items()):
        where = [(x(number), y(epoch[fact])) for number, epoch in enumerate(history, start=1)]
        tip = f"{name}: {shown(round(history[-1][fact], 4))} after {counted(len(history), 'epoch')}"
        style = _style(i)
        parts += [svg.polyline(where, f"curve {style}"), _end_mark(where[-1], style, tip)]
    axis = svg.text(right, bottom + 30, "epoch", class_="end") + svg.text(left, bottom + 30, label)
    return svg.figure(WIDTH, bottom + 36, *parts, axis, label=label)


def legend(names: Sequence[str]) -> Markup:
    """Return what tells the lines of `curves` apart."""
    entries = []
    for i, name in enumerate(names):
        swatch = svg.element("svg", svg.line(0, 5, 44, 5, f"curve {_style(i)}"), viewBox="0 0 44 10", class_="swatch")
        entries.append(svg.element("li", swatch, " ", name))
    return svg.element("ul", *entries, class_="legend")


def _style(i: int) -> str:
    """Return colour, dashes and strength of a line: each six differ in colour and in dashes, 72 in something."""
    return f"s{i % 6} d{(i + i // 6) % 6}{' strong' if i // 36 % 2 else ''}"


def row_name(specialist: str, classes: Sequence[str]) -> str:
    """Return what a specialist's row is called: as many of its classes as there is room for, and how many more."""
    return f"{specialist}: " + listed(
        classes, lambda text: svg.width_of(f"{specialist}: {text}") <= LABELS - GAP, more=", +{}"
    )


def _row_name(name: str, y: float, full: str) -> Markup:
    """Return what stands left of a row: as much of a name as there is room for, and all of it under the pointer."""
    return svg.text(0, y + 4, svg.cut(name, LABELS - GAP), class_="name", data_tip=full)


def _end_mark(where: tuple[float, float], style: str, tip: str) -> Markup:
    return svg.element("circle", cx=where[0], cy=where[1], r=4, class_=f"dot {style}", data_tip=tip)


def _plain(value: float) -> str:
    return f"{value:g}"


def _percent(share: float) -> str:
    return f"{round(100 * share, 2):g} %"


def _signed(value: float) -> str:
    return f"{value:+.4g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _widened(low: float, high: float, most: float | None = None) -> tuple[float, float]:
    """Return a range with a little room at its ends, and never empty."""
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    return low - room, high + room if most is None else min(high + room, max(most, high))
