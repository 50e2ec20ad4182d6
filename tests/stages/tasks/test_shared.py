"""Which tasks there are, and what their recipes depend on: none of it may import torch."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import STAGES, tasks
from tests.stages.tasks.listing import KNOWN, STAGE, all_tasks, listed, recipes


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


def test_every_input_is_an_earlier_task_with_folds_too():
    seen = set()
    for task in all_tasks(data__folds=2):
        assert set(task.input_ids) <= seen
        seen.add(task.id)
    assert {"fold[0]", "fold[1]"} <= set(listed("report", data__folds=2)["report"].input_ids)


def test_every_task_has_its_own_id():
    ids = [task.id for task in all_tasks()]
    assert len(ids) == len(set(ids))


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


def test_planning_imports_no_torch():
    code = "import sys, stages, stages.tasks, stages.report; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


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


def test_subset_name_stays_short_and_distinct_for_many_classes():
    first, second = tasks.subset_name(range(100)), tasks.subset_name(range(1, 101))
    assert first.startswith("100-classes-")
    assert first != second
    assert len(first) < 40
