"""Weights from a file, as a network's start."""

import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.learning.errors import LearningError, did_you_mean
from stages.learning.models.heads import last_layer
from stages.learning.models.library import stem_of

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs keep weights in a checkpoint."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before the names of weights."""

_SHOWN = 8
"""How many faults of a file are listed; of more names that do not fit, it is said which the first ones are."""
_NAMED = 3
"""How many names are told of those that do not fit."""
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Heads that torchvision's googlenet and inception_v3 have beside the last in training; None where made without."""
_OLD_DENSE_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.[a-z_]+)$")
"""Names in torchvision's published files of densenet, from when those of modules might have a full stop."""

_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
)
"""What torch raises where a file is none of its own, or has bytes that were changed."""

Weights = dict[str, Tensor]


def load_weights(model: nn.Module, path: Path, *, whole: bool = False, of: str = "the network", hint: str = "") -> None:
    """Give a network the weights of a file. Its last layer stays as it is where the file's has another shape.

    Where the images have other channels than the file's network took, its first convolution is given the sum over
    the old channels, divided evenly among the new. What torchvision renames in its published files, or leaves out of
    them, is renamed and left out here, too.

    Args:
        model: Changed in place.
        path: A file of safetensors; or of torch.save, read without running what a pickle may hold.
        whole: Whether the file must hold all weights as they are, those of the last layer too.
        of: What the network is, in a message.
        hint: What to do where the file is of another network.

    Raises:
        LearningError: The file holds no weights, or those of another network; lists all faults and nothing is changed.
    """
    wanted = model.state_dict()
    found = _as_torchvision_reads(_read(path), wanted, model)
    if not whole:
        found = _with_own_head(found, wanted, last_layer(model))
        found = _with_own_channels(found, wanted, f"{stem_of(model)}.weight")
    # Counts that only batch norm without a momentum reads; files of old versions of torch have none.
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    spare = sorted(found.keys() - wanted.keys())  # safetensors have an order of their own
    missing = [name for name in wanted if name not in found.keys() | optional]
    if len(missing) + len(spare) > _SHOWN:
        raise LearningError(f"{path} must hold weights of {of}; got {_told_apart(missing, spare)}{hint}")
    # Names are taken for misspelt where as many are missing as there are others.
    names = spare if len(missing) == len(spare) else []
    faults = [f"{name} must be there{did_you_mean(name, names)}" for name in missing]
    faults += [f"{name} must not be there: the network has no such weights" for name in spare]
    faults += [
        f"{name} must be of the shape {tuple(wanted[name].shape)}; got {tuple(tensor.shape)}"
        for name, tensor in found.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if faults:
        more = [f"and {len(faults) - _SHOWN} more faults"] if len(faults) > _SHOWN else []
        raise LearningError("\n  ".join([f"{path} must hold weights of {of}:", *faults[:_SHOWN], *more]))
    model.load_state_dict(wanted | found)


def _told_apart(missing: Sequence[str], spare: Sequence[str]) -> str:
    """Return what a file lacks of a network's weights, and what it holds instead."""
    lacks = f"none of {_some(missing)}" if missing else ""
    holds = f"{_some(spare)}{'' if missing else ', which the network does not have'}" if spare else ""
    return ", but ".join(filter(None, (lacks, holds)))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(path: Path) -> Weights:
    """Return the tensors of a file by name."""
    try:
        state: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except OSError as error:
        raise LearningError(f"{path} must be a file that can be read; got: {error.strerror or error}") from error
    state = next((state[key] for key in WRAPPERS if isinstance(state, Mapping) and key in state), state)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LearningError(f"{path} must hold tensors by name; got {type(state).__name__}")
    return {_bare(name): tensor for name, tensor in state.items()}


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError  # noqa: PLC0415  # only who reads a file needs it
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(path)
    except SafetensorError as error:
        raise LearningError(f"{path} must be a whole file of safetensors; got {_what_else(path, error)}") from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of pickles that it may not know how to read
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        rule = "hold tensors and nothing else that torch.save wrote, or be named .safetensors and be of that format"
        raise LearningError(
            f"{path} must {rule}; got {_what_else(path, error)}: save the state_dict() of a network"
        ) from error


def _what_else(path: Path, error: Exception) -> str:
    """Return what a file holds that is refused: torch's own words advise to read it all the same, and run its code."""
    strange = re.search(r"GLOBAL (\S+)", str(error))
    if strange:
        return f"{strange[1]} in it"
    with path.open("rb") as file:
        start = file.read(8)
    return f"one that begins with {start!r}, damaged or of something else" if start else "an empty file"


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _as_torchvision_reads(found: Weights, wanted: Weights, model: nn.Module) -> Weights:
    """Return weights by the names that they have now, without heads that the network was made without."""
    left_out = {name for name in _AUXILIARY if getattr(model, name, model) is None}
    kept = {name: tensor for name, tensor in found.items() if name.partition(".")[0] not in left_out}
    return {name if name in wanted else _OLD_DENSE_LAYER.sub(r"\1\2", name): tensor for name, tensor in kept.items()}


def _with_own_head(found: Weights, wanted: Weights, head: str | None) -> Weights:
    """Return weights with the network's own last layer, where the file's is for other classes."""
    layer = {name: tensor for name, tensor in wanted.items() if name in (f"{head}.weight", f"{head}.bias")}
    fits = all(name in found and found[name].shape == tensor.shape for name, tensor in layer.items())
    return found if fits else {name: found[name] for name in found if name not in layer} | layer


def _with_own_channels(found: Weights, wanted: Weights, stem: str) -> Weights:
    """Return weights with a first convolution for the network's channels."""
    weight = found.get(stem)
    if weight is None or stem not in wanted or weight.ndim != 4 or weight.shape[1] == wanted[stem].shape[1]:
        return found
    channels = wanted[stem].shape[1]
    summed = weight.sum(dim=1, keepdim=True) / channels
    return found | {stem: summed.expand(-1, channels, -1, -1).contiguous()}
