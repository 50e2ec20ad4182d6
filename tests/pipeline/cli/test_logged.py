import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.cli.conftest import Command, newest
from tests.pipeline.conftest import HttpServer
from tests.waiting import PATIENCE, wait_until

TENSORBOARD = ("--set", "logging.tensorboard=true")
EPOCH = {"loss", "accuracy", "nll"}


def mlflow_at(uri: str) -> tuple[str, ...]:
    return ("--set", f"logging.mlflow={{uri: '{uri}', experiment: ours}}")


def read(folder: Path) -> Any:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra `tensorboard`"
    )
    return accumulator.EventAccumulator(str(folder)).Reload()


def results(folder: Path) -> Any:
    return json.loads((newest(folder / "runs") / "results.json").read_text())


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra `tensorboard`")
def test_tensorboard_shows_each_training_and_what_came_of_it(finished: Path, command: Command) -> None:
    assert command("run", "tiny.yaml", "--set", "student.epochs=3", *TENSORBOARD).code == 0
    folder = newest(finished / "runs") / "tensorboard"
    trainings = {"generalist", "specialist-0-1", "specialist-2-3", "student-distilled", "student-hard"}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == trainings | {"ensemble"}
    for name in trainings:
        epochs = [1, 2, 3] if name.startswith("student") else [1]  # reused ones too
        assert set(read(folder / name).Tags()["scalars"]) >= EPOCH
        assert [event.step for event in read(folder / name).Scalars("loss")] == epochs
    measured = results(finished)["students"]["distilled"]
    for name in ("accuracy", "nll", "ece"):
        (event,) = read(folder / "student-distilled").Scalars(f"test/{name}")
        assert event.value == pytest.approx(measured[name])
    (event,) = read(folder).Tensors("config")
    assert "    name: tiny" in event.tensor_proto.string_val[0].decode()


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra `tensorboard`")
def test_tensorboard_shows_folds_and_trainings_without_a_holdout(project: Path, command: Command) -> None:
    folds = ("--set", "data.holdout=0", "--set", "data.folds=2", "--until", "generalist")
    for _ in ("made", "reused"):
        assert command("run", "tiny.yaml", *folds, *TENSORBOARD).code == 0
        folder = newest(project / "runs") / "tensorboard"
        assert {path.name for path in folder.iterdir() if path.is_dir()} == {"fold-0", "fold-1", "generalist"}
        assert set(read(folder / "fold-0").Tags()["scalars"]) >= EPOCH
        assert [event.step for event in read(folder / "generalist").Scalars("loss")] == [1]


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra `tensorboard`")
def test_tensorboard_shows_what_is_trained_once_more(finished: Path, command: Command) -> None:
    for _ in ("made", "reused"):
        assert command("run", "tiny.yaml", "--set", "refit=true", *TENSORBOARD).code == 0
        folder = newest(finished / "runs") / "tensorboard"
        assert [event.step for event in read(folder / "refit-student-distilled").Scalars("loss")] == [1]
        assert len(read(folder / "student-refit").Scalars("test/accuracy")) == 1


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra `tensorboard`")
def test_tensorboard_brings_no_torch_and_changes_no_result(finished: Path) -> None:
    root = Path(__file__).parents[3]
    script = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from pipeline.cli import main; code = main(sys.argv[1:]);"
        "print(code, [name for name in ('torch', 'ray', 'sklearn', 'tensorflow') if name in sys.modules])"
    )
    line = [sys.executable, "-c", script, "run", "tiny.yaml", *TENSORBOARD, "--set", "logging.tensorboard_folder=tb"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=finished, timeout=PATIENCE, check=False)
    assert done.stdout.endswith("\n0 []\n"), done.stderr
    run = newest(finished / "runs").name
    assert [event.step for event in read(finished / "tb" / run / "generalist").Scalars("loss")] == [1]
    assert len(results(finished)["reused"]) == 15


def test_tensorboard_that_cannot_be_written_is_refused_before_any_work(project: Path, command: Command) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    (project / "file").write_text("")
    done = command("run", "tiny.yaml", *TENSORBOARD, "--set", "logging.tensorboard_folder=file")
    assert done.code == 2
    rule = "logging.tensorboard_folder: must be where event files can be written; got 'file/tiny-"
    assert done.err.startswith(f"--set logging.tensorboard_folder=file: {rule}")
    assert done.err.endswith("': Not a directory\n")
    assert "data[train]" not in done.out
    assert list((project / "runs").iterdir()) == []


