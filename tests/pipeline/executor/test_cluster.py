"""A cluster of three nodes on this machine, and drivers that join it, each in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.cli import main
from tests.pipeline.cli.conftest import make_project, newest, without_times
from tests.pipeline.executor.conftest import Driver, Nodes

SPECIALISTS = ("specialists.epochs=250", "ray.resources.specialist.custom={worker: 1}")
"""Long enough to be in the middle of it, each on a node of its own, and not on the head."""

TOGETHER = ("student.workers=2", "ray.resources.student.custom={worker: 1}")
"""A student of two workers, each on a node of its own."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def events(project: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (newest(project / "runs") / "events.jsonl").read_text().splitlines()]


def results(project: Path) -> Any:
    return without_times(json.loads((newest(project / "runs") / "results.json").read_text()))


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it must happen in time"
        time.sleep(0.05)


def is_training(project: Path, n: int) -> bool:
    """Return whether so many specialists are in the middle of their training."""
    told = [event for event in events(project) if event["event"] == "task_progress" and event.get("epoch", 0) > 3]
    return len({event["task"] for event in told if event["task"].startswith("specialist")}) >= n


def test_a_node_dies_in_a_training_and_the_run_ends_as_if_nothing_had_been(
    cluster: Nodes, drive: Driver, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drive(*SPECIALISTS)
    wait_until(lambda: driver.poll() is None and list(project.glob("runs/*/events.jsonl")) and is_training(project, 2))
    node = next(iter(cluster.workers("specialist").values()))
    cluster.order(f"kill {node}")
    out, err = driver.communicate(timeout=120)
    cluster.order("node")
    assert (driver.returncode, err) == (0, ""), out
    where = f"{socket.gethostname()} (127.0.0.1)"
    said = [event["message"] for event in events(project) if event["event"] == "warning"]
    lost = [event["task"] for event in events(project) if event["event"] == "task_lost"]
    assert len(lost) == 1
    assert f"node {where} was lost; {lost[0]} will be done again on another" in said
    assert f"{lost[0]}: its node was lost on {where}; it is started again (1 of 5)" in said
    on_cluster = results(project)
    monkeypatch.chdir(project)
    assert main(["run", "tiny.yaml", "--set", SPECIALISTS[0], "--set", "store=other"]) == 0
    assert results(project) == on_cluster


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_driver_leaves_no_task_and_the_cluster_alone(
    cluster: Nodes, drive: Driver, project: Path, stop: signal.Signals
) -> None:
    raylets = dict(cluster.raylets)
    driver = drive(*SPECIALISTS)
    wait_until(lambda: list(project.glob("runs/*/events.jsonl")) and is_training(project, 1))
    tasks = [psutil.Process(pid) for pid in cluster.workers("specialist")]
    assert tasks
    driver.send_signal(stop)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == (130 if stop == signal.SIGTERM else -signal.SIGKILL)
    assert err == ("stopped by SIGTERM; run the same command again to go on from here\n" if stop == 15 else "")
    assert psutil.wait_procs(tasks, timeout=20)[1] == []
    assert all(psutil.pid_exists(raylet) for raylet in raylets.values())


def test_what_no_node_can_do_is_refused_before_any_work_in_one_message(drive: Driver, project: Path) -> None:
    driver = drive("ray.resources.student.gpus=1", "ray.resources.specialist.custom={a100: 1}")
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 2
    first, *faults = err.splitlines()
    assert first == "ray.address auto cannot do this run:"
    assert [fault.split(";")[0] for fault in faults] == [
        "specialist: one node must have 1 CPU, 1 a100",
        "student: one node must have 1 CPU, 1 GPU",
    ]
    assert all(socket.gethostname() in fault for fault in faults)
    assert not [event for event in events(project) if event["event"] == "task_progress"]
    assert list((project / "store/temporary").iterdir()) == []


def test_nodes_that_were_declared_and_do_not_come_are_told_of(drive: Driver, project: Path) -> None:
    driver = drive("ray.wait_for={GPU: 2, seconds: 1}")
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert "warning: waiting up to 1 s for nodes that bring 2 GPU" in out
    assert err == ("ray.wait_for: the cluster must have 2 GPU within 1 s; got 0 GPU: add nodes, or ask for less\n")


def test_a_module_of_the_users_is_sent_along_to_a_cluster_from_outside(
    cluster: Nodes, drive: Driver, project: Path
) -> None:
    pytest.importorskip("grpc")
    arrays = str(project / "tiny.npz")
    (project / "mine.py").write_text(f"import numpy\n\ndef load():\n    return dict(numpy.load({arrays!r}))\n")
    settings = ("data.source=python:mine:load", "controls=[]")
    driver = drive(*settings, *TOGETHER, address=f"ray://127.0.0.1:{cluster.port}")
    out, err = driver.communicate(timeout=120)
    assert (driver.returncode, err) == (0, ""), out
    assert "Ray is up: 3 nodes, 3 CPUs" in out
    assert results(project)["students"]


def test_no_cluster_is_told_of(project: Path) -> None:
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--set", "ray.address=auto"],
        cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    rule = "must be the address of a Ray cluster of the same Python and Ray as here; got nobody who listens there"
    assert f"ray.address auto (127.0.0.1:1): {rule}: start one" in done.stderr


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """What takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


JOINING = """
from pipeline.executor.joined import JoinedRay
JoinedRay.patience = 2.0
JoinedRay("auto", [])
"""


def test_what_never_answers_is_told_of(silent: socket.socket) -> None:
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    environment = os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", JOINING], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert f"ray.address auto ({address}): must be the address" in done.stderr
    assert "got no answer within 2 seconds: what listens there may be no Ray" in done.stderr


def test_waiting_for_what_never_answers_can_be_stopped(silent: socket.socket, project: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--set", "ray.address=auto"],
        cwd=project, env=environment | {"RAY_ADDRESS": address}, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        try:
            silent.settimeout(120)
            silent.accept()[0].close()  # it asks whether somebody is there, and then Ray asks, who knows what
            time.sleep(1)
            run.send_signal(signal.SIGINT)
            err = run.communicate(timeout=120)[1]
        finally:
            run.kill()
    assert run.returncode == 130
    assert "stopped by SIGINT" in err
