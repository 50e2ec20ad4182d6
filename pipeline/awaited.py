"""Tasks that another run does, and whose results this one waits for."""

import time
from collections.abc import Callable, Collection, Mapping

from pipeline.store.work import WorkClaims

SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two looks at what is awaited; each look that finds nothing doubles them."""


class Awaited:
    """What is awaited, and when it is time to look for it.

    Args:
        claims: What is known of the work of other runs.
        clock: Seconds, from anywhere.
    """

    def __init__(self, claims: WorkClaims, clock: Callable[[], float] = time.monotonic) -> None:
        self._claims = claims
        self._clock = clock
        self._keys: dict[str, str] = {}
        self._pause = SHORTEST
        self._next_look = clock()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, task_id: str, key: str) -> None:
        """Wait for the result of a task, kept under a key."""
        self._keys[task_id] = key
        self._rest(SHORTEST)

    def resting(self) -> Collection[str]:
        """Return the ids of the tasks that are not to be looked for, or begun, now."""
        return self._keys.keys() if self._clock() < self._next_look else ()

    def look(self, results: Mapping[str, object]) -> Collection[str]:
        """Stop waiting for what has come, and for what nobody does any more.

        Args:
            results: The results there are by task id, looked for just now.

        Returns:
            The ids of the tasks that are still awaited.
        """
        if self._keys and not self.resting():
            left = {name: key for name, key in self._keys.items() if name not in results and self._claims.holder(key)}
            self._rest(SHORTEST if len(left) < len(self._keys) else min(2 * self._pause, LONGEST))
            self._keys = left
        return self._keys.keys()

    def pause(self) -> None:
        """Sleep until it is time to look."""
        time.sleep(max(0.0, self._next_look - self._clock()))

    def _rest(self, seconds: float) -> None:
        self._pause = seconds
        self._next_look = self._clock() + seconds
