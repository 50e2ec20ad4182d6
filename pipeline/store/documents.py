"""The small JSON documents of a store: read whole or not at all, published and never replaced."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import StoreError
from pipeline.store.damage import Damages
from pipeline.store.places import Files

ATTEMPTS = 5
"""How often something is published again after what was in its place turned out to be damaged."""

_T = TypeVar("_T")


def _nothing() -> None:
    """Do nothing before a document gets its name."""


class Documents:
    """The documents of a store. What is damaged is set aside, and told.

    Args:
        files: Where they are.
        damages: Told of it.
    """

    def __init__(self, files: Files, damages: Damages) -> None:
        self._files = files
        self._damages = damages

    def read(self, path: str, parse: Callable[[bytes, str], _T]) -> _T | None:
        """Return a document, or None if it is not there whole.

        Args:
            path: Where it is.
            parse: Returns it, given its bytes and its path; raises ValueError if they are damaged.
        """
        content = self._files.read(path)
        if content is None:
            return None
        try:
            return parse(content.data, path)
        except ValueError as error:
            self._damages.put_aside(self._files, path, f"is damaged: {error}", content.version)
            return None

    def publish(
        self,
        path: str,
        data: bytes,
        *,
        ours: _T,
        theirs: Callable[[], _T | None],
        before: Callable[[], object] = _nothing,
    ) -> _T:
        """Publish a document, or return somebody else's that is there already.

        Args:
            path: Where it is to be.
            data: Its bytes.
            ours: What they stand for.
            theirs: Returns what is there already, if that is whole, and has it set aside if not.
            before: Called when all is written but the name.

        Raises:
            StoreError: It cannot be written, or what is written does not stay.
        """

        def place(_: str) -> str:
            before()
            return path

        for _ in range(ATTEMPTS):
            if self._files.publish([data], place).won:
                return ours
            found = theirs()
            if found is not None:
                return found
        raise unstable(self._files, path)


def unstable(files: Files, path: str) -> StoreError:
    """Return the error for what is damaged again and again."""
    where = f"{files.root}/{path}"
    return StoreError(f"{where} must stay as written; got damaged {ATTEMPTS} times: check the disk")
