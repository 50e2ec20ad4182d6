"""Where data sets come from, and what identifies them. A plan needs neither torch nor scikit-learn for it.

`source_names` lists the kinds of sources, `origins` finds and reads each.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.learning import checks, origins
from stages.learning.checks import AnyArray
from stages.learning.errors import LearningError
from stages.learning.origins import Half, Json, Options, vision
from stages.learning.split import split_folds, split_holdout

__all__ = ["Examples", "Identity", "Options", "fetch", "identify", "load", "split_folds", "split_holdout", "stamp"]

DEFAULT = Options()


@dataclass(frozen=True)
class Examples:
    """One half of a data set.

    Attributes:
        images: uint8 (examples, height, width, channels), with 1 or 3 channels.
        labels: int64 (examples,), from 0 to the number of classes less one; of the training half every class at
            least twice.
        class_names: Of every class, in the order of the labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What planning a run needs to know of a data set.

    Attributes:
        digest: Hexadecimal SHA-256: of the bytes of all files, and of images' names; of a factory's name and its
            module's text, so not of files that the factory reads; of the name and version of what comes with a package.
        classes: Number of classes, where it can be told without loading the images.
        stamp: What `stamp` returns: as long as it stays the same, so does the digest.
    """

    digest: str
    classes: int | None
    stamp: Json


def load(
    source: str,
    root: str | Path,
    half: Half,
    *,
    options: Options = DEFAULT,
    digest: str | None = None,
    stamp: Json = None,
) -> Examples:
    """Load one half of a data set.

    Args:
        source: Its name, such as `npz:cifar.npz`.
        root: Folder that a relative path starts from.
        half: `train` or `test`.
        options: How a folder of images becomes arrays.
        digest: What `identify` must return for it, so that what is loaded is what was planned.
        stamp: What `stamp` returned when the digest was found: where it still does, nothing is read for it again.

    Returns:
        The half, with every promise of `Examples` checked.

    Raises:
        LearningError: It is not there, or not what it must be; the message lists all faults.
    """
    origin = origins.find(source, Path(root), options)
    if digest is not None and origin.stamp != stamp and origin.digest() != digest:
        rule = f"be what it was when the run was planned, with the digest {digest[:12]}"
        raise LearningError(f"{source} must {rule}; got {origin.digest()[:12]}")
    raw = origin.read([half])
    checks.report(source, checks.faults_of(raw))
    names = raw["class_names"] if "class_names" in raw else range(checks.count_classes(raw))
    return Examples(
        _with_channels(raw[f"x_{half}"]),
        raw[f"y_{half}"].astype(np.int64),
        tuple(str(name) for name in names),
    )


def identify(source: str, root: str | Path, *, options: Options = DEFAULT) -> Identity:
    """Identify a data set without loading its images.

    Args:
        source: Its name.
        root: Folder that a relative path starts from.
        options: How a folder of images becomes arrays.

    Returns:
        What tells it from all others.

    Raises:
        LearningError: There is no such data set, or it lacks an array.
    """
    origin = origins.find(source, Path(root), options)
    return Identity(origin.digest(), origin.count(), origin.stamp)


def stamp(source: str, root: str | Path, *, options: Options = DEFAULT) -> Json:
    """Return what shows, without reading it, that a data set has not changed: sizes and times, or a version.

    Args:
        source: Its name.
        root: Folder that a relative path starts from.
        options: How a folder of images becomes arrays.

    Raises:
        LearningError: There is no such data set.
    """
    return origins.find(source, Path(root), options).stamp


def fetch(source: str, root: str | Path) -> None:
    """Download one of torchvision's sets, where files of it are missing.

    Args:
        source: Its name, `torchvision:NAME`.
        root: Folder that takes the files.

    Raises:
        LearningError: It could not be downloaded.
    """
    vision.fetch(source.removeprefix("torchvision:"), Path(root))


def _with_channels(images: AnyArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., None])
