"""Data sets of image files, a folder for each class, as torchvision's ImageFolder reads them.

    PATH/train/cat/1.jpg, PATH/test/cat/7.jpg, ...     two halves
    PATH/cat/1.jpg, ...                                one tree, of which `test` says the share that is tested

Classes are numbered in the order of their names. Hidden files are left out; whatever else is no image is a fault.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.learning import checks, files
from stages.learning.errors import LearningError
from stages.learning.origins.decode import broken, decode, headers_of, in_threads
from stages.learning.origins.origin import HALVES, Half, Options, Origin, Raw
from stages.learning.origins.tree import File, Tree, scan
from stages.learning.pictures import Header
from stages.learning.split import split_by_name

LOOKED_AT = 10_000
"""Of so many files at most the pictures are looked at, seconds of work, where the listing alone shows a fault."""


def find(name: str, root: Path, options: Options) -> Origin:
    """Return where a folder of images is; it is listed, and no file opened unless the listing shows a fault.

    Raises:
        LearningError: It is not there, or names show that it is not what it must be; the message lists the faults of
            its files too.
    """
    base = (root / name).absolute()
    if not base.is_dir():
        if base.exists():
            raise LearningError(f"folder:{name} must be a folder; got a file at {base}")
        hint = files.nearest(base, name, Path.is_dir)
        raise LearningError(f"folder:{name} must be a folder; got none at {base}{hint}")
    tree = scan(base)
    faults = tree.faults + _share_faults(tree, options.test, name, base)
    if faults:
        checks.report(f"folder:{name}", faults + (_file_faults(tree, options) if len(tree.files) <= LOOKED_AT else []))
    listing = [(os.fsdecode(file.name), file.size, file.mtime_ns) for file in tree.files]
    return Origin(
        {"path": str(base), "files": len(listing), "listing": _sha256(json.dumps(listing).encode())},
        partial(_digest, tree.files),
        lambda: len(tree.classes),
        partial(_read, f"folder:{name}", tree, options),
    )


def _share_faults(tree: Tree, test: float | None, name: str, base: Path) -> list[str]:
    """Return what is wrong with the share that is tested; a half of a set is likely not what was meant."""
    if len(tree.halves) == 2 and test is not None:
        return [f"data.test must be null where there are folders train and test; got {test}"]
    if len(tree.halves) == 1 and test is None:
        return [
            "train and test must be folders, or data.test the share of each class that is tested; got neither"
            + _whole(name, base)
        ]
    return []


def _whole(name: str, base: Path) -> str:
    """Return the folder that this is one half of, if it is."""
    is_half = base.name in HALVES and all((base.parent / half).is_dir() for half in HALVES)
    is_half = is_half and name != str(Path(name).parent)  # as `.` is, whose parent it does not name
    return f"; did you mean 'folder:{Path(name).parent}'?" if is_half else ""


def _digest(images: Sequence[File]) -> str:
    contents = in_threads(lambda image: files.digest(image.path), images)
    return _sha256(b"".join(b"%s %s\0" % (c.encode(), i.name) for c, i in zip(contents, images, strict=True)))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(source: str, tree: Tree, options: Options, halves: Sequence[Half]) -> Raw:
    """Return the arrays of the halves; the other's headers are read too, for size and colour are of the whole set.

    Raises:
        LearningError: Files are damaged or their sizes differ; the message lists the first and counts the others, those
            of the other half included.
    """
    headers, faults = headers_of(tree.files)
    faults += [] if options.size else _size_faults(headers)
    if faults or not headers:
        checks.report(source, _file_faults(tree, options))
    side = (options.size, options.size) if options.size else headers[0][1:]
    channels = 1 if all(header.is_grey for header in headers) else 3
    raw: Raw = {"class_names": np.array(tree.classes)}
    in_test = _in_test(tree, options.test)
    for half in halves:
        members = [file for file, tested in zip(tree.files, in_test, strict=True) if tested == (half == "test")]
        decoded = decode(members, side, channels, scaled=options.size is not None)
        faults += decoded.faults
        labels = np.array([tree.classes.index(file.label) for file in members])
        raw |= {f"x_{half}": decoded.images, f"y_{half}": labels}
    if faults:
        checks.report(source, _file_faults(tree, options))
    return raw


def _file_faults(tree: Tree, options: Options) -> list[str]:
    """Return all that is wrong with the files of both halves, where it is known that something is."""
    headers, faults = headers_of(tree.files)
    sizes = [] if options.size else _size_faults(headers)
    # What a header shows is found again when the file is decoded.
    return list(dict.fromkeys([*sizes, *faults, *broken(tree.files)]))


def _in_test(tree: Tree, share: float | None) -> NDArray[np.bool_]:
    """Return which files make the test half, bool (files,)."""
    if share is None:
        return np.array([file.half == "test" for file in tree.files])
    labels = np.array([tree.classes.index(file.label) for file in tree.files])
    return split_by_name(labels, share, [file.name for file in tree.files])


def _size_faults(headers: Sequence[Header]) -> list[str]:
    sizes = Counter((header.height, header.width) for header in headers)
    if len(sizes) < 2:
        return []
    common = [f"{height} x {width} ({n})" for (height, width), n in sizes.most_common(5)]
    more = f" and {len(sizes) - 5} more" if len(sizes) > 5 else ""
    rule = "have one height and width, or data.size the one that they are brought to"
    return [f"images must {rule}; got {', '.join(common)}{more}"]
