"""Trained networks as artifacts: the weights, and all that is needed to use them."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

from pipeline.stage import Artifact, Json
from specialists.dustbin import folded
from stages.learning import models
from stages.learning.prediction import Images, predict_logits
from stages.parameters import ModelParameters

Warn = Callable[[str], None]


class Description(TypedDict):
    """What rebuilds a network and prepares its input.

    `mean` and `std` are of each channel, of pixels scaled to [0, 1]. Where `inside` is given, so many of the outputs
    are a specialist's own, the first ones, and what is predicted of the others is their logsumexp, its dustbin.
    """

    model: dict[str, Json]
    outputs: int
    channels: int
    image_size: list[int]
    mean: list[float]
    std: list[float]
    inside: NotRequired[int]


def describe(model: ModelParameters, *, outputs: int, dataset: Artifact) -> Description:
    """Return the description of a network for a data set."""
    height, width, channels = dataset.arrays["images"].shape[1:]
    return {
        "model": model.model_dump(),
        "outputs": outputs,
        "channels": channels,
        "image_size": [height, width],
        "mean": dataset.facts["mean"],
        "std": dataset.facts["std"],
    }


def build(description: Description, *, seed: int) -> nn.Module:
    """Return the network with its initial weights, drawn from the seed alone."""
    return models.build(
        description["model"]["name"],
        classes=description["outputs"],
        channels=description["channels"],
        image_size=tuple(description["image_size"]),
        width=description["model"]["width"],
        seed=seed,
    )


def to_artifact(network: nn.Module, description: Description, facts: Mapping[str, Json]) -> Artifact:
    """Return a trained network as an artifact."""
    n_parameters = models.n_parameters(network)
    return Artifact(models.state_to_arrays(network), {"network": description, "parameters": n_parameters, **facts})


def from_artifact(artifact: Artifact) -> nn.Module:
    """Return the trained network that an artifact holds."""
    network = build(artifact.facts["network"], seed=0)
    models.arrays_to_state(network, artifact.arrays)
    return network


def predict(artifact: Artifact, images: Images, *, warn: Warn = warnings.warn) -> Tensor:
    """Return the logits of a trained network.

    Args:
        artifact: The network.
        images: uint8 (batch, height, width, channels), on any device.
        warn: Told what was done where the memory did not suffice.

    Returns:
        float32 (batch, outputs), or with `inside` (batch, inside + 1), on the device of the images.
    """
    return predictor(artifact, images.device, warn=warn)(images)


def predictor(artifact: Artifact, device: torch.device, *, warn: Warn = warnings.warn) -> Callable[[Images], Tensor]:
    """Return what `predict` does, as a function of the images alone: the network is built and moved once, now."""
    description = artifact.facts["network"]
    network = from_artifact(artifact).to(device)
    predict = partial(predict_logits, network, mean=description["mean"], std=description["std"], warn=warn)
    inside = description.get("inside")
    return predict if inside is None else lambda images: folded(predict(images), inside)
