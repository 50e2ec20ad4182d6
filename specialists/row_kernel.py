"""Combination of a block of rows: from probabilities to patterns, from pattern masses to soft targets.

Every row is worked out by itself, in float64 and in an order that its own subsets fix, so that its result
does not depend on the rows around it or on the number of threads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specialists import forward_kl, patterns
from specialists.compiled import compiled, compiled_entry, compiled_sum, sources_digest
from specialists.forward_kl import Floats, Iterate, Patterns
from specialists.patterns import Active, Integers, Row, Subsets, collect, collect_shared, mark, number_patterns, total

NOT_CONVERGED = -1
NOT_A_DISTRIBUTION = -2
_NO_DUSTBIN = 1e-100  # no precision shows a share of this; products of two such would underflow
_TINY = 1e-280  # weights below it divide nothing: their reciprocals overflow


class Table(NamedTuple):
    """Values in one of two precisions; the other array is empty.

    The kernel takes both and is therefore compiled once, not once for each precision.
    """

    single: NDArray[np.float32]
    double: Floats


class Result(NamedTuple):
    """What is filled in for each row.

    Attributes:
        probs: Soft targets (rows, classes).
        residual: Certificate, float64 (rows,).
        iterations: Newton steps, or `NOT_CONVERGED` or `NOT_A_DISTRIBUTION`, int64 (rows,).
    """

    probs: Table
    residual: Floats
    iterations: Integers


class Accuracy(NamedTuple):
    """What is asked of the values.

    Attributes:
        sums: How far from 1 the probabilities of a teacher on a row may sum.
        residual: The largest certificate that counts as converged.
        products: Relative tolerance of the solver.
    """

    sums: float
    residual: float
    products: float


@compiled_sum
def _read(probs: NDArray[Any], b: int, out: Floats) -> float:
    """Copy a generalist's row to float64; return its sum, or NaN where a value is negative or NaN."""
    result = 0.0
    n_wrong = 0
    for i in range(out.size):
        value = np.float64(probs[b, i])
        out[i] = value
        result += value
        n_wrong += not probs[b, i] >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled_sum
def _checked_total(probs: NDArray[Any], first: int, stop: int) -> float:
    """The sum of some probabilities, or NaN where one is negative or NaN."""
    result = 0.0
    n_wrong = 0
    for i in range(first, stop):
        result += np.float64(probs[i])
        n_wrong += not probs[i] >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled_sum
def _write(weights: Floats, scale: float, even: float, b: int, out: NDArray[Any]) -> float:
    """Write q_i = a_i * scale + even to row b; return the sum of what was written."""
    result = 0.0
    for i in range(weights.size):
        out[b, i] = weights[i] * scale + even
        result += np.float64(out[b, i])
    return result


@compiled_sum
def _spread_run(first: int, stop: int, scale: float, even: float, single: bool, row: Row) -> float:
    """Write q_i = a_i * scale + even of some members, rounded as they will be returned; return their sum."""
    result = 0.0
    if single:
        for t in range(first, stop):
            row.share[t] = np.float64(np.float32(row.weight[t] * scale + even))
            result += row.share[t]
    else:
        for t in range(first, stop):
            row.share[t] = row.weight[t] * scale + even
            result += row.share[t]
    return result


@compiled
def _gaps(probs: NDArray[Any], b: int, slack: float, factor: float, weights: Floats) -> None:
    """Replace a_i by |q_i * slack - a_i * factor|."""
    for i in range(weights.size):
        weights[i] = abs(np.float64(probs[b, i]) * slack - weights[i] * factor)


@compiled
def _largest(bits: Integers, n: int) -> int:
    """The largest of the first n; 0 where there are none.

    Floats above 0 are ordered like their bits, with NaN above all; and integers, unlike floats, take vector lanes.
    """
    largest = np.int64(0)
    for i in range(n):
        largest = max(largest, bits[i])
    return largest


@compiled
def _put(n_members: int, b: int, row: Row, out: NDArray[Any]) -> None:
    """Write members' soft targets to their classes."""
    for t in range(n_members):
        out[b, row.classes[t]] = row.share[t]


