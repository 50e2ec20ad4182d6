"""Turns: of the processes of one machine that want the same, one does it while the others wait."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def turn(folder: Path, name: str) -> Iterator[None]:
    """Wait until no other process of this machine is in a turn of this name. It ends with its process, killed or not.

    It only saves work: where there are no locks, or the folder cannot be written, nobody waits.

    Args:
        folder: Where the turns are known by files, which stay; made if needed.
        name: The file's.
    """
    with ExitStack() as held:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
