"""Torchvision's classification sets, in the files that torchvision keeps them in."""

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.learning import files
from stages.learning.errors import LearningError
from stages.learning.origins.origin import Half, Options, Origin, Raw
from stages.learning.source_names import VISION_SETS

_DAMAGED = (
    RuntimeError,
    ValueError,
    KeyError,
    OSError,
    EOFError,
    pickle.UnpicklingError,
    AssertionError,
    TypeError,
)
"""What torchvision raises for files that are not what they must be."""


def find(name: str, root: Path, options: Options) -> Origin:  # noqa: ARG001  # all kinds have one signature
    """Return where the files of a set are; torchvision is not imported.

    Raises:
        LearningError: Some are not there; names them, and says how to get them.
    """
    absent = missing_files(name, root)
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        hint = "set data.download to true, or put them there, unpacked, as torchvision.datasets keeps them"
        raise LearningError(f"torchvision:{name} must have its files under {root}; got no {shown}; {hint}")
    paths = [root / file for file in VISION_SETS[name].files]
    return Origin(
        {"set": name, "files": [files.stamp(path) for path in paths]},
        lambda: hashlib.sha256(f"{name} {' '.join(map(files.digest, paths))}".encode()).hexdigest(),
        lambda: VISION_SETS[name].classes,
        lambda halves: _read(name, root, halves),
    )


def missing_files(name: str, root: Path) -> list[str]:
    """Return the files of a set that are not there, relative to its root."""
    return [file for file in VISION_SETS[name].files if not (root / file).is_file()]


def fetch(name: str, root: Path) -> None:
    """Download a set of which files are missing, in a process of its own: torchvision takes seconds and memory.

    Args:
        name: One of `VISION_SETS`.
        root: Folder that takes the files, made where it is missing.

    Raises:
        LearningError: It could not be downloaded.
    """
    if not missing_files(name, root):
        return
    code = "import sys; sys.path[:0] = sys.argv[3:]; from stages.learning.origins.vision import download, datasets"
    command = [sys.executable, "-c", f"{code}; download(datasets(), *sys.argv[1:3])", name, str(root), *sys.path]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603  # our own code
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise LearningError(f"torchvision:{name} must be there to download; got: {reason}")


def datasets() -> Any:
    """Return torchvision's data sets, which are imported now."""
    from torchvision import datasets  # noqa: PLC0415  # seconds of import that a plan must not pay

    return datasets


def download(library: Any, name: str, root: str) -> None:
    """Download both halves of a set.

    Args:
        library: What `datasets` returns.
        name: One of `VISION_SETS`.
        root: Folder that takes the files.
    """
    Path(root).mkdir(parents=True, exist_ok=True)
    for half in ("train", "test"):
        _open(library, name, Path(root), half, download=True)


def _open(library: Any, name: str, root: Path, half: Half, *, download: bool) -> Any:
    """Return a half as torchvision has it."""
    kind, _, variant = name.partition(":")
    options: dict[str, Any] = {"split": half} if kind in {"SVHN", "STL10"} else {"train": half == "train"}
    if variant:
        options["split"] = variant
    return getattr(library, kind)(str(root), download=download, **options)


def _read(name: str, root: Path, halves: Sequence[Half]) -> Raw:
    return read(datasets(), name, root, halves)


def read(library: Any, name: str, root: Path, halves: Sequence[Half]) -> Raw:
    """Return the arrays of the halves, and the class names.

    Args:
        library: What `datasets` returns.
        name: One of `VISION_SETS`.
        root: Folder of the files.
        halves: Which are wanted.

    Raises:
        LearningError: A file is damaged.
    """
    raw: Raw = {}
    for half in halves:
        try:
            made = _open(library, name, root, half, download=False)
        except _DAMAGED as error:
            raise LearningError(
                f"torchvision:{name} must have whole files under {root}; got: {_told(error)}"
            ) from error
        images, labels, names = _upright(name, made)
        raw |= {f"x_{half}": images, f"y_{half}": labels, "class_names": names}
    return raw


def _told(error: Exception) -> str:
    """Return what torchvision says of damage, without its advice, which is of its own options."""
    return str(error).partition(". You can")[0] or f"{type(error).__name__}, without a word of why"


def _upright(name: str, made: Any) -> tuple[Any, Any, Any]:
    """Return images with their channels last, labels from 0, and class names."""
    images = np.asarray(made.data)
    labels = np.asarray(made.targets if hasattr(made, "targets") else made.labels)
    names = [str(label) for label in getattr(made, "classes", range(VISION_SETS[name].classes))]
    if name in {"SVHN", "STL10"}:
        images = images.transpose(0, 2, 3, 1)
    if name.startswith("EMNIST"):
        images = images.transpose(0, 2, 1)  # kept as NIST wrote them, column by column
    if name == "EMNIST:letters":
        labels, names = labels - 1, names[1:]  # its class 0 is called N/A and is of no example
    return images, labels, np.array(names)
