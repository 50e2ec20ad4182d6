"""Data sets in a numpy archive."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from stages.learning import checks, files
from stages.learning.errors import LearningError
from stages.learning.origins.origin import HALVES, Half, Options, Origin, Raw

_ARCHIVE = "an archive that numpy.savez wrote"


def find(name: str, root: Path, options: Options) -> Origin:
    """Return where an archive is.

    Raises:
        LearningError: There is none.
    """
    path = (root / name).absolute()
    if not path.is_file():
        if path.exists():
            raise LearningError(f"npz:{name} must be a file, {_ARCHIVE}; got a folder at {path}")
        hint = files.nearest(path, name, Path.is_file)
        raise LearningError(f"npz:{name} must be a file; got none at {path}{hint}")
    with path.open("rb"):  # what cannot be read would be taken for no archive
        pass
    if not zipfile.is_zipfile(path):
        raise LearningError(f"npz:{name} must be {_ARCHIVE}; got something else at {path}")
    return Origin(
        files.stamp(path),
        lambda: files.digest(path),
        lambda: _count(path),
        lambda _: _read(path, checks.REQUIRED + checks.OPTIONAL, options.needed),
    )


def _count(path: Path) -> int | None:
    # Labels or names that are none give no number here; reading the data set tells why.
    found = _read(path, ("y_train", "class_names"))
    return checks.count_classes(found) if checks.is_countable(found) else None


def _open(path: Path) -> NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LearningError(
            f"{path.name} must be {_ARCHIVE}; got one that is damaged or has bytes before it"
        ) from error
    if not isinstance(archive, NpzFile):
        raise LearningError(f"{path.name} must be {_ARCHIVE}; got an array with an archive after it")
    return archive


def _read(path: Path, wanted: Sequence[str], needed: Sequence[Half] = HALVES) -> Raw:
    """Return the wanted arrays, as far as they are there, of an archive that has those of the needed halves."""
    raw: Raw = {}
    with _open(path) as archive:
        faults = checks.missing(archive.files, needed)
        for member in (member for member in wanted if member in archive.files):
            try:
                raw[member] = archive[member]
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                # numpy's own words advise to read objects all the same, and run their code.
                got = "Python objects" if "allow_pickle" in str(error) else "damaged bytes"
                faults.append(f"{member} must be a whole array of plain values, numbers or text; got {got}")
    if faults:
        checks.report(path.name, faults + checks.faults_of(raw))
    return raw
