"""What a network is made of beside its name: the code of a function of the user's, and weights to start from.

A plan needs it, so nothing heavy is imported.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.learning import code, files
from stages.learning.errors import LearningError, did_you_mean

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")
"""Endings of files of weights: of safetensors, and of torch.save."""


def stamp(name: str, weights: Path | None) -> Any:
    """Return what shows, without reading them, that the files of a network have not changed; None where it has none.

    Args:
        name: The network's, as the config has it.
        weights: The file that it starts from, if any.

    Raises:
        LearningError: A file is not there.
    """
    return [files.stamp(path) for path in _files(name, weights)] or None


def digest(name: str, weights: Path | None) -> str | None:
    """Return the hexadecimal SHA-256 of the files of a network; None where it has none.

    Of a function it is that of its module's text alone, not of what that module imports.

    Args:
        name: The network's, as the config has it.
        weights: The file that it starts from, if any.

    Raises:
        LearningError: A file is not there.
    """
    digests = [files.digest(path) for path in _files(name, weights)]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest() if digests else None


def split(weights: str) -> tuple[str, Path | None]:
    """Return a trained network, a file or a function `python:MODULE:FACTORY`, as `digest` and `stamp` take it."""
    return (weights, None) if weights.startswith("python:") else ("", Path(weights).absolute())


def _files(name: str, weights: Path | None) -> Iterator[Path]:
    if name.startswith("python:"):
        yield code.module_file(name.split(":")[1])
    if weights is None:
        return
    if weights.suffix not in WEIGHTS:
        raise LearningError(f"weights must be a file that ends in one of {', '.join(WEIGHTS)}; got {weights}")
    if not weights.is_file():
        neighbours = [entry.name for entry in weights.parent.iterdir()] if weights.parent.is_dir() else []
        raise LearningError(f"weights must be a file; got none at {weights}{did_you_mean(weights.name, neighbours)}")
    yield weights
