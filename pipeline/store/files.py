"""The commit protocol on a POSIX folder: all reading and writing of bytes that a store does.

Paths are relative to the store and written with slashes.
"""

import errno
import hashlib
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.contents import Content, Digest, Receipt, Version, View
from pipeline.store.processes import is_abandoned, temporary_name

_ADVICE = {
    errno.ENOSPC: "free space on that filesystem, or name a store elsewhere",
    errno.EDQUOT: "free space within your quota, or name a store elsewhere",
    errno.EROFS: "mount the filesystem for writing, or name a store elsewhere",
    errno.EACCES: "change the permissions, or name a store elsewhere",
    errno.EIO: "the disk or the network failed; look at the system's log",
}
# What os.link raises where there are no hard links, depending on the filesystem.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}


def _go_on(_: str) -> None:
    """Do nothing between two steps of a commit."""


class LocalFiles:
    """Files of a store in a folder.

    Args:
        root: The folder, absolute.
        steps: Called with its name after each step of a commit.
        write: Writes some of a buffer to a file descriptor and returns how much, as `os.write` does.
        link: Makes a hard link that replaces nothing, as `os.link` does.
    """

    def __init__(
        self,
        root: str,
        *,
        steps: Callable[[str], None] = _go_on,
        write: Callable[[int, memoryview], int] = os.write,
        link: Callable[[Path, Path], None] = os.link,
    ) -> None:
        self.root = root
        self._steps = steps
        self._write = write
        self._hard_link = link

    def prepare(self) -> None:
        """Make the folder if needed, with the user's umask, and check that it can be written.

        Raises:
            StoreError: It cannot be made or written.
        """
        with _told(self.root, "be a folder that you can write to"):
            self._make_folder(Path(self.root))
            if not os.access(self.root, os.W_OK | os.X_OK):
                read_only = os.statvfs(self.root).f_flag & os.ST_RDONLY
                code = errno.EROFS if read_only else errno.EACCES
                raise OSError(code, os.strerror(code))

    def publish(self, chunks: Iterable[bytes | memoryview], path_for: Callable[[str], str]) -> Receipt:
        """Publish bytes under a path, whole or not at all, unless there is something already.

        Args:
            chunks: The bytes; taken one by one, so that they need not be in memory together.
            path_for: Returns the path, given the hexadecimal SHA-256 of the bytes.

        Raises:
            StoreError: They cannot be written; nothing is left behind.
        """
        with self._temporary() as (temporary, descriptor):
            digest, size = self._write_all(descriptor, chunks)
            # Without this a crash of the machine could leave the name durable and the bytes not.
            os.fsync(descriptor)
            self._steps("synced")
            path = path_for(digest)
            won = self._link(temporary, path)
            self._steps("linked")
        self._steps("unlinked")
        # Also where somebody else won: what we publish next relies on their name being durable.
        with _told(self._at(path), "be writable"):
            _sync_folder(self._at(path).parent)
        self._steps("folder synced")
        return Receipt(path, digest, size, won)

    def replace(self, path: str, data: bytes) -> None:
        """Put bytes under a path, whole or not at all, in place of what is there.

        A crash of the machine may leave a damaged file: this is for what carries its digest and can be found
        out again.
        """
        with self._temporary() as (temporary, descriptor):
            self._write_all(descriptor, [data])
            self._make_folder(self._at(path).parent)
            temporary.replace(self._at(path))

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
        with _told(self._at(path), "be readable"):
            try:
                return _version(self._at(path).stat())
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted."""
        with _told(self._at(folder), "be readable"):
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
        with self._temporary() as (_, descriptor):
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
        with _told(self._at(aside), "be writable"):
            self._make_folder(self._at(aside).parent)
            try:
                self._at(path).rename(self._at(aside))
            except FileNotFoundError:
                return None
            self._at(f"{aside}.why.txt").write_text(f"{path}: {why}\n")
        return aside

    def freshen(self, path: str) -> None:
        """Make a file as young as one written now, if it is there."""
        with _told(self._at(path), "be writable"), suppress(FileNotFoundError):
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
        with _told(self.root, "be writable"):
            self._make_folder(self._at(where).parent)
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
        with _told(self.root, "be writable"):
            self._link(self._at(where), path)
        self.delete(where)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        with _told(self._at(path), "be writable"):
            self._at(path).unlink(missing_ok=True)

    def sweep(self) -> list[str]:
        """Delete temporaries of processes that are dead, and return their paths."""
        swept = []
        for path in self.names("temporary"):
            with _told(self._at(path), "be writable"), suppress(FileNotFoundError):
                idle = time.time() - self._at(path).stat().st_mtime
                if is_abandoned(Path(path).name, idle):
                    self._at(path).unlink()
                    swept.append(path)
        return swept

    def _at(self, path: str) -> Path:
        return Path(self.root, path)

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, int]]:
        """Make a file in temporary/, and delete its name whatever happens.

        Hard links and renames need no more than the same filesystem, and one folder is listed faster than
        hundreds when looking for what killed processes left.
        """
        path = self._at(f"temporary/{temporary_name()}")
        with _told(self.root, "be writable"):
            self._make_folder(path.parent)
            # Unlike tempfile's 0o600, this leaves the permissions to the user's umask.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                self._steps("made")
                yield path, descriptor
            finally:
                os.close(descriptor)
                path.unlink(missing_ok=True)

    def _write_all(self, descriptor: int, chunks: Iterable[bytes | memoryview]) -> tuple[str, int]:
        digest = hashlib.sha256()
        size = 0
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            while view:
                # A write may be short: by a signal, a nearly full disk, or more than 2 GiB at once.
                written = self._write(descriptor, view)
                digest.update(view[:written])
                size += written
                view = view[written:]
            self._steps("written")
        return digest.hexdigest(), size

    def _link(self, temporary: Path, path: str) -> bool:
        """Give the temporary its name, and return whether nobody else had taken it.

        Unlike a rename, a link never replaces what is there.
        """
        self._make_folder(self._at(path).parent)
        try:
            self._hard_link(temporary, self._at(path))
        except FileExistsError:
            # Over NFS the reply may get lost, and the request sent again then finds the link it made itself.
            return self._is_same(temporary, self._at(path))
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StoreError(
                    f"{self.root} must be on a filesystem with hard links; got {error.strerror}: name a store elsewhere"
                ) from error
            raise
        return True

    def _is_same(self, one: Path, other: Path) -> bool:
        with suppress(FileNotFoundError):
            return one.samefile(other)
        return False

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    @contextmanager
    def _opened(self, path: str) -> Iterator[BufferedReader | None]:
        with _told(self._at(path), "be readable"), ExitStack() as stack:
            try:
                file = stack.enter_context(self._at(path).open("rb"))
            except FileNotFoundError:
                file = None
            yield file


@contextmanager
def _told(path: Path | str, rule: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "check the folder, or name a store elsewhere")
        raise StoreError(f"{path} must {rule}; got {error.strerror or error}: {advice}") from error


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _version(stat: os.stat_result) -> Version:
    return Version(f"{stat.st_dev}:{stat.st_ino}", stat.st_size, stat.st_mtime_ns)


def _sync_folder(folder: Path, sync: Callable[[int], None] = os.fsync) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    except OSError as error:
        # Some network filesystems have no such operation, because their names are durable at once.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
