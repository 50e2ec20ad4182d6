"""Networks, and their weights as arrays."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.learning.errors import LearningError, did_you_mean


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


def _cnn(classes: int, channels: int, image_size: Sequence[int], width: int) -> Network:
    """Return three stages of convolution, batch norm and ReLU, then the mean over the image."""
    # Without it the mean over a large image is of features that see 18 of its pixels.
    stride = 2 if min(image_size) > 48 else 1
    side = min(image_size) // stride
    layers: list[nn.Module] = []
    for n_in, n_out, step in (
        (channels, width, stride),
        (width, 2 * width, 1),
        (2 * width, 4 * width, 1),
    ):
        layers += [
            nn.Conv2d(n_in, n_out, 3, stride=step, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        ]
        if side >= 8:  # what is left of the smallest images is no less than 4 x 4
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return Network(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4 * width, classes)


def _mlp(classes: int, channels: int, image_size: Sequence[int], width: int) -> Network:
    """Return two hidden layers with ReLU."""
    n_pixels = channels * image_size[0] * image_size[1]
    layers = [
        nn.Flatten(),
        nn.Linear(n_pixels, width),
        nn.ReLU(),
        nn.Identity(),  # kept networks have the next layer's weights as features.4
        nn.Linear(width, width),
    ]
    return Network(nn.Sequential(*layers, nn.ReLU()), width, classes)


MODELS: dict[str, Callable[[int, int, Sequence[int], int], Network]] = {"cnn": _cnn, "mlp": _mlp}
"""Networks by name."""


def build(  # what a network is, option by option
    name: str,
    *,
    classes: int,
    channels: int,
    image_size: Sequence[int],
    width: int,
    seed: int = 0,
) -> Network:
    """Return a network with its initial weights.

    Args:
        name: One of `MODELS`.
        classes: Number of outputs.
        channels: Channels of the images.
        image_size: Their height and width, in pixels.
        width: Channels of the first stage (`cnn`, which doubles them twice) or units of each layer (`mlp`).
        seed: The weights come from it alone; the generators of torch are left as they were.

    Returns:
        A network on the CPU.

    Raises:
        LearningError: There is no such network.
    """
    if name not in MODELS:
        raise LearningError(f"model must be one of {', '.join(MODELS)}; got '{name}'{did_you_mean(name, MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return MODELS[name](classes, channels, image_size, width)


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
