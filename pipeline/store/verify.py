"""The check of a whole store: every byte, and that all that is named is there. It changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import StoreError
from pipeline.store.checkpoints import CHECKPOINTS, CheckpointName
from pipeline.store.manifest import Manifest, manifest_path, object_path
from pipeline.store.records import memory_path, read_claim, read_run, unseal
from pipeline.store.store import FORMAT, FORMAT_PATH, Store


@dataclass(frozen=True, order=True)
class Fault:
    """Something in a store that is not as it should be.

    Attributes:
        path: The file, relative to the store.
        what: What is wrong with it.
    """

    path: str
    what: str


def verify(store: Store) -> list[Fault]:
    """Read everything in a store, and return all faults, sorted by path.

    Temporary files are none: `Store.sweep` deletes those that nobody writes.
    """
    checks = (
        _format_faults,
        _object_faults,
        _manifest_faults,
        _run_faults,
        _claim_faults,
        _memory_faults,
        _checkpoint_faults,
    )
    return sorted({fault for check in checks for fault in check(store)})


def _format_faults(store: Store) -> Iterator[Fault]:
    content = store.files.read(FORMAT_PATH)
    if content is None or content.data != FORMAT:
        yield Fault(FORMAT_PATH, "is missing or does not say the format")


def _object_faults(store: Store) -> Iterator[Fault]:
    for path in store.files.names("objects"):
        found = store.files.digest(path)
        if found is not None and path != object_path(found.sha256):
            yield Fault(path, "does not match the digest it is named by")


def _manifest_faults(store: Store) -> Iterator[Fault]:
    for path, data in _contents(store, "manifests"):
        try:
            manifest = Manifest.unsealed(data, path)
        except ValueError as error:
            yield Fault(path, f"is damaged: {error}")
            continue
        for item in manifest.objects:
            if store.files.stat(object_path(item.sha256)) is None:
                yield Fault(object_path(item.sha256), f"is missing, though {path} names it as its {item.name}")


def _run_faults(store: Store) -> Iterator[Fault]:
    for path, data in _contents(store, "runs"):
        try:
            run = read_run(data, path)
        except (ValueError, StoreError) as error:
            yield Fault(path, f"is damaged: {error}")
            continue
        for task, key in run.keys.items():
            if store.files.stat(manifest_path(key)) is None:
                yield Fault(manifest_path(key), f"is missing, though the run {run.name} names it as its {task}")


def _claim_faults(store: Store) -> Iterator[Fault]:
    for path, data in _contents(store, "claims"):
        try:
            read_claim(data, path)
        except (ValueError, StoreError) as error:
            yield Fault(path, f"is damaged: {error}")


def _memory_faults(store: Store) -> Iterator[Fault]:
    for path, data in _contents(store, "memory"):
        try:
            if path != memory_path(unseal(data)["name"]):
                yield Fault(path, "is what is remembered under another name")
        except (ValueError, KeyError) as error:
            yield Fault(path, f"is damaged: {error}")


def _checkpoint_faults(store: Store) -> Iterator[Fault]:
    for path in store.files.names(CHECKPOINTS):
        name, found = CheckpointName.parse(path), store.files.digest(path)
        if found is not None and (name is None or found.sha256 != name.sha256):
            yield Fault(path, "does not match the digest in its name")


def _contents(store: Store, folder: str) -> Iterator[tuple[str, bytes]]:
    for path in store.files.names(folder):
        content = store.files.read(path)
        if content is not None:
            yield path, content.data
