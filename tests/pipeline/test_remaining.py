from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.events import RunState
from pipeline.remaining import seconds_left, task_seconds_left

FORESEEN = {"tasks": {"a": 10.0, "b": 20.0, "c": 30.0}, "seconds": 40.0}


def state_of(*story: tuple[float, str, Mapping[str, Any]]) -> RunState:
    state = RunState()
    for time, event, facts in story:
        state.apply({"time": time, "event": event, **facts})
    return state


def begun(task: str, time: float = 100.0) -> tuple[float, str, Mapping[str, Any]]:
    return time, "task_progress", {"task": task, "state": "running"}


def epoch(task: str, time: float, number: int, total: int) -> tuple[float, str, Mapping[str, Any]]:
    return time, "task_progress", {"task": task, "epoch": number, "epochs": total}


def test_before_any_task_it_is_what_was_foreseen() -> None:
    assert seconds_left(state_of((100.0, "foreseen", FORESEEN)), 107.0) == 40


def test_start_that_is_foreseen_is_counted_down_before_the_work() -> None:
    foreseen = (100.0, "foreseen", FORESEEN | {"start_seconds": 10.0})
    starting = (102.0, "executor_starting", {"reused": 0})
    assert seconds_left(state_of(foreseen), 101.0) == 50
    assert seconds_left(state_of(foreseen, starting), 106.0) == 46
    assert seconds_left(state_of(foreseen, starting, (107.0, "executor_ready", {})), 108.0) == 44
    assert seconds_left(state_of(foreseen, starting), 130.0) == 40
    done = (106.0, "task_finished", {"task": "a", "seconds": 1.0, "key": "k"})
    assert seconds_left(state_of(foreseen, starting, done), 106.0) == pytest.approx(50 * 40 / 60)


def test_what_is_unknown_is_not_told() -> None:
    assert seconds_left(state_of((100.0, "foreseen", FORESEEN | {"seconds": None})), 107.0) is None
    ended = (101.0, "run_ended", {"status": "done"})
    assert seconds_left(state_of((100.0, "foreseen", FORESEEN), ended), 107.0) is None


def test_work_that_is_left_goes_on_as_side_by_side_as_foreseen() -> None:
    done = (110.0, "task_finished", {"task": "a", "seconds": 10.0, "key": "k"})
    state = state_of((100.0, "foreseen", FORESEEN), begun("a"), begun("b"), done)
    assert seconds_left(state, 110.0) == pytest.approx((10 + 30) * 40 / 60)


def test_epochs_correct_what_was_foreseen() -> None:
    story = [(100.0, "foreseen", FORESEEN), begun("b"), epoch("b", 110.0, 1, 10), epoch("b", 120.0, 2, 10)]
    state = state_of(*story)
    assert task_seconds_left(state, "b", 120.0) == 80
    # Nothing ends before its longest task.
    assert seconds_left(state, 120.0) == pytest.approx(max(80, (10 + 80 + 30) * 40 / 60))


def test_first_epoch_which_has_the_start_in_it_tells_nothing_unless_it_was_long() -> None:
    state = state_of(begun("a"), epoch("a", 105.0, 1, 60))
    assert task_seconds_left(state, "a", 105.0) is None
    assert task_seconds_left(state_of(begun("a"), epoch("a", 200.0, 1, 3)), "a", 200.0) == 200.0
    assert task_seconds_left(state_of(begun("a"), epoch("a", 105.0, 1, 1)), "a", 105.0) == 0
    later = state_of(begun("a"), epoch("a", 105.0, 1, 60), epoch("a", 105.1, 2, 60))
    assert task_seconds_left(later, "a", 105.1) == pytest.approx(5.8)


def test_task_that_takes_longer_than_foreseen_is_nearly_done() -> None:
    state = state_of((100.0, "foreseen", FORESEEN), begun("a"))
    assert task_seconds_left(state, "a", 130.0) == 0


def test_nothing_is_known_of_a_task_that_was_not_foreseen_and_tells_nothing() -> None:
    state = state_of(begun("x"), begun("y"), epoch("y", 100.0, 0, 5))
    assert task_seconds_left(state, "x", 130.0) is None
    assert task_seconds_left(state, "y", 130.0) is None
    nothing = {"tasks": {}, "seconds": 0.0}
    assert seconds_left(state_of((100.0, "foreseen", nothing)), 101.0) == 0


def test_time_left_counts_the_work_before_a_checkpoint() -> None:
    resumed = (100.0, "task_progress", {"task": "a", "resumed": 18.0})
    state = state_of(begun("a"), resumed, epoch("a", 102.0, 10, 20))
    assert task_seconds_left(state, "a", 102.0) == pytest.approx(20.0)
