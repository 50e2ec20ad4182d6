"""Memory that a task has freed stays with it until it ends, to be used again by its next step."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
_LARGEST = (1 << 30, 1 << 25)
"""Bytes of a block that is given back to the system all the same, the moment that it is freed; what older versions of
glibc allow at most."""


@contextmanager
def kept() -> Iterator[None]:
    """Keep what is freed meanwhile; give it back to the system at the end.

    By default glibc returns every block of more than 32 MiB when it is freed. A network's step frees such blocks and
    asks for them again, and every time the system has to clear each of their pages: on a CPU, scoring with a small
    network took 2.5 times as long. What glibc is told holds for the process from then on; elsewhere than on glibc
    nothing is done.
    """
    library = ctypes.CDLL(None)
    # Both are needed: to set one alone fixes the other at its initial value, of 128 KiB.
    if not hasattr(library, "mallopt") or not any(library.mallopt(_M_MMAP_THRESHOLD, bytes_) for bytes_ in _LARGEST):
        yield
        return
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.malloc_trim(0)
