"""What a network is made of beside its name: the code of a function of the user's, and weights to start from.

A plan needs it, so nothing heavy is imported.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.learning import code as source
from stages.learning import files
from stages.learning.errors import LearningError, file_meant

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
    return digest_of(*digests) if digests else None


def digest_of(*sha256: str) -> str:
    """Return what `digest` does of files whose hexadecimal SHA-256 are known."""
    return hashlib.sha256(" ".join(sha256).encode()).hexdigest()


def module_of(name: str) -> str:
    """Return the module of a function's network; an empty string where it is no function's."""
    return name.split(":")[1] if name.startswith("python:") else ""


def check_module(name: str, code: str | None) -> None:
    """Check that the module of a function's network still has the text with which the network was trained.

    Args:
        name: The network's, as the config has it.
        code: What `digest` returned of it then, without weights.

    Raises:
        LearningError: It has another text, or is not there.
    """
    module, found = module_of(name), digest(name, None)
    if found != code:
        rule = f"have the text with which the network was trained, with the digest {str(code)[:12]}"
        hint = f"restore {source.module_file(module)}, or do the run again"
        raise LearningError(f"module {module} must {rule}; got {str(found)[:12]}: {hint}")


def split(weights: str) -> tuple[str, Path | None]:
    """Return a trained network, a file or a function `python:MODULE:FACTORY`, as `digest` and `stamp` take it."""
    return (weights, None) if weights.startswith("python:") else ("", Path(weights).absolute())


def _files(name: str, weights: Path | None) -> Iterator[Path]:
    if module := module_of(name):
        yield source.module_file(module)
    if weights is None:
        return
    if weights.suffix not in WEIGHTS:
        raise LearningError(f"weights must be a file that ends in one of {', '.join(WEIGHTS)}; got {weights}")
    if not weights.is_file():
        neighbours = [entry.name for entry in weights.parent.iterdir()] if weights.parent.is_dir() else []
        raise LearningError(f"weights must be a file; got none at {weights}{file_meant(weights.name, neighbours)}")
    yield weights
