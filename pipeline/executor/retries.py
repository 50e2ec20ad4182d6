"""Which tasks are done again, how often, when, and with how much memory. Knows nothing of Ray.

Ray could do a task again by itself. But it would say nothing of it, would not wait, and would ask for the same memory.
"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.executor.options import GIB

Cause = Literal["crash", "node", "memory", "storage"]

LIMITS: dict[Cause, int] = {"crash": 2, "node": 5, "memory": 3, "storage": 4}
"""How often a task is done again: after its worker died, its node was lost, memory ran out, or storage failed."""

FIRST_PAUSE = 1.0
"""Seconds before a task is done again for the first time after storage failed; each time twice as long: 15 s in all."""


@dataclass
class Attempts:
    """What has befallen one task so far.

    Attributes:
        memory: Bytes of memory to reserve for it.
        counts: How often it was done again, by cause.
    """

    memory: int
    counts: dict[Cause, int] = field(default_factory=dict)

    def again(self, cause: Cause, most_memory: int) -> float | None:
        """Return after how many seconds to do the task again; None if it is given up.

        Args:
            cause: What befell it now.
            most_memory: Bytes that the largest node has: no more can be reserved.
        """
        count = self.counts.get(cause, 0)
        if count >= LIMITS[cause] or (cause == "memory" and self.memory >= most_memory):
            return None
        self.counts[cause] = count + 1
        if cause == "memory":
            # With a quarter, a half, and then all of the largest node fewer and fewer tasks share it.
            self.memory = min(max(2 * self.memory, most_memory // 4), most_memory)
            if count + 1 == LIMITS[cause]:
                self.memory = most_memory
        return FIRST_PAUSE * 2**count if cause == "storage" else 0.0

    @property
    def reserved(self) -> str:
        """The memory as people write it."""
        return f"{self.memory / GIB:.1f} GiB"
