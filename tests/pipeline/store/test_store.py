import copy
import errno
import json
import subprocess

import numpy as np
import pytest

from pipeline.errors import StoreError
from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Run, Store, verify
from pipeline.store.files import LocalFiles


def test_open_makes_the_folder_once(tmp_path, recipe, artifact):
    store = Store.open(str(tmp_path / "a" / "b"))
    store.save(recipe, artifact, seconds=1.0)
    assert Store.open(store.location).find(key_of(recipe)) is not None


def test_open_takes_relative_locations_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store.open(".pipeline").location == str(tmp_path / ".pipeline")


def test_open_refuses_what_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/store must be a folder that you can write to; got File exists"):
        Store.open(str(tmp_path / "file" / "store"))


def test_open_refuses_another_format(store):
    (store.files._at("store.json")).write_text('{"format":2}')
    with pytest.raises(StoreError, match=r'store.json must be .*"format":1.*got .*"format":2'):
        Store.open(store.location)


def test_at_makes_nothing(tmp_path, recipe, artifact):
    store = Store.at(str(tmp_path / "store"))
    store.remember("a", 1)
    assert (store.find(key_of(recipe)), store.recall("a"), store.runs()) == (None, None, [])
    assert list(tmp_path.iterdir()) == []
    manifest = Store.open(store.location).save(recipe, artifact, seconds=1.0)
    assert store.find(manifest.key) == manifest


def test_at_reads_a_store_that_cannot_be_written(small_disk, recipe, artifact):
    manifest = Store.open(str(small_disk / "store")).save(recipe, artifact, seconds=1.0)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store = Store.at(str(small_disk / "store"))
    assert store.load(store.find(manifest.key)).facts == artifact.facts
    assert verify(store) == []


def test_at_refuses_another_format(store):
    (store.files._at("store.json")).write_text('{"format":2}')
    with pytest.raises(StoreError, match=r'store.json must be .*"format":1.*got .*"format":2'):
        Store.at(store.location)


def test_store_is_opened_again_where_it_arrives(small_store, recipe):
    again = copy.copy(small_store)
    assert again.location == small_store.location
    assert again.find(key_of(recipe)) == small_store.find(key_of(recipe))


def test_save_and_load_round_trip(store, recipe, artifact):
    manifest = store.save(recipe, artifact, seconds=1.5)
    found = store.find(key_of(recipe))
    assert found == manifest
    assert (found.seconds, found.recipe, found.created[-6:]) == (1.5, recipe, "+00:00")
    loaded = store.load(found)
    assert loaded.facts == store.facts(found) == artifact.facts
    assert set(loaded.arrays) == {"weights"}
    np.testing.assert_array_equal(loaded.arrays["weights"], artifact.arrays["weights"])


def test_load_gives_arrays_that_cannot_be_written(store, recipe, artifact):
    weights = store.load(store.save(recipe, artifact, seconds=1.0)).arrays["weights"]
    assert not weights.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 1.0


def test_load_of_facts_alone_has_no_arrays(store, recipe):
    manifest = store.save(recipe, Artifact(facts={"a": (1, 2)}), seconds=1.0)
    assert [item.name for item in manifest.objects] == ["facts.json"]
    assert store.load(manifest) == Artifact({}, {"a": [1, 2]})


def test_save_gives_equal_artifacts_equal_digests(store):
    a, b = np.arange(3.0), np.ones(2, np.uint8)
    one = store.save({"seed": 1}, Artifact({"a": a, "b": b}, {"x": 1, "y": 2}), seconds=1.0)
    other = store.save({"seed": 2}, Artifact({"b": b, "a": a}, {"y": 2, "x": 1}), seconds=2.0)
    assert one.digest == other.digest
    assert one.key != other.key
    assert len(store.files.names("objects")) == 2


def test_save_returns_the_first_to_have_saved(store, recipe, artifact):
    first = store.save(recipe, artifact, seconds=1.0)
    second = store.save(recipe, Artifact(facts={"accuracy": 0.1}), seconds=2.0)
    assert second == first
    assert store.damages == []


def test_save_instead_of_a_result_keeps_it_until_the_new_one_is_written(small_store, recipe):
    former = small_store.find(key_of(recipe))
    seen = []

    def look(step):
        found = small_store.find(former.key)
        seen.append((step, found and found.seconds))

    store = Store(LocalFiles(small_store.location, steps=look))
    again = store.save(recipe, Artifact(facts={"accuracy": 0.95}), seconds=2.0, instead_of=former)
    assert [seconds for _, seconds in seen] == [1.5] * (len(seen) - 3) + [2.0] * 3
    assert seen[-3][0] == "linked"
    assert small_store.find(former.key) == again
    manifest, note = small_store.files.names("aside")
    assert small_store.files.read(manifest).data == former.sealed()
    assert b"was made again, as somebody asked" in small_store.files.read(note).data
    assert store.damages == verify(store) == []


def test_save_instead_of_a_result_leaves_what_took_its_place(small_store, recipe, artifact):
    former = small_store.find(key_of(recipe))
    theirs = small_store.save(recipe, Artifact(facts={"accuracy": 0.95}), seconds=2.0, instead_of=former)
    assert small_store.save(recipe, artifact, seconds=3.0, instead_of=former) == theirs
    assert small_store.find(former.key) == theirs


