import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from specialists.errors import SpecialistsError
from specialists.subsets import (
    affinity,
    confusable_subsets,
    covariance_subsets,
    coverage,
    given_subsets,
    held_confusion,
    largest_size,
    shuffled_subsets,
    soft_confusion,
)

GROUPS = ((0, 3, 8), (1, 4, 9, 7), (2, 5, 6))


def grouped(groups=GROUPS, seed=0, noise=0.01):
    """A confusion with clear groups: most of what a class loses goes to its own group."""
    n_classes = sum(map(len, groups))
    rng = np.random.default_rng(seed)
    confusion = noise * rng.random((n_classes, n_classes))
    for group in groups:
        confusion[np.ix_(group, group)] += 0.1 + 0.1 * rng.random((len(group), len(group)))
    np.fill_diagonal(confusion, 2.0)
    return confusion / confusion.sum(axis=1, keepdims=True)


def unstructured(n_classes, seed=0):
    confusion = np.random.default_rng(seed).random((n_classes, n_classes))
    return confusion / confusion.sum(axis=1, keepdims=True)


def predictions(groups=GROUPS, seed=0, n_examples=400):
    """Predictions that share what is not certain among the classes of a group."""
    rng = np.random.default_rng(seed)
    n_classes = sum(map(len, groups))
    probs = np.full((n_examples, n_classes), 0.01)
    for row, group in zip(probs, rng.integers(len(groups), size=n_examples), strict=True):
        row[list(groups[group])] += rng.dirichlet(np.full(len(groups[group]), 8.0))
    return probs / probs.sum(axis=1, keepdims=True)


def back(found, order):
    """Return subsets of relabelled classes as they were called before."""
    return tuple(sorted(tuple(sorted(int(order[i]) for i in subset)) for subset in found))


