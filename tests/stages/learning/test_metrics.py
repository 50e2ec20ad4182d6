"""Metrics, against small cases worked out by hand and second implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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


def test_interval_of_one_training_agrees_with_resampled_examples():
    generator = np.random.default_rng(0)
    correct_a, correct_b = generator.random(300) < 0.8, generator.random(300) < 0.7
    values = correct_a.astype(int) - correct_b.astype(int)
    interval = metrics.mean_interval(values[None], seed=1)
    means = values[generator.integers(0, 300, (4000, 300))].mean(axis=1)
    assert interval.mean == pytest.approx(correct_a.mean() - correct_b.mean())
    assert np.percentile(means, [2.5, 97.5]) == pytest.approx([interval.low, interval.high], abs=0.008)
    assert interval == metrics.mean_interval(values[None], seed=1)


def test_reliability_counts_each_bin():
    log_probs = np.log([[0.9, 0.1], [0.94, 0.06], [0.6, 0.4], [1 - 1e-16, 1e-16]])
    found = metrics.reliability(log_probs, np.array([0, 1, 0, 0]), bins=10)
    assert found.examples.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 2]
    assert found.right.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert found.confidence == pytest.approx(np.array([0, 0, 0, 0, 0, 0.6, 0, 0, 0.9, 1.94]))


def test_confusion_counts_by_true_and_predicted_class():
    assert metrics.confusion_counts(PROBS, LABELS).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]


def test_interval_of_one_training_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(0.3, 1, (1, 3000))
    found = metrics.mean_interval(values, seed=2)
    half = 1.96 * values.std() / np.sqrt(values.size)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.1 * half)
    assert found != metrics.mean_interval(values, seed=3)


@pytest.mark.parametrize("n_trainings", [1, 3])
def test_interval_of_equal_values_has_no_width(n_trainings):
    assert metrics.mean_interval(np.full((n_trainings, 9), 0.25), seed=0) == (0.25, 0.25, 0.25)


def test_interval_of_trainings_for_which_examples_are_alike_is_students():
    of_trainings = np.array([0.1, 0.3, 0.8])
    found = metrics.mean_interval(np.repeat(of_trainings[:, None], 50, axis=1), seed=0)
    ends = stats.t.interval(0.95, 2, of_trainings.mean(), stats.sem(of_trainings))
    assert found == pytest.approx((of_trainings.mean(), *ends))
    assert metrics.mean_interval(of_trainings[:, None], seed=0) == pytest.approx(found)


def test_deviation_is_that_of_a_sample():
    values = np.random.default_rng(0).normal(0.9, 0.01, 4)
    assert metrics.deviation(values) == pytest.approx(np.std(values, ddof=1))
    assert metrics.deviation([0.5, 0.5]) == 0


def test_interval_of_trainings_that_agree_is_that_over_examples():
    values = np.random.default_rng(0).normal(size=(1, 400))
    one, three = metrics.mean_interval(values, seed=1), metrics.mean_interval(np.repeat(values, 3, axis=0), seed=2)
    assert three == pytest.approx(one, abs=0.01)


@pytest.mark.parametrize("n_trainings", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_trainings", "of_examples", "of_both"), [(1, 0, 0), (0, 1, 0), (0.05, 0.7, 0.7), (0, 0, 1)]
)
def test_interval_over_trainings_holds_the_mean_as_often_as_it_says(n_trainings, of_trainings, of_examples, of_both):
    """Half of all intervals of the bootstrap over two trainings do not, where these are what varies."""
    random, n_examples, n_trials = np.random.default_rng(5), 200, 1500
    held = 0
    for _ in range(n_trials):
        values = of_trainings * random.normal(size=(n_trainings, 1)) + of_examples * random.normal(size=(1, n_examples))
        values = values + of_both * random.normal(size=(n_trainings, n_examples))
        interval = metrics.mean_interval(values, seed=0)
        held += interval.low <= 0 <= interval.high
    # The standard error of the share is 0.006; what is in both terms makes the interval wider by up to a half.
    assert held / n_trials > 0.93
    assert held / n_trials < (0.97 if of_both == 0 else 1)


@pytest.mark.parametrize(("n", "n_others"), [(2, 2), (2, 5), (3, 3)])
@pytest.mark.parametrize(("of_trainings", "of_examples", "of_both"), [(1, 0, 0), (0, 1, 0), (0.05, 0.7, 0.7)])
def test_unpaired_interval_holds_the_difference_as_often_as_it_says(n, n_others, of_trainings, of_examples, of_both):
    random, n_examples, n_trials = np.random.default_rng(5), 200, 1500
    held = 0
    for _ in range(n_trials):
        sides = [
            of_trainings * random.normal(size=(n_side, 1))
            + of_examples * random.normal(size=(1, n_examples))
            + of_both * random.normal(size=(n_side, n_examples))
            for n_side in (n, n_others)
        ]
        interval = metrics.unpaired_interval(*sides, seed=0)
        held += interval.low <= 0 <= interval.high
    assert 0.93 < held / n_trials < 0.985


def test_unpaired_interval_of_trainings_for_which_examples_are_alike_is_welchs():
    random = np.random.default_rng(2)
    values, others = random.normal(1, 1, 4), random.normal(0, 3, 6)
    found = metrics.unpaired_interval(*(np.repeat(side[:, None], 30, axis=1) for side in (values, others)), seed=0)
    expected = stats.ttest_ind(values, others, equal_var=False).confidence_interval()
    assert found == pytest.approx((values.mean() - others.mean(), expected.low, expected.high))


def test_unpaired_interval_with_a_single_training_is_over_examples():
    random = np.random.default_rng(3)
    one, three = random.normal(size=(1, 100)), random.normal(size=(3, 100))
    expected = metrics.mean_interval((one[0] - three.mean(axis=0))[None], seed=4)
    assert metrics.unpaired_interval(one, three, seed=4) == pytest.approx(expected)
