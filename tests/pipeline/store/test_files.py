import errno
import itertools
import os
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StoreError
from pipeline.recipe import key_of, sha256
from pipeline.stage import Artifact
from pipeline.store import Store, verify
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import manifest_path, object_path

BIG = Artifact({"x": np.zeros(1_000_000, np.uint8)})


def publish(files, data, path="objects/a/b"):
    return files.publish([data], lambda _: path)


def test_publish_writes_all_chunks_and_tells_their_digest(tmp_path):
    receipt = LocalFiles(str(tmp_path)).publish([b"abc", b"", memoryview(b"def")], lambda digest: f"o/{digest}")
    assert receipt == (f"o/{sha256(b'abcdef')}", sha256(b"abcdef"), 6, True)
    assert (tmp_path / receipt.path).read_bytes() == b"abcdef"


def test_publish_never_replaces(tmp_path):
    files = LocalFiles(str(tmp_path))
    assert publish(files, b"first").won
    assert not publish(files, b"second").won
    assert files.read("objects/a/b").data == b"first"
    assert files.names("temporary") == []


def test_publish_recognises_its_own_link_when_the_reply_was_lost(tmp_path):
    def link(source, target):
        os.link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    assert publish(LocalFiles(str(tmp_path), link=link), b"mine").won


def test_publish_survives_a_winner_that_vanishes(tmp_path):
    def link(source, target):
        raise FileExistsError(errno.EEXIST, "File exists")

    assert not publish(LocalFiles(str(tmp_path), link=link), b"mine").won


def test_publish_handles_short_writes(tmp_path):
    files = LocalFiles(str(tmp_path), write=lambda descriptor, view: os.write(descriptor, view[:7]))
    receipt = publish(files, bytes(range(200)))
    assert receipt.sha256 == sha256(bytes(range(200)))
    assert files.read("objects/a/b").data == bytes(range(200))


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "free space"), (errno.EIO, "log"), (errno.E2BIG, "check the folder")]
)
def test_publish_tells_of_failed_writes_and_leaves_nothing(tmp_path, code, advice):
    def write(descriptor, view):
        os.write(descriptor, view[:2])
        raise OSError(code, os.strerror(code))

    files = LocalFiles(str(tmp_path), write=write)
    with pytest.raises(StoreError, match=f"{tmp_path} must be writable; got {os.strerror(code)}.*{advice}"):
        publish(files, b"abcdef")
    assert files.names("") == []


