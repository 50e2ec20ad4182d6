"""Where a training stands: all that its next step depends on, as arrays and facts and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from stages.learning.errors import LearningError
from stages.learning.models import arrays_to_state, as_tensor, state_to_arrays

Arrays = Mapping[str, NDArray[Any]]
Facts = Mapping[str, Any]
History = list[dict[str, float]]


class Snapshot(Protocol):
    """What was kept of a training."""

    @property
    def arrays(self) -> Arrays:
        """Arrays by name."""

    @property
    def facts(self) -> Facts:
        """What JSON can hold."""


class Checkpoint(Protocol):
    """Where the state of a training is kept while it goes on."""

    def load(self) -> Snapshot | None:
        """Return what was kept when the training had come furthest, or None."""

    def is_due(self) -> bool:
        """Return whether it is time to keep it again."""

    def save(self, arrays: Arrays, facts: Facts, *, position: int) -> None:
        """Keep arrays and facts, and how far the training has come."""

    def discard(self, why: str) -> None:
        """Say that what `load` returned is of no use, and why, as the end of a sentence."""


@dataclass
class State:
    """Where a training stands between two steps.

    What is not here follows from the number of the step: the learning rate, and every random draw.

    Attributes:
        model: The network.
        optimiser: Of its weights.
        step: Steps done.
        losses: Of each step of the epoch that is under way, scalars on the device: reading one waits for it.
        history: Of each epoch done, what is known of it.
    """

    model: nn.Module
    optimiser: Optimizer
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    history: History = field(default_factory=list)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from what a checkpoint holds, if it holds anything that fits."""
        snapshot = checkpoint.load()
        if snapshot is None:
            return
        try:
            self._restore(snapshot)
        except LearningError as error:
            checkpoint.discard(f"is not of this training: {error}")

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep all of it."""
        arrays = _under("model", state_to_arrays(self.model)) | _under("optimiser", _optimiser_arrays(self.optimiser))
        if self.losses:
            arrays["losses"] = torch.stack(self.losses).numpy(force=True)
        checkpoint.save(arrays, {"step": self.step, "history": self.history}, position=self.step)

    def _restore(self, snapshot: Snapshot) -> None:
        arrays_to_state(self.model, _below("model", snapshot.arrays))
        _restore_optimiser(self.optimiser, _below("optimiser", snapshot.arrays))
        self.step = snapshot.facts["step"]
        self.history = list(snapshot.facts["history"])
        device = next(self.model.parameters()).device
        self.losses = list(as_tensor(snapshot.arrays["losses"]).to(device)) if "losses" in snapshot.arrays else []


def _under(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{name}/{key}": array for key, array in arrays.items()}


def _below(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{name}/"): arrays[key] for key in arrays if key.startswith(f"{name}/")}


def _optimiser_arrays(optimiser: Optimizer) -> dict[str, NDArray[Any]]:
    """Return the state of an optimiser: what it knows of the weight of number n is named `n/...`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{number}/{name}": np.array(value.numpy(force=True), order="C")
        for number, values in state.items()
        for name, value in values.items()
        if value is not None  # such as the momentum where there is none
    }


def _restore_optimiser(optimiser: Optimizer, arrays: Arrays) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        number, _, key = name.partition("/")
        parameter = parameters[int(number)]
        value = as_tensor(array)
        if value.shape == parameter.shape:
            # Strides decide how an operation is vectorised, and with it the last bits.
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
