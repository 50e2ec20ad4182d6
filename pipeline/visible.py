"""Text from data as a terminal may be shown it: names of classes and files can hold what would steer the terminal."""

import re
import unicodedata

_STEERING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of Unicode: control characters, lone halves of characters, separators of lines and of paragraphs."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of the text after it, beyond its own end."""
_SUSPECT = re.compile(r"[^\x20-\x7e]")


def visible(text: str) -> str:
    r"""Return text as one line, whatever would steer a terminal as Python writes it: `\x1b` for Escape, `\n`."""
    return _SUSPECT.sub(lambda found: _shown(found[0]), text)


def visible_lines(text: str) -> str:
    """Return text as `visible` does, its lines kept apart."""
    return "\n".join(map(visible, text.split("\n")))


def _shown(letter: str) -> str:
    if letter not in _DIRECTIONS and unicodedata.category(letter) not in _STEERING:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
