"""Views: augmentations as explicit numbers, so that teacher and student see the same pixels bit for bit.

An image is mirrored, then rotated about its centre, then shifted, and at last a square is cut out of it. Whole numbers
decide every pixel, so that all devices agree on it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.learning import amounts
from stages.learning.plane import Plane
from stages.learning.rotation import rotated

Drawn = dict[str, NDArray[Any]]

_SECOND = 1 << 32
"""Added to the number of a view where its rows need more random numbers than one block has."""
_AGAIN = 1 << 33
"""Added to the number of a view whenever it shows an example once more."""


def draw(
    example_ids: NDArray[np.int64],
    *,
    seed: int,
    view: int,
    image_size: Sequence[int],
    n: int = 0,
    shift: int = 0,
    padding: str = "zeros",
    flip: bool = False,
    rotate: int = 0,
    cutout: int = 0,
) -> Drawn:
    """Draw the augmentation of examples.

    An example's numbers depend on the seed, the view and its own id, not on which others are drawn: its id is
    the counter of the generator.

    Args:
        example_ids: int64 (rows,), positions in the data set.
        seed: From 0 to 2**64 - 1.
        view: Number of the view, less than 2**32.
        image_size: Height and width, in pixels.
        n: How often the view shows the examples before that, less than 2**31: each time they are drawn anew.
        shift: Largest shift in each direction, in pixels, at most 127: the same as a crop after so much padding.
        padding: What is moved in: `zeros`, or `reflect` for the image mirrored at its border.
        flip: Whether half of the rows are mirrored left to right.
        rotate: Largest rotation in each direction, in degrees, at most 180.
        cutout: Side of the square that is set to zero, in pixels. Its centre is any pixel, so that it may reach beyond
            the image (DeVries and Taylor 2017, arXiv 1708.04552).

    Returns:
        (rows,) each: int8 `dx` (to the right) and `dy` (downwards) from -shift to shift, and `flip`, 0 or 1. Only
        where asked for: int8 `reflect`, 1; int16 `angle`, in hundredths of a degree, counter-clockwise; int16
        `cut_top`, `cut_left` and `cut_size`, in pixels.
    """
    view += n * _AGAIN
    numbers = _numbers(example_ids, seed, view)
    # 64 random bits modulo so little are uniform within 2**-48.
    offsets = (numbers % np.uint64(2 * shift + 1)).astype(np.int16) - shift
    found: Drawn = {
        "dx": offsets[:, 0],
        "dy": offsets[:, 1],
        "flip": numbers[:, 2] >> np.uint64(63) if flip else np.zeros(len(example_ids)),
        "reflect": np.ones(len(example_ids)),
    }
    if rotate or cutout:
        found |= _rotation_and_cut(_numbers(example_ids, seed, view + _SECOND), image_size, rotate, cutout)
    dtypes = amounts.drawn(padding=padding, rotate=rotate, cutout=cutout)
    return {name: found[name].astype(dtype) for name, dtype in dtypes.items()}


def _rotation_and_cut(numbers: NDArray[np.uint64], image_size: Sequence[int], rotate: int, cutout: int) -> Drawn:
    largest = 100 * rotate
    centres = (numbers[:, 1:3] % np.array(image_size, dtype=np.uint64)).astype(np.int16)
    corners = centres - np.int16(cutout // 2)
    return {
        "angle": (numbers[:, 0] % np.uint64(2 * largest + 1)).astype(np.int32) - largest,
        "cut_top": corners[:, 0],
        "cut_left": corners[:, 1],
        "cut_size": np.full(len(numbers), cutout),
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


def augmentation_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return those of some arrays that `apply` takes."""
    return {name: arrays[name] for name in amounts.AMOUNTS if name in arrays}


def apply(images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return images as a view shows them.

    Args:
        images: uint8 (batch, height, width, channels), sides of at most 8,192 pixels.
        parameters: Of each image, (batch,) on the same device, as `draw` makes them.

    Returns:
        uint8, of the shape of the images.
    """
    plane = Plane(images, parameters)
    seen = rotated(plane, parameters) if "angle" in parameters else _shifted(plane, parameters)
    if "cut_size" not in parameters:
        return seen
    return seen * _outside_cut(seen.shape[1:3], parameters)[..., None]


def _shifted(plane: Plane, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return images mirrored, then shifted: every pixel is one of the image, or zero."""
    rows = torch.arange(plane.height, device=plane.device) - parameters["dy"].long()[:, None]
    columns = torch.arange(plane.width, device=plane.device) - parameters["dx"].long()[:, None]
    return plane.at(rows[:, :, None], columns[:, None, :])


def _outside_cut(image_size: Sequence[int], parameters: Mapping[str, Tensor]) -> Tensor:
    """Return which pixels are not cut out, bool (batch, height, width)."""
    device = parameters["cut_size"].device
    inside = []
    for side, name in zip(image_size, ("cut_top", "cut_left"), strict=True):
        place = torch.arange(side, device=device) - parameters[name].long()[:, None]
        inside.append((place >= 0) & (place < parameters["cut_size"].long()[:, None]))
    return ~(inside[0][:, :, None] & inside[1][:, None, :])


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return images as a network takes them.

    Args:
        images: uint8 (batch, height, width, channels).
        mean: Of each channel, of pixels scaled to [0, 1].
        std: Of each channel, positive.

    Returns:
        float32 (batch, channels, height, width).
    """
    width = images.shape[2]
    offset, scale = (_of_a_row(tuple(numbers), width, images.device) for numbers in (mean, std))
    # By whole rows of pixels: by their few channels, it took ten times as long on a CPU.
    rows = images.reshape(-1, len(offset)).float()
    return (rows - offset).div_(scale).view(images.shape).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _of_a_row(numbers: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """Return a number of each channel, of pixels up to 255, for a row; sent to the device once, for sending waits."""
    with torch.inference_mode(mode=False):
        return (torch.tensor(numbers, dtype=torch.float32, device=device) * 255).repeat(width)
