"""Stage `subsets`: the confusable subsets of the classes, one for each specialist."""

from collections.abc import Sequence
from typing import Literal

from pipeline.stage import Artifact, Work
from specialists.subsets import (
    confusable_subsets,
    covariance_subsets,
    coverage,
    given_subsets,
    held_confusion,
    shuffled_subsets,
)


def cluster(
    *,
    confusion: Artifact,
    method: Literal["confusion", "covariance", "random", "manual"],
    count: int | None = None,
    size: int | None = None,
    subsets: Sequence[Sequence[int]] = (),
    work: Work,
) -> Artifact:
    """Divide the classes by what the generalist takes for what, or take the subsets that are listed.

    Args:
        confusion: What stage `confusion` measured.
        method: How they are found: `confusion` and `covariance` cluster the generalist's predictions, `random` deals
            out the classes to subsets like those that `confusion` finds, `manual` takes those listed.
        count: Number of subsets, but for `manual`.
        size: Classes of each; None for what the clustering finds, which covers every class unless `count` is 1. A
            class may be in two subsets even then, where a cluster had to grow to 2 classes.
        subsets: Of `manual`, the class ids of each.
        work: Its seed starts the clustering and deals out the classes.

    Returns:
        Facts `method`; `subsets`, each with its sorted `classes` and the share of the off-diagonal confusion `mass` it
        holds; and `cover`, the number of subsets that hold each class.

    Raises:
        SpecialistsError: There can be no such subsets; lists all faults.
    """
    measured = confusion.arrays["confusion"]
    if method == "manual" or count is None:
        found = given_subsets(subsets, len(measured))
    elif method == "covariance":
        found = covariance_subsets(confusion.arrays["probs"], count, size=size, seed=work.seed)
    else:
        found = confusable_subsets(measured, count, size=size, seed=work.seed)
    if method == "random":
        found = shuffled_subsets(found, len(measured), work.seed)
    held = held_confusion(measured, found)
    return Artifact(
        facts={
            "method": method,
            "subsets": [
                {"classes": list(subset), "mass": float(mass)} for subset, mass in zip(found, held, strict=True)
            ],
            "cover": [int(n) for n in coverage(found, len(measured))],
        }
    )