def test_soft_confusion_averages_predictions_by_true_class():
    probs = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(soft_confusion(probs, np.array([0, 0, 1])), [[0.7, 0.3], [0.2, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("labels", [[0, 0], [0, 1, 2]])
def test_soft_confusion_refuses_classes_without_examples_and_unknown_ones(labels):
    with pytest.raises(SpecialistsError, match=r"labels must hold each class of 0\.\.1"):
        soft_confusion(np.full((len(labels), 2), 0.5), np.array(labels))


def test_soft_confusion_names_labels_that_are_no_classes():
    with pytest.raises(SpecialistsError, match=r"missing \[0\], 2 others"):
        soft_confusion(np.full((3, 2), 0.5), np.array([-1, 1, 2]))


@pytest.mark.parametrize(
    ("probs", "labels"),
    [(np.ones(2), np.array([0, 1])), (np.ones((3, 2)), np.array([0, 1])), (np.ones((2, 2)), np.array([0.0, 1.0]))],
)
def test_soft_confusion_refuses_shapes_that_do_not_fit_and_labels_that_are_no_integers(probs, labels):
    with pytest.raises(SpecialistsError, match=r"\(examples, classes\) and labels integers \(examples,\); got"):
        soft_confusion(probs, labels)


def test_affinity_is_symmetric_without_diagonal():
    found = affinity(unstructured(5))
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()


def test_confusable_subsets_find_clear_groups():
    assert confusable_subsets(grouped(), 3, seed=0) == tuple(sorted(tuple(sorted(group)) for group in GROUPS))


def test_confusable_subsets_follow_a_relabelling():
    confusion = grouped()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(10)
        found = confusable_subsets(confusion[np.ix_(order, order)], 3, seed=0)
        back = sorted(tuple(sorted(int(order[i]) for i in subset)) for subset in found)
        assert tuple(back) == confusable_subsets(confusion, 3, seed=0)


def test_confusable_subsets_follow_a_relabelling_even_without_clear_groups():
    confusion = unstructured(40)
    order = np.random.default_rng(1).permutation(40)
    found = confusable_subsets(confusion[np.ix_(order, order)], 6, seed=3)
    back = sorted(tuple(sorted(int(order[i]) for i in subset)) for subset in found)
    assert tuple(back) == confusable_subsets(confusion, 6, seed=3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_confusable_subsets_keep_their_bounds(data):
    n_classes = data.draw(st.integers(2, 14))
    count = data.draw(st.integers(1, n_classes // 2))
    sharpness = data.draw(st.sampled_from([0.0, 1.0, 20.0]))
    confusion = unstructured(n_classes, data.draw(st.integers(0, 99))) ** sharpness
    if n_classes == 2:
        return  # a subset of two out of two classes leaves no dustbin; refused, see below
    found = confusable_subsets(confusion, count, seed=0)
    assert len(set(found)) == count
    for subset in found:
        assert 2 <= len(set(subset)) == len(subset) <= max(2, largest_size(n_classes, count))
        assert len(subset) < n_classes
    if count > 1:
        assert coverage(found, n_classes).min() >= 1


@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_confusable_subsets_have_the_size_asked_for(size):
    found = confusable_subsets(grouped(), 3, size=size, seed=0)
    assert [len(subset) for subset in found] == [size] * 3
    assert len(set(found)) == 3


def test_confusable_subsets_of_a_size_keep_the_core_and_borrow_its_nearest():
    confusion = grouped()
    confusion[0, 1] += 0.3
    found = confusable_subsets(confusion, 3, size=4, seed=0)
    assert (0, 1, 3, 8) in found


def test_confusable_subsets_cope_with_a_generalist_that_confuses_nothing():
    found = confusable_subsets(np.eye(6), 2, seed=0)
    assert len(found) == 2
    assert held_confusion(np.eye(6), found).tolist() == [0.0, 0.0]


def test_confusable_subsets_are_the_same_for_the_same_seed():
    confusion = unstructured(30)
    assert confusable_subsets(confusion, 5, seed=1) == confusable_subsets(confusion, 5, seed=1)


def test_confusable_subsets_list_all_faults():
    with pytest.raises(SpecialistsError) as caught:
        confusable_subsets(-np.eye(6), 4, size=6, seed=0)
    assert str(caught.value).splitlines() == [
        "confusion must be square, finite and non-negative; got shape (6, 6)",
        "count must be within 1..3 for 6 classes; got 4",
        "size must be within 2..5 for 6 classes; got 6",
    ]


def test_confusable_subsets_refuse_two_classes():
    with pytest.raises(SpecialistsError, match="at least 3 classes; got 2"):
        confusable_subsets(np.eye(2), 1, seed=0)


def test_confusable_subsets_of_nearly_all_classes_differ():
    found = confusable_subsets(unstructured(6), 3, size=5, seed=0)
    assert len(set(found)) == 3


def test_confusable_subsets_take_any_seed_of_the_program():
    confusion = unstructured(12)
    assert confusable_subsets(confusion, 3, seed=2**63 - 1) == confusable_subsets(confusion, 3, seed=2**32 - 1)


def test_covariance_subsets_find_clear_groups():
    assert covariance_subsets(predictions(), 3, seed=0) == ((0, 3, 8), (1, 4, 7, 9), (2, 5, 6))


def test_covariance_subsets_follow_a_relabelling():
    for probs in (predictions(), np.random.default_rng(0).dirichlet(np.ones(30), size=500)):
        order = np.random.default_rng(2).permutation(probs.shape[1])
        for size in (None, 5):
            found = covariance_subsets(probs[:, order], 3, size=size, seed=0)
            assert back(found, order) == covariance_subsets(probs, 3, size=size, seed=0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_covariance_subsets_keep_their_bounds(data):
    n_classes = data.draw(st.integers(3, 14))
    count = data.draw(st.integers(1, n_classes // 2))
    size = data.draw(st.none() | st.integers(2, n_classes - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    probs = rng.dirichlet(np.full(n_classes, data.draw(st.sampled_from([0.05, 1.0]))), size=30)
    found = covariance_subsets(probs, count, size=size, seed=0)
    assert len(set(found)) == count
    for subset in found:
        assert len(set(subset)) == len(subset) < n_classes
        assert len(subset) == size or 2 <= len(subset) <= largest_size(n_classes, count)


def test_covariance_subsets_cope_with_predictions_that_never_differ():
    found = covariance_subsets(np.full((5, 6), 1 / 6, dtype=np.float32), 3, seed=0)
    assert len(set(found)) == 3
    assert coverage(found, 6).min() >= 1


def test_covariance_subsets_list_all_faults():
    with pytest.raises(SpecialistsError) as caught:
        covariance_subsets(np.full((1, 6), np.nan), 4, size=6, seed=0)
    assert str(caught.value).splitlines() == [
        "probs must be 2 examples or more, all finite; got shape (1, 6)",
        "count must be within 1..3 for 6 classes; got 4",
        "size must be within 2..5 for 6 classes; got 6",
    ]


def test_subsets_do_not_depend_on_the_number_of_threads():
    code = (
        "import numpy as np; from specialists.subsets import *; rng = np.random.default_rng(0);"
        "probs = rng.dirichlet(np.full(300, 0.1), size=900); labels = np.arange(900) % 300;"
        "print(covariance_subsets(probs, 8, seed=0), confusable_subsets(soft_confusion(probs, labels), 8, seed=0))"
    )
    one, three = (
        subprocess.run(
            [sys.executable, "-c", code],
            env={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    )
    assert one == three


def test_shuffled_subsets_keep_sizes_overlaps_and_cover():
    subsets = ((0, 1, 2), (2, 3), (2, 4, 5, 6))
    found = shuffled_subsets(subsets, 9, seed=3)
    assert sorted(map(len, found)) == [2, 3, 4]
    assert sorted(coverage(found, 9)) == sorted(coverage(subsets, 9))
    assert found == shuffled_subsets(subsets, 9, seed=3) == tuple(sorted(found))
    assert len({shuffled_subsets(subsets, 9, seed=seed) for seed in range(20)}) > 10


def test_shuffled_subsets_take_every_class_equally_often():
    counts = sum(coverage(shuffled_subsets(((0, 1), (2, 3, 4)), 10, seed=seed), 10) for seed in range(2000))
    assert abs(counts / 2000 - 0.5).max() < 0.06


def test_given_subsets_are_put_in_order():
    assert given_subsets([[5, 3], [2, 9, 0]], 10) == ((0, 2, 9), (3, 5))


def test_given_subsets_list_all_faults():
    with pytest.raises(SpecialistsError) as caught:
        given_subsets([[0, 0, 1], [0, 5], [1], [0, 1, 2, 3, 4], [1, 2], [2, 1]], 5)
    rule = "be at least 2 different classes out of 0..4, not all of them"
    assert str(caught.value).splitlines() == [
        f"subsets[0] must {rule}; got [0, 0, 1]",
        f"subsets[1] must {rule}; got [0, 5]",
        f"subsets[2] must {rule}; got [1]",
        f"subsets[3] must {rule}; got [0, 1, 2, 3, 4]",
        "subsets[5] must differ from subsets[4]; got [1, 2] twice",
    ]
    with pytest.raises(SpecialistsError, match="at least one; got none"):
        given_subsets([], 5)


def test_coverage_refuses_classes_that_there_are_not():
    with pytest.raises(SpecialistsError, match=r"subsets must be of classes 0\.\.2; got \[-1, 3\]"):
        coverage([(0, 3), (3, -1)], 3)


def test_covariance_subsets_refuse_what_is_no_table():
    with pytest.raises(SpecialistsError, match=r"probs must be \(examples, classes\); got shape \(4,\)"):
        covariance_subsets(np.ones(4), 1, seed=0)


def test_coverage_counts_subsets_of_each_class():
    assert coverage([(0, 1), (1, 3)], 5).tolist() == [1, 2, 0, 1, 0]
    assert coverage([], 3).tolist() == [0, 0, 0]


def test_held_confusion_is_all_of_it_for_groups_that_hold_everything():
    confusion = grouped(noise=0.0)
    assert held_confusion(confusion, GROUPS).sum() == pytest.approx(1.0)
    assert held_confusion(confusion, [(0, 3)])[0] < 0.2


def test_subsets_import_neither_torch_nor_sklearn():
    code = "import sys, specialists.subsets; print({'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
