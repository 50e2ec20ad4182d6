"""Trained models in use: images in, probabilities and class names out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ConfigError, StageError
from pipeline.recipe import sha256
from pipeline.stage import Artifact, Json
from stages import network
from stages.learning import pictures, training
from stages.learning.errors import LearningError
from stages.rebuilding import rebuilding

if TYPE_CHECKING:
    from PIL.Image import Image

LEFT_BY = {"student": "a run that reached its end", "refit": "a run with refit: true that reached its end"}
"""The students that have files in a run's folder, and by which runs."""


@dataclass(frozen=True)
class Classifier:
    """A network, or several combined, that tells images of some classes apart.

    Attributes:
        class_names: The classes, in the order of the probabilities.
        image_size: Height and width of what it takes; other sizes are scaled.
        channels: 1 for grey, 3 for colour; images of the other kind are converted.
        predict: Returns the logits or log-probabilities (images, classes) of pixels (images, height, width, channels).
    """

    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    channels: int
    predict: Callable[[Tensor], Tensor] = field(repr=False)

    def probs(self, images: "Sequence[Image | NDArray[np.uint8]] | NDArray[np.uint8] | Tensor | Image") -> Tensor:
        """Return the probabilities of the classes.

        Args:
            images: A PIL image; or a sequence of PIL images and uint8 arrays, of any sizes, these (height, width) or
                (height, width, 1 or 3); or a uint8 array or tensor (images, height, width, channels); or a float tensor
                (images, channels, height, width) of values in [0, 1], of the size and channels that the networks take.

        Returns:
            float32 (images, classes), on the CPU.

        Raises:
            StageError: The images are nothing of the kind; says which.
        """
        batch = _as_batch(images, self.image_size, self.channels)
        return self.predict(batch.to(training.device())).double().softmax(dim=1).float().cpu()

    def labels(self, images: Any) -> list[str]:
        """Return the name of the most probable class of each image. Takes what `probs` takes."""
        return [self.class_names[c] for c in self.probs(images).argmax(dim=1).tolist()]

    def top(self, images: Any, k: int = 5) -> list[list[tuple[str, float]]]:
        """Return of each image the k most probable classes and their probabilities. Takes what `probs` takes."""
        values, classes = self.probs(images).topk(min(k, len(self.class_names)), dim=1)
        return [
            [(self.class_names[c], p) for c, p in zip(*row, strict=True)]
            for row in zip(classes.tolist(), values.tolist(), strict=True)
        ]


def student_in(folder: Path, name: str = "student") -> Classifier:
    """Return the student that a folder holds.

    Args:
        folder: A run's, or any that holds its `student.json` and `student.safetensors`.
        name: Which one: a key of `LEFT_BY`.

    Returns:
        The student, on a GPU where there is one.

    Raises:
        ConfigError: The folder has no such student.
        StageError: Its weights are not there, or what is there is not of a student; or its network cannot be made
            again, such as one of a function whose module has changed or is not there.
    """
    description, artifact = read_student(folder, name)
    with rebuilding(f"{name} of {folder.resolve().name}"):
        return classifier(artifact, description["class_names"])


def read_student(folder: Path, name: str = "student") -> tuple[Mapping[str, Json], Artifact]:
    """Return the description and the weights of the student in a run's folder.

    Args:
        folder: The folder.
        name: Which one: a key of `LEFT_BY`.

    Raises:
        ConfigError: The folder has no such student.
        StageError: Its weights are not there, or what is there is not of a student.
    """
    from safetensors.numpy import load  # noqa: PLC0415  # only who reads a file needs it

    path = folder / f"{name}.json"
    try:
        description = json.loads(path.read_bytes())
        data = (folder / description["weights"]).read_bytes()
    except OSError as error:
        hint = f"{LEFT_BY[name]} leaves it in its folder"
        # A folder without the description was named by mistake; weights that it names and lacks were lost.
        kind = ConfigError if error.filename == str(path) else StageError
        raise kind(f"{error.filename} must be there; got {error.strerror}: {hint}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path} must describe a student; got {error!r}") from error
    digest = sha256(data)
    if digest != description.get("sha256"):
        rule = f"have the SHA-256 that {path.name} names, {str(description.get('sha256'))[:12]}"
        raise StageError(f"{folder / description['weights']} must {rule}; got {digest[:12]}")
    return description, Artifact(load(data), {"network": description})


def classifier(net: Artifact, class_names: Sequence[str]) -> Classifier:
    """Return a trained network over all classes as a classifier."""
    height, width = net.facts["network"]["image_size"]
    predict = network.predictor(net, training.device())
    return Classifier(tuple(class_names), (height, width), net.facts["network"]["channels"], predict)


def _as_batch(images: Any, size: tuple[int, int], channels: int) -> Tensor:
    """Return images as pixels (images, height, width, channels), uint8 or float32 up to 255."""
    if isinstance(images, Tensor) and images.is_floating_point():
        return _from_floats(images, (channels, *size))
    if hasattr(images, "convert") or isinstance(images, str | PurePath):
        images = [images]
    if isinstance(images, np.ndarray | Tensor):
        _check_array(images)
    faults: list[str] = []
    rows: list[NDArray[np.uint8]] = []
    for number, image in enumerate(images):
        try:
            rows.append(_one(image, size, channels))
        except LearningError as error:
            faults.append(f"image {number}: {error}")
    if faults:
        more = f"\nand {len(faults) - 5} more" if len(faults) > 5 else ""
        raise StageError("\n".join(faults[:5]) + more)
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *size, channels, dtype=torch.uint8)


def _check_array(images: NDArray[Any] | Tensor) -> None:
    """Check that an array has the type and shape of a batch; of what its images are, each is asked."""
    shape = tuple(images.shape)
    if isinstance(images, np.ndarray) and np.issubdtype(images.dtype, np.floating):
        floats = "torch.from_numpy(images), floats in [0, 1] of the shape (images, channels, height, width)"
        raise StageError(
            f"an array must be of uint8 pixels from 0 to 255; got {images.dtype} {shape}; did you mean {floats}?"
        )
    if len(shape) != 4:
        grey = f"images[..., None], for {shape[0]} grey images" if len(shape) == 3 and shape[2] not in {1, 3} else ""
        rule = "have the shape (images, height, width, channels)"
        raise StageError(f"a batch of uint8 images must {rule}; got {shape}; did you mean {grey or 'a list of one'}?")


def _one(image: Any, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    if isinstance(image, str | PurePath):
        hint = f"did you mean PIL.Image.open({str(image)!r})?"
        raise LearningError(f"an image must be a picture of PIL or an array; got a path; {hint}")
    if hasattr(image, "convert"):
        return pictures.pixels(image, size, channels)
    return pictures.array_pixels(np.asarray(image), size, channels)


def _from_floats(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        wanted = ", ".join(map(str, shape))
        raise StageError(f"float images must have the shape (images, {wanted}); got {tuple(images.shape)}")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        low, high = float(images.min()), float(images.max())
        raise StageError(f"float images must be from 0 to 1; got {low:g} to {high:g}; did you mean images / 255?")
    return images.float().permute(0, 2, 3, 1) * 255
