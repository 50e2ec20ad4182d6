"""What given teachers were trained on, held against the data of a run. Imports nothing heavy.

A teacher that is given may know examples that a run holds out, or tests on: what is measured by these then says too
much good of it. That is no fault of the run, and nothing in its figures shows it, so it is told wherever they are.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict

from pipeline.counted import counted
from pipeline.labels import fitted, listed_within
from pipeline.recipe import sha256
from pipeline.stage import Artifact, Facts, Json

Relation = Literal["these", "attested", "other_holdout", "other_data", "unknown"]
"""What a teacher was trained on: what this run trains on; nothing that it holds out or tests on, as the config says;
these data, but without holding out the same; others; or nothing says what."""

_DOUBTED: tuple[Relation, ...] = ("unknown", "other_data", "other_holdout")

Seen = Mapping[str, Facts | None]
"""By teacher, what `trained_on` says of it; None where nothing does."""

_TELLING = 64
"""Images that, with the labels of all, tell one data set from another."""

_LETTERS, _LIST, _SHOWN = 16, 28, 3
"""Columns for the name of a class, and for the classes of a specialist; and how many specialists are named."""


class Teacher(NamedTuple):
    """A given teacher.

    Attributes:
        name: `generalist`, or the name of a specialist's subset.
        classes: The names of a specialist's classes; none of the generalist.
        is_attested: Whether the config says that it has seen nothing that the run holds out or tests on.
    """

    name: str
    classes: Sequence[str] = ()
    is_attested: bool = False


class Background(TypedDict):
    """What is known of a given teacher's training.

    `teacher` is its name; `warning` what follows and what to do, None where the teacher cannot know what it is measured
    by. All of which the same is known have one warning.
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


def backgrounds(teachers: Sequence[Teacher], seen: Seen, here: Facts, *, holds_out: bool) -> list[Background]:
    """Return what is known of each given teacher.

    Args:
        teachers: The teachers.
        seen: What each has been trained on.
        here: The same of the teachers that this run trains, as `trained_on` returns it; may be empty where
            nothing is known of any teacher.
        holds_out: Whether the run holds anything out.
    """
    relations = {teacher.name: _relation(teacher, seen[teacher.name], here) for teacher in teachers}
    warnings = {
        relation: _warning([one for one in teachers if relations[one.name] == relation], relation, holds_out=holds_out)
        for relation in _DOUBTED
    }
    return [
        {"teacher": name, "trained_on": relation, "warning": warnings.get(relation)}
        for name, relation in relations.items()
    ]


def warnings_of(found: Sequence[Background]) -> list[str]:
    """Return what there is to be warned of, each warning once."""
    return list(dict.fromkeys(one["warning"] for one in found if one["warning"] is not None))


def _relation(teacher: Teacher, seen: Facts | None, here: Facts) -> Relation:
    if seen is None:
        return "attested" if teacher.is_attested else "unknown"
    if seen["examples"] != here["examples"]:
        return "attested" if teacher.is_attested else "other_data"
    return "these" if seen["held_out"] == here["held_out"] else "other_holdout"


def _warning(teachers: Sequence[Teacher], relation: Relation, *, holds_out: bool) -> str | None:
    """Return who may know what, what follows, and what to do."""
    if not teachers or (relation == "other_holdout" and not holds_out):
        return None
    who, were = _who(teachers), "was" if len(teachers) == 1 else "were"
    if relation == "other_holdout":
        confusion = "confusion, " if any(not one.classes for one in teachers) else ""
        return (
            f"{who} {were} trained on these data without holding out what this run does: figures on the holdout"
            f" ({confusion}calibration, best epochs, sweeps) may look better than they are; those on the test split"
            f" stand. Take {'its' if len(teachers) == 1 else 'their'} seed and data.holdout"
        )
    known = {
        "other_data": f"{who} {were} trained on other data than these, or on these in another order",
        "unknown": f"nothing says what {who} {were} trained on",
    }
    asked = "holds out or tests on" if holds_out else "tests on"
    return (
        f"{known[relation]}: if on examples that this run {asked}, figures on these look better than they are. If on"
        f" none, say so: {_answer(teachers)}"
    )


def _who(teachers: Sequence[Teacher]) -> str:
    """Return what people call given teachers: specialists by their classes."""
    specialists = [one.classes for one in teachers if one.classes]
    whose = ["the given generalist"] if len(specialists) < len(teachers) else []
    if specialists:
        short = fitted((name for classes in specialists for name in classes), _LETTERS)
        lists = [listed_within([short[name] for name in classes], _LIST) for classes in specialists[:_SHOWN]]
        lists += [counted(len(specialists) - _SHOWN, "other")] if len(specialists) > _SHOWN else []
        article = "" if whose else "the given "
        several = "s" if len(specialists) > 1 else ""
        whose.append(f"{article}specialist{several} for {'; '.join(lists)}")
    return " and ".join(whose)


def _answer(teachers: Sequence[Teacher]) -> str:
    """Return the line of the config that answers for teachers."""
    beside = {"`from`" if not one.classes else "`weights`" for one in teachers}
    return f"`trained_on: training` beside {' and '.join(sorted(beside))}"
