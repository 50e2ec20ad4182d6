"""Real runs in processes of their own, stopped or killed: exit code, message, what is left, and the next run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.cli.run import interruptible
from pipeline.errors import Interrupted
from tests.pipeline.cli.conftest import Command, newest, without_times
from tests.waiting import PATIENCE, left_of


def start(project: Path, address: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-u", "-m", "pipeline", "run", "tiny.yaml", "--set", f"ray.address={address}"]
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for_tasks(process: subprocess.Popen[str], n: int) -> None:
    """Return when so many tasks are done."""
    assert process.stdout is not None
    for line in process.stdout:
        n -= ": done in" in line
        if n == 0:
            return
    raise AssertionError(f"the run must do its tasks; got {process.stderr and process.stderr.read()}")


def results(project: Path) -> Any:
    return without_times(json.loads((newest(project / "runs") / "results.json").read_text()))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_leaves_nothing_and_the_next_ends_as_if_nothing_had_been(
    project: Path, finished_once: Path, command: Command, stop: signal.Signals
) -> None:
    process = start(project, "local")
    wait_for_tasks(process, 3)
    children = psutil.Process(process.pid).children(recursive=True)
    # As a terminal does it: Ctrl-C goes to everything that the run has started.
    os.killpg(process.pid, stop) if stop == signal.SIGINT else process.send_signal(stop)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert told == f"stopped by {stop.name}; run the same command again to go on from here\n"
    assert len(children) > 3
    assert left_of(children) == []
    assert list(Path("/tmp").glob(f"pipeline-{process.pid}-*")) == []
    assert command("status").out.splitlines()[0].endswith(": interrupted")
    assert command("run", "tiny.yaml").code == 0
    assert results(project) == results(finished_once)


def test_interruptible_turns_a_signal_into_an_error_and_ignores_a_second_one() -> None:
    former = signal.getsignal(signal.SIGTERM)
    steps: list[str] = []

    def stop() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            steps.append("not reached")
        finally:
            signal.raise_signal(signal.SIGINT)
            steps.append("put away")

    with pytest.raises(Interrupted, match=r"^stopped by SIGTERM; run the same command again"), interruptible():
        stop()
    assert steps == ["put away"]
    assert signal.getsignal(signal.SIGTERM) is former


def test_run_that_is_stopped_in_this_process_ends_with_130(project: Path, command: Command) -> None:
    (project / "stopping.py").write_text("import signal\n\ndef load():\n    signal.raise_signal(signal.SIGINT)\n")
    sys.path.insert(0, str(project))
    try:
        done = command("run", "tiny.yaml", "--set", "data.source=python:stopping:load")
    finally:
        sys.path.remove(str(project))
    assert done.code == 130
    assert done.err == "stopped by SIGINT; run the same command again to go on from here\n"
    assert command("status").out.splitlines()[0].endswith(": interrupted")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_inline_run_says_so(project: Path, stop: signal.Signals) -> None:
    process = start(project, "inline")
    wait_for_tasks(process, 2)
    process.send_signal(stop)
    process.send_signal(stop)  # an impatient second one changes nothing
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert told == f"stopped by {stop.name}; run the same command again to go on from here\n"


@pytest.mark.parametrize(("address", "seed"), [("inline", 0), ("inline", 1), ("local", 2)])
def test_killed_run_is_taken_up_and_ends_as_if_nothing_had_been(
    project: Path, finished_once: Path, command: Command, address: str, seed: int
) -> None:
    chance = random.Random(seed)
    process = start(project, address)
    wait_for_tasks(process, chance.randint(2, 12))
    time.sleep(chance.random() * 0.1)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert command("store", "verify", "store").code == 0
    done = command("run", "tiny.yaml")
    assert done.code == 0
    assert "data[train]: done" not in done.out
    assert results(project) == results(finished_once)
    assert list((project / "store/temporary").iterdir()) == []
