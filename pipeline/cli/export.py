"""`export`: writes a run's student as one file for other programs, and checks it against PyTorch."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.cli.kept import KeptRun
from pipeline.cli.tables import say
from pipeline.errors import ConfigError, StoreError, did_you_mean

N_EXAMPLES = 256
"""Examples of the holdout that the file is checked on, at most."""


def export(run: KeptRun, form: str, to: Path | None, *, as_json: bool) -> None:
    """Write a student as one file, and print how far it is from PyTorch.

    Args:
        run: The run.
        form: `onnx` or `torch-export`.
        to: The file; None for one in the run's folder.
        as_json: Whether to print JSON.

    Raises:
        ConfigError: There is no such format, or packages that it needs are missing.
        StageError: There is no student, or what was written differs from it: nothing is left then.
        StoreError: The examples are not in the store, or the file cannot be written.
    """
    from stages import portable  # noqa: PLC0415  # brings torch
    from stages.inference import read_student  # noqa: PLC0415

    if form not in portable.SUFFIXES:
        known = " or ".join(portable.SUFFIXES)
        raise ConfigError(f"--format: must be {known}; got '{form}'{did_you_mean(form, portable.SUFFIXES)}")
    portable.check_packages(form)
    description, student = read_student(run.folder.path)
    images = _held_out(run)
    file = to or run.folder.path / f"student{portable.SUFFIXES[form]}"
    content = portable.written(student, description, form)
    difference = portable.largest_difference(portable.opened(form, content), student, images)
    _write(file, content)
    if as_json:
        told = {"file": str(file), "bytes": len(content), "largest_difference": difference, "examples": len(images)}
        Console().print_json(data=told)
        return
    say(f"{file}: {len(content):,} bytes")
    say(
        f"largest difference from PyTorch in logits and probabilities: {difference:.1e}, over {len(images)} examples of"
        f" the holdout (must be less than {portable.TOLERANCE:g})"
    )


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: must be writable; got {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _held_out(run: KeptRun) -> Any:
    """Return images that the student was not trained on, uint8 (images, height, width, channels)."""
    import numpy as np  # noqa: PLC0415

    dataset = run.artifact("data[train]")
    return np.asarray(dataset.arrays["images"])[np.flatnonzero(dataset.arrays["holdout"])[:N_EXAMPLES]]
