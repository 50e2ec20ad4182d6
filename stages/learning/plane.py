"""Images as planes without an end: every place has a pixel."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


class Plane:
    """Images, mirrored as a view says, that go on beyond their borders.

    Args:
        images: uint8 (batch, height, width, channels).
        parameters: `flip` and perhaps `reflect`, as `views.draw` makes them, (batch,) each: beyond its border an image
            is zero, or with `reflect` mirrored there.

    Attributes:
        height: Of the images, in pixels.
        width: Likewise.
        device: Where they are.
    """

    def __init__(self, images: Tensor, parameters: Mapping[str, Tensor]) -> None:
        n_images, self.height, self.width, self._n_channels = images.shape
        self.device = images.device
        self._flip = parameters["flip"].bool()[:, None, None]
        self._reflects = "reflect" in parameters
        # With a border of zeros, whatever lies outside has a place: no mask is needed.
        self._pixels = functional.pad(images, (0, 0, 1, 1, 1, 1)).reshape(-1, self._n_channels)
        self._first = torch.arange(n_images, device=images.device)[:, None, None] * (self.height + 2)

    def at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the pixels at whole-numbered places of each image.

        Args:
            rows: From the top, from 0 within the image; whole numbers, (batch, height, width) or broadcast to that.
            columns: From the left, likewise.

        Returns:
            uint8 (batch, height, width, channels).
        """
        rows, columns = self._within(rows, self.height), self._within(columns, self.width)
        columns = torch.where(self._flip, self.width - 1 - columns, columns)
        # All that can be is added to the rows, which are few where they do not depend on the column.
        places = ((self._first + rows + 1) * (self.width + 2) + 1) + columns
        # Eight times as fast, on a CPU, as indexing with three tensors.
        return self._pixels.index_select(0, places.reshape(-1)).view(*places.shape, self._n_channels)

    def _within(self, places: Tensor, side: int) -> Tensor:
        if not self._reflects:
            return places.clamp(-1, side)
        if side == 1:
            return torch.zeros_like(places)
        period = 2 * (side - 1)
        places = places % period
        return torch.minimum(places, period - places)
