"""Parquet as an `.npy` file beside its ids: its rows can only be had in their order, a table wants them in another."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from pipeline.errors import ConfigError, did_you_mean
from stages.imported.meanings import COLUMNS, Meaning

Ids = NDArray[np.int64]
BLOCK_BYTES = 8 * 2**20
"""Decoded bytes in memory at a time."""


class Copied(NamedTuple):
    """What was in a Parquet file.

    Attributes:
        numbers: An `.npy` file of float32 or float64 (rows, columns).
        meaning: What they are.
        examples: int64 (rows,).
        views: int64 (rows,), or None.
    """

    numbers: Path
    meaning: Meaning
    examples: Ids
    views: Ids | None


def block_rows(width: int) -> int:
    """Return how many rows of so many numbers are in memory at a time."""
    return max(1, BLOCK_BYTES // (8 * max(1, width)))


def copied(path: Path, folder: Path, load: Callable[[str], Any]) -> Copied:
    """Copy a Parquet file.

    Args:
        path: The file: a column of lists of equal length named as one of `COLUMNS`, a column `example` of integers, and
            perhaps one `view`.
        folder: Where the copy is put.
        load: Imports a module by name.

    Raises:
        ConfigError: It is something else, or pyarrow is not installed; lists all faults of the columns.
    """
    try:
        arrow, reader = load("pyarrow"), load("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(f"{path}: needs pyarrow: install it with `pip install pyarrow`, or bring npy") from error
    try:
        with reader.ParquetFile(path) as file:
            schema = file.schema_arrow
            faults = list(_faults(schema, arrow))
            if faults:
                raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
            return _copied(file, folder / "numbers.npy", arrow)
    except arrow.ArrowException as error:
        raise ConfigError(
            f"{path}: must be Parquet with a list of the same length in every row; got: {error}"
        ) from error


def _faults(schema: Any, arrow: Any) -> Iterator[str]:
    numbers = [name for name in schema.names if name in COLUMNS]
    if len(numbers) != 1:
        yield f"must have one column named {' or '.join(COLUMNS)}; got {_listed(numbers)} among {_listed(schema.names)}"
    for name in numbers:
        kind = schema.field(name).type
        is_list = any(
            test(kind) for test in (arrow.types.is_list, arrow.types.is_large_list, arrow.types.is_fixed_size_list)
        )
        if not (is_list and arrow.types.is_floating(kind.value_type)):
            yield f"{name} must be a column of lists of floats; got {kind}"
    if "example" not in schema.names:
        yield f"must have a column example; got {_listed(schema.names)}{did_you_mean('example', schema.names)}"
    for name in {"example", "view"} & set(schema.names):
        if not arrow.types.is_integer(schema.field(name).type):
            yield f"{name} must be a column of integers; got {schema.field(name).type}"


def _copied(file: Any, to: Path, arrow: Any) -> Copied:
    name = next(name for name in file.schema_arrow.names if name in COLUMNS)
    ids = [column for column in ("example", "view") if column in file.schema_arrow.names]
    n_rows = file.metadata.num_rows
    width = max((len(batch.column(0)[0]) for batch in _first(file, name)), default=0)
    is_double = file.schema_arrow.field(name).type.value_type.bit_width == 64
    target = arrow.list_(arrow.float64() if is_double else arrow.float32(), width)
    numbers = open_memmap(to, mode="w+", dtype=np.float64 if is_double else np.float32, shape=(n_rows, width))
    found = {column: np.empty(n_rows, dtype=np.int64) for column in ids}
    start = 0
    for batch in file.iter_batches(block_rows(width), columns=[name, *ids]):
        rows = slice(start, start + batch.num_rows)
        # A number that is missing becomes NaN, which is refused like any other; lists must not be missing.
        values = _whole(batch.column(name), name, arrow).cast(target).flatten().to_numpy(zero_copy_only=False)
        numbers[rows] = values.reshape(-1, width)
        for column in ids:
            found[column][rows] = _whole(batch.column(column), column, arrow).to_numpy()
        start = rows.stop
    numbers.flush()
    return Copied(to, COLUMNS[name], found["example"], found.get("view"))


def _first(file: Any, name: str) -> Iterator[Any]:
    """Yield a batch of the first row, if there is one."""
    batch = next(file.iter_batches(1, columns=[name]), None)
    if batch is not None and batch.num_rows:
        yield batch


def _whole(column: Any, name: str, arrow: Any) -> Any:
    if column.null_count:
        raise arrow.ArrowInvalid(f"{name} is missing in {column.null_count} rows")
    return column


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
