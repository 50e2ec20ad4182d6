import json
import os
import time

import pytest

from pipeline.errors import StoreError
from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Hold, Store, verify
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import manifest_path, object_path
from pipeline.store.processes import temporary_name
from pipeline.store.prune import Prune
from pipeline.store.records import Claim, claim_path, seal
from pipeline.store.usage import usage

DAY = 24 * 3600


def save(store, number, **facts):
    return store.save({"stage": "numbers", "seed": number}, Artifact(facts={"number": number, **facts}), seconds=1.0)


def age(store, days, paths=None):
    """Make files as old as if they had been written that many days ago."""
    moment = time.time() - days * DAY
    for path in store.files.names("") if paths is None else paths:
        os.utime(store.files._at(path), (moment, moment))


def paths_of(manifest):
    return {manifest_path(manifest.key), *(object_path(item.sha256) for item in manifest.objects)}


def kept(store):
    return {path for path in store.files.names("") if path.startswith(("manifests/", "objects/"))}


@pytest.fixture
def named(store):
    """What a run names, in a store that also holds a result that nothing names; all of it is 10 days old."""
    manifest = save(store, 1)
    store.record_run("numbers-1", {"numbers": manifest.key})
    save(store, 2)
    age(store, 10)
    return manifest


def test_run_of_which_nothing_is_old_yet_counts(store):
    manifest = save(store, 1)
    store.record_run("numbers-1", {"numbers": manifest.key})
    prune = Prune(store, days=0, grace=1)
    assert prune.doomed().bytes == 0
    age(store, 2, paths_of(manifest))  # found by a later run, which was recorded a moment ago
    assert prune.doomed().bytes == 0
    age(store, 2)
    assert {*prune.doomed().records, *prune.doomed().manifests, *prune.doomed().objects} >= kept(store)


def test_doomed_is_what_no_run_names_and_nothing_changes(store, named):
    before = store.files.listing("")
    doomed = Prune(store, days=30, grace=1).doomed()
    assert {*doomed.manifests, *doomed.objects} == kept(store) - paths_of(named)
    assert (doomed.records, doomed.aside) == ({}, {})
    (size,) = (version.bytes for version in doomed.objects.values())
    assert doomed.stages == {"numbers": (1, size)}
    assert doomed.bytes == size + sum(version.bytes for version in doomed.manifests.values())
    assert store.files.listing("") == before


def test_delete_leaves_what_a_run_names(store, named):
    prune = Prune(store, days=30, grace=1)
    assert len(prune.delete(prune.doomed())) == 2
    assert kept(store) == paths_of(named)
    assert store.facts(store.find(named.key)) == {"number": 1}
    assert verify(store) == store.files.names("temporary") == []


def test_runs_that_are_too_old_are_forgotten(store, named):
    store.discard(save(store, 3), "a test")
    age(store, 10)
    prune = Prune(store, days=5, grace=1)
    deleted = prune.delete(prune.doomed())
    assert "runs/numbers-1.json" in deleted
    assert kept(store) == set(store.files.names("aside")) == set()
    assert verify(store) == []


def test_what_is_young_stays_unless_the_grace_is_none(store, named):
    young = save(store, 3)
    age(store, 0.5, paths_of(young))
    assert not paths_of(young) & {*Prune(store, days=0, grace=1).doomed().manifests}
    doomed = Prune(store, days=0, grace=0).doomed()
    assert paths_of(young) <= {*doomed.manifests, *doomed.objects}


def test_an_object_that_another_result_names_stays(store, named):
    other = store.save({"stage": "other"}, Artifact(facts={"number": 1}), seconds=1.0)
    store.files.delete("runs/numbers-1.json")
    store.record_run("other-1", {"other": other.key})
    age(store, 10)
    prune = Prune(store, days=30, grace=1)
    prune.delete(prune.doomed())
    assert kept(store) == paths_of(other)
    assert store.facts(other) == {"number": 1}


def test_a_run_in_progress_keeps_what_it_claims(store, named):
    doomed = Prune(store, days=0, grace=0).doomed()
    assert manifest_path(named.key) in doomed.manifests
    hold = Hold(store, "numbers-2")
    assert hold.add({"numbers": named.key}) == hold.add({"numbers": named.key}) == []
    # Its process lives, so it counts however old it is.
    age(store, 10)
    doomed = Prune(store, days=0, grace=0).doomed()
    assert not paths_of(named) & {*doomed.manifests, *doomed.objects}
    hold.release()
    assert manifest_path(named.key) in Prune(store, days=0, grace=0).doomed().manifests


