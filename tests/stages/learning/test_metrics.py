"""Metrics, against small cases worked out by hand and second implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.learning import metrics
from stages.learning.errors import LearningError

PROBS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6]])
LABELS = np.array([0, 0, 2, 2])


def test_accuracy_counts_the_most_probable_class():
    assert metrics.accuracy(PROBS, LABELS) == 0.5


def test_accuracy_gives_ties_to_the_lower_class():
    assert metrics.correct(np.zeros((2, 3)), np.array([0, 1])).tolist() == [True, False]


def test_top_k_widens_with_k():
    assert [metrics.top_k(PROBS, LABELS, k) for k in (1, 2, 3, 9)] == [0.5, 1.0, 1.0, 1.0]


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 5))
def test_top_k_agrees_with_a_stable_sort(seed, k):
    generator = np.random.default_rng(seed)
    scores, labels = generator.integers(0, 3, (20, 5)).astype(float), generator.integers(0, 5, 20)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert metrics.top_k(scores, labels, k) == np.mean((best == labels[:, None]).any(axis=1))
    assert metrics.top_k(scores, labels, 1) == metrics.accuracy(scores, labels)


def test_balanced_accuracy_weighs_classes_alike():
    scores = np.eye(3)[[0, 0, 0, 1]]
    assert metrics.balanced_accuracy(scores, np.array([0, 0, 0, 2])) == 0.5


def test_per_class_accuracy_is_none_where_there_is_no_example():
    scores = np.eye(4)[[0, 0, 1, 2]]
    assert metrics.per_class_accuracy(scores, np.array([0, 1, 1, 2])) == [1.0, 0.5, 1.0, None]


def test_conditional_accuracy_chooses_among_the_classes_alone():
    assert metrics.conditional_accuracy(PROBS[:, [0, 2]], LABELS, [0, 2]) == 1.0
    assert metrics.conditional_accuracy(PROBS[:, [1, 2]], LABELS, [1, 2]) == 0.5


def test_conditional_accuracy_needs_an_example():
    with pytest.raises(LearningError, match=r"labels must hold an example of the classes \[1\]"):
        metrics.conditional_accuracy(PROBS[:, [1]], LABELS, [1])


def test_nll_is_the_mean_of_minus_log_p():
    assert metrics.nll(np.log(PROBS), LABELS) == pytest.approx(-np.log([0.7, 0.3, 0.4, 0.6]).mean())


def test_ece_is_zero_where_confidence_is_accuracy_and_large_where_not():
    log_probs = np.log(np.tile([0.75, 0.25], (4, 1)))
    assert metrics.ece(log_probs, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert metrics.ece(log_probs, np.array([1, 1, 1, 1])) == pytest.approx(0.75)


@given(seed=st.integers(0, 2**32 - 1))
def test_ece_agrees_with_a_loop_over_bins(seed):
    generator = np.random.default_rng(seed)
    probs, labels = generator.dirichlet(np.ones(4) * 0.5, 30), generator.integers(0, 4, 30)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.ece(np.log(probs + 1e-300), labels) == pytest.approx(expected)


def test_ece_takes_certainty():
    log_probs = np.log(np.array([[1.0, 1e-300]], dtype=np.float64)).astype(np.float32)
    assert metrics.ece(log_probs, np.array([0])) == 0


def test_agreement_compares_most_probable_classes():
    assert metrics.agreement(PROBS, PROBS[[0, 0, 2, 3]]) == 0.75


def test_paired_bootstrap_agrees_with_resampled_examples():
    generator = np.random.default_rng(0)
    correct_a, correct_b = generator.random(300) < 0.8, generator.random(300) < 0.7
    interval = metrics.paired_bootstrap(correct_a, correct_b, seed=1)
    rows = generator.integers(0, 300, (4000, 300))
    means = (correct_a.astype(int) - correct_b.astype(int))[rows].mean(axis=1)
    assert interval.mean == pytest.approx(correct_a.mean() - correct_b.mean())
    assert np.percentile(means, [2.5, 97.5]) == pytest.approx([interval.low, interval.high], abs=0.008)
    assert interval == metrics.paired_bootstrap(correct_a, correct_b, seed=1)


def test_paired_bootstrap_of_equal_predictions_is_zero():
    right = np.array([True, False, True])
    assert metrics.paired_bootstrap(right, right, seed=0, resamples=100) == (0, 0, 0)


def test_reliability_counts_each_bin():
    log_probs = np.log([[0.9, 0.1], [0.94, 0.06], [0.6, 0.4], [1 - 1e-16, 1e-16]])
    found = metrics.reliability(log_probs, np.array([0, 1, 0, 0]), bins=10)
    assert found.examples.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 2]
    assert found.right.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert found.confidence == pytest.approx(np.array([0, 0, 0, 0, 0, 0.6, 0, 0, 0.9, 1.94]))


def test_confusion_counts_by_true_and_predicted_class():
    assert metrics.confusion_counts(PROBS, LABELS).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]


def test_bootstrap_mean_is_near_the_normal_interval():
    values = np.random.default_rng(1).normal(0.3, 1, 3000)
    found = metrics.bootstrap_mean(values, seed=2)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.1 * half)
    assert found == metrics.bootstrap_mean(values, seed=2)
    assert found != metrics.bootstrap_mean(values, seed=3)


def test_bootstrap_mean_of_flags_agrees_with_the_paired_one():
    rng = np.random.default_rng(0)
    a, b = rng.random(500) < 0.8, rng.random(500) < 0.7
    found = metrics.bootstrap_mean(a.astype(float) - b.astype(float), seed=4)
    assert found == pytest.approx(metrics.paired_bootstrap(a, b, seed=4), abs=0.004)


def test_bootstrap_mean_of_equal_values_has_no_width():
    assert metrics.bootstrap_mean(np.full(9, 0.25), seed=0) == (0.25, 0.25, 0.25)


def test_bootstrap_over_trainings_holds_their_spread():
    """All examples are alike: the trainings alone vary, and half of all draws of two have the same one twice."""
    values = np.stack([np.full(50, 1.0), np.full(50, -1.0)])
    assert metrics.bootstrap_mean(values, seed=0) == (0.0, -1.0, 1.0)


def test_bootstrap_over_trainings_that_agree_is_that_over_examples():
    values = np.random.default_rng(0).normal(size=400)
    one = metrics.bootstrap_mean(values, seed=1)
    three = metrics.bootstrap_mean(np.stack([values] * 3), seed=2)
    assert three.mean == pytest.approx(one.mean)
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.01)
