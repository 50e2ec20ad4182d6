"""What is told of images that are not of the size that a network takes."""

from collections import Counter
from collections.abc import Sequence

from pipeline.counted import first_of

Size = tuple[int, int]
"""Height and width."""
_SHOWN = 3
"""How many other sizes, and images, are named."""


def scaled(sizes: Sequence[Size], taken: Size, names: Sequence[str] = ()) -> str:
    """Return how many images were not of the size that the network takes, and of which they were.

    Args:
        sizes: Of each image.
        taken: What the network takes.
        names: Of the images, where each has one; not told where all were scaled.
    """
    others = Counter(size for size in sizes if size != taken)
    if not others:
        return ""
    n = others.total()
    which = [name for name, size in zip(names, sizes, strict=False) if size != taken] if n < len(sizes) else []
    told = f" ({first_of(which, _SHOWN)})" if which else ""
    rule = f"scaled to the network's {_pixels(taken)} pixels, and cut to its shape"
    got = first_of([_pixels(size) for size, _ in others.most_common()], _SHOWN)
    return f"{n} of {len(sizes)} images{told} {'was' if n == 1 else 'were'} {rule}; got {got} (width x height)"


def _pixels(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
