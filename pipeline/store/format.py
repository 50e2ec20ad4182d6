"""The format of a store, which `store.json` says: no version of the program touches what it does not know."""

import json
from collections.abc import Iterable

from pipeline.errors import StoreError
from pipeline.store.damage import Damages
from pipeline.store.manifest import Manifest
from pipeline.store.places import Files
from pipeline.store.records import seal

FORMAT_PATH = "store.json"
FORMAT = seal({"format": 1})


def check_format(files: Files) -> None:
    """Check that a store is of this format, or none at all; damage does not make it another.

    Raises:
        StoreError: It is of another format.
    """
    content = files.read(FORMAT_PATH)
    if content is None or content.data == FORMAT:
        return
    if _is_another(content.data) or not _has_results_of_ours(files):
        raise StoreError(
            f"{files.root}/{FORMAT_PATH} must be {FORMAT.decode()}; got {content.data[:200]!r}:"
            " if another version of the program made this store name another one, else delete the file"
        )


def is_store(files: Files) -> bool:
    """Return whether files are those of a store: they say so, or, where that was deleted, results of ours do."""
    return files.stat(FORMAT_PATH) is not None or _any_of_ours(files, files.names("manifests"))


def write_format(files: Files, damages: Damages) -> None:
    """Write the format of a store, unless it is there; one that is damaged is set aside. That is told, as is a loss.

    Raises:
        StoreError: The store is of another format, or cannot be written.
    """
    check_format(files)
    content = files.read(FORMAT_PATH)
    if content is not None and content.data != FORMAT:
        damages.put_aside(files, FORMAT_PATH, "is damaged", content.version)
    has_results = content is None and _any_of_ours(files, files.names("manifests"))
    if content is None or content.data != FORMAT:
        receipt = files.publish([FORMAT], lambda _: FORMAT_PATH)
        if has_results and receipt.won:  # else somebody else has made the store meanwhile
            damages.listener(f"{files.root}/{FORMAT_PATH} was missing; it is written again")


def _is_another(data: bytes) -> bool:
    """Return whether this is what another version of the program would write, and not ours with some bytes changed."""
    try:
        document = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and "format" in document and not document.items() & json.loads(FORMAT).items()


def _has_results_of_ours(files: Files) -> bool:
    """Return whether one of the results can be read, or there are none."""
    paths = files.names("manifests")
    return not paths or _any_of_ours(files, paths)


def _any_of_ours(files: Files, paths: Iterable[str]) -> bool:
    return any(_is_ours(files, path) for path in paths)


def _is_ours(files: Files, path: str) -> bool:
    content = files.read(path)
    try:
        return content is not None and bool(Manifest.unsealed(content.data, path))
    except ValueError:
        return False