def test_save_that_fails_leaves_what_it_was_to_replace(small_store, recipe):
    former = small_store.find(key_of(recipe))

    def write(descriptor, view):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(LocalFiles(small_store.location, write=write))
    with pytest.raises(StoreError, match="No space left"):
        store.save(recipe, Artifact(facts={"accuracy": 0.95}), seconds=2.0, instead_of=former)
    assert small_store.find(former.key) == former


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.float32(1), "\ud800"])
def test_save_refuses_facts_that_are_not_json(store, recipe, value):
    with pytest.raises(StoreError, match="facts must be what JSON can hold; got"):
        store.save(recipe, Artifact(facts={"a": value}), seconds=1.0)
    assert store.find(key_of(recipe)) is None


def test_save_says_where_a_fact_is_that_is_not_json(store, recipe):
    facts = {"students": [{"nll": 0.5}, {"nll": float("inf")}], "accuracy": float("nan"), "name": "x", "none": None}
    with pytest.raises(StoreError, match=r"got students\[1\]\.nll = inf, accuracy = nan$"):
        store.save(recipe, Artifact(facts=facts), seconds=1.0)


def test_save_gives_up_on_a_disk_that_keeps_nothing(store, recipe, artifact):
    def link(source, target):
        raise FileExistsError

    with pytest.raises(StoreError, match="must stay as written; got damaged 5 times: check the disk"):
        Store(LocalFiles(store.location, link=link)).save(recipe, artifact, seconds=1.0)


def test_save_gives_up_on_a_manifest_that_does_not_stay(store, recipe):
    def link(source, target):
        if "manifests" in str(target):
            raise FileExistsError
        target.hardlink_to(source)

    with pytest.raises(StoreError, match=r"manifests/.* must stay as written"):
        Store(LocalFiles(store.location, link=link)).save(recipe, Artifact(), seconds=1.0)


def test_find_says_none_of_what_is_not_there(store):
    assert store.find("ab" * 32) is None
    assert store.damages == []


def test_raw_gives_the_bytes_of_one_object(small_store, recipe):
    manifest = small_store.find(key_of(recipe))
    assert bytes(small_store.raw(manifest, "facts.json")) == b'{"accuracy":0.9}'
    with pytest.raises(StoreError, match=r"must be one of arrays.safetensors, facts.json; got 'weights'"):
        small_store.raw(manifest, "weights")


def test_discard_keeps_the_manifest_for_inspection(small_store, recipe):
    manifest = small_store.find(key_of(recipe))
    assert small_store.discard(manifest, "because").startswith("aside/")
    assert small_store.discard(manifest, "twice is once") is None
    assert small_store.find(key_of(recipe)) is None
    manifest, note = small_store.files.names("aside")
    assert key_of(recipe) in manifest
    assert b"because" in small_store.files.read(note).data
    assert small_store.damages == []


def test_recall_returns_what_was_remembered_last(store):
    assert store.recall("a/b c") is None
    store.remember("a/b c", 1)
    store.remember("a/b c", {"digest": "abc"})
    assert store.recall("a/b c") == {"digest": "abc"}
    assert store.files.names("temporary") == []


def test_recall_forgets_what_is_damaged(store):
    store.remember("a", 1)
    (path,) = store.files.names("memory")
    store.files._at(path).write_bytes(b"")
    assert store.recall("a") is None
    store.remember("a", 2)
    assert store.recall("a") == 2


def test_runs_tells_what_was_recorded(small_store, recipe):
    (run,) = small_store.runs()
    assert isinstance(run, Run)
    assert (run.name, run.keys["generalist"]) == ("digits-1", key_of(recipe))
    small_store.record_run("digits-1", run.keys)
    assert small_store.runs() == [run]


def test_record_run_refuses_a_name_twice(small_store):
    with pytest.raises(StoreError, match="the name of a run must be its own; got 'digits-1', which was recorded on"):
        small_store.record_run("digits-1", {})


def test_contending_writers_that_nothing_holds_back_agree_and_readers_see_no_change(tmp_path, run_script):
    store = Store.open(str(tmp_path))
    told = json.loads(run_script("contend.py", tmp_path))
    assert told["faults"] == []
    assert len(told["seen"]) == 10
    assert all(digests == told["seen"][0] for digests in told["seen"])
    assert len(told["seen"][0]) == 12
    assert verify(store) == store.files.names("temporary") == []


def test_finding_imports_nothing_heavy(small_store, recipe, run_script):
    assert json.loads(run_script("find_and_tell.py", small_store.location, key_of(recipe))) == []


def test_a_store_that_another_process_makes_meanwhile_was_not_missing(tmp_path, monkeypatch, recipe, artifact):
    names = LocalFiles.names

    def made_first(files, folder):
        monkeypatch.undo()
        Store.open(str(tmp_path)).save(recipe, artifact, seconds=1.0)
        return names(files, folder)

    monkeypatch.setattr(LocalFiles, "names", made_first)
    store = Store.open(str(tmp_path))
    assert store.find(key_of(recipe)) is not None
    assert store.damages == []
