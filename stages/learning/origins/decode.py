"""Many image files decoded at a time, what is wrong with them collected: Pillow decodes outside Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.learning import pictures
from stages.learning.errors import LearningError
from stages.learning.origins.tree import File

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Decoded:
    """Images of one size.

    Attributes:
        images: uint8 (files, height, width, channels); zeros where a file is at fault.
        faults: What is wrong with files, a line each.
    """

    images: NDArray[np.uint8]
    faults: list[str]


def headers_of(files: Sequence[File]) -> tuple[list[pictures.Header], list[str]]:
    """Return the headers of the files that have one, and what is wrong with the others."""
    found = list(in_threads(_caught(lambda file: pictures.read_header(file.path, file.shown)), files))
    sound = [header for header in found if not isinstance(header, str)]
    return sound, [fault for fault in found if isinstance(fault, str)]


def broken(files: Sequence[File]) -> list[str]:
    """Return what is wrong with files as pictures; they are decoded and let go."""
    found = in_threads(_caught(lambda file: pictures.read(file.path, file.shown).size), files)
    return [fault for fault in found if isinstance(fault, str)]


def decode(files: Sequence[File], size: Sequence[int], channels: int, *, scaled: bool) -> Decoded:
    """Decode files in threads: beside the array, memory holds a few images a thread.

    Args:
        files: The files.
        size: Height and width of the array.
        channels: 1 or 3.
        scaled: Whether images of other sizes are brought to this one; if not, they are left to others to tell.
    """
    images = np.zeros((len(files), *size, channels), dtype=np.uint8)
    faults: list[str] = []
    read = partial(_pixels, size=size, channels=channels, scaled=scaled)
    for i, pixels in enumerate(in_threads(_caught(read), files)):
        if isinstance(pixels, str):
            faults.append(pixels)
        elif pixels.shape == images.shape[1:]:
            images[i] = pixels
    return Decoded(images, faults)


def in_threads(
    function: Callable[[Item], Made], items: Iterable[Item], n_threads: int | None = None, ahead: int = 4
) -> Iterator[Made]:
    """Yield what a function makes of items, in their order, made in threads.

    Args:
        function: Called in a thread.
        items: What it is called with.
        n_threads: How many at a time; by default as many as there are cores, for data come before all other work.
        ahead: How many are made, a thread, before they are taken: memory does not grow with the items.
    """
    n_threads = n_threads or len(os.sched_getaffinity(0))
    left = iter(items)
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(left, ahead * n_threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(left, 1))


def _caught(function: Callable[[File], Made]) -> Callable[[File], Made | str]:
    """Return a function that returns the message of a LearningError in place of raising it."""

    def call(file: File) -> Made | str:
        try:
            return function(file)
        except LearningError as error:
            return str(error)

    return call


def _pixels(file: File, *, size: Sequence[int], channels: int, scaled: bool) -> NDArray[np.uint8]:
    picture = pictures.read(file.path, file.shown, size if scaled else None)
    return pictures.pixels(picture, size if scaled else (picture.height, picture.width), channels)
