"""Where a store is: what reads and writes the files at a location."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Union

from pipeline.store.files import LocalFiles

if TYPE_CHECKING:
    from pipeline.store.objects import ObjectFiles

Files = Union[LocalFiles, "ObjectFiles"]
"""All reading and writing of bytes that a store does."""


def files_at(location: str) -> Files:
    """Return what reads and writes the files at a location, without touching it.

    Args:
        location: A folder, or the address of a place in an object store, such as `s3://bucket/prefix`.

    Raises:
        StoreError: The address is not one of an object store, or the package that reaches it is not installed.
    """
    if "://" not in location:
        return LocalFiles(str(Path(location).expanduser().absolute()))
    from pipeline.store.objects import ObjectFiles  # noqa: PLC0415  # a store in a folder needs none of it

    return ObjectFiles(location, LocalFiles(str(cache_folder())))


def cache_folder() -> Path:
    """Return the user's folder for copies out of object stores; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "specialist-distillation").absolute()
