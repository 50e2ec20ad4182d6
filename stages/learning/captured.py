"""A network whose training steps on a GPU are captured once and replayed, so that the host hardly works in a step.

A step of a small network takes the host, which launches hundreds of kernels one by one, longer than the GPU. A CUDA
graph launches all kernels of a pass at once; they are the same kernels, and compute the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from stages.learning.errors import TrainingError, first_line
from stages.learning.settings import Precision


@dataclass(frozen=True)
class Captured:
    """A network, and what replays it on batches of one shape.

    Attributes:
        model: The network.
        replayed: Does what it does, forward and backward, on images of that shape and of the layout `channels_last`.
        shape: Of these images.
    """

    model: Callable[[Tensor], Tensor]
    replayed: Callable[[Tensor], Tensor]
    shape: torch.Size

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images; those of another shape, the last of an epoch, are computed as ever."""
        return (self.replayed if images.shape == self.shape else self.model)(images)


class _Network(nn.Module):
    """A network as it is captured: capturing puts another `forward` in the place of this one, not of the network's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images."""
        logits: Tensor = self.model(images)
        return logits


def captured(model: nn.Module, images: Tensor, precision: Precision) -> Captured:
    """Capture the forward and the backward pass of a network in training.

    Args:
        model: On a GPU, in training mode; neither its weights nor its statistics change, and its weights must stay
            where they are in memory as long as the result is used.
        images: A batch, normalised, (batch, channels, height, width). Nothing else may use the GPU meanwhile.
        precision: What the network will be called in.

    Returns:
        The network, to be called as `prediction.forward_logits` does.

    Raises:
        TrainingError: It does something that no graph can hold, such as to wait for a value.
        OutOfMemoryError: A step does not fit.
    """
    buffers = {name: value.clone() for name, value in model.named_buffers()}  # those of norms, which a pass updates
    sample = images.contiguous(memory_format=torch.channels_last)
    try:
        # A cached cast would be a tensor of the graph's own memory, which others would read.
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            network = _Network(model).train()
            replayed = torch.cuda.make_graphed_callables(network, (sample,), allow_unused_input=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = first_line(error)
        rule = "hold nothing that a CUDA graph cannot, such as waiting for a value"
        raise TrainingError(f"network must {rule}; got: {reason}; cuda_graph: false trains it without") from error
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return Captured(model, cast("Callable[[Tensor], Tensor]", replayed), images.shape)
