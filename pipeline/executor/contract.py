"""What an executor is to those who use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.stage import Json, Stage
from pipeline.worker import Job, Outcome


class Tell(Protocol):
    """Takes what happens: `task_progress` and `task_lost` with a `task`, `warning` with a `message`, and the like."""

    def __call__(self, event: str, /, **facts: Json) -> None:
        """Take one event."""


class Executor(Protocol):
    """Takes jobs, and gives back how they ended, in any order."""

    def submit(self, job: Job) -> None:
        """Take a job, to be done as soon as there is room for it."""

    def wait(self) -> list[Outcome]:
        """Return outcomes that came in; waits a short time for one, and may return none."""

    def close(self) -> None:
        """Give up whatever has not ended, and leave no process behind."""


@dataclass(frozen=True)
class Needs:
    """What the tasks of a run need of the machines they are done on.

    Attributes:
        stages: The stages that may have to be done.
        threads: CPU threads of a stage's tasks, by its name, where they are more than one.
        workers: Workers of each of a stage's tasks, likewise.
        modules: The packages and modules of ours and of the user's that the tasks import: they are sent along.
        store: The store's location.
        packages: Distributions that recipes hold the versions of, beside those of the stages.
    """

    stages: tuple[Stage, ...] = ()
    threads: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    store: str = ""
    packages: tuple[str, ...] = ()
