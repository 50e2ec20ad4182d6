"""The weights of networks as arrays, and back."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.learning.errors import LearningError, did_you_mean


def n_parameters(model: nn.Module) -> int:
    """Return the number of weights that training changes."""
    return sum(parameter.numel() for parameter in model.parameters())


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Return an array as a tensor: sharing its memory where it may be written to, else as a copy.

    Args:
        array: Of any shape and of a type that torch has; perhaps read-only or memory-mapped.
    """
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def state_to_arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return a copy of the weights and statistics of a network, by name, each exactly as it is."""
    # The order is said because weights in channels_last would otherwise be copied with their strides.
    return {name: np.array(values.numpy(force=True), order="C") for name, values in model.state_dict().items()}


def arrays_to_state(model: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give a network the weights that `state_to_arrays` returned of one of its kind.

    Args:
        model: Changed in place.
        arrays: By name; may be read-only.

    Raises:
        LearningError: Names, shapes or types differ; the message lists all faults and nothing is changed.
    """
    faults = [*_state_faults(model.state_dict(), arrays)]
    if faults:
        raise LearningError("\n  ".join(["weights must be those of the network:", *faults]))
    model.load_state_dict({name: as_tensor(values) for name, values in arrays.items()})


def _state_faults(state: Mapping[str, Tensor], arrays: Mapping[str, NDArray[Any]]) -> Iterable[str]:
    spare = sorted(set(arrays) - set(state))
    for name, wanted in state.items():
        if name not in arrays:
            yield f"{name} must be there{did_you_mean(name, spare)}"
            continue
        expected = f"{str(wanted.dtype).removeprefix('torch.')} {tuple(wanted.shape)}"
        found = f"{arrays[name].dtype} {arrays[name].shape}"
        if found != expected:
            yield f"{name} must be {expected}; got {found}"
    yield from (f"{name} must not be there: the network has no such weights" for name in spare)
