import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy.optimize import minimize

from specialists.combine import combine, combine_rows
from specialists.errors import SpecialistsError
from tests.specialists.cases import draw, expectation_maximisation, objective, probabilities, stationarity, teachers


@pytest.mark.parametrize("sizes", [(4, 4), (4, 4, 4, 4), (2, 9, 5), (5, 5, 2, 3, 8)])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_combine_agrees_with_expectation_maximisation(sizes, scale):
    case = draw(1, sizes=sizes, scale=scale, dustbin=1.0)
    probs = case.combine().probs
    for row, q in enumerate(probs):
        torch.testing.assert_close(q.numpy(), expectation_maximisation(*teachers(case, row)), rtol=1e-6, atol=1e-10)


def test_combine_agrees_with_a_constrained_minimiser():
    case = draw(2, n_rows=4, n_classes=6, sizes=(3, 3), scale=1.0)
    probs = case.combine().probs
    for row, q in enumerate(probs):
        found = minimize(
            objective,
            np.full(6, 1 / 6),
            args=teachers(case, row),
            method="SLSQP",
            bounds=[(1e-9, 1.0)] * 6,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(q, found.x, atol=1e-5)


def test_combine_without_active_specialist_returns_the_generalist():
    case = draw(3, share=0.0)
    result = case.combine()
    torch.testing.assert_close(result.probs, case.generalist, rtol=1e-15, atol=0)
    assert result.iterations.tolist() == [0] * 8


def test_combine_without_specialists_returns_the_generalist():
    generalist = draw(3).generalist
    result = combine(generalist, [], [], torch.empty(8, 0, dtype=torch.bool))
    torch.testing.assert_close(result.probs, generalist, rtol=1e-15, atol=0)


def test_combine_with_one_specialist_has_the_closed_form():
    case = draw(4, sizes=(4,))
    inside, p_g, p_m = case.subsets[0], case.generalist, case.specialists[0]
    outside_mass = 1 - p_g[:, inside].sum(1, keepdim=True)
    expected = p_g * (outside_mass + p_m[:, -1:]) / 2 / outside_mass
    expected[:, inside] = (p_g[:, inside] + p_m[:, :-1]) / 2
    torch.testing.assert_close(case.combine().probs, expected, rtol=1e-13, atol=0)


def test_combine_of_teachers_that_agree_returns_the_generalist():
    case = draw(5)
    tables = []
    for subset in case.subsets:
        inside = case.generalist[:, subset]
        tables.append(torch.cat([inside, 1 - inside.sum(1, keepdim=True)], 1))
    result = combine(case.generalist, tables, case.subsets, torch.ones(8, 3, dtype=torch.bool))
    torch.testing.assert_close(result.probs, case.generalist, rtol=1e-12, atol=1e-15)


def test_combine_permutes_with_relabelled_classes():
    case = draw(6, n_classes=30, sizes=(9, 9, 9, 9), share=0.7)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    subsets = [order.argsort()[subset] for subset in case.subsets]
    relabelled = combine(case.generalist[:, order], case.specialists, subsets, case.active)
    torch.testing.assert_close(relabelled.probs, case.combine().probs[:, order], rtol=1e-11, atol=1e-16)


def test_combine_counts_a_duplicated_specialist_twice():
    case = draw(7, n_rows=3, sizes=(4, 5))
    tables, subsets = [*case.specialists, case.specialists[0]], [*case.subsets, case.subsets[0]]
    twice = combine(case.generalist, tables, subsets, torch.ones(3, 3, dtype=torch.bool)).probs
    for row, q in enumerate(twice.numpy()):
        generalist, found = teachers(case, row)
        np.testing.assert_allclose(q, expectation_maximisation(generalist, [*found, found[0]]), atol=1e-10)


def test_combine_has_a_lower_objective_than_any_perturbation():
    case = draw(8, n_rows=4)
    rng = np.random.default_rng(0)
    for row, q in enumerate(case.combine().probs.numpy()):
        best = objective(q, *teachers(case, row))
        for size in np.geomspace(1e-4, 1.0, 250):
            other = q * np.exp(size * rng.normal(size=len(q)))
            assert best <= objective(other / other.sum(), *teachers(case, row))


def test_combine_spreads_a_dustbin_evenly_over_classes_nobody_names():
    case = [[0.6, 0.4, 0.0, 0.0]], [[[0.3, 0.2, 0.5]]], [[0, 1]], [[True]]
    generalist, tables, subsets, active = case
    result = combine(
        torch.tensor(generalist),
        [torch.tensor(table) for table in tables],
        [torch.tensor(subset) for subset in subsets],
        torch.tensor(active),
    )
    torch.testing.assert_close(result.probs, torch.tensor([[0.45, 0.3, 0.125, 0.125]]))
    assert result.residual.item() < 1e-7


def test_combine_spreads_the_dustbins_of_two_specialists_over_classes_nobody_names():
    generalist = torch.tensor([[0.6, 0.4, 0.0, 0.0]], dtype=torch.float64)
    table = torch.tensor([[0.3, 0.2, 0.5]], dtype=torch.float64)
    subset = torch.tensor([0, 1])
    result = combine(generalist, [table, table], [subset, subset], torch.ones(1, 2, dtype=torch.bool))
    expected = torch.tensor([[0.4, 0.8 / 3, 1 / 6, 1 / 6]], dtype=torch.float64)
    torch.testing.assert_close(result.probs, expected, rtol=1e-12, atol=0)


def test_combine_gives_mass_to_an_unnamed_class_that_lies_outside_both_subsets():
    # Outside either subset lies a class that some teacher names, and yet the minimum needs class 2.
    generalist = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    tables = [
        torch.tensor([[0.05, 0.05, 0.9]], dtype=torch.float64),
        torch.tensor([[0.1, 0.9]], dtype=torch.float64),
    ]
    subsets = [torch.tensor([0, 1]), torch.tensor([1])]
    case = generalist, tables, subsets, torch.ones(1, 2, dtype=torch.bool)
    result = combine(*case)
    assert result.probs[0, 2] > 0.1
    assert result.residual.item() < 1e-12


def test_combine_gives_nothing_to_a_class_that_no_teacher_needs():
    generalist = torch.tensor([[0.5, 0.3, 0.2, 0.0]], dtype=torch.float64)
    tables = [
        torch.tensor([[0.6, 0.2, 0.2]], dtype=torch.float64),
        torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64),
    ]
    subsets = [torch.tensor([0, 1]), torch.tensor([1, 2])]
    result = combine(generalist, tables, subsets, torch.ones(1, 2, dtype=torch.bool))
    assert result.probs[0, 3].item() == 0.0
    assert result.residual.item() < 1e-12


