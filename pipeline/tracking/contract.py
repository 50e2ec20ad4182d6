"""What a log is, and what it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Point:
    """What a training was like after one epoch.

    Attributes:
        task: The training's id, such as `specialist[3-5-8]`.
        title: What people call it where the id says little.
        epoch: Counted from 1.
        measures: Such as `loss`, and `accuracy` and `nll` on the holdout.
        time: When it became known, in seconds since the epoch.
    """

    task: str
    title: str
    epoch: int
    measures: Mapping[str, float]
    time: float


@dataclass(frozen=True)
class Ending:
    """How a training ended.

    Attributes:
        task: The training's id.
        state: `done`, `reused`, `failed` or `dropped`.
        key: The recipe key of its result; empty where there is none.
        seconds: How long it took, when it was first run.
    """

    task: str
    state: str
    key: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Results:
    """What a run came to.

    Attributes:
        measures: By model, such as `student-distilled`, its measures on the test split.
        files: Of the run's folder, by name.
        keys: The recipe keys of all results, by task id.
        time: When it was known, in seconds since the epoch.
    """

    measures: Mapping[str, Mapping[str, float]]
    files: Mapping[str, bytes]
    keys: Mapping[str, str]
    time: float


class Log(Protocol):
    """Takes what is known of a run. Nothing is raised: what it cannot take is among its `news`."""

    def point(self, point: Point) -> None:
        """Take one epoch of a training."""

    def ended(self, ending: Ending) -> None:
        """Take how a training ended, of which at least one epoch was told."""

    def results(self, results: Results) -> None:
        """Take the run's results."""

    def news(self) -> Sequence[str]:
        """Return what went wrong since this was asked last."""

    def close(self, status: str) -> None:
        """End the log of a run that is `done`, `failed` or `interrupted`, in a bounded time."""
