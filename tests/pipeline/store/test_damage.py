import shutil

import numpy as np
import pytest

from pipeline.errors import DamagedError, StoreError
from pipeline.recipe import key_of, sha256
from pipeline.stage import Artifact
from pipeline.store import Hold, Store, verify
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import manifest_path, object_path


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


OTHER = ({"stage": "subsets", "seed": 2}, Artifact(facts={"subsets": [[3, 5], [4, 9]]}))
"""What the small store of the fixture holds beside the generalist."""

RIGHT = (0.9, list(range(100)))
"""What `read` returns for the generalist."""

DAMAGES = pytest.mark.parametrize("damage", [flip, truncate, zero, empty, delete])
"""What disks, and people, do to files."""


class CountingFiles(LocalFiles):
    """Files that count how often an object is hashed."""

    hashed = 0

    def digest(self, path):
        self.hashed += 1
        return super().digest(path)


def damaged_copies(store, folder, damage):
    """Yield the path of each file of a store, with a copy of the store in which that file is damaged."""
    for path in store.files.names(""):
        location = folder / path.replace("/", "-")
        shutil.copytree(store.location, location)
        damage(location / path)
        yield path, Store(LocalFiles(str(location)))


def object_of(store, manifest, name):
    return store.files._at(object_path(manifest.object(name).sha256))


@DAMAGES
def test_verify_names_every_damaged_file(small_store, tmp_path, damage):
    assert verify(small_store) == []
    for path, copy in damaged_copies(small_store, tmp_path, damage):
        # Nothing says that there should be a record of a run, or something remembered.
        unknown = damage is delete and path.startswith(("runs/", "memory/"))
        assert {fault.path for fault in verify(copy)} == (set() if unknown else {path})
        assert copy.files.names("aside") == []


def test_verify_says_who_needs_what_is_damaged(small_store, recipe, artifact):
    unnamed = small_store.save({"stage": "student"}, artifact, seconds=1.0)
    manifest = small_store.find(key_of(recipe))
    Hold(small_store, "digits-2").add({"generalist": manifest.key})
    expected = {
        manifest_path(manifest.key): ("generalist of digits-1", "generalist of digits-2"),
        manifest_path(unnamed.key): (),
        object_path(manifest.object("arrays.safetensors").sha256): (
            "arrays.safetensors of a result of student that no run names",
            "arrays.safetensors of generalist of digits-1",
            "arrays.safetensors of generalist of digits-2",
        ),
        "runs/digits-1.json": (),
    }
    for path, needed_by in expected.items():
        data = small_store.files.read(path).data
        for damage in (flip, delete):
            damage(small_store.files._at(path))
            faults = [fault.needed_by for fault in verify(small_store)]
            assert faults == ([] if damage is delete and not needed_by else [needed_by])
            small_store.files.replace(path, data)


@DAMAGES
def test_damage_is_never_read_and_saving_repairs_it(small_store, tmp_path, damage, recipe, artifact):
    for path, copy in damaged_copies(small_store, tmp_path, damage):
        if not path.startswith(("objects/", "manifests/")):
            continue
        assert read(copy, recipe) in (None, "damaged", RIGHT)
        copy.save(recipe, artifact, seconds=1.0)
        copy.save(*OTHER, seconds=1.0)
        assert read(copy, recipe) == RIGHT
        assert verify(copy) == []
        assert damage is delete or any(path in message for message in copy.damages)


def read(store, recipe):
    """Return an artifact's values, None if there is none, or that it was found to be damaged."""
    manifest = store.find(key_of(recipe))
    if manifest is None:
        return None
    try:
        loaded = store.load(manifest)
        return loaded.facts["accuracy"], loaded.arrays["weights"].tolist()
    except DamagedError as error:
        return "damaged" if error.key == manifest.key and store.find(error.key) is None else str(error)


