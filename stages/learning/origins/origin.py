"""What every kind of origin has in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stages.learning.checks import AnyArray

Json = Any
Raw = dict[str, AnyArray]
Half = Literal["train", "test"]
HALVES: tuple[Half, Half] = ("train", "test")


@dataclass(frozen=True)
class Options:
    """What is asked of a data set, and how a folder of images becomes arrays; other kinds are arrays already.

    Attributes:
        size: Height and width, in pixels, that every image is brought to; None where all have the same.
        test: Share of each class that makes the test half, where the folder does not say which images do.
        needed: The halves whose arrays an archive, or what a function returns, must have.
    """

    size: int | None = None
    test: float | None = None
    needed: Sequence[Half] = HALVES


@dataclass(frozen=True)
class Origin:
    """A data set that is known to be there.

    Attributes:
        stamp: What shows, without reading it, that it has not changed.
        digest: Returns the hexadecimal SHA-256 that stands for its content.
        count: Returns the number of classes where that can be told without loading the images.
        read: Returns the arrays of the halves asked for, by name, and perhaps those of the other.
    """

    stamp: Json
    digest: Callable[[], str]
    count: Callable[[], int | None]
    read: Callable[[Sequence[Half]], Raw]
