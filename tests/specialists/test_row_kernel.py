"""The compiled kernels once more as plain Python: what coverage measures, and proof that compiling changes nothing."""

import numpy as np
import pytest

from specialists import forward_kl, row_kernel
from tests.specialists.cases import draw


def run(kernel, case, dtype=np.float64):
    """Combine all rows with every specialist active, by the given kernel module."""
    sizes = [len(subset) for subset in case.subsets]
    subsets = row_kernel.Subsets(
        np.concatenate([subset.numpy() for subset in case.subsets]), np.cumsum([0, *sizes], dtype=np.int64)
    )
    n_rows = len(case.generalist)
    probs = np.concatenate([table.double().numpy() for table in case.specialists], axis=1)
    active = row_kernel.Active(
        np.arange(n_rows + 1) * len(sizes),
        np.tile(np.arange(len(sizes)), n_rows),
        (np.cumsum([0, *(size + 1 for size in sizes[:-1])]) + np.arange(n_rows)[:, None] * probs.shape[1]).ravel(),
        probs.ravel(),
    )
    result = row_kernel.Result(
        np.empty(case.generalist.shape, dtype), np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    )
    kernel.combine_block(case.generalist.numpy(), subsets, active, row_kernel.Accuracy(1e-3, 1e-6), result)
    return result


@pytest.mark.parametrize("scale", [1.0, 8.0, 40.0])
@pytest.mark.parametrize("dustbin", [0.0, 30.0])
@pytest.mark.parametrize(("n_classes", "sizes"), [(10, (4, 4, 4)), (6, (3, 3, 3, 5, 2)), (30, (20,) * 6)])
def test_interpreted_kernels_give_what_compiled_ones_give(interpreted, n_classes, sizes, dustbin, scale):
    case = draw(20, 6, n_classes, sizes, scale, dustbin)
    plain = run(interpreted["row_kernel"], case)
    fast = run(row_kernel, case)
    np.testing.assert_allclose(plain.probs, fast.probs, rtol=1e-6, atol=1e-13)
    assert plain.residual.max() <= 1e-12


def test_interpreted_kernels_fill_unnamed_classes_evenly(interpreted):
    case = draw(21, 4, 8, (3, 3, 3))
    case.generalist[:] = 0.0
    case.generalist[:, 0] = 1.0
    result = run(interpreted["row_kernel"], case)
    unnamed = sorted(set(range(8)) - {int(i) for subset in case.subsets for i in subset} - {0})
    assert len(unnamed) > 0
    np.testing.assert_allclose(result.probs[:, unnamed].std(axis=1), 0, atol=1e-15)
    assert result.residual.max() <= 1e-12


def test_interpreted_kernels_count_an_empty_dustbin_as_nothing_asked(interpreted):
    case = draw(22, 4, 8, (3, 3))
    for m, table in enumerate(case.specialists):
        table[:, -1] = 0.0
        case.specialists[m] = table / table.sum(1, keepdim=True)
    result = run(interpreted["row_kernel"], case)
    expected = case.generalist.numpy() / 3
    for table, subset in zip(case.specialists, case.subsets, strict=True):
        expected[:, subset.numpy()] += table[:, :-1].numpy() / 3
    np.testing.assert_allclose(result.probs, expected, rtol=1e-12)


def test_interpreted_kernels_mark_rows_that_are_no_distribution(interpreted):
    case = draw(23, 3)
    case.generalist[0, 0] = float("nan")
    case.specialists[2][1, 0] = -1.0
    marks = run(interpreted["row_kernel"], case).iterations
    assert marks[:2].tolist() == [row_kernel.NOT_A_DISTRIBUTION] * 2
    assert marks[2] > 0


def test_combine_block_marks_rows_whose_residual_is_too_large(interpreted):
    case = draw(24, 3)
    strict = row_kernel.Accuracy(1e-3, -1.0)
    rows = row_kernel.Active(np.zeros(4, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    result = row_kernel.Result(np.empty((3, 10)), np.empty(3), np.empty(3, np.int64))
    subsets = row_kernel.Subsets(np.zeros(0, np.int64), np.zeros(1, np.int64))
    interpreted["row_kernel"].combine_block(case.generalist.numpy(), subsets, rows, strict, result)
    assert result.iterations.tolist() == [row_kernel.NOT_CONVERGED] * 3


def test_interpreted_solver_has_closed_forms_for_one_dustbin_and_for_none(interpreted):
    solver = interpreted["forward_kl"]
    at = solver.workspace(3, 1)
    assert solver.solve(problem([0.6, 0.2, 0.7], [[True], [True], [False]], [0.5], 2.0), at) == 0
    np.testing.assert_allclose(at.mass, [0.4875, 0.1625, 0.35])
    assert solver.solve(problem([0.0, 0.0, 1.4], [[True], [True], [False]], [0.6], 2.0), at) == 0
    np.testing.assert_allclose(at.mass, [0.15, 0.15, 0.7])
    assert solver.solve(problem([0.3, 0.2, 0.5], np.zeros((3, 0)), [], 1.0), at) == 0
    np.testing.assert_allclose(at.mass, [0.3, 0.2, 0.5])


def problem(weights, outside, dustbins, total=3.0):
    outside = np.array(outside, dtype=bool)
    return forward_kl.Patterns(np.array(weights), np.ones(len(weights)), outside, np.array(dustbins), total)


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
        at = solver.workspace(6, 4)
        assert 0 < solver.solve(patterns, at) < 60
        mass = at.mass
        pull = (patterns.dustbins / (mass @ outside)) @ outside.T
        np.testing.assert_allclose(mass * 5, patterns.weights + mass * pull, atol=1e-12)


def test_interpreted_solver_stops_where_the_tolerance_is_out_of_reach(interpreted):
    solver = interpreted["forward_kl"]
    patterns = problem([1.0, float("nan")], [[True, True], [False, True]], [0.5, 0.5])
    assert solver.solve(patterns, solver.workspace(2, 2)) == forward_kl.MAX_ITERATIONS


def test_interpreted_certificate_is_infinite_for_nan(interpreted):
    kernel = interpreted["row_kernel"]
    none = np.zeros(0, np.int64)
    active = row_kernel.Active(np.zeros(2, np.int64), none, none, np.zeros(0))
    probs = np.array([[0.5, np.nan]])
    room = kernel._workspace(2, row_kernel.Subsets(none, np.zeros(1, np.int64)), active, probs)
    patterns = problem([1.0], np.zeros((1, 0)), [], 1.0)
    assert kernel._certificate(0, patterns, room, probs[0]) == np.inf


def test_interpreted_solver_gives_no_step_to_an_unknown_that_is_tied(interpreted):
    matrix = np.array([[1.0, 2.0], [1.0, 2.0]])
    step = np.array([3.0, 3.0])
    interpreted["forward_kl"]._eliminate(matrix, step, 2)
    assert step.tolist() == [3.0, 0.0]


def test_interpreted_certificate_is_infinite_for_what_has_no_objective(interpreted):
    kernel = interpreted["row_kernel"]
    assert kernel._ratio(0.5, 0.0) == np.inf
    assert kernel._ratio(1e-40, 0.0) == 0.0
