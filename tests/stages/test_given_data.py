"""What given teachers may know: told by what they were trained on, and not told where they know nothing."""

import numpy as np
import pytest

from pipeline.stage import Artifact
from stages.given_data import backgrounds, trained_on

HERE = {"examples": "a", "held_out": "b"}
OTHER_HOLDOUT = {"examples": "a", "held_out": "c"}
OTHER_DATA = {"examples": "c", "held_out": "b"}


def told(teacher, seen, *, holds_out=True):
    (found,) = backgrounds({teacher: seen}, HERE, holds_out=holds_out)
    assert found["teacher"] == teacher
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


@pytest.mark.parametrize("teacher", ["generalist", "2-3"])
@pytest.mark.parametrize("holds_out", [True, False])
def test_nothing_is_said_of_a_teacher_that_was_trained_on_the_same(teacher, holds_out):
    assert told(teacher, HERE, holds_out=holds_out) == ("these", None)
    assert told(teacher, {**HERE, "seed": 7}, holds_out=holds_out) == ("these", None)


def test_generalist_that_may_know_the_holdout_is_told_of():
    relation, warning = told("generalist", OTHER_HOLDOUT)
    assert relation == "other_holdout"
    assert warning == (
        "the given generalist was trained on these data without holding out what this run does, so it may know"
        " examples that this run holds out. What is measured on the holdout may look better than it is: the confusion,"
        " the subsets that are found by it, and, where the config asks for them, calibration, best epochs and the"
        " choice of a sweep. Figures on the test split stand. Take the seed and the data.holdout that it was trained"
        " with, if it had one, or leave generalist.from out"
    )


def test_specialist_confuses_nothing_that_is_measured():
    _, warning = told("2-3", OTHER_HOLDOUT)
    assert warning.startswith(
        "the given specialist 2-3 was trained on these data without holding out what this run does, so"
    )
    assert (
        "better than it is: where the config asks for them, calibration, best epochs and the choice of a sweep."
        in warning
    )
    assert warning.endswith("or leave it out of specialists.from")


def test_other_holdout_matters_to_nobody_who_holds_nothing_out():
    assert told("2-3", OTHER_HOLDOUT, holds_out=False) == ("other_holdout", None)


@pytest.mark.parametrize(
    ("seen", "relation", "known"),
    [
        (
            OTHER_DATA,
            "other_data",
            "the given specialist 2-3 was trained on other data than these, or on these in another",
        ),
        (None, "unknown", "nothing says what the given specialist 2-3 was trained on, as the JSON does that `export`"),
    ],
)
def test_of_other_data_it_is_said_that_nothing_is_known(seen, relation, known):
    found, warning = told("2-3", seen)
    assert found == relation
    assert warning.startswith(known)
    assert "so it is not known whether it knows examples that this run holds out or tests on. If it does" in warning
    _, warning = told("2-3", seen, holds_out=False)
    assert "knows examples that this run tests on. If it does, what is measured on the test split looks" in warning


def test_nothing_has_to_be_known_of_the_data_where_nothing_is_of_the_teachers():
    found = backgrounds({"generalist": None, "2-3": None}, {}, holds_out=True)
    assert [one["trained_on"] for one in found] == ["unknown", "unknown"]
