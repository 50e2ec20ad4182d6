import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from scipy.optimize import minimize_scalar

from specialists.calibration import HIGHEST, LOWEST, calibrated, fit_temperature
from specialists.errors import SpecialistsError


def nll(logits, labels, temperature):
    return torch.nn.functional.cross_entropy(logits.double() / temperature, labels).item()


def drawn(seed, temperature, *, n=400, outputs=5, scale=3.0):
    """Labels drawn from softmax(logits / temperature): that temperature is the right one, but for the sample."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, outputs, generator=generator, dtype=torch.float64)
    labels = (logits / temperature).softmax(1).multinomial(1, generator=generator).squeeze(1)
    return logits, labels


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 2.5, 8.0]), st.integers(2, 9), st.sampled_from([0.1, 3.0, 40.0])
)
def test_fit_temperature_finds_the_minimum_that_scipy_finds(seed, temperature, outputs, scale):
    logits, labels = drawn(seed, temperature, n=100, outputs=outputs, scale=scale)
    found = fit_temperature(logits, labels)
    expected = minimize_scalar(
        lambda b: nll(logits, labels, 1 / b),
        bounds=(1 / HIGHEST, 1 / LOWEST),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert LOWEST <= found <= HIGHEST
    assert nll(logits, labels, found) <= expected.fun + 1e-12
    if LOWEST * 1.01 < found < HIGHEST / 1.01:
        assert 1 / found == pytest.approx(expected.x, rel=1e-4, abs=1e-6)


def test_fit_temperature_comes_near_the_one_that_made_the_labels():
    for temperature in (0.5, 1.0, 3.0):
        assert fit_temperature(*drawn(0, temperature, n=20_000)) == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_has_slope_0_at_its_result():
    logits, labels = (values.clone() for values in drawn(3, 2.0))
    inverse = torch.tensor(1 / fit_temperature(logits, labels), dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(logits * inverse, labels).backward()
    assert abs(inverse.grad.item()) < 1e-9


def test_fit_temperature_scales_with_the_logits_and_ignores_a_shift_of_a_row():
    logits, labels = drawn(1, 1.5)
    temperature = fit_temperature(logits, labels)
    assert fit_temperature(2 * logits, labels) == pytest.approx(2 * temperature, rel=1e-8)
    shifted = logits + torch.randn(len(logits), 1, dtype=torch.float64)
    assert fit_temperature(shifted, labels) == pytest.approx(temperature, rel=1e-8)


def test_fit_temperature_takes_half_precision():
    logits, labels = drawn(1, 1.5)
    assert fit_temperature(logits.half(), labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-2)


def test_fit_temperature_takes_logits_that_have_a_gradient_or_are_of_inference_mode():
    logits, labels = drawn(1, 1.5)
    expected = fit_temperature(logits, labels)
    assert fit_temperature(logits.clone().requires_grad_(), labels) == expected
    with torch.inference_mode():
        of_inference = logits.clone()
        assert fit_temperature(of_inference, labels) == expected
    assert fit_temperature(of_inference, labels) == expected


def test_fit_temperature_of_a_teacher_that_is_always_right_is_the_lowest():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, torch.tensor([0, 1])) == LOWEST


def test_fit_temperature_of_a_teacher_that_is_always_wrong_is_the_highest():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, torch.tensor([1, 0])) == HIGHEST


@pytest.mark.parametrize("gap", [0.0, 1e6])
def test_fit_temperature_is_1_where_all_are_equally_good(gap):
    assert fit_temperature(torch.tensor([[gap, 0.0]]), torch.tensor([0])) == 1.0


def test_fit_temperature_bisects_where_newtons_step_leaves_the_bracket():
    # Nearly all examples are right by so much that at T = 1 only the wrong one bends the NLL.
    logits = torch.tensor([[60.0, 0.0]] * 999 + [[-1.0, 0.0]], dtype=torch.float64)
    labels = torch.zeros(1000, dtype=torch.int64)
    temperature = fit_temperature(logits, labels)
    assert LOWEST < temperature < HIGHEST
    for factor in (0.999, 1.001):
        assert nll(logits, labels, temperature) < nll(logits, labels, factor * temperature)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "one or more"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), r"\(examples, outputs\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), r"within 0\.\.2; got torch.int64 from 0 to 3"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), "int64"),
        (torch.tensor([[0.0, float("nan")]]), torch.tensor([0]), "logits must be finite"),
    ],
)
def test_fit_temperature_names_the_fault(logits, labels, message):
    with pytest.raises(SpecialistsError, match=message):
        fit_temperature(logits, labels)


def test_calibrated_divides_and_keeps_equal_logits_at_1():
    logits = torch.tensor([[1.0, 3.0]])
    assert torch.equal(calibrated(logits, 1.0), logits.double())
    assert calibrated(logits, 2.0).tolist() == [[0.5, 1.5]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_calibrated_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(SpecialistsError, match="temperature must be above 0"):
        calibrated(torch.zeros(1, 2), temperature)
