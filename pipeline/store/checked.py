"""The objects of a store, each checked against the digest it is named by when this process first reads it."""

from collections.abc import Mapping
from mmap import mmap
from pathlib import Path

from pipeline.store.commit import Chunks
from pipeline.store.contents import Digest, Version
from pipeline.store.damage import Damages
from pipeline.store.documents import ATTEMPTS, unstable
from pipeline.store.files import LocalFiles
from pipeline.store.manifest import KeptObject, object_path
from pipeline.store.places import Files
from pipeline.store.turns import turn

_VERIFIED: set[tuple[str, Version]] = set()
"""Digests and the files that this process has seen to match them."""


class CheckedObjects:
    """The objects of a store. What is damaged is set aside, and told.

    Args:
        files: Where they are.
        damages: Told of it.
    """

    def __init__(self, files: Files, damages: Damages) -> None:
        self._files = files
        self._near = files if isinstance(files, LocalFiles) else files.cache
        self._damages = damages

    def keep(self, contents: Mapping[str, Chunks]) -> tuple[KeptObject, ...]:
        """Publish objects; where they are already, make sure that they are whole.

        Args:
            contents: Their bytes, by name; asked for again if what is in their place turns out to be damaged.

        Raises:
            StoreError: They cannot be written, or do not stay as written.
        """
        kept: dict[str, KeptObject] = {}
        for _ in range(ATTEMPTS):
            lacking = [name for name in contents if name not in kept]
            receipts = self._files.publish_all([contents[name] for name in lacking], object_path)
            for name, receipt in zip(lacking, receipts, strict=True):
                item = KeptObject(name, receipt.sha256, receipt.bytes)
                if not receipt.won:
                    # It may be old, and named by nothing until its manifest is published: `prune` spares what is young.
                    self._files.freshen(receipt.path)
                if receipt.won or self.is_whole(item):
                    kept[name] = item
            if len(kept) == len(contents):
                return tuple(kept[name] for name in contents)
        raise unstable(self._files, receipts[-1].path)

    def has_size(self, item: KeptObject) -> bool:
        """Return whether an object is there with the right number of bytes; which these are is seen by reading it."""
        path = object_path(item.sha256)
        version = self._files.stat(path)
        if version is not None and version.bytes != item.bytes:
            self._damages.put_aside(self._files, path, f"must have {item.bytes} bytes; got {version.bytes}", version)
            return False
        return version is not None

    def is_whole(self, item: KeptObject) -> bool:
        """Read an object, and return whether all its bytes are right."""
        return self._matches(item, self._files.digest(object_path(item.sha256)), self._files)

    def mapped(self, item: KeptObject) -> bytes | mmap | None:
        """Return the bytes of an object, checked unless this process has done that; None if it is not there whole."""
        data = self._near_bytes(item)
        return self._near_bytes(item) if data is None and self._is_fetched(item) else data

    def _near_bytes(self, item: KeptObject) -> bytes | mmap | None:
        for _ in range(ATTEMPTS):
            content = self._near.view(object_path(item.sha256))
            if content is None or self._is_verified(item, content.version):
                return None if content is None else content.data
            # It was damaged and is aside now, or somebody freshened it while it was read.
        return None

    def _is_fetched(self, item: KeptObject) -> bool:
        """Copy an object out of an object store, and return whether the copy is whole."""
        if isinstance(self._files, LocalFiles):
            return False
        path = object_path(item.sha256)
        # Tasks that begin together on one machine want the same data, which is fetched once. By its digest's first two
        # digits, so that the turns are known by 256 files however many objects there are.
        with turn(Path(self._near.root, "fetching"), item.sha256[:2]):
            is_there = self._near.stat(path) is not None
            return is_there or self._matches(item, self._files.stage(path), self._files)

    def _is_verified(self, item: KeptObject, version: Version) -> bool:
        """Return whether exactly this file is known to match, whatever is under the object's path by now."""
        if (item.sha256, version) not in _VERIFIED:
            self._matches(item, self._near.digest(object_path(item.sha256)), self._near)
        return (item.sha256, version) in _VERIFIED

    def _matches(self, item: KeptObject, found: Digest | None, files: Files) -> bool:
        """Return whether an object that was read is right; set it aside if not."""
        if found is not None and found.sha256 == item.sha256:
            _VERIFIED.add((item.sha256, found.version))
            return True
        if found is not None:
            path = object_path(item.sha256)
            self._damages.put_aside(files, path, "does not match the digest it is named by", found.version)
        return False
