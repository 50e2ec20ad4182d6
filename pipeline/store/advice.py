"""What the errors of a filesystem mean to somebody who has a store on it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StoreError

_ADVICE = {
    errno.ENOSPC: "free space on that filesystem, or name a store elsewhere",
    errno.EDQUOT: "free space within your quota, or name a store elsewhere",
    errno.EROFS: "mount the filesystem for writing, or name a store elsewhere",
    errno.EACCES: "change the permissions, or name a store elsewhere",
    errno.EIO: "the disk or the network failed; look at the system's log",
}


@contextmanager
def told(path: Path | str, rule: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what must hold of a path, and what to do about it.

    Raises:
        StoreError: An OSError was raised.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "check the folder, or name a store elsewhere")
        raise StoreError(f"{path} must {rule}; got {error.strerror or error}: {advice}") from error
