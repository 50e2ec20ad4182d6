"""Names where there is little room: of classes, shortened so that they can still be told apart, and of specialists."""

from collections import Counter
from collections.abc import Sequence

from pipeline.labels import common_start

ELLIPSIS = "…"


def told_apart(names: Sequence[str], n: int) -> list[str]:
    """Return names of at most n characters.

    Of long ones the words are left out that all begin or end with, then what is in the middle. Those that are alike by
    then end in their class's id.

    Args:
        names: Of all classes, in the order of their ids.
        n: Characters; enough for an id, and a letter or two.
    """
    if max(map(len, names), default=0) <= n:
        return list(names)
    short = [_elided(name, n) for name in _without_common_ends(names)]
    times = Counter(short)
    return [name if times[name] == 1 else _numbered(name, i, n) for i, name in enumerate(short)]


def short_name(number: int) -> str:
    """Return what a specialist is called: the list of its classes may be long."""
    return f"S{number + 1}"


def _numbered(name: str, i: int, n: int) -> str:
    number = f"{ELLIPSIS}{i}"
    head = name[:1] + name[1:].partition(ELLIPSIS)[0]
    return head[: n - len(number)] + number


def _without_common_ends(names: Sequence[str]) -> list[str]:
    """Return names without the words that all begin with, and those that all end with."""
    if len(set(names)) < 2:
        return list(names)
    start = _common_words(names)
    rest = [name[start:] for name in names]
    end = _common_words([name[::-1] for name in rest])
    return [(ELLIPSIS if start else "") + name[: len(name) - end].strip() + (ELLIPSIS if end else "") for name in rest]


def _common_words(names: Sequence[str]) -> int:
    """Return how many characters the whole words have that all names begin with, the space after them included."""
    return names[0].rfind(" ", 0, common_start(names)) + 1


def _elided(name: str, n: int) -> str:
    """Return a name of at most n characters, its middle left out."""
    if len(name) <= n:
        return name
    head = n // 2
    return name[:head] + ELLIPSIS + name[len(name) - (n - head - 1) :]
