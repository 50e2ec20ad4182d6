import numpy as np
import pytest

from specialists.block import Accuracy, Active, Block, Subsets


def block_of(active, subsets, dtype=np.uint16):
    """A block of which layouts read only who is active and the subsets."""
    counts = [len(row) for row in active]
    return Block(
        np.empty((len(active), 1)),
        np.empty(0),
        Subsets(
            np.array([i for subset in subsets for i in subset], dtype),
            np.cumsum([0, *(len(subset) for subset in subsets)], dtype=np.int64),
        ),
        Active(
            np.cumsum([0, *counts], dtype=np.int64),
            np.array([m for row in active for m in row], dtype=np.int64),
            np.empty(sum(counts), np.int64),
        ),
        Accuracy(0.0, 0.0, 0.0, 0.0),
        np.empty((len(active), 1)),
        np.empty(len(active)),
        np.empty(len(active), np.int64),
    )


def found(layout, subsets):
    """By class, the bits of the subsets that hold it, as a layout tells; its slots are checked beside."""
    keys = {}
    for k, key in enumerate(layout.keys.tolist()):
        for t in range(layout.starts[k], layout.starts[k + 1]):
            keys[int(layout.classes[t])] = key
    assert layout.classes[layout.slots].tolist() == [i for subset in subsets for i in subset]
    return keys


def expected(subsets):
    return {i: sum(1 << e for e, subset in enumerate(subsets) if i in subset) for i in {i for s in subsets for i in s}}


@pytest.mark.parametrize("n_active", [0, 1, 2, 5, 12, 62])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_layout_tells_who_holds_each_class(interpreted, n_active, share):
    layouts = interpreted["layouts"]
    rng = np.random.default_rng(n_active)
    subsets = [np.flatnonzero(rng.random(20) < share).tolist() or [3] for _ in range(n_active)]
    n_outputs = sum(map(len, subsets))
    kept = layouts.room_for_layouts(1, 20, n_outputs, 0)
    layout = layouts.find(0, block_of([range(n_active)], subsets), kept)
    assert found(layout, subsets) == expected(subsets)
    assert layout.keys[0] == 0
    assert layout.starts[:2].tolist() == [0, 0][: len(layout.starts)]
    assert len(set(layout.keys.tolist())) == len(layout.keys)
    assert not kept.numbers.any()


def test_layout_of_identical_and_nested_subsets_has_no_empty_pattern(interpreted):
    layouts = interpreted["layouts"]
    subsets = [[4, 2], [2, 4], [4, 2, 7], [7]]
    kept = layouts.room_for_layouts(1, 9, 8, 0)
    layout = layouts.find(0, block_of([range(4)], subsets), kept)
    assert found(layout, subsets) == {4: 0b0111, 2: 0b0111, 7: 0b1100}
    assert np.diff(layout.starts).tolist() == [0, 2, 1]


def test_layout_tells_classes_apart_whose_ids_need_more_than_16_bits(interpreted):
    layouts = interpreted["layouts"]
    subsets = [[70_000, 4_464], [4_464 + (1 << 16)]]
    dtype = layouts.class_dtype(70_001)
    assert (layouts.class_dtype(1 << 16), dtype) == (np.uint16, np.uint32)
    kept = layouts.room_for_layouts(1, 70_001, 3, 0)
    layout = layouts.find(0, block_of([range(2)], subsets, dtype), kept)
    assert found(layout, subsets) == {70_000: 0b11, 4_464: 0b01}


def test_layouts_are_made_once_for_each_set_of_specialists(interpreted):
    layouts = interpreted["layouts"]
    block = block_of([[0, 1], [1], [0, 1], [1], []], [[0, 1], [1, 2]])
    kept = layouts.room_for_layouts(5, 3, 4, 1_000)
    layouts.fetch_entries(0, block, kept)  # asks for nothing, and makes nothing
    assert not kept.used.any()
    numbers = [int(layouts.find(b, block, kept).classes.size) for b in range(5)]
    assert numbers == [3, 2, 3, 2, 0]
    assert kept.used.tolist()[-1] == 3


@pytest.mark.parametrize("n_entries", [0, 40, 10_000])
def test_layouts_are_forgotten_when_there_is_no_room_and_made_again(interpreted, n_entries):
    layouts = interpreted["layouts"]
    rng = np.random.default_rng(0)
    subsets = [rng.permutation(12)[:4].tolist() for _ in range(8)]
    active = [sorted(rng.permutation(8)[: rng.integers(4)].tolist()) for _ in range(200)]
    block = block_of(active, subsets)
    kept = layouts.room_for_layouts(20, 12, 12, n_entries)
    for b, row in enumerate(active):
        chosen = [subsets[m] for m in row]
        assert found(layouts.find(b, block, kept), chosen) == expected(chosen)
