"""Trained networks as artifacts: the weights, and all that is needed to use them."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

from pipeline.stage import Artifact, Json, Work
from specialists.dustbin import folded
from stages.learning import model_files, models, views
from stages.learning.errors import LearningError, in_a_line
from stages.learning.prediction import Images, predict_logits
from stages.parameters import ModelParameters
from stages.rebuilding import rebuilding

Warn = Callable[[str], None]


class Description(TypedDict):
    """What rebuilds a network and prepares its input.

    `mean` and `std` are of each channel, of pixels scaled to [0, 1]. Where `inside` is given, so many of the outputs
    are a specialist's own, the first ones, and what is predicted of the others is their logsumexp, its dustbin. `code`
    is the digest that the text of a function's module had when the network was trained. No training gives it, or a
    comment there would be another network to all that follows: it is added to what leaves the store.
    """

    model: dict[str, Json]
    outputs: int
    channels: int
    image_size: list[int]
    mean: list[float]
    std: list[float]
    inside: NotRequired[int]
    code: NotRequired[str]


def describe(model: ModelParameters, *, outputs: int, dataset: Artifact) -> Description:
    """Return the description of a network for a data set."""
    height, width, channels = dataset.arrays["images"].shape[1:]
    return {
        "model": {"name": model.name} | model.model_dump(exclude={"weights"}, exclude_defaults=True),
        "outputs": outputs,
        "channels": channels,
        "image_size": [height, width],
        "mean": dataset.facts["mean"],
        "std": dataset.facts["std"],
    }


def build(description: Description, *, seed: int) -> nn.Module:
    """Return the network with its initial weights, drawn from the seed alone.

    Raises:
        LearningError: There is no such network, or the module that makes it has changed since it was trained.
    """
    if "code" in description:
        model_files.check_module(description["model"]["name"], description["code"])
    return models.build(
        **description["model"],
        classes=description["outputs"],
        channels=description["channels"],
        image_size=tuple(description["image_size"]),
        seed=seed,
    )


def initial(
    model: ModelParameters,
    *,
    dataset: Artifact,
    seed: int,
    weights: str | None = None,
    content: str | None = None,
) -> tuple[nn.Module, Description]:
    """Return a network over all classes of a data set as its training finds it.

    Args:
        model: The network.
        dataset: The training half of the data set.
        seed: Its weights are drawn from it, where no file has them.
        weights: The file that has them.
        content: The digest of that file, and of a function's code, as the run was planned with.

    Raises:
        LearningError: There is no such network, the file holds none of its weights, or it is not what was planned.
    """
    path = Path(weights) if weights else None
    found = model_files.digest(model.name, path)
    if content is not None and found != content:
        rule = f"be what it was when the run was planned, with the digest {content[:12]}"
        raise LearningError(f"model {model.name} must {rule}; got {str(found)[:12]}")
    description = describe(model, outputs=len(dataset.facts["class_names"]), dataset=dataset)
    network = build(description, seed=seed)
    if path:
        models.load_weights(network, path)
    return network, description


def check(
    *,
    dataset: Artifact,
    model: ModelParameters,
    needs_head: bool,
    weights: str | None = None,
    content: str | None = None,
    work: Work,
) -> Artifact:
    """Stage `models`: try a network that is not this project's own, before the first training takes its time.

    Args:
        dataset: The training half of the data set.
        model: The network.
        needs_head: Whether its last layer is to be changed: specialists start from it, or its logits are to be shifted.
        weights: File of weights that it starts from.
        content: Digest of that file, and of a function's code.
        work: Nothing of it is used.

    Returns:
        Facts: the number of `parameters`.

    Raises:
        LearningError: The network cannot be made, does not take the images, returns no logits, or has no last layer
            that can be changed.
    """
    network, description = initial(model, dataset=dataset, seed=work.seed, weights=weights, content=content)
    images = models.as_tensor(dataset.arrays["images"][:2])
    seen = views.normalise(images, description["mean"], description["std"])
    models.check(network, seen, description["outputs"])
    if needs_head:
        models.head_weights(network, models.state_to_arrays(network))
        models.check_head(network, seen)
    return Artifact(facts={"parameters": models.n_parameters(network)})


def to_artifact(network: nn.Module, description: Description, facts: Mapping[str, Json]) -> Artifact:
    """Return a trained network as an artifact."""
    n_parameters = models.n_parameters(network)
    return Artifact(models.state_to_arrays(network), {"network": description, "parameters": n_parameters, **facts})


def check_rebuilt(artifact: Artifact, whose: str) -> None:
    """Check that a trained network can be made again, where that takes more than this program.

    Raises:
        StageError: It cannot, such as one of a function whose module has changed; says whose it is.
    """
    if ":" in artifact.facts["network"]["model"]["name"]:
        with rebuilding(whose):
            from_artifact(artifact)


def from_artifact(artifact: Artifact) -> nn.Module:
    """Return the trained network that an artifact holds.

    Raises:
        LearningError: It cannot be made again, or has other weights now.
    """
    description = artifact.facts["network"]
    network = build(description, seed=0)
    try:
        models.arrays_to_state(network, artifact.arrays)
    except LearningError as error:
        name = description["model"]["name"]
        if ":" not in name:
            raise
        hint = f"{name} makes another network than was trained: restore what it was, or do the run again"
        raise LearningError(f"{in_a_line(error)}; {hint}") from error
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
