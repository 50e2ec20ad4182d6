"""Networks by name, and their weights as arrays."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from stages.learning.errors import LearningError
from stages.learning.model_names import RESNETS, WIDE_RESNETS, parse
from stages.learning.models import library, residual, small
from stages.learning.models.arrays import arrays_to_state, as_tensor, n_parameters, state_to_arrays
from stages.learning.models.heads import check, check_head, find_head, head_of, head_weights, shift_logits
from stages.learning.models.network import Options, Task
from stages.learning.models.pretrained import load_weights

__all__ = [
    "MODELS",
    "arrays_to_state",
    "as_tensor",
    "build",
    "check",
    "check_head",
    "find_head",
    "head_of",
    "head_weights",
    "load_weights",
    "n_parameters",
    "shift_logits",
    "state_to_arrays",
]

MODELS: dict[str, Callable[[Task, Options], nn.Module]] = {
    "cnn": small.cnn,
    "mlp": small.mlp,
    **{name: partial(lambda task, _, size: residual.resnet(task, *size), size=size) for name, size in RESNETS.items()},
    **{
        name: partial(lambda task, _, size: residual.wide_resnet(task, *size), size=size)
        for name, size in WIDE_RESNETS.items()
    },
}
"""The networks of this project by name."""


def build(  # what a network is, option by option
    name: str,
    *,
    classes: int,
    channels: int,
    image_size: Sequence[int],
    width: int | None = None,
    hidden: Sequence[int] | None = None,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """Return a network with its initial weights.

    Args:
        name: As `model_names` lists them: one of `MODELS`, of a library, or a function's.
        classes: Number of outputs.
        channels: Channels of the images.
        image_size: Their height and width, in pixels.
        width: Channels of the first stage (`cnn`, which doubles them twice) or units of each of two layers (`mlp`).
        hidden: Units of each hidden layer (`mlp`).
        dropout: Share of the hidden units that a step of training leaves out (`mlp`).
        input_dropout: Share of the pixels that a step of training leaves out (`mlp`).
        seed: The weights come from it alone; the generators of torch are left as they were.

    Returns:
        A network on the CPU.

    Raises:
        LearningError: There is no such network, or it cannot be made for such images.
    """
    try:
        origin, inner = parse(name)
    except ValueError as error:
        raise LearningError(f"model {error}") from error
    task = Task(classes, channels, *image_size)
    options = Options(width, tuple(hidden) if hidden else None, dropout, input_dropout)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return MODELS[inner](task, options) if origin == "own" else library.made(origin, inner, task)
