"""A training that was killed ends with the same bits as one that was not."""

import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.recipe import key_of
from pipeline.stage import Stage, Task
from pipeline.store import Store
from pipeline.store.checkpoints import CHECKPOINTS, CheckpointName
from pipeline.worker import Job, perform
from stages.parameters import ModelParameters, TeacherParameters, TrainingParameters
from tests.stages.conftest import AUGMENT, STUDENT

EPOCHS = 16
KILLED_AFTER = 11
"""Steps: an epoch has 8, the specialist's 6."""


@pytest.fixture(scope="module")
def jobs(dataset, two_views, generalist_net, combined_tables, tmp_path_factory):
    """Return a generalist's, a specialist's and a student's training, in a store of their own."""
    store = Store.open(str(tmp_path_factory.mktemp("resume") / "store"))

    def kept(name, artifact):
        return store.save({"stage": name}, artifact, seconds=0.0)

    data, teacher = kept("dataset", dataset), kept("teacher", generalist_net)
    tables = [kept(f"targets {n}", table) for n, table in enumerate(combined_tables)]
    views = [kept(f"view {n}", view) for n, view in enumerate(two_views)]
    wanted = TeacherParameters(epochs=EPOCHS, batch_size=32, model=ModelParameters(width=8))
    return {
        "generalist": _job(store, "generalist", {"dataset": data}, generalist=wanted, augment=AUGMENT),
        "specialist": _job(
            store,
            "specialist",
            {"dataset": data, "generalist": teacher},
            specialists=TrainingParameters(epochs=EPOCHS, batch_size=32),
            fraction=0.5,
            regularize="none",
            augment=AUGMENT,
            subset=[0, 1],
        ),
        "student": _job(
            store,
            "student",
            {"dataset": data, "views": views, "targets": tables},
            student=STUDENT.model_copy(update={"epochs": EPOCHS}),
        ),
    }


def _job(store, name, inputs, **parameters):
    stage = Stage(name, f"stages.{name}:train", "")
    return Job(
        stage, Task(name, parameters=parameters), {"stage": name}, inputs, store.location, 3, checkpoint_seconds=0.0
    )


def position(job):
    names = map(CheckpointName.parse, Store.open(job.store).files.names(CHECKPOINTS))
    return max((name.position for name in names if name.key == key_of(job.recipe)), default=0)


def test_a_killed_training_goes_on_and_ends_with_the_same_bits(jobs, tmp_path):
    processes = {name: _begin(job, tmp_path / name) for name, job in jobs.items()}
    while processes:
        for name, process in list(processes.items()):
            assert process.poll() is None, f"{name} ended before it was killed"
            if position(jobs[name]) >= KILLED_AFTER:
                process.kill()
                process.wait()
                del processes[name]
        time.sleep(0.002)
    for name, job in jobs.items():
        store = Store.open(job.store)
        stood = position(job)
        assert store.find(key_of(job.recipe)) is None
        assert 0 < stood < EPOCHS * 6
        told = []
        unhurried = replace(job, checkpoint_seconds=3600.0)
        resumed = store.load(perform(unhurried, told.append).manifest)
        kept = stood // (6 if name == "specialist" else 8)
        assert next(facts["resumed"] for facts in told if "resumed" in facts) > 0
        assert [facts["epoch"] for facts in told if "epoch" in facts][:2] == [kept, kept + 1]
        assert position(job) == 0
        untouched = perform(replace(unhurried, recipe={"stage": name, "again": True}), lambda _: None)
        whole = store.load(untouched.manifest)
        assert resumed.facts == whole.facts
        assert all(np.array_equal(resumed.arrays[array], whole.arrays[array]) for array in whole.arrays)


def _begin(job, path):
    path.write_bytes(pickle.dumps(job))
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-W", "error", str(Path(__file__).parent / "train_one.py"), str(path)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})
