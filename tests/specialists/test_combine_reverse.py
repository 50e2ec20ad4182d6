import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy.optimize import minimize

from specialists.combine import combine
from specialists.errors import SpecialistsError
from tests.specialists.cases import draw, probabilities, reverse_objective, reverse_stationarity, teachers


def reverse(generalist, specialists, subsets, active):
    return combine(generalist, specialists, subsets, active, divergence="reverse")


@pytest.mark.parametrize("sizes", [(3, 3), (5,), (2, 5, 3)])
def test_reverse_agrees_with_a_constrained_minimiser(sizes):
    case = draw(2, n_rows=4, n_classes=6, sizes=sizes, scale=1.0)
    for row, q in enumerate(case.combine("reverse").probs):
        found = minimize(
            reverse_objective,
            np.full(6, 1 / 6),
            args=teachers(case, row),
            method="SLSQP",
            bounds=[(1e-9, 1.0)] * 6,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(q, found.x, atol=1e-5)


def test_reverse_has_a_lower_objective_than_any_perturbation():
    case = draw(8, n_rows=4)
    rng = np.random.default_rng(0)
    for row, q in enumerate(case.combine("reverse").probs.numpy()):
        best = reverse_objective(q, *teachers(case, row))
        for size in np.geomspace(1e-4, 1.0, 250):
            other = q * np.exp(size * rng.normal(size=len(q)))
            assert best <= reverse_objective(other / other.sum(), *teachers(case, row))


def test_reverse_without_active_specialist_returns_the_generalist():
    case = draw(3, share=0.0)
    result = case.combine("reverse")
    torch.testing.assert_close(result.probs, case.generalist, rtol=1e-15, atol=0)
    assert result.iterations.tolist() == [0] * 8


def test_reverse_with_one_specialist_has_a_closed_form():
    case = draw(4, sizes=(4,))
    inside, p_g, p_m = case.subsets[0], case.generalist, case.specialists[0]
    outside_mass = 1 - p_g[:, inside].sum(1, keepdim=True)
    expected = p_g * (p_m[:, -1:] / outside_mass).sqrt()
    expected[:, inside] = (p_g[:, inside] * p_m[:, :-1]).sqrt()
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(case.combine("reverse").probs, expected, rtol=1e-12, atol=0)


def test_reverse_of_teachers_that_agree_returns_the_generalist():
    case = draw(5)
    tables = []
    for subset in case.subsets:
        inside = case.generalist[:, subset]
        tables.append(torch.cat([inside, 1 - inside.sum(1, keepdim=True)], 1))
    result = reverse(case.generalist, tables, case.subsets, torch.ones(8, 3, dtype=torch.bool))
    torch.testing.assert_close(result.probs, case.generalist, rtol=1e-11, atol=1e-15)


def test_reverse_permutes_with_relabelled_classes():
    case = draw(6, n_classes=30, sizes=(9, 9, 9, 9), share=0.7)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    subsets = [order.argsort()[subset] for subset in case.subsets]
    relabelled = reverse(case.generalist[:, order], case.specialists, subsets, case.active)
    torch.testing.assert_close(relabelled.probs, case.combine("reverse").probs[:, order], rtol=1e-11, atol=1e-16)


def test_reverse_counts_a_duplicated_specialist_twice():
    case = draw(7, n_rows=3, sizes=(4, 5))
    tables, subsets = [*case.specialists, case.specialists[0]], [*case.subsets, case.subsets[0]]
    twice = reverse(case.generalist, tables, subsets, torch.ones(3, 3, dtype=torch.bool)).probs
    for row, q in enumerate(twice.numpy()):
        generalist, found = teachers(case, row)
        assert reverse_stationarity(q, generalist, [*found, found[0]]) < 1e-14


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0, 20.0, 60.0])
@pytest.mark.parametrize("dustbin", [0.0, 10.0, 60.0])
@pytest.mark.parametrize(
    ("n_classes", "sizes"),
    [(4, (2, 2)), (10, (4,) * 4), (100, (20,) * 6), (60, (20,) * 32), (12, (6, 6, 3, 11))],
)
def test_reverse_keeps_its_residual_in_extremes(n_classes, sizes, dustbin, scale, dtype, bound):
    case = draw(9, 50, n_classes, sizes, scale, dustbin)
    positive = [(table + 1e-40).to(dtype) for table in (case.generalist, *case.specialists)]
    result = reverse(positive[0], positive[1:], case.subsets, case.active)
    assert result.residual.max().item() <= bound
    assert result.probs.isfinite().all()
    assert result.probs.min() >= 0


