"""A cluster of three nodes on this machine, and drivers that join it, each in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.cli import main
from pipeline.events import read_events
from tests.pipeline.cli.conftest import make_project, newest, pause_at, paused, without_times
from tests.pipeline.executor.conftest import Driver, Nodes
from tests.waiting import PATIENCE, left_of, wait_until

PAUSED_AT = 20
"""Steps of 2 an epoch, which the generalist in its one does not come to."""

SPECIALISTS = (
    "specialists.epochs=20",
    "generalist.model={name: 'python:pausing:make'}",
    "ray.resources.specialist.custom={worker: 1}",
)
"""They wait in the middle of it, each on a node of its own, and not on the head."""

TOGETHER = ("student.workers=2", "ray.resources.student.custom={worker: 1}")
"""A student of two workers, each on a node of its own."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = make_project(tmp_path)
    pause_at(made, PAUSED_AT)
    return made


def events(project: Path) -> list[Mapping[str, Any]]:
    return list(read_events(newest(project / "runs") / "events.jsonl"))


def results(project: Path) -> Any:
    return without_times(json.loads((newest(project / "runs") / "results.json").read_text()))


def wait_for_specialists(driver: "subprocess.Popen[str]", project: Path, n: int) -> None:
    """Return when so many specialists wait in the middle of their training, and the driver has heard of them."""

    def heard_of() -> bool:
        assert driver.poll() is None, driver.communicate()
        if len(paused(project)) < n:
            return False
        told = [event for event in events(project) if event["event"] == "task_progress" and event.get("epoch", 0) > 3]
        return len({event["task"] for event in told if event["task"].startswith("specialist")}) >= n

    wait_until(heard_of, f"{n} specialists must be in their training", pause=0.05)


def test_a_node_dies_in_a_training_and_the_run_ends_as_if_nothing_had_been(
    cluster: Nodes, drive: Driver, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = drive(*SPECIALISTS)
    wait_for_specialists(driver, project, 2)
    node = next(iter(cluster.workers("specialist").values()))
    cluster.order(f"kill {node}")
    (project / "go").touch()
    out, err = driver.communicate(timeout=2 * PATIENCE)
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
    monkeypatch.syspath_prepend(str(project))
    assert main(["run", "tiny.yaml", *(f"--set={setting}" for setting in (*SPECIALISTS[:2], "store=other"))]) == 0
    assert results(project) == on_cluster


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_driver_leaves_no_task_and_the_cluster_alone(
    cluster: Nodes, drive: Driver, project: Path, stop: signal.Signals
) -> None:
    raylets = dict(cluster.raylets)
    driver = drive(*SPECIALISTS)
    wait_for_specialists(driver, project, 2)
    tasks = [psutil.Process(pid) for pid in cluster.workers("specialist")]
    assert len(tasks) == 2
    driver.send_signal(stop)
    _, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == (130 if stop == signal.SIGTERM else -signal.SIGKILL)
    assert err == ("stopped by SIGTERM; run the same command again to go on from here\n" if stop == 15 else "")
    assert left_of(tasks) == []
    assert all(psutil.pid_exists(raylet) for raylet in raylets.values())


def test_what_no_node_can_do_is_refused_before_any_work_in_one_message(drive: Driver, project: Path) -> None:
    driver = drive("ray.resources.student.gpus=1", "ray.resources.specialist.custom={a100: 1}")
    _, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 2
    first, *faults = err.splitlines()
    assert first == "ray.address auto cannot do this run:"
    assert [fault.split(";")[0] for fault in faults] == [
        "specialist: one node must have 1 CPU, 1 a100",
        "student: one node must have 1 CPU, 1 GPU",
    ]
    assert all(socket.gethostname() in fault for fault in faults)
    assert list((project / "runs").iterdir()) == []
    assert list((project / "store/temporary").iterdir()) == []


def test_nodes_that_were_declared_and_do_not_come_are_told_of(drive: Driver, project: Path) -> None:
    driver = drive("ray.wait_for={GPU: 2, seconds: 1}")
    out, err = driver.communicate(timeout=PATIENCE)
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
    out, err = driver.communicate(timeout=2 * PATIENCE)
    assert (driver.returncode, err) == (0, ""), out
    assert "Ray is up: 3 nodes, 3 CPUs" in out
    assert results(project)["students"]


def test_no_cluster_is_told_of(project: Path) -> None:
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--set", "ray.address=auto"],
        cwd=project, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    rule = "must be the address of a Ray cluster of the same Python and Ray as here; got nobody who listens there"
    assert f"ray.address auto (127.0.0.1:1): {rule}: start one" in done.stderr
    assert "nothing was begun: runs/tiny-" in done.stdout
    assert list((project / "runs").iterdir()) == []


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
        [sys.executable, "-c", JOINING], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
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
            silent.settimeout(PATIENCE)
            silent.accept()[0].close()  # it asks whether somebody is there, and then Ray asks, who knows what
            time.sleep(1)
            run.send_signal(signal.SIGINT)
            err = run.communicate(timeout=PATIENCE)[1]
        finally:
            run.kill()
    assert run.returncode == 130
    assert "stopped by SIGINT" in err
