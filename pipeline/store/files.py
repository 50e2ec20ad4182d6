"""A store in a folder: all reading and writing of bytes that it does.

Paths are relative to the store and written with slashes.
"""

import errno
import hashlib
import mmap
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from pipeline.store.advice import told
from pipeline.store.commit import Chunks, Commits
from pipeline.store.contents import Content, Digest, Receipt, Version, View
from pipeline.store.processes import is_abandoned, temporary_name


def _go_on(_: str) -> None:
    """Do nothing between two steps of a commit."""


class LocalFiles:
    """Files of a store in a folder.

    Args:
        root: The folder, absolute.
        steps: Called with its name after each step of a commit.
        write: Writes some of a buffer to a file descriptor and returns how much, as `os.write` does.
        link: Makes a hard link that replaces nothing, as `os.link` does.
        sync: Makes what a file descriptor stands for durable, as `os.fsync` does.
    """

    def __init__(
        self,
        root: str,
        *,
        steps: Callable[[str], None] = _go_on,
        write: Callable[[int, memoryview], int] = os.write,
        link: Callable[[Path, Path], None] = os.link,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.root = root
        self._commits = Commits(Path(root), steps=steps, write=write, link=link, sync=sync)

    def prepare(self) -> None:
        """Make the folder if needed, with the user's umask, and check that it can be written.

        Raises:
            StoreError: It cannot be made or written.
        """
        with self._writable():
            self._commits.make_root()
            _check_access(self.root)

    def try_out(self) -> None:
        """Check that the folder can be written, or could be made where it is not there; nothing is left of that.

        Raises:
            StoreError: It cannot.
        """
        root = Path(self.root)
        with self._writable():
            if root.is_dir():
                _check_access(self.root)
            else:
                there = next(folder for folder in (root, *root.parents) if folder.exists())
                Path(tempfile.mkdtemp(dir=there)).rmdir()

    @contextmanager
    def _writable(self) -> Iterator[None]:
        with told(self.root, "be a folder that you can write to"):
            try:
                yield
            except FileNotFoundError as error:  # what is around it is there, or has been made
                raise OSError(errno.ENOTSUP, "a filesystem that takes no new folders") from error

    def publish(self, chunks: Chunks, path_for: Callable[[str], str]) -> Receipt:
        """Publish bytes under a path, whole or not at all, unless there is something already.

        Args:
            chunks: The bytes.
            path_for: Returns the path, given the hexadecimal SHA-256 of the bytes; asked when they are written.

        Raises:
            StoreError: They cannot be written; nothing is left behind.
        """
        return self.publish_all([chunks], path_for)[0]

    def publish_all(self, contents: Sequence[Chunks], path_for: Callable[[str], str]) -> list[Receipt]:
        """Publish some files that do not need each other: what `publish` does, with less waiting for the disk.

        Raises:
            StoreError: They cannot be written; of each there is all or nothing.
        """
        return self._commits.publish(contents, path_for)

    def replace(self, path: str, data: bytes) -> None:
        """Put bytes under a path, whole or not at all, in place of what is there.

        A crash of the machine may leave a damaged file: this is for what carries its digest and can be found
        out again.
        """
        self._commits.replace(path, data)

    def read(self, path: str) -> Content | None:
        """Return the bytes of a small file, or None if it is not there."""
        with self._opened(path) as file:
            return None if file is None else Content(file.read(), _version(os.fstat(file.fileno())))

    def view(self, path: str) -> View | None:
        """Return the bytes of a file, mapped into memory, read-only; None if it is not there."""
        with self._opened(path) as file:
            if file is None:
                return None
            version = _version(os.fstat(file.fileno()))
            # Nothing can be mapped from an empty file.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if version.bytes else b""
            return View(data, version)

    def digest(self, path: str) -> Digest | None:
        """Return the SHA-256 of a file, or None if it is not there.

        Reads instead of mapping, so that a failing disk is an error and not a SIGBUS.
        """
        with self._opened(path) as file:
            if file is None:
                return None
            return Digest(hashlib.file_digest(file, "sha256").hexdigest(), _version(os.fstat(file.fileno())))

    def stat(self, path: str) -> Version | None:
        """Return which file is under a path, with its size in bytes; None if there is none."""
        with told(self._at(path), "be readable"):
            try:
                return _version(self._at(path).stat())
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted."""
        with told(self._at(folder), "be readable"):
            files = [
                Path(parent, name).relative_to(self.root).as_posix()
                for parent, _, names in os.walk(self._at(folder), onerror=_raise_unless_missing)
                for name in names
            ]
        return sorted(files)

    def listing(self, folder: str) -> dict[str, Version]:
        """Return which files are below a folder, by path, sorted."""
        versions = ((path, self.stat(path)) for path in self.names(folder))
        return {path: version for path, version in versions if version is not None}

    def clock(self) -> int:
        """Return the time now by the clock that stamps the files, in nanoseconds: a file server has its own."""
        with told(self.root, "be writable"), self._commits.temporary() as (_, descriptor):
            return os.fstat(descriptor).st_mtime_ns

    def set_aside(self, path: str, why: str, version: Version | None = None) -> str | None:
        """Move a file to aside/, with a note beside it.

        Args:
            path: The file.
            why: The note.
            version: The file that is meant: another one that took its place meanwhile, such as its repair by
                somebody else, stays.

        Returns:
            Where it is now; None if it was not there.
        """
        if version is not None and self.stat(path) != version:
            return None
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = f"aside/{moment}-{secrets.token_hex(4)}-{Path(path).name}"
        with told(self._at(aside), "be writable"):
            self._commits.make_folder(self._at(aside).parent)
            try:
                self._at(path).rename(self._at(aside))
            except FileNotFoundError:
                return None
            self._at(f"{aside}.why.txt").write_text(f"{path}: {why}\n")
        return aside

    def freshen(self, path: str) -> None:
        """Make a file as young as one written now, if it is there."""
        with told(self._at(path), "be writable"), suppress(FileNotFoundError):
            os.utime(self._at(path))

    def withdraw(self, path: str, version: Version) -> str | None:
        """Move a file to temporary/, for `restore` or `delete`.

        Args:
            path: The file.
            version: The file that is meant: another one that took its place meanwhile stays.

        Returns:
            Where it is now; None if it was not there.
        """
        if self.stat(path) != version:
            return None
        where = f"temporary/{temporary_name()}"
        with told(self.root, "be writable"):
            self._commits.make_folder(self._at(where).parent)
            try:
                self._at(path).rename(self._at(where))
            except FileNotFoundError:
                return None
            is_meant = self.stat(where) == version
            # By its age `sweep` on another host would take it for abandoned.
            os.utime(self._at(where))
        if is_meant:
            return where
        self.restore(where, path)
        return None

    def restore(self, where: str, path: str) -> None:
        """Move a withdrawn file back, unless there is another one by now."""
        with told(self.root, "be writable"):
            self._commits.link(self._at(where), path)
        self.delete(where)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        with told(self._at(path), "be writable"):
            self._at(path).unlink(missing_ok=True)

    def sweep(self) -> list[str]:
        """Delete temporaries of processes that are dead, and return their paths."""
        swept = []
        for path in self.names("temporary"):
            with told(self._at(path), "be writable"), suppress(FileNotFoundError):
                idle = time.time() - self._at(path).stat().st_mtime
                if is_abandoned(Path(path).name, idle):
                    self._at(path).unlink()
                    swept.append(path)
        return swept

    def _at(self, path: str) -> Path:
        return Path(self.root, path)

    @contextmanager
    def _opened(self, path: str) -> Iterator[BufferedReader | None]:
        with told(self._at(path), "be readable"), ExitStack() as stack:
            try:
                file = stack.enter_context(self._at(path).open("rb"))
            except FileNotFoundError:
                file = None
            yield file


def _check_access(folder: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code))


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _version(stat: os.stat_result) -> Version:
    return Version(f"{stat.st_dev}:{stat.st_ino}", stat.st_size, stat.st_mtime_ns)
