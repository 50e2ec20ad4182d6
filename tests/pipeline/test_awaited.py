from itertools import pairwise
from pathlib import Path

from pipeline.awaited import LONGEST, SHORTEST, Awaited
from pipeline.store import Store
from pipeline.store.work import WorkClaims

KEY, OTHER = "a" * 64, "b" * 64


def test_what_is_awaited_is_looked_for_less_and_less_often_until_it_comes(tmp_path: Path) -> None:
    files, now = Store.open(str(tmp_path)).files, [0.0]
    awaited = Awaited(WorkClaims(files, "ours"), clock=lambda: now[0])
    assert awaited.look({}) == set()
    with WorkClaims(files, "theirs").working(KEY):
        awaited.add("task", KEY)
        looks: list[float] = []
        while len(looks) < 20:
            now[0] += SHORTEST / 2
            if not awaited.resting():
                looks.append(now[0])
            assert awaited.look({}) == {"task"}
        pauses = [round(after - before, 6) for before, after in pairwise(looks)]
        assert pauses == sorted(pauses)
        assert SHORTEST <= pauses[0] < 3 * SHORTEST
        assert LONGEST <= pauses[-1] < LONGEST + SHORTEST
        now[0] += LONGEST
        assert awaited.look({"task": object()}) == set()


def test_what_nobody_does_any_more_is_not_awaited(tmp_path: Path) -> None:
    files, now = Store.open(str(tmp_path)).files, [0.0]
    awaited = Awaited(WorkClaims(files, "ours"), clock=lambda: now[0])
    with WorkClaims(files, "theirs").working(KEY):
        awaited.add("gone", OTHER)
        awaited.add("task", KEY)
        assert awaited.look({}) == {"gone", "task"}  # too early to know
        now[0] += SHORTEST
        assert awaited.look({}) == {"task"}
        assert awaited.resting() == {"task"}


def test_pause_lasts_until_the_next_look(tmp_path: Path) -> None:
    awaited = Awaited(WorkClaims(Store.open(str(tmp_path)).files, "ours"))
    awaited.add("task", KEY)
    awaited.pause()
    assert not awaited.resting()
