"""Two real runs that share a store and go on at the same time."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from typing import Any

from pipeline.events import read_events
from pipeline.store.work import EXPIRES_SECONDS
from tests.pipeline.cli.conftest import newest, pause_at, paused, without_times
from tests.pipeline.cli.test_interrupt import start
from tests.pipeline.cli.test_run import ALL
from tests.waiting import PATIENCE, wait_until

TEACHER = "{model: {name: mlp, width: 16}, epochs: 1}"

TRIED = "models[generalist]"
"""The task that tries a network of the user's, as the one that waits is."""


def pause_generalist(project: Path) -> None:
    """Have whichever run trains the generalist wait in the middle of it."""
    text = (project / "tiny.yaml").read_text()
    assert TEACHER in text
    waiting = TEACHER.replace("mlp, width: 16", f"'{pause_at(project, 2)}'")
    (project / "tiny.yaml").write_text(text.replace(TEACHER, waiting))


def wait_for(runs: list[Popen[str]], project: Path, kind: str) -> None:
    """Return when an event of a kind was told of the generalist."""

    def is_told() -> bool:
        assert all(process.poll() is None for process in runs), "no run may end before"
        return "generalist" in events(project, kind)

    wait_until(is_told, f"a run must tell of {kind}")


def told(project: Path) -> list[Mapping[str, Any]]:
    """Return all events of all runs."""
    return [event for path in project.glob("runs/*/events.jsonl") for event in read_events(path)]


def events(project: Path, kind: str) -> list[str]:
    return [event["task"] for event in told(project) if event["event"] == kind]


def end(process: Popen[str]) -> str:
    out, err = process.communicate(timeout=2 * PATIENCE)
    assert (process.returncode, err) == (0, "")
    return out


def test_two_runs_at_once_do_each_piece_of_work_once_and_agree(project: Path) -> None:
    pause_generalist(project)
    runs = [start(project, "inline") for _ in range(2)]
    wait_for(runs, project, "task_awaited")
    (project / "go").touch()
    outs = [end(process) for process in runs]
    assert Counter(events(project, "task_finished")) == dict.fromkeys((*ALL, TRIED), 1)
    assert "waiting for run tiny-" in "".join(outs)
    results = [without_times(json.loads(path.read_text())) for path in project.glob("runs/*/results.json")]
    assert len(results) == 2
    assert results[0] == results[1]
    assert list((project / "store/working").iterdir()) == []


def test_work_of_a_killed_run_is_taken_over_at_once(project: Path) -> None:
    pause_generalist(project)
    first = start(project, "inline")
    wait_until(lambda: paused(project) or first.poll() is not None, "the first run must come to the generalist")
    second = start(project, "inline")
    wait_for([first, second], project, "task_awaited")
    first.kill()
    first.communicate(timeout=PATIENCE)
    killed = time.time()
    (project / "go").touch()
    end(second)
    assert Counter(events(project, "task_finished")) == dict.fromkeys((*ALL, TRIED), 1)
    begun = [event["time"] for event in told(project) if event["event"] == "task_progress"]
    assert min(moment for moment in begun if moment > killed) - killed < EXPIRES_SECONDS / 2
    assert json.loads((newest(project / "runs") / "results.json").read_text())["reused"]
    assert list((project / "store/working").iterdir()) == []
