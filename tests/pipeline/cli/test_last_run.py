"""What a plan says has changed in the config since the last run."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.last_run import Since, differences, since_last_run
from pipeline.cli.schema import Config
from pipeline.config import dump
from pipeline.runs import CONFIG, EVENTS, RESULTS
from stages.parameters import resolved
from tests.pipeline.cli.conftest import Command, newest

GIVEN = {"data": {"source": "npz:tiny.npz"}}


def config_of(**sections: Any) -> Config:
    return resolved(Config.model_validate(GIVEN | sections))


def values_of(**sections: Any) -> dict[str, Any]:
    """Return a config as a run has it."""
    values: dict[str, Any] = config_of(**sections).model_dump(mode="json", by_alias=True)
    return values


def make_run(folder: Path, config: str, *, has_results: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(config)
    (folder / EVENTS).touch()
    if has_results:
        (folder / RESULTS).touch()


def since(command: Command, *options: str) -> dict[str, Any] | None:
    """Return what a plan says as JSON."""
    told: dict[str, Any] | None = json.loads(command("plan", "tiny.yaml", *options, "--json").out)["since_last_run"]
    return told


CHANGES = ("seed=3", "specialists.count=1", "student.epochs=2", "controls=[]", "combine.calibrate=true")
LINES = (
    "specialists.count 2 -> 1",
    "combine.calibrate false -> true",
    "student.epochs 1 -> 2",
    "controls ['hard'] -> []",
    "seed 0 -> 3",
)


@pytest.mark.parametrize(
    ("n_changes", "told"),
    [
        (2, "specialists.count 2 -> 1 and seed 0 -> 3"),
        (3, "specialists.count 2 -> 1, student.epochs 1 -> 2 and seed 0 -> 3"),
        (5, f"{', '.join(LINES[:3])} and 2 more"),
    ],
)
def test_plan_tells_once_what_has_changed_since_the_last_run(
    finished: Path, command: Command, n_changes: int, told: str
) -> None:
    run = newest(finished / "runs").name
    changes = [f"--set={change}" for change in CHANGES[:n_changes]]
    lines = command("plan", "tiny.yaml", *[*changes[1:], changes[0]]).out.splitlines()
    (line,) = (line for line in lines if "since" in line)
    assert line == f"changed since the last run, {run}: {told}"
    assert lines[lines.index(line) - 1] == ""
    assert " to reuse, " in lines[lines.index(line) + 1]


def test_plan_tells_scripts_all_that_has_changed(finished: Path, command: Command) -> None:
    run = newest(finished / "runs")
    changes = [f"--set={change}" for change in CHANGES]
    assert since(command, *changes) == {"run": run.name, "changed": [*LINES]}
    assert command("run", "tiny.yaml", "--until", "student", "--set=student.epochs=2").code == 0
    part = json.loads((newest(finished / "runs") / "plan.json").read_text())
    assert part["since_last_run"] == {"run": run.name, "changed": ["student.epochs 1 -> 2"]}


def test_plan_tells_nothing_where_nothing_is_to_be_explained(finished: Path, command: Command) -> None:
    run = newest(finished / "runs")
    assert since(command, "--force", "evaluate") == {"run": run.name, "changed": []}
    assert "since" not in command("plan", "tiny.yaml", "--force", "evaluate").out
    (run / CONFIG).write_text("}")  # all is reused: it is not even read
    done = command("plan", "tiny.yaml", "--set", "checkpoint_seconds=7")
    assert (done.err, "since" in done.out) == ("", False)
    assert since(command) is None
    (run / RESULTS).unlink()
    assert since(command, "--set", "student.epochs=2") is None


def test_last_run_is_the_newest_of_its_name_that_has_results(tmp_path: Path) -> None:
    now = config_of(name="digits", runs=str(tmp_path), student={"epochs": 9})
    assert since_last_run(now) is None
    for number, epochs in enumerate((7, 8), start=1):
        before = dump(config_of(name="digits", runs=str(tmp_path), student={"epochs": epochs}))
        make_run(tmp_path / f"digits-2026010{number}-000000-000", before)
    make_run(tmp_path / "digits-20260103-000000-000", "}", has_results=False)
    make_run(tmp_path / "digits-more-20260104-000000-000", "}")
    assert since_last_run(now) == Since("digits-20260102-000000-000", ["student.epochs 8 -> 9"])


def test_last_run_whose_config_cannot_be_read_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "digits-20260101-000000-000", "}")
    assert since_last_run(config_of(name="digits", runs=str(tmp_path))) is None
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path}/digits-20260101-000000-000/config.yaml:1: must be")


def test_keys_of_other_versions_are_no_differences() -> None:
    before = values_of(data={"source": "npz:tiny.npz", "views": 1}) | {"removed": 1}
    before["specialists"] |= {"removed": {"once": True}}
    before["combine"] = "an entry of its own once"
    del before["seed"], before["data"]["holdout"], before["logging"]
    now = config_of(seed=3, data={"source": "npz:tiny.npz", "views": 2, "holdout": 0.3, "augment": {"flip": True}})
    views, augment, combine = differences(before, now)
    assert (views, augment) == ("data.views 1 -> 2", "data.augment.flip false -> true")
    assert combine.startswith("combine 'an entry of its own once' -> {active_classes: 2, ")


def test_section_that_one_of_two_has_and_one_of_free_keys_are_one_difference() -> None:
    now = config_of(
        sweep={"alpha": [0.5]}, ray={"wait_for": {"GPU": 4, "seconds": 60}, "resources": {"student": {"gpus": 0.5}}}
    )
    gpus = {"wait_for": {"CPU": 4, "seconds": 60}, "resources": {}}
    sweep, resources, wait = differences(values_of(ray=gpus), now)
    assert sweep == "sweep null -> {alpha: [0.5], measure: 'accuracy'}"
    assert resources.startswith("ray.resources {} -> {student: {")
    assert wait == "ray.wait_for {seconds: 60.0, CPU: 4.0} -> {seconds: 60.0, GPU: 4.0}"


def test_key_of_a_config_is_told_and_not_the_name_of_its_field() -> None:
    now = config_of(generalist={"from": "a.safetensors"})
    assert list(differences(values_of(), now)) == ["generalist.from null -> 'a.safetensors'"]


def test_config_as_it_was_written_is_no_other(tmp_path: Path) -> None:
    now = config_of(name="digits", runs=str(tmp_path), student={"learning_rate": 1e-5, "weight_decay": 1 / 3})
    make_run(tmp_path / "digits-20260101-000000-000", dump(now))
    assert since_last_run(now) == Since("digits-20260101-000000-000", [])
