"""The confusion matrix: what the generalist takes for what, the classes of a subset side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from rich.cells import cell_len

from pipeline.labels import fitted
from pipeline.stage import Json
from stages.report import svg

LEVELS = 8
"""Shades of a cell."""
NUMBERED = 16
"""Classes up to which every cell shows its count."""
LETTERS = 14
"""Columns of a row's name, at most."""
NAMED = 160
"""Classes up to which rows and columns have names; those of more would be dust. Hovering names them all."""

Counts = NDArray[np.int64]


def class_order(n_classes: int, subsets: Sequence[Sequence[int]]) -> list[int]:
    """Return the classes in the order of the matrix: subset by subset, then those of none."""
    grouped = [c for subset in subsets for c in subset]
    return list(dict.fromkeys([*grouped, *range(n_classes)]))


def matrix(counts: Counts, names: Sequence[str], subsets: Sequence[Sequence[int]]) -> Markup:
    """Return the matrix: rows are true classes, columns predicted ones, shades shares of a row by their root.

    Right answers and mistakes have colours of their own, so that the few mistakes of a good model are seen.

    Args:
        counts: By true and predicted class, (classes, classes).
        names: Of the classes.
        subsets: The classes of each specialist; each is framed where its classes stand side by side.
    """
    order = class_order(len(names), subsets)
    counts = counts[np.ix_(order, order)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    levels = np.ceil(np.sqrt(shares) * LEVELS).astype(int)
    n = len(order)
    cell = max(3.0, min(40.0, 640.0 / n))
    short = fitted(names, LETTERS)
    letters = max(map(cell_len, short.values()))
    margin = (letters * min(0.62 * cell, 7.0) + 8 if n <= NAMED else 8.0) + 14
    side = n * cell
    cells = [_cells(levels, level, cell, right=right) for right in (True, False) for level in range(1, LEVELS + 1)]
    words = [*_names([short[names[c]] for c in order], cell)] if n <= NAMED else []
    words += [*_numbers(counts, levels, cell)] if n <= NUMBERED else []
    background = svg.element("rect", x=0, y=0, width=side, height=side, class_="cells")
    frames = _frames(order, subsets, cell)
    axes = [
        svg.text(side / 2, -margin + 11, "predicted", class_="middle"),
        svg.text(-side / 2, -margin + 11, "true", class_="middle", transform="rotate(-90)"),
    ]
    moved = svg.element("g", background, *cells, *frames, *words, *axes, transform=f"translate({margin:g} {margin:g})")
    whole = margin + side + 2
    return svg.figure(
        whole, whole, moved, label="Confusion matrix", class_="matrix", data_cell=cell, data_margin=margin,
        style=f"max-width:{whole:g}px",
    )  # fmt: skip


def hover_data(counts: Counts, names: Sequence[str], subsets: Sequence[Sequence[int]]) -> Json:
    """Return what the page's script tells of a cell: `names` in order, and of each row its `total` and `cells`."""
    order = class_order(len(names), subsets)
    counts = counts[np.ix_(order, order)]
    rows = [{int(j): int(row[j]) for j in np.flatnonzero(row)} for row in counts]
    return {"names": [names[c] for c in order], "rows": rows, "totals": counts.sum(axis=1).tolist()}


def largest(
    counts: Counts, names: Sequence[str], subsets: Sequence[Sequence[int]], n: int = 10
) -> list[dict[str, Any]]:
    """Return the mistakes made most often: `true`, `predicted`, `count`, `total`, and whether a subset holds `both`."""
    mistakes = counts - np.diag(np.diag(counts))
    places = np.argsort(-mistakes, axis=None, kind="stable")[:n]
    pairs = [divmod(int(place), len(names)) for place in places if mistakes.flat[place]]
    return [
        {
            "true": names[true],
            "predicted": names[predicted],
            "count": int(counts[true, predicted]),
            "total": int(counts[true].sum()),
            "both": any(true in subset and predicted in subset for subset in subsets),
        }
        for true, predicted in pairs
    ]


def _cells(levels: NDArray[np.int_], level: int, cell: float, *, right: bool) -> Markup:
    """Return all cells of one shade as one path: a hundred classes have too many cells for an element each."""
    on_diagonal = np.eye(len(levels), dtype=bool)
    rows, columns = np.nonzero((levels == level) & (on_diagonal == right))
    if not len(rows):
        return Markup("")
    squares = "".join(
        f"M{x * cell:g} {y * cell:g}h{cell:g}v{cell:g}h-{cell:g}z"
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
    )
    return svg.element("path", d=squares, class_=f"{'hit' if right else 'miss'} l{level}")


def _frames(order: Sequence[int], subsets: Sequence[Sequence[int]], cell: float) -> list[Markup]:
    place = {c: i for i, c in enumerate(order)}
    frames: list[Markup] = []
    for subset in subsets:
        places = sorted(place[c] for c in subset)
        if places[-1] - places[0] == len(places) - 1:
            start, side = places[0] * cell, len(places) * cell
            frames.append(svg.element("rect", x=start, y=start, width=side, height=side, class_="frame"))
    return frames


def _names(names: Sequence[str], cell: float) -> list[Markup]:
    size = min(0.8 * cell, 12.0)
    words: list[Markup] = []
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell + 0.35 * size
        style = f"font-size:{size:g}px"
        words.append(svg.text(-4, middle, name, class_="end", style=style))
        words.append(svg.text(4, middle, name, style=style, transform="rotate(-90)"))
    return words


def _numbers(counts: Counts, levels: NDArray[np.int_], cell: float) -> list[Markup]:
    return [
        svg.text((x + 0.5) * cell, (y + 0.65) * cell, int(counts[y, x]), class_=f"middle n{levels[y, x]}",
                 style=f"font-size:{0.36 * cell:g}px")
        for y, x in zip(*(places.tolist() for places in np.nonzero(counts)), strict=True)
    ]  # fmt: skip
