"""What the networks of this project have in common."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Attributes:
        classes: Number of outputs.
        channels: Channels of the images.
        height: Of the images, in pixels.
        width: The same.
    """

    classes: int
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Options:
    """What the networks that have a choice leave to choose.

    Attributes:
        width: Channels of the first stage (`cnn`) or units of each of two layers (`mlp` without `hidden`).
        hidden: Units of each hidden layer of `mlp`.
        dropout: Share of the hidden units that a step of training leaves out (`mlp`).
        input_dropout: Share of the pixels that a step of training leaves out (`mlp`).
    """

    width: int | None = None
    hidden: tuple[int, ...] | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0


class Network(nn.Module):
    """Features and a linear head over them.

    Args:
        features: Turns float32 (batch, channels, height, width) into (batch, features).
        n_features: Number of features.
        classes: Number of outputs.
    """

    def __init__(self, features: nn.Module, n_features: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(n_features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, classes), of normalised images (batch, channels, height, width)."""
        return cast("Tensor", self.head(self.features(images)))
