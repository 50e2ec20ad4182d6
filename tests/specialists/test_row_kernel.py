"""The compiled kernels once more as plain Python: what coverage measures, and proof that compiling changes nothing."""

import numpy as np
import pytest
import torch

from specialists import block as blocks
from specialists import forward_kl, forward_newton, forward_rows, reverse_kl, reverse_rows
from specialists.block import Active, Subsets
from specialists.layouts import class_dtype, room_for_layouts
from specialists.patterns import Patterns, padded, room_for_row
from tests.specialists.cases import draw, reverse_stationarity, stationarity, teachers


def run(kernel, case, dtype=np.float64, tables=None, residual=1e-6):
    """Combine all rows with every specialist active, by the given kernel module; return the block."""
    sizes = [len(subset) for subset in case.subsets]
    n_rows, n_classes = case.generalist.shape
    probs = np.concatenate([probs.numpy() for probs in case.specialists], axis=1)
    offsets = np.cumsum([0, *(size + 1 for size in sizes[:-1])]) + np.arange(n_rows)[:, None] * probs.shape[1]
    n_members = min(n_classes, sum(sizes))
    reverse = "reverse" in kernel.__name__
    block = blocks.Block(
        case.generalist.numpy().astype(dtype),
        probs.ravel().astype(tables or (np.float64 if reverse else dtype)),
        Subsets(
            np.concatenate([subset.numpy() for subset in case.subsets]).astype(class_dtype(n_classes)),
            np.cumsum([0, *sizes], dtype=np.int64),
        ),
        Active(np.arange(n_rows + 1) * len(sizes), np.tile(np.arange(len(sizes)), n_rows), offsets.ravel()),
        blocks.Accuracy(1e-3, 1e-3, residual, 1e-14),
        np.empty((n_rows, n_classes), dtype),
        np.empty(n_rows),
        np.empty(n_rows, dtype=np.int64),
    )
    kernel.combine_block(
        block,
        room_for_layouts(n_rows, n_classes, sum(sizes), 0),
        room_for_row(n_classes, n_members, len(sizes), np.dtype(dtype)),
        (reverse_kl if reverse else forward_newton).workspace(padded(n_members + 1), len(sizes)),
    )
    return block


@pytest.mark.parametrize("scale", [1.0, 8.0, 40.0])
@pytest.mark.parametrize("dustbin", [0.0, 30.0])
@pytest.mark.parametrize(("n_classes", "sizes"), [(10, (4, 4, 4)), (6, (3, 3, 3, 5, 2)), (30, (20,) * 6)])
@pytest.mark.parametrize("kernel", [forward_rows, reverse_rows])
def test_interpreted_kernels_give_what_compiled_ones_give(interpreted, kernel, n_classes, sizes, dustbin, scale):
    case = draw(20, 6, n_classes, sizes, scale, dustbin)
    plain = run(interpreted[kernel.__name__.split(".")[1]], case)
    fast = run(kernel, case)
    np.testing.assert_allclose(plain.probs, fast.probs, rtol=1e-6, atol=1e-13)
    assert plain.residual.max() <= 1e-12


@pytest.mark.parametrize("tables", [np.float32, np.float64])
@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_interpreted_kernels_work_in_single_precision(interpreted, divergence, tables):
    case = draw(21, 6, 10, (4, 4, 4))
    plain = run(interpreted[f"{divergence}_rows"], case, np.float32, tables)
    np.testing.assert_allclose(plain.probs, case.combine(divergence).probs, atol=1e-6)
    assert plain.residual.max() <= 1e-6


@pytest.mark.parametrize(("kernel", "certificate"), [("forward", stationarity), ("reverse", reverse_stationarity)])
def test_interpreted_kernels_tell_classes_apart_whose_ids_need_more_than_16_bits(interpreted, kernel, certificate):
    case = draw(28, 1, 70_000, (2, 3))
    case.subsets[:] = torch.tensor([69_999, 4_463]), torch.tensor([4_463, 12, 65_548])
    case.active[:] = True
    result = run(interpreted[f"{kernel}_rows"], case)
    assert result.residual.item() <= 1e-12
    assert certificate(result.probs[0], *teachers(case, 0)) <= 1e-12


