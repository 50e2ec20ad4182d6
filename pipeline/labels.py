"""Names of tasks in a narrow column: shortened so that what tells them apart stays."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

_WORD = re.compile(r"[^\W\d_]+")
"""Letters that follow each other: of names with numbers in them, the numbers tell most."""


def fitted(labels: Iterable[str], columns: int) -> dict[str, str]:
    """Return every label in so many columns at most, by the label.

    One that is too long has its words cut, all to the same length, as `dist/temp=2,alph=0.9` for
    `distilled/temperature=2,alpha=0.9`; or where that is not enough, and in a list of names, its middle left out. Those
    that would come out alike show from where they differ, and if they still are, their number.

    Args:
        labels: Each on one line.
        columns: Ten or more.
    """
    found = {label: _shortened(label, columns) for label in labels}
    counts = Counter(found.values())
    for short in [short for short, n in counts.items() if n > 1]:
        alike = [label for label, other in found.items() if other == short]
        start = common_start(alike)
        found |= {label: _from(label, start, columns) for label in alike}
    counts = Counter(found.values())
    numbered = enumerate(found.items())
    return {
        label: short if counts[short] == 1 else _numbered(label, short, i, columns) for i, (label, short) in numbered
    }


def common_start(texts: Sequence[str]) -> int:
    """Return how many letters all of some texts begin with alike."""
    return sum(1 for _ in takewhile(lambda some: len(set(some)) == 1, zip(*texts, strict=False)))


def _numbered(label: str, short: str, i: int, columns: int) -> str:
    """Return a short label that others have, too, with its number in place of its end; one that is whole stays."""
    number = f"...{i + 1}"
    return label if label == short else short[: columns - len(number)] + number


def _shortened(label: str, columns: int) -> str:
    if len(label) <= columns:
        return label
    is_sentence = " " in label  # such as names of classes: their first letters say nothing
    longest = 0 if is_sentence else max(map(len, _WORD.findall(label)), default=0)
    for letters in range(longest - 1, 0, -1):
        cut = _WORD.sub(lambda word, n=letters: word[0][:n], label)  # type: ignore[misc]
        if len(cut) <= columns:
            return cut
    begin = (columns - 3) // 2
    return f"{label[:begin]}...{label[begin + 3 - columns :]}"


def _from(label: str, start: int, columns: int) -> str:
    """Return the beginning of a label, and what it is from a place on."""
    begin = (columns - 3) // 3
    rest = columns - 3 - begin
    start = max(begin, min(start, len(label) - rest))
    return label if len(label) <= columns else f"{label[:begin]}...{label[start : start + rest]}"
