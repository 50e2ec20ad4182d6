from collections.abc import Mapping

import pytest

from pipeline.tracking.contract import Ending, Point, Results
from pipeline.tracking.mlflow_runs import PARENT, Mlflow
from tests.pipeline.tracking.fakes import FakeServer
from tests.pipeline.tracking.test_sender import eventually


def begun(server: FakeServer) -> Mlflow:
    return Mlflow(
        server,
        "http://here",
        "digits-1",
        tags={"seed": "0"},
        parameters={"student.epochs": "3"},
        files={"config.yaml": "seed: 0\n"},
        pause=0.01,
    )


def point(epoch: int, task: str = "student[hard]", title: str = "") -> Point:
    return Point(task, title, epoch, {"loss": 1 / epoch}, 1e9 + epoch)


RESULTS = Results(
    {"student-hard": {"accuracy": 0.9, "nll": 0.3}}, {"results.json": b"{}"}, {"student[hard]": "a1"}, 2e9
)


def test_a_run_is_sent_with_its_config_and_results() -> None:
    server = FakeServer()
    log = begun(server)
    log.results(RESULTS)
    log.close("done")
    run = server.runs["digits-1"]
    assert (run.tags, run.parameters, run.status) == ({"seed": "0"}, {"student.epochs": "3"}, "FINISHED")
    assert [found.measures for found in run.points] == [
        {"test/student-hard/accuracy": 0.9, "test/student-hard/nll": 0.3}
    ]
    assert run.files == {
        "config.yaml": "seed: 0\n", "results.json": "{}", "keys.json": '{\n  "student[hard]": "a1"\n}',
    }  # fmt: skip
    assert log.news() == []


@pytest.mark.parametrize("goes_away", [False, True])
def test_a_run_whose_parameters_are_refused_has_failed(goes_away: bool) -> None:
    class Refusing(FakeServer):
        def parameters(self, run: str, values: Mapping[str, str]) -> None:
            self.away = goes_away
            raise ValueError("no such parameter")

    server = Refusing()
    with pytest.raises(ValueError, match="no such parameter"):
        begun(server)
    assert server.runs["digits-1"].status == ("RUNNING" if goes_away else "FAILED")


def test_each_training_is_a_run_within_the_run() -> None:
    server = FakeServer()
    log = begun(server)
    for epoch in (1, 2):
        log.point(point(epoch))
        log.point(point(epoch, "specialist[0-1]", "zero, one"))
    log.ended(Ending("specialist[0-1]", "done", "a1", 2.0))
    log.close("failed")
    student, specialist = server.runs["student[hard]"], server.runs["specialist[0-1]"]
    assert [found.epoch for found in specialist.points] == [1, 2]
    assert specialist.tags == {
        PARENT: "digits-1", "task": "specialist[0-1]", "title": "zero, one", "state": "done", "key": "a1",
        "seconds": "2.0",
    }  # fmt: skip
    assert specialist.status == "FINISHED"
    assert (student.points, student.status) == ([point(1), point(2)], "FAILED")
    assert server.runs["digits-1"].status == "FAILED"


def test_an_interrupted_run_is_told_as_killed() -> None:
    server = FakeServer()
    log = begun(server)
    log.point(point(1))
    log.close("interrupted")
    assert {run.status for run in server.runs.values()} == {"KILLED"}


def test_a_run_that_cannot_begin_is_an_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        begun(FakeServer(away=True))


def test_a_server_that_is_away_for_a_while_gets_every_epoch_once() -> None:
    server = FakeServer()
    log = begun(server)
    log.point(point(1))
    assert eventually(lambda: server.runs.get("student[hard]") and server.runs["student[hard]"].points)
    server.away = True
    for epoch in range(2, 1000):
        log.point(point(epoch))
    told: list[str] = []
    assert eventually(lambda: told.extend(log.news()) or told)
    server.away = False
    log.close("done")
    assert [found.epoch for found in server.runs["student[hard]"].points] == list(range(1, 1000))
    assert log.news() == []
    assert told[0].startswith("MLflow at http://here does not answer: Connection refused; the run goes on")


def test_a_server_that_stays_away_ends_in_a_list_of_what_it_lacks() -> None:
    server = FakeServer()
    log = begun(server)
    assert eventually(lambda: server.runs["digits-1"].files)
    server.away = True
    log.point(point(1))
    log.results(RESULTS)
    log.close("done")
    assert log.news()[-1] == (
        "MLflow at http://here lacks what only the run's folder has: the run of student[hard], epochs of student[hard],"
        " the results, results.json, keys.json, the end of student[hard], the end of the run: Connection refused"
    )


def test_a_training_that_is_refused_leaves_the_others() -> None:
    server = FakeServer(refuses="student[hard]")
    log = begun(server)
    log.point(point(1))
    log.point(point(1, "generalist"))
    log.close("done")
    assert server.runs["generalist"].points == [point(1, "generalist")]
    first, last = log.news()
    assert first.startswith("MLflow at http://here refuses the run of student[hard]: no run may be called")
    assert "the run of student[hard], epochs of student[hard], the end of student[hard]" in last
