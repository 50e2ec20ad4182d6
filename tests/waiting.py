"""How tests wait for what happens in other processes or threads."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

import psutil

PATIENCE = 120.0
"""Seconds after which a test gives up. It takes no time of one that goes well: it keeps one that hangs from
holding up all others."""

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: object, *, pause: float = 0.02) -> Found:
    """Return what a condition gives once that is true.

    Args:
        condition: Asked again and again.
        what: What must come about, for the message if it does not.
        pause: Seconds between two questions; 0 where the condition takes its time.

    Raises:
        AssertionError: It was not true in time.
    """
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < until, f"{what}, within {PATIENCE:.0f} s"
        time.sleep(pause)
    return found


def named(start: str, processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Yield those of some processes whose command line starts so, as that of Ray's workers does with their task."""
    for process in processes:
        with suppress(psutil.Error):  # it has ended meanwhile, perhaps but for its number
            if "".join(process.cmdline()[:1]).startswith(start):
                yield process


def left_of(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return which of some processes do not end. Two of Ray's outlive a driver that was killed by some 15 s."""
    left: list[psutil.Process] = psutil.wait_procs(processes, timeout=PATIENCE)[1]
    return left