def test_publish_leaves_nothing_when_its_chunks_fail(tmp_path):
    def chunks():
        yield b"abc"
        raise ZeroDivisionError

    files = LocalFiles(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        files.publish(chunks(), lambda _: "a")
    assert files.names("") == []


def test_publish_says_when_there_are_no_hard_links(tmp_path):
    def link(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with pytest.raises(StoreError, match=r"must be on a filesystem with hard links.*name a store elsewhere"):
        publish(LocalFiles(str(tmp_path), link=link), b"abc")


def test_publish_tells_of_other_link_failures(tmp_path):
    def link(source, target):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StoreError, match="Input/output error: the disk or the network failed"):
        publish(LocalFiles(str(tmp_path), link=link), b"abc")


class Recorder:
    """Notes what was made durable and what was linked, in order."""

    def __init__(self, folder):
        self.folder = folder
        self.done = []

    def sync(self, descriptor):
        os.fsync(descriptor)
        self.done.append(("sync", self.name(Path(f"/proc/self/fd/{descriptor}").readlink())))

    def link(self, source, target):
        os.link(source, target)
        self.done.append(("link", self.name(source), self.name(target)))

    def name(self, path):
        return os.path.relpath(path, self.folder)


@pytest.fixture
def recorded(store):
    """Return a store, and what records its commits."""
    recorder = Recorder(store.location)
    return Store(LocalFiles(store.location, sync=recorder.sync, link=recorder.link)), recorder


def synced_when(done, target):
    """Return what was durable when something got its name."""
    until = next(number for number, (what, *paths) in enumerate(done) if what == "link" and paths[1] == target)
    return {paths[0] for what, *paths in done[:until] if what == "sync"}


def test_commit_makes_all_durable_before_anything_relies_on_it(recorded, recipe, artifact):
    store, recorder = recorded
    manifest = store.save(recipe, artifact, seconds=1.0)
    objects = [object_path(item.sha256) for item in manifest.objects]
    links = {target: source for what, source, *targets in recorder.done if what == "link" for target in targets}
    assert set(links) == {*objects, manifest_path(manifest.key)}
    assert all(source in synced_when(recorder.done, target) for target, source in links.items())
    folders = {str(Path(path).parent) for path in objects} | {"objects", "."}
    assert folders <= synced_when(recorder.done, manifest_path(manifest.key))
    synced = {paths[0] for what, *paths in recorder.done if what == "sync"}
    assert {str(Path(manifest_path(manifest.key)).parent), "manifests"} <= synced


def test_commit_syncs_each_file_and_each_folder_once(recorded, recipe, artifact):
    store, recorder = recorded
    store.save(recipe, artifact, seconds=1.0)
    recorder.done.clear()
    again = store.save(recipe, artifact, seconds=2.0)
    synced = [paths[0] for what, *paths in recorder.done if what == "sync"]
    folders = [path for path in synced if not path.startswith("temporary/")]
    assert sorted(folders) == sorted(
        str(Path(path).parent)
        for path in (*(object_path(item.sha256) for item in again.objects), manifest_path(again.key))
    )
    assert len(synced) == len(set(synced)) == 6


def test_a_folder_that_was_deleted_is_made_and_synced_again(recorded, recipe, artifact):
    store, recorder = recorded
    manifest = store.save(recipe, artifact, seconds=1.0)
    shutil.rmtree(store.files._at("objects"))
    recorder.done.clear()
    assert store.find(manifest.key) is None
    store.save(recipe, artifact, seconds=1.0)
    assert {("sync", "objects"), ("sync", ".")} <= set(recorder.done)
    assert verify(store) == []


def test_big_chunks_are_hashed_in_their_order(tmp_path):
    chunks = [b"head", bytes(range(256)) * 8192, b"middle", os.urandom(1 << 20), b"", os.urandom(1 << 20)]
    receipt = LocalFiles(str(tmp_path)).publish(chunks, lambda digest: f"o/{digest}")
    assert receipt.sha256 == sha256(b"".join(chunks))
    assert (tmp_path / receipt.path).read_bytes() == b"".join(chunks)


def test_publish_bears_filesystems_that_cannot_sync_folders(tmp_path):
    def failing(code):
        def sync(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(code, os.strerror(code))

        return LocalFiles(str(tmp_path), sync=sync)

    assert publish(failing(errno.EINVAL), b"abc").won
    with pytest.raises(StoreError, match=r"Input/output"):
        publish(failing(errno.EIO), b"abc")


def test_files_say_none_of_what_is_missing(tmp_path):
    files = LocalFiles(str(tmp_path))
    assert [files.read("a"), files.view("a"), files.digest("a"), files.stat("a")] == [None] * 4
    assert files.set_aside("a", "why") is None
    assert files.names("b") == []


def test_view_of_an_empty_file_is_empty(tmp_path):
    (tmp_path / "a").touch()
    assert LocalFiles(str(tmp_path)).view("a").data == b""


def test_names_of_a_file_is_an_error(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(StoreError, match="Not a directory"):
        LocalFiles(str(tmp_path)).names("a")


def test_set_aside_spares_what_took_the_place(tmp_path):
    files = LocalFiles(str(tmp_path))
    publish(files, b"damaged")
    damaged = files.stat("objects/a/b")
    assert files.set_aside("objects/a/b", "damaged", damaged).startswith("aside/")
    publish(files, b"repaired")
    assert files.set_aside("objects/a/b", "damaged", damaged) is None
    assert files.read("objects/a/b").data == b"repaired"


def test_sweep_takes_what_dead_processes_left_and_spares_the_living(store):
    folder = Path(store.location, "temporary")
    with store.files._commits.temporary() as (alive, _):
        host, space, *_ = alive.name.split("_")
        (folder / f"{host}_{space}_{os.getpid()}_1_abc").touch()
        assert [Path(path).name for path in store.sweep()] == [f"{host}_{space}_{os.getpid()}_1_abc"]
        assert alive.exists()


def test_everything_honours_the_umask(tmp_path, recipe, artifact):
    before = os.umask(0o027)
    try:
        store = Store.open(str(tmp_path / "a" / "store"))
        store.save(recipe, artifact, seconds=1.0)
        store.remember("a", 1)
        store.discard(store.find(key_of(recipe)), "why not")
    finally:
        os.umask(before)
    paths = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(True, 0o750), (False, 0o640)}


def test_a_full_disk_is_told_and_leaves_a_whole_store(small_disk, recipe, artifact):
    store = Store.open(str(small_disk / "store"))
    with pytest.raises(StoreError, match="No space left on device: free space"):
        store.save(recipe, BIG, seconds=1.0)
    assert store.files.names("temporary") == []
    assert verify(store) == []
    assert store.find(key_of(recipe)) is None
    assert store.save(recipe, artifact, seconds=1.0) == store.find(key_of(recipe))


def test_a_disk_that_fills_up_at_any_write_leaves_a_whole_store(tmp_path, recipe, artifact):
    for limit in itertools.count():
        writes = itertools.count()

        def write(descriptor, view, writes=writes, limit=limit):
            number = next(writes)
            if number > limit:
                raise OSError(errno.ENOSPC, "No space left on device")
            # The last one that fits is short, as on a disk.
            return os.write(descriptor, view[:7] if number == limit else view)

        store = Store.open(str(tmp_path / str(limit)))
        full = Store(LocalFiles(store.location, write=write))
        try:
            full.save(recipe, artifact, seconds=1.0)
        except StoreError:
            assert store.find(key_of(recipe)) is None
            assert verify(store) == store.files.names("temporary") == []
            continue
        assert store.load(store.find(key_of(recipe))).facts == artifact.facts
        # A header, an array, facts, a manifest, and what a short write left of the last.
        assert limit >= 4
        return


def test_short_writes_are_no_fault(tmp_path, recipe, artifact):
    store = Store.open(str(tmp_path))
    short = Store(LocalFiles(store.location, write=lambda descriptor, view: os.write(descriptor, view[:13])))
    manifest = short.save(recipe, artifact, seconds=1.0)
    assert np.array_equal(store.load(manifest).arrays["weights"], artifact.arrays["weights"])
    assert verify(store) == []


def test_a_read_only_disk_is_told(small_disk, recipe, artifact):
    store = Store.open(str(small_disk / "store"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=f"{small_disk}/store must be a folder that you can write to; got Read-only"):
        Store.open(store.location)
    with pytest.raises(StoreError, match="Read-only file system: mount the filesystem for writing"):
        store.save(recipe, artifact, seconds=1.0)


def test_a_killed_commit_leaves_a_whole_store(tmp_path, run_script, recipe, artifact):
    steps = int(run_script("die_at_each_step.py", tmp_path))
    left = []
    for step in range(steps):
        store = Store.open(str(tmp_path / str(step)))
        assert verify(store) == []
        left += store.sweep()
        assert store.files.names("temporary") == []
        manifest = store.find(key_of(recipe))
        # Once its name is there a manifest is whole, even though the commit was cut short after that.
        assert (manifest is not None) == (step >= steps - 3)
        again = store.save(recipe, artifact, seconds=2.0)
        assert manifest in (None, again)
        assert np.array_equal(store.load(again).arrays["weights"], artifact.arrays["weights"])
        assert store.damages == verify(store) == []
    assert steps > 15
    assert left
