"""What turns gradients into steps, and how large they are."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from stages.learning.settings import Settings

ONE_CYCLE_START = 1 / 25
"""First learning rate of one cycle, as a share of the largest: what torch's OneCycleLR does unless told otherwise."""

ONE_CYCLE_END = ONE_CYCLE_START * 1e-4
"""Last learning rate of one cycle, likewise."""

ONE_CYCLE_MOMENTUM = 0.1
"""By how much the momentum of one cycle is less where the learning rate is largest."""


def make_optimiser(model: nn.Module, settings: Settings) -> Optimizer:
    """Return the optimiser of a network: weight decay for matrices, none for norms and biases.

    It is fused, one pass over each weight in place of several: on a CPU four times as fast.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimiser == "adamw":
        return AdamW(groups, lr=settings.learning_rate, betas=(settings.momentum, 0.999), fused=True)
    return SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        fused=True,
    )


def follow_schedule(optimiser: Optimizer, step: int, settings: Settings) -> None:
    """Give an optimiser the learning rate and the momentum of a step, counted from 0."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_at(step, settings)
        if settings.schedule == "one_cycle" and settings.optimiser == "adamw":
            group["betas"] = (momentum_at(step, settings), group["betas"][1])
        elif settings.schedule == "one_cycle":
            group["momentum"] = momentum_at(step, settings)


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate of a step, counted from 0.

    Cosine: it rises in equal steps through the warm-up, then follows half a cosine that is zero after the last step.
    One cycle: half a cosine from 1/25 of the largest to it, and half a cosine to 1/250,000 of it at the last step
    (Smith and Topin 2018, "Super-convergence", arXiv 1708.07120; with cosines, as torch's OneCycleLR).
    """
    if settings.schedule == "one_cycle":
        start, end = ONE_CYCLE_START * settings.learning_rate, ONE_CYCLE_END * settings.learning_rate
        return _one_cycle(step, settings, start, settings.learning_rate, end)
    n_warmup = int(settings.warmup * settings.n_steps)
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    done = (step - n_warmup) / (settings.n_steps - n_warmup)
    return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2


def momentum_at(step: int, settings: Settings) -> float:
    """Return the momentum of a step: in one cycle it falls by 0.1 while the learning rate rises, and rises again."""
    if settings.schedule == "cosine":
        return settings.momentum
    least = max(0.0, settings.momentum - ONE_CYCLE_MOMENTUM)
    return _one_cycle(step, settings, settings.momentum, least, settings.momentum)


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale the gradient of all weights together to a largest norm, where it is longer."""
    nn.utils.clip_grad_norm_(parameters, largest)


@torch.no_grad()
def constrain(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale the weights into each unit to a largest norm, where they are longer.

    Of a matrix these are its rows, of a convolution its filters. Source: Hinton et al. 2012, "Improving neural networks
    by preventing co-adaptation of feature detectors" (arXiv 1207.0580), section 2.
    """
    for parameter in parameters:
        if parameter.ndim > 1:
            parameter.renorm_(2, 0, largest)


def _one_cycle(step: int, settings: Settings, start: float, top: float, end: float) -> float:
    """Return what goes from `start` to `top` through the warm-up, and to `end` at the last step, by half cosines."""
    peak = max(0.0, settings.warmup * settings.n_steps - 1)
    if step < peak:
        return _half_cosine(start, top, step / peak)
    return _half_cosine(top, end, (step - peak) / max(settings.n_steps - 1 - peak, 1.0))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
