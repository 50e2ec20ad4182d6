"""Runs side by side as one page."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.report import figures
from stages.report.page import render
from stages.side_by_side import Difference, Scored


def write_page(
    letters: Mapping[str, str],
    settings: Mapping[str, Sequence[str]],
    runs: Sequence[Scored],
    differences: Sequence[Difference],
    *,
    parts: Sequence[Any],
    notes: Sequence[str],
    unpaired: str,
) -> str:
    """Return a comparison as HTML that needs nothing beside it.

    Args:
        letters: What each run is called, by its name.
        settings: By path, the values of the runs where they differ.
        runs: What their models score.
        differences: Of the others from the first.
        parts: The differences as text: each has a `title`, `rows` of three words, and a `note`.
        notes: What else is to be known, a sentence each.
        unpaired: Why there are no differences; empty where there are.
    """
    models = list(dict.fromkeys(model for run in runs for model in run.facts))
    return render(
        "compare.html.jinja",
        letters=letters,
        settings=settings,
        models=models,
        runs=runs,
        figures=_figures(letters, differences),
        parts=parts,
        notes=notes,
        unpaired=unpaired,
    )


def _figures(letters: Mapping[str, str], differences: Sequence[Difference]) -> list[dict[str, object]]:
    """Return by model the runs' differences from the first, in accuracy and in NLL."""
    found: list[dict[str, object]] = []
    for model in dict.fromkeys(one.model for one in differences):
        of_model = [one for one in differences if one.model == model and not one.same]
        if not of_model:
            continue
        drawings = [
            figures.intervals(
                [(letters[one.run], one.accuracy._asdict()) for one in of_model],
                label="points of accuracy more (right is better)",
            ),
            figures.intervals(
                [(letters[one.run], one.nll._asdict()) for one in of_model],
                label="nats of NLL more (left is better)",
                unit=1.0,
            ),
        ]
        found.append({"model": model, "drawings": drawings})
    return found