def test_a_stopped_run_ends_as_interrupted(finished: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    endless = ("--set", "student.epochs=100000", *TENSORBOARD)
    line = [sys.executable, "-m", "pipeline", "run", "tiny.yaml", *endless]
    process = subprocess.Popen(line, cwd=finished, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        files = "runs/*/tensorboard/student-*/*"
        wait_until(
            lambda: process.poll() is not None or any(file.stat().st_size > 1000 for file in finished.glob(files)),
            "the student's training must be told of",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    finally:
        process.kill()
        process.communicate()
    folder = newest(finished / "runs") / "tensorboard"
    (event,) = read(folder).Tensors("status")
    assert event.tensor_proto.string_val[0].decode() == "    interrupted\n"
    (student,) = folder.glob("student-*")
    assert read(student).Scalars("loss")[0].step == 1


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="the extra `mlflow` is installed")
@pytest.mark.parametrize("look", ["run", "validate", "plan"])
def test_an_extra_that_is_missing_is_refused_before_any_work(project: Path, command: Command, look: str) -> None:
    done = command(look, "tiny.yaml", *mlflow_at("http://127.0.0.1:9"))
    assert done.code == 2
    assert done.err.endswith(
        "logging.mlflow: must have mlflow installed; got none: pip install 'specialist-distillation[mlflow]'\n"
    )
    assert not (project / "runs").exists()


def test_mlflow_has_the_run_and_its_trainings(
    finished: Path, command: Command, tmp_path: Path, mlflow_files: None
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    uri = (tmp_path / "mlflow").as_uri()
    assert command("run", "tiny.yaml", "--set", "student.epochs=3", *mlflow_at(uri)).code == 0
    client = mlflow.MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("ours").experiment_id])
    runs = {run.info.run_name: run for run in found}
    run = runs.pop(newest(finished / "runs").name)
    assert set(runs) == {
        "generalist", "specialist[0-1]", "specialist[2-3]", "student[distilled]", "student[hard]",
    }  # fmt: skip
    assert {one.info.status for one in found} == {"FINISHED"}
    assert {one.data.tags["mlflow.parentRunId"] for one in runs.values()} == {run.info.run_id}
    assert (runs["generalist"].data.tags["state"], runs["student[hard]"].data.tags["state"]) == ("reused", "done")
    assert [metric.step for metric in client.get_metric_history(runs["student[hard]"].info.run_id, "nll")] == [1, 2, 3]
    assert run.data.params["student.epochs"] == "3"
    assert run.data.tags["seed"] == "0"
    measured = results(finished)["students"]["distilled"]
    assert run.data.metrics["test/student-distilled/accuracy"] == pytest.approx(measured["accuracy"])
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"config.yaml", "keys.json", "report.html", "results.json"}


@pytest.mark.parametrize("look", ["run", "validate"])
def test_mlflow_that_is_not_there_is_refused_before_any_work(
    project: Path, command: Command, mlflow_http: HttpServer, look: str
) -> None:
    mlflow_http.status = 503
    done = command(look, "tiny.yaml", *mlflow_at(mlflow_http.uri))
    assert done.code == 2
    assert "logging.mlflow.uri: must be of an MLflow that takes runs of this experiment; got 'http://127" in done.err
    assert not (project / "runs").exists()
    assert command("plan", "tiny.yaml", *mlflow_at(mlflow_http.uri)).code == 0


def test_mlflow_that_takes_no_run_is_refused_before_any_work(
    project: Path, command: Command, mlflow_http: HttpServer
) -> None:
    mlflow_http.fails_at = lambda path, content: "runs/create" in path
    done = command("run", "tiny.yaml", *mlflow_at(mlflow_http.uri))
    assert done.code == 2
    assert "logging.mlflow.uri: must be of an MLflow that takes runs of this experiment; got 'http://127" in done.err
    assert "data[train]" not in done.out
    assert list((project / "runs").iterdir()) == []


def test_mlflow_that_fails_in_mid_run_stops_nothing(project: Path, command: Command, mlflow_http: HttpServer) -> None:
    mlflow_http.fails_at = lambda path, content: "log-batch" in path and content.get("metrics")
    done = command("run", "tiny.yaml", *mlflow_at(mlflow_http.uri))
    assert (done.code, done.err) == (0, "")
    assert any("config.yaml" in path for path, _ in mlflow_http.asked)
    told = [line for line in done.out.splitlines() if "warning: " in line]
    assert len(told) == 2
    assert f"MLflow at {mlflow_http.uri} does not answer: " in told[0]
    assert "lacks what only the run's folder has: epochs of generalist, " in told[1]
    assert (newest(project / "runs") / "results.json").exists()
