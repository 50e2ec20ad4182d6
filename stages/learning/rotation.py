"""Rotated images, computed in whole numbers: bilinear, and the same bits on every device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stages.learning.plane import Plane

_ONE = 14
"""Sine and cosine are counted in units of 2**-14."""

_FRACTION = 8
"""The weights of bilinear interpolation are counted in units of 2**-8."""


def rotated(plane: Plane, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return images rotated about their centre, then shifted, in one go.

    Every pixel is the bilinear mean of the four that lie around where it comes from, rounded to the nearest number.

    Args:
        plane: The images, with sides of at most 8,192 pixels.
        parameters: `angle`, `dx` and `dy`, as `views.draw` makes them, (batch,) each.

    Returns:
        uint8 (batch, height, width, channels).
    """
    rows, columns = _sources(plane.height, plane.width, parameters)
    row, column = rows >> (_ONE + 1), columns >> (_ONE + 1)
    down, right = _fraction(rows), _fraction(columns)
    upper, lower = (
        torch.lerp(plane.at(place, column).float(), plane.at(place, column + 1).float(), right)
        for place in (row, row + 1)
    )
    # All of it are multiples of 2**-16 below 2**8: float32 holds them exactly, in whatever order they are computed.
    return (torch.lerp(upper, lower, down) + 0.5).to(torch.uint8)


def _fraction(places: Tensor) -> Tensor:
    """Return how far places lie from the pixel before them, in steps of 2**-8: float32 (batch, height, width, 1)."""
    steps = (places >> (_ONE + 1 - _FRACTION)) & ((1 << _FRACTION) - 1)
    return (steps.float() / (1 << _FRACTION)).unsqueeze(-1)


def _sources(height: int, width: int, parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return where each pixel comes from: rows and columns, int32 (batch, height, width), in units of 2**-15 pixels.

    Halves of pixels are avoided by counting from the centre in half pixels: the centre lies between two pixels where a
    side is even.
    """
    device = parameters["angle"].device
    radians = torch.deg2rad(parameters["angle"].double() / 100)
    cosine, sine = ((f(radians) * (1 << _ONE)).round().int()[:, None, None] for f in (torch.cos, torch.sin))
    down = 2 * (torch.arange(height, device=device) - parameters["dy"].int()[:, None]) - (height - 1)
    right = 2 * (torch.arange(width, device=device) - parameters["dx"].int()[:, None]) - (width - 1)
    down, right = down.int()[:, :, None], right.int()[:, None, :]
    rows = cosine * down + sine * right + ((height - 1) << _ONE)
    columns = cosine * right - sine * down + ((width - 1) << _ONE)
    return rows, columns
