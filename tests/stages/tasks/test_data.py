"""The tasks of the data."""

import pytest

from pipeline.errors import MisfitError
from tests.stages.tasks.listing import KNOWN, STAGE, listed, recipes


def test_the_transfer_set_is_chosen_where_it_is_not_everything():
    assert not listed("transfer")
    found = listed("transfer", data__transfer={"omit": ["c", 5]})["transfer"]
    assert found.parameters == {"data.transfer.classes": [0, 1, 3, 4], "data.transfer.fraction": 1.0}
    found = listed("transfer", data__transfer={"classes": ["g", 0], "fraction": 0.5})["transfer"]
    assert found.parameters == {"data.transfer.classes": [0, 5], "data.transfer.fraction": 0.5}
    with pytest.raises(MisfitError, match="must be the name of a class; got 'x'"):
        listed("transfer", data__transfer={"omit": ["x"]})


def test_what_follows_the_transfer_set_knows_its_size_and_teachers_do_not_care():
    chosen = {"data__transfer": {"fraction": 0.1}}
    known = KNOWN | {"transfer": {"rows": 24}}
    assert listed("views", **chosen)["views[0]"].inputs == {"dataset": "data[train]", "transfer": "transfer"}
    assert listed("targets", known, **chosen)["targets[generalist/0.0]"].parameters["rows"] == (0, 24)
    assert recipes("generalist", known, **chosen) == recipes("generalist")
    assert recipes("specialist", known, **chosen) == recipes("specialist")


def test_views_may_be_drawn_otherwise_than_the_teachers_examples():
    shifted = {"data__transfer": {"augment": {"shift": 2}}}
    found = listed("views", data__views=2, **shifted)
    assert [task.parameters["data.transfer.augment"].shift for task in found.values()] == [2, 2]
    assert found["views[0]"].inputs == {"dataset": "data[train]"}
    assert recipes("generalist", **shifted) == recipes("generalist")
    assert recipes("specialist", **shifted) == recipes("specialist")


@pytest.mark.parametrize("plain", ["none", {"padding": "reflect"}])
def test_there_is_one_view_of_what_is_not_augmented(plain):
    for chosen in ({"data__augment": plain}, {"data__transfer": {"augment": plain}}):
        assert list(listed("views", data__views=4, **chosen)) == ["views[0]"]
        assert list(listed("combined", data__views=4, **chosen)) == ["combined[0.0]"]
        assert listed("student", data__views=4, **chosen)["student[distilled]"].inputs["views"] == ["views[0]"]


def test_networks_of_this_project_need_no_trial():
    assert not listed("models")
    assert not listed("models", student__model={"name": "resnet20"})


def test_networks_of_others_are_tried_before_the_generalist():
    found = listed("models", student__model={"name": "torchvision:resnet18"}, generalist__model={"weights": "a.pth"})
    assert set(found) == {"models[generalist]", "models[student]"}
    assert [task.arguments["needs_head"] for task in found.values()] == [True, False]
    assert "models" in STAGE["generalist"].decided_by


@pytest.mark.parametrize("setting", [{"match_frequencies": True}, {"sampling": "balanced"}])
def test_students_whose_logits_are_to_be_shifted_are_tried_for_that(setting):
    (trial,) = listed(
        "models",
        student__model={"name": "torchvision:resnet18"},
        **{f"student__{name}": value for name, value in setting.items()},
    ).values()
    assert trial.arguments["needs_head"]


def test_recipes_hold_the_content_of_a_networks_files_and_not_their_place():
    def known(content, weights):
        return KNOWN | {"models": {"student": {"content": content, "weights": weights}}}

    def kept(stage, content, path):
        return recipes(stage, known(content, path), student__model={"weights": path})

    for stage in ("models", "student"):
        assert kept(stage, "1", "/a.pth") == kept(stage, "1", "/elsewhere/b.pth")
        assert kept(stage, "1", "/a.pth") != kept(stage, "2", "/a.pth")
    assert kept("generalist", "1", "/a.pth") == recipes("generalist")
    (task,) = listed("models", known("1", "/a.pth"), student__model={"weights": "a.pth"}).values()
    assert (task.arguments["weights"], task.arguments["content"]) == ("/a.pth", "1")


def test_augmentations_that_leave_nothing_are_refused_before_anything_is_trained():
    with pytest.raises(MisfitError, match=r"data.augment.shift: must be less than the images' smaller side, 8"):
        listed("transfer", data__augment={"shift": 8})


def test_folds_stand_in_the_place_of_the_holdout():
    halves = listed("data", data__folds=3)
    assert halves["data[train]"].parameters.items() >= {"data.folds": 3, "split": "train"}.items()
    assert "data.holdout" not in halves["data[train]"].parameters
    assert halves["data[test]"] == listed("data")["data[test]"]