def test_combine_divides_by_the_weights_where_a_subset_without_dustbin_tells_classes_apart():
    # Both dustbins that count stand for classes 0 and 1, which only the first subset, whose dustbin is 0, tells apart.
    generalist = torch.tensor([[4e-43, 5e-29, 1.0]], dtype=torch.float64)
    tables = [
        torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64),
        torch.tensor([[0.0, 1.0]], dtype=torch.float64),
    ]
    subsets = [torch.tensor([0, 2]), torch.tensor([2])]
    result = combine(generalist, tables, subsets, torch.ones(1, 2, dtype=torch.bool))
    assert result.probs[0, 0] / result.probs[0, 1] == pytest.approx(8e-15)
    tables, subsets = [*tables, tables[1]], [*subsets, subsets[1]]
    result = combine(generalist, tables, subsets, torch.ones(1, 3, dtype=torch.bool))
    assert result.iterations.item() > 0
    assert result.probs[0, 0] / result.probs[0, 1] == pytest.approx(8e-15)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0, 20.0, 60.0])
@pytest.mark.parametrize("dustbin", [0.0, 10.0, 60.0])
@pytest.mark.parametrize(
    ("n_classes", "sizes"),
    [(4, (2, 2)), (10, (4,) * 4), (100, (20,) * 6), (60, (20,) * 32), (12, (6, 6, 3, 11))],
)
def test_combine_keeps_its_residual_in_extremes(n_classes, sizes, dustbin, scale, dtype, bound):
    case = draw(9, 50, n_classes, sizes, scale, dustbin, dtype)
    result = case.combine()
    assert result.residual.max().item() <= bound
    assert result.probs.isfinite().all()
    assert result.probs.min() >= 0