@compiled
def _gather(
    b: int, subsets: Subsets, active: Active, tables: Table, unit: float, tolerance: float, row: Row
) -> tuple[int, int, bool]:
    """Add up what the active specialists say of their classes.

    Args:
        b: The row.
        subsets: All subsets.
        active: The active specialists.
        tables: Their probabilities.
        unit: What the generalist's probabilities sum to: the specialists' are brought to the same.
        tolerance: How far from 1 a specialist may sum.
        row: `rest` holds the generalist's probabilities; members are filled in, and `dustbins` by entry.

    Returns:
        How many members are in one subset alone, how many there are, and whether all specialists are
        distributions.
    """
    start = active.starts[b]
    n_active = active.starts[b + 1] - start
    for e in range(n_active):
        m = active.specialist[start + e]
        mark(subsets, m, 1 << e, row.marks)
    n_alone, n_shared, n_valid = 0, 0, 0
    for e in range(n_active):
        row.runs[e] = n_alone
        m = active.specialist[start + e]
        first = active.offset[start + e]
        last = first + subsets.starts[m + 1] - subsets.starts[m]
        if tables.single.size > 0:
            sum_of_all = _checked_total(tables.single, first, last + 1)
            row.dustbins[e] = np.float64(tables.single[last]) / sum_of_all
            factor = unit / sum_of_all
            n_alone, n_shared = collect(tables.single, first, factor, subsets, m, e, n_alone, n_shared, row)
        else:
            sum_of_all = _checked_total(tables.double, first, last + 1)
            row.dustbins[e] = tables.double[last] / sum_of_all
            factor = unit / sum_of_all
            n_alone, n_shared = collect(tables.double, first, factor, subsets, m, e, n_alone, n_shared, row)
        n_valid += abs(sum_of_all - 1.0) <= tolerance
    row.runs[n_active] = n_alone
    collect_shared(n_alone, n_shared, row)
    return n_alone, n_alone + n_shared, n_valid == n_active


@compiled
def _pose(n_active: int, n_alone: int, n_members: int, unit: float, row: Row) -> Patterns:
    """Sum the row up by pattern: the problem that the solver sees."""
    effective, n_bins = 0, 0
    for e in range(n_active):
        if row.dustbins[e] > _NO_DUSTBIN:  # else it asks nothing of the classes outside
            effective |= 1 << e
    n_patterns = number_patterns(n_active, n_alone, n_members, effective, row)
    for e in range(n_active):
        if effective >> e & 1:
            row.dustbins[n_bins] = row.dustbins[e]
            for k in range(n_patterns):
                row.outside[n_bins, k] = 1.0 - (row.keys[k] >> e & 1)
            n_bins += 1
    for k in range(n_patterns):
        row.weights[k] /= unit
        row.mass[k] = 0.0
    return Patterns(n_patterns, n_bins, row.weights, row.sizes, row.outside, row.dustbins, 1.0 + n_active)


@compiled
def _scales(problem: Patterns, at: Iterate, unit: float, row: Row) -> None:
    """Divide each pattern's mass as q_i = a_i W_k / A_k.

    A mass that no teacher divides, A_k = 0, goes evenly to its classes: the limit of a smoothed generalist.
    """
    for k in range(problem.n_patterns):
        if problem.weights[k] > _TINY:
            row.scale[k] = at.mass[k] / (problem.weights[k] * unit)
            row.even[k] = 0.0
        else:
            row.scale[k] = 0.0
            row.even[k] = at.mass[k] / problem.sizes[k]


@compiled
def _spread_members(n_active: int, n_alone: int, n_members: int, single: bool, row: Row) -> None:
    """Work out the members' soft targets, rounded as they will be returned, and their masses."""
    for e in range(n_active):
        if row.runs[e] < row.runs[e + 1]:
            k = row.key[row.runs[e]]
            row.mass[k] += _spread_run(row.runs[e], row.runs[e + 1], row.scale[k], row.even[k], single, row)
    for t in range(n_alone, n_members):
        k = row.key[t]
        row.mass[k] += _spread_run(t, t + 1, row.scale[k], row.even[k], single, row)


@compiled
def _ratio(dustbin: float, bin_mass: float) -> float:
    """d_m / Q_m; a dustbin whose share of float32 soft targets has underflowed counts as empty."""
    if bin_mass == 0.0:
        return 0.0 if dustbin < 1e-30 else np.inf
    return dustbin / bin_mass


