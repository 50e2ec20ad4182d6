"""The kinds of places that data sets come from: how each is found, identified and read."""

import hashlib
import importlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from stages.learning import checks
from stages.learning.checks import AnyArray
from stages.learning.errors import LearningError, did_you_mean
from stages.learning.split import split_holdout

Json = Any
Raw = dict[str, AnyArray]

SKLEARN_CLASSES = {"digits": 10}
"""Image sets that come with scikit-learn, and their number of classes."""

_ARCHIVE = "an archive that numpy.savez wrote"


@dataclass(frozen=True)
class Origin:
    """A data set that is known to be there.

    Attributes:
        stamp: What shows, without reading it, that it has not changed.
        digest: Returns the hexadecimal SHA-256 that stands for its content.
        count: Returns the number of classes where that can be told without loading the images.
        read: Returns its arrays by name, none of those in `checks.REQUIRED` missing.
    """

    stamp: Json
    digest: Callable[[], str]
    count: Callable[[], int | None]
    read: Callable[[], Raw]


def find(source: str, root: Path) -> Origin:
    """Return where a data set comes from.

    Args:
        source: Its name, `kind:name`.
        root: Folder that a relative path starts from.

    Raises:
        LearningError: There is no such data set.
    """
    kind, _, name = source.partition(":")
    if kind not in KINDS:
        rule = f"start with one of {', '.join(KINDS)}, then a colon"
        raise LearningError(f"source must {rule}; got '{source}'{did_you_mean(kind, KINDS)}")
    return KINDS[kind](name, root)


def _file_stamp(path: Path) -> dict[str, Json]:
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _sklearn(name: str, root: Path) -> Origin:  # noqa: ARG001  # all kinds have one signature
    if name not in SKLEARN_CLASSES:
        hint = did_you_mean(name, SKLEARN_CLASSES)
        raise LearningError(
            f"source must name one of {', '.join(SKLEARN_CLASSES)} after 'sklearn:'; got '{name}'{hint}"
        )
    stamp = {"name": name, "version": metadata.version("scikit-learn")}
    digest = hashlib.sha256(f"{name} {stamp['version']}".encode()).hexdigest()
    return Origin(stamp, lambda: digest, lambda: SKLEARN_CLASSES[name], _read_digits)


def _read_digits() -> Raw:
    from sklearn.datasets import load_digits  # noqa: PLC0415  # a second of import that a plan must not pay

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    test = split_holdout(labels, 0.2, seed=0)  # the split is part of the data set: no run's seed changes it
    return {
        "x_train": images[~test],
        "y_train": labels[~test],
        "x_test": images[test],
        "y_test": labels[test],
    }


def _npz(name: str, root: Path) -> Origin:
    path = (root / name).absolute()
    if not path.is_file():
        neighbours = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise LearningError(f"npz:{name} must be a file; got none at {path}{did_you_mean(path.name, neighbours)}")
    if not zipfile.is_zipfile(path):
        raise LearningError(f"npz:{name} must be {_ARCHIVE}; got something else at {path}")
    return Origin(
        _file_stamp(path),
        lambda: _file_digest(path),
        lambda: _count_npz(path),
        lambda: _read_npz(path, checks.REQUIRED + checks.OPTIONAL),
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_npz(path: Path) -> int | None:
    # Labels or names that are none give no number here; reading the data set tells why.
    found = _read_npz(path, ("y_train", "class_names"))
    return checks.count_classes(found) if checks.is_countable(found) else None


def _open_npz(path: Path) -> NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LearningError(
            f"{path.name} must be {_ARCHIVE}; got one that is damaged or has bytes before it"
        ) from error
    if not isinstance(archive, NpzFile):
        raise LearningError(f"{path.name} must be {_ARCHIVE}; got an array with an archive after it")
    return archive


def _read_npz(path: Path, wanted: tuple[str, ...]) -> Raw:
    """Return the wanted arrays of an archive that has all the arrays it must have."""
    raw: Raw = {}
    with _open_npz(path) as archive:
        faults = checks.missing(archive.files)
        for member in (member for member in wanted if member in archive.files):
            try:
                raw[member] = archive[member]
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                faults.append(f"{member} must be a whole array of plain values; got: {error}")
    if faults:
        checks.report(path.name, faults + checks.faults_of(raw))
    return raw


def _python(name: str, root: Path) -> Origin:  # noqa: ARG001  # all kinds have one signature
    module, _, factory = name.partition(":")
    if not factory.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise LearningError(f"source must read python:MODULE:FACTORY, such as python:my.data:load; got 'python:{name}'")
    spec = _find_module(module)
    if spec is None or spec.origin is None:
        folders = ", ".join(sys.path[:3])
        raise LearningError(f"module {module} must be one that Python can import; got none in {folders}, ...")
    path = Path(spec.origin)
    return Origin(
        _file_stamp(path) | {"factory": factory},
        # A module may have several factories, so the digest holds the name.
        lambda: hashlib.sha256(f"{module}:{factory} {_file_digest(path)}".encode()).hexdigest(),
        lambda: None,
        lambda: _read_python(module, factory),
    )


def _find_module(module: str) -> ModuleSpec | None:
    # importlib.util.find_spec would import the packages around a module; this walks down to it instead.
    spec: ModuleSpec | None = None
    folders: list[str] | None = None
    parts = module.split(".")
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or [])
    return spec


def _read_python(module: str, factory: str) -> Raw:
    """Return what a factory makes, as arrays."""
    loaded = importlib.import_module(module)
    make = getattr(loaded, factory, None)
    if not callable(make):
        hint = did_you_mean(factory, vars(loaded))
        raise LearningError(f"module {module} must have a function {factory}; got none{hint}")
    made = make()
    if not isinstance(made, Mapping):
        raise LearningError(f"{module}:{factory} must return a mapping of arrays; got {type(made).__name__}")
    raw: Raw = {}
    faults = checks.missing(list(made))
    for member in (member for member in checks.REQUIRED + checks.OPTIONAL if member in made):
        try:
            raw[member] = np.asarray(made[member])
        except ValueError as error:
            faults.append(f"{member} must be an array or what makes one; got: {error}")
    if faults:
        checks.report(f"{module}:{factory}", faults + checks.faults_of(raw))
    return raw


KINDS: dict[str, Callable[[str, Path], Origin]] = {"sklearn": _sklearn, "npz": _npz, "python": _python}
