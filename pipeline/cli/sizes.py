"""What is told of images that are not of the size that a network takes."""

from collections import Counter
from collections.abc import Sequence

Size = tuple[int, int]
"""Height and width."""
_SHOWN = 3
"""How many other sizes are named."""


def scaled(sizes: Sequence[Size], taken: Size) -> str:
    """Return how many images were not of the size that the network takes, and of which they were."""
    others = Counter(size for size in sizes if size != taken)
    if not others:
        return ""
    named = [_pixels(size) for size, _ in others.most_common(_SHOWN)]
    more = f" and {len(others) - len(named)} more" if len(others) > len(named) else ""
    number = f"{others.total()} of {len(sizes)} images {'was' if others.total() == 1 else 'were'}"
    rule = f"scaled to the network's {_pixels(taken)} pixels, and cut to its shape"
    return f"{number} {rule}; got {', '.join(named)}{more} (width x height)"


def _pixels(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