def test_combine_reports_the_certificate_of_what_it_returns():
    case = draw(10, n_classes=20, sizes=(6, 6, 6), dtype=torch.float32)
    result = case.combine()
    for row, q in enumerate(result.probs.double().numpy()):
        assert result.residual[row].item() == pytest.approx(stationarity(q, *teachers(case, row)), rel=1e-3, abs=1e-15)


def test_combine_solves_a_generalist_sure_of_a_subset_its_specialist_rejects():
    outside = 1e-12
    generalist = torch.tensor([[0.7, 0.3 - outside, outside / 2, outside / 2]], dtype=torch.float64)
    sure = torch.tensor([[1e-9, 1e-9, 1 - 2e-9]], dtype=torch.float64)
    other = torch.tensor([[0.2, 0.1, 0.7]], dtype=torch.float64)
    result = combine(generalist, [sure, other], [torch.tensor([0, 1]), torch.tensor([1, 2])], torch.ones(1, 2) > 0)
    assert result.residual.item() <= 1e-12
    assert result.probs[0, 2:].sum() > 0.3


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_combine_solves_whatever_hypothesis_draws(data):
    n_classes = data.draw(st.integers(3, 8))

    def distribution(width):
        values = torch.tensor(data.draw(st.lists(probabilities, min_size=width, max_size=width)), dtype=torch.float64)
        values[data.draw(st.integers(0, width - 1))] += 1e-2
        return (values / values.sum())[None]

    subsets = [
        torch.tensor(data.draw(st.permutations(range(n_classes)))[: data.draw(st.integers(1, n_classes - 1))])
        for _ in range(data.draw(st.integers(0, 5)))
    ]
    tables = [distribution(len(subset) + 1) for subset in subsets]
    result = combine(distribution(n_classes), tables, subsets, torch.ones(1, len(subsets), dtype=torch.bool))
    assert result.residual.item() <= 1e-12
    assert result.probs.min() >= 0


def test_combine_rows_gives_what_combine_gives():
    case = draw(11, n_rows=50, share=0.5)
    rows = [case.active[:, m].nonzero().squeeze(1) for m in range(3)]
    probs = [table[index] for table, index in zip(case.specialists, rows, strict=True)]
    assert torch.equal(combine_rows(case.generalist, rows, probs, case.subsets).probs, case.combine().probs)


def test_combine_is_bit_equal_for_any_threads_and_batch():
    case = draw(12, n_rows=5000, n_classes=40, sizes=(9,) * 10, dtype=torch.float32, share=0.5)
    together = case.combine().probs
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 3)
    try:
        assert torch.equal(case.combine().probs, together)
        part = combine(case.generalist[7:300], [t[7:300] for t in case.specialists], case.subsets, case.active[7:300])
        assert torch.equal(part.probs, together[7:300])
    finally:
        torch.set_num_threads(threads)


