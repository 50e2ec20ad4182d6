"""Claims on the work on a recipe."""

from dataclasses import asdict

import pytest

from pipeline.errors import StoreError
from pipeline.store import Store
from pipeline.store.processes import temporary_name
from pipeline.store.records import seal
from pipeline.store.work import EXPIRES_SECONDS, WorkClaims, Worker, work_path
from tests.waiting import wait_until

KEY = "a" * 64
ELSEWHERE = "elsewhere_0_1_1_0"


@pytest.fixture(params=["store", "bucket"])
def files(request):
    """The files of a store in a folder, and of one in an object store."""
    found = request.getfixturevalue(request.param)
    return Store.open(found).files if isinstance(found, str) else found.files


def claimed_by(files, run: str, process: str) -> None:
    files.publish([seal(asdict(Worker(run, process)))], lambda _: work_path(KEY))


def dead() -> str:
    host, space, pid, start, chance = temporary_name().split("_")
    return "_".join([host, space, pid, str(int(start) - 1), chance])


def test_work_is_one_runs_at_a_time(files):
    first, second = WorkClaims(files, "first"), WorkClaims(files, "second")
    with first.working(KEY) as other:
        assert other == ""
        assert second.holder(KEY) == "first"
        with second.working(KEY) as holder:
            assert holder == "first"
        assert second.holder(KEY) == "first"  # it was not the second's to give up
    assert second.holder(KEY) == ""
    with second.working(KEY) as other:
        assert other == ""
    assert files.names("working") == []


def test_other_work_is_free(files):
    with WorkClaims(files, "first").working(KEY), WorkClaims(files, "second").working("b" * 64) as other:
        assert other == ""


def test_work_is_given_up_when_it_fails(files):
    claims = WorkClaims(files, "first")
    with pytest.raises(ZeroDivisionError), claims.working(KEY):
        raise ZeroDivisionError
    assert files.names("working") == []


def test_claim_of_a_dead_process_of_this_host_is_taken_over_at_once(files):
    claimed_by(files, "first", dead())
    claims = WorkClaims(files, "second")
    assert claims.holder(KEY) == ""
    with claims.working(KEY) as other:
        assert other == ""
        assert WorkClaims(files, "third").holder(KEY) == "second"


def test_claim_of_an_earlier_attempt_of_the_same_run_is_taken_over_at_once(files):
    claimed_by(files, "first", ELSEWHERE)
    with WorkClaims(files, "first").working(KEY) as other:
        assert other == ""


def test_claim_from_another_host_is_taken_over_when_it_shows_no_life(files):
    claimed_by(files, "first", ELSEWHERE)
    now = [0.0]
    claims = WorkClaims(files, "second", clock=lambda: now[0])
    assert claims.holder(KEY) == "first"
    now[0] = EXPIRES_SECONDS
    assert claims.holder(KEY) == "first"
    with claims.working(KEY) as other:
        assert other == "first"
    now[0] = EXPIRES_SECONDS + 1
    assert claims.holder(KEY) == ""
    with claims.working(KEY) as other:
        assert other == ""


def test_sign_of_life_from_another_host_puts_the_end_off(files):
    claimed_by(files, "first", ELSEWHERE)
    now = [0.0]
    claims = WorkClaims(files, "second", clock=lambda: now[0])
    before = files.stat(work_path(KEY))
    assert claims.holder(KEY) == "first"

    def is_fresh() -> bool:
        files.freshen(work_path(KEY))
        return files.stat(work_path(KEY)) != before

    wait_until(is_fresh, "the claim must look fresh", pause=0.2)  # an object store counts in seconds
    for now[0] in (EXPIRES_SECONDS + 1, 2 * EXPIRES_SECONDS):
        assert claims.holder(KEY) == "first"
    now[0] = 2 * EXPIRES_SECONDS + 2
    assert claims.holder(KEY) == ""


def test_whoever_works_shows_that_it_lives(store):
    with WorkClaims(store.files, "first", heartbeat=0.01).working(KEY):
        before = store.files.stat(work_path(KEY))
        wait_until(lambda: store.files.stat(work_path(KEY)) != before, "the claim must be freshened")


def test_claim_that_was_taken_over_is_not_given_up_by_its_former_owner(store):
    first = WorkClaims(store.files, "first")
    with first.working(KEY):
        store.files.delete(work_path(KEY))
        claimed_by(store.files, "second", ELSEWHERE)
    assert first.holder(KEY) == "second"


def test_damaged_claim_holds_nobody_up(store):
    store.files.publish([b"{"], lambda _: work_path(KEY))
    claims = WorkClaims(store.files, "first")
    assert claims.holder(KEY) == ""
    with claims.working(KEY) as other:
        assert other == ""


def test_work_goes_on_where_a_claim_cannot_be_had(store):
    """Somebody who claims again and again in between, as no real run does: it only saves work."""
    claims = WorkClaims(store.files, "first")
    read = store.files.read

    def vanishing(path: str) -> object:
        content = read(path)
        return None if path == work_path(KEY) else content

    claimed_by(store.files, "second", ELSEWHERE)
    store.files.read = vanishing
    with claims.working(KEY) as other:
        assert other == ""


def test_giving_up_a_claim_raises_nothing(store):
    claims = WorkClaims(store.files, "first")
    delete = store.files.delete

    def refuse(path: str) -> None:
        raise StoreError("the store must be writable")

    with claims.working(KEY):
        store.files.delete = refuse
    store.files.delete = delete


def test_sweep_deletes_the_claims_of_the_dead_alone(files):
    claimed_by(files, "first", dead())
    other = work_path("b" * 64)
    files.publish([seal(asdict(Worker("second", temporary_name())))], lambda _: other)
    third = work_path("c" * 64)
    files.publish([seal(asdict(Worker("third", ELSEWHERE)))], lambda _: third)
    claims = WorkClaims(files, "mine")
    assert claims.sweep() == [work_path(KEY)]
    assert files.names("working") == [other, third]
