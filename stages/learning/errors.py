"""What can go wrong in learning.

    ValueError
    └── LearningError   what was given cannot be learned from; its message lists all faults, one a line
    RuntimeError
    └── TrainingError   a training went wrong while it ran

Messages read `<what> must <rule>; got <value>; did you mean <x>?`. `first_line`, `did_you_mean` and
`file_meant` are those of pipeline/errors.py, written once more: learning imports nothing of ours.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

NEAR = 0.65
"""Share of two words that must match: of three letters one may be wrong, or two in the wrong order."""


class LearningError(ValueError):
    """A data set, a network's name or its weights are not what they must be."""


class TrainingError(RuntimeError):
    """A training cannot go on, such as one whose loss is no longer finite."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known word, or an empty string where none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=NEAR)
    return f"; did you mean '{close[0]}'?" if close else ""


def file_meant(name: str, others: Iterable[str]) -> str:
    """Return the same for the name of a file: of those with its ending the closest, or the same with another ending."""
    stem, ending = Path(name).stem, Path(name).suffix
    near = [other for other in others if Path(other).suffix == ending or Path(other).stem == stem]
    close = difflib.get_close_matches(stem, [Path(other).stem for other in near], n=1, cutoff=NEAR)
    meant = difflib.get_close_matches(name, [other for other in near if Path(other).stem in close], n=1, cutoff=0)
    return f"; did you mean '{meant[0]}'?" if meant else ""


def in_a_line(error: LearningError) -> str:
    """Return what an error says in one line: of several faults that it lists below their head, the first one."""
    head, *faults = str(error).splitlines()
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{head} {faults[0].strip()}{more}" if faults else head


def first_line(error: Exception) -> str:
    """Return what an error of a library says in its first line, or its kind where it says nothing."""
    text, kind = str(error).strip(), type(error).__name__
    # What a KeyError says is the key alone.
    return f"{kind}: {text}" if text and isinstance(error, KeyError) else (text or kind).splitlines()[0]
