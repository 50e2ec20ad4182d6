"""A run that holds nothing out."""

import json
from pathlib import Path

import pytest

from tests.pipeline.cli.conftest import Command, newest

FOLDS = ("--set", "data={source: 'npz:tiny.npz', root: ., views: 1, folds: 3}")


def test_run_with_folds_trains_everything_on_all_examples_and_says_so(project: Path, command: Command) -> None:
    done = command("run", "tiny.yaml", *FOLDS)
    assert (done.code, done.err) == (0, "")
    assert "fold[2]: done" in done.out
    run = newest(project / "runs")
    results = json.loads((run / "results.json").read_text())
    assert (results["data"]["train"], results["data"]["transfer"], results["data"]["holdout"]) == (160, 160, 0)
    assert results["folds"]["count"] == 3
    assert 0.25 < results["folds"]["accuracy"] <= 1
    page = (run / "report.html").read_text()
    shown = "160 examples to train on, dealt out to 3 folds, none held out, and 60 to test on"
    assert shown in " ".join(page.split())
    assert "accuracy on the fold that it was not trained on" in page
    assert "holdout" not in page.partition('id="config"')[0]
    again = command("run", "tiny.yaml", *FOLDS)
    assert "0 results" not in again.out
    reused = json.loads((newest(project / "runs") / "results.json").read_text())["reused"]
    assert {"fold[0]", "confusion", "student[hard]"} <= set(reused)


def test_exported_student_is_checked_on_what_there_is_where_nothing_is_held_out(
    project: Path, command: Command
) -> None:
    assert command("run", "tiny.yaml", *FOLDS).code == 0
    done = command("export", "tiny", "--format", "torch-export")
    assert (done.code, done.err) == (0, "")
    assert "over 160 examples of the training set (must be less than" in done.out


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("combine.calibrate=true", "combine.calibrate: must be false with data.folds, for nothing is held out"),
        ("sweep={alpha: [0.5, 0.9]}", "sweep: must be left out with data.folds, for nothing is held out to choose by"),
    ],
)
def test_what_needs_a_holdout_is_refused_with_folds(project: Path, command: Command, setting: str, told: str) -> None:
    done = command("validate", "tiny.yaml", *FOLDS, "--set", setting)
    assert done.code == 2
    assert told in done.err


def test_plan_with_folds_knows_what_they_will_take(project: Path, command: Command) -> None:
    done = command("plan", "tiny.yaml", *FOLDS, "--json")
    steps = {step["id"]: step for step in json.loads(done.out)["steps"]}
    assert [steps[f"fold[{i}]"]["action"] for i in range(3)] == ["run"] * 3
    assert steps["fold[0]"]["least_bytes"] == 160 // 3 * (4 * 4 + 8)
    assert steps["confusion"]["least_bytes"] == 160 * (4 * 4 + 8) + 8 * 4**2
