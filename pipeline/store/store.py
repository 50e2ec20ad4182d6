"""The store: artifacts by recipe, kept as immutable objects and a manifest that lists them."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from mmap import mmap
from types import MappingProxyType
from typing import Self

from pipeline.errors import DamagedError, StoreError
from pipeline.recipe import canonical, key_of, plain
from pipeline.stage import Arrays, Artifact, Facts, Json
from pipeline.store.checked import CheckedObjects
from pipeline.store.commit import Chunks
from pipeline.store.damage import Damages
from pipeline.store.documents import ATTEMPTS, Documents, unstable
from pipeline.store.format import FORMAT_PATH, check_format, is_store, write_format
from pipeline.store.manifest import KeptObject, Manifest, manifest_path, object_path
from pipeline.store.places import Files, files_at
from pipeline.store.records import Run, memory_path, read_memory, read_run, run_path, seal
from pipeline.store.work import WorkClaims

ARRAYS = "arrays.safetensors"
FACTS = "facts.json"


class Store:
    """Artifacts by recipe. Cheap to open; a pickled store is opened again where it arrives.

    Args:
        files: Where the bytes are. Use `Store.open` for a store at a location.

    Attributes:
        files: Where the bytes are.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._damages = Damages()
        self._objects = CheckedObjects(files, self._damages)
        self._documents = Documents(files, self._damages)

    @classmethod
    def open(cls, location: str) -> Self:
        """Open the store at a location for writing, and make it if it is not there.

        Args:
            location: A folder, or the address of a place in an object store, such as `s3://bucket/prefix`.

        Raises:
            StoreError: It cannot be made or written, holds a store of another format, or is in an object store
                that does not refuse to write what is there already.
        """
        store = cls(files_at(location))
        store.files.prepare()
        write_format(store.files, store._damages)
        return store

    @classmethod
    def at(cls, location: str) -> Self:
        """Open the store at a location as it is, to read it; where there is none, it is empty and none is made.

        Raises:
            StoreError: The location cannot be read, or holds a store of another format.
        """
        store = cls(files_at(location))
        check_format(store.files)
        return store

    @classmethod
    def is_at(cls, location: str) -> bool:
        """Return whether there is a store at a location, without making one; it may have lost its `store.json`.

        Raises:
            StoreError: The location cannot be read.
        """
        return is_store(files_at(location))

    @property
    def location(self) -> str:
        """What `open` takes to open this store, from any working folder."""
        return self.files.root

    @property
    def damages(self) -> list[str]:
        """Messages that name what was found damaged and where it is now, unless `on_damage` is set."""
        return self._damages.messages

    @property
    def on_damage(self) -> Callable[[str], None]:
        """Called with each of these messages instead; when it is set, with those that have come before."""
        return self._damages.listener

    @on_damage.setter
    def on_damage(self, listener: Callable[[str], None]) -> None:
        self._damages.listen(listener)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).at, (self.location,)

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a recipe, or None if there is no result, or none that is whole.

        Looks at the sizes of objects, not at their bytes: those are verified when they are read. What is
        damaged is set aside and reported.

        Args:
            key: The SHA-256 of the recipe.
        """
        manifest = self._documents.read(manifest_path(key), Manifest.unsealed)
        lacking = [item for item in manifest.objects if not self._objects.has_size(item)] if manifest else []
        if manifest is None or not lacking:
            return manifest
        self._put_manifest_aside(manifest, lacking)
        return None

    def save(
        self, recipe: Mapping[str, Json], artifact: Artifact, *, seconds: float, instead_of: Manifest | None = None
    ) -> Manifest:
        """Keep an artifact under its recipe.

        Args:
            recipe: What it was made from.
            artifact: The artifact; its facts must be what JSON can hold, NaN excluded.
            seconds: How long making it took.
            instead_of: A result of this recipe that is set aside for it, when all is written but its name. Nothing is
                replaced in place: for a moment there is neither, and whoever looks then makes it once more.

        Returns:
            Its manifest; somebody else's if they were first, after verifying what it names.

        Raises:
            StoreError: It cannot be kept; nothing is left behind but whole objects.
        """
        key = key_of(recipe)
        for _ in range(ATTEMPTS):
            objects = self._objects.keep(_contents(artifact))
            manifest = Manifest(key, dict(recipe), objects, float(seconds), _now())
            kept = self._documents.publish(
                manifest_path(key),
                manifest.sealed(),
                ours=manifest,
                theirs=lambda: self._find_whole(key),
                before=lambda: instead_of and self.discard(instead_of, "was made again, as somebody asked"),
            )
            # An old object that was there already may have been pruned before something named it. From now on
            # something does, so that this look is the last one needed: see `prune`.
            if all(self.files.stat(object_path(item.sha256)) for item in kept.objects):
                return kept
        raise unstable(self.files, manifest_path(key))

    def load(self, manifest: Manifest) -> Artifact:
        """Return the artifact of a manifest.

        Its arrays are mapped into memory, and verified when they are first asked for, which may raise
        DamagedError.

        Raises:
            DamagedError: The facts do not match their digest; the manifest is set aside.
        """
        arrays: Arrays = {}
        if manifest.object(ARRAYS) is not None:
            from pipeline.store.tensors import MappedArrays  # noqa: PLC0415  # a run that reuses all needs no numpy

            arrays = MappedArrays(partial(self.raw, manifest, ARRAYS))
        return Artifact(arrays=arrays, facts=self.facts(manifest))

    def facts(self, manifest: Manifest) -> Facts:
        """Return the facts of a manifest's artifact.

        Raises:
            DamagedError: They do not match their digest; the manifest is set aside.
        """
        return dict(json.loads(self.raw(manifest, FACTS)[:]))

    def raw(self, manifest: Manifest, name: str) -> bytes | mmap:
        """Return the bytes of one object, mapped into memory, and verified unless this process has done that.

        Args:
            manifest: The manifest that names the object.
            name: The object's name in it, such as `arrays.safetensors`.

        Raises:
            DamagedError: They do not match their digest; the manifest is set aside.
            StoreError: The manifest has no such object.
        """
        item = manifest.object(name)
        if item is None:
            known = ", ".join(item.name for item in manifest.objects)
            raise StoreError(f"the object must be one of {known}; got {name!r}")
        data = self._objects.mapped(item)
        if data is None:
            raise self._lost(manifest, item)
        return data

    def discard(self, manifest: Manifest, reason: str) -> str | None:
        """Set a manifest aside, so that its result is made again; one that has taken its place stays.

        Args:
            manifest: The manifest.
            reason: Kept beside it.

        Returns:
            Where it is now; None if it was not there.
        """
        path = manifest_path(manifest.key)
        content = self.files.read(path)
        if content is None or content.data != manifest.sealed():
            return None
        return self.files.set_aside(path, reason, content.version)

    def sweep(self) -> list[str]:
        """Delete what dead processes of this host have left half-written or claimed, and return the paths."""
        return [*self.files.sweep(), *WorkClaims(self.files, "").sweep()]

    def remember(self, name: str, value: Json) -> None:
        """Remember a fact about the outside that can be found out again, such as a data file's digest.

        Where there is no store, nothing is remembered, and none is made.
        """
        if self.files.stat(FORMAT_PATH) is not None:
            self.files.replace(memory_path(name), seal({"name": name, "value": value}))

    def recall(self, name: str) -> Json:
        """Return what is remembered under a name, or None if that is nothing or damaged."""
        found = self._documents.read(memory_path(name), read_memory)
        return None if found is None else found[1]

    def record_run(self, name: str, keys: Mapping[str, str], digests: Mapping[str, str] = MappingProxyType({})) -> None:
        """Record a finished run: what it names is kept.

        Args:
            name: Its name, used by no other run.
            keys: The keys of the results it made or reused, by task id.
            digests: What these results are, by task id; whoever reads one is told where it has become another.

        Raises:
            StoreError: There is another run of this name.
        """
        run = Run(name, dict(keys), _now(), dict(digests))
        path = run_path(name)
        kept = self._documents.publish(
            path, seal(asdict(run)), ours=run, theirs=lambda: self._documents.read(path, read_run)
        )
        if kept.keys != run.keys:
            raise StoreError(f"the name of a run must be its own; got {name!r}, which was recorded on {kept.created}")

    def run(self, name: str) -> Run | None:
        """Return the run that is recorded under a name, or None; a damaged record is set aside and reported."""
        return self._documents.read(run_path(name), read_run)

    def runs(self) -> list[Run]:
        """Return the runs that are recorded, by name. Damaged records are set aside and reported."""
        runs = (self._documents.read(path, read_run) for path in self.files.names("runs"))
        return [run for run in runs if run is not None]

    def _find_whole(self, key: str) -> Manifest | None:
        """Return the manifest of a recipe if all bytes of all its objects are right."""
        manifest = self.find(key)
        damaged = [item for item in manifest.objects if not self._objects.is_whole(item)] if manifest else []
        if manifest is None or not damaged:
            return manifest
        self._put_manifest_aside(manifest, damaged)
        return None

    def _lost(self, manifest: Manifest, item: KeptObject) -> DamagedError:
        self._put_manifest_aside(manifest, [item])
        where = f"{self.location}/{object_path(item.sha256)}"
        return DamagedError(f"{where}, {item.name} of {_maker(manifest)}, is missing or damaged", key=manifest.key)

    def _put_manifest_aside(self, manifest: Manifest, damaged: Sequence[KeptObject]) -> None:
        why = f"lacks its {', '.join(f'{item.name} ({object_path(item.sha256)})' for item in damaged)}"
        aside = self.discard(manifest, why)
        if aside is not None:
            self._damages.tell(self.files, manifest_path(manifest.key), why, aside)


def _contents(artifact: Artifact) -> dict[str, Chunks]:
    contents: dict[str, Chunks] = {}
    if artifact.arrays:
        from pipeline.store.tensors import TensorBytes  # noqa: PLC0415  # see Store.load

        contents[ARRAYS] = TensorBytes(artifact.arrays)
    try:
        contents[FACTS] = [canonical(plain(artifact.facts))]
    except (TypeError, ValueError) as error:
        got = ", ".join(f"{where or 'facts'} = {value!r:.60}" for where, value in _unfit(plain(artifact.facts)))
        raise StoreError(f"facts must be what JSON can hold; got {got or error}") from error
    return contents


def _unfit(value: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Yield what JSON cannot hold in a value, and where it lies."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _unfit(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{where}[{number}]")
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        yield where, value


def _maker(manifest: Manifest) -> str:
    return f"the result of {manifest.recipe.get('stage', 'recipe')} ({manifest.key[:12]})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
