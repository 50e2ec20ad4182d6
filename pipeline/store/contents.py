"""What the files of a store are told apart by, wherever they are."""

import mmap
from typing import NamedTuple


class Version(NamedTuple):
    """What tells one file from another one under the same path, and from itself after a change.

    Attributes:
        identity: Device and inode of a local file, the entity tag of an object.
        bytes: Its size.
        modified: When it was last written, in nanoseconds since 1970 by the clock of where it is.
    """

    identity: str
    bytes: int
    modified: int


class Content(NamedTuple):
    """What a file holds, and which file it was."""

    data: bytes
    version: Version


class View(NamedTuple):
    """What a file holds, mapped into memory, and which file it was."""

    data: bytes | mmap.mmap
    version: Version


class Digest(NamedTuple):
    """The hexadecimal SHA-256 of a file, and which file it was."""

    sha256: str
    version: Version


class Receipt(NamedTuple):
    """What was published, or would have been: `won` is false if the path was there already."""

    path: str
    sha256: str
    bytes: int
    won: bool
