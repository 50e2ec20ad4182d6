"""Which tasks there are, and what their recipes depend on: none of it may import torch."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, MisfitError
from pipeline.recipe import recipe
from pipeline.stage import imported
from stages import STAGES, tasks
from stages.parameters import DataParameters, Parameters

STAGE = {stage.name: stage for stage in STAGES}
KNOWN = {
    "source": {"kind": "npz", "digest": "d" * 64, "root": "/data", "classes": 5, "stamp": {}},
    "models": {},
    "data[train]": {"transfer": 240, "class_names": list("abcdeg")},
    "subsets": {"subsets": [{"classes": [0, 1]}, {"classes": [2, 3]}]},
    "imported": {"clip": {"digest": "c" * 64, "store": "/store", "record": "imported-1"}},
}


def with_changes(**changes):
    """Return parameters, changed by `section__field=value`."""
    sections = {"data": {"source": "npz:tiny.npz"}}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        sections.setdefault(section, {})[field] = value
    return Parameters.model_validate(sections)


def listed(stage, known=KNOWN, **changes):
    """Return the tasks of a stage by id."""
    found = imported(STAGE[stage].tasks)(with_changes(**changes), known)
    return {task.id: task for task in found}


def recipes(stage, known=KNOWN, **changes):
    """Return what a stage's tasks are kept under, their inputs standing for their digests."""
    found = listed(stage, known, **changes)
    return {name: recipe(STAGE[stage], task, seed=0, inputs=task.inputs) for name, task in found.items()}


def all_tasks(**changes):
    return [task for stage in STAGE for task in listed(stage, **changes).values()]


def test_every_input_is_an_earlier_task():
    seen = set()
    for task in all_tasks():
        assert set(task.input_ids) <= seen
        seen.add(task.id)


def test_every_stage_is_decided_by_what_its_tasks_read():
    known = KNOWN | {"transfer": {"rows": 24}, "sweep": {"chosen": {}}}
    before = {name: known[name] for name in ("source", "models", "imported")}  # known before the first stage
    changes = {"data__transfer": {"fraction": 0.1}, "targets__imported": ["clip"]}
    for stage in STAGES:
        decided = {name: facts for name, facts in known.items() if name.partition("[")[0] in stage.decided_by}
        assert listed(stage.name, before | decided, **changes) == listed(stage.name, known, **changes)


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


def test_networks_of_this_project_need_no_trial():
    assert not listed("models")
    assert not listed("models", student__model={"name": "resnet20"})


def test_networks_of_others_are_tried_before_the_generalist():
    found = listed("models", student__model={"name": "torchvision:resnet18"}, generalist__model={"weights": "a.pth"})
    assert set(found) == {"models[generalist]", "models[student]"}
    assert [task.arguments["is_teacher"] for task in found.values()] == [True, False]
    assert "models" in STAGE["generalist"].decided_by


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


def test_every_task_has_its_own_id():
    ids = [task.id for task in all_tasks()]
    assert len(ids) == len(set(ids))


def test_specialist_is_named_by_its_classes():
    assert list(listed("specialist")) == ["specialist[0-1]", "specialist[2-3]"]


def test_subset_name_stays_short_and_distinct_for_many_classes():
    first, second = tasks.subset_name(range(100)), tasks.subset_name(range(1, 101))
    assert first.startswith("100-classes-")
    assert first != second
    assert len(first) < 40


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


def test_calibration_is_of_every_teacher_and_only_where_asked_for():
    assert listed("calibration") == {}
    assert list(listed("calibration", combine__calibrate=True)) == [
        "calibration[generalist]",
        "calibration[0-1]",
        "calibration[2-3]",
    ]


@pytest.mark.parametrize("stage", ["generalist", "confusion", "subsets", "specialist", "targets", "data", "views"])
def test_calibrating_trains_and_scores_nothing_anew(stage):
    assert recipes(stage) == recipes(stage, combine__calibrate=True)


def test_calibrating_combines_anew():
    calibrations = ["calibration[generalist]", "calibration[0-1]", "calibration[2-3]"]
    for stage in ("combined", "evaluate"):
        for task in listed(stage, combine__calibrate=True).values():
            assert task.inputs["calibrations"] == calibrations
        assert all("calibrations" not in task.inputs for task in listed(stage).values())