def test_interpreted_kernels_fill_unnamed_classes_evenly(interpreted):
    case = draw(21, 4, 8, (3, 3, 3))
    case.generalist[:] = 0.0
    case.generalist[:, 0] = 1.0
    result = run(interpreted["forward_rows"], case)
    unnamed = sorted(set(range(8)) - {int(i) for subset in case.subsets for i in subset} - {0})
    assert len(unnamed) > 0
    np.testing.assert_allclose(result.probs[:, unnamed].std(axis=1), 0, atol=1e-15)
    assert result.residual.max() <= 1e-12


def test_interpreted_kernels_count_an_empty_dustbin_as_nothing_asked(interpreted):
    case = draw(22, 4, 8, (3, 3))
    for m, probs in enumerate(case.specialists):
        probs[:, -1] = 0.0
        case.specialists[m] = probs / probs.sum(1, keepdim=True)
    result = run(interpreted["forward_rows"], case)
    expected = case.generalist.numpy() / 3
    for probs, subset in zip(case.specialists, case.subsets, strict=True):
        expected[:, subset.numpy()] += probs[:, :-1].numpy() / 3
    np.testing.assert_allclose(result.probs, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_interpreted_kernels_mark_rows_that_are_no_distribution(interpreted, dtype):
    case = draw(23, 3)
    case.generalist[0, 0] = float("nan")
    case.specialists[2][1, 0] = -1.0
    marks = run(interpreted["forward_rows"], case, dtype).iterations
    assert marks[:2].tolist() == [blocks.NOT_A_DISTRIBUTION] * 2
    assert marks[2] > 0


def test_interpreted_kernels_mark_rows_whose_residual_is_too_large(interpreted):
    result = run(interpreted["forward_rows"], draw(24, 3), residual=-1.0)
    assert result.iterations.tolist() == [blocks.NOT_CONVERGED] * 3


def test_interpreted_rows_are_sorted_by_row_and_specialist(interpreted):
    subsets = Subsets(np.arange(5, dtype=np.uint16), np.array([0, 2, 5]))
    active = Active(np.empty(4, np.int64), np.empty(3, np.int64), np.empty(3, np.int64))
    interpreted["block"].index_rows(np.array([1, 2]), np.array([12, 10, 12]), 10, subsets, active)
    assert active.starts.tolist() == [0, 1, 1, 3]
    assert active.specialist.tolist() == [1, 0, 1]
    assert active.offset.tolist() == [3, 0, 7]


def problem(weights, outside, dustbins, total=3.0):
    """A solver's problem; `outside` is (patterns, specialists) here."""
    outside = np.ascontiguousarray(np.array(outside, dtype=float).T)
    sizes = np.ones(len(weights))
    powers = 1.0 + (1.0 - outside).sum(0)
    return Patterns(len(weights), len(dustbins), np.array(weights), sizes, powers, outside, np.array(dustbins), total)


def test_interpreted_solver_has_closed_forms_for_one_dustbin_and_for_none(interpreted):
    solver = interpreted["forward_kl"]
    at = interpreted["forward_newton"].workspace(3, 1)
    assert solver.solve(problem([0.6, 0.2, 0.7], [[True], [True], [False]], [0.5], 2.0), at, 4e-15) == 0
    np.testing.assert_allclose(at.mass, [0.4875, 0.1625, 0.35])
    assert solver.solve(problem([0.0, 0.0, 1.4], [[True], [True], [False]], [0.6], 2.0), at, 4e-15) == 0
    np.testing.assert_allclose(at.mass, [0.15, 0.15, 0.7])
    assert solver.solve(problem([0.3, 0.2, 0.5], np.zeros((3, 0)), [], 1.0), at, 4e-15) == 0
    np.testing.assert_allclose(at.mass, [0.3, 0.2, 0.5])


@pytest.mark.parametrize("scale", [1.0, 8.0, 40.0])
def test_interpreted_solver_meets_its_equations(interpreted, scale):
    solver = interpreted["forward_kl"]
    rng = np.random.default_rng(0)
    for _ in range(40):
        dustbins = 1 / (1 + np.exp(scale * rng.normal(size=4)))
        weights = np.exp(scale * rng.normal(size=6))
        weights *= (5 - dustbins.sum()) / weights.sum()
        outside = rng.random((6, 4)) < 0.5
        outside[0], outside[5] = True, False
        patterns = problem(weights, outside, dustbins, 5.0)
        at = interpreted["forward_newton"].workspace(6, 4)
        assert 0 < solver.solve(patterns, at, 4e-15) < 60
        mass = at.mass
        pull = (patterns.dustbins / (mass @ outside)) @ outside.T
        np.testing.assert_allclose(mass * 5, patterns.weights + mass * pull, atol=1e-12)


def test_interpreted_solver_stops_where_the_tolerance_is_out_of_reach(interpreted):
    solver = interpreted["forward_kl"]
    patterns = problem([1.0, float("nan")], [[True, True], [False, True]], [0.5, 0.5])
    assert solver.solve(patterns, interpreted["forward_newton"].workspace(2, 2), 4e-15) == forward_kl.MAX_ITERATIONS


def test_interpreted_solver_gives_no_step_to_an_unknown_that_is_tied(interpreted):
    matrix = np.array([[1.0, 2.0], [1.0, 2.0]])
    step = np.array([3.0, 3.0])
    interpreted["elimination"].eliminate(matrix, step, 2)
    assert step.tolist() == [3.0, 0.0]


def test_interpreted_certificate_is_infinite_for_what_has_no_objective(interpreted):
    kernel = interpreted["forward_kl"]
    assert kernel._ratio(0.5, 0.0) == np.inf
    assert kernel._ratio(1e-40, 0.0) == 0.0


def zeros_case(scale=1.0):
    """Three rows with zeros: in the generalist, in a specialist's dustbin, and everywhere that matters."""
    case = draw(25, 3, 6, (3, 3), scale)
    case.subsets[:] = torch.tensor([0, 1, 2]), torch.tensor([2, 3, 4])
    case.generalist[0, 5] = 0.0
    case.specialists[1][1, -1] = 0.0
    case.generalist[2] = torch.tensor([1.0, 0, 0, 0, 0, 0])
    case.specialists[0][2, 0] = 0.0
    for probs in (case.generalist, *case.specialists):
        probs.div_(probs.sum(1, keepdim=True))
    return case


def test_interpreted_reverse_kernel_gives_nothing_to_what_a_teacher_rules_out(interpreted):
    result = run(interpreted["reverse_rows"], zeros_case())
    assert result.iterations[2] == blocks.INFINITE
    assert result.probs[0, 5] == 0.0
    assert result.probs[1, [0, 1, 5]].tolist() == [0.0] * 3
    assert result.residual[:2].max() <= 1e-12


def test_interpreted_reverse_kernel_certifies_what_underflows(interpreted):
    case = draw(26, 3, 6, (3,))
    case.generalist[:, 5] = 1e-60
    case.subsets[0] = torch.tensor([0, 1, 2])
    case.specialists[0][:] = torch.tensor([0.3, 0.3, 0.4, 1e-60])
    case.generalist[:, 3:5] = 0.0
    case.generalist.div_(case.generalist.sum(1, keepdim=True))
    result = run(interpreted["reverse_rows"], case, np.float32)
    assert result.probs[:, 5].tolist() == [0.0] * 3
    assert result.residual.max() <= 1e-6


def test_interpreted_reverse_kernel_marks_rows_that_are_no_distribution_or_not_solved(interpreted):
    case = draw(23, 3)
    case.generalist[0, 0] = float("nan")
    case.specialists[2][1, 0] = -1.0
    marks = run(interpreted["reverse_rows"], case, residual=-1.0).iterations
    assert marks.tolist() == [blocks.NOT_A_DISTRIBUTION] * 2 + [blocks.NOT_CONVERGED]


def test_interpreted_reverse_kernel_fills_a_dustbin_whose_classes_are_all_but_ruled_out(interpreted):
    case = draw(27, 2, 3, (2,))
    case.subsets[0] = torch.tensor([0, 1])
    case.generalist[:] = torch.tensor([0.75, 0.25, 1e-300], dtype=torch.float64)
    case.specialists[0][:] = torch.tensor([0.06, 0.04, 0.9], dtype=torch.float64)
    result = run(interpreted["reverse_rows"], case)
    geometric = np.sqrt([0.75 * 0.06, 0.25 * 0.04, 0.9e-300])
    np.testing.assert_allclose(result.probs, np.tile(geometric / geometric.sum(), (2, 1)), rtol=1e-12)


def test_interpreted_reverse_solver_stops_where_no_step_lowers_the_errors(interpreted):
    solver = interpreted["reverse_kl"]
    patterns = problem([0.4, 0.3, 0.3], [[True, True], [False, True], [True, False]], [0.5, 0.2])
    at = solver.workspace(3, 2)
    assert 0 < solver.solve(patterns, at, -1.0) < 20
    assert at.mass.sum() == pytest.approx(1.0)
