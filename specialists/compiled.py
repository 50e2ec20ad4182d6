"""Decorators for loops that numba compiles to machine code.

Compiled code is kept on disk beside its module, or in numba's cache folder where that cannot be written, so
only the first call on a machine pays for the compilation.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function on its first call; it runs without Python's global lock and in strict IEEE order."""
    return cast("Function", njit(nogil=True, cache=True, error_model="numpy")(function))


def compiled_sum(function: Function) -> Function:
    """Compile a loop whose sums may be taken in vector lanes, in whatever order is fast on this machine."""
    flags = {"reassoc", "nsz"}
    return cast("Function", njit(nogil=True, cache=True, error_model="numpy", fastmath=flags)(function))


def compiled_maximum(function: Function) -> Function:
    """Compile a loop whose maximum may be taken in vector lanes; nothing in it may be NaN."""
    flags = {"nnan", "nsz"}
    return cast("Function", njit(nogil=True, cache=True, error_model="numpy", fastmath=flags)(function))
