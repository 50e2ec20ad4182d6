"""Python functions that a config names as `module:function`: found without being imported, then called."""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, cast

from stages.learning.errors import LearningError, did_you_mean


def module_file(module: str) -> Path:
    """Return the file of a module, without importing it or the packages around it.

    Args:
        module: Its dotted name.

    Raises:
        LearningError: There is no such module on Python's path.
    """
    spec = _spec(module)
    if spec is None or spec.origin is None:
        folders = list(dict.fromkeys(str(Path(folder).absolute()) for folder in sys.path))
        where = ", ".join(folders[:3])
        raise LearningError(f"module {module} must be one that Python can import; got none in {where}, ...")
    return Path(spec.origin)


def function(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a module, which is imported now.

    Raises:
        LearningError: There is no such module, it cannot be imported, or it has no such function.
    """
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises is a fault of that module, told by its name
        if isinstance(error, ModuleNotFoundError):
            module_file(module)  # says where it was looked for, unless the module is there and lacks another
        got = f"{type(error).__name__}: {error}"
        raise LearningError(f"module {module} must be one that Python can import; got {got}") from error
    found = getattr(loaded, name, None)
    if not callable(found):
        raise LearningError(f"module {module} must have a function {name}; got none{did_you_mean(name, vars(loaded))}")
    return cast("Callable[..., Any]", found)


def _spec(module: str) -> ModuleSpec | None:
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
