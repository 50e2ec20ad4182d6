from dataclasses import replace

import pytest

from pipeline.executor.flights import GRACE, Flight
from pipeline.executor.retries import Attempts
from pipeline.stage import Task
from pipeline.worker import Job, Outcome
from tests.pipeline.fakes import ORDERED

TASK = Task("ordered", "a", workers=3)
WELL = Outcome(TASK, elsewhere="there")
HELPED = Outcome(TASK, warnings=("hot",))
FAILED = Outcome(TASK, fault="it must be red")
MISSED = Outcome(TASK, fault="the other has gone", may_pass=True)
CRASHED = RuntimeError("killed")


def flight(*ended: object, now: float = 0.0) -> Flight:
    """Return a flight of three of which some have ended; None has not."""
    made = Flight(Job(ORDERED, TASK, {}, {}, "", 0), Attempts(0))
    made.begin(1)
    made.aloft = {rank: rank for rank in range(3)}
    for rank, result in enumerate(ended):
        if isinstance(result, Outcome | Exception):
            made.end(rank, result, now)
    return made


def test_flight_is_open_until_the_first_has_ended() -> None:
    assert flight().verdict(0.0) is None
    assert flight(None, HELPED, HELPED).verdict(99.0) is None
    assert flight(WELL).verdict(0.0) == (0, WELL)
    assert flight(WELL, HELPED, HELPED).verdict(0.0) == (0, replace(WELL, warnings=("hot",)))


@pytest.mark.parametrize("failure", [FAILED, CRASHED])
def test_failure_of_any_is_that_of_the_whole_at_once(failure: object) -> None:
    assert flight(None, failure).verdict(0.0) == (1, failure)
    assert flight(MISSED, MISSED, failure).verdict(0.0) == (2, failure)


def test_one_that_misses_another_is_heard_when_nobody_says_why() -> None:
    missed = flight(None, MISSED, now=10.0)
    assert missed.verdict(10.0 + GRACE - 0.1) is None
    assert missed.verdict(10.0 + GRACE) == (1, MISSED)
    assert flight(MISSED, MISSED, MISSED).verdict(0.0) == (0, MISSED)


def test_flight_that_begins_again_knows_nothing_of_the_last_time() -> None:
    again = flight(MISSED, FAILED)
    again.begin(2)
    assert again.number == 2
    assert (again.aloft, again.ended, again.group) == ({}, {}, None)
    assert again.verdict(99.0) is None
