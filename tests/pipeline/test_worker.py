import dataclasses
import errno
import pickle
from pathlib import Path

import pytest

from pipeline import worker
from pipeline.errors import DamagedError, StoreError
from pipeline.recipe import key_of, recipe
from pipeline.stage import Artifact, Stage, Task, Team
from pipeline.store import Manifest, Store
from pipeline.store.checkpoints import CHECKPOINTS
from pipeline.store.work import WorkClaims
from pipeline.worker import Job, assist, failed, load_inputs, perform
from tests.pipeline.fakes import ORDERED


def job(store: Store, order: str, argument: str) -> Job:
    task = Task("ordered", parameters={"order": order, "argument": argument})
    return Job(ORDERED, task, recipe(ORDERED, task, seed=0, inputs={}), {}, store.location, 0)


def test_perform_keeps_the_result_and_passes_on_what_is_reported(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    told: list[object] = []
    outcome = perform(job(store, "tell", "hello"), told.append)
    assert outcome.manifest is not None
    assert store.facts(outcome.manifest) == {"message": "hello"}
    assert told == [{"state": "running"}, {"message": "hello", "threads": 1}]


def failing_saves(monkeypatch: pytest.MonkeyPatch, times: int) -> list[float]:
    """Let so many saves find the disk full; returns the pauses that are made."""
    pauses: list[float] = []
    left = iter(range(times))
    save = Store.save

    def full(store: Store, *args: object, **options: object) -> Manifest:
        if next(left, None) is not None:
            raise StoreError("the store is full") from OSError(errno.ENOSPC, "No space left on device")
        return save(store, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "save", full)
    monkeypatch.setattr(worker.time, "sleep", pauses.append)
    return pauses


def test_what_could_not_be_kept_is_written_again_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = failing_saves(monkeypatch, 2)
    told: list[object] = []
    outcome = perform(job(Store.open(str(tmp_path)), "tell", "hello"), told.append)
    assert outcome.manifest is not None
    assert pauses == [1.0, 2.0]
    assert outcome.warnings[0] == "ordered: the store is full; what was made is written again in 1 s"
    assert told.count({"message": "hello", "threads": 1}) == 1


def test_what_cannot_be_kept_is_a_fault_that_does_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = failing_saves(monkeypatch, 99)
    outcome = perform(job(Store.open(str(tmp_path)), "tell", "hello"), lambda _: None)
    assert (outcome.manifest, outcome.fault, outcome.may_pass) == (None, "the store is full", False)
    assert pauses == list(worker.PAUSES)


def test_perform_keeps_the_former_result_until_there_is_another(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    asked = job(store, "fail", "it must not")
    former = store.save(asked.recipe, Artifact(facts={"message": "as before"}), seconds=0.0)
    assert perform(dataclasses.replace(asked, former=former), print).fault == "it must not"
    assert store.find(former.key) == former
    asked = job(store, "tell", "hello")
    former = store.save(asked.recipe, Artifact(facts={"message": "as before"}), seconds=0.0)
    outcome = perform(dataclasses.replace(asked, former=former), print)
    assert outcome.manifest is not None
    assert store.find(former.key) == outcome.manifest != former


def test_assist_does_the_same_and_keeps_nothing(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    folder = tmp_path / "folder"
    folder.mkdir()
    asked = job(store, "gather", str(folder))
    outcome = assist(asked, Team(1, 2, "127.0.0.2", lambda place: place or "there"))
    assert (outcome.manifest, outcome.fault, outcome.warnings) == (None, "", ("ordered: 1", "ordered: again"))
    assert (folder / "1").read_text().startswith("there 127.0.0.2 ")
    assert store.find(key_of(asked.recipe)) is None
    assert assist(job(store, "fail", "it must not"), Team(1, 2)).fault == "it must not"


def test_perform_begins_nothing_that_another_run_does(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    asked = job(store, "fail", "it must not begin")
    with WorkClaims(store.files, "theirs").working(key_of(asked.recipe)):
        outcome = perform(asked, print)
    assert (outcome.elsewhere, outcome.manifest, outcome.fault) == ("theirs", None, "")


def test_perform_takes_a_result_that_came_meanwhile(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    asked = job(store, "fail", "it must not begin")
    kept = store.save(asked.recipe, Artifact(facts={"n": 1}), seconds=0.0)
    outcome = perform(asked, print)
    assert (outcome.manifest, outcome.is_new) == (kept, False)


def test_perform_makes_a_fault_of_an_error(tmp_path: Path) -> None:
    outcome = perform(job(Store.open(str(tmp_path)), "fail", "it must not"), print)
    assert (outcome.manifest, outcome.fault) == (None, "it must not")
    assert "in fail" in outcome.details


def test_perform_passes_on_warnings_in_the_name_of_the_task(tmp_path: Path) -> None:
    outcome = perform(job(Store.open(str(tmp_path)), "warn", "it is hot"), print)
    assert outcome.warnings == ("ordered: it is hot",)
    assert outcome.manifest is not None


def test_perform_goes_on_from_a_checkpoint_and_deletes_it_at_the_end(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    ordered = dataclasses.replace(job(store, "go on", "5"), checkpoint_seconds=0.0)
    assert perform(ordered, print).fault == "the count must not be 3"
    assert len(store.files.names(CHECKPOINTS)) == 1
    outcome = perform(ordered, print)
    assert outcome.manifest is not None
    assert store.facts(outcome.manifest) == {"first": 3}
    assert store.files.names(CHECKPOINTS) == []


def test_perform_names_the_input_that_is_lost(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    kept = store.save({"stage": "before"}, Artifact(facts={"n": 1}), seconds=0.0)
    for path in (tmp_path / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"\0" * path.stat().st_size)
    outcome = perform(dataclasses.replace(job(store, "tell", "hello"), inputs={"before": kept}), print)
    assert outcome.lost == (kept.key,)
    assert "is missing or damaged" in outcome.fault


def test_perform_lets_the_wish_to_stop_through(tmp_path: Path) -> None:
    stage = Stage("stopped", "tests.pipeline.test_worker:stop", "")
    stopped = dataclasses.replace(job(Store.open(str(tmp_path)), "tell", "never"), stage=stage)
    with pytest.raises(KeyboardInterrupt):
        perform(stopped, print)


def stop(**_: object) -> Artifact:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ValueError("the colour must be red"), "the colour must be red"),
        (StoreError("the disk is full"), "the disk is full"),
        (KeyError("colour"), "KeyError: 'colour'"),
        (MemoryError(), "MemoryError"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_failed_says_the_kind_of_an_error_whose_message_is_no_sentence(error: Exception, fault: str) -> None:
    outcome = failed(Task("student"), error)
    assert outcome.fault == fault
    assert type(error).__name__ in outcome.details


def test_load_inputs_gives_lists_where_manifests_are_lists(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    kept = [store.save({"n": n}, Artifact(facts={"n": n}), seconds=0.0) for n in (1, 2)]
    loaded = load_inputs(store, {"one": kept[0], "both": kept})
    assert isinstance(loaded["one"], Artifact)
    assert isinstance(loaded["both"], list)
    assert [loaded["one"].facts["n"], *(artifact.facts["n"] for artifact in loaded["both"])] == [1, 1, 2]


def test_damage_travels_between_processes_with_its_key() -> None:
    error = pickle.loads(pickle.dumps(DamagedError("it is damaged", key="abc")))
    assert (str(error), error.key) == ("it is damaged", "abc")


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (TimeoutError(), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
        (raised(StoreError("full"), OSError(errno.ENOSPC, "No space left on device")), True),
        (raised(StoreError("closed"), PermissionError()), False),
        (raised(StoreError("far"), RuntimeError("an object store's own error")), True),
        (raised(StoreError("far"), ImportError()), False),
        (StoreError("an array must be a numpy array"), False),
    ],
)
def test_only_faults_of_storage_and_network_may_pass(error: Exception, may_pass: bool) -> None:
    assert worker._may_pass(error) == may_pass


def test_what_is_prepared_is_shown_and_not_counted(tmp_path: Path) -> None:
    told: list[object] = []
    outcome = perform(job(Store.open(str(tmp_path)), "prepare", "0.5"), told.append)
    assert outcome.manifest is not None
    assert outcome.manifest.seconds < 0.4
    assert list(outcome.prepared) == ["waiting 0.5 s"]
    assert 0.5 <= outcome.prepared["waiting 0.5 s"] < 5
    assert told == [{"state": "running"}, {"doing": "waiting 0.5 s"}, {"doing": ""}]