def test_a_run_that_was_killed_keeps_what_it_claims_for_some_days(store, named):
    store.files.delete("runs/numbers-1.json")
    host, space, pid, _, chance = temporary_name().split("_")
    claim = Claim("numbers-2", {"numbers": named.key}, f"{host}_{space}_{pid}_1_{chance}")
    store.files.replace(claim_path("numbers-2"), seal(vars(claim)))
    age(store, 10)
    assert manifest_path(named.key) not in Prune(store, days=11, grace=0).doomed().manifests
    prune = Prune(store, days=9, grace=0)
    assert {claim_path("numbers-2"), *paths_of(named)} <= set(prune.delete(prune.doomed()))


def test_hold_tells_which_results_are_gone(store, named):
    store.discard(named, "pruned")
    assert Hold(store, "numbers-2").add({"numbers": named.key}) == [named.key]


def test_prune_refuses_when_it_cannot_know_what_a_run_uses(store, named):
    Hold(store, "numbers-2").add({"numbers": named.key})
    for path in ("runs/numbers-1.json", "claims/numbers-2.json"):
        data = store.files.read(path).data
        store.files.replace(path, b"{}")
        with pytest.raises(StoreError, match=f"{path} must be readable, to know what its run uses; got damage"):
            Prune(store, days=30, grace=1).doomed()
        assert [fault.path for fault in verify(store)] == [path]
        store.files.replace(path, data)


def test_a_damaged_manifest_is_left_to_verify(store, named):
    store.files.replace(manifest_path(named.key), b"{}")
    age(store, 10)
    prune = Prune(store, days=30, grace=1)
    assert manifest_path(named.key) not in prune.delete(prune.doomed())
    assert [fault.path for fault in verify(store)].count(manifest_path(named.key)) == 1


def test_what_is_claimed_after_the_look_stays(store, named):
    prune = Prune(store, days=0, grace=0)
    doomed = prune.doomed()
    assert Hold(store, "numbers-2").add({"numbers": named.key}) == []
    prune.delete(doomed)
    assert kept(store) == paths_of(named)


class Interrupting(LocalFiles):
    """Files that do something whenever one is taken away."""

    def withdraw(self, path, version):
        self.before(path)
        where = super().withdraw(path, version)
        self.after(path)
        return where

    def before(self, path):
        pass

    def after(self, path):
        pass


def test_what_is_claimed_just_before_it_is_taken_away_comes_back(store, named):
    told = []

    class Files(Interrupting):
        def before(self, path):
            if path == manifest_path(named.key):
                told.extend(Hold(store, "numbers-2").add({"numbers": named.key}))

    prune = Prune(Store(Files(store.location)), days=0, grace=0)
    prune.delete(prune.doomed())
    assert told == []
    assert kept(store) == paths_of(named)
    assert store.files.names("temporary") == []


def test_what_is_claimed_just_after_it_is_taken_away_is_told_to_be_gone(store, named):
    told = []

    class Files(Interrupting):
        def after(self, path):
            if path == manifest_path(named.key):
                told.extend(Hold(store, "numbers-2").add({"numbers": named.key}))

    prune = Prune(Store(Files(store.location)), days=0, grace=0)
    prune.delete(prune.doomed())
    assert told == [named.key]
    assert verify(store) == []


def test_an_object_that_a_new_result_names_comes_back_or_is_put_again(store, named):
    class Files(Interrupting):
        def before(self, path):
            if path.startswith("objects/"):
                store.save({"stage": "new"}, Artifact(facts={"number": 1}), seconds=1.0)

        def after(self, path):
            if path.startswith("objects/"):
                store.save({"stage": "newer"}, Artifact(facts={"number": 1}), seconds=1.0)

    prune = Prune(Store(Files(store.location)), days=0, grace=0)
    prune.delete(prune.doomed())
    assert verify(store) == []
    for stage in ("new", "newer"):
        assert store.facts(store.find(key_of({"stage": stage}))) == {"number": 1}


def test_a_save_puts_again_what_was_pruned_under_its_hands(store, named):
    def link(source, target):
        # Between finding that the object is there already and naming it, all that is unnamed is deleted.
        if "manifests" in str(target):
            while pruned:
                store.files.delete(pruned.pop())
        os.link(source, target)

    pruned = store.files.names("objects")

    other = Store(LocalFiles(store.location, link=link))
    manifest = other.save({"stage": "other"}, Artifact(facts={"number": 1}), seconds=1.0)
    assert store.facts(manifest) == {"number": 1}


