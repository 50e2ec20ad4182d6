import numba
import numpy as np
import pytest

from specialists.prefetch import fetch


@numba.njit
def last_of(values, size):
    fetch(values, size)
    return values[size - 1]


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_compiled_fetch_asks_for_values_and_changes_none(dtype):
    values = np.arange(100, dtype=dtype)
    assert last_of(values, 70) == 69
    assert values.tolist() == list(range(100))
    (code,) = [text for types, text in last_of.inspect_llvm().items() if types[0].dtype == numba.from_dtype(dtype)]
    assert "call void @llvm.prefetch" in code


def test_interpreted_fetch_does_nothing():
    values = np.arange(3.0)
    fetch(values, 3)
    assert values.tolist() == [0.0, 1.0, 2.0]
