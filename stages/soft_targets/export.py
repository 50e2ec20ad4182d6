"""Copies of a table that need nothing of this program to be read: plain arrays or Parquet, and a data card."""

import importlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap

from pipeline.errors import ConfigError, StoreError
from pipeline.stage import Json
from stages import tables
from stages.soft_targets.reader import SoftTargets

Form = Literal["npy", "parquet"]
BLOCK_BYTES = 8 * 2**20
"""Decoded bytes in memory at a time."""


def export(
    targets: SoftTargets,
    description: Mapping[str, Json],
    to: Path,
    form: Form = "npy",
    *,
    load: Callable[[str], Any] = importlib.import_module,
) -> None:
    """Write a table into a folder of its own, whole or not at all.

    Args:
        targets: The table.
        description: What `tables.describe` says of it; kept as `table.json`, and told in `README.md`.
        to: The folder; must not be there yet, or be empty.
        form: `npy`: `log_probs.npy` float32 (rows, outputs), `examples.npy` and `views.npy` int64 (rows,). `parquet`:
            `rows.parquet` with a row for each, of the same names without their plural.
        load: Imports a module by name.

    Raises:
        ConfigError: The folder holds something, or pyarrow is not installed.
        StoreError: The folder cannot be written.
    """
    to = to.absolute()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"{to}: must be a new or an empty folder; got one that holds something, or a file")
    write = _npy if form == "npy" else _parquet_writer(load)
    unfinished = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        unfinished.mkdir(parents=True)
        write(targets, unfinished)
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (unfinished / "table.json").write_text(text + "\n", encoding="utf-8")
        (unfinished / "README.md").write_text(data_card(description, form), encoding="utf-8")
        unfinished.replace(to)
    except OSError as error:
        raise StoreError(f"{to}: must be writable; got {error.strerror or error}: name another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def data_card(description: Mapping[str, Json], form: Form) -> str:
    """Return what somebody who finds the files must know, as Markdown.

    Args:
        description: What `tables.describe` says of the table.
        form: As in `export`.
    """
    provenance, outputs = description["provenance"], tables.output_names(description)
    facts = {
        "Teacher": description["teacher"],
        "Rows": tables.rows_told(description),
        "Outputs": f"{len(outputs)}, in the order of the columns: {', '.join(outputs)}",
        "Kept in the store as": tables.told(description["encoding"]),
        "Correction of the last output's prior": f"{description['prior_correction']:.6g}, applied in these files",
        "Statistics": ", ".join(f"mean {name} {value:.4f}" for name, value in description["statistics"].items()),
        "Run": f"{provenance['run']}, recorded {provenance['recorded']}",
        "Data": ", ".join(f"{name} {value}" for name, value in provenance["data"].items()),
        "Teachers": ", ".join(f"{name} {digest[:12]}" for name, digest in provenance["teachers"].items()),
    }
    return "\n".join(
        [
            f"# Soft targets {description['key']}",
            "",
            "Logarithms of a teacher's probabilities (natural, at temperature 1), one row for each example and view.",
            "An example's number is its position in the training half of the data, from 0; a view is one fixed",
            "augmentation of it. Rows that are not there are unknown, not zero. For a temperature T, divide by T and",
            "normalise again.",
            "",
            *(f"- {name}: {value}" for name, value in facts.items()),
            "- Licence: unknown. It follows from that of the data and of the teachers; say it here before passing on.",
            "",
            f"Read with: `{_READ[form]}`. Everything that is known of the table is in `table.json`.",
            "",
        ]
    )


_READ = {
    "npy": 'numpy.load("log_probs.npy", mmap_mode="r")`, and the same of `examples.npy` and `views.npy',
    "parquet": 'pyarrow.parquet.read_table("rows.parquet")',
}


def _npy(targets: SoftTargets, folder: Path) -> None:
    shapes = {"log_probs": (len(targets), targets.n_outputs), "examples": (len(targets),), "views": (len(targets),)}
    files = {
        name: open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float32 if len(shape) == 2 else np.int64, shape=shape
        )
        for name, shape in shapes.items()
    }
    for rows in targets.batches(_block_rows(targets)):
        block = slice(rows[0], rows[-1] + 1)
        files["log_probs"][block] = targets.log_probs(rows).numpy()
        files["examples"][block], files["views"][block] = targets.ids(rows)
    for file in files.values():
        file.flush()


def _parquet_writer(load: Callable[[str], Any]) -> Callable[[SoftTargets, Path], None]:
    try:
        arrow, parquet = load("pyarrow"), load("pyarrow.parquet")
    except ImportError as error:
        rule = "needs pyarrow: install it with `pip install pyarrow`, or export as npy"
        raise ConfigError(f"the form parquet {rule}") from error

    def write(targets: SoftTargets, folder: Path) -> None:
        width = targets.n_outputs
        columns = [
            ("example", arrow.int64()),
            ("view", arrow.int64()),
            ("log_probs", arrow.list_(arrow.float32(), width)),
        ]
        schema = arrow.schema(columns)
        with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
            for rows in targets.batches(_block_rows(targets)):
                log_probs = arrow.array(targets.log_probs(rows).numpy().reshape(-1))
                lists = arrow.FixedSizeListArray.from_arrays(log_probs, width)
                writer.write_table(
                    arrow.Table.from_arrays([*map(arrow.array, targets.ids(rows)), lists], schema=schema)
                )

    return write


def _block_rows(targets: SoftTargets) -> int:
    return max(1, BLOCK_BYTES // (4 * targets.n_outputs))
