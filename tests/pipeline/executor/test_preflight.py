import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.executor import Needs, RayOptions
from pipeline.executor.joined import _advice, _got, sent_along, served
from pipeline.executor.nodes import Node
from pipeline.executor.options import GIB, Reserved
from pipeline.executor.preflight import Facts, bundles, digest_of, faults_of, look_around, misfits, missing, source_of
from pipeline.stage import Stage
from pipeline.store import Store
from pipeline.store.reach import answer_note, has_note, leave_note, take_note_away

HERE = Facts({"Python": "3.11", "numpy": "2.4.6", "torch": "2.15.0"}, {"pipeline": "abc"}, answer="a")


def test_a_node_with_the_same_of_everything_is_right() -> None:
    assert faults_of("w1 (10.0.0.2)", HERE, HERE) == []


def test_faults_name_the_node_and_what_to_do() -> None:
    there = Facts(
        {"Python": "3.11", "numpy": "2.4.5", "torch": ""}, {"pipeline": "x"}, fault="the store /d is not here"
    )
    assert faults_of("w1 (10.0.0.2)", there, HERE) == [
        "node w1 (10.0.0.2): must have numpy 2.4.6, as here; got 2.4.5: install the same there",
        "node w1 (10.0.0.2): must have torch 2.15.0, as here; got none: install the same there",
        (
            "node w1 (10.0.0.2): must import the same pipeline as here; got another: take other copies off its"
            " PYTHONPATH, or install the same there"
        ),
        "node w1 (10.0.0.2): the store /d is not here: name a store that all nodes share, such as s3://bucket/prefix",
    ]
    assert "got none" in faults_of("w1", replace(HERE, code={}), HERE)[0]


def test_what_is_looked_at_are_the_versions_the_code_and_the_store(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store")).location
    stage = Stage("data", "", "", packages=("numpy", "no-such-distribution"))
    needs = Needs((stage,), modules=("pipeline",), store=store, packages=("torchvision",))
    facts = look_around(needs, leave_note(store))
    assert facts.versions["Python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert facts.versions["numpy"]
    assert facts.versions["ray"]
    assert facts.versions["torchvision"]
    assert facts.versions["no-such-distribution"] == ""
    assert len(facts.code["pipeline"]) == 64
    assert has_note(store, facts.answer)
    assert look_around(needs).answer == ""


def test_another_folder_of_the_same_name_is_found_out_and_not_made_a_store(tmp_path: Path) -> None:
    ours = Store.open(str(tmp_path / "ours")).location
    theirs = str(tmp_path / "theirs")
    facts = look_around(Needs(store=theirs), leave_note(ours))
    assert facts.fault == f"the store {theirs} must be the same as here; got another one, or none"
    assert not Path(theirs).exists()


def test_notes_can_be_taken_away(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path)).location
    note = leave_note(store)
    answer = answer_note(store, note)
    for path in (note, answer):
        take_note_away(store, path)
        assert not has_note(store, path)
    with pytest.raises(StoreError, match="got another one, or none"):
        answer_note(store, note)


def test_misfits_name_the_stages_and_what_the_nodes_have() -> None:
    stages = (Stage("data", "", ""), Stage("specialist", "", "", gpu=0.25), Stage("student", "", "", gpu=0.25))
    nodes = [Node("1", "head (10.0.0.1)", {"CPU": 2.0, "memory": 4.0 * GIB}), Node("2", "w (10.0.0.2)", {"CPU": 4.0})]
    needs = Needs(stages, threads={"student": 4})
    assert misfits(needs, RayOptions(address="auto"), nodes) == []
    many = RayOptions(address="auto", resources={name: Reserved(gpus=2) for name in ("data", "specialist")})
    assert misfits(needs, many, nodes) == [
        (
            "data, specialist: one node must have 1 CPU, 2 GPU; got head (10.0.0.1) 2 CPU, 0 GPU; w (10.0.0.2) 4 CPU, 0"
            " GPU: ask for less in ray.resources, add such a node, or declare it in ray.wait_for"
        )
    ]
    apart = RayOptions(address="auto", resources={"student": Reserved(memory=4)})
    assert misfits(needs, apart, nodes)[0].startswith("student: one node must have 4 CPU, 4 GiB of memory; got head")


def test_workers_must_fit_at_once_on_however_many_nodes() -> None:
    student = Stage("student", "", "", gpu=0.25)
    nodes = [Node("1", "a", {"CPU": 4.0, "GPU": 1.0}), Node("2", "b", {"CPU": 4.0, "GPU": 2.0})]
    options = RayOptions(address="auto")
    assert misfits(Needs((student,), workers={"student": 3}), options, nodes) == []
    assert misfits(Needs((student,), workers={"student": 4}), options, nodes) == [
        (
            "student: all nodes together must have room for 4 workers, of which each must have 1 CPU, 1 GPU;"
            " got a 4 CPU, 1 GPU; b 4 CPU, 2 GPU:"
            " ask for less in ray.resources, add such a node, or declare it in ray.wait_for"
        )
    ]
    tenths = RayOptions(address="auto", resources={"student": Reserved(cpus=0, gpus=0.1)})
    assert misfits(Needs((student,), workers={"student": 30}), tenths, nodes) == []
    assert len(misfits(Needs((student,), workers={"student": 31}), tenths, nodes)) == 1


def test_what_is_waited_for_is_compared_with_all_nodes_and_asked_for_in_pieces() -> None:
    wanted = {"GPU": 2.5, "memory": 3.0}
    assert missing(wanted, {"GPU": 3.0, "memory": 2.0 * GIB}) == {"memory": 3.0}
    assert missing(wanted, {"memory": 3.0 * GIB}) == {"GPU": 2.5}
    assert bundles(wanted) == [{"GPU": 1.0}] * 3 + [{"memory": float(GIB)}] * 3


def test_digest_of_a_module_is_of_its_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_single.py").write_text("x = 1\n")
    package = tmp_path / "mine_package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("y = 1\n")
    assert source_of("mine_single") == tmp_path / "mine_single.py"
    assert source_of("mine_package") == package
    before = digest_of("mine_single"), digest_of("mine_package")
    (package / "__pycache__/part.pyc").write_bytes(b"compiled")
    assert (digest_of("mine_single"), digest_of("mine_package")) == before
    (package / "part.py").write_text("y = 2\n")
    assert digest_of("mine_package") != before[1]
    assert digest_of("no_such_module") == digest_of("sys") == ""


def test_what_is_installed_is_not_sent_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_sent.py").write_text("")
    assert sent_along(["numpy", "mine_sent", "no_such_module"]) == [str(tmp_path / "mine_sent.py")]


def test_what_came_with_a_submitted_job_is_not_sent_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_submitted.py").write_text("")
    sent = [str(tmp_path / "mine_submitted.py")]
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {}, "metadata": {}}')
    assert sent_along(["mine_submitted"]) == sent
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}')
    assert sent_along(["mine_submitted"]) == []


