"""The store: artifacts by recipe, kept as immutable objects and a manifest that lists them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from mmap import mmap
from typing import Self, TypeVar

from pipeline.errors import DamagedError, StoreError
from pipeline.recipe import canonical, key_of, plain
from pipeline.stage import Arrays, Artifact, Facts, Json
from pipeline.store.commit import Chunks
from pipeline.store.contents import Digest, Version
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import KeptObject, Manifest, manifest_path, object_path
from pipeline.store.places import Files, files_at
from pipeline.store.records import Run, memory_path, read_run, run_path, seal, unseal

ARRAYS = "arrays.safetensors"
FACTS = "facts.json"
FORMAT_PATH = "store.json"
FORMAT = seal({"format": 1})

_ATTEMPTS = 5
"""How often something is published again after what was in its place turned out to be damaged."""

_T = TypeVar("_T")

_VERIFIED: set[tuple[str, Version]] = set()
"""Digests and the files that this process has seen to match them."""


class Store:
    """Artifacts by recipe. Cheap to open; a pickled store is opened again where it arrives.

    Args:
        files: Where the bytes are. Use `Store.open` for a store at a location.

    Attributes:
        files: Where the bytes are.
        on_damage: Called with a message that names what was found damaged and where it is now.
        damages: What the messages are collected in, unless `on_damage` is set.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._near = files if isinstance(files, LocalFiles) else files.cache
        self.damages: list[str] = []
        self.on_damage: Callable[[str], None] = self.damages.append

    @classmethod
    def open(cls, location: str) -> Self:
        """Open the store at a location, and make it if it is not there.

        Args:
            location: A folder, or the address of a place in an object store, such as `s3://bucket/prefix`.

        Raises:
            StoreError: It cannot be made or written, holds a store of another format, or is in an object store
                that does not refuse to write what is there already.
        """
        store = cls(files_at(location))
        store.files.prepare()
        store._check_format()
        return store

    @classmethod
    def is_at(cls, location: str) -> bool:
        """Return whether there is a store at a location, without making one.

        Raises:
            StoreError: The location cannot be read.
        """
        return files_at(location).stat(FORMAT_PATH) is not None

    @property
    def location(self) -> str:
        """What `open` takes to open this store, from any working folder."""
        return self.files.root

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).open, (self.location,)

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a recipe, or None if there is no result, or none that is whole.

        Looks at the sizes of objects, not at their bytes: those are verified when they are read. What is
        damaged is set aside and reported.

        Args:
            key: The SHA-256 of the recipe.
        """
        path = manifest_path(key)
        content = self.files.read(path)
        if content is None:
            return None
        try:
            manifest = Manifest.unsealed(content.data, path)
        except ValueError as error:
            self._put_aside(path, f"is damaged: {error}", content.version)
            return None
        lacking = [item.name for item in manifest.objects if not self._has_size(item)]
        if lacking:
            self._put_aside(path, f"lacks its {', '.join(lacking)}", content.version)
            return None
        return manifest

    def save(self, recipe: Mapping[str, Json], artifact: Artifact, *, seconds: float) -> Manifest:
        """Keep an artifact under its recipe.

        Args:
            recipe: What it was made from.
            artifact: The artifact; its facts must be what JSON can hold, NaN excluded.
            seconds: How long making it took.

        Returns:
            Its manifest; somebody else's if they were first, after verifying what it names.

        Raises:
            StoreError: It cannot be kept; nothing is left behind but whole objects.
        """
        key = key_of(recipe)
        for _ in range(_ATTEMPTS):
            objects = self._keep(_contents(artifact))
            manifest = Manifest(key, dict(recipe), objects, float(seconds), _now())
            kept = self._publish(manifest_path(key), manifest.sealed(), manifest, lambda: self._find_whole(key))
            # An old object that was there already may have been pruned before something named it. From now on
            # something does, so that this look is the last one needed: see `prune`.
            if all(self.files.stat(object_path(item.sha256)) for item in kept.objects):
                return kept
        raise self._unstable(manifest_path(key))

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
        data = self._mapped(item)
        if data is None and self._is_fetched(item):
            data = self._mapped(item)
        if data is None:
            raise self._lost(manifest, item)
        return data

    def discard(self, key: str, reason: str) -> None:
        """Set the manifest of a recipe aside, if there is one, so that its result is made again.

        Args:
            key: The SHA-256 of the recipe.
            reason: Kept beside it.
        """
        self.files.set_aside(manifest_path(key), reason)

    def sweep(self) -> list[str]:
        """Delete what dead processes of this host have left half-written, and return the paths."""
        return self.files.sweep()

    def remember(self, name: str, value: Json) -> None:
        """Remember a fact about the outside that can be found out again, such as a data file's digest."""
        self.files.replace(memory_path(name), seal({"name": name, "value": value}))

    def recall(self, name: str) -> Json:
        """Return what is remembered under a name, or None if that is nothing or damaged."""
        content = self.files.read(memory_path(name))
        try:
            document = unseal(content.data) if content else {}
        except ValueError:
            return None
        return document["value"] if document.get("name") == name else None

    def record_run(self, name: str, keys: Mapping[str, str]) -> None:
        """Record a finished run: what it names is kept.

        Args:
            name: Its name, used by no other run.
            keys: The keys of the results it made or reused, by task id.

        Raises:
            StoreError: There is another run of this name.
        """
        run = Run(name, dict(keys), _now())
        path = run_path(name)
        kept = self._publish(path, seal(asdict(run)), run, lambda: self._run(path))
        if kept.keys != run.keys:
            raise StoreError(f"the name of a run must be its own; got {name!r}, which was recorded on {kept.created}")

    def runs(self) -> list[Run]:
        """Return the runs that are recorded, by name. Damaged records are set aside and reported."""
        runs = (self._run(path) for path in self.files.names("runs"))
        return [run for run in runs if run is not None]

    def _check_format(self) -> None:
        if self.files.stat(FORMAT_PATH) is None:
            self.files.publish([FORMAT], lambda _: FORMAT_PATH)
        content = self.files.read(FORMAT_PATH)
        data = content.data if content else b""
        if data != FORMAT:
            raise StoreError(
                f"{self.location}/{FORMAT_PATH} must be {FORMAT.decode()}; got {data[:200]!r}:"
                " if another version of the program made this store name another one, else delete the file"
            )

    def _publish(self, path: str, data: bytes, ours: _T, theirs: Callable[[], _T | None]) -> _T:
        """Publish a document, or return somebody else's, which `theirs` verifies or sets aside."""
        for _ in range(_ATTEMPTS):
            if self.files.publish([data], lambda _: path).won:
                return ours
            found = theirs()
            if found is not None:
                return found
        raise self._unstable(path)

    def _keep(self, contents: Mapping[str, Chunks]) -> tuple[KeptObject, ...]:
        kept: dict[str, KeptObject] = {}
        for _ in range(_ATTEMPTS):
            lacking = [name for name in contents if name not in kept]
            receipts = self.files.publish_all([contents[name] for name in lacking], object_path)
            for name, receipt in zip(lacking, receipts, strict=True):
                item = KeptObject(name, receipt.sha256, receipt.bytes)
                if not receipt.won:
                    # It may be old, and named by nothing until our manifest is published: `prune` spares what is young.
                    self.files.freshen(receipt.path)
                if receipt.won or self._is_whole(item, self.files):
                    kept[name] = item
            if len(kept) == len(contents):
                return tuple(kept[name] for name in contents)
        raise self._unstable(receipts[-1].path)

    def _find_whole(self, key: str) -> Manifest | None:
        """Return the manifest of a recipe if all bytes of all its objects are right."""
        manifest = self.find(key)
        damaged = [item for item in manifest.objects if not self._is_whole(item, self.files)] if manifest else []
        if manifest is None or not damaged:
            return manifest
        self._put_manifest_aside(manifest, damaged)
        return None

    def _has_size(self, item: KeptObject) -> bool:
        path = object_path(item.sha256)
        version = self.files.stat(path)
        if version is not None and version.bytes != item.bytes:
            self._put_aside(path, f"must have {item.bytes} bytes; got {version.bytes}", version)
            return False
        return version is not None

    def _mapped(self, item: KeptObject) -> bytes | mmap | None:
        for _ in range(_ATTEMPTS):
            content = self._near.view(object_path(item.sha256))
            if content is None or self._is_verified(item, content.version):
                return None if content is None else content.data
            # It was damaged and is aside now, or somebody freshened it while it was read.
        return None

    def _is_fetched(self, item: KeptObject) -> bool:
        """Copy an object out of an object store, and return whether the copy is whole."""
        if isinstance(self.files, LocalFiles):
            return False
        return self._matches(item, self.files.stage(object_path(item.sha256)), self.files)

    def _is_whole(self, item: KeptObject, files: Files) -> bool:
        return self._matches(item, files.digest(object_path(item.sha256)), files)

    def _matches(self, item: KeptObject, found: Digest | None, files: Files) -> bool:
        """Return whether an object that was read is right; set it aside if not."""
        if found is not None and found.sha256 == item.sha256:
            _VERIFIED.add((item.sha256, found.version))
            return True
        if found is not None:
            path = object_path(item.sha256)
            self._put_aside(path, "does not match the digest it is named by", found.version, files)
        return False

    def _is_verified(self, item: KeptObject, version: Version) -> bool:
        """Return whether exactly this file is known to match, whatever is under the object's path by now."""
        if (item.sha256, version) not in _VERIFIED:
            self._is_whole(item, self._near)
        return (item.sha256, version) in _VERIFIED

    def _lost(self, manifest: Manifest, item: KeptObject) -> DamagedError:
        self._put_manifest_aside(manifest, [item])
        where = f"{self.location}/{object_path(item.sha256)}"
        return DamagedError(f"{where}, {item.name} of {_maker(manifest)}, is missing or damaged", key=manifest.key)

    def _put_manifest_aside(self, manifest: Manifest, damaged: Sequence[KeptObject]) -> None:
        path = manifest_path(manifest.key)
        content = self.files.read(path)
        # Somebody else may have made the result again meanwhile.
        if content is not None and content.data == manifest.sealed():
            names = ", ".join(item.name for item in damaged)
            self._put_aside(path, f"lacks its {names}", content.version)

    def _put_aside(self, path: str, why: str, version: Version, files: Files | None = None) -> None:
        files = files or self.files
        aside = files.set_aside(path, why, version)
        if aside is not None:
            self.on_damage(f"{files.root}/{path} {why}; it is now {files.root}/{aside}")

    def _run(self, path: str) -> Run | None:
        content = self.files.read(path)
        if content is None:
            return None
        try:
            return read_run(content.data, path)
        except ValueError as error:
            self._put_aside(path, f"is damaged: {error}", content.version)
            return None

    def _unstable(self, path: str) -> StoreError:
        where = f"{self.location}/{path}"
        return StoreError(f"{where} must stay as written; got damaged {_ATTEMPTS} times: check the disk")


def _contents(artifact: Artifact) -> dict[str, Chunks]:
    contents: dict[str, Chunks] = {}
    if artifact.arrays:
        from pipeline.store.tensors import TensorBytes  # noqa: PLC0415  # see Store.load

        contents[ARRAYS] = TensorBytes(artifact.arrays)
    try:
        contents[FACTS] = [canonical(plain(artifact.facts))]
    except (TypeError, ValueError) as error:
        raise StoreError(f"facts must be what JSON can hold; got {artifact.facts!r:.200}: {error}") from error
    return contents


def _maker(manifest: Manifest) -> str:
    return f"the result of {manifest.recipe.get('stage', 'recipe')} ({manifest.key[:12]})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
