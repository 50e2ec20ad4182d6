import copy
import errno
import http.client
import itertools
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError, DamagedError, StoreError
from pipeline.recipe import key_of, sha256
from pipeline.stage import Artifact
from pipeline.store import Store, verify
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import manifest_path, object_path
from pipeline.store.objects import ObjectFiles
from pipeline.store.places import cache_folder
from pipeline.store.processes import temporary_name
from stages.tables import open_store

fsspec = pytest.importorskip("fsspec")
memory = pytest.importorskip("fsspec.implementations.memory")


class Memory(memory.MemoryFileSystem):
    """Objects in this process, apart from those of every other instance."""

    cachable = False

    def __init__(self):
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]


class Streaming(fsspec.AbstractFileSystem):
    """A filesystem that writes files piece by piece."""

    protocol = "streaming"


class Failing(Memory):
    """An object store whose exclusive puts raise what they are told to, one after the other."""

    def __init__(self, *errors):
        super().__init__()
        self.errors = list(errors)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if mode == "create" and self.errors:
            raise self.errors.pop(0)
        super().pipe_file(path, value, mode=mode, **kwargs)


class Replacing(Memory):
    """An object store that knows nothing of exclusive puts."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value)


def service_error(code):
    """Return an error as s3fs raises it for a code of the service."""
    cause = Exception()
    cause.response = {"Error": {"Code": code}}
    error = OSError(errno.EINVAL, code)
    error.__cause__ = cause
    return error


def in_memory(tmp_path, filesystem, **options):
    return ObjectFiles("memory://store", LocalFiles(str(tmp_path / "cache")), filesystem=filesystem, **options)


def publish(files, data, path="objects/a/b"):
    return files.publish([data], lambda _: path)


@pytest.fixture
def far_store(bucket):
    return Store.open(bucket)


@pytest.fixture
def small_far_store(far_store, recipe, artifact):
    """An object store with one of everything."""
    far_store.save(recipe, artifact, seconds=1.5)
    far_store.record_run("digits-1", {"generalist": key_of(recipe)})
    far_store.remember("digest of data/x.npz", "abc")
    return far_store


def damage(store, path, how):
    """Damage an object of a store; what it takes to undo that is its bytes, which are returned."""
    data = store.files.read(path).data
    if how == "delete":
        store.files.delete(path)
    else:
        flipped = bytes([data[0] ^ 4]) + data[1:]
        store.files.replace(path, {"flip": flipped, "truncate": data[:-1], "zero": bytes(len(data))}[how])
    return data


def read_all(store, manifest):
    return len(store.load(manifest).arrays)


def test_publish_never_replaces(far_store):
    assert publish(far_store.files, b"first") == ("objects/a/b", sha256(b"first"), 5, True)
    assert not publish(far_store.files, b"second").won
    assert far_store.files.read("objects/a/b").data == b"first"
    assert far_store.files.names("temporary") == []


def test_files_say_none_of_what_is_missing(far_store):
    files = far_store.files
    assert [files.read("a"), files.stage("a"), files.digest("a"), files.stat("a"), files.set_aside("a", "")] == [
        None
    ] * 5
    assert files.names("b") == []
    files.delete("a")


def test_a_listing_and_a_look_tell_the_same_of_an_object(small_far_store):
    files = small_far_store.files
    listing = files.listing("")
    assert sorted({path.split("/")[0] for path in listing}) == ["manifests", "memory", "objects", "runs", "store.json"]
    assert listing == {path: files.stat(path) for path in files.names("")}
    assert abs(files.clock() / 1e9 - max(version.modified for version in listing.values()) / 1e9) < 60


def test_listing_passes_over_what_stands_for_a_folder(far_store):
    far_store.files._filesystem.pipe_file(f"{far_store.files._prefix}/runs/", b"")
    assert far_store.runs() == []
    assert verify(far_store) == []


def test_save_and_load_round_trip(far_store, recipe, artifact):
    manifest = far_store.save(recipe, artifact, seconds=1.5)
    again = copy.copy(far_store)
    assert again.location == far_store.location
    loaded = again.load(again.find(key_of(recipe)))
    assert loaded.facts == artifact.facts
    np.testing.assert_array_equal(loaded.arrays["weights"], artifact.arrays["weights"])
    assert not loaded.arrays["weights"].flags.writeable
    assert far_store.save(recipe, Artifact(), seconds=9.0) == manifest
    assert verify(again) == []


def test_what_is_read_is_fetched_once(small_far_store, recipe):
    manifest = small_far_store.find(key_of(recipe))
    first = small_far_store.load(manifest)
    assert len(first.arrays["weights"]) == 100
    copies = LocalFiles(str(cache_folder()))
    assert set(copies.names("objects")) == {object_path(item.sha256) for item in manifest.objects}
    before = {path: copies.stat(path) for path in copies.names("objects")}
    assert Store.open(small_far_store.location).load(manifest).facts == first.facts
    assert {path: copies.stat(path) for path in copies.names("objects")} == before


def test_a_copy_that_is_damaged_is_fetched_again(small_far_store, recipe):
    manifest = small_far_store.find(key_of(recipe))
    assert small_far_store.facts(manifest) == {"accuracy": 0.9}
    copies = LocalFiles(str(cache_folder()))
    copies.replace(object_path(manifest.object("facts.json").sha256), b'{"accuracy":0.1}')
    assert small_far_store.facts(manifest) == {"accuracy": 0.9}
    assert [str(cache_folder()) in message for message in small_far_store.damages] == [True]
    assert verify(small_far_store) == []


def test_the_cache_may_be_deleted_at_any_time(small_far_store, recipe):
    arrays = small_far_store.load(small_far_store.find(key_of(recipe))).arrays
    weights = arrays["weights"]
    shutil.rmtree(cache_folder())
    assert weights[3] == 3.0
    assert small_far_store.load(small_far_store.find(key_of(recipe))).arrays["weights"][4] == 4.0


def test_verify_names_every_damaged_object(small_far_store):
    # One way for each object: a store in a folder is tested with all of them.
    hows = itertools.cycle(["flip", "truncate", "zero", "delete"])
    for path, how in zip(small_far_store.files.names(""), hows, strict=False):
        data = damage(small_far_store, path, how)
        # Nothing says that there should be a record of a run, or something remembered.
        unknown = how == "delete" and path.startswith(("runs/", "memory/"))
        assert {fault.path for fault in verify(small_far_store)} == (set() if unknown else {path})
        small_far_store.files.replace(path, data)
    assert verify(small_far_store) == []
    assert small_far_store.files.names("aside") == []


@pytest.mark.parametrize("how", ["flip", "delete"])
def test_damage_is_never_read_and_saving_repairs_it(small_far_store, recipe, artifact, how):
    manifest = small_far_store.find(key_of(recipe))
    for path in [manifest_path(manifest.key), *(object_path(item.sha256) for item in manifest.objects)]:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        damage(small_far_store, path, how)
        found = small_far_store.find(manifest.key)
        if found is not None:
            with pytest.raises(DamagedError, match=r"s3://bucket.* is missing or damaged"):
                read_all(small_far_store, found)
            assert small_far_store.find(manifest.key) is None
        again = small_far_store.save(recipe, artifact, seconds=1.0)
        assert small_far_store.load(again).arrays["weights"][7] == 7.0
        assert verify(small_far_store) == []
        assert how == "delete" or any(path in message for message in small_far_store.damages)


def test_set_aside_spares_what_took_the_place(far_store):
    publish(far_store.files, b"damaged")
    damaged = far_store.files.stat("objects/a/b")
    assert far_store.files.set_aside("objects/a/b", "a reason", damaged).startswith("aside/")
    publish(far_store.files, b"repaired")
    assert far_store.files.set_aside("objects/a/b", "damaged", damaged) is None
    assert far_store.files.read("objects/a/b").data == b"repaired"
    note = next(path for path in far_store.files.names("aside") if path.endswith(".why.txt"))
    assert far_store.files.read(note).data == b"objects/a/b: a reason\n"


def test_set_aside_spares_what_takes_the_place_while_it_copies(tmp_path):
    class Slow(Memory):
        def cp_file(self, path1, path2, **kwargs):
            super().cp_file(path1, path2, **kwargs)
            self.pipe_file(path1, b"repaired!")

    files = in_memory(tmp_path, Slow())
    publish(files, b"damaged")
    assert files.set_aside("objects/a/b", "damaged", files.stat("objects/a/b")) is None
    assert files.read("objects/a/b").data == b"repaired!"


def test_sweep_takes_what_dead_processes_left_and_spares_the_living(far_store):
    mine = temporary_name()
    host, space, *_ = mine.split("_")
    for name in (mine, f"{host}_{space}_{os.getpid()}_1_abc"):
        far_store.files.replace(f"temporary/{name}", b"probe")
    assert far_store.sweep() == [f"temporary/{host}_{space}_{os.getpid()}_1_abc"]
    assert far_store.files.names("temporary") == [f"temporary/{mine}"]


def test_is_at_tells_whether_there_is_a_store(bucket):
    assert not Store.is_at(bucket)
    with pytest.raises(
        ConfigError,
        match=r"must be the folder or URL of a store; looked there for store\.json",
    ):
        open_store(bucket)
    assert not Store.is_at(bucket)
    Store.open(bucket)
    assert Store.is_at(bucket)
    assert open_store(bucket).location == bucket


def test_contending_writers_that_nothing_holds_back_agree_and_readers_see_no_change(bucket, run_script):
    told = json.loads(run_script("contend.py", bucket, 2))
    assert told["faults"] == []
    assert len(told["seen"]) == 10
    assert all(digests == told["seen"][0] for digests in told["seen"])
    assert len(told["seen"][0]) == 2
    store = Store.open(bucket)
    assert verify(store) == store.files.names("temporary") == []


def test_a_killed_commit_leaves_a_whole_store(bucket, run_script, recipe, artifact):
    steps = int(run_script("die_at_each_step.py", bucket))
    for step in range(steps):
        store = Store.open(f"{bucket}/{step}")
        assert verify(store) == store.files.names("temporary") == []
        manifest = store.find(key_of(recipe))
        assert (manifest is not None) == (step == steps - 1)
        again = store.save(recipe, artifact, seconds=2.0)
        assert manifest in (None, again)
        assert np.array_equal(store.load(again).arrays["weights"], artifact.arrays["weights"])
    assert steps == 6


def test_an_upload_that_is_killed_is_seen_whole_or_not_at_all(bucket, run_script):
    Store.open(bucket)
    assert json.loads(run_script("die_while_uploading.py", bucket)) == {"killed": 2}
    assert verify(Store.open(bucket)) == []


def test_a_request_that_breaks_off_leaves_nothing(bucket):
    store = Store.open(bucket)
    address = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    with closing(http.client.HTTPConnection(address)) as connection:
        connection.putrequest("PUT", bucket.removeprefix("s3:/") + "/objects/ab/abc")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"the first half of it")
    assert store.files.names("objects") == verify(store) == []


def test_open_refuses_a_bucket_that_is_not_there(s3_server):
    for opened, what in ((Store.open, "nowhere/x must be writable"), (Store.at, "x/store.json must be readable")):
        with pytest.raises(StoreError, match=rf"{what}; got .*bucket does not exist: make the bucket, or check"):
            opened("s3://nowhere/x")


def test_open_says_what_to_do_about_a_server_that_cannot_be_reached(s3_server, monkeypatch):
    filesystem = pytest.importorskip("s3fs").S3FileSystem
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    filesystem.clear_instance_cache()  # a filesystem that was opened before keeps its endpoint
    told = "x/store.json must be readable; got EndpointConnectionError: .*: check the network, and the endpoint"
    with pytest.raises(StoreError, match=told):
        Store.at("s3://nowhere/x")
    filesystem.clear_instance_cache()


def test_prepare_refuses_what_replaces_objects(tmp_path):
    files = in_memory(tmp_path, Replacing())
    with pytest.raises(StoreError, match="must be in an object store that refuses to write what is there already"):
        files.prepare()
    assert files.names("") == []


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///data/store", "must be named by the folder alone; got .*; did you mean '/data/store'"),
        (
            "sftp2://host/store",
            "the store must be a folder or the address of an object store; got 'sftp2://host/store'",
        ),
        ("gs://bucket/store", "must be reachable; got .*gcsfs.*: pip install"),
        ("streaming://store", "must be in an object store; got streaming, where a file can be seen half-written"),
        ("ftp://127.0.0.1:9/store", "ftp://127.0.0.1:9/store must be reachable; got Connection refused: check the"),
        ("memory://store", "must be where all processes see the same; got 'memory://store', which each has for itself"),
    ],
)
def test_open_refuses_what_is_no_object_store(location, message):
    fsspec.register_implementation("streaming", Streaming, clobber=True)
    with pytest.raises(StoreError, match=message):
        Store.open(location)


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_publish_understands_services_that_do_not_name_the_condition(tmp_path, code):
    assert not publish(in_memory(tmp_path, Failing(service_error(code))), b"late").won


def test_publish_tries_again_after_a_conflict(tmp_path):
    files = in_memory(tmp_path, Failing(service_error("ConditionalRequestConflict")))
    assert publish(files, b"abc").won
    files = in_memory(tmp_path, Failing(*[service_error("409")] * 5))
    with pytest.raises(StoreError, match=r"memory://store/objects/a/b must be writable; got OSError: .*409"):
        publish(files, b"abc")


def test_publish_tells_of_a_full_store_and_leaves_nothing(tmp_path):
    files = in_memory(tmp_path, Failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StoreError, match=r"must be writable; got OSError: .*No space left on device"):
        publish(files, b"abcdef")
    assert files.names("") == []


def test_publish_leaves_nothing_when_its_chunks_fail(tmp_path):
    def chunks():
        yield b"abc"
        raise ZeroDivisionError

    files = in_memory(tmp_path, Memory())
    with pytest.raises(ZeroDivisionError):
        files.publish(chunks(), lambda _: "a")
    assert files.names("") == []


def test_publish_refuses_what_one_request_cannot_hold(tmp_path):
    with pytest.raises(StoreError, match="must have less than 4 bytes; got 4: name a folder as the store"):
        publish(in_memory(tmp_path, Memory(), max_bytes=4), b"abcd")


def test_an_object_that_vanishes_while_it_is_read_is_missing(tmp_path):
    class Vanishing(Memory):
        def cat_file(self, path, start=None, end=None, **kwargs):
            raise FileNotFoundError(path)

    files = in_memory(tmp_path, Vanishing())
    publish(files, b"abc")
    assert files.read("objects/a/b") is None
    assert files.stage("objects/a/b").sha256 == files.digest("objects/a/b").sha256 == sha256(b"")


def test_times_of_all_kinds_are_understood(tmp_path):
    class Dated(Memory):
        def info(self, path, **kwargs):
            info = super().info(path, **kwargs)
            return {"name": path, "size": info["size"], "type": "file"} | self.told

    files = in_memory(tmp_path, Dated())
    publish(files, b"abc")
    for told in ({"mtime": 1.5}, {"updated": "1970-01-01T00:00:01.900+00:00"}):
        files._filesystem.told = told
        assert files.stat("objects/a/b").modified == 10**9


def test_clock_needs_a_store_that_keeps(tmp_path):
    class Forgetful(Memory):
        def pipe_file(self, path, value, mode="overwrite", **kwargs):
            pass

    with pytest.raises(StoreError, match="must keep what is written"):
        in_memory(tmp_path, Forgetful()).clock()


def test_a_full_cache_is_told(bucket, small_disk, monkeypatch, recipe):
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    store = Store.open(bucket)
    manifest = store.save(recipe, Artifact({"x": np.zeros(1_000_000, np.uint8)}), seconds=1.0)
    with pytest.raises(StoreError, match=f"{small_disk}/specialist-distillation must be writable; got No space left"):
        len(store.load(manifest).arrays)
    assert LocalFiles(str(cache_folder())).names("temporary") == []


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/specialist-distillation")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/specialist-distillation"
