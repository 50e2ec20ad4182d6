"""What can be wrong with somebody's rows, told all at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.imported.files import Rows
from stages.imported.parquet import Ids

N_SHOWN = 3
"""Of rows that have a fault so many are named."""


@dataclass(frozen=True)
class Places:
    """Where rows belong.

    Attributes:
        examples: Of each row the example's id, int64 (rows,).
        views: Of each row the view, int64 (rows,); zeros where a row is of the example whatever the view.
        order: The rows by view and then by example, int64 (rows,).
    """

    examples: Ids
    views: Ids
    order: Ids


def places(rows: Rows) -> Places:
    """Return where the rows of a file belong."""
    n_rows = rows.shape[0]
    examples = np.arange(n_rows) if rows.examples is None else rows.examples
    views = np.zeros(n_rows, dtype=np.int64) if rows.views is None else rows.views
    return Places(examples, views, np.lexsort((examples, views)))


def id_faults(rows: Rows, where: Places, *, n_examples: int, shown: Mapping[int, Ids] | None) -> Iterator[str]:
    """Yield what is wrong with ids and views.

    Args:
        rows: The rows.
        where: Where they belong.
        n_examples: Examples of the training half.
        shown: Of a file with views, the examples that each view of the run shows, ascending.
    """
    if rows.examples is None and len(where.examples) != n_examples:
        rule = (
            f"have a row for each of the {n_examples} training examples, or come with each row's example by --examples"
        )
        yield f"must {rule}; got {len(where.examples)} rows"
        return
    outside = (where.examples < 0) | (where.examples >= n_examples)
    if outside.any():
        yield f"examples must be within 0..{n_examples - 1}; got {_some(outside, where.examples)}"
    if shown is not None:
        yield from _view_faults(where, shown, ~outside)
    if (again := _repeated(where)).any():
        rule = "have one row" if shown is None else "have one row in each view"
        yield f"each example must {rule}; got another of {_some(again, where.examples)}"


def _view_faults(where: Places, shown: Mapping[int, Ids], known: NDArray[np.bool_]) -> Iterator[str]:
    strange = ~np.isin(where.views, list(shown))
    if strange.any():
        numbers = ", ".join(map(str, sorted(shown)))
        yield f"views must be those of the run, {numbers}; got {_some(strange, where.views)}"
    unseen = np.zeros_like(strange)
    for number, examples in shown.items():
        of_view = where.views == number
        unseen[of_view] = ~np.isin(where.examples[of_view], examples)
    unseen &= known
    if unseen.any():
        rule = "be of the transfer set where views are given, for the holdout has none"
        yield f"examples must {rule}; got {_some(unseen, where.examples)}"


def _repeated(where: Places) -> NDArray[np.bool_]:
    """Return which rows are of the same example and view as one before."""
    before, after = where.order[:-1], where.order[1:]
    same = (where.examples[before] == where.examples[after]) & (where.views[before] == where.views[after])
    found = np.zeros(len(where.order), dtype=bool)
    found[after[same]] = True
    return found


def number_faults(rows: Rows) -> Iterator[str]:
    """Yield what is wrong with the numbers; reads all of them once, block by block."""
    tolerance = 1e-2 if rows.dtype.itemsize == 2 else 1e-3
    unfit: list[Ids] = []
    unnormalised: list[Ids] = []
    for block in rows.blocks():
        numbers = rows.block(block).astype(np.float64)
        fit, total = _judged(numbers, rows.meaning)
        unfit.append(block.start + np.flatnonzero(~fit))
        if total is not None:
            unnormalised.append(block.start + np.flatnonzero(fit & (np.abs(total - 1) > tolerance)))
    if message := _in_rows(unfit):
        yield f"{rows.meaning} must be {_RULES[rows.meaning]}; got otherwise in {message}"
    if message := _in_rows(unnormalised):
        rule = f"be of distributions, which sum to 1 within {tolerance:g}"
        yield f"{rows.meaning} must {rule}; got otherwise in {message}"


_RULES = {
    "logits": "finite numbers",
    "log-probs": "finite numbers or minus infinity",
    "probs": "finite numbers of 0 or more",
}


def _judged(numbers: NDArray[np.float64], meaning: str) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Return which rows hold what they may, and what their probabilities sum to, where they are probabilities."""
    allowed, total = np.isfinite(numbers), None
    if meaning == "probs":
        allowed, total = allowed & (numbers >= 0), numbers.sum(axis=1)
    if meaning == "log-probs":
        with np.errstate(over="ignore"):
            # A row of nothing but minus infinity sums to 0, which is told.
            allowed, total = allowed | np.isneginf(numbers), np.exp(numbers).sum(axis=1)
    fit: NDArray[np.bool_] = np.logical_and.reduce(allowed, axis=1)
    return fit, total


def _in_rows(parts: Sequence[Ids]) -> str:
    found = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    if not len(found):
        return ""
    first = ", ".join(str(row) for row in found[:N_SHOWN])
    return f"row {first}" if len(found) == 1 else f"{len(found)} rows, such as {first}"


def _some(wrong: NDArray[np.bool_], values: Ids) -> str:
    """Return the first values that are wrong and the rows they are in, and how many more there are."""
    rows = np.flatnonzero(wrong)
    first = ", ".join(f"{values[row]} in row {row}" for row in rows[:N_SHOWN])
    return first if len(rows) <= N_SHOWN else f"{first} and {len(rows) - N_SHOWN} more"
