from typing import get_args

import pytest

from pipeline.executor.retries import LIMITS, Attempts, Cause

MOST = 100


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_cause_is_given_up_after_its_limit_and_apart_from_the_others(cause: Cause) -> None:
    attempts = Attempts(0)
    assert [attempts.again(cause, MOST) is not None for _ in range(LIMITS[cause] + 1)] == [True] * LIMITS[cause] + [
        False
    ]
    others = [other for other in LIMITS if other not in {cause, "memory"}]
    assert all(attempts.again(other, MOST) is not None for other in others)


def test_storage_is_waited_for_longer_each_time_and_for_more_than_ten_seconds() -> None:
    attempts = Attempts(0)
    pauses = [attempts.again("storage", MOST) or 0.0 for _ in range(LIMITS["storage"])]
    assert pauses == [1, 2, 4, 8]
    assert attempts.again("crash", MOST) == 0.0


@pytest.mark.parametrize(("asked", "expected"), [(0, [25, 50, 100]), (10, [25, 50, 100]), (40, [80, 100])])
def test_memory_grows_up_to_all_of_the_largest_node(asked: int, expected: list[int]) -> None:
    attempts = Attempts(asked)
    reserved = []
    while attempts.again("memory", MOST) is not None:
        reserved.append(attempts.memory)
    assert reserved == expected