@compiled
def _multipliers(problem: Patterns, row: Row) -> float:
    """Leave lambda - sum_{m: k outside m} d_m / Q_m in `row.scale`, with Q_m from the returned masses.

    Returns:
        By how much a pattern whose q is all 0 violates the conditions for a minimum.
    """
    for k in range(problem.n_patterns):
        row.scale[k] = problem.total
    for m in range(problem.n_bins):
        bin_mass = 0.0
        for k in range(problem.n_patterns):
            bin_mass += problem.outside[m, k] * row.mass[k]
        ratio = _ratio(problem.dustbins[m], bin_mass)
        for k in range(problem.n_patterns):
            if problem.outside[m, k] > 0.0:
                row.scale[k] -= ratio
    largest = 0.0
    for k in range(problem.n_patterns):
        if row.mass[k] == 0.0:
            largest = max(largest, -row.scale[k], problem.weights[k])
            row.scale[k] = 0.0
    return largest


@compiled
def _certify_members(n_active: int, n_alone: int, n_members: int, factor: float, row: Row) -> float:
    """The largest violation by members, whose a_i is weight * factor. Spoils `row.weight`."""
    for e in range(n_active):
        if row.runs[e] < row.runs[e + 1]:
            slack = row.scale[row.key[row.runs[e]]]
            for t in range(row.runs[e], row.runs[e + 1]):
                row.weight[t] = abs(row.share[t] * slack - row.weight[t] * factor)
    for t in range(n_alone, n_members):
        row.weight[t] = abs(row.share[t] * row.scale[row.key[t]] - row.weight[t] * factor)
    row.weight_bits[n_members] = _largest(row.weight_bits, n_members)
    return row.weight[n_members]


def _block_kernel(sources: str) -> Callable[..., None]:
    """Make `combine_block`; why it captures a digest of its sources, `sources_digest` says."""

    @compiled_entry
    def combine_block(
        generalist: Table,
        tables: Table,
        subsets: Subsets,
        active: Active,
        accuracy: Accuracy,
        row: Row,
        at: Iterate,
        result: Result,
    ) -> None:
        _ = sources
        single = result.probs.single.size > 0
        for b in range(result.residual.size):
            unit = _read(generalist.single, b, row.rest) if single else _read(generalist.double, b, row.rest)
            n_active = active.starts[b + 1] - active.starts[b]
            n_alone, n_members, valid = _gather(b, subsets, active, tables, unit, accuracy.sums, row)
            if not (valid and abs(unit - 1.0) <= accuracy.sums):
                result.iterations[b] = NOT_A_DISTRIBUTION
                continue
            problem = _pose(n_active, n_alone, n_members, unit, row)
            result.iterations[b] = forward_kl.solve(problem, at, accuracy.products)
            _scales(problem, at, unit, row)
            _spread_members(n_active, n_alone, n_members, single, row)
            n_rest = row.rest.size - n_members
            if n_rest > 0:
                if single:
                    mass = _write(row.rest, row.scale[0], row.even[0], b, result.probs.single)
                else:
                    mass = _write(row.rest, row.scale[0], row.even[0], b, result.probs.double)
                # What is even was written to the members too.
                row.mass[0] += mass if row.even[0] == 0.0 else mass * n_rest / row.rest.size
            all_mass = total(row.mass, 0, problem.n_patterns)
            largest = _multipliers(problem, row)
            largest = max(largest, _certify_members(n_active, n_alone, n_members, 1.0 / unit, row))
            if n_rest > 0:
                if single:
                    _gaps(result.probs.single, b, row.scale[0], 1.0 / unit, row.rest)
                else:
                    _gaps(result.probs.double, b, row.scale[0], 1.0 / unit, row.rest)
                row.rest_bits[0] = _largest(row.rest_bits, row.rest.size)
                largest = max(largest, row.rest[0])
            if single:
                _put(n_members, b, row, result.probs.single)
            else:
                _put(n_members, b, row, result.probs.double)
            # A maximum may drop a NaN; the sum does not.
            residual = max(largest / problem.total, abs(all_mass - 1.0)) if np.isfinite(all_mass) else np.inf
            result.residual[b] = residual
            if not residual <= accuracy.residual:
                result.iterations[b] = NOT_CONVERGED

    return combine_block


combine_block = _block_kernel(sources_digest(__file__, forward_kl.__file__, patterns.__file__))
"""Combine a block of rows; the caller has checked everything but the values."""
