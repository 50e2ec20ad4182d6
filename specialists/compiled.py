"""Decorators for loops that numba compiles to machine code.

Only the function that Python calls is kept on disk, beside its module or in numba's cache folder where that
cannot be written; all that it calls becomes part of it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Classes = NDArray[np.unsignedinteger]  # unsigned, because a signed index is checked for being negative each time

# Nothing here makes an array, so nothing needs to count references to one: counting took a third of the time.
_KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
# Python never calls inner functions, so the code for that, which takes long to compile, is not made.
_INNER: dict[str, Any] = {**_KERNEL, "forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function that compiled functions call, in strict IEEE order."""
    return cast("Function", njit(**_INNER)(function))


def compiled_entry(function: Function) -> Function:
    """Compile a function that Python calls; it lets other threads run, and is compiled once a machine."""
    return cast("Function", njit(**_KERNEL, cache=True)(function))


def compiled_sum(function: Function) -> Function:
    """Compile a loop whose sums may be taken in vector lanes, in whatever order is fast on this machine.

    Products are taken in any order, too, in some of which very small ones may underflow. NaN and infinity stay what
    they are.
    """
    return cast("Function", njit(**_INNER, fastmath={"reassoc", "nsz"})(function))


def is_kept(entry: Callable[..., object]) -> bool:
    """Return whether the code of an entry was compiled on this machine before, so that its first call only loads it.

    What is kept may be for other precisions or of another processor, so this is for what people are told.

    Args:
        entry: Made by `compiled_entry`.
    """
    dispatcher = cast("Any", entry)
    module = Path(dispatcher.py_func.__code__.co_filename).stem
    kept = Path(dispatcher.stats.cache_path).glob(f"{module}.*{entry.__name__}-*.nbi")
    changed = max(source.stat().st_mtime for source in Path(__file__).parent.glob("*.py"))
    return any(index.stat().st_mtime >= changed for index in kept)


def sources_digest(*files: str) -> str:
    """Return a digest of source files, for an entry that calls compiled code out of several.

    Numba recompiles when the entry's own file changes, but not when another does. A value that the entry captures
    is part of the key of the kept code, so an entry that captures this digest is never out of date.

    Args:
        files: Paths of all modules whose code becomes part of the entry's; this one's is added.

    Returns:
        SHA-256, hexadecimal.
    """
    digest = hashlib.sha256()
    for file in (__file__, *files):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
