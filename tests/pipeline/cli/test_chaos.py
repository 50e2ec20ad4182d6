"""The short form of `benchmarks.chaos`: a fault in a run on a local Ray, then the same command again."""

import os
import random
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import chaos, faults
from tests.pipeline.cli.conftest import make_project


def test_runs_after_faults_end_as_if_nothing_had_been(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    config = str(make_project(tmp_path) / "tiny.yaml")
    root, mark = f"--set=data.root={tmp_path}", secrets.token_hex(8)
    with chaos.disk() as folder:
        process = chaos.start([config, root, "--set=ray.address=inline"], folder, mark)
        while process.poll() is None and not chaos.marked(mark):
            pass
        assert process.poll() is None, "its processes must be known by their mark"
        assert process.wait() == 0
        expected = chaos.outcome(folder)

    def disturbed(fault: str, whole: float, address: str) -> dict[str, Any]:
        command = [config, root, f"--set=ray.address={address}"]
        return chaos.trial(command, fault, whole, expected, random.Random(0))

    # Both at once, for they wait most of their time.
    wholes = {"full disk": 7.0, "read-only disk": 2.0}
    with ThreadPoolExecutor() as pool:
        trials = list(pool.map(disturbed, wholes, wholes.values(), ("local", "inline")))
    for found, whole in zip(trials, wholes.values(), strict=True):
        assert chaos.is_well(found), found
        draw = random.Random(0)  # no fault of a disk draws anything else
        moments = [draw.uniform(0.0, whole) for _ in range(found["missed"] + 1)]
        assert (found["struck"], found["after_seconds"]) == ("disk", round(moments[-1], 1))


def test_a_run_that_is_over_by_the_moment_of_the_fault_is_no_trial() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    assert chaos.attempt(["no-such.yaml"], "SIGTERM", 600.0, {}, random.Random(0)) is None


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_faults_say_that_they_struck_nothing_when_the_run_is_over(tmp_path: Path, fault: str) -> None:
    over = subprocess.Popen(["true"], start_new_session=True)
    assert over.wait() == 0
    assert faults.FAULTS[fault](faults.Target(over, tmp_path, random.Random(0))) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "struck", "code"),
    [
        ("driver killed", "driver", -signal.SIGKILL),
        ("SIGTERM", "driver", -signal.SIGTERM),
        ("Ctrl-C", "driver and all that it has started", -signal.SIGINT),
    ],
)
def test_faults_say_what_they_struck(tmp_path: Path, fault: str, struck: str, code: int) -> None:
    # Of a test run that was started in the background, Ctrl-C is ignored, and that is handed down.
    waits = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", waits]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True) as alive:
        assert alive.stdout is not None
        alive.stdout.readline()
        assert faults.FAULTS[fault](faults.Target(alive, tmp_path, random.Random(0))) == struck
        assert alive.wait() == code


def test_worker_is_killed_by_its_name(tmp_path: Path) -> None:
    # Its only child calls itself a worker.
    script = "(exec -a ray::student sleep 60) & wait $! || exit 3"
    parent = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    target = faults.Target(parent, tmp_path, random.Random(0))
    assert faults.FAULTS["worker killed"](target) == "ray::student"
    assert parent.wait() == 3
    assert faults.FAULTS["worker killed"](target) is None
