"""Views: augmentations as explicit numbers, so that teacher and student see the same pixels bit for bit."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

AUGMENTATIONS = ("dx", "dy", "flip")
"""What `draw` returns and `apply` takes."""


def draw(
    example_ids: NDArray[np.int64], *, seed: int, view: int, shift: int, flip: bool
) -> dict[str, NDArray[np.int8]]:
    """Draw the augmentation of examples.

    An example's numbers depend on the seed, the view and its own id, not on which others are drawn: its id is
    the counter of the generator.

    Args:
        example_ids: int64 (rows,), positions in the data set.
        seed: From 0 to 2**64 - 1.
        view: Number of the view.
        shift: Largest shift in each direction, in pixels, at most 127.
        flip: Whether half of the rows are mirrored left to right.

    Returns:
        int8 (rows,) each: `dx` (to the right) and `dy` (downwards) from -shift to shift, `flip` 0 or 1.
    """
    numbers = _numbers(example_ids, seed, view)
    # 64 random bits modulo at most 255 are uniform within 2**-56.
    offsets = (numbers % np.uint64(2 * shift + 1)).astype(np.int16) - shift
    mirrored = numbers[:, 2] >> np.uint64(63) if flip else np.zeros(len(example_ids))
    return {
        "dx": offsets[:, 0].astype(np.int8),
        "dy": offsets[:, 1].astype(np.int8),
        "flip": mirrored.astype(np.int8),
    }


def _numbers(example_ids: NDArray[np.int64], seed: int, view: int) -> NDArray[np.uint64]:
    """Return one block of Philox for each example, counted by its id: uint64 (rows, 4)."""
    if len(example_ids) == 0:
        return np.zeros((0, 4), dtype=np.uint64)
    # Blocks are made in a row, at some 10 ns each: making those between the ids as well is the fastest way.
    first, last = int(example_ids.min()), int(example_ids.max())
    key = np.array([seed, view], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=first)
    return generator.random_raw(4 * (last - first + 1)).reshape(-1, 4)[example_ids - first]


def apply(images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return images as a view shows them: mirrored first, then shifted, zeros where nothing is moved in.

    Args:
        images: uint8 (batch, height, width, channels).
        parameters: `dx`, `dy` and `flip` of each image, (batch,) on the same device, as `draw` makes them.

    Returns:
        uint8, of the shape of the images.
    """
    n_images, height, width, _ = images.shape
    rows = torch.arange(height, device=images.device) - parameters["dy"].long()[:, None]
    columns = torch.arange(width, device=images.device) - parameters["dx"].long()[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    columns = torch.where(parameters["flip"].bool()[:, None], width - 1 - columns, columns)
    batch = torch.arange(n_images, device=images.device)[:, None, None]
    moved = images[batch, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return moved * inside[..., None]


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return images as a network takes them.

    Args:
        images: uint8 (batch, height, width, channels).
        mean: Of each channel, of pixels scaled to [0, 1].
        std: Of each channel, positive.

    Returns:
        float32 (batch, channels, height, width).
    """
    scale = torch.tensor(std, dtype=torch.float32, device=images.device) * 255
    offset = torch.tensor(mean, dtype=torch.float32, device=images.device) * 255
    return ((images - offset) / scale).permute(0, 3, 1, 2)
