"""The tasks of the teachers."""

import pytest

from pipeline.errors import ConfigError
from tests.stages.tasks.listing import KNOWN, listed, recipes


def test_specialist_is_named_by_its_classes():
    assert list(listed("specialist")) == ["specialist[0-1]", "specialist[2-3]"]


def test_calibration_is_of_every_teacher_and_only_where_asked_for():
    assert listed("calibration") == {}
    assert list(listed("calibration", combine__calibrate=True)) == [
        "calibration[generalist]",
        "calibration[0-1]",
        "calibration[2-3]",
    ]


@pytest.mark.parametrize(("classes", "count"), [(3, 1), (4, 2), (5, 2), (6, 3), (100, 3)])
def test_count_of_specialists_is_what_fits_where_none_is_asked_for(classes, count):
    known = KNOWN | {
        "data[train]": {"transfer": 240, "class_names": [str(c) for c in range(classes)], "image_shape": [8, 8, 1]}
    }
    (kept,) = recipes("subsets", known).values()
    assert kept["parameters"]["specialists.count"] == count


def test_listed_subsets_have_one_recipe_however_they_are_listed():
    manual = {"specialists__method": "manual"}
    by_id = recipes("subsets", specialists__subsets=[[2, 3], [0, 1]], **manual)
    by_name = recipes("subsets", specialists__subsets=[["b", "a"], ["d", 2]], **manual)
    assert by_id == by_name
    assert by_id["subsets"]["parameters"] == {
        "specialists.method": "manual",
        "specialists.subsets": [[0, 1], [2, 3]],
    }


def test_listed_subsets_of_unknown_classes_are_refused():
    with pytest.raises(ConfigError, match=r"specialists.subsets\[0\]\[1\]: must be the name of a class; got 'f'"):
        listed("subsets", specialists__method="manual", specialists__subsets=[["a", "f"]])


def test_regularizing_trains_specialists_anew_alone():
    changes = {"specialists__regularize": "soft_targets"}
    assert recipes("specialist") != recipes("specialist", **changes)
    for stage in ("generalist", "confusion", "subsets"):
        assert recipes(stage) == recipes(stage, **changes)


def test_specialist_does_not_depend_on_the_other_subsets():
    others = KNOWN | {"subsets": {"subsets": [{"classes": [2, 3]}, {"classes": [0, 4]}, {"classes": [1, 4]}]}}
    changes = {"specialists__count": 2, "specialists__size": 2, "student__epochs": 1}
    before, after = recipes("specialist"), recipes("specialist", others, **changes)
    assert before["specialist[2-3]"] == after["specialist[2-3]"]
    assert recipes("targets")["targets[2-3/0.0]"] == recipes("targets", others, **changes)["targets[2-3/0.0]"]


@pytest.mark.parametrize("stage", ["generalist", "confusion", "subsets", "specialist"])
def test_teachers_do_not_depend_on_views_combination_or_student(stage):
    changes = {"data__views": 9, "combine__active_classes": 1, "student__epochs": 1, "student__temperature": 1.0}
    assert recipes(stage) == recipes(stage, **changes)


def test_folds_are_generalists_of_their_own_with_seeds_of_their_own():
    assert listed("fold") == {}
    found = listed("fold", data__folds=3, generalist__threads=2)
    assert list(found) == ["fold[0]", "fold[1]", "fold[2]"]
    trained = listed("generalist", data__folds=3, generalist__threads=2)["generalist"]
    for number, task in enumerate(found.values()):
        assert task.parameters == trained.parameters | {"fold": number}
        assert (task.inputs, task.settings, task.threads) == (trained.inputs, trained.settings, 2)
    assert len({one["seed"] for one in recipes("fold", data__folds=3).values()}) == 3


def test_confusion_is_of_the_folds_where_there_are_any():
    assert listed("confusion")["confusion"].inputs == {"dataset": "data[train]", "generalist": "generalist"}
    of_folds = listed("confusion", data__folds=2)["confusion"]
    assert of_folds.inputs == {"dataset": "data[train]", "folds": ["fold[0]", "fold[1]"]}
    assert of_folds.function == "stages.confusion:gather"


@pytest.mark.parametrize("stage", ["generalist", "specialist", "targets", "combined", "student"])
def test_folds_change_of_other_recipes_nothing_but_the_data(stage):
    assert recipes(stage) == recipes(stage, data__folds=3)


def test_what_changed_of_balanced_trainings_changes_their_recipes_alone():
    plain, balanced = (recipes("generalist", generalist__sampling=how)["generalist"] for how in ("data", "balanced"))
    assert "revision" not in plain
    assert balanced["revision"] == 2
    folds = recipes("fold", data__folds=2, generalist__sampling="balanced")
    assert {recipe["revision"] for recipe in folds.values()} == {2}


def test_recipes_hold_the_library_that_makes_a_network():
    def libraries(stage, known=KNOWN, **changes):
        found = recipes(stage, known, **changes)
        return [set(recipe["packages"]) - {"torch", "numpy"} for recipe in found.values()]

    of_teachers = {"generalist__model": {"name": "torchvision:resnet18"}}
    assert libraries("generalist", **of_teachers) == [{"torchvision"}]
    assert libraries("specialist", **of_teachers) == [{"torchvision"}] * 2
    assert libraries("models", **of_teachers) == [{"torchvision"}]
    assert libraries("student", **of_teachers) == [set()] * 3
    assert libraries("student", student__model={"name": "torchvision:resnet18"}) == [{"torchvision"}] * 3
    assert libraries("refit-generalist", refit=True, **of_teachers) == [{"torchvision"}]
    assert libraries("generalist") == [set()]


@pytest.mark.parametrize(
    ("weights", "name", "library"),
    [
        ("/a.pth", None, {"torchvision"}),
        ("/a.pth", "timm:resnet18", {"timm"}),
        ("/a.pth", "cnn", set()),
        ("python:my:net", None, set()),
    ],
)
def test_recipes_hold_the_library_of_a_network_that_is_there(weights, name, library):
    pytest.importorskip("timm")
    said = None if name is None else {
        "model": {"name": name}, "class_names": list("abcdeg"), "image_size": [8, 8], "channels": 1,
    }  # fmt: skip
    there = {"content": "c" * 64, "weights": weights, "description": said}
    known = KNOWN | {"models": {"given": {("generalist", "from"): there}}}
    changes = {"generalist__from": weights, "generalist__model": {"name": "torchvision:resnet18"}}
    for stage, task_id in (("given", "given[generalist]"), ("specialist", "specialist[0-1]")):
        found = recipes(stage, known, **changes)[task_id]
        assert set(found["packages"]) - {"torch", "numpy"} == library
