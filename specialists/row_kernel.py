"""What both divergences do to a row: read it, spread pattern masses over its classes, and certify the result.

Every row is worked out by itself, in float64 and in an order that its own subsets fix, so that its result
does not depend on the rows around it or on the number of threads.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specialists.block import Block
from specialists.compiled import Floats, Integers, compiled, compiled_sum
from specialists.patterns import Found, Patterns, Row, total

_TINY = 1e-306  # weights below it divide nothing: their reciprocals overflow


@compiled
def read(b: int, block: Block, row: Row) -> float:
    """Copy a generalist's row to `row.rest`; return its sum, or NaN where a value is negative or NaN."""
    if block.generalist.single.size > 0:
        return _read(block.generalist.single, b, row.rest)
    return _read(block.generalist.double, b, row.rest)


@compiled_sum
def _read(probs: NDArray[Any], b: int, out: Floats) -> float:
    result = 0.0
    n_wrong = 0
    for i in range(out.size):
        value = np.float64(probs[b, i])
        out[i] = value
        result += value
        n_wrong += not probs[b, i] >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled_sum
def checked_total(probs: NDArray[Any], first: int, stop: int) -> float:
    """The sum of some probabilities, or NaN where one is negative or NaN."""
    result = 0.0
    n_wrong = 0
    for i in range(first, stop):
        result += np.float64(probs[i])
        n_wrong += not probs[i] >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled
def spread(b: int, found: Found, problem: Patterns, mass: Floats, block: Block, row: Row) -> None:
    """Divide each pattern's mass as q_i = a_i W_k / A_k.

    A mass that no teacher divides, A_k = 0, goes evenly to its classes: the limit of a smoothed generalist.

    Args:
        b: The row.
        found: What it has.
        problem: The same by pattern.
        mass: W_k.
        block: Classes that are no members are written, and members overwritten.
        row: `share` and `mass` are filled in, rounded as they will be returned.
    """
    for k in range(problem.n_patterns):
        row.scale[k], row.even[k] = 0.0, 0.0
        if problem.weights[k] > _TINY:
            row.scale[k] = mass[k] / (problem.weights[k] * found.unit)
        else:
            row.even[k] = mass[k] / problem.sizes[k]
    for e in range(found.n_active):
        if row.runs[e] < row.runs[e + 1]:
            k = row.run_pattern[e]
            row.mass[k] += _spread_members(row.runs[e], row.runs[e + 1], k, block, row)
    for t in range(found.n_alone, found.n_members):
        row.mass[row.keys[t]] += _spread_members(t, t + 1, row.keys[t], block, row)
    n_rest = row.rest.size - found.n_members
    if n_rest > 0:
        rest_mass = _spread_rest(b, row.scale[0], row.even[0], block, row)
        # What is even was written to the members too.
        row.mass[0] += rest_mass if row.even[0] == 0.0 else rest_mass * n_rest / row.rest.size


@compiled_sum
def _spread_members(first: int, stop: int, k: int, block: Block, row: Row) -> float:
    """Write q_i = a_i * scale + even of some members of pattern k; return their sum."""
    scale, even = row.scale[k], row.even[k]
    result = 0.0
    if block.probs.single.size > 0:
        for t in range(first, stop):
            row.share[t] = np.float64(np.float32(row.weight[t] * scale + even))
            result += row.share[t]
    else:
        for t in range(first, stop):
            row.share[t] = row.weight[t] * scale + even
            result += row.share[t]
    return result


@compiled
def _spread_rest(b: int, scale: float, even: float, block: Block, row: Row) -> float:
    if block.probs.single.size > 0:
        return _write(b, row.rest, scale, even, block.probs.single)
    return _write(b, row.rest, scale, even, block.probs.double)


@compiled_sum
def _write(b: int, weights: Floats, scale: float, even: float, out: NDArray[Any]) -> float:
    """Write q_i = a_i * scale + even to row b; return the sum of what was written."""
    result = 0.0
    for i in range(weights.size):
        out[b, i] = weights[i] * scale + even
        result += np.float64(out[b, i])
    return result


@compiled
def certify(b: int, found: Found, n_patterns: int, violation: float, block: Block, row: Row) -> None:
    """Fill in how far the soft targets, as they will be returned, are from the minimum; put members in place.

    Args:
        b: The row.
        found: What it has.
        n_patterns: Number of patterns.
        violation: The largest one found so far.
        block: `residual` is filled in: the largest of `violation`, |sum q - 1| and
            |q_i slack_k - a_i factor_k|. Members' soft targets are written.
        row: slack_k is in `scale` and factor_k in `even`. What is known of the a_i is spoiled.
    """
    all_mass = total(row.mass, n_patterns)
    for e in range(found.n_active):
        if row.runs[e] < row.runs[e + 1]:
            slack, factor = row.scale[row.run_pattern[e]], row.even[row.run_pattern[e]] / found.unit
            for t in range(row.runs[e], row.runs[e + 1]):
                row.weight[t] = abs(row.share[t] * slack - row.weight[t] * factor)
    for t in range(found.n_alone, found.n_members):
        k = row.keys[t]
        row.weight[t] = abs(row.share[t] * row.scale[k] - row.weight[t] * row.even[k] / found.unit)
    row.weight_bits[found.n_members] = _largest(row.weight_bits, found.n_members)
    violation = max(violation, row.weight[found.n_members])
    if found.n_members < row.rest.size:
        violation = max(violation, _largest_gap_of_rest(b, row.scale[0], row.even[0] / found.unit, block, row))
    # A maximum may drop a NaN; the sum does not.
    block.residual[b] = max(violation, abs(all_mass - 1.0)) if np.isfinite(all_mass) else np.inf
    if block.probs.single.size > 0:
        _put(b, found.n_members, row, block.probs.single)
    else:
        _put(b, found.n_members, row, block.probs.double)


@compiled
def _largest_gap_of_rest(b: int, slack: float, factor: float, block: Block, row: Row) -> float:
    """The largest |q_i * slack - a_i * factor|; it is written over a_i."""
    if block.probs.single.size > 0:
        _gaps(b, block.probs.single, slack, factor, row.rest)
    else:
        _gaps(b, block.probs.double, slack, factor, row.rest)
    row.rest_bits[0] = _largest(row.rest_bits, row.rest.size)
    largest: float = row.rest[0]
    return largest


@compiled
def _gaps(b: int, probs: NDArray[Any], slack: float, factor: float, weights: Floats) -> None:
    for i in range(weights.size):
        weights[i] = abs(np.float64(probs[b, i]) * slack - weights[i] * factor)


@compiled
def _largest(bits: Integers, n: int) -> int:
    """The largest of the first n; 0 where there are none.

    Floats above 0 are ordered like their bits, with NaN above all; and integers, unlike floats, take vector lanes.
    """
    largest = 0
    for i in range(n):
        largest = max(largest, bits[i])
    return largest


@compiled
def _put(b: int, n_members: int, row: Row, out: NDArray[Any]) -> None:
    """Write members' soft targets to their classes."""
    for t in range(n_members):
        out[b, row.classes[t]] = row.share[t]
