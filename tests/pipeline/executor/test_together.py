"""Tasks that several workers of a local Ray do together."""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from pipeline.executor.tasks import RayExecutor
from tests.pipeline.executor.test_local import (
    LOOPBACK,
    Told,
    facts,
    family,
    go_on_until,
    heard,
    job,
    listens_at,
    outcomes,
    outcomes_of,
    shown_by_ss,
    warned,
)
from tests.waiting import named


def at_work() -> list[psutil.Process]:
    """Return the processes that do a task of these tests."""
    return list(named("ray::ordered", family()))


def ports_of(processes: Iterable[psutil.Process]) -> set[int]:
    """Return the TCP ports at which processes listen."""
    connections = [connection for process in processes for connection in process.net_connections("tcp")]
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}


def wait_until_idle(of: RayExecutor) -> None:
    go_on_until(of, lambda: not at_work(), "workers must end with their task")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "folder"
    found.mkdir()
    return found


def test_workers_meet_and_the_first_is_heard(ray: RayExecutor, reported: Told, tmp_path: Path, folder: Path) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "gather", folder, "heard", workers=2))
    assert facts(tmp_path, outcome) == {"size": 2, "rank": 0}
    (first, second) = ((folder / str(rank)).read_text().split() for rank in range(2))
    assert first[:2] == second[:2] == ["somewhere", "127.0.0.1"]
    assert len({first[2], second[2], str(os.getpid())}) == 3
    assert "ordered[heard]: again" in outcome.warnings
    told = heard(ray, reported, "ordered[heard]", 2)
    assert [(event, said.get("state")) for event, said in told] == [
        ("task_progress", "running"),
        ("task_progress", None),
    ]
    wait_until_idle(ray)


def test_two_tasks_of_two_workers_come_one_after_the_other(ray: RayExecutor, tmp_path: Path) -> None:
    # With the Ray's two CPUs, each would wait for ever for its second worker if the other had one.
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    jobs = [job(tmp_path, "gather", folder, folder.name, workers=2) for folder in folders]
    assert [facts(tmp_path, outcome)["size"] for outcome in outcomes(ray, *jobs)] == [2, 2]


def test_fault_of_any_worker_is_the_tasks_and_ends_the_others(ray: RayExecutor, tmp_path: Path) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "fail second", "the second must not be blue", workers=2))
    assert outcome.fault == "the second must not be blue"
    assert 'tests/pipeline/fakes.py", line' in outcome.details
    wait_until_idle(ray)


def test_killed_worker_has_the_task_done_again_from_its_checkpoint(
    ray: RayExecutor, reported: Told, tmp_path: Path
) -> None:
    order = f"1 in {tmp_path / 'deaths'}"
    (outcome,) = outcomes(ray, job(tmp_path, "kill second", order, "orphan", workers=2, checkpoint_seconds=0.0))
    assert facts(tmp_path, outcome) == {"died": 1, "kept": 0}
    assert warned(reported, "ordered[orphan]") == [
        "ordered[orphan]: one of its 2 workers died; it is started again (1 of 2)"
    ]


def test_workers_that_train_together_listen_on_loopback_alone(ray: RayExecutor, tmp_path: Path, folder: Path) -> None:
    trains = job(tmp_path, "train together", folder, workers=2)
    ray.submit(trains)
    meeting = [folder / f"{rank} of 2" for rank in range(2)]
    go_on_until(ray, lambda: all(path.exists() for path in meeting), "the two must come together")
    assert len(at_work()) == 2
    # Each listens for Ray and for the other, and the first also where they met.
    assert len(ports_of(at_work())) >= 5
    assert listens_at() <= LOOPBACK
    assert shown_by_ss() <= LOOPBACK
    (folder / "go").touch()
    (outcome,) = outcomes_of(ray, trains)
    assert facts(tmp_path, outcome) == {"told": 2}
