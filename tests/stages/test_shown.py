"""Pixels in memory or read batch by batch: the same ones."""

import threading
from itertools import count, islice

import numpy as np
import pytest
import torch

from pipeline.stage import Artifact
from stages.shown import Pixels, ahead, replayed_view

ROOM = 2**20


def read_only(dataset):
    """Return a data set as it comes out of a store: arrays that cannot be written to."""
    arrays = {name: np.broadcast_to(array, array.shape) for name, array in dataset.arrays.items()}
    return Artifact(arrays, dataset.facts)


def test_pixels_are_the_same_in_memory_and_read_batch_by_batch(dataset, two_views):
    resident, streamed = (Pixels.of(read_only(dataset), budget=budget) for budget in (ROOM, 100))
    assert streamed.resident is None
    assert resident.resident is not None
    examples, view = replayed_view(two_views[1], np.random.default_rng(0).permutation(240))
    one, other = resident.show(examples, view), streamed.show(examples, view)
    assert len(one) == len(other) == 240
    for rows in (slice(0, 7), slice(230, 500), slice(None)):
        assert torch.equal(one[rows], other[rows])
    assert torch.equal(resident.seen(examples), torch.from_numpy(dataset.arrays["images"][examples]))


@pytest.mark.parametrize("tables", ["combined", "none"])
def test_students_are_the_same_whatever_is_in_memory(train_student, combined_tables, tables):
    targets = combined_tables if tables == "combined" else []
    found = [train_student(targets, memory_budget=budget, epochs=2) for budget in (0.0, 2.1e-5, 1.0)]
    for other in found[1:]:
        assert all(np.array_equal(found[0].arrays[name], other.arrays[name]) for name in other.arrays)
        assert other.facts == found[0].facts


def test_ahead_yields_all_in_order_and_makes_one_while_another_is_used():
    made = []

    def numbers():
        for number in islice(count(), 4):
            made.append((number, threading.current_thread() is threading.main_thread()))
            yield number

    assert list(ahead(numbers())) == [0, 1, 2, 3]
    assert made == [(number, False) for number in range(4)]


def test_ahead_passes_on_what_goes_wrong():
    def broken():
        yield 1
        raise ValueError("the disk must be readable")

    found = ahead(broken())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the disk must be readable"):
        next(found)
