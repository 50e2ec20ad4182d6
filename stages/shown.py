"""What networks are shown: the images of a data set, augmented on the device that computes."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Artifact
from stages.learning import training, views
from stages.learning.models import as_tensor

Ids = NDArray[np.int64]
ViewParameters = Mapping[str, NDArray[Any]]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Pixels:
    """The images of one half of a data set, and where to find them.

    Attributes:
        images: uint8 (examples, height, width, channels), perhaps mapped from a file.
        mean: Of each channel, of pixels scaled to [0, 1]; none where the networks have their own, as for a test split.
        std: Of each channel.
        device: Where they are shown.
        resident: All of them on the device, if there is room.
    """

    images: NDArray[np.uint8]
    mean: list[float]
    std: list[float]
    device: torch.device
    resident: Tensor | None = None

    @classmethod
    def of(cls, dataset: Artifact, *, budget: float = 0.0) -> "Pixels":
        """Return the images of a data set.

        Args:
            dataset: Either half.
            budget: Bytes that they may take on the device, to be shown more than once. A larger set is read batch by
                batch, with the same pixels.
        """
        device, images = training.device(), dataset.arrays["images"]
        resident = as_tensor(images).to(device) if images.nbytes <= budget else None
        mean, std = (dataset.facts.get(name, []) for name in ("mean", "std"))
        return cls(images, mean, std, device, resident)

    def show(self, examples: Ids, view: ViewParameters | None = None) -> "Shown":
        """Return examples as a view shows them, or as they are, to be had batch by batch."""
        return Shown(self, examples, view)

    def seen(self, examples: Ids, view: ViewParameters | None = None) -> Tensor:
        """Return examples as a view shows them, or as they are: uint8 (len(examples), height, width, channels)."""
        return self.show(examples, view)[:]


class Shown:
    """Examples in an order, as a view shows them. What decides the pixels is sent to the device once.

    Args:
        pixels: The data set.
        examples: Example ids, int64 (n,).
        view: The augmentation of each, (n,) by parameter; None for none.
    """

    def __init__(self, pixels: Pixels, examples: Ids, view: ViewParameters | None) -> None:
        self._pixels = pixels
        self._examples = examples
        self._places = None if pixels.resident is None else torch.from_numpy(examples).to(pixels.device)
        self._view = {name: torch.from_numpy(values).to(pixels.device) for name, values in (view or {}).items()}

    @property
    def device(self) -> torch.device:
        """Where they are shown."""
        return self._pixels.device

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, rows: slice) -> Tensor:
        images = self._images(rows)
        if not self._view:
            return images
        return views.apply(images, {name: values[rows] for name, values in self._view.items()})

    def _images(self, rows: slice) -> Tensor:
        if self._pixels.resident is not None and self._places is not None:
            return self._pixels.resident.index_select(0, self._places[rows])
        images = torch.from_numpy(self._pixels.images.take(self._examples[rows], axis=0))
        if self.device.type == "cpu":
            return images
        return images.pin_memory().to(self.device, non_blocking=True)


def replayed_view(view: Artifact, rows: NDArray[np.int64]) -> tuple[Ids, ViewParameters]:
    """Return example ids and augmentation of rows of a kept view."""
    augmentation = views.augmentation_of(view.arrays)
    return view.arrays["examples"][rows], {name: values[rows] for name, values in augmentation.items()}


def ahead(batches: Iterator[_T]) -> Iterator[_T]:
    """Yield what an iterator yields, the next one being made by a thread while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch
