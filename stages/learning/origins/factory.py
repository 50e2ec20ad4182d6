"""Data sets that a function makes."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.learning import checks, code, files
from stages.learning.errors import LearningError
from stages.learning.origins.origin import Half, Options, Origin, Raw


def find(name: str, root: Path, options: Options) -> Origin:  # noqa: ARG001  # all kinds have one signature
    """Return where a function's module is; it is not imported.

    Raises:
        LearningError: There is no such module.
    """
    module, _, factory = name.partition(":")
    path = code.module_file(module)
    return Origin(
        files.stamp(path) | {"factory": factory},
        # A module may have several factories, so the digest holds the name.
        lambda: hashlib.sha256(f"{module}:{factory} {files.digest(path)}".encode()).hexdigest(),
        lambda: None,
        lambda _: _read(module, factory, options.needed),
    )


def _read(module: str, factory: str, needed: Sequence[Half]) -> Raw:
    """Return what a factory makes, as arrays, those of the needed halves at least."""
    make = code.function(module, factory)
    try:
        made = make()
    except Exception as error:  # whatever a user's function raises is a fault of that function, told by its name
        got = f"{type(error).__name__}: {error}"
        raise LearningError(f"{module}:{factory} must return a mapping of arrays; got {got}") from error
    if not isinstance(made, Mapping):
        raise LearningError(f"{module}:{factory} must return a mapping of arrays; got {type(made).__name__}")
    raw: Raw = {}
    faults = checks.missing(list(made), needed)
    for member in (member for member in checks.REQUIRED + checks.OPTIONAL if member in made):
        try:
            raw[member] = np.asarray(made[member])
        except ValueError as error:
            faults.append(f"{member} must be an array or what makes one; got: {error}")
    if faults:
        checks.report(f"{module}:{factory}", faults + checks.faults_of(raw))
    return raw
