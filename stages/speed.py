"""How fast models predict, on the machine that this runs on."""

import time
from collections.abc import Callable
from importlib import metadata
from statistics import median

import torch
from torch import Tensor

from pipeline.stage import Json
from stages.learning import hardware
from stages.learning.prediction import Images

BATCH_IMAGES = 256
"""Images in the batch on which throughput is measured."""
BATCH_CALLS = 5
"""Calls of which the fastest is reported: the others were disturbed."""
SINGLE_CALLS = 25
"""Calls with one image, of which the median is reported."""


def measured(predict: Callable[[Tensor], Tensor], images: Images) -> dict[str, float]:
    """Return how long a model takes for an image; building it does not count, nor does what only its first call does.

    Args:
        predict: The model; what it returns is moved to the CPU, which waits for the device.
        images: uint8 (images, height, width, channels), on the device.

    Returns:
        `milliseconds_per_image` in a batch of `BATCH_IMAGES`, or of all where there are fewer; `milliseconds_alone` of
        an image that comes alone.
    """
    batch = images[:BATCH_IMAGES]
    return {
        "milliseconds_per_image": min(_milliseconds(predict, batch, BATCH_CALLS)) / len(batch),
        "milliseconds_alone": median(_milliseconds(predict, images[:1], SINGLE_CALLS)),
    }


def measured_on() -> dict[str, Json]:
    """Return what the figures of speed depend on beside the model."""
    return {"device": hardware.device(), "threads": torch.get_num_threads(), "torch": metadata.version("torch")}


def _milliseconds(predict: Callable[[Tensor], Tensor], batch: Tensor, calls: int) -> list[float]:
    predict(batch).cpu()  # the first call allocates, and builds what later ones reuse
    found: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        predict(batch).cpu()
        found.append(1000 * (time.perf_counter() - started))
    return found
