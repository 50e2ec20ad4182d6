"""The arrays of results that grow with the examples, by name: as a stage writes them, and the bytes that they take.

They are named once, for arrays when a stage writes them and for the bytes of each when a plan asks, so that neither can
know of one that the other does not. Rows of soft targets are in `tables`, those of views in `learning.amounts`. Imports
neither torch nor numpy.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
"""An array, or its bytes."""

N_SHOWN = 12
"""Examples whose images an evaluation keeps at most, to be looked at."""

ID_BYTES = 8
"""Of an example's id, or its label: int64."""

_FLAG_BYTES = 1

ABOUT_BYTES = 1000
"""What is said of one thing, a result or a model, takes less: facts, and names, shapes and places of its arrays."""

NUMBER_BYTES = 25
"""Of a number among the facts at most: all digits of a float64, and a comma."""


def bounds(arrays: int, facts: int = 0) -> tuple[int, int]:
    """Return the bytes that a result takes at least and at most.

    Args:
        arrays: Bytes of its arrays.
        facts: Bytes at most of what is said of each class, model or epoch.
    """
    return arrays, arrays + facts + ABOUT_BYTES


def half(*, images: T, labels: T, holdout: T | None = None, folds: T | None = None) -> dict[str, T]:
    """Return what a half of a data set holds: of the test half images and labels alone."""
    found = {"images": images, "labels": labels, "holdout": holdout, "fold": folds}
    return {name: one for name, one in found.items() if one is not None}


def half_bytes(n: int, image_bytes: int, *, is_test: bool, has_folds: bool) -> int:
    """Return the bytes of a half of n examples."""
    held_out = None if is_test else _FLAG_BYTES * n
    dealt = ID_BYTES * n if has_folds else None
    return sum(half(images=image_bytes * n, labels=ID_BYTES * n, holdout=held_out, folds=dealt).values())


def fold(*, examples: T, log_probs: T) -> dict[str, T]:
    """Return what is predicted of the examples of a fold."""
    return {"examples": examples, "log_probs": log_probs}


def fold_bounds(n: int, classes: int, epochs: int) -> tuple[int, int]:
    """Return the bounds of that of n examples, or one more, and of the history of a training of so many epochs."""
    least, most = (sum(fold(examples=ID_BYTES * n, log_probs=_scores_bytes(n, classes)).values()) for n in (n, n + 1))
    history = epochs * 8 * NUMBER_BYTES  # of each four figures, and their names
    return least, bounds(most, history)[1]


def confusion(*, probs: T, labels: T, class_means: T) -> dict[str, T]:
    """Return what is predicted of all that is held out, and the mean of it for each class."""
    return {"probs": probs, "labels": labels, "confusion": class_means}


def confusion_bytes(n: int, classes: int) -> int:
    """Return the bytes of that of n examples; the means are float64."""
    held = confusion(probs=_scores_bytes(n, classes), labels=ID_BYTES * n, class_means=8 * classes**2)
    return sum(held.values())


def evaluation(
    *,
    labels: T,
    generalist: T,
    ensemble: T,
    students: Mapping[str, T],
    specialists: Mapping[str, T],
    active: T,
    shown: T,
    shown_images: T,
) -> dict[str, T]:
    """Return what is measured on the test split.

    Args:
        labels: Of all examples.
        generalist: Log-probabilities of all examples, as are those below.
        ensemble: Those of the combination.
        students: By variant, with `/` and the seed after it where that is not the first.
        specialists: By name, over the subset and the dustbin.
        active: Flags (examples, specialists).
        shown: Ids of `N_SHOWN` examples at most.
        shown_images: Their images.
    """
    return {
        "labels": labels,
        "generalist": generalist,
        "ensemble": ensemble,
        "active": active,
        "shown": shown,
        "shown-images": shown_images,
        **{f"student-{name}": one for name, one in students.items()},
        **{f"specialist-{name}": one for name, one in specialists.items()},
    }


def evaluation_bounds(
    n: int,
    classes: int,
    image_bytes: int,
    *,
    n_variants: int,
    n_seeds: int,
    subsets: Sequence[int],
    class_bytes: int,
) -> tuple[int, int]:
    """Return the bounds of what is measured on n examples.

    Args:
        n: Number of test examples.
        classes: Number of classes.
        image_bytes: Bytes of an image.
        n_variants: Number of variants of the student.
        n_seeds: Number of students of each.
        subsets: Of each specialist, the number of its classes.
        class_bytes: What is said of a class takes at most.
    """
    scores, n_students = _scores_bytes(n, classes), n_variants * n_seeds

    def arrays(n_shown: int) -> int:
        held = evaluation(
            labels=ID_BYTES * n,
            generalist=scores,
            ensemble=scores,
            students={str(i): scores for i in range(n_students)},
            specialists={str(m): _scores_bytes(n, size + 1) for m, size in enumerate(subsets)},
            active=_FLAG_BYTES * n * len(subsets),
            shown=ID_BYTES * n_shown,
            shown_images=image_bytes * n_shown,
        )
        return sum(held.values())

    # Of each class its examples, its share of right answers by every model, and its place in subsets.
    of_classes = ((3 + n_variants) * classes + sum(subsets)) * class_bytes
    of_models = (2 + len(subsets) + n_students) * ABOUT_BYTES
    # An example is shown if the specialists changed something of it: how many are is seen when they are asked.
    return arrays(0), bounds(arrays(min(N_SHOWN, n)), of_classes + of_models)[1]


def _scores_bytes(n: int, outputs: int) -> int:
    """Return the bytes of (log-)probabilities of n examples: float32."""
    return 4 * n * outputs
