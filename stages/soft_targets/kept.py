"""Artifacts of a store as a sequence: read when they are asked for, and forgotten again."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import overload

from pipeline.errors import StoreError
from pipeline.stage import Artifact
from pipeline.store import Store

MAX_OPEN = 512
"""Artifacts that are open at a time: a process may have 65,530 files mapped, and a big table has more shards."""


class KeptArtifacts(Sequence[Artifact]):
    """Artifacts of a store by position.

    Args:
        store: The store.
        keys: Their keys.
    """

    def __init__(self, store: Store, keys: Sequence[str]) -> None:
        self._store = store
        self._keys = tuple(keys)
        self._load: Callable[[str], Artifact] = lru_cache(MAX_OPEN)(self._read)

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, position: int) -> Artifact: ...
    @overload
    def __getitem__(self, position: slice) -> "KeptArtifacts": ...
    def __getitem__(self, position: int | slice) -> "Artifact | KeptArtifacts":
        if isinstance(position, slice):
            return KeptArtifacts(self._store, self._keys[position])
        return self._load(self._keys[position])

    def __reduce__(self) -> tuple[object, ...]:
        # Another process opens the store, and maps the files, itself.
        return type(self), (self._store, self._keys)

    def _read(self, key: str) -> Artifact:
        manifest = self._store.find(key)
        if manifest is None:
            raise StoreError(f"the result {key} must be in {self._store.location}; got nothing: do the run again")
        return self._store.load(manifest)
