"""Whether a file is one of weights, by what it says of itself: a plan asks, so that torch is not imported.

What its tensors are, and whether they fit the network, is seen when it is read.
"""

import json
import struct
import zipfile
from pathlib import Path

from stages.learning.errors import LearningError

_PICKLE = b"\x80"
"""How a file begins that a torch.save of before 1.6 wrote."""


def check(path: Path) -> None:
    """Check that a file is of the format that its ending names, and one of safetensors whole.

    Args:
        path: A file that ends in one of `model_files.WEIGHTS`.

    Raises:
        LearningError: It is not, or it cannot be read.
    """
    is_safetensors = path.suffix == ".safetensors"
    try:
        if _is_safetensors(path) if is_safetensors else _is_of_torch(path):
            return
        got = _what_else(path)
    except OSError as error:
        raise LearningError(f"{path} must be a file that can be read; got: {error.strerror or error}") from error
    rule = "a whole file of safetensors" if is_safetensors else "a file that torch.save wrote"
    raise LearningError(f"{path} must be {rule}; got {got}")


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins with a header of safetensors, and has as many bytes as that says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return False
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            return bool(max(ends, default=0) == size - 8 - length)
        except (ValueError, AttributeError, LookupError, TypeError):
            return False


def _is_of_torch(path: Path) -> bool:
    """Return whether a file is an archive that lists a pickle, or begins as the pickle alone that it once was."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
        except zipfile.BadZipFile:
            return False
    with path.open("rb") as file:
        return file.read(1) == _PICKLE


def _what_else(path: Path) -> str:
    """Return what a file is that is refused."""
    if path.suffix != ".safetensors" and _is_safetensors(path):
        return "safetensors; did you mean to name it .safetensors?"
    if path.suffix == ".safetensors" and _is_of_torch(path):
        return "one that torch.save wrote; did you mean to name it .pt?"
    with path.open("rb") as file:
        start = file.read(8)
    return f"one that begins with {start!r}, damaged or of something else" if start else "an empty file"
