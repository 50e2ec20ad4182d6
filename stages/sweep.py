"""Stage `sweep`: the settings of each variant that do best on the holdout. Imports no torch."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from pipeline.stage import Artifact, Json, Work


def choose(
    *,
    students: Sequence[Artifact],
    candidates: Sequence[tuple[str, dict[str, Any]]],
    measure: Literal["accuracy", "nll"],
    work: Work,  # noqa: ARG001  # nothing is drawn, and there is nothing to show
) -> Artifact:
    """Choose among the students by what they came to on the holdout; nothing here has seen the test split.

    Args:
        students: All students that were trained.
        candidates: Of each, its variant and what the sweep sets for it; those that differ in seed alone are equal.
        measure: What must be best, averaged over seeds; of equal ones the other measure decides, then the order.
        work: Nothing of it is used.

    Returns:
        Facts: `measure`; `grid`, by variant a list of `settings`, their mean `accuracy` and `nll` on the holdout, and
        `seeds`, both of each seed; `chosen`, by variant the settings.
    """
    grid: dict[str, list[dict[str, Json]]] = {}
    for (variant, settings), student in zip(candidates, students, strict=True):
        points = grid.setdefault(variant, [])
        if not points or points[-1]["settings"] != settings:
            points.append({"settings": settings, "seeds": []})
        points[-1]["seeds"].append(student.facts["holdout"])
    for point in (point for points in grid.values() for point in points):
        point |= {name: fmean(seed[name] for seed in point["seeds"]) for name in ("accuracy", "nll")}

    def merit(point: dict[str, Json]) -> tuple[float, float]:
        pair = (point["accuracy"], -point["nll"])
        return pair if measure == "accuracy" else (pair[1], pair[0])

    chosen = {variant: max(points, key=merit)["settings"] for variant, points in grid.items()}
    return Artifact(facts={"measure": measure, "grid": grid, "chosen": chosen})
