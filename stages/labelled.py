"""Another labelled data set, brought to the classes and the pixels of a trained network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.counted import first_of
from pipeline.errors import ConfigError, did_you_mean
from pipeline.labels import fitted, listed_within
from pipeline.stage import Artifact
from stages.learning import checks, origins, pictures
from stages.learning.errors import LearningError
from stages.learning.origins import HALVES, Half, Options
from stages.learning.origins.decode import decode, headers_of
from stages.learning.origins.tree import File

Arrays = Mapping[str, NDArray[Any]]
Part = Literal["train", "test", "all"]
Size = tuple[int, int]
"""Height and width."""

_LETTERS, _LIST, _SHOWN = 17, 60, 5
"""Columns of a class's name, and of a list of them, in a message; and how many unknown ones one names."""


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


@dataclass(frozen=True)
class Labelled:
    """A labelled set as a network takes it, and what became of what was there.

    Attributes:
        artifact: As stage `data` makes the test half: arrays `images` uint8 (examples, height, width, channels) and
            `labels` int64 (examples,), class ids of the network; facts `class_names`, and `test`, their number.
        sizes: Height and width of every image before it was scaled.
        left_out: Files in a folder that are no images, or lie in no class's folder; relative to it.
    """

    artifact: Artifact
    sizes: Sequence[Size]
    left_out: Sequence[str]

    @property
    def lacking(self) -> list[str]:
        """The classes of the network that have no example."""
        present = set(self.artifact.arrays["labels"].tolist())
        return [name for i, name in enumerate(self.artifact.facts["class_names"]) if i not in present]


def load(source: str, root: Path, part: Part | None, wanted: Wanted) -> Labelled:
    """Load a part of a data set as stage `data` would load the test half.

    Of a folder less is asked than of one to train on: a class may have one image or none, images any size.

    Args:
        source: As a config names it, such as `folder:photos`. An archive, or what a function returns, may lack the
            arrays of the other half.
        root: Folder that a relative path starts from.
        part: Which part; None for the test half, or for all of a folder that has no halves. Of a folder that has one
            half alone, that one or all.
        wanted: The classes are matched by name, in whatever order; images are scaled and converted.

    Raises:
        ConfigError: It has classes that the network does not know, or is not what it must be; lists all faults, by the
            option that names it.
    """
    try:
        halves, raw, sizes, left_out = _read(source, root, part, wanted)
        images = np.concatenate([_pixels(raw[f"x_{half}"], wanted) for half in halves])
    except LearningError as error:
        raise ConfigError(f"--data: {error}") from error
    except OSError as error:
        raise ConfigError(f"--data: {source} must be readable; got {error.strerror} at {error.filename}") from error
    labels = np.concatenate([raw[f"y_{half}"] for half in halves])
    ids = _class_ids(source, raw, labels, wanted.class_names)
    facts = {"class_names": list(wanted.class_names), "test": len(ids)}
    return Labelled(Artifact({"images": images, "labels": ids}, facts), sizes, left_out)


_Read = tuple[Sequence[str], Arrays, Sequence[Size], Sequence[str]]
"""Which parts there are, their arrays by the names that a data set's have, the images' sizes, what was left out."""


def _read(source: str, root: Path, part: Part | None, wanted: Wanted) -> _Read:
    folder = root / source.removeprefix("folder:")
    if not source.startswith("folder:") or not folder.is_dir():
        return _read_arrays(source, root, HALVES if part == "all" else [part or "test"])
    there = [half for half in HALVES if (folder / half).is_dir()]
    if len(there) == len(HALVES):
        there = [half for half in HALVES if part in {half, "all"} or (part is None and half == "test")]
    elif there:
        _check_alone(source, folder, there[0])
        _check_half(source, there[0], part)
    elif part not in {None, "all"}:
        raise ConfigError(f"--split: must be all for a folder without train and test; got {part}")
    return _read_tree(source, folder, [folder / half for half in there] or [folder], wanted)


def _read_arrays(source: str, root: Path, halves: Sequence[Half]) -> _Read:
    raw = origins.find(source, root, Options(needed=halves)).read(halves)
    checks.report(source, [fault for half in halves for fault in checks.half_faults(raw, half)])
    sizes = [(image.shape[0], image.shape[1]) for half in halves for image in raw[f"x_{half}"]]
    return halves, raw, sizes, ()


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


def _read_tree(source: str, base: Path, folders: Sequence[Path], wanted: Wanted) -> _Read:
    """Return the images of folders within one that have a folder for each class, as one part."""
    files: list[File] = []
    left_out: list[str] = []
    for half, path in ((folder, path) for folder in folders for path in _visible(folder)):
        name, (*above, last) = str(path.relative_to(base)), path.relative_to(half).parts
        if above and pictures.is_picture(last):
            files.append(File(path, name.encode(), "", above[0], 0, 0))
        else:
            left_out.append(name)
    if not files:
        raise LearningError(f"{source} must hold a folder of images for each class; got no image in a folder")
    names = sorted({file.label for file in files})
    headers, _ = headers_of(files)  # what one shows to be at fault is found again when it is decoded
    decoded = decode(files, wanted.image_size, wanted.channels, scaled=True)
    checks.report(source, decoded.faults)
    labels = np.array([names.index(file.label) for file in files])
    raw = {"x_all": decoded.images, "y_all": labels, "class_names": np.array(names)}
    return ["all"], raw, [(header.height, header.width) for header in headers], left_out


def _visible(folder: Path) -> list[Path]:
    """Return the files in a folder and in its classes, in order, but for hidden ones and those of hidden classes."""
    found = chain(folder.iterdir(), folder.glob("[!.]*/**/*"))
    return sorted(path for path in found if path.name[0] != "." and not path.is_dir())


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
        shown = first_of([repr(name) for name in strange], _SHOWN)
        own = fitted(known, _LETTERS)
        among = listed_within([own[name] for name in known], _LIST)
        hint = did_you_mean(strange[0], known)
        if "class_names" not in raw:
            hint = "; name the classes in its class_names, in the order of their numbers"
        raise ConfigError(f"--data: classes of {source} must be among those of the run ({among}); got {shown}{hint}")
    ids = np.array([known.index(names[int(c)]) for c in present], dtype=np.int64)
    return ids[np.searchsorted(present, labels)]