@DAMAGES
def test_store_json_when_damaged_is_written_again(small_store, damage):
    damage(small_store.files._at("store.json"))
    assert [fault.path for fault in verify(Store.at(small_store.location))] == ["store.json"]
    store = Store.open(small_store.location)
    assert verify(store) == []
    (told,) = store.damages
    assert f"{store.location}/store.json {'was missing; it is written' if damage is delete else 'is damaged;'}" in told
    assert Store.open(store.location).damages == []


def test_store_that_lost_its_json_is_still_one(small_store):
    delete(small_store.files._at("store.json"))
    assert Store.is_at(small_store.location)
    (fault,) = verify(Store.at(small_store.location))
    assert fault.what == "is missing: the next `run` with this store writes it again"
    damaged, *_ = small_store.files.names("objects")
    flip(small_store.files._at(damaged))
    assert [fault.path for fault in verify(Store.at(small_store.location))] == [damaged, "store.json"]


def test_new_store_has_lost_nothing(tmp_path):
    assert not Store.is_at(str(tmp_path / "new"))
    assert Store.open(str(tmp_path / "new")).damages == []


def test_store_json_when_damaged_stops_where_no_result_is_known(small_store):
    flip(small_store.files._at("store.json"))
    for path in small_store.files.names("manifests"):
        flip(small_store.files._at(path))
    for opened in (Store.open, Store.at):
        with pytest.raises(StoreError, match=r"store\.json must be"):
            opened(small_store.location)


@DAMAGES
def test_memory_when_damaged_is_set_aside_and_found_out_again(small_store, damage):
    (path,) = small_store.files.names("memory")
    damage(small_store.files._at(path))
    assert small_store.recall("digest of data/x.npz") is None
    told = [f"{path} is damaged" in message for message in small_store.damages]
    assert told == ([] if damage is delete else [True])
    small_store.remember("digest of data/x.npz", "abc")
    assert verify(small_store) == []


@DAMAGES
def test_runs_when_damaged_are_set_aside_and_recorded_again(small_store, damage):
    (run,) = small_store.runs()
    damage(small_store.files._at("runs/digits-1.json"))
    assert small_store.runs() == []
    told = ["runs/digits-1.json is damaged" in message for message in small_store.damages]
    assert told == ([] if damage is delete else [True])
    small_store.record_run(run.name, run.keys)
    assert [run.keys for run in small_store.runs()] == [run.keys]


@pytest.mark.parametrize("name", ["facts.json", "arrays.safetensors"])
def test_load_raises_and_sets_aside_what_does_not_match(small_store, recipe, name):
    manifest = small_store.find(key_of(recipe))
    flip(object_of(small_store, manifest, name))
    with pytest.raises(DamagedError, match=rf"objects/.*{name} of the result of generalist .*is missing or damaged"):
        np.asarray(small_store.load(manifest).arrays["weights"])
    assert len([path for path in small_store.files.names("aside") if not path.endswith(".why.txt")]) == 2
    assert len(small_store.damages) == 2
    assert f"lacks its {name}" in small_store.damages[1]
    assert small_store.find(manifest.key) is None


def test_load_raises_for_what_is_deleted_after_finding(small_store, recipe):
    manifest = small_store.find(key_of(recipe))
    delete(object_of(small_store, manifest, "facts.json"))
    with pytest.raises(DamagedError, match="missing") as caught:
        small_store.load(manifest)
    assert caught.value.key == manifest.key


def test_objects_are_verified_once_and_again_when_changed(small_store, recipe):
    files = CountingFiles(small_store.location)
    store = Store(files)
    manifest = store.find(key_of(recipe))
    for _ in range(3):
        assert store.load(manifest).arrays["weights"][3] == 3.0
    assert files.hashed == 2
    # A loaded array stays as it is: its file was replaced by nobody, only its name was taken away.
    weights = store.load(manifest).arrays["weights"]
    store.files.set_aside(object_path(manifest.object("arrays.safetensors").sha256), "a test")
    assert weights[3] == 3.0
    with pytest.raises(DamagedError):
        len(store.load(manifest).arrays)


