"""What identifies a file: its content, or, without reading it, what shows that the content is the same."""

import hashlib
from pathlib import Path
from typing import Any


def stamp(path: Path) -> dict[str, Any]:
    """Return what shows that a file has not changed: where it is, its size and its time."""
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
