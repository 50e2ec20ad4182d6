"""Numbers of things, and lists of them, in words."""

from collections.abc import Sequence


def counted(n: int, one: str, many: str = "") -> str:
    """Return how many there are of something, such as `1 specialist` or `1,024 classes`.

    Args:
        n: How many.
        one: What one is called.
        many: What several are called; with an `s` at its end if empty.
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def in_words(names: Sequence[str]) -> str:
    """Return names as a sentence has them, such as `a, b and c`."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def first_of(names: Sequence[str], most: int, *, between: str = ", ") -> str:
    """Return the first of some names, and how many more there are, such as `a, b and 3 more`.

    Args:
        names: Of anything.
        most: How many of them are named.
        between: What stands between two.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