def test_what_is_written_anew_meanwhile_stays(store, named):
    prune = Prune(store, days=0, grace=0)
    doomed = prune.doomed()
    for path in [*doomed.manifests, *doomed.records]:
        data = store.files.read(path).data
        store.files.delete(path)
        store.files.replace(path, data)
    assert not {*doomed.manifests, *doomed.records} & set(prune.delete(doomed))


def test_a_prune_that_is_stopped_gives_back_what_is_named(store, named):
    class Files(Interrupting):
        def after(self, path):
            Hold(store, "numbers-2").add({"numbers": named.key})
            raise KeyboardInterrupt

    prune = Prune(Store(Files(store.location)), days=0, grace=0)
    doomed = prune.doomed()
    with pytest.raises(KeyboardInterrupt):
        prune.delete(doomed)
    assert verify(store) == []


def test_restoring_what_somebody_has_made_again_keeps_theirs(store, named):
    path = manifest_path(named.key)
    where = store.files.withdraw(path, store.files.stat(path))
    store.files.replace(path, b"theirs")
    store.files.restore(where, path)
    assert store.files.read(path).data == b"theirs"
    assert store.files.withdraw(path, store.files.stat("store.json")) is None
    assert store.files.names("temporary") == []


def test_withdraw_of_what_vanishes_takes_nothing(store, named):
    class Vanishing(LocalFiles):
        def stat(self, path):
            version = super().stat(path)
            self.delete(path)
            return version

    path = manifest_path(named.key)
    assert Vanishing(store.location).withdraw(path, store.files.stat(path)) is None


def test_prune_works_where_the_disk_is_full(small_disk):
    store = Store.open(str(small_disk / "store"))
    manifest = save(store, 1, text="x" * 50_000)
    for number in range(3):
        save(store, 2 + number, text=f"{number}" * 50_000)
    with pytest.raises(StoreError, match="No space left"):
        save(store, 9, text="y" * 100_000)
    age(store, 10)
    store.record_run("numbers-1", {"numbers": manifest.key})
    prune = Prune(store, days=1, grace=1)
    assert prune.delete(prune.doomed())
    assert kept(store) == paths_of(manifest)
    assert save(store, 9, text="y" * 100_000)


def test_prune_of_an_object_store(bucket):
    store = Store.open(bucket)
    manifest = save(store, 1)
    save(store, 2)
    store.record_run("numbers-1", {"numbers": manifest.key})
    prune = Prune(store, days=1, grace=0)
    # By the second: what is of this one is not older than now.
    prune._young += 2 * 10**9
    assert len(prune.delete(prune.doomed())) == 2
    assert kept(store) == paths_of(manifest)
    path = manifest_path(manifest.key)
    store.files.restore(store.files.withdraw(path, store.files.stat(path)), path)
    assert store.find(manifest.key) == manifest
    assert verify(store) == store.files.names("temporary") == []
    assert store.files.withdraw("gone", store.files.stat(path)) is None


def test_prune_while_runs_write_and_read_takes_nothing_in_use(tmp_path, run_script):
    told = json.loads(run_script("prune_while_running.py", tmp_path))
    assert told["faults"] == []
    assert told["deleted"] > 20
    assert told["runs"] > 10
    assert verify(Store.open(str(tmp_path))) == []


def test_usage_tells_stages_runs_and_what_only_one_uses(store):
    one, two, unnamed = (save(store, number, text="x" * number) for number in (1, 20, 300))
    shared = store.save({"stage": "other"}, Artifact(facts={"number": 1, "text": "x"}), seconds=1.0)
    store.record_run("a-1", {"one": one.key, "two": two.key, "gone": "0" * 64})
    Hold(store, "b-1").add({"shared": shared.key})
    gone = store.save({"stage": "gone"}, Artifact(), seconds=1.0)
    store.files.delete(object_path(gone.objects[0].sha256))
    store.discard(gone, "a test")
    (size, second, third) = (manifest.objects[0].bytes for manifest in (one, two, unnamed))
    store.files.publish([b"left over"], object_path)
    found = usage(store)
    assert found.objects == size + second + third + 9
    assert found.unnamed == 9
    assert found.aside == sum(version.bytes for version in store.files.listing("aside").values())
    assert found.bytes == sum(version.bytes for version in store.files.listing("").values())
    assert (found.stages["numbers"].results, found.stages["numbers"].bytes) == (3, size + second + third)
    assert found.stages["other"].bytes == size
    a, b = found.runs["a-1"], found.runs["b-1"]
    assert (a.results, a.bytes, a.only) == (2, size + second, second)
    assert (b.created, b.results, b.bytes, b.only) == (None, 1, size, 0)
