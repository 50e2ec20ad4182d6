"""Shifts that make mean probabilities what they should be."""

import pytest
import torch

from specialists.errors import SpecialistsError
from specialists.frequencies import TOLERANCE, frequency_shift


def random_logits(seed, n=200, classes=6, scale=3.0):
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mean_probs(logits):
    return logits.double().softmax(dim=1).mean(dim=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 30.0])
def test_shift_meets_the_frequencies(seed, scale):
    logits = random_logits(seed, scale=scale)
    frequencies = random_logits(seed + 100, n=1).softmax(dim=1)[0]
    shift = frequency_shift(logits, frequencies)
    assert (mean_probs(logits + shift) - frequencies).abs().max() <= TOLERANCE
    assert shift.sum().abs() < 1e-9


def test_shift_undoes_a_shift():
    logits = random_logits(3)
    frequencies = mean_probs(logits)
    moved = torch.tensor([7.0, -3.0, 0.0, 1.0, -4.0, -1.0], dtype=torch.float64)
    assert torch.allclose(frequency_shift(logits + moved, frequencies), -moved, atol=1e-3)


def test_shift_is_the_same_in_any_mode_and_leaves_no_gradient():
    logits, frequencies = random_logits(3), random_logits(4, n=1).softmax(dim=1)[0]
    expected = frequency_shift(logits, frequencies)
    learning = logits.clone().requires_grad_()
    assert torch.equal(frequency_shift(learning, frequencies), expected)
    assert learning.grad is None
    with torch.inference_mode():
        of_inference = logits.clone(), frequencies.clone()
        assert torch.equal(frequency_shift(*of_inference), expected)
    assert torch.equal(frequency_shift(*of_inference), expected)


def test_shift_raises_a_class_that_was_left_out():
    logits = random_logits(5).float()
    logits[:, 2] -= 40.0
    shift = frequency_shift(logits, torch.full((6,), 1 / 6))
    assert shift.argmax() == 2
    assert shift[2] > 20.0
    assert mean_probs(logits + shift)[2].item() == pytest.approx(1 / 6, abs=TOLERANCE)


def test_shift_follows_a_relabelling_of_the_classes():
    logits, order = random_logits(7), torch.tensor([3, 0, 5, 1, 4, 2])
    frequencies = random_logits(8, n=1).softmax(dim=1)[0]
    shift = frequency_shift(logits, frequencies)
    assert torch.allclose(frequency_shift(logits[:, order], frequencies[order]), shift[order], atol=1e-4)


def test_shift_of_two_classes_and_one_example_is_in_closed_form():
    shift = frequency_shift(torch.tensor([[1.0, 0.0]]), torch.tensor([0.5, 0.5]))
    assert torch.allclose(shift, torch.tensor([-0.5, 0.5], dtype=torch.float64), atol=1e-5)


def test_shift_is_found_where_gradients_are_off():
    with torch.no_grad():
        assert frequency_shift(random_logits(1), torch.full((6,), 1 / 6)).requires_grad is False


@pytest.mark.parametrize(
    ("logits", "frequencies", "message"),
    [
        (torch.zeros(3), torch.ones(3) / 3, "logits must be float"),
        (torch.zeros(0, 2), torch.ones(2) / 2, "one or more"),
        (torch.zeros(4, 2, dtype=torch.int64), torch.ones(2) / 2, "logits must be float"),
        (torch.zeros(4, 2), torch.ones(3) / 3, "frequencies"),
        (torch.full((4, 2), torch.nan), torch.ones(2) / 2, "logits must be finite"),
        (torch.zeros(4, 2), torch.tensor([0.0, 1.0]), "positive and of sum 1; got 0 at least"),
        (torch.zeros(4, 2), torch.tensor([0.3, 0.3]), "and sum 0.6"),
    ],
)
def test_shift_refuses_what_makes_no_sense(logits, frequencies, message):
    with pytest.raises(SpecialistsError, match=message):
        frequency_shift(logits, frequencies)


def test_shift_says_when_it_finds_none():
    # Beside 1e18 a float64 knows no number as small as the shift would have to be exact to.
    logits = torch.tensor([[1e18, 0.0], [0.0, 1e18], [1e18, 0.0]])
    with pytest.raises(SpecialistsError, match="must meet every frequency within 1e-06 after 500 steps"):
        frequency_shift(logits, torch.tensor([0.5, 0.5]))
