"""Checkpoints: the furthest one that is whole, none of anybody else's, and gone when nobody needs them."""

import numpy as np
import pytest

from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Store, verify
from pipeline.store.checkpoints import CHECKPOINTS, SHARE, CheckpointName, KeptCheckpoint
from pipeline.store.prune import Prune
from pipeline.store.usage import usage

RECIPE = {"stage": "student", "seed": 1}
KEY = key_of(RECIPE)
FACTS = {"step": 3, "history": [{"loss": 0.1 + 0.2}]}


class Clock:
    """A clock that stands still but for what is added to it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(params=["folder", "object store"])
def place(request, tmp_path):
    """The location of a store, of either kind."""
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("bucket")


def kept(store, *, key=KEY, seconds=0.0, clock=None, **options):
    return KeptCheckpoint(store, key, seconds=seconds, clock=clock or Clock(), **options)


def weights(position):
    return {"model/weight": np.full((2, 3), position, dtype=np.float32), "model/n": np.array(position)}


def positions(store):
    return [CheckpointName.parse(path).position for path in store.files.names(CHECKPOINTS)]


def damage(store):
    for path in store.files.names(CHECKPOINTS):
        data = bytearray(store.files.read(path).data)
        data[len(data) // 2] ^= 1
        store.files.replace(path, bytes(data))


def test_what_is_loaded_is_what_was_kept_last(place):
    store = Store.open(place)
    kept(store).save(weights(1), {"step": 1}, position=1)
    kept(store).save(weights(3), FACTS, position=3)
    found = kept(Store.open(place)).load()
    assert found.facts == FACTS
    assert {name: array.tolist() for name, array in found.arrays.items()} == {
        name: array.tolist() for name, array in weights(3).items()
    }
    assert positions(store) == [3]


def test_nothing_is_loaded_where_nothing_is_or_of_another_task(place):
    store = Store.open(place)
    assert kept(store).load() is None
    kept(store, key="b" * 64).save(weights(1), FACTS, position=1)
    assert kept(store).load() is None
    kept(store).clear()
    assert positions(store) == [1]


def test_a_writer_that_is_behind_harms_nobody(place):
    store = Store.open(place)
    kept(store).save(weights(7), FACTS, position=7)
    kept(store).save(weights(2), FACTS, position=2)
    assert kept(store).load().arrays["model/n"] == 7


def test_a_damaged_one_is_told_and_an_earlier_one_taken(place):
    store = Store.open(place)
    kept(store).save(weights(5), FACTS, position=5)
    damage(store)
    kept(store).save(weights(2), FACTS, position=2)
    assert [fault.what for fault in verify(store)] == ["does not match the digest in its name"]
    assert kept(store).load().arrays["model/n"] == 2
    assert len(store.damages) == 1
    assert "does not match its digest; it is now aside/" in store.damages[0]
    assert positions(store) == [2]
    damage(store)
    assert kept(store).load() is None
    assert verify(store) == []


def test_one_that_fits_nothing_is_put_aside(place):
    store = Store.open(place)
    kept(store).save(weights(5), FACTS, position=5)
    checkpoint = kept(store)
    checkpoint.load()
    checkpoint.discard("is of another network")
    assert "is of another network" in store.damages[0]
    assert kept(store).load() is None
    checkpoint.discard("is gone by now")
    assert len(store.damages) == 1


def test_clear_deletes_all_of_one_task(place):
    store = Store.open(place)
    for position in (9, 4):
        kept(store).save(weights(position), FACTS, position=position)
    kept(store).clear()
    assert positions(store) == []


def test_the_time_for_one_comes_again_and_again(tmp_path):
    clock = Clock()
    checkpoint = kept(Store.open(str(tmp_path)), seconds=60.0, clock=clock)
    assert not checkpoint.is_due()
    clock.now = 60.0
    assert checkpoint.is_due()
    checkpoint.save(weights(1), FACTS, position=1)
    assert not checkpoint.is_due()
    clock.now = 120.0
    assert checkpoint.is_due()


def test_slow_ones_are_rare(tmp_path):
    store, clock = Store.open(str(tmp_path)), Clock()
    files, publish = store.files, store.files.publish

    class Slow:
        def __getattr__(self, name):
            return getattr(files, name)

        def publish(self, *arguments):
            clock.now += 10.0
            return publish(*arguments)

    store.files = Slow()
    checkpoint = kept(store, seconds=60.0, clock=clock)
    checkpoint.save(weights(1), FACTS, position=1)
    took, clock.now = clock.now, clock.now + 10.0 * (1 / SHARE - 1) - 1
    assert took == 10.0
    assert not checkpoint.is_due()
    clock.now += 1
    assert checkpoint.is_due()


def test_the_seconds_of_all_attempts_are_counted(tmp_path):
    store, clock, told = Store.open(str(tmp_path)), Clock(), []
    first = kept(store, clock=clock, resumed=told.append)
    clock.now = 40.0
    first.save(weights(1), FACTS, position=1)
    second = kept(store, clock=clock, resumed=told.append)
    second.load()
    assert second.spent == 40.0
    clock.now = 42.0
    second.save(weights(2), FACTS, position=2)
    third = kept(store, clock=clock, resumed=told.append)
    third.load()
    assert third.spent == 42.0
    third.discard("is of another network")
    assert third.spent == 0.0
    assert told == [40.0, 42.0, 0.0]


def test_a_full_disk_is_told_and_stops_nobody(small_disk):
    store = Store.open(str(small_disk))
    kept(store).save({"big": np.zeros(2**20, dtype=np.uint8)}, FACTS, position=1)
    assert "a checkpoint could not be kept, and the task goes on" in store.damages[0]
    assert positions(store) == []


def test_prune_deletes_those_of_finished_results_and_old_ones(tmp_path):
    store = Store.open(str(tmp_path))
    store.save(RECIPE, Artifact(facts={"done": True}), seconds=1.0)
    store.record_run("run", {"student": KEY})
    kept(store).save(weights(9), FACTS, position=9)
    kept(store, key="b" * 64).save(weights(1), FACTS, position=1)
    assert usage(store).checkpoints == sum(store.files.stat(path).bytes for path in store.files.names(CHECKPOINTS))
    assert not Prune(store, days=1, grace=1).doomed().checkpoints
    work = Prune(store, days=1, grace=-1)  # as if all were older than that
    doomed = work.doomed()
    assert [CheckpointName.parse(path).key for path in doomed.checkpoints] == [KEY]
    assert doomed.bytes >= usage(store).checkpoints / 2
    work.delete(doomed)
    assert positions(store) == [1]
    work = Prune(store, days=-1, grace=1)
    work.delete(work.doomed())
    assert positions(store) == []
