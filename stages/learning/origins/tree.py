"""A folder of images as a list of files: which there are, of which class and half, and what is wrong with them.

Nothing is opened: a plan lists the files, and names, sizes and times show whether they are those of the last time.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.learning import pictures
from stages.learning.errors import did_you_mean
from stages.learning.origins.origin import HALVES


@dataclass(frozen=True)
class File:
    """An image file.

    Attributes:
        path: Where it is.
        name: Relative to the data set, with slashes, as bytes.
        half: Name of the half it is in, or empty where the folder does not say.
        label: Its class's folder.
        size: In bytes.
        mtime_ns: Its time.
    """

    path: Path
    name: bytes
    half: str
    label: str
    size: int
    mtime_ns: int

    @property
    def shown(self) -> str:
        """The name as text that can be printed, whatever its bytes."""
        return self.name.decode("utf-8", "replace")


@dataclass
class Tree:
    """What a folder holds.

    Attributes:
        halves: `train` and `test`, or the empty name alone.
        classes: Names of the folders of classes, in order; of both halves.
        files: By half, then class, then name.
        faults: What is wrong, a line each.
    """

    halves: tuple[str, ...]
    classes: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def scan(base: Path) -> Tree:
    """Return what a folder holds: classes in `train` and `test`, or classes alone."""
    tree = Tree(HALVES if any((base / half).is_dir() for half in HALVES) else ("",))
    missing = [half for half in tree.halves if not (base / half).is_dir()]
    for half in tree.halves:
        if half in missing:
            _report_missing_half(tree, base, half)
        else:
            _scan_half(tree, base, half)
    tree.classes.sort()
    if not missing:
        _check_classes(tree, base)
    return tree


def _scan_half(tree: Tree, base: Path, half: str) -> None:
    for entry in _entries(tree, base, base / half):
        if entry.is_dir():
            _scan_class(tree, base, half, entry.name)
        elif pictures.is_picture(entry.name):
            tree.faults.append(f"{_shown(base, entry.path)} must lie in the folder of its class")


def _scan_class(tree: Tree, base: Path, half: str, label: str) -> None:
    try:
        label.encode()
    except UnicodeEncodeError:
        tree.faults.append(f"{_shown(base, base / half / label)} must have a name in UTF-8")
        return
    before = len(tree.files), len(tree.faults)
    for entry in _below(tree, base, base / half / label, (_identity(base), _identity(base / half))):
        _take(tree, base, half, label, entry)
    if before == (len(tree.files), len(tree.faults)):
        tree.faults.append(f"{_shown(base, base / half / label)} must hold an image; got none that is not hidden")
    if label not in tree.classes:
        tree.classes.append(label)


def _take(tree: Tree, base: Path, half: str, label: str, entry: os.DirEntry[str]) -> None:
    where = _shown(base, entry.path)
    try:
        status = entry.stat()
    except OSError as error:
        tree.faults.append(f"{where} must be a file that is there; got: {error.strerror}")
        return
    if not stat.S_ISREG(status.st_mode):
        tree.faults.append(f"{where} must be a file; got a pipe, a socket or a device")
    elif not pictures.is_picture(entry.name):
        endings = ", ".join(pictures.ENDINGS)
        tree.faults.append(f"{where} must be an image ({endings}), or hidden; got another ending")
    else:
        name = os.fsencode(Path(entry.path).relative_to(base).as_posix())
        tree.files.append(File(Path(entry.path), name, half, label, status.st_size, status.st_mtime_ns))


def _below(tree: Tree, base: Path, folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder at any depth; a link that leads back to where it lies is a fault."""
    own = _identity(folder)
    if own in above:
        tree.faults.append(f"{_shown(base, folder)} must not lead back to a folder that it lies in")
        return
    for entry in _entries(tree, base, folder):
        if entry.is_dir():
            yield from _below(tree, base, Path(entry.path), (*above, own))
        else:
            yield entry


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(tree: Tree, base: Path, folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, in order, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        tree.faults.append(f"{_shown(base, folder)} must be a folder that can be read; got: {error.strerror}")
        return []


def _report_missing_half(tree: Tree, base: Path, half: str) -> None:
    others = [entry.name for entry in base.iterdir() if entry.is_dir() and entry.name not in HALVES]
    similar = [name for name in others if half == "test" and name in {"val", "valid", "validation", "eval"}]
    hint = f"; did you mean '{similar[0]}'?" if similar else did_you_mean(half, others)
    other = "test" if half == "train" else "train"
    tree.faults.append(f"{half} must be a folder beside {other}; got none{hint}")


def _check_classes(tree: Tree, base: Path) -> None:
    """Report classes that only the test half has, and classes of too few images; an empty folder has been reported."""
    train = Counter(file.label for file in tree.files if file.half != "test")
    for label in tree.classes:
        if label not in train and not (base / tree.halves[0] / label).is_dir():
            tree.faults.append(f"test/{label} must be a class of train; got none there{did_you_mean(label, train)}")
    needed = 2 if len(tree.halves) == 2 else 3
    why = "one is held out" if needed == 2 else "one is held out, and one tested"
    for label, n in sorted(train.items()):
        if n < needed:
            tree.faults.append(f"class {label} must have {needed} images or more, for {why}; got {n}")


def _shown(base: Path, path: str | Path) -> str:
    """Return a path relative to the data set, as text that can be printed whatever its bytes."""
    return os.fsencode(os.path.relpath(path, base)).decode("utf-8", "replace")
