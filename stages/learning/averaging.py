"""The exponential mean of a network's weights over the steps of its training."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The exponential mean of weights, and of the statistics of norms.

    At step t, counted from 0, it keeps the share min(decay, (1 + t) / (10 + t)) of itself, so that the random weights
    of the beginning are soon forgotten.

    Args:
        model: The network; its weights must stay where they are, to be read at each step.
        decay: The share that it keeps in the long run, in (0, 1).

    Attributes:
        values: The mean, by name, of all that is a floating-point number.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        floats = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        self._decay = decay
        self._live: list[Tensor] = list(floats.values())
        self.values = {name: value.clone() for name, value in floats.items()}

    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        decay = min(self._decay, (1 + step) / (10 + step))
        into = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        into(tuple(self.values.values()), tuple(self._live), 0)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the network have the mean in place of its own weights."""
        own = [value.clone() for value in self._live]
        self._give(self.values.values())
        try:
            yield
        finally:
            self._give(own)

    def give(self) -> None:
        """Give the network the mean for good."""
        self._give(self.values.values())

    @torch.no_grad()
    def _give(self, values: Iterable[Tensor]) -> None:
        for live, value in zip(self._live, values, strict=True):
            live.copy_(value)
