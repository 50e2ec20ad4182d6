import json
from pathlib import Path

import pytest

from pipeline.cli import kept
from pipeline.cli.report import summary
from pipeline.recipe import key_of
from pipeline.stage import Artifact
from tests.pipeline.cli.conftest import Command, newest


def test_report_writes_a_runs_files_again(finished: Path, command: Command) -> None:
    run = newest(finished / "runs")
    names = ("results.json", "report.html", "student.json", "student.safetensors")
    before = {name: (run / name).read_bytes() for name in names}
    for name in names:
        (run / name).unlink()
    done = command("report", "tiny")
    assert (done.code, done.out, done.err) == (0, f"report: runs/{run.name}/report.html\n", "")
    after = {name: (run / name).read_bytes() for name in names}
    assert {name for name in names if after[name] != before[name]} <= {"report.html"}  # the timeline's last digits
    assert len(after["report.html"]) == pytest.approx(len(before["report.html"]), rel=0.01)


def test_summary_is_that_of_the_run(finished: Path) -> None:
    found = summary(kept.find(finished / "runs", "tiny"))
    results = json.loads((newest(finished / "runs") / "results.json").read_text())
    assert found.seconds == results["seconds"]
    assert found.reused == []
    assert all(task.ended is not None and task.ended >= task.seconds for task in found.tasks)
    assert "source: npz:tiny.npz" in found.config


def test_report_that_cannot_be_written_says_what_to_do(finished: Path, command: Command) -> None:
    page = newest(finished / "runs") / "report.html"
    page.unlink()
    page.mkdir()
    done = command("report", "tiny")
    assert done.code == 1
    assert done.err.startswith(f"runs/{page.parent.name}/report.html: must be writable; got ")
    assert done.err.endswith(": let the run's folder be written to, or name a writable copy of it\n")


def test_report_of_a_reused_run_says_what_was_reused(finished: Path, command: Command) -> None:
    command("run", "tiny.yaml", "--set", "student.epochs=2")
    results = newest(finished / "runs") / "results.json"
    before = json.loads(results.read_text())
    assert command("report", "tiny").code == 0
    assert json.loads(results.read_text()) == before
    assert "generalist" in before["reused"]
    assert "evaluate" not in before["reused"]


def test_report_of_a_pruned_run_says_what_to_do(finished: Path, command: Command) -> None:
    run = kept.find(finished / "runs", "tiny")
    run.store.discard(run.manifest("evaluate"), "a test")
    done = command("report", "tiny")
    assert done.code == 1
    assert done.err.startswith(f"evaluate of {run.name} must be in ")
    assert done.err.endswith(": do the run again\n")


def test_results_of_another_version_are_not_read(finished: Path, command: Command) -> None:
    run = kept.find(finished / "runs", "tiny")
    known = run.manifest("evaluate")
    older = dict(known.recipe) | {"version": 0}
    run.store.save(older, run.store.load(known), seconds=1.0)
    events = run.folder.path / "events.jsonl"
    events.write_text(events.read_text().replace(known.key, key_of(older)))
    done = command("report", "tiny")
    assert done.code == 1
    assert f"evaluate of {run.name} must be of version " in done.err
    assert done.err.endswith("; got version 0: do the run again\n")


def test_result_that_was_made_again_and_is_another_is_not_taken_for_the_runs(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--set", "name=other").code == 0
    run = kept.find(finished / "runs", "tiny")
    known = run.manifest("data[test]")
    test = run.artifact("data[test]")
    again = Artifact({**test.arrays, "labels": test.arrays["labels"][::-1].copy()}, test.facts)
    run.store.save(known.recipe, again, seconds=1.0, instead_of=known)
    told = f"data[test] of {run.name} must be what that run made or reused; got another, which was made in its place"
    for words in (("compare", "tiny", "other"), ("evaluate", "tiny")):
        done = command(*words)
        assert done.code == 1
        assert done.err.startswith(told)
        assert done.err.endswith(": do the run again\n")


def test_evaluation_that_was_made_again_is_still_the_runs(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--force", "evaluate").code == 0
    first = min((finished / "runs").iterdir())
    assert command("report", first.name).code == 0
