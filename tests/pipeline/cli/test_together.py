"""Two real runs that share a store and go on at the same time."""

import json
import time
from collections import Counter
from pathlib import Path
from subprocess import Popen
from typing import Any

from pipeline.store.work import EXPIRES_SECONDS
from tests.pipeline.cli.conftest import newest, without_times
from tests.pipeline.cli.test_interrupt import start, wait_for_tasks
from tests.pipeline.cli.test_run import ALL

LONG = "generalist: {model: {name: mlp, width: 16}, epochs: 300}"


def lengthen(project: Path) -> None:
    text = (project / "tiny.yaml").read_text()
    (project / "tiny.yaml").write_text(text.replace("generalist: {model: {name: mlp, width: 16}, epochs: 1}", LONG))


def told(project: Path) -> list[dict[str, Any]]:
    """Return all events of all runs; of a line that is being written nothing."""
    lines = [
        line for path in project.glob("runs/*/events.jsonl") for line in path.read_text().splitlines(keepends=True)
    ]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def events(project: Path, kind: str) -> list[str]:
    return [event["task"] for event in told(project) if event["event"] == kind]


def end(process: Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


def test_two_runs_at_once_do_each_piece_of_work_once_and_agree(project: Path) -> None:
    lengthen(project)
    runs = [start(project, "inline") for _ in range(2)]
    outs = [end(process) for process in runs]
    assert Counter(events(project, "task_finished")) == dict.fromkeys(ALL, 1)
    assert "waiting for run tiny-" in "".join(outs)
    assert events(project, "task_awaited")
    results = [without_times(json.loads(path.read_text())) for path in project.glob("runs/*/results.json")]
    assert len(results) == 2
    assert results[0] == results[1]
    assert list((project / "store/working").iterdir()) == []


def test_work_of_a_killed_run_is_taken_over_at_once(project: Path) -> None:
    lengthen(project)
    first = start(project, "inline")
    wait_for_tasks(first, 3)  # it is at the generalist now, or was
    second = start(project, "inline")
    until = time.monotonic() + 30
    while not events(project, "task_awaited"):
        assert time.monotonic() < until, "the second run must wait for the first"
        time.sleep(0.02)
    first.kill()
    first.communicate(timeout=30)
    killed = time.time()
    end(second)
    assert Counter(events(project, "task_finished")) == dict.fromkeys(ALL, 1)
    begun = [event["time"] for event in told(project) if event["event"] == "task_progress"]
    assert min(moment for moment in begun if moment > killed) - killed < EXPIRES_SECONDS / 2
    assert json.loads((newest(project / "runs") / "results.json").read_text())["reused"]
    assert list((project / "store/working").iterdir()) == []
