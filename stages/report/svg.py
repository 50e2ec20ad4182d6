"""SVG as text: elements whose every word is escaped, scales, and the axes of a figure."""

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

Scale = Callable[[float], float]
"""Turns a value into a coordinate."""


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element of SVG or HTML.

    Args:
        name: Its name.
        *children: Elements, taken as they are, and anything else, shown as text.
        **attributes: By name, with `_` for `-`, and one at the end dropped, as in `class_`; None leaves one out. Floats
            are rounded to a hundredth of a pixel.
    """
    given = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    words = "".join(f' {key}="{escape(_shown(value))}"' for key, value in given)
    inner = Markup("").join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup(words), inner)  # noqa: S704  # every word is escaped above


def figure(
    width: float, height: float, *children: object, label: str, class_: str = "", **attributes: object
) -> Markup:
    """Return a drawing.

    Args:
        width: Of its own coordinates; on the page it scales.
        height: Of its own coordinates.
        *children: What is drawn.
        label: What it shows, for those who cannot see it.
        class_: Beside `figure`.
        **attributes: As `element` takes them.
    """
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        class_=f"figure {class_}".strip(),
        **attributes,
    )


def text(x: float, y: float, words: object, *, class_: str = "", **attributes: object) -> Markup:
    """Return a line of text; `class_` may hold `middle`, `end` and what else the page's style knows."""
    return element("text", words, x=x, y=y, class_=class_ or None, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **attributes: object) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **attributes)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Return the scale that maps [low, high] to [start, end]; all values to the start where low is high."""
    span = high - low
    return lambda value: start + (end - start) * ((value - low) / span if span else 0.0)


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return round numbers within [low, high], about n of them, at steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / n
    if not rough > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") + 0.0 for i in range(first, last + 1)]  # no -0


def x_axis(x: Scale, values: Iterable[float], top: float, bottom: float, shown: Callable[[float], str]) -> Markup:
    """Return vertical grid lines and the numbers below them."""
    parts = [
        line(x(value), top, x(value), bottom, "grid") + text(x(value), bottom + 14, shown(value), class_="small middle")
        for value in values
    ]
    return Markup("").join(parts)


def y_axis(y: Scale, values: Iterable[float], left: float, right: float, shown: Callable[[float], str]) -> Markup:
    """Return horizontal grid lines and the numbers left of them."""
    parts = [
        line(left, y(value), right, y(value), "grid") + text(left - 5, y(value) + 4, shown(value), class_="small end")
        for value in values
    ]
    return Markup("").join(parts)


def polyline(points: Sequence[tuple[float, float]], class_: str, **attributes: object) -> Markup:
    """Return a line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_, **attributes)


def cut(words: str, width: float) -> str:
    """Return as much of a text of 12 pixels as surely fits into a width, cut with an ellipsis."""
    if width_of(words) <= width:
        return words
    room = width - width_of("…")
    n = next(n for n in range(len(words), -1, -1) if width_of(words[:n]) <= room)
    return f"{words[:n]}…"


def width_of(words: str) -> float:
    """Return the width that a text of 12 pixels has at most, in any of the usual fonts without serifs."""
    return sum(_letter_width(letter) for letter in words)


def _letter_width(letter: str) -> float:
    # Of DejaVu Sans, which is the widest of them.
    if unicodedata.east_asian_width(letter) in "WF":
        return 12.5
    if letter in " !'(),.:;I[]ijl|ftr-":
        return 5.0
    if letter in "…%@MWmw&":
        return 12.2
    return 9.5 if letter.isupper() else 7.8


def _shown(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
