import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.progress_words import takes
from pipeline.runs import EVENTS, RunFolder
from pipeline.starting import RECENT, start_seconds

HERE = {"ray": "local", "host": "here"}


def make_run(base: Path, seconds: float, *, work: float = 2.0, **begun: Any) -> RunFolder:
    """Return a run whose first result, of so much work, was there when so many seconds had passed since the start."""
    events = [
        {"time": 100.0, "event": "run_started", **HERE, **begun},
        {"time": 101.0, "event": "task_reused", "task": "data", "seconds": 9.0},
        {"time": 102.0, "event": "executor_starting", "reused": 1},
        {"time": 104.0, "event": "executor_ready"},
        {"time": 105.0, "event": "task_progress", "task": "a", "state": "running"},
        {"time": 102.0 + seconds, "event": "task_finished", "task": "a", "seconds": work},
        {"time": 200.0, "event": "task_finished", "task": "b", "seconds": 1.0},
    ]
    folder = RunFolder.create(base, "x")
    (folder.path / EVENTS).write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return folder


def known(*folders: RunFolder) -> float | None:
    return start_seconds(folders, address="local", host="here")


def test_start_is_the_time_until_the_first_result_less_its_work(tmp_path: Path) -> None:
    assert known(make_run(tmp_path, 9.5)) == 7.5
    assert known(*(make_run(tmp_path, seconds) for seconds in (5, 10, 6))) == 4
    assert known(make_run(tmp_path, 5, work=60)) is None  # it went on from a checkpoint
    compiled = make_run(tmp_path, 30)
    events = [json.loads(line) for line in (compiled.path / EVENTS).read_text().splitlines()]
    events = [
        event | ({"prepared": {"kernels": 20.0}} if event["event"] == "task_finished" else {}) for event in events
    ]
    (compiled.path / EVENTS).write_text("".join(f"{json.dumps(event)}\n" for event in events))
    assert known(compiled) == 8


def test_runs_elsewhere_tell_nothing(tmp_path: Path) -> None:
    assert known(make_run(tmp_path, 5, host="there"), make_run(tmp_path, 5, ray="auto")) is None
    damaged = make_run(tmp_path, 5)
    (damaged.path / EVENTS).write_text("[]\n")
    assert known(damaged) is None
    unfinished = make_run(tmp_path, 5)
    (unfinished.path / EVENTS).write_text(json.dumps({"time": 1.0, "event": "run_started", **HERE}) + "\n")
    assert known(unfinished) is None
    assert known(damaged, unfinished, make_run(tmp_path, 5)) == 3


def test_only_the_latest_runs_count(tmp_path: Path) -> None:
    assert known(*(make_run(tmp_path, 5) for _ in range(RECENT)), *(make_run(tmp_path, 50) for _ in range(99))) == 3


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (0.0, "about 4 s on 2 CPUs"),
        (None, "about 4 s of work on 2 CPUs, and some seconds to start Ray"),
        (9.6, "about 4 s of work on 2 CPUs, and about 10 s to start Ray"),
    ],
)
def test_start_is_told_beside_the_work(start: float | None, told: str) -> None:
    assert takes(4.2, start, cpus=2, untimed=[], is_complete=True) == told


@pytest.mark.parametrize(
    ("untimed", "is_complete", "told"),
    [
        (["data"], True, "at least 4 s on 1 CPU; how long data takes is not known yet"),
        ([], False, "at least 4 s on 1 CPU; tasks that are not decided yet are not in it"),
        (["data", "views"], True, "at least 4 s on 1 CPU; how long data and views take is not known yet"),
    ],
)
def test_what_is_not_known_of_the_time_is_told(untimed: list[str], is_complete: bool, told: str) -> None:
    assert takes(4.2, 0.0, cpus=1, untimed=untimed, is_complete=is_complete) == told


def test_time_of_a_cluster_and_of_nothing_known_is_told() -> None:
    assert takes(4.2, 0.0, cpus=None, untimed=[], is_complete=True) == "about 4 s, shared by the cluster"
    assert takes(None, 0.0, cpus=1, untimed=["data"], is_complete=False) == "unknown, for no run has done the like"
