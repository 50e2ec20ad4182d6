"""Names where there is little room, of classes, tasks and images alike: shortened so that what tells them apart stays.

Room is counted in columns of a terminal, of which a letter of Chinese and most emoji take two, and no mark that joins
another letter takes any.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile

from rich.cells import cell_len, split_graphemes

ELLIPSIS = "…"

_WORD = re.compile(r"[^\W\d_]+")
"""Letters that follow each other: of settings the numbers tell most."""


def fitted(labels: Iterable[str], columns: int) -> dict[str, str]:
    """Return every label in so many columns at most, by the label; one that fits stays as it is.

    One that is too long loses what is in its middle; but settings have their words cut, all to the same length, as
    `dist/temp=2,alph=0.9` for `distilled/temperature=2,alpha=0.9`, as far as that is enough. Those that would come out
    alike show from where they differ, and if they still are, end in `#` and their place, from 0.

    Args:
        labels: Each on one line.
        columns: Enough for such a place, and a letter or two.
    """
    known = list(dict.fromkeys(labels))
    found = {label: _shortened(label, columns) for label in known}
    for alike in _alike(found):
        found |= _differing(alike, columns)
    for alike in _alike(found):
        found |= _numbered(alike, known, set(found.values()), columns)
    return found


def listed(names: Sequence[str], fits: Callable[[str], bool], more: str = " and {} more") -> str:
    """Return names as a list, of one that is too long the first and how many more there are.

    Args:
        names: Of classes, each short enough to be shown.
        fits: Whether there is room for a list; where there is not for one name, how many there are is told alone.
        more: What is said of those that are left out.
    """
    for n in range(len(names), 0, -1):
        text = ", ".join(names[:n]) + (more.format(len(names) - n) if n < len(names) else "")
        if fits(text):
            return text
    return f"{len(names)} classes"


def listed_within(names: Sequence[str], columns: int) -> str:
    """Return names as a list in so many columns at most, as `listed` does."""
    return listed(names, lambda text: cell_len(text) <= columns)


def common_start(texts: Sequence[Sequence[str]]) -> int:
    """Return how many letters all of some texts begin with alike."""
    return sum(1 for _ in takewhile(lambda some: len(set(some)) == 1, zip(*texts, strict=False)))


def _alike(found: Mapping[str, str]) -> list[list[str]]:
    """Return the labels that came out alike, together."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label, short in found.items():
        groups[short].append(label)
    return [group for group in groups.values() if len(group) > 1]


def _differing(alike: Sequence[str], columns: int) -> dict[str, str]:
    """Return labels by where they differ, and those of them that still come out alike by where these do."""
    start = common_start([_letters(label) for label in alike])
    found = {label: _from(label, start, columns) for label in alike}
    for group in _alike(found):
        if len(group) < len(alike):
            found |= _differing(group, columns)
    return found


def _numbered(alike: Sequence[str], known: Sequence[str], taken: set[str], columns: int) -> dict[str, str]:
    """Return labels with their places for their ends; one that is whole stays."""
    found: dict[str, str] = {}
    for label in alike:
        if cell_len(label) > columns:
            found[label] = next(
                short for short in _with_numbers(label, known.index(label), columns) if short not in taken
            )
            taken.add(found[label])
    return found


def _with_numbers(label: str, place: int, columns: int) -> Iterator[str]:
    """Yield the beginning of a label with its place, then with later ones, for the case that another is called so."""
    for number in count(place):
        end = f"{ELLIPSIS}#{number}"
        yield _head(_letters(label), columns - len(end)) + end


def _shortened(label: str, columns: int) -> str:
    if cell_len(label) <= columns:
        return label
    words = _WORD.findall(label) if "=" in label else []  # of other names the first letters of words say nothing
    for letters in range(max(map(len, words), default=0) - 1, 0, -1):
        cut = _WORD.sub(lambda word, n=letters: word[0][:n], label)  # type: ignore[misc]
        if cell_len(cut) <= columns:
            return cut
    head = _head(_letters(label), columns // 2)
    return head + ELLIPSIS + _tail(_letters(label), columns - 1 - cell_len(head))


def _from(label: str, start: int, columns: int) -> str:
    """Return the beginning of a label, and what it is from a letter on, or from the beginning of that letter's word."""
    if cell_len(label) <= columns:
        return label
    letters = _letters(label)
    head = _head(letters, (columns - 1) // 3)
    room = columns - 1 - cell_len(head)
    word = start - sum(1 for _ in takewhile(lambda letter: letter != " ", reversed(letters[:start])))
    if cell_len("".join(letters[word:start])) <= room // 2:
        start = word
    tail = _tail(letters, room)
    if start >= len(letters) - len(_letters(tail)):
        return head + ELLIPSIS + tail
    if start <= len(_letters(head)):
        return _head(letters, columns - 1) + ELLIPSIS
    return head + ELLIPSIS + _head(letters[start:], room - 1) + ELLIPSIS


def _head(letters: Sequence[str], columns: int) -> str:
    """Return as much of the beginning as fits."""
    n, used = 0, 0
    while n < len(letters) and used + cell_len(letters[n]) <= columns:
        used += cell_len(letters[n])
        n += 1
    return "".join(letters[:n])


def _tail(letters: Sequence[str], columns: int) -> str:
    """Return as much of the end as fits."""
    n, used = len(letters), 0
    while n and used + cell_len(letters[n - 1]) <= columns:
        n -= 1
        used += cell_len(letters[n])
    return "".join(letters[n:])


def _letters(text: str) -> list[str]:
    """Return what is seen as one letter each, with the marks that join it."""
    if text.isascii():
        return list(text)
    spans, _ = split_graphemes(text)
    return [text[start:end] for start, end, _ in spans]
