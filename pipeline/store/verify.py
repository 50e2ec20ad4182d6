"""The check of a whole store: every byte, and that all that is named is there. It changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.store.catalog import Catalog
from pipeline.store.checkpoints import CHECKPOINTS, CheckpointName
from pipeline.store.format import FORMAT, FORMAT_PATH
from pipeline.store.manifest import Manifest, manifest_path, object_path
from pipeline.store.records import Claim, Run, read_claim, read_memory, read_run
from pipeline.store.store import Store


@dataclass(frozen=True, order=True)
class Fault:
    """Something in a store that is not as it should be.

    Attributes:
        path: The file, relative to the store.
        what: What is wrong with it.
        needed_by: What relies on it, such as `arrays.safetensors of generalist of digits-20260102-030405-678`.
    """

    path: str
    what: str
    needed_by: tuple[str, ...] = ()


class _Needs:
    """Who relies on which file: results on their objects, runs on their results."""

    def __init__(self, manifests: Sequence[Manifest], runs: Sequence[Run | Claim]) -> None:
        self._by_path: dict[str, list[str]] = {}
        for run in runs:
            for task, key in run.keys.items():
                self._by_path.setdefault(manifest_path(key), []).append(f"{task} of {run.name}")
        for manifest in manifests:
            unnamed = f"a result of {manifest.recipe.get('stage', '?')} that no run names"
            for item in manifest.objects:
                owners = self._by_path.get(manifest_path(manifest.key), [unnamed])
                self._by_path.setdefault(object_path(item.sha256), []).extend(f"{item.name} of {o}" for o in owners)

    def of(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(set(self._by_path.get(path, ()))))


def verify(store: Store) -> list[Fault]:
    """Read everything in a store, and return all faults, sorted by path.

    Temporary files are none: `Store.sweep` deletes those that nobody writes.
    """
    catalog = Catalog(store)
    wrong = {**_wrong_format(store), **dict(_wrong_objects(store)), **dict(_wrong_checkpoints(store))}
    manifests = catalog.documents("manifests", Manifest.unsealed)
    runs = catalog.documents("runs", read_run)
    claims = catalog.documents("claims", read_claim)
    for documents in (manifests, runs, claims, catalog.documents("memory", read_memory)):
        wrong |= {path: f"is damaged: {item}" for path, (item, _) in documents.items() if isinstance(item, ValueError)}
    whole = [item for item, _ in manifests.values() if isinstance(item, Manifest)]
    ended = [item for item, _ in runs.values() if isinstance(item, Run)]
    wanted = {object_path(item.sha256) for manifest in whole for item in manifest.objects}
    wanted |= {manifest_path(key) for run in ended for key in run.keys.values()}
    wrong |= {path: "is missing" for path in wanted if store.files.stat(path) is None}
    needs = _Needs(whole, [*ended, *(item for item, _ in claims.values() if isinstance(item, Claim))])
    return sorted(Fault(path, what, needs.of(path)) for path, what in wrong.items())


def _wrong_format(store: Store) -> dict[str, str]:
    content = store.files.read(FORMAT_PATH)
    if content is not None and content.data == FORMAT:
        return {}
    what = "is missing" if content is None else "does not say the format"
    return {FORMAT_PATH: f"{what}: the next `run` with this store writes it again"}


def _wrong_objects(store: Store) -> Iterator[tuple[str, str]]:
    for path in store.files.names("objects"):
        found = store.files.digest(path)
        if found is not None and path != object_path(found.sha256):
            yield path, "does not match the digest it is named by"


def _wrong_checkpoints(store: Store) -> Iterator[tuple[str, str]]:
    for path in store.files.names(CHECKPOINTS):
        name, found = CheckpointName.parse(path), store.files.digest(path)
        if found is not None and (name is None or found.sha256 != name.sha256):
            yield path, "does not match the digest in its name"