IMPORTED = {"targets__imported": ["clip"]}


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


def test_calibrating_calibrates_the_control_of_the_generalist_alone():
    calibrated = listed("student", combine__calibrate=True)
    assert calibrated["student[generalist]"].inputs["calibration"] == "calibration[generalist]"
    before, after = recipes("student"), recipes("student", combine__calibrate=True)
    assert {name for name in before if before[name] != after[name]} == {"student[generalist]"}


@pytest.mark.parametrize(("classes", "count"), [(3, 1), (4, 2), (5, 2), (6, 3), (100, 3)])
def test_count_of_specialists_is_what_fits_where_none_is_asked_for(classes, count):
    known = KNOWN | {"data[train]": {"transfer": 240, "class_names": [str(c) for c in range(classes)]}}
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


def test_students_differ_in_targets_and_share_their_draws():
    found = listed("student", data__views=1)
    assert {name: task.inputs["targets"] for name, task in found.items()} == {
        "student[distilled]": ["combined[0.0]"],
        "student[hard]": [],
        "student[generalist]": ["targets[generalist/0.0]"],
    }
    assert len({kept["seed"] for kept in recipes("student").values()}) == 1


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


def test_specialist_does_not_depend_on_the_other_subsets():
    others = KNOWN | {"subsets": {"subsets": [{"classes": [2, 3]}, {"classes": [0, 4]}, {"classes": [1, 4]}]}}
    changes = {"specialists__count": 2, "specialists__size": 2, "student__epochs": 1}
    before, after = recipes("specialist"), recipes("specialist", others, **changes)
    assert before["specialist[2-3]"] == after["specialist[2-3]"]
    assert recipes("targets")["targets[2-3/0.0]"] == recipes("targets", others, **changes)["targets[2-3/0.0]"]


@pytest.mark.parametrize("stage", ["views", "targets", "combined"])
def test_one_more_view_leaves_the_others_as_they_are(stage):
    before, after = recipes(stage, data__views=2), recipes(stage, data__views=3)
    assert before.items() < after.items()


@pytest.mark.parametrize("stage", ["generalist", "confusion", "subsets", "specialist"])
def test_teachers_do_not_depend_on_views_combination_or_student(stage):
    changes = {"data__views": 9, "combine__active_classes": 1, "student__epochs": 1, "student__temperature": 1.0}
    assert recipes(stage) == recipes(stage, **changes)


@pytest.mark.parametrize("stage", [name for name, stage in STAGE.items() if stage.kept])
def test_recipes_hold_no_path(stage):
    elsewhere = KNOWN | {"source": KNOWN["source"] | {"root": "/elsewhere", "stamp": {"path": "/elsewhere/tiny.npz"}}}
    assert recipes(stage) == recipes(stage, elsewhere, data__source="npz:other/name.npz", data__root="elsewhere")


def test_test_split_is_read_by_evaluate_and_report_alone():
    readers = {task.stage for task in all_tasks() if "data[test]" in task.input_ids}
    assert readers == {"evaluate", "report"}


def test_test_split_does_not_depend_on_the_holdout():
    assert recipes("data")["data[test]"] == recipes("data", data__holdout=0.3)["data[test]"]
    assert recipes("data")["data[train]"] != recipes("data", data__holdout=0.3)["data[train]"]


@given(st.integers(1, 10_000), st.integers(2, 5_000), st.integers(1, 100_000))
def test_shards_of_partitions_the_rows(n_examples, n_classes, shard_bytes):
    ranges = tasks.shards_of(n_examples, n_classes, shard_bytes)
    assert [row for start, stop in ranges for row in (start, stop)][1:-1:2] == [start for start, _ in ranges[1:]]
    assert (ranges[0][0], ranges[-1][1]) == (0, n_examples)
    assert all(start < stop for start, stop in ranges)


def test_shards_of_keeps_to_the_size_on_every_machine():
    # Numbers of the recipes: should one of these change, all tables would be made anew.
    assert tasks.shards_of(50_000, 1000) == [(0, 16710), (16710, 33420), (33420, 50_000)]
    assert tasks.shards_of(3, 15_000, shard_bytes=1) == [(0, 1), (1, 2), (2, 3)]


def test_planning_imports_no_torch():
    code = "import sys, stages, stages.tasks, stages.report; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
