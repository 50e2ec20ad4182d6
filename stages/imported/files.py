"""Somebody's files: logits as rows, and which example and view each is of. Read block by block, never as a whole."""

import errno
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.imported import parquet
from stages.imported.meanings import Meaning
from stages.imported.parquet import Ids, block_rows


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        path: The file, for messages.
        numbers: The `.npy` file with them, float16, float32 or float64 (rows, columns).
        meaning: What the numbers are.
        examples: Of each row the example's id, int64 (rows,); None where row i is of example i.
        views: Of each row its view, int64 (rows,); None where a row is of the example whatever the view.
    """

    path: Path
    numbers: Path
    meaning: Meaning
    examples: Ids | None
    views: Ids | None

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns."""
        n_rows, n_columns = self._mapped.shape
        return n_rows, n_columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        dtype: np.dtype[Any] = self._mapped.dtype
        return dtype

    def block(self, rows: slice) -> NDArray[np.floating[Any]]:
        """Return rows that follow each other, in memory, float32 or float64 (n, columns)."""
        return np.array(self._mapped[rows], dtype=self._wide)

    def gathered(self, rows: Ids) -> NDArray[np.floating[Any]]:
        """Return rows from all over the file, in memory, float32 or float64 (n, columns)."""
        mapped = self._mapped
        if not mapped.flags.c_contiguous:
            return np.array(mapped[rows], dtype=self._wide)
        # Read, not mapped: with each page that is touched many more are mapped, and count as this process's memory.
        found = np.empty((len(rows), mapped.shape[1]), dtype=mapped.dtype)
        start, size = mapped.offset, mapped.strides[0]
        with self.numbers.open("rb", buffering=0) as file:
            for row, target in zip(rows.tolist(), found, strict=True):
                if os.preadv(file.fileno(), [target], start + row * size) != size:
                    raise OSError(errno.EIO, f"row {row} cannot be read", str(self.numbers))
        return found.astype(self._wide, copy=False)

    def blocks(self) -> Iterator[slice]:
        """Yield the rows in their order, as many at a time as a block has room for."""
        n_rows, width = self.shape
        size = block_rows(width)
        yield from (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))

    @property
    def _wide(self) -> type[np.floating[Any]]:
        return np.float64 if self.dtype.itemsize == 8 else np.float32

    @property
    def _mapped(self) -> "np.memmap[Any, Any]":
        # Anew each time: pages that stay mapped count as this process's memory.
        return cast("np.memmap[Any, Any]", np.load(self.numbers, mmap_mode="r"))


@contextmanager
def opened(
    path: Path,
    meaning: Meaning | None = None,
    *,
    examples: Path | None = None,
    views: Path | None = None,
    load: Callable[[str], Any] = importlib.import_module,
) -> Iterator[Rows]:
    """Open the files of somebody's logits.

    Args:
        path: An `.npy` file (rows, columns) of float16, float32 or float64; or Parquet, with a column of lists named
            `logits`, `log_probs` or `probs`, a column `example`, and perhaps one `view`. Parquet is first copied into a
            temporary `.npy` file, since its rows can only be had in their order.
        meaning: What the numbers of an `.npy` file are; `logits` by default.
        examples: An `.npy` file with the example's id of each row, integers.
        views: An `.npy` file with the view of each row, integers.
        load: Imports a module by name.

    Raises:
        ConfigError: A file cannot be read or holds something else; lists all faults.
    """
    if _is_parquet(path):
        options = {"--values": meaning, "--examples": examples, "--views": views}
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise ConfigError(
                f"{path}: must come without {', '.join(given)}: columns of Parquet say that by their names"
            )
        with TemporaryDirectory() as folder:
            copied = parquet.copied(path, Path(folder), load)
            yield Rows(path, *copied)
        return
    yield _from_npy(path, meaning or "logits", examples, views)


def _from_npy(path: Path, meaning: Meaning, examples: Path | None, views: Path | None) -> Rows:
    faults: list[str] = []
    numbers = _read(path, _NUMBERS, faults)
    ids = [None if file is None else _read(file, _IDS, faults) for file in (examples, views)]
    faults += [
        f"{file}: must have a number for each of the {len(numbers)} rows; got {len(found)}"
        for file, found in zip((examples, views), ids, strict=True)
        if numbers is not None and found is not None and len(found) != len(numbers)
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return Rows(path, path, meaning, *(None if found is None else found.astype(np.int64) for found in ids))


class _Kind(NamedTuple):
    """What an array must be.

    Attributes:
        words: The same for people.
        n_dimensions: How many it has.
        dtypes: Their kinds and bytes.
    """

    words: str
    n_dimensions: int
    dtypes: frozenset[str]


_NUMBERS = _Kind("float16, float32 or float64 (rows, columns)", 2, frozenset({"f2", "f4", "f8"}))
_IDS = _Kind("integers (rows,)", 1, frozenset(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)))


def _read(file: Path, kind: _Kind, faults: list[str]) -> NDArray[Any] | None:
    """Return the array of a file, mapped into memory; None where it is another, which is added to the faults."""
    try:
        found: Any = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        faults.append(f"{file}: must be an .npy file; got: {error.strerror or error}")
        return None
    except (ValueError, EOFError):
        faults.append(f"{file}: must be an .npy file that numpy.save wrote, with {kind.words}; got {_what_else(file)}")
        return None
    if not isinstance(found, np.ndarray):
        faults.append(f"{file}: must hold {kind.words}; got an archive of arrays")
    elif found.ndim != kind.n_dimensions or found.dtype.str[1:] not in kind.dtypes:
        faults.append(f"{file}: must hold {kind.words}; got {found.dtype} {found.shape}")
    else:
        return found
    return None


def _what_else(file: Path) -> str:
    """Return what a file holds that numpy refuses: its own words advise to read it all the same, and run its code."""
    with file.open("rb") as opened:
        start = opened.read(6)
    if start == b"\x93NUMPY":
        return "one that was cut short, or holds Python objects"
    return f"one that begins with {start!r}" if start else "an empty file"


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False  # told when it is opened
