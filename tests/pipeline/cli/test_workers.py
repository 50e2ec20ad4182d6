"""Real runs whose students are trained by two processes each, on a local Ray."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from pipeline.events import read_events
from pipeline.store import Store
from pipeline.store.checkpoints import CHECKPOINTS, CheckpointName
from tests.pipeline.cli.conftest import Command, newest, pause_at, paused
from tests.waiting import PATIENCE, left_of, named, wait_until

STUDENT = "student[distilled]"
LOCAL = ("ray={address: local, cpus: 2}", "student.workers=2", "controls=[]", "checkpoint_seconds=0")


@pytest.fixture
def begin(finished: Path) -> Iterator[Any]:
    """Start a run in the folder of a finished one."""
    started: list[subprocess.Popen[str]] = []

    def run(*settings: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-u", "-m", "pipeline", "run", "tiny.yaml"]
        command += [f"--set={setting}" for setting in (*LOCAL, *settings)]
        process = subprocess.Popen(
            command, cwd=finished, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def events(folder: Path) -> list[Mapping[str, Any]]:
    """Return what the newest run has told so far."""
    return list(read_events(newest(folder / "runs") / "events.jsonl"))


def wait_for_checkpoint(process: subprocess.Popen[str], folder: Path) -> None:
    """Return when a run has kept one of a training."""
    files = Store.open(str(folder / "store")).files

    def is_kept() -> bool:
        assert process.poll() is None, process.communicate()
        return any(map(CheckpointName.parse, files.names(CHECKPOINTS)))

    wait_until(is_kept, "a checkpoint must be kept")


def trainers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that train a student for a run."""
    return list(named("ray::student", psutil.Process(process.pid).children(recursive=True)))


def weights(folder: Path) -> dict[str, Any]:
    return load_file(newest(folder / "runs") / "student.safetensors")


def test_student_goes_on_after_one_of_its_workers_was_killed_and_is_that_of_one_alone(
    finished: Path, begin: Any
) -> None:
    network = f"student.model={{name: '{pause_at(finished, 21)}'}}"
    process = begin("student.epochs=20", network)
    wait_until(lambda: len(paused(finished)) == 2 or process.poll() is not None, "both must come to step 21 of 40")
    wait_for_checkpoint(process, finished)
    both = trainers(process)
    assert len(both) == 2
    both[1].kill()
    (finished / "go").touch()
    out, err = process.communicate(timeout=2 * PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert f"{STUDENT}: one of its 2 workers died" in out
    told = [event for event in events(finished) if event.get("task") == STUDENT]
    again = told[[event["event"] for event in told].index("task_lost") :]
    epochs = [event["epoch"] for event in again if "epoch" in event]
    assert epochs == list(range(epochs[0], 21))
    assert any(event.get("resumed", 0) > 0 for event in again), "it must go on from its checkpoint"
    together = weights(finished)
    by_itself = begin("student.epochs=20", network, "ray={address: inline}", "student.workers=1")
    out, err = by_itself.communicate(timeout=2 * PATIENCE)
    assert (by_itself.returncode, err) == (0, "")
    alone = weights(finished)
    assert all(np.allclose(together[name], alone[name], atol=1e-3) for name in alone)
    assert any(not np.array_equal(together[name], alone[name]) for name in alone)


def test_stopped_run_leaves_none_of_its_workers(finished: Path, begin: Any) -> None:
    process = begin("student.epochs=100000")
    wait_for_checkpoint(process, finished)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(trainers(process)) == 2
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert told == "stopped by SIGINT; run the same command again to go on from here\n"
    assert left_of(children) == []


def test_workers_that_cannot_be_are_refused_by_validate(project: Path, command: Command) -> None:
    done = command("validate", "tiny.yaml", "--set", "student.workers=2")
    assert done.code == 2
    assert (
        "student.workers: must be 1 with ray.address inline, which has one process; got 2; set it to local" in done.err
    )
    done = command("validate", "tiny.yaml", "--set", "student.workers=9", "--set", "ray={address: local, cpus: 2}")
    assert done.code == 2
    assert "student.workers: must be at most 2, for the local Ray has 2 CPUs and each takes 1; got 9" in done.err
