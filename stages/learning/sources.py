"""Where data sets come from, and what identifies them. A plan needs neither torch nor scikit-learn for it.

A source is named `kind:name`:

    sklearn:digits           a data set that comes with scikit-learn
    npz:PATH                 a numpy archive of x_train, y_train, x_test, y_test and perhaps class_names
    python:MODULE:FACTORY    a function without arguments that returns a mapping of the same arrays
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.learning import checks, origins
from stages.learning.checks import AnyArray
from stages.learning.errors import LearningError
from stages.learning.origins import Json
from stages.learning.split import split_holdout

__all__ = ["Identity", "Source", "identify", "load", "split_holdout", "stamp"]


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        train_images: uint8 (examples, height, width, channels), with 1 or 3 channels.
        train_labels: int64 (examples,), from 0 to the number of classes less one; every class at least twice.
        test_images: uint8, as `train_images`.
        test_labels: int64 (examples,).
        class_names: Of every class, in the order of the labels.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What planning a run needs to know of a data set.

    Attributes:
        digest: Hexadecimal SHA-256: of an archive's bytes; of a factory's name and its module's text, so not
            of files that the factory reads; of the name and version of what comes with a package.
        classes: Number of classes, where it can be told without loading the images.
        stamp: What `stamp` returns: as long as it stays the same, so does the digest.
    """

    digest: str
    classes: int | None
    stamp: Json


def load(source: str, root: str | Path, *, digest: str | None = None) -> Source:
    """Load a data set.

    Args:
        source: Its name, such as `npz:cifar.npz`.
        root: Folder that a relative path starts from.
        digest: What `identify` must return for it, so that what is loaded is what was planned.

    Returns:
        The data set, with every promise of `Source` checked.

    Raises:
        LearningError: It is not there, or not what it must be; the message lists all faults.
    """
    origin = origins.find(source, Path(root))
    if digest is not None and origin.digest() != digest:
        rule = f"be what it was when the run was planned, with the digest {digest[:12]}"
        raise LearningError(f"{source} must {rule}; got {origin.digest()[:12]}")
    raw = origin.read()
    checks.report(source, checks.faults_of(raw))
    names = raw["class_names"] if "class_names" in raw else range(checks.count_classes(raw))
    return Source(
        _with_channels(raw["x_train"]),
        raw["y_train"].astype(np.int64),
        _with_channels(raw["x_test"]),
        raw["y_test"].astype(np.int64),
        tuple(str(name) for name in names),
    )


def identify(source: str, root: str | Path) -> Identity:
    """Identify a data set without loading its images.

    Args:
        source: Its name.
        root: Folder that a relative path starts from.

    Returns:
        What tells it from all others.

    Raises:
        LearningError: There is no such data set, or it lacks an array.
    """
    origin = origins.find(source, Path(root))
    return Identity(origin.digest(), origin.count(), origin.stamp)


def stamp(source: str, root: str | Path) -> Json:
    """Return what shows, without reading it, that a data set has not changed: size and time, or a version.

    Args:
        source: Its name.
        root: Folder that a relative path starts from.

    Raises:
        LearningError: There is no such data set.
    """
    return origins.find(source, Path(root)).stamp


def _with_channels(images: AnyArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., None])
