"""Asking the memory for values before they are needed, so that a kernel computes while they come."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

_LINE = 64 * 8  # bits that come at once


def fetch(values: NDArray[Any], size: int) -> None:
    """Ask for the first values of an array that will be read soon; when interpreted, do nothing.

    Args:
        values: One-dimensional and contiguous, of any dtype.
        size: How many values, 0 to all. To ask for what is not there would be harmless, too.
    """


def _line(_typing: Any, values: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    """Emit the instruction that asks for what lies around one element, in compiled code alone."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        to_read, second_level_cache, data = number(0), number(2), number(1)
        builder.call(instruction, [address, to_read, second_level_cache, data])
        return context.get_dummy_value()

    return types.void(values, position), emit


_fetch_line: Any = intrinsic(_line)


@overload(fetch)
def _compiled_fetch(values: Any, size: Any) -> Any:  # noqa: ARG001 - its type is not needed
    """What compiled code does for `fetch`."""
    step = _LINE // values.dtype.bitwidth

    def fetch_lines(values: Any, size: Any) -> None:
        for i in range(0, size, step):
            _fetch_line(values, i)

    return fetch_lines