def test_combine_takes_specialists_of_different_precision():
    case = draw(13, share=0.8)
    tables = [case.specialists[0].float(), case.specialists[1].half(), case.specialists[2]]
    result = combine(case.generalist, tables, case.subsets, case.active)
    assert result.probs.dtype == torch.float64
    assert result.residual.max() <= 1e-12
    torch.testing.assert_close(result.probs, case.combine().probs, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_combine_takes_half_precision(dtype):
    case = draw(13)
    tables = [table.to(dtype) for table in case.specialists]
    result = combine(case.generalist.to(dtype), tables, case.subsets, case.active)
    assert result.probs.dtype == dtype
    assert result.residual.max() < 1e-6
    torch.testing.assert_close(result.probs.double(), case.combine().probs, rtol=0.02, atol=0.01)


def test_combine_writes_to_out_even_over_its_input_or_with_strides():
    case = draw(14)
    expected = case.combine().probs
    strided = torch.zeros(10, 8, dtype=torch.float64).T
    result = combine(case.generalist, case.specialists, case.subsets, case.active, out=strided)
    assert result.probs is strided
    assert torch.equal(strided, expected)
    combine(case.generalist, case.specialists, case.subsets, case.active, out=case.generalist)
    assert torch.equal(case.generalist, expected)


def test_combine_writes_over_its_own_arguments_as_if_they_were_elsewhere():
    case = draw(14, n_rows=9000, dtype=torch.float32)
    expected = case.combine().probs
    memory = torch.cat([case.generalist, case.generalist[:1]])
    result = combine(memory[:-1], case.specialists, case.subsets, case.active, out=memory[1:])
    assert result.probs.data_ptr() == memory[1:].data_ptr()
    assert torch.equal(memory[1:], expected)
    beside = torch.cat([case.generalist, case.generalist], dim=1)
    combine(beside[:, :10], case.specialists, case.subsets, case.active, out=beside[:, 10:])
    assert torch.equal(beside[:, 10:], expected)


def test_combine_rows_writes_over_a_specialists_table():
    case = draw(15, n_rows=9000, n_classes=10, sizes=(9,), dtype=torch.float32)
    rows = [torch.arange(1, 9000, 2)]
    expected = combine_rows(case.generalist, rows, [case.specialists[0][rows[0]]], case.subsets).probs
    memory = torch.cat([case.specialists[0][rows[0]], torch.zeros(4500, 10)])
    combine_rows(case.generalist, rows, [memory[:4500]], case.subsets, out=memory)
    assert torch.equal(memory, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_combine_takes_tensors_of_inference_mode_in_it_and_outside(dtype):
    case = draw(16, n_rows=9000, dtype=torch.float32)  # two blocks: threads that know nothing of the mode write
    expected = combine(case.generalist.to(dtype), case.specialists, case.subsets, case.active).probs
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            generalist = case.generalist.to(dtype)
            inside = combine(generalist, case.specialists, case.subsets, case.active).probs
        outside = combine(generalist, case.specialists, case.subsets, case.active, out=generalist).probs
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(inside, expected)
    assert torch.equal(outside, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_combine_gives_no_gradient_and_says_to_autograd_what_it_wrote_over(dtype):
    case = draw(16, dtype=torch.float32)
    generalist = case.generalist.to(dtype).requires_grad_()
    result = combine(generalist, case.specialists, case.subsets, case.active)
    assert not result.probs.requires_grad
    values = generalist.detach().clone()
    product = (values * torch.ones_like(values, requires_grad=True)).sum()
    assert torch.equal(combine(values, case.specialists, case.subsets, case.active, out=values).probs, result.probs)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()
    combine(generalist, case.specialists, case.subsets, case.active, out=generalist)
    assert torch.equal(generalist, result.probs)


def test_combine_keeps_its_certificate_on_the_cpu_whatever_the_default_device_is():
    case = draw(16)
    with torch.device("meta"):
        result = case.combine()
    assert result.residual.max() <= 1e-12
    assert result.iterations.device.type == "cpu"


def test_combine_takes_a_specialist_of_half_precision_beside_a_generalist_of_single():
    case = draw(2, 200, 400, (300,), dtype=torch.float32)
    rounded = [table.bfloat16() for table in case.specialists]
    assert (rounded[0].double().sum(1) - 1).abs().max() > 1e-3
    assert combine(case.generalist, rounded, case.subsets, case.active).residual.max() <= 1e-6


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-306, 1e-305])
def test_combine_divides_a_dustbin_though_its_classes_have_less_than_float64_can_divide_by(tiny):
    generalist = torch.tensor([[0.5, 0.5 - tiny, tiny]], dtype=torch.float64)
    tables = [torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.25, 0.35, 0.4]], dtype=torch.float64)]
    subsets = [torch.tensor([0]), torch.tensor([0, 1])]
    result = combine(generalist, tables, subsets, torch.ones(1, 2, dtype=torch.bool))
    expected = torch.tensor([[1.75 / 3, 0.85 / 3, 0.4 / 3]], dtype=torch.float64)
    torch.testing.assert_close(result.probs, expected, rtol=1e-14, atol=0)
    assert result.residual.item() <= 1e-15


