"""Splits that depend on labels and a seed alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.learning.split import split_folds


@given(
    counts=st.lists(st.integers(2, 12), min_size=1, max_size=5),
    n_folds=st.integers(2, 8),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_folds_deals_every_class_out_alike(counts, n_folds, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = split_folds(labels, n_folds, seed)
    assert np.array_equal(folds, split_folds(labels, n_folds, seed))
    assert np.ptp(np.bincount(folds, minlength=n_folds)) <= 1
    for label, count in enumerate(counts):
        of_class = np.bincount(folds[labels == label], minlength=n_folds)
        assert np.ptp(of_class) <= 1
        assert of_class.max() < count  # some of the class is left to learn from


def test_split_folds_differs_with_the_seed():
    labels = np.repeat([0, 1], 50)
    assert not np.array_equal(split_folds(labels, 5, 1), split_folds(labels, 5, 2))
