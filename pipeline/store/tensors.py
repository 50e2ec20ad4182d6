"""Arrays as bytes of the safetensors format, and back without a copy.

The format: 8 bytes with the length of the header, little-endian; the header, JSON that gives each tensor's
dtype, shape and place; the tensors, little-endian in C order, without gaps. What is written here is
canonical: equal arrays have equal bytes.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StoreError
from pipeline.recipe import canonical
from pipeline.stage import Arrays, Json

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_ALIGNMENT = 64
_CHUNK = 1 << 20


class TensorBytes:
    """The safetensors bytes of arrays, in pieces: big arrays are never in memory twice.

    Args:
        arrays: Arrays by name, of any strides and byte order.

    Raises:
        StoreError: Something is not an array or has a dtype the format lacks; the message lists all faults.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._check(arrays)
        # The widest come first, so that each is aligned to its own width.
        self._arrays = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header()
        for _, array in self._arrays:
            if array.size:
                yield from _chunks(array)

    def _header(self) -> bytes:
        entries = {}
        start = 0
        for name, array in self._arrays:
            end = start + array.nbytes
            code = _CODES[array.dtype.newbyteorder("<")]
            entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
            start = end
        text = canonical(entries)
        # The format allows spaces after the header; with these the first tensor starts on a cache line.
        text += b" " * (-(8 + len(text)) % _ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    @staticmethod
    def _check(arrays: Arrays) -> None:
        faults = []
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                faults.append(f"array {name!r} must be a numpy array; got {type(array).__name__}")
            elif array.dtype.newbyteorder("<") not in _CODES:
                known = ", ".join(str(dtype) for dtype in _CODES)
                faults.append(f"array {name!r} must have one of the dtypes {known}; got {array.dtype}")
            if name == "__metadata__":
                faults.append("the name of an array must not be '__metadata__', which safetensors keeps for itself")
        if faults:
            raise StoreError("\n".join(faults))


def _chunks(array: NDArray[Any]) -> Iterator[memoryview]:
    """Yield an array's elements, little-endian in C order, as a view if they lie so, else piece by piece."""
    dtype = array.dtype.newbyteorder("<")
    if array.flags.c_contiguous and array.dtype == dtype:
        yield array.reshape(-1).data.cast("B")
        return
    for start in range(0, array.size, _CHUNK):
        yield array.flat[start : start + _CHUNK].astype(dtype).data.cast("B")


class MappedArrays(Mapping[str, "NDArray[Any]"]):
    """Arrays by name out of safetensors bytes: read-only, without a copy, opened on first use.

    Args:
        source: Returns the bytes; called once, when something about the arrays is asked for the first time.

    Raises:
        StoreError: On first use, if the bytes are not of the format.
    """

    def __init__(self, source: Callable[[], bytes | mmap]) -> None:
        self._source = source
        self._opened: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def __len__(self) -> int:
        return len(self._header)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._source!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Another process maps the bytes itself.
        return type(self), (self._source,)

    def _open(self, name: str) -> NDArray[Any]:
        entry = self._header[name]
        dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
        start = 8 + int.from_bytes(self._data[:8], "little") + entry["data_offsets"][0]
        array = np.frombuffer(self._data, dtype, math.prod(shape), start).reshape(shape)
        # Writeable would be one of no elements, and one out of a writeable buffer.
        array.flags.writeable = False
        return array

    @cached_property
    def _data(self) -> bytes | mmap:
        return self._source()

    @cached_property
    def _header(self) -> dict[str, Json]:
        return read_header(self._data)


def read_header(data: bytes | mmap) -> dict[str, Json]:
    """Return the dtype, shape and place of each tensor, by name.

    Args:
        data: A whole safetensors file.

    Raises:
        StoreError: The file is not of the format, or has a dtype that numpy lacks.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        faults = _misplaced(header, len(data) - 8 - length)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"the bytes must be safetensors; got {type(error).__name__}: {error}") from error
    if faults:
        raise StoreError(f"the bytes must be safetensors without gaps; got misplaced {', '.join(faults)}")
    return dict(header)


def _misplaced(header: Mapping[str, Json], size: int) -> list[str]:
    """Name the tensors that do not begin where the one before ends, or whose shape says another size."""
    faults = []
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = end, end + math.prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize
        if min(entry["shape"], default=0) < 0 or entry["data_offsets"] != [start, stop]:
            faults.append(name)
        end = stop
    return faults if end == size else [*faults, f"end at {end} of {size} bytes"]
