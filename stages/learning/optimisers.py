"""What turns gradients into steps, and how large they are."""

import math

from torch import nn
from torch.optim import SGD, Optimizer

from stages.learning.settings import Settings


def make_optimiser(model: nn.Module, settings: Settings) -> Optimizer:
    """Return the optimiser of a network: weight decay for matrices, none for norms and biases."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return SGD(
        [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises in equal steps through the warm-up, then follows half a cosine that is zero after the last step.
    """
    n_warmup = int(settings.warmup * settings.n_steps)
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    done = (step - n_warmup) / (settings.n_steps - n_warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
