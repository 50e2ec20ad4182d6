import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.contract import Point
from pipeline.tracking.mlflow_server import ENVIRONMENT, LONGEST, MlflowServer
from tests.pipeline.conftest import HttpServer


def client(uri: str) -> Any:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    return mlflow.MlflowClient(uri)


def points(n: int) -> list[Point]:
    return [Point("t", "", n, {"loss": 1 / n, "accuracy": 0.5}, 1e9 + n) for n in range(1, n + 1)]


def test_what_is_sent_is_read_back(tmp_path: Path, mlflow_files: None) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    server = MlflowServer(uri, "digits")
    assert server.fault() == ""
    run = server.begin("digits-1", {"seed": "0"})
    server.parameters(run, {f"a.b{n}": str(n) for n in range(250)} | {"long": "x" * 1000})
    server.tags(run, {"state": "done"})
    server.points(run, points(600))
    server.file(run, "results.json", "{}")
    server.end(run, "FINISHED")

    found = client(uri).get_run(run)
    assert (found.info.run_name, found.info.status) == ("digits-1", "FINISHED")
    assert len(found.data.params) == 251
    assert found.data.params["a.b249"] == "249"
    assert found.data.params["long"] == "x" * (LONGEST - 3) + "..."
    assert (found.data.tags["seed"], found.data.tags["state"]) == ("0", "done")
    history = sorted(client(uri).get_metric_history(run, "loss"), key=lambda metric: metric.step)
    assert [metric.step for metric in history] == list(range(1, 601))
    assert (history[1].value, history[1].timestamp) == (0.5, 1_000_000_002_000)
    assert client(uri).download_artifacts(run, "results.json", str(tmp_path)).endswith("results.json")


def test_runs_of_one_experiment_join_it(tmp_path: Path, mlflow_files: None) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    for name in ("one", "two"):
        MlflowServer(uri, "digits").begin(name, {})
    experiment = client(uri).get_experiment_by_name("digits")
    assert {run.info.run_name for run in client(uri).search_runs([experiment.experiment_id])} == {"one", "two"}


def test_asking_changes_nothing(tmp_path: Path, mlflow_files: None) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    assert MlflowServer(uri, "digits").fault() == ""
    assert client(uri).get_experiment_by_name("digits") is None


def test_a_deleted_experiment_is_a_fault(tmp_path: Path, mlflow_files: None) -> None:
    uri = (tmp_path / "mlflow").as_uri()
    client(uri).delete_experiment(client(uri).create_experiment("digits"))
    assert MlflowServer(uri, "digits").fault() == (
        "the experiment 'digits', which is deleted: restore it, or name another"
    )


def test_a_server_that_fails_may_answer_later(mlflow_http: HttpServer) -> None:
    server = MlflowServer(mlflow_http.uri, "tiny")
    run = server.begin("digits-1", {})
    mlflow_http.status = 503
    with pytest.raises(Exception, match="503") as caught:
        server.tags(run, {"a": "b"})
    assert server.may_pass(caught.value)
    mlflow_http.status = 403
    with pytest.raises(Exception, match="not for you") as caught:
        server.tags(run, {"a": "b"})
    assert not server.may_pass(caught.value)


def test_nobody_listening_is_a_fault_within_seconds(mlflow_http: HttpServer) -> None:
    mlflow_http.close()
    started = time.monotonic()
    server = MlflowServer(mlflow_http.uri, "tiny")
    assert "Connection refused" in server.fault()
    assert time.monotonic() - started < 20


def test_waiting_is_bounded_unless_the_user_says_otherwise(mlflow_http: HttpServer) -> None:
    MlflowServer(mlflow_http.uri, "tiny")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == ENVIRONMENT["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"  # as the fixture has set it
