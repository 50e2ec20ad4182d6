import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKS = """
import ctypes, resource, sys, psutil
from contextlib import nullcontext
from pipeline import heap

SIZE = 64 << 20
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes, library.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(SIZE)
    ctypes.memset(block, 1, SIZE)
    library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = psutil.Process().memory_info().rss
with heap.kept() if sys.argv[1] == "kept" else nullcontext():
    first, second = faults(), faults()
    held = psutil.Process().memory_info().rss - before
after = psutil.Process().memory_info().rss - before
print(first, second, held, after)
"""
MIB = 1 << 20

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")


def measured(how: str) -> tuple[int, ...]:
    """Return page faults of two blocks of 64 MiB, one after the other, and what memory was held then and afterwards."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, check=True, cwd=root)
    return tuple(int(word) for word in done.stdout.split())


def test_a_block_that_was_freed_is_used_again_and_given_back_at_the_end() -> None:
    first, second, held, after = measured("kept")
    assert first > 1000
    assert second < 100
    assert held > 60 * MIB
    assert after < 10 * MIB


def test_without_it_each_block_is_new() -> None:
    _, second, held, _ = measured("not")
    assert second > 1000
    assert held < 10 * MIB
