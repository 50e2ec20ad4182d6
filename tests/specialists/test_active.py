import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from specialists.active import active_set
from specialists.errors import SpecialistsError


def test_active_set_takes_the_subsets_that_meet_the_most_probable_classes():
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 4.0, 0.0, 0.0]])
    subsets = [torch.tensor([0, 2]), torch.tensor([3, 0]), torch.tensor([1, 2])]
    assert active_set(logits, subsets, 2).tolist() == [[False, True, True], [True, True, True]]
    assert active_set(logits, subsets, 1).tolist() == [[False, False, True], [True, True, False]]


def test_active_set_gives_ties_to_lower_class_ids():
    logits = torch.zeros(1, 5, dtype=torch.float16)
    assert active_set(logits, [torch.tensor([0, 4]), torch.tensor([1, 4]), torch.tensor([2, 4])], 2).tolist() == [
        [True, True, False]
    ]


@given(st.data())
def test_active_set_agrees_with_a_stable_sort(data):
    values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("-inf"), float("inf")])
    logits = data.draw(st.lists(values, min_size=2, max_size=8))
    n = data.draw(st.integers(1, len(logits)))
    top = np.argsort(-np.array(logits), kind="stable")[:n]
    singles = [torch.tensor([i]) for i in range(len(logits))]
    active = active_set(torch.tensor([logits]), singles, n)
    assert active[0].nonzero().squeeze(1).tolist() == sorted(top.tolist())


def test_active_set_without_specialists_is_empty():
    assert active_set(torch.zeros(3, 4), [], 2).shape == (3, 0)


@pytest.mark.parametrize("n", [0, 5])
def test_active_set_refuses_a_number_of_classes_out_of_range(n):
    with pytest.raises(SpecialistsError, match=f"within 1..4; got {n}"):
        active_set(torch.zeros(3, 4), [], n)


def test_active_set_lists_all_faults():
    with pytest.raises(SpecialistsError) as caught:
        active_set(
            torch.zeros(3, 4), [torch.tensor([-1, 0]), torch.tensor([1, 4]), torch.tensor([1], dtype=torch.int32)], 9
        )
    assert str(caught.value).splitlines() == [
        "subsets[0] must be different classes out of 0..3, not all of them; got [-1, 0]",
        "subsets[1] must be different classes out of 0..3, not all of them; got [1, 4]",
        "subsets[2] must be int64 of one dimension; got torch.int32 (1,)",
        "the number of active classes must be within 1..4; got 9",
    ]


@pytest.mark.parametrize("logits", [torch.zeros(3), torch.zeros(3, 4, dtype=torch.int64)])
def test_active_set_refuses_logits_that_are_no_table(logits):
    with pytest.raises(SpecialistsError, match=r"must be float \(batch, classes\); got"):
        active_set(logits, [], 1)


def test_active_set_takes_an_empty_batch():
    assert active_set(torch.zeros(0, 4), [torch.tensor([1])], 2).shape == (0, 1)


def test_active_set_refuses_nan():
    with pytest.raises(SpecialistsError, match="must not be NaN"):
        active_set(torch.tensor([[0.0, float("nan"), 1.0]]), [torch.tensor([0, 1])], 1)
