"""What can go wrong, and what the command line does about it.

    PipelineError
    ├── ConfigError       the config or the command is wrong: nothing was started        exit code 2
    │   └── MisfitError   settings do not fit the data, as was seen when it was loaded
    ├── StageError        a stage cannot do its work on what it was given                exit code 1
    ├── StoreError        the store cannot be read or written                            exit code 1
    │   ├── RoomError     what is to be kept certainly does not fit
    │   └── DamagedError  what a digest promised is not there: it is set aside, made again
    └── Interrupted       Ctrl-C or SIGTERM                                              exit code 130

A store that cannot be opened is a ConfigError to the commands: whoever named it has to name another one, or mend it.

Messages read `<what> must <rule>; got <value>; did you mean <x>?`. What words them, `first_line`, `did_you_mean` and
`file_meant`, is in stages/learning/errors.py once more: learning imports nothing of ours, and nothing here may import a
stage.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

Location = tuple[str | int, ...]
"""Where a value is in a config: keys, and positions in lists."""

Fault = tuple[Location, str]
"""Where something is wrong in a config, and what must hold there."""

NEAR = 0.65
"""Share of two words that must match: of three letters one may be wrong, or two in the wrong order."""


class PipelineError(Exception):
    """The base of all errors whose message is meant for the user, without a traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    """The config or the command is wrong; its message lists all faults, one a line."""

    exit_code = 2


class MisfitError(ConfigError):
    """Settings do not fit the data.

    Attributes:
        faults: All of them; whoever has read the config file can tell where they were written.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(f"{dotted(location)}: {message}" for location, message in faults))
        self.faults = list(faults)


class StageError(PipelineError):
    """A stage cannot do its work on what it was given."""


class StoreError(PipelineError):
    """The store cannot be read or written."""


class RoomError(StoreError):
    """What is to be kept certainly does not fit where the store is."""


class DamagedError(StoreError):
    """An object or manifest does not match its digest, or is missing though something names it.

    Attributes:
        key: The recipe key of the manifest concerned.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return _damaged, (str(self), self.key)


class Interrupted(PipelineError):  # noqa: N818  # a wish, not an error
    """The user asked the run to stop."""

    exit_code = 130


def _damaged(message: str, key: str) -> DamagedError:
    # Exceptions are pickled by their positional arguments; this one has a keyword.
    return DamagedError(message, key=key)


def dotted(location: Location) -> str:
    """Return a location as people write it, such as `student.epochs` or `controls[1]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location)
    return text.removeprefix(".")


def first_line(error: Exception) -> str:
    """Return what an error says in its first line, or its kind where it says nothing."""
    text, kind = str(error).strip(), type(error).__name__
    # What a KeyError says is the key alone.
    return f"{kind}: {text}" if text and isinstance(error, KeyError) else (text or kind).splitlines()[0]


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
