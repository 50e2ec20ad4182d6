"""The tasks of the students."""

from stages import tasks
from stages.parameters import DataParameters, Parameters
from tests.stages.tasks.listing import KNOWN, listed, recipes


def test_calibrating_calibrates_the_control_of_the_generalist_alone():
    calibrated = listed("student", combine__calibrate=True)
    assert calibrated["student[generalist]"].inputs["calibration"] == "calibration[generalist]"
    before, after = recipes("student"), recipes("student", combine__calibrate=True)
    assert {name for name in before if before[name] != after[name]} == {"student[generalist]"}


def test_students_differ_in_targets_and_share_their_draws():
    found = listed("student", data__views=1)
    assert {name: task.inputs["targets"] for name, task in found.items()} == {
        "student[distilled]": ["combined[0.0]"],
        "student[hard]": [],
        "student[generalist]": ["targets[generalist/0.0]"],
    }
    assert len({kept["seed"] for kept in recipes("student").values()}) == 1


def test_students_of_one_worker_have_the_recipe_that_they_always_had():
    one, two = recipes("student", student__workers=1), recipes("student", student__workers=2)
    assert one == recipes("student")
    assert all("workers" not in kept["parameters"]["student"] for kept in one.values())
    assert all(kept["parameters"]["student"]["workers"] == 2 for kept in two.values())
    assert {task.workers for task in listed("student", student__workers=2).values()} == {2}


def test_students_that_are_shown_the_data_as_they_are_have_the_recipe_that_they_always_had():
    plain, balanced = (recipes("student", student__sampling=how) for how in ("data", "balanced"))
    assert plain == recipes("student")
    assert all("sampling" not in kept["parameters"]["student"] for kept in plain.values())
    assert {kept["parameters"]["student"]["sampling"] for kept in balanced.values()} == {"balanced"}


def test_student_has_no_control_that_is_not_asked_for():
    wanted = Parameters(data=DataParameters(source="npz:tiny.npz"), controls=())
    assert [task.id for task in tasks.student(wanted, KNOWN)] == ["student[distilled]"]
    (evaluation,) = tasks.evaluate(wanted, KNOWN)
    assert evaluation.inputs["students"] == ["student[distilled]"]


def test_hard_control_does_not_depend_on_the_soft_targets():
    before, after = recipes("student"), recipes("student", student__temperature=20.0, student__alpha=0.5)
    assert before["student[hard]"] == after["student[hard]"]
    assert before["student[distilled]"] != after["student[distilled]"]
    assert before["student[generalist]"] != after["student[generalist]"]
