"""Which examples show what the specialists changed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages import changes

LABELS = np.zeros(6, dtype=np.int64)
BEFORE = np.log([[0.4, 0.6], [0.45, 0.55], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.7, 0.3]])
AFTER = np.log([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.8, 0.2], [0.1, 0.9], [0.6, 0.4]])


def test_examples_put_right_and_made_wrong_take_turns_and_the_rest_follows():
    assert changes.shown_examples(BEFORE, AFTER, LABELS).tolist() == [1, 2, 0, 4, 5]
    assert changes.shown_examples(BEFORE, AFTER, LABELS, 2).tolist() == [1, 2]


def test_classes_take_turns():
    labels = np.array([0, 0, 0, 1, 1, 2])
    before, after = (
        np.log(np.where(labels[:, None] == np.arange(3), probs, (1 - probs) / 2))
        for probs in (np.full((6, 1), 0.2), np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]]))
    )
    assert changes.shown_examples(before, after, labels).tolist() == [0, 3, 5, 1, 4, 2]
    assert changes.shown_examples(before, after, labels, 3).tolist() == [0, 3, 5]


def test_nothing_is_shown_where_nothing_moved():
    assert changes.shown_examples(BEFORE, BEFORE, LABELS).tolist() == []
    assert changes.counts(BEFORE, BEFORE, LABELS) == {"right": 0, "wrong": 0, "another": 0}


def test_counts():
    assert changes.counts(BEFORE, AFTER, LABELS) == {"right": 2, "wrong": 1, "another": 0}
    three = np.log([[0.1, 0.5, 0.4]]), np.log([[0.1, 0.4, 0.5]])
    assert changes.counts(*three, np.array([0])) == {"right": 0, "wrong": 0, "another": 1}


@given(st.integers(0, 2**32 - 1))
def test_what_changed_most_is_shown_first(seed):
    rng = np.random.default_rng(seed)
    before, after = (np.log(rng.dirichlet(np.ones(3), 40)) for _ in range(2))
    labels = rng.integers(0, 3, 40)
    shown = changes.shown_examples(before, after, labels)
    counts = changes.counts(before, after, labels)
    right = (before.argmax(1) != labels) & (after.argmax(1) == labels)
    wrong = (before.argmax(1) == labels) & (after.argmax(1) != labels)
    assert (counts["right"], counts["wrong"]) == (right.sum(), wrong.sum())
    assert len(shown) == 12
    assert (right | wrong)[shown].sum() == min(12, (right | wrong).sum())
    for kind in (right, wrong):
        of_kind = labels[shown[kind[shown]]].tolist()
        n = len(set(labels[kind]))
        assert len(of_kind[:n]) == len(set(of_kind[:n]))
    if right.sum() and wrong.sum():
        assert right[shown[0]]
        assert wrong[shown[1]]
