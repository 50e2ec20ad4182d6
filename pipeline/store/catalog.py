"""Reads what is in a store and who names it, and changes nothing."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.errors import StoreError
from pipeline.store.contents import Version
from pipeline.store.manifest import Manifest, object_path
from pipeline.store.records import Claim, Run, read_claim, read_run
from pipeline.store.store import Store

_THREADS = 16
"""Reading many small documents of an object store waits for the network most of the time."""

_T = TypeVar("_T")

Found = dict[str, tuple[_T, Version]]
"""Documents by path, with the file each was read from."""


class Catalog:
    """The documents of a store. Asked again, it reads only what has changed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen: dict[tuple[str, Version], object] = {}

    def manifests(self) -> Found[Manifest]:
        """Return the manifests that are there and not damaged."""
        found = self.documents("manifests", Manifest.unsealed)
        return {path: (item, version) for path, (item, version) in found.items() if not isinstance(item, ValueError)}

    def claims(self) -> Found[Claim]:
        """Return the claims of runs in progress.

        Raises:
            StoreError: Some are damaged.
        """
        return _undamaged(self.documents("claims", read_claim))

    def runs(self) -> Found[Run]:
        """Return the records of finished runs.

        Raises:
            StoreError: Some are damaged.
        """
        return _undamaged(self.documents("runs", read_run))

    def documents(self, folder: str, parse: Callable[[bytes, str], _T]) -> Found[_T | ValueError]:
        """Return what is in a folder, and of what is damaged why.

        Args:
            folder: The folder.
            parse: Returns a document, given its bytes and its path; raises ValueError for what is damaged.
        """
        listing = self.store.files.listing(folder)
        with ThreadPoolExecutor(_THREADS) as threads:
            documents = threads.map(lambda item: self._document(item[0], item[1], parse), listing.items())
            return {path: found for path, found in zip(listing, documents, strict=True) if found is not None}

    def _document(
        self, path: str, version: Version, parse: Callable[[bytes, str], _T]
    ) -> tuple[_T | ValueError, Version] | None:
        if (path, version) in self._seen:
            return self._seen[path, version], version  # type: ignore[return-value]  # a path has one parser
        content = self.store.files.read(path)
        if content is None:
            return None
        document: _T | ValueError
        try:
            document = parse(content.data, path)
        except ValueError as error:
            document = error
        self._seen[path, content.version] = document
        return document, content.version


def objects_of(manifests: Mapping[str, tuple[Manifest, Version]]) -> dict[str, int]:
    """Return the bytes of all objects that manifests name, by path."""
    return {object_path(item.sha256): item.bytes for manifest, _ in manifests.values() for item in manifest.objects}


def _undamaged(found: Found[_T | ValueError]) -> Found[_T]:
    faults = list(_faults(found))
    if faults:
        raise StoreError("\n".join(faults))
    return {path: (item, version) for path, (item, version) in found.items() if not isinstance(item, ValueError)}


def _faults(found: Found[_T | ValueError]) -> Iterator[str]:
    for path, (item, _) in found.items():
        if isinstance(item, ValueError):
            yield (
                f"{path} must be readable, to know what its run uses; got damage: {item};"
                " delete it if that run is over and forgotten"
            )
