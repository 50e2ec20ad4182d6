"""What can go wrong in learning.

    ValueError
    └── LearningError   what was given cannot be learned from; its message lists all faults, one a line
    RuntimeError
    └── TrainingError   a training went wrong while it ran

Messages read `<what> must <rule>; got <value>; did you mean <x>?`.
"""

import difflib
from collections.abc import Iterable


class LearningError(ValueError):
    """A data set, a network's name or its weights are not what they must be."""


class TrainingError(RuntimeError):
    """A training cannot go on, such as one whose loss is no longer finite."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def first_line(error: Exception) -> str:
    """Return what an error of a library says in its first line, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
