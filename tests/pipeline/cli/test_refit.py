"""A run whose student is trained once more on everything."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import load_student
from pipeline.events import read_events
from stages import portable
from tests.pipeline.cli.conftest import Command, newest, without_times

REFIT = ("--set", "refit=true")


def test_refit_is_one_more_student_and_changes_no_other(finished: Path, command: Command) -> None:
    before = json.loads((newest(finished / "runs") / "results.json").read_text())
    done = command("run", "tiny.yaml", *REFIT)
    assert (done.code, done.err) == (0, "")
    run = newest(finished / "runs")
    results = json.loads((run / "results.json").read_text())
    assert list(results["students"]) == ["distilled", "hard", "refit"]
    assert "student[distilled]" in results["reused"]
    refit = results["students"].pop("refit")
    difference = results["differences"].pop("refit")
    assert difference["mean"] == pytest.approx(results["students"]["distilled"]["accuracy"] - refit["accuracy"])
    for part in ("data", "generalist", "specialists", "ensemble", "differences"):
        assert without_times(results[part]) == without_times(before[part])
    assert without_times(results["students"]) == without_times(before["students"])
    page = (run / "report.html").read_text()
    assert "trained on all 160 training examples" in page
    assert "<td>refit</td>" in page
    assert "control: refit" not in page + done.out


def test_refit_is_left_beside_the_student_and_can_be_exported(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", *REFIT).code == 0
    run = newest(finished / "runs")
    described = json.loads((run / "refit.json").read_text())
    assert described["weights"] == "refit.safetensors"
    assert described["mean"] != json.loads((run / "student.json").read_text())["mean"]  # of all examples
    image = np.zeros((1, *described["image_size"], described["channels"]), dtype=np.uint8)
    ours, theirs = (load_student(run, name).probs(image) for name in ("refit", "student"))
    assert load_student(run).probs(image).tolist() == theirs.tolist() != ours.tolist()
    done = command("export", "tiny", "--format", "safetensors", "--network", "student-refit")
    assert done.code == 0
    assert (run / "student-refit.safetensors").read_bytes() == (run / "refit.safetensors").read_bytes()
    assert command("export", "tiny", "--format", "torch-export", "--network", "student-refit").code == 0
    written = portable.opened("torch-export", (run / "refit.pt2").read_bytes())
    assert written(image)[1] == pytest.approx(ours, abs=1e-5)


def test_refit_that_a_run_does_not_have_is_told(finished: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "torch-export", "--network", "student-refit")
    assert done.code == 2
    assert done.err == (
        "--network: must be student-distilled with --format torch-export; got 'student-refit': set `refit: true` and"
        " run its config again\n"
    )


def test_commands_after_a_run_know_the_refit(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", *REFIT).code == 0
    run = newest(finished / "runs")
    results = json.loads((run / "results.json").read_text())
    measured = json.loads(command("evaluate", "tiny", "--json").out)
    assert measured["students"]["refit"]["accuracy"] == results["students"]["refit"]["accuracy"]
    assert command("report", "tiny").code == 0
    assert json.loads((run / "results.json").read_text()) == results
    again = command("run", "tiny.yaml", *REFIT)
    assert again.code == 0
    assert "refit-student[distilled]" in json.loads((newest(finished / "runs") / "results.json").read_text())["reused"]


def test_nothing_waits_for_a_refit_that_is_not_asked_for(finished: Path) -> None:
    run = newest(finished / "runs")
    news = [event for event in read_events(run / "events.jsonl") if event["event"] == "tasks_known"]
    assert "evaluate" in news[0]["undecided"]
    assert not [name for event in news for name in event["undecided"] if name.startswith("refit-")]


def test_plan_names_what_the_refit_will_take(project: Path, command: Command) -> None:
    steps = json.loads(command("plan", "tiny.yaml", *REFIT, "--json").out)["steps"]
    stages = [step["id"] for step in steps if step["id"].startswith("refit-")]
    assert stages == [
        f"refit-{name}" for name in ("data", "views", "generalist", "specialist", "targets", "combined", "student")
    ]
    without = json.loads(command("plan", "tiny.yaml", "--json").out)["steps"]
    assert not [step["id"] for step in without if step["id"].startswith("refit-")]


def test_what_a_refit_cannot_be_had_with_is_refused(project: Path, command: Command) -> None:
    data = "data={source: 'npz:tiny.npz', root: ., transfer: {fraction: 0.5}}"
    done = command("validate", "tiny.yaml", *REFIT, "--set", data, "--set", "student.match_frequencies=true")
    assert done.code == 2
    assert "with refit, whose student is trained on all examples; got fraction" in done.err
    assert "student.match_frequencies: must be false with refit, for nothing is held out then; got true" in done.err