def test_combine_leaves_its_inputs_as_they_are():
    case = draw(15)
    copies = [table.clone() for table in (case.generalist, *case.specialists)]
    case.combine()
    assert all(map(torch.equal, (case.generalist, *case.specialists), copies))


def test_combine_takes_an_empty_batch():
    case = draw(16, n_rows=0)
    assert case.combine().probs.shape == (0, 10)
    out = torch.empty(0, 10, dtype=torch.float64)
    assert combine(case.generalist, case.specialists, case.subsets, case.active, out=out).probs is out


@pytest.mark.parametrize("bad", [float("nan"), -0.5, 0.9])
def test_combine_names_rows_that_are_no_distribution(bad):
    case = draw(17)
    case.generalist[3, 2] = bad
    case.specialists[1][5, 0] = bad
    with pytest.raises(SpecialistsError, match=r"sum to 1.*in 2 rows, the first \[3, 5\]"):
        case.combine()


def test_combine_rows_lists_all_faults_at_once():
    with pytest.raises(SpecialistsError) as caught:
        combine_rows(
            torch.ones(4, 3) / 3,
            [torch.tensor([1, 0]), torch.tensor([0.0]), torch.tensor([3, 4]), torch.tensor([0])],
            [torch.ones(2, 3), torch.ones(1, 2), torch.ones(2, 3), torch.ones(1, 9)],
            [torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([0, 1, 2]), torch.tensor([0.5])],
            divergence="backward",
            out=torch.empty(4, 2),
        )
    for fault in (
        "divergence must be one of forward, reverse; got 'backward'",
        "out must be",
        "rows[0] must ascend within 0..3",
        "rows[1] must be int64",
        "rows[2] must ascend",
        "subsets[1] must be different classes",
        "subsets[2] must be different classes",
        "subsets[3] must be int64",
        "probs[3] must be (1, 2) of float16, bfloat16, float32, float64; got torch.float32 (1, 9)",
    ):
        assert fault in str(caught.value)


def test_combine_rows_refuses_lists_of_different_length():
    with pytest.raises(SpecialistsError, match="equally many; got 0, 1, 0"):
        combine_rows(torch.ones(1, 2) / 2, [], [torch.ones(1, 2)], [])


def test_combine_refuses_a_generalist_that_is_no_table():
    rule = r"generalist must be \(batch, classes\), 1 class or more, of float16, bfloat16, float32, float64; got "
    for generalist, got in (
        (torch.ones(4, 3, dtype=torch.int64), r"torch.int64 \(4, 3\)"),
        (torch.ones(4, 3).to(torch.float8_e5m2), r"torch.float8_e5m2 \(4, 3\)"),
        (torch.ones(4, 0), r"torch.float32 \(4, 0\)"),
        (torch.tensor(1.0), r"torch.float32 \(\)"),
    ):
        with pytest.raises(SpecialistsError, match=rule + got):
            combine_rows(generalist, [], [], [])
        with pytest.raises(SpecialistsError, match=rule + got):
            combine(generalist, [], [], torch.empty(4, 0, dtype=torch.bool))


