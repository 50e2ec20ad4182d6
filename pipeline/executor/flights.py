"""Jobs on their way: what has come back of each, and what it came to. Knows nothing of Ray."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.executor.retries import Attempts
from pipeline.worker import Job, Outcome

GRACE = 5.0
"""Seconds in which Ray mostly tells of a dead worker, on a busy machine, too."""

Result = Outcome | Exception
"""What a worker returned, or what Ray says of its end."""


@dataclass(eq=False)
class Flight:
    """A job on its way, with as many workers as its task has.

    Attributes:
        job: The job.
        attempts: What has befallen it.
        grace: Seconds in which the cause may still show why its workers have lost one another.
        number: Of its latest start; no other start has it.
        due: When it is to be started again, by the monotonic clock.
        group: What is reserved for its workers, where there are several.
        aloft: By what stands for it, the rank of each worker that has not ended.
        ended: By rank, how a worker ended.
        nodes: By rank, the id of the node that it is on, where that is known.
    """

    job: Job
    attempts: Attempts
    grace: float = GRACE
    number: int = 0
    due: float = 0.0
    group: Any = None
    aloft: dict[Any, int] = field(default_factory=dict)
    ended: dict[int, Result] = field(default_factory=dict)
    nodes: dict[int, str] = field(default_factory=dict)
    _patience: float = math.inf

    def begin(self, number: int) -> None:
        """Know nothing of an earlier start, to be started with a number that no other has."""
        self.number, self.group, self._patience = number, None, math.inf
        for known in (self.aloft, self.ended, self.nodes):
            known.clear()

    def end(self, reference: Any, result: Result, now: float) -> None:
        """Take in how a worker ended."""
        self.ended[self.aloft.pop(reference)] = result
        if _is_failure(result):
            self._patience = min(self._patience, now + self.grace)

    def verdict(self, now: float) -> tuple[int, Result] | None:
        """Return how the whole ended, and which worker says so; None as long as that is open.

        It ends well when the first worker does, and badly when any does not. One that says that it has lost another is
        not listened to at once: why that has gone is yet to be heard.

        Args:
            now: The monotonic clock.
        """
        failures = {rank: result for rank, result in self.ended.items() if _is_failure(result)}
        if 0 in self.ended and 0 not in failures:
            return 0, self._with_warnings(self.ended[0])
        if not failures:
            return None
        rank = min(failures, key=lambda rank: (_is_vague(failures[rank]), rank))
        if _is_vague(failures[rank]) and self.aloft and now < self._patience:
            return None
        return rank, self._with_warnings(failures[rank])

    def _with_warnings(self, result: Result) -> Result:
        """Return an outcome with what all workers have warned of, each thing once."""
        if not isinstance(result, Outcome):
            return result
        ended = [self.ended[rank] for rank in sorted(self.ended)]
        outcomes = [other for other in ended if isinstance(other, Outcome)]
        said = dict.fromkeys(message for outcome in outcomes for message in outcome.warnings)
        return replace(result, warnings=tuple(said))


def _is_failure(result: Result) -> bool:
    return isinstance(result, Exception) or bool(result.fault)


def _is_vague(result: Result) -> bool:
    """Whether a failure may be the consequence of another one."""
    return isinstance(result, Outcome) and result.may_pass
