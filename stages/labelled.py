"""Another labelled data set, brought to the classes and the pixels of a trained network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, did_you_mean
from pipeline.stage import Artifact
from stages.learning import checks, origins, pictures
from stages.learning.errors import LearningError
from stages.learning.origins import HALVES, Half, Options
from stages.learning.origins.decode import decode
from stages.learning.origins.tree import EXTENSIONS, File

Arrays = Mapping[str, NDArray[Any]]
Part = Literal["train", "test", "all"]


@dataclass(frozen=True)
class Wanted:
    """What a network takes.

    Attributes:
        class_names: Its classes, in the order of its outputs.
        image_size: Height and width.
        channels: 1 or 3.
    """

    class_names: Sequence[str]
    image_size: tuple[int, int]
    channels: int


def load(source: str, root: Path, part: Part | None, wanted: Wanted) -> Artifact:
    """Load a part of a data set as stage `data` would load the test half.

    Args:
        source: As a config names it, such as `folder:photos`. An archive, or what a function returns, may lack the
            arrays of the other half.
        root: Folder that a relative path starts from.
        part: Which part; None for the test half, or for all of a folder that has no halves. Of a folder that has one
            half alone, that one or all.
        wanted: The classes are matched by name, in whatever order; images are scaled and converted.

    Returns:
        Arrays `images` uint8 (examples, height, width, channels) and `labels` int64 (examples,), class ids of the
        network. Facts: `class_names` and `test`, the number of examples.

    Raises:
        ConfigError: It has classes that the network does not know, or is not what it must be; lists all faults, by the
            option that names it.
    """
    try:
        halves, raw = _read(source, root, part, wanted)
        images = np.concatenate([_pixels(raw[f"x_{half}"], wanted) for half in halves])
    except LearningError as error:
        raise ConfigError(f"--data: {error}") from error
    except OSError as error:
        raise ConfigError(f"--data: {source} must be readable; got {error.strerror} at {error.filename}") from error
    labels = np.concatenate([raw[f"y_{half}"] for half in halves])
    ids = _class_ids(source, raw, labels, wanted.class_names)
    return Artifact({"images": images, "labels": ids}, {"class_names": list(wanted.class_names), "test": len(ids)})


def _read(source: str, root: Path, part: Part | None, wanted: Wanted) -> tuple[Sequence[str], Arrays]:
    """Return which parts there are, and their arrays by the names that a data set's have."""
    folder = root / source.removeprefix("folder:")
    there = [half for half in HALVES if (folder / half).is_dir()]
    if not source.startswith("folder:") or not folder.is_dir() or len(there) == len(HALVES):
        halves: Sequence[Half] = HALVES if part == "all" else [part or "test"]
        height, width = wanted.image_size
        options = Options(height if height == width else None, needed=halves)
        raw = origins.find(source, root, options).read(halves)
        checks.report(source, [fault for half in halves for fault in checks.half_faults(raw, half)])
        return halves, raw
    if there:
        _check_alone(source, folder, there[0])
        _check_half(source, there[0], part)
    elif part not in {None, "all"}:
        raise ConfigError(f"--split: must be all for a folder without train and test; got {part}")
    return ["all"], _read_tree(source, folder.joinpath(*there), wanted)


def _check_alone(source: str, folder: Path, half: Half) -> None:
    """Check that a half is not one of the classes, nor beside some: nobody could tell which was meant."""
    others = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name != half
    )
    if others:
        rule = "have train/ and test/, one of them alone, or a folder for each class, of which none is called so"
        raise ConfigError(f"--data: {source} must {rule}; got {half}/ beside {', '.join(others[:3])}")


def _check_half(source: str, half: Half, part: Part | None) -> None:
    """Check that the half which a folder has is the one that is asked for: to train on, it would need both."""
    if (part or "test") not in {half, "all"}:
        got = part or "nothing, which means test"
        raise ConfigError(f"--split: must be {half} or all for {source}, which has {half}/ alone; got {got}")


def _read_tree(source: str, folder: Path, wanted: Wanted) -> Arrays:
    """Return the images of a folder that has one for each class; unlike one to train on, a class may have but one."""
    files = [
        File(path, str(path.relative_to(folder)).encode(), "", path.relative_to(folder).parts[0], 0, 0)
        for path in sorted(folder.glob("[!.]*/**/*"))
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    ]
    if not files:
        raise LearningError(f"{source} must hold a folder of images for each class; got no image in a folder")
    names = sorted({file.label for file in files})
    decoded = decode(files, wanted.image_size, wanted.channels, scaled=True)
    checks.report(source, decoded.faults)
    labels = np.array([names.index(file.label) for file in files])
    return {"x_all": decoded.images, "y_all": labels, "class_names": np.array(names)}


def _pixels(images: NDArray[Any], wanted: Wanted) -> NDArray[np.uint8]:
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[1:] == (*wanted.image_size, wanted.channels):
        return images
    return np.stack([pictures.array_pixels(image, wanted.image_size, wanted.channels) for image in images])


def _class_ids(source: str, raw: Arrays, labels: NDArray[Any], known: Sequence[str]) -> NDArray[np.int64]:
    """Return the ids that the network has for the classes of labels."""
    present = np.unique(labels)
    names = {int(c): str(raw["class_names"][c] if "class_names" in raw else c) for c in present}
    strange = [name for name in names.values() if name not in known]
    if strange:
        shown = ", ".join(repr(name) for name in strange[:5]) + (f" and {len(strange) - 5} more" * (len(strange) > 5))
        hint = did_you_mean(strange[0], known)
        raise ConfigError(f"--data: classes of {source} must be among those of the run; got {shown}{hint}")
    ids = np.array([known.index(names[int(c)]) for c in present], dtype=np.int64)
    return ids[np.searchsorted(present, labels)]