def test_combine_rows_refuses_scalars_in_place_of_vectors_and_tables():
    generalist, row, half = torch.ones(1, 2) / 2, torch.tensor([0]), torch.ones(1, 2) / 2
    for rows, table, subset, fault in (
        (row[0], half, row, r"rows\[0\] must be int64 of one dimension; got torch.int64 \(\)"),
        (row, half, row[0], r"subsets\[0\] must be int64 of one dimension; got torch.int64 \(\)"),
        (row, half[0, 0], row, r"probs\[0\] must be \(1, 2\) of .*; got torch.float32 \(\)"),
        (row, half.to(torch.float8_e5m2), row, r"probs\[0\] must be \(1, 2\) of .*; got torch.float8_e5m2 \(1, 2\)"),
    ):
        with pytest.raises(SpecialistsError, match=fault):
            combine_rows(generalist, [rows], [table], [subset])
    with pytest.raises(
        SpecialistsError, match=r"specialists\[0\] must have 1 rows like the generalist; got shape \(\)"
    ):
        combine(generalist, [half[0, 0]], [row], torch.ones(1, 1, dtype=torch.bool))


def test_combine_refuses_a_mask_or_tables_that_do_not_fit():
    case = draw(18)
    with pytest.raises(SpecialistsError, match="active must be bool"):
        combine(case.generalist, case.specialists, case.subsets, case.active.float())
    with pytest.raises(SpecialistsError, match="one tensor per subset, 3; got 2"):
        combine(case.generalist, case.specialists[:2], case.subsets, case.active)
    with pytest.raises(
        SpecialistsError, match=r"specialists\[0\] must have 8 rows like the generalist; got shape \(7, 5\)"
    ):
        combine(case.generalist, [case.specialists[0][:7], *case.specialists[1:]], case.subsets, case.active)


def test_combine_refuses_what_is_no_tensor():
    generalist, active = torch.ones(2, 3) / 3, torch.ones(2, 1, dtype=torch.bool)
    table, subset = torch.ones(2, 2) / 2, torch.tensor([0])
    for arguments, fault in (
        ((generalist, [table], [[0]], active), r"^subsets\[0\] must be a tensor; got list; .* torch.tensor\(subsets"),
        ((generalist, [table.numpy()], [subset], active), r"^specialists\[0\] must be a tensor; got ndarray"),
        ((generalist.tolist(), [table], [subset], [[True]] * 2), "^generalist must .* got list.*\nactive must .* list"),
        ((generalist, [table], 0, active), "^subsets must be a list of tensors; got int$"),
    ):
        with pytest.raises(SpecialistsError, match=fault):
            combine(*arguments)
    with pytest.raises(
        SpecialistsError, match=r"^out must be a tensor; got str.*\nrows\[0\] must be a tensor; got list"
    ):
        combine_rows(generalist, [[0]], [table[:1]], [subset], out="here")
    stacked = combine(generalist, table[None], subset[None], active)
    assert torch.equal(stacked.probs, combine(generalist, [table], [subset], active).probs)


def test_combine_refuses_more_active_specialists_than_it_can_tell_apart():
    n_specialists = 63
    active = torch.zeros(4, n_specialists, dtype=torch.bool)
    active[2] = True
    tables, subsets = [torch.ones(4, 2) / 2] * n_specialists, [torch.tensor([0])] * n_specialists
    with pytest.raises(SpecialistsError, match="at most 62 specialists must be active on a row; got 63 on row 2"):
        combine(torch.ones(4, 3) / 3, tables, subsets, active)
    active[2, 0] = False
    result = combine(torch.ones(4, 3) / 3, tables, subsets, active)
    assert result.residual.max() <= 1e-6