def test_reverse_rounds_little_though_the_logarithms_of_many_specialists_add_up():
    case = draw(9, 100, 1_000, (1,) * 62, 40.0, -1000.0)
    positive = [table + 1e-30 for table in (case.generalist, *case.specialists)]
    assert reverse(positive[0], positive[1:], case.subsets, case.active).residual.max() < 1e-12


def test_reverse_bound_grows_with_the_specialists_whose_single_precision_adds_up():
    case = draw(7, 100, 4, (1,) * 62, 8.0)
    tables = [table.float() + 1e-30 for table in case.specialists]
    result = reverse(case.generalist.float(), tables, [case.subsets[0]] * 62, case.active)
    assert 1e-6 < result.residual.max() <= 62 / 8 * 1e-6


def test_reverse_reports_the_certificate_of_what_it_returns():
    case = draw(10, n_classes=20, sizes=(6, 6, 6), dtype=torch.float32)
    result = case.combine("reverse")
    for row, q in enumerate(result.probs.double().numpy()):
        expected = reverse_stationarity(q, *teachers(case, row))
        assert result.residual[row].item() == pytest.approx(expected, rel=1e-3, abs=1e-14)


def test_reverse_gives_nothing_to_what_a_teacher_rules_out():
    generalist = torch.tensor([[0.5, 0.2, 0.3, 0.0]], dtype=torch.float64)
    tables = [torch.tensor([[0.4, 0.6, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)]
    result = reverse(generalist, tables, [torch.tensor([0, 1]), torch.tensor([1])], torch.ones(1, 2) > 0)
    torch.testing.assert_close(result.probs, torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64))


def test_reverse_counts_what_is_too_little_to_divide_by_as_ruled_out():
    generalist = torch.tensor([[1.0, 5e-322]], dtype=torch.float64)
    table = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    result = reverse(generalist, [table], [torch.tensor([0])], torch.ones(1, 1, dtype=torch.bool))
    assert result.probs.tolist() == [[1.0, 0.0]]
    assert result.residual.item() <= 1e-12


def test_reverse_gives_nothing_to_a_class_ruled_out_beside_one_that_hardly_counts():
    generalist = torch.tensor([[5e-11, 1.0 - 5e-11, 5e-322]], dtype=torch.float64)
    table = torch.tensor([[0.0, 5e-322, 1.0]], dtype=torch.float64)
    result = reverse(generalist, [table], [torch.tensor([0, 2])], torch.ones(1, 1, dtype=torch.bool))
    assert result.probs[0, 0].item() == 0.0


def test_reverse_names_rows_whose_divergence_is_infinite_whatever_q_is():
    generalist = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    table = torch.tensor([[0.3, 0.3, 0.4], [0.0, 0.5, 0.5]])
    with pytest.raises(SpecialistsError, match=r"finite for some q.*got otherwise in 1 rows, the first \[1\]"):
        reverse(generalist, [table], [torch.tensor([0, 1])], torch.ones(2, 1) > 0)


def test_reverse_names_rows_that_are_no_distribution():
    case = draw(17)
    case.generalist[3, 2] = float("nan")
    case.specialists[1][5, 0] = -0.5
    with pytest.raises(SpecialistsError, match=r"sum to 1.*in 2 rows, the first \[3, 5\]"):
        case.combine("reverse")


def test_reverse_leaves_its_inputs_as_they_are():
    case = draw(15)
    copies = [table.clone() for table in (case.generalist, *case.specialists)]
    case.combine("reverse")
    assert all(map(torch.equal, (case.generalist, *case.specialists), copies))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_reverse_solves_whatever_hypothesis_draws(data):
    n_classes = data.draw(st.integers(3, 8))

    def distribution(width):
        values = torch.tensor(data.draw(st.lists(probabilities, min_size=width, max_size=width)), dtype=torch.float64)
        values[data.draw(st.integers(0, width - 1))] += 1e-2
        return (values / values.sum())[None]

    subsets = [
        torch.tensor(data.draw(st.permutations(range(n_classes)))[: data.draw(st.integers(1, n_classes - 1))])
        for _ in range(data.draw(st.integers(0, 5)))
    ]
    generalist, tables = distribution(n_classes), [distribution(len(subset) + 1) for subset in subsets]
    possible = generalist[0] > 0
    for table, subset in zip(tables, subsets, strict=True):
        named = torch.full((n_classes,), table[0, -1].item(), dtype=torch.float64)
        named[subset] = table[0, :-1]
        possible &= named > 0
    active = torch.ones(1, len(subsets), dtype=torch.bool)
    if not possible.any():
        with pytest.raises(SpecialistsError, match="finite for some q"):
            reverse(generalist, tables, subsets, active)
        return
    result = reverse(generalist, tables, subsets, active)
    assert result.residual.item() <= 1e-12
    assert result.probs.min() >= 0
    assert (result.probs[0, ~possible] == 0).all()
