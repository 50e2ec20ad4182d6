"""The commit protocol on an object store, through fsspec: all reading and writing of bytes there.

Paths are relative to the store and written with slashes. An object appears by one request, which fails if there is
one already, so there is nothing half-written and nothing to lock. What is read into arrays is copied to a local
folder first, and mapped from there.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.recipe import sha256
from pipeline.store.commit import Chunks
from pipeline.store.contents import Content, Digest, Receipt, Version
from pipeline.store.files import LocalFiles
from pipeline.store.filesystems import (
    MAX_BYTES,
    ONTO_ITSELF,
    SINGLE_PUT,
    advice_of,
    code_of,
    filesystem_of,
    is_without_bucket,
    version_of,
)
from pipeline.store.manifest import object_path
from pipeline.store.processes import is_abandoned, temporary_name

_CHUNK = 16 << 20
_ATTEMPTS = 5
"""How often a put is sent again after it met another of the same path, which S3 answers with a conflict."""


def _go_on(_: str) -> None:
    """Do nothing between two steps of a commit."""


class ObjectFiles:
    """Files of a store in an object store.

    Args:
        root: Its address, such as `s3://bucket/prefix`.
        cache: A local folder for copies of what is read, named by content: any number of stores may share it.
        filesystem: What fsspec reaches the address with, if not what it says itself.
        steps: Called with its name after each step of a commit.
        max_bytes: An object must be smaller.

    Raises:
        StoreError: The address is not one of an object store, or the package that reaches it is not installed.
    """

    def __init__(
        self,
        root: str,
        cache: LocalFiles,
        *,
        filesystem: Any = None,
        steps: Callable[[str], None] = _go_on,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.root = root.rstrip("/")
        self.cache = cache
        self._filesystem = filesystem if filesystem is not None else filesystem_of(self.root)
        self._prefix = self._filesystem._strip_protocol(self.root).strip("/")  # noqa: SLF001  # has no public name
        self._steps = steps
        self._max_bytes = max_bytes
        protocol = self.root.partition("://")[0]
        self._single_put = SINGLE_PUT.get(protocol, {})
        self._onto_itself = ONTO_ITSELF.get(protocol, {})

    def prepare(self) -> None:
        """Make the cache if needed, and try whether the object store keeps the first of two writers.

        Raises:
            StoreError: It cannot be written, or lets a second put of one path replace the first.
        """
        self.cache.prepare()
        path = f"temporary/{temporary_name()}"
        try:
            told = [self._create(path, data) for data in (b"first", b"second")]
            content = self.read(path)
        finally:
            self.delete(path)
        if told != [True, False] or content is None or content.data != b"first":
            raise StoreError(
                f"{self.root} must be in an object store that refuses to write what is there already;"
                " got one that replaces it, so two runs could undo each other's results: name a store elsewhere"
            )

    def try_out(self) -> None:
        """Check that the object store can be written, as `prepare` does: nothing is left of that."""
        self.prepare()

    def publish(self, chunks: Chunks, path_for: Callable[[str], str]) -> Receipt:
        """Publish bytes under a path, whole or not at all, unless there is something already.

        Args:
            chunks: The bytes; they are put together in memory.
            path_for: Returns the path, given the hexadecimal SHA-256 of the bytes; asked when they are written.

        Raises:
            StoreError: They cannot be written; nothing is left behind. Or they are too many for one request.
        """
        data = b"".join(chunks)
        if len(data) >= self._max_bytes:
            raise StoreError(
                f"an object in {self.root} must have less than {self._max_bytes:,} bytes; got {len(data):,}:"
                " name a folder as the store"
            )
        digest = sha256(data)
        path = path_for(digest)
        self._steps("built")
        won = self._create(path, data)
        self._steps("put")
        return Receipt(path, digest, len(data), won)

    def publish_all(self, contents: Sequence[Chunks], path_for: Callable[[str], str]) -> list[Receipt]:
        """Publish some objects, one after the other."""
        return [self.publish(chunks, path_for) for chunks in contents]

    def replace(self, path: str, data: bytes) -> None:
        """Put bytes under a path, whole or not at all, in place of what is there."""
        with self._told(path, "be writable"):
            self._filesystem.pipe_file(self._at(path), data)

    def read(self, path: str) -> Content | None:
        """Return the bytes of a small object, or None if it is not there."""
        # First: of an object that takes its place in between, the version is then not that of the bytes, and
        # `set_aside` leaves it alone.
        version = self.stat(path)
        if version is None:
            return None
        data = self._cat(path)
        return None if data is None else Content(data, version)

    def digest(self, path: str) -> Digest | None:
        """Return the SHA-256 of an object, or None if it is not there."""
        version = self.stat(path)
        if version is None:
            return None
        digest = hashlib.sha256()
        for chunk in self._chunks(path, version.bytes):
            digest.update(chunk)
        return Digest(digest.hexdigest(), version)

    def stage(self, path: str) -> Digest | None:
        """Copy an object to the cache, under the name its content has there; None if it is not there.

        Returns:
            The SHA-256 of what was copied: whether that is what the path promises is for the caller to see.
        """
        version = self.stat(path)
        if version is None:
            return None
        receipt = self.cache.publish(self._chunks(path, version.bytes), object_path)
        return Digest(receipt.sha256, version)

    def stat(self, path: str) -> Version | None:
        """Return which object is under a path, with its size in bytes; None if there is none."""
        with self._told(path, "be readable"):
            try:
                return version_of(self._filesystem.info(self._at(path)))
            except FileNotFoundError as error:
                if is_without_bucket(error):
                    raise
                return None

    def listing(self, folder: str) -> dict[str, Version]:
        """Return which objects are below a folder, by path, sorted."""
        with self._told(folder, "be readable"):
            try:
                found = self._filesystem.find(self._at(folder), detail=True)
            except FileNotFoundError as error:
                if is_without_bucket(error):
                    raise
                return {}
            start = len(self._prefix) + 1
            versions = ((name.strip("/")[start:], version_of(found[name])) for name in sorted(found))
            return {name: version for name, version in versions if version is not None}

    def names(self, folder: str) -> list[str]:
        """Return the paths of all objects below a folder, sorted."""
        return list(self.listing(folder))

    def clock(self) -> int:
        """Return the time now by the clock that stamps the objects, in nanoseconds."""
        path = f"temporary/{temporary_name()}"
        self._create(path, b"what time is it")
        version = self.stat(path)
        self.delete(path)
        if version is None:
            raise StoreError(f"{self.root} must keep what is written; got nothing under {path} a moment later")
        return version.modified

    def set_aside(self, path: str, why: str, version: Version | None = None) -> str | None:
        """Move an object to aside/, with a note beside it.

        It is copied and then deleted, and somebody else may repair it in between: then their copy is deleted. That
        loses work and is never wrong: a missing object is noticed by whoever needs it, and is made again.

        Args:
            path: The object.
            why: The note.
            version: The object that is meant: another one that took its place meanwhile stays.

        Returns:
            Where it is now; None if it was not there.
        """
        if version is not None and self.stat(path) != version:
            return None
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = f"aside/{moment}-{secrets.token_hex(4)}-{Path(path).name}"
        if not self._copy(path, aside):
            return None
        self.replace(f"{aside}.why.txt", f"{path}: {why}\n".encode())
        if version is not None and self.stat(path) != version:
            return None
        self.delete(path)
        return aside

    def freshen(self, path: str) -> None:
        """Make an object as young as one written now, if it is there: it is copied onto itself."""
        self._copy(path, path)

    def withdraw(self, path: str, version: Version) -> str | None:
        """Move an object to temporary/, for `restore` or `delete`; not in one step, as `set_aside`.

        Args:
            path: The object.
            version: The object that is meant: another one that took its place meanwhile stays.

        Returns:
            Where it is now; None if it was not there.
        """
        where = f"temporary/{temporary_name()}"
        if self.stat(path) != version or not self._copy(path, where):
            return None
        self.delete(path)
        return where

    def restore(self, where: str, path: str) -> None:
        """Move a withdrawn object back, unless there is another one by now."""
        content = self.read(where)
        if content is not None:
            # A copy within the object store would replace what is there.
            self._create(path, content.data)
        self.delete(where)

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        with self._told(path, "be writable"), suppress(FileNotFoundError):
            self._filesystem.rm_file(self._at(path))

    def sweep(self) -> list[str]:
        """Delete what dead processes left in temporary/, and return the paths."""
        swept = [
            path
            for path, version in self.listing("temporary").items()
            if is_abandoned(Path(path).name, time.time() - version.modified / 1e9)
        ]
        for path in swept:
            self.delete(path)
        return swept

    def _at(self, path: str) -> str:
        return f"{self._prefix}/{path}".rstrip("/")

    def _create(self, path: str, data: bytes) -> bool:
        """Put an object, and return whether there was none."""
        with self._told(path, "be writable"):
            for attempt in range(_ATTEMPTS):
                try:
                    self._filesystem.pipe_file(self._at(path), data, mode="create", **self._single_put)
                except OSError as error:
                    code = code_of(error)
                    if isinstance(error, FileExistsError) or code in {"PreconditionFailed", "412"}:
                        return False
                    if code not in {"ConditionalRequestConflict", "409"} or attempt == _ATTEMPTS - 1:
                        raise
                    time.sleep(0.1 * 2**attempt)
                else:
                    return True
        raise AssertionError("the last attempt returns or raises")

    def _copy(self, path: str, where: str) -> bool:
        with self._told(path, "be readable"):
            try:
                self._filesystem.cp_file(
                    self._at(path), self._at(where), **(self._onto_itself if where == path else {})
                )
            except FileNotFoundError:
                return False
        return True

    def _chunks(self, path: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of an object piece by piece; fewer of one that vanishes meanwhile."""
        for start in range(0, size, _CHUNK):
            yield self._cat(path, start=start, end=start + _CHUNK) or b""

    def _cat(self, path: str, **part: int) -> bytes | None:
        with self._told(path, "be readable"):
            try:
                return bytes(self._filesystem.cat_file(self._at(path), **part))
            except FileNotFoundError:
                return None

    @contextmanager
    def _told(self, path: str, rule: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # each filesystem has errors of its own; only its calls are here
            # The name of what was only tried tells nobody anything.
            what = self.root if path.startswith("temporary/") else f"{self.root}/{path}"
            raise StoreError(
                f"{what} must {rule}; got {type(error).__name__}: {error}:"
                f" {advice_of(error)}, or name a store elsewhere"
            ) from error
