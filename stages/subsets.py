"""Stage `subsets`: the confusable subsets of the classes, one for each specialist."""

from typing import Literal

from pipeline.stage import Artifact, Work
from specialists.subsets import confusable_subsets, coverage, held_confusion


def cluster(*, confusion: Artifact, count: int, size: int | None, method: Literal["confusion"], work: Work) -> Artifact:
    """Cluster the classes by what the generalist takes for what.

    Args:
        confusion: What stage `confusion` measured.
        count: Number of subsets.
        size: Classes of each; None where each class belongs to one subset.
        method: How they are found.
        work: Its seed starts the clustering.

    Returns:
        Facts `subsets`, each with its sorted `classes` and the share of the off-diagonal confusion `mass` it holds, and
        `cover`, the number of subsets that hold each class.
    """
    measured = confusion.arrays["confusion"]
    found = confusable_subsets(measured, count, size=size, seed=work.seed % 2**32)
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
