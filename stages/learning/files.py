"""What identifies a file: its content, or what shows that the content is the same; and which file may be meant."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.learning.errors import file_meant


def stamp(path: Path) -> dict[str, Any]:
    """Return what shows that a file has not changed: where it is, its size and its time."""
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nearest(path: Path, name: str, is_wanted: Callable[[Path], bool]) -> str:
    """Return `"; did you mean ...?"` for a path at which nothing is, or an empty string.

    Args:
        path: Where it was looked for: the name, from a root.
        name: As it was given. One that is right from where the command runs has the wrong root.
        is_wanted: Whether what is at a path is of the right kind.
    """
    if is_wanted(Path(name)):
        return f"; did you mean {Path(name).absolute()}, with '.' as the root?"
    neighbours = path.parent.iterdir() if path.parent.is_dir() else ()
    return file_meant(path.name, [entry.name for entry in neighbours if is_wanted(entry)])
