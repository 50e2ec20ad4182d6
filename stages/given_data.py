"""What given teachers were trained on, held against the data of a run. Imports nothing heavy.

A teacher that is given may know examples that a run holds out, or tests on: what is measured by these then says too
much good of it. That is no fault of the run, and nothing in its figures shows it, so it is told wherever they are.
"""

from collections.abc import Mapping
from typing import Literal, TypedDict

from pipeline.recipe import sha256
from pipeline.stage import Artifact, Facts, Json

Relation = Literal["these", "other_holdout", "other_data", "unknown"]
"""What a teacher was trained on: what this run trains on; these data, but without holding out the same; others; or
nothing says what."""

Seen = Mapping[str, Facts | None]
"""By teacher, what `trained_on` says of it; None where nothing does."""

_ON_HOLDOUT = "where the config asks for them, calibration, best epochs and the choice of a sweep"
_BY_GENERALIST = f"the confusion, the subsets that are found by it, and, {_ON_HOLDOUT}"
"""What is measured on the holdout, of a specialist and of the generalist."""


_TELLING = 64
"""Images that, with the labels of all, tell one data set from another."""


class Background(TypedDict):
    """What is known of a given teacher's training.

    `teacher` is `generalist`, or the name of a specialist's subset; `warning` what follows and what to do, None where
    the teacher cannot know what it is measured by.
    """

    teacher: str
    trained_on: Relation
    warning: str | None


def trained_on(dataset: Artifact) -> dict[str, Json]:
    """Return what tells which examples the networks of a training half have seen.

    Returns:
        Digests: `examples`, of all labels and of some images, and `held_out`, of what nobody has seen.
    """
    import numpy as np  # noqa: PLC0415  # who only reads what is said of a teacher does without

    labels, images = dataset.arrays["labels"], dataset.arrays["images"]
    some = images[np.linspace(0, len(images) - 1, min(len(images), _TELLING)).astype(np.int64)]
    return {
        "examples": sha256(labels.tobytes() + some.tobytes()),
        "held_out": sha256(np.ascontiguousarray(dataset.arrays["holdout"]).tobytes()),
    }


def backgrounds(seen: Seen, here: Facts, *, holds_out: bool) -> list[Background]:
    """Return what is known of each given teacher.

    Args:
        seen: What each has been trained on.
        here: The same of the teachers that this run trains, as `trained_on` returns it; may be empty where
            nothing is known of any teacher.
        holds_out: Whether the run holds anything out.
    """
    found: list[Background] = []
    for teacher, theirs in seen.items():
        relation = _relation(theirs, here)
        warning = _warning(teacher, relation, holds_out=holds_out)
        found.append({"teacher": teacher, "trained_on": relation, "warning": warning})
    return found


def _relation(seen: Facts | None, here: Facts) -> Relation:
    if seen is None:
        return "unknown"
    if seen["examples"] != here["examples"]:
        return "other_data"
    return "these" if seen["held_out"] == here["held_out"] else "other_holdout"


def _warning(teacher: str, relation: Relation, *, holds_out: bool) -> str | None:
    """Return who may know what, what follows, and what to do."""
    who, leave = _who(teacher)
    measured = _BY_GENERALIST if teacher == "generalist" else _ON_HOLDOUT
    if relation == "these" or (relation == "other_holdout" and not holds_out):
        return None
    if relation == "other_holdout":
        return (
            f"{who} was trained on these data without holding out what this run does, so it may know examples that this"
            f" run holds out. What is measured on the holdout may look better than it is: {measured}. Figures on the"
            f" test split stand. Take the seed and the data.holdout that it was trained with, if it had one, or {leave}"
        )
    known = {
        "other_data": f"{who} was trained on other data than these, or on these in another order",
        "unknown": f"nothing says what {who} was trained on, as the JSON does that `export` writes beside weights",
    }
    asked = "holds out or tests on" if holds_out else "tests on"
    where = f"on the holdout ({measured}), and on the test split" if holds_out else "on the test split"
    return (
        f"{known[relation]}, so it is not known whether it knows examples that this run {asked}. If it does, what is"
        f" measured {where} looks better than it is. Make sure that it was trained on none of these examples, or"
        f" {leave}"
    )


def _who(teacher: str) -> tuple[str, str]:
    """Return what people call a teacher, and how to do without it."""
    if teacher == "generalist":
        return "the given generalist", "leave generalist.from out"
    return f"the given specialist {teacher}", "leave it out of specialists.from"
