"""The commit protocol on a POSIX folder: a file appears whole and durable under its name, or not at all."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.advice import told
from pipeline.store.contents import Receipt
from pipeline.store.processes import temporary_name

Chunks = Iterable[bytes | memoryview]
"""The bytes of a file; taken one by one, so that they need not be in memory together."""

# What os.link raises where there are no hard links, depending on the filesystem.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}

_THREAD_BYTES = 1 << 20
"""A chunk of so many bytes is worth a thread: hashing it takes longer than starting one."""


class Commits:
    """Writes files into a folder.

    Args:
        root: The folder, absolute.
        steps: Called with its name after each step of a commit.
        write: Writes some of a buffer to a file descriptor and returns how much, as `os.write` does.
        link: Makes a hard link that replaces nothing, as `os.link` does.
        sync: Makes what a file descriptor stands for durable, as `os.fsync` does.
    """

    def __init__(
        self,
        root: Path,
        *,
        steps: Callable[[str], None],
        write: Callable[[int, memoryview], int],
        link: Callable[[Path, Path], None],
        sync: Callable[[int], None],
    ) -> None:
        self._root = root
        self._steps = steps
        self._write = write
        self._hard_link = link
        self._sync = sync
        self._durable: set[Path] = set()

    def make_root(self) -> None:
        """Make the folder itself, durably, if it is not there."""
        missing = [folder for folder in (self._root, *self._root.parents) if not folder.is_dir()]
        self.make_folder(self._root)
        for folder in missing:
            self._sync_folder(folder.parent)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, if they are not there."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self._durable.discard(folder)

    def publish(self, contents: Sequence[Chunks], path_for: Callable[[str], str]) -> list[Receipt]:
        """Publish some files, each whole or not at all, unless there is something under its path already.

        Each is durable before it gets its name, and each name before this returns.

        Args:
            contents: What each file holds.
            path_for: Returns its path, given the hexadecimal SHA-256 of its bytes; asked when all are written.

        Raises:
            StoreError: They cannot be written; of each there is all or nothing.
        """
        receipts = []
        with told(self._root, "be writable"), ExitStack() as temporaries:
            written = []
            for chunks in contents:
                temporary, descriptor = temporaries.enter_context(self.temporary())
                # Without this a crash of the machine could leave the name durable and the bytes not.
                digest, size = self._write_all(descriptor, chunks, then=self._sync)
                self._steps("synced")
                written.append((temporary, digest, size))
            for temporary, digest, size in written:
                path = path_for(digest)
                receipts.append(Receipt(path, digest, size, self.link(temporary, path)))
                self._steps("linked")
        self._steps("unlinked")
        # Also where somebody else won: what we publish next relies on their name being durable.
        with told(self._root, "be writable"):
            self._sync_names({Path(self._root, receipt.path).parent for receipt in receipts})
        self._steps("folders synced")
        return receipts

    def replace(self, path: str, data: bytes) -> None:
        """Put bytes under a path, whole or not at all, in place of what is there; not durably."""
        target = Path(self._root, path)
        with told(self._root, "be writable"), self.temporary() as (temporary, descriptor):
            self._write_all(descriptor, [data])
            self.make_folder(target.parent)
            temporary.replace(target)

    @contextmanager
    def temporary(self) -> Iterator[tuple[Path, int]]:
        """Make a file in temporary/, and delete its name whatever happens.

        Hard links and renames need no more than the same filesystem, and one folder is listed faster than
        hundreds when looking for what killed processes left.
        """
        path = Path(self._root, "temporary", temporary_name())
        self.make_folder(path.parent)
        # Unlike tempfile's 0o600, this leaves the permissions to the user's umask.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            self._steps("made")
            yield path, descriptor
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def link(self, source: Path, path: str) -> bool:
        """Give a file a second name, and return whether nobody else had taken it.

        Unlike a rename, a link never replaces what is there.
        """
        target = Path(self._root, path)
        self.make_folder(target.parent)
        try:
            self._hard_link(source, target)
        except FileExistsError:
            # Over NFS the reply may get lost, and the request sent again then finds the link it made itself.
            return _is_same(source, target)
        except OSError as error:
            if error.errno in _NO_LINKS:
                rule = "be on a filesystem with hard links"
                raise StoreError(f"{self._root} must {rule}; got {error.strerror}: name a store elsewhere") from error
            raise
        return True

    def _write_all(self, descriptor: int, chunks: Chunks, then: Callable[[int], None] | None = None) -> tuple[str, int]:
        """Write bytes, do something more with the file, and return their SHA-256 and number.

        Big chunks are hashed by a second thread meanwhile: neither hashing nor writing needs the interpreter's lock.
        """
        digest = hashlib.sha256()
        size = 0
        with ThreadPoolExecutor(1) as thread:
            hashed: Future[None] | None = None
            for chunk in chunks:
                view = memoryview(chunk).cast("B")
                if hashed is not None:
                    hashed.result()
                if len(view) >= _THREAD_BYTES:
                    hashed = thread.submit(digest.update, view)
                else:
                    digest.update(view)
                size += len(view)
                while view:
                    # A write may be short: by a signal, a nearly full disk, or more than 2 GiB at once.
                    view = view[self._write(descriptor, view) :]
                self._steps("written")
            if then is not None:
                then(descriptor)
        return digest.hexdigest(), size

    def _sync_names(self, folders: set[Path]) -> None:
        """Make the names in folders durable, and the names of these folders.

        The latter once a process, whoever made them: another process may not have come so far yet.
        """
        news = {folder for bottom in folders for folder in self._not_durable(bottom)}
        for folder in folders | {folder.parent for folder in news}:
            self._sync_folder(folder)
        self._durable |= news

    def _not_durable(self, folder: Path) -> Iterator[Path]:
        while folder != self._root and folder not in self._durable:
            yield folder
            folder = folder.parent

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        except OSError as error:
            # Some network filesystems have no such operation, because their names are durable at once.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)


def _is_same(one: Path, other: Path) -> bool:
    with suppress(FileNotFoundError):
        return one.samefile(other)
    return False
