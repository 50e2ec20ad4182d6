"""What a table is made again for, and what it is not made again for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.stage import Artifact
from tests.stages.soft_targets.recipes import TABLES, keys


def with_array(artifact, name, change):
    values = np.array(artifact.arrays[name])
    values.flat[-1] = change(values.flat[-1])
    return Artifact(artifact.arrays | {name: values}, artifact.facts)


def next_float(value):
    return np.nextafter(value, np.float32(np.inf))


def one_more(value):
    return value ^ 1


def other_normalisation(artifact):
    network = artifact.facts["network"]
    facts = artifact.facts | {"network": network | {"mean": [next_float(np.float64(network["mean"][0])).item()]}}
    return Artifact(artifact.arrays, facts)


def other_class_order(artifact):
    return Artifact(artifact.arrays, artifact.facts | {"class_names": artifact.facts["class_names"][::-1]})


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("generalist", lambda net: with_array(net, "head.weight", next_float)),
        ("generalist", lambda net: with_array(net, "features.1.running_var", next_float)),
        ("generalist", other_normalisation),
        ("data[train]", lambda data: with_array(data, "images", one_more)),
        ("data[train]", lambda data: with_array(data, "labels", one_more)),
        ("data[train]", other_class_order),
        ("views[0]", lambda view: with_array(view, "dx", one_more)),
        ("views[0]", lambda view: with_array(view, "examples", one_more)),
    ],
    ids=["weight", "buffer", "normalisation", "pixel", "label", "class order", "shift", "example"],
)
def test_changed_input_is_a_miss(keep, kept, artifacts, task, change):
    before, after = keys(kept.location), keys(keep({task: change(artifacts[task])}).location)
    assert before[TABLES[0]] != after[TABLES[0]]


def test_changed_specialist_makes_its_own_table_again_and_not_the_generalists(keep, kept, artifacts):
    changed = with_array(artifacts["specialist[0-1]"], "head.bias", next_float)
    before, after = keys(kept.location), keys(keep({"specialist[0-1]": changed}).location)
    assert before["targets[generalist/0.0]"] == after["targets[generalist/0.0]"]
    assert before["targets[0-1/0.0]"] != after["targets[0-1/0.0]"]


def test_changed_row_of_a_teachers_table_is_combined_again(keep, kept, artifacts):
    changed = with_array(artifacts["targets[0-1/0.0]"], "logits", lambda value: value + np.float16(1))
    before, after = keys(kept.location), keys(keep({"targets[0-1/0.0]": changed}).location)
    assert before["combined[0.0]"] != after["combined[0.0]"]


def test_more_active_classes_ask_the_specialists_again(kept):
    before, after = keys(kept.location), keys(kept.location, combine__active_classes=3)
    assert [before[name] == after[name] for name in TABLES] == [True, False, True]  # the last one's inputs are given


@pytest.mark.parametrize(
    "changes",
    [
        {"data__source": "npz:elsewhere/other.npz", "data__root": "/elsewhere"},
        {"student__temperature": 9.0},
        {"student__batch_size": 7, "generalist__batch_size": 7, "specialists__batch_size": 7},
        {"student__threads": 3},
        {"ray__cpus": 7},
        {"ray__address": "ray://10.0.0.1:10001", "ray__resources": {"targets": {"cpus": 4}}},
        {"name": "other", "store": "s3://bucket/elsewhere", "runs": "elsewhere", "checkpoint_seconds": 5.0},
    ],
    ids=["path", "temperature", "batch size", "threads of others", "worker count", "cluster", "name and places"],
)
def test_what_cannot_change_a_table_is_a_hit(kept, changes):
    assert keys(kept.location) == keys(kept.location, **changes)


def test_store_and_run_at_another_place_are_a_hit(keep, kept):
    assert keys(kept.location) == keys(keep(run="other-20260101-000000-000").location)


def test_temperature_is_a_miss_where_the_table_may_lose_something_at_it(kept):
    limited = {"targets__bytes_per_row": 28}
    before, after = keys(kept.location, **limited), keys(kept.location, **limited, student__temperature=9.0)
    assert [before[name] == after[name] for name in TABLES] == [True, True, False]


def keys_elsewhere(location, seed, folder, *before):
    """Return the keys as another process finds them: its hash seed, its working folder, what starts it."""
    command = [*before, sys.executable, "-m", "tests.stages.soft_targets.recipes", location]
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_keys_are_the_same_in_other_processes(kept, tmp_path, seed):
    done = keys_elsewhere(kept.location, seed, tmp_path)
    assert json.loads(done.stdout) == keys(kept.location), done.stderr


def test_keys_are_the_same_on_another_host(kept, tmp_path):
    rename = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && test "$(uname -n)" = elsewhere && exec "$@"', "-")
    if os.geteuid() != 0 or subprocess.run([*rename, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can have another host's name")
    done = keys_elsewhere(kept.location, "2", tmp_path, *rename)
    assert json.loads(done.stdout) == keys(kept.location), done.stderr
