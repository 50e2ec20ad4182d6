"""The tasks of the soft targets."""

import pytest

from tests.stages.tasks.listing import KNOWN, STAGE, listed, recipes

IMPORTED = {"targets__imported": ["clip"]}


def test_targets_are_scored_by_every_teacher_on_every_view():
    found = listed("targets", data__views=2)
    assert list(found) == [f"targets[{name}/{view}.0]" for view in (0, 1) for name in ("generalist", "0-1", "2-3")]
    lazy = found["targets[2-3/1.0]"]
    assert lazy.inputs == {
        "dataset": "data[train]",
        "view": "views[1]",
        "teacher": "specialist[2-3]",
        "generalist": "targets[generalist/1.0]",
    }
    assert lazy.arguments == {"rows": (0, 240), "active_classes": 2}


def test_combined_reads_the_tables_of_its_own_shard():
    found = listed("combined", data__views=2)["combined[1.0]"]
    assert found.input_ids == ("targets[generalist/1.0]", "targets[0-1/1.0]", "targets[2-3/1.0]")


@pytest.mark.parametrize("stage", ["generalist", "confusion", "subsets", "specialist", "targets", "data", "views"])
def test_calibrating_trains_and_scores_nothing_anew(stage):
    assert recipes(stage) == recipes(stage, combine__calibrate=True)


def test_calibrating_combines_anew():
    calibrations = ["calibration[generalist]", "calibration[0-1]", "calibration[2-3]"]
    for stage in ("combined", "evaluate"):
        for task in listed(stage, combine__calibrate=True).values():
            assert task.inputs["calibrations"] == calibrations
        assert all("calibrations" not in task.inputs for task in listed(stage).values())


def test_imported_table_is_one_more_teacher_of_every_shard():
    assert listed("import") == listed("imported") == {}
    assert list(listed("imported", data__views=2, **IMPORTED)) == ["imported[clip/0.0]", "imported[clip/1.0]"]
    for task in listed("combined", **IMPORTED).values():
        assert task.inputs["imported"] == [f"imported[clip/{task.identity}]"]
    assert listed("report", **IMPORTED)["report"].inputs["imports"] == ["import[clip]"]


def test_imported_content_decides_the_recipe_and_not_where_it_is():
    (before,) = recipes("import", **IMPORTED).values()
    moved = {"clip": KNOWN["imported"]["clip"] | {"store": "/elsewhere", "record": "imported-2"}}
    other = {"clip": KNOWN["imported"]["clip"] | {"digest": "e" * 64}}
    (after,) = recipes("import", KNOWN | {"imported": moved}, **IMPORTED).values()
    (changed,) = recipes("import", KNOWN | {"imported": other}, **IMPORTED).values()
    assert before == after
    assert before != changed
    assert before["parameters"] == {"targets.imported": "c" * 64}


@pytest.mark.parametrize("stage", [name for name in STAGE if name not in {"import", "imported", "combined", "report"}])
def test_importing_trains_and_scores_nothing_anew(stage):
    assert recipes(stage) == recipes(stage, **IMPORTED)


@pytest.mark.parametrize("stage", ["views", "targets", "combined"])
def test_one_more_view_leaves_the_others_as_they_are(stage):
    before, after = recipes(stage, data__views=2), recipes(stage, data__views=3)
    assert before.items() < after.items()
