"""Pictures of any size and mode as the pixels a network takes."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.learning.errors import LearningError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}
"""Pillow's mode by number of channels."""
TAKEN = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Modes of 8 bits a channel or less, all that common files have: more bits convert to nonsense."""

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
"""Endings of the files that are taken for pictures; of one that holds several, the first is read."""

_GREY = ("1", "L", "LA")
_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""Values of the EXIF orientation with which width and height change places."""


class Header(NamedTuple):
    """What a picture says of itself before it is decoded.

    Attributes:
        is_grey: Whether it has no colour.
        height: In pixels, as it is to be seen.
        width: The same.
    """

    is_grey: bool
    height: int
    width: int


def is_picture(name: str) -> bool:
    """Return whether a file's name is that of a picture."""
    return name.lower().endswith(ENDINGS)


def read(file: "Path | BinaryIO", name: str, size: Sequence[int] | None = None) -> "Image":
    """Read a picture, turned as its EXIF data say.

    Args:
        file: A path or an open file.
        name: What it is called in an error.
        size: Height and width that it is scaled to afterwards. A JPEG is decoded at a half, a quarter or an eighth
            where that is still twice as large.

    Raises:
        LearningError: It cannot be read as a picture.
    """
    from PIL import ImageOps  # noqa: PLC0415  # only those who read pictures pay for it

    with _opened(file, name) as picture:
        if size:
            picture.draft(None, (2 * max(size), 2 * max(size)))
        return ImageOps.exif_transpose(picture)


def read_header(file: "Path | BinaryIO", name: str) -> Header:
    """Read the header of a picture.

    Args:
        file: A path or an open file.
        name: What it is called in an error.

    Raises:
        LearningError: It cannot be read as a picture, or its mode is not one that `pixels` takes.
    """
    with _opened(file, name) as picture:
        if picture.mode not in TAKEN:
            raise LearningError(f"{name} must be of a mode in {', '.join(TAKEN)}; got {picture.mode}")
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        return Header(picture.mode in _GREY, height, width)


@contextmanager
def _opened(file: "Path | BinaryIO", name: str) -> Iterator["Image"]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

    try:
        with Image.open(file) as picture:
            yield picture
    except LearningError:
        raise
    except UnidentifiedImageError as error:
        found = "something else" if _has_bytes(file) else "nothing"
        raise LearningError(f"{name} must be a picture in a format that Pillow reads; got {found}") from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        got = getattr(error, "strerror", None) or error
        raise LearningError(f"{name} must be a picture that can be read; got {got}") from error


def _has_bytes(file: "Path | BinaryIO") -> bool:
    return (file.stat().st_size if isinstance(file, Path) else file.seek(0, SEEK_END)) > 0


def pixels(picture: "Image", size: Sequence[int], channels: int) -> NDArray[np.uint8]:
    """Return a picture as pixels of a given size: grey or colour as wanted, scaled to cover it, its middle cut out.

    Scaling is bilinear, over all pixels that become one; a picture of the right size and mode stays as it is.

    Args:
        picture: The picture.
        size: Height and width.
        channels: 1 for grey (ITU-R 601-2 luma), 3 for red, green and blue; transparency is dropped.

    Returns:
        uint8 (height, width, channels).

    Raises:
        LearningError: The picture is of a mode that has no one way to become these, such as 16 bits a channel.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415

    if picture.mode not in TAKEN:
        raise LearningError(f"the mode of a picture must be one of {', '.join(TAKEN)}; got {picture.mode}")
    height, width = size
    picture = picture.convert(MODES[channels])
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(height, width, channels)


def array_pixels(array: NDArray[Any], size: Sequence[int], channels: int) -> NDArray[np.uint8]:
    """Return an array as `pixels` does a picture.

    Args:
        array: uint8 (height, width) or (height, width, 1 or 3), of any height and width.
        size: Height and width wanted.
        channels: 1 or 3.

    Returns:
        uint8 (height, width, channels).

    Raises:
        LearningError: The array is nothing of the kind.
    """
    from PIL import Image  # noqa: PLC0415

    if array.dtype != np.uint8 or array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in MODES):
        rule = "be uint8 of the shape (height, width) or (height, width, 1 or 3)"
        raise LearningError(f"an image must {rule}; got {array.dtype} {array.shape}")
    if not array.size:
        raise LearningError(f"an image must have pixels; got the shape {array.shape}")
    if array.ndim == 3 and array.shape == (*size, channels):
        return array
    return pixels(Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array), size, channels)
