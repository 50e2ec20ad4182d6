"""Epochs in which all classes are shown equally often."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.learning import sampling


def drawn(counts, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return labels, sampling.balanced_epoch(labels, torch.Generator().manual_seed(seed))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 100))
def test_balanced_epoch_shows_classes_and_their_examples_equally_often(counts, seed):
    labels, epoch = drawn(counts, seed)
    assert len(epoch) == len(labels)
    of_class = np.bincount(labels[epoch], minlength=len(counts))
    assert of_class.max() - of_class.min() <= 1
    of_example = np.bincount(epoch, minlength=len(labels))
    assert all(np.ptp(of_example[labels == label]) <= 1 for label in range(len(counts)))


def test_balanced_epoch_leaves_out_others_each_time():
    labels, first = drawn([50, 5], 1)
    _, second = drawn([50, 5], 2)
    assert set(first[labels[first] == 0]) != set(second[labels[second] == 0])
    assert np.array_equal(first, drawn([50, 5], 1)[1])


def test_log_priors_are_the_logarithms_of_the_shares():
    assert np.allclose(np.exp(sampling.log_priors(np.array([0, 2, 2, 1, 2]), 3)), [0.2, 0.2, 0.6])
