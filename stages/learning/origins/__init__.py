"""The places that data sets come from: each kind is found, identified and read by a module of its own."""

from collections.abc import Callable
from pathlib import Path

from stages.learning.errors import LearningError
from stages.learning.origins import archive, digits, factory, folder, vision
from stages.learning.origins.origin import HALVES, Half, Json, Options, Origin
from stages.learning.source_names import parse

__all__ = ["HALVES", "Half", "Json", "Options", "Origin", "find"]


def find(source: str, root: Path, options: Options) -> Origin:
    """Return where a data set comes from.

    Args:
        source: Its name, `kind:name`.
        root: Folder that a relative path starts from.
        options: How a folder of images becomes arrays.

    Raises:
        LearningError: There is no such data set, or it cannot be read.
    """
    try:
        kind, name = parse(source)
    except ValueError as error:
        raise LearningError(f"source {error}") from error
    try:
        return _FINDERS[kind](name, root, options)
    except OSError as error:
        raise LearningError(f"{source} must be readable; got {error.strerror} at {error.filename}") from error


_FINDERS: dict[str, Callable[[str, Path, Options], Origin]] = {
    "sklearn": digits.find,
    "torchvision": vision.find,
    "folder": folder.find,
    "npz": archive.find,
    "python": factory.find,
}