def test_a_cluster_that_asks_for_a_token_is_told_apart_from_none() -> None:
    error = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    assert _advice(error).startswith("start one with `ray start --head`")
    error.__cause__ = RuntimeError("ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken")
    assert _advice(error).startswith("it asks for a token: set RAY_AUTH_MODE=token")


def test_no_cluster_is_told_in_plain_words() -> None:
    assert _got(ConnectionRefusedError("[Errno 111] Connection refused")) == "nobody who listens there"
    assert _got(OSError("[Errno 113] No route to host")) == "[Errno 113] No route to host"


@pytest.mark.parametrize("n_failures", [0, 2, 3])
def test_a_cluster_that_fails_to_serve_a_driver_is_asked_again(n_failures: int) -> None:
    asked = []

    def connect() -> str:
        asked.append(len(asked))
        if len(asked) <= n_failures:
            raise ConnectionAbortedError("Initialization failure from server:\nTraceback:\nRuntimeError: Too slow.")
        return "connected"

    if n_failures < 3:
        assert served(connect, pause=0.0) == "connected"
    else:
        with pytest.raises(ConnectionAbortedError) as caught:
            served(connect, pause=0.0)
        assert _got(caught.value) == "Initialization failure from server: RuntimeError: Too slow"
        assert "it may only be busy: try again" in _advice(caught.value)
    assert len(asked) == min(n_failures + 1, 3)


def test_a_connection_that_fails_otherwise_is_not_tried_again() -> None:
    asked = []

    def connect() -> None:
        asked.append(1)
        raise ConnectionError("no cluster")

    with pytest.raises(ConnectionError, match="no cluster"):
        served(connect, pause=0.0)
    assert asked == [1]