def test_a_verified_object_that_changes_is_noticed(small_store, recipe):
    manifest = small_store.find(key_of(recipe))
    assert len(small_store.load(manifest).arrays) == 1
    flip(object_of(small_store, manifest, "arrays.safetensors"))
    with pytest.raises(DamagedError):
        len(small_store.load(manifest).arrays)


def test_save_replaces_a_winner_that_is_damaged(store, recipe, artifact):
    first = store.save(recipe, artifact, seconds=1.0)
    flip(object_of(store, first, "arrays.safetensors"))
    other = Artifact(facts={"accuracy": 0.95})
    second = store.save(recipe, other, seconds=2.0)
    assert second.digest != first.digest
    assert store.find(second.key) == second
    assert store.load(second).facts == {"accuracy": 0.95}
    assert verify(store) == []
    assert ["objects/" in store.damages[0], "manifests/" in store.damages[1]] == [True, True]


def test_a_result_made_again_meanwhile_is_not_set_aside(small_store, recipe, artifact):
    stale = small_store.find(key_of(recipe))
    flip(object_of(small_store, stale, "facts.json"))
    small_store.discard(stale, "somebody else has noticed")
    fresh = small_store.save(recipe, artifact, seconds=9.0)
    delete(object_of(small_store, stale, "facts.json"))
    with pytest.raises(DamagedError):
        small_store.load(stale)
    assert small_store.files.read(manifest_path(fresh.key)).data == fresh.sealed()


def test_an_object_found_damaged_after_its_repair_stays(small_store, recipe, artifact):
    class SlowFiles(LocalFiles):
        def digest(self, path):
            found = super().digest(path)
            self.set_aside(path, "somebody else was faster")
            Store(LocalFiles(self.root)).save({"seed": 9}, artifact, seconds=1.0)
            return found

    manifest = small_store.find(key_of(recipe))
    flip(object_of(small_store, manifest, "arrays.safetensors"))
    store = Store(SlowFiles(small_store.location))
    assert sha256(store.raw(manifest, "arrays.safetensors")[:]) == manifest.object("arrays.safetensors").sha256
    assert verify(small_store) == []
    assert np.array_equal(small_store.load(small_store.find(key_of({"seed": 9}))).arrays["weights"], np.arange(100))


def test_verify_names_files_that_are_in_the_wrong_place(small_store, recipe):
    at = small_store.files._at
    manifest = small_store.files._at(manifest_path(key_of(recipe)))
    shutil.copy(manifest, manifest.with_name("copy.json"))
    shutil.copy(at("runs/digits-1.json"), at("runs/digits-2.json"))
    (remembered,) = small_store.files.names("memory")
    shutil.copy(at(remembered), at("memory/copy.json"))
    at("memory/other.json").write_text('{"a": 1}')
    (at("objects") / "stray").touch()
    names = {fault.path.split("/")[-1] for fault in verify(small_store)}
    assert names == {"copy.json", "digits-2.json", "other.json", "stray"}


def test_on_damage_is_told_instead_of_the_list(small_store, recipe):
    told = []
    small_store.on_damage = told.append
    flip(small_store.files._at(manifest_path(key_of(recipe))))
    assert small_store.find(key_of(recipe)) is None
    assert len(told) == 1
    assert small_store.damages == []


def test_on_damage_is_told_what_came_before_it_listened(small_store, recipe):
    flip(small_store.files._at(manifest_path(key_of(recipe))))
    assert small_store.find(key_of(recipe)) is None
    (message,) = small_store.damages
    told = []
    small_store.on_damage = told.append
    assert told == [message]
    assert small_store.damages == []


def test_what_vanishes_meanwhile_is_passed_over(small_store):
    class VanishingFiles(LocalFiles):
        def names(self, folder):
            return [*super().names(folder), f"{folder}/gone"]

    store = Store(VanishingFiles(small_store.location))
    assert verify(store) == []
    assert store.runs() == small_store.runs()
