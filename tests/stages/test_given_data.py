"""What given teachers may know: told by what they were trained on, and not told where they know nothing."""

import numpy as np
import pytest

from pipeline.stage import Artifact
from stages.given_data import Teacher, backgrounds, trained_on, warnings_of

HERE = {"examples": "a", "held_out": "b"}
OTHER_HOLDOUT = {"examples": "a", "held_out": "c"}
OTHER_DATA = {"examples": "c", "held_out": "b"}


GENERALIST, SPECIALIST = Teacher("generalist"), Teacher("2-3", ("cat", "dog"))


def told(teacher, seen, *, holds_out=True):
    (found,) = backgrounds([teacher], {teacher.name: seen}, HERE, holds_out=holds_out)
    assert found["teacher"] == teacher.name
    return found["trained_on"], found["warning"]


def changed(dataset, **arrays):
    return trained_on(Artifact({**dataset.arrays, **arrays}, dataset.facts))


def test_what_is_seen_is_told_by_labels_images_and_holdout(dataset):
    seen, arrays = trained_on(dataset), dataset.arrays
    assert trained_on(dataset) == seen
    assert changed(dataset, labels=np.roll(arrays["labels"], 1))["examples"] != seen["examples"]
    assert changed(dataset, images=255 - arrays["images"])["examples"] != seen["examples"]
    other = changed(dataset, holdout=np.roll(arrays["holdout"], 1))
    assert (other["examples"], other["held_out"] == seen["held_out"]) == (seen["examples"], False)


@pytest.mark.parametrize("teacher", [GENERALIST, SPECIALIST])
@pytest.mark.parametrize("holds_out", [True, False])
def test_nothing_is_said_of_a_teacher_that_was_trained_on_the_same(teacher, holds_out):
    assert told(teacher, HERE, holds_out=holds_out) == ("these", None)
    assert told(teacher, {**HERE, "seed": 7}, holds_out=holds_out) == ("these", None)


def test_generalist_that_may_know_the_holdout_is_told_of():
    relation, warning = told(GENERALIST, OTHER_HOLDOUT)
    assert relation == "other_holdout"
    assert warning == (
        "the given generalist was trained on these data without holding out what this run does: figures on the holdout"
        " (confusion, calibration, best epochs, sweeps) may look better than they are; those on the test split stand."
        " Take its seed and data.holdout"
    )


def test_specialist_confuses_nothing_that_is_measured():
    _, warning = told(SPECIALIST, OTHER_HOLDOUT)
    assert warning.startswith("the given specialist for cat, dog was trained on these data without holding out what")
    assert "on the holdout (calibration, best epochs, sweeps) may look" in warning


def test_other_holdout_matters_to_nobody_who_holds_nothing_out():
    assert told(SPECIALIST, OTHER_HOLDOUT, holds_out=False) == ("other_holdout", None)


@pytest.mark.parametrize(
    ("seen", "relation", "known"),
    [
        (
            OTHER_DATA,
            "other_data",
            "the given specialist for cat, dog was trained on other data than these, or on these in another order",
        ),
        (None, "unknown", "nothing says what the given specialist for cat, dog was trained on"),
    ],
)
def test_of_other_data_it_is_said_that_nothing_is_known(seen, relation, known):
    after = "figures on these look better than they are. If on none, say so: `trained_on: training` beside `weights`"
    found, warning = told(SPECIALIST, seen)
    assert found == relation
    assert warning == f"{known}: if on examples that this run holds out or tests on, {after}"
    assert told(SPECIALIST, seen, holds_out=False)[1] == f"{known}: if on examples that this run tests on, {after}"


@pytest.mark.parametrize(
    ("seen", "relation"),
    [(None, "attested"), (OTHER_DATA, "attested"), (OTHER_HOLDOUT, "other_holdout"), (HERE, "these")],
)
def test_owner_answers_for_what_nothing_else_tells(seen, relation):
    found, warning = told(GENERALIST._replace(is_attested=True), seen)
    assert (found, warning is None) == (relation, relation != "other_holdout")


def test_one_warning_is_for_all_teachers_of_which_the_same_is_known():
    others = [Teacher(f"{n}", (f"class {n}", "a name longer than there is room for", "x")) for n in range(20, 24)]
    teachers = [GENERALIST, SPECIALIST, Teacher("4", ("cow", "pig")), *others, Teacher("5", ("a", "b"), True)]
    seen = dict.fromkeys(teacher.name for teacher in teachers) | {"4": OTHER_HOLDOUT}
    found = backgrounds(teachers, seen, HERE, holds_out=True)
    assert [one["trained_on"] for one in found] == [
        "unknown", "unknown", "other_holdout", *["unknown"] * 4, "attested",
    ]  # fmt: skip
    first, second = warnings_of(found)
    assert first.startswith(
        "nothing says what the given generalist and specialists for cat, dog; class 20 and 2 more; "
    )
    assert "; 2 others were trained on: if" in first
    assert first.endswith("`trained_on: training` beside `from` and `weights`")
    assert second.startswith("the given specialist for cow, pig was trained on these data without")


def test_warning_of_three_teachers_is_short_enough_to_be_read():
    teachers = [GENERALIST, Teacher("0-3-4", ("bolt", "pin", "spring")), Teacher("1-2-5", ("gasket", "nut", "washer"))]
    found = backgrounds(teachers, dict.fromkeys(teacher.name for teacher in teachers), {}, holds_out=True)
    (warning,) = warnings_of(found)
    assert len(warning) < 300
    assert "the given generalist and specialists for bolt, pin, spring; gasket, nut, washer were" in warning
