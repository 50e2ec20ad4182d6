"""Where a training stands: all that its next step depends on, as arrays and facts and back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from stages.learning.averaging import Average
from stages.learning.errors import LearningError
from stages.learning.history import best_epoch
from stages.learning.models import arrays_to_state, as_tensor, state_to_arrays
from stages.learning.optimisers import make_optimiser
from stages.learning.settings import Settings

FORMAT = 1
"""Of a kept state; raised whenever its arrays or facts are others, or mean something else."""

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
        average: The mean of its weights, where that is what counts.
        keep_best: Whether the best epoch's weights are wanted.
        best: These, by name, once an epoch is done.
        step: Steps done.
        losses: Of each step of the epoch that is under way, scalars on the device: reading one waits for it.
        history: Of each epoch done, what is known of it.
    """

    model: nn.Module
    optimiser: Optimizer
    average: Average | None = None
    keep_best: bool = False
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    history: History = field(default_factory=list)

    @classmethod
    def begin(cls, model: nn.Module, settings: Settings) -> "State":
        """Return the state of a training before its first step."""
        average = Average(model, settings.ema) if settings.ema else None
        return cls(model, make_optimiser(model, settings), average, settings.keep == "best")

    @property
    def epoch(self) -> int:
        """The epoch under way, counted from 0."""
        return len(self.history)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Let the network have the weights that it would be returned with now, in evaluation mode."""
        self.model.eval()
        with self.average.shown() if self.average else nullcontext():
            yield

    def end_epoch(self, facts: dict[str, float]) -> None:
        """Add an epoch to the history, and keep its weights if they are the best so far; within `judged`."""
        self.history.append(facts)
        self.losses = []
        if self.keep_best and best_epoch(self.history) == len(self.history):
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    def settle(self) -> None:
        """Give the network the weights to be returned, in evaluation mode."""
        self.model.eval()
        if self.average:
            self.average.give()
        if self.best:
            self.model.load_state_dict(self.best)

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
        if self.average:
            arrays |= _under("average", _to_arrays(self.average.values))
        arrays |= _under("best", _to_arrays(self.best))
        if self.losses:
            arrays["losses"] = torch.stack(self.losses).numpy(force=True)
        facts = {"format": FORMAT, "step": self.step, "history": self.history}
        checkpoint.save(arrays, facts, position=self.step)

    def _restore(self, snapshot: Snapshot) -> None:
        kept = snapshot.facts.get("format")
        if kept != FORMAT:
            raise LearningError(f"its format must be {FORMAT}; got {kept or 'none'}")
        arrays = snapshot.arrays
        arrays_to_state(self.model, _below("model", arrays))
        _restore_optimiser(self.optimiser, _below("optimiser", arrays))
        if self.average:
            for name, array in _below("average", arrays).items():
                self.average.values[name].copy_(as_tensor(array))
        like = self.model.state_dict()
        self.best = {
            name: torch.empty_like(like[name]).copy_(as_tensor(array)) for name, array in _below("best", arrays).items()
        }
        self.step = snapshot.facts["step"]
        self.history = list(snapshot.facts["history"])
        device = next(self.model.parameters()).device
        self.losses = list(as_tensor(arrays["losses"]).to(device)) if "losses" in arrays else []


def _under(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{name}/{key}": array for key, array in arrays.items()}


def _below(name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{name}/"): arrays[key] for key in arrays if key.startswith(f"{name}/")}


def _to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return copies of tensors as arrays, in the order of C whatever their strides are."""
    return {name: np.array(value.numpy(force=True), order="C") for name, value in tensors.items()}


def _optimiser_arrays(optimiser: Optimizer) -> dict[str, NDArray[Any]]:
    """Return the state of an optimiser: what it knows of the weight of number n is named `n/...`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    named = ((f"{number}/{name}", value) for number, values in state.items() for name, value in values.items())
    return _to_arrays({name: value for name, value in named if value is not None})  # such as the momentum of none


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
