"""What both divergences do to a row: read it, spread pattern masses over its classes, and certify the result.

Every row is worked out by itself, in float64 and in an order that its own subsets fix, so that its result
does not depend on the rows around it or on the number of threads.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specialists.block import Block
from specialists.compiled import Floats, compiled, compiled_sum
from specialists.layouts import Layout, Layouts, fetch_entries
from specialists.patterns import Patterns, Row
from specialists.prefetch import fetch

_FAR = 8192  # values of a row; of longer ones the rest streams in by itself


@compiled
def fetch_next(b: int, block: Block, kept: Layouts) -> None:
    """Ask for what the row after b, if there is one, needs first: waiting for memory took a third of the time.

    Args:
        b: A row of the block.
        block: The block.
        kept: Layouts; none is made.
    """
    if b + 1 < block.residual.size:
        fetch_entries(b + 1, block, kept)
        fetch(block.generalist[b + 1], min(block.generalist.shape[1], _FAR))


@compiled_sum
def read(probs: NDArray[Any], out: NDArray[Any]) -> float:
    """Copy a generalist's row.

    Args:
        probs: Float32 or float64 (classes,).
        out: Filled in; of the same dtype (classes,).

    Returns:
        Its sum, in float64; NaN where a value is negative or NaN, infinite where one is.
    """
    result = 0.0
    n_wrong = 0
    for i in range(out.size):
        value = probs[i]
        out[i] = value
        result += np.float64(value)
        n_wrong += not value >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled_sum
def _checked_total(probs: NDArray[Any]) -> float:
    """The sum of some probabilities, or NaN where one is negative or NaN."""
    result = 0.0
    n_wrong = 0
    for i in range(probs.size):
        result += np.float64(probs[i])
        n_wrong += not probs[i] >= 0.0
    return result if n_wrong == 0 else np.nan


@compiled
def read_specialists(b: int, block: Block, row: Row) -> bool:
    """Work out factors and dustbins of row b's active specialists.

    Args:
        b: A row of the block.
        block: The block.
        row: `factors` and `all_dustbins` are filled in.

    Returns:
        Whether the probabilities of each are non-negative and of sum 1, as nearly as `block.accuracy` asks.
    """
    start = block.active.starts[b]
    n_active = block.active.starts[b + 1] - start
    n_valid = 0
    for e in range(n_active):
        m, first = block.active.specialist[start + e], block.active.offset[start + e]
        last = first + block.subsets.starts[m + 1] - block.subsets.starts[m]
        probs_sum = _checked_total(block.tables[first : last + 1])
        row.factors[e] = 1.0 / probs_sum
        row.all_dustbins[e] = np.float64(block.tables[last]) * row.factors[e]
        n_valid += abs(probs_sum - 1.0) <= block.accuracy.table_sums
    return bool(n_valid == n_active)


@compiled
def spread(layout: Layout, problem: Patterns, mass: Floats, unit: float, out: NDArray[Any], row: Row) -> None:
    """Divide each pattern's mass as q_i = a_i W_k / A_k.

    A mass that no teacher divides, A_k = 0, goes evenly to its classes: the limit of a smoothed generalist.

    Args:
        layout: The row's layout.
        problem: The row by pattern.
        mass: W_k.
        unit: What the generalist's probabilities sum to, and `row.rest` and `row.weight` are multiples of.
        out: Classes that are no members are written, and members overwritten.
        row: `share` and `mass` are filled in, rounded as they will be returned.
    """
    for k in range(problem.n_patterns):
        row.mass[k], row.scale[k], row.even[k] = 0.0, 0.0, 0.0
        if problem.weights[k] > 0.0:
            row.scale[k] = mass[k] / (problem.weights[k] * unit)
        elif problem.sizes[k] > 0.0:
            row.even[k] = mass[k] / problem.sizes[k]
    for k in range(1, layout.keys.size):
        first, last, solved = layout.starts[k], layout.starts[k + 1], row.merged[k]
        weight, share = row.weight[first:last], row.share[first:last]
        row.mass[solved] += _write(weight, row.scale[solved], row.even[solved], share)
    rest_mass = _write(row.rest, row.scale[0], row.even[0], out)
    if row.even[0] > 0.0:  # which was written to the members too
        rest_mass *= (row.rest.size - layout.classes.size) / row.rest.size
    row.mass[0] += rest_mass


@compiled_sum
def _write(weights: NDArray[Any], scale: float, even: float, out: NDArray[Any]) -> float:
    """Write q_i = a_i * scale + even; return the sum of what was written."""
    result = 0.0
    for i in range(weights.size):
        out[i] = np.float64(weights[i]) * scale + even
        result += np.float64(out[i])
    return result


@compiled
def certify(layout: Layout, violation: float, unit: float, out: NDArray[Any], row: Row) -> float:
    """Return how far the soft targets, as they will be returned, are from the minimum; put members in place.

    Args:
        layout: The row's layout.
        violation: The largest one found so far.
        unit: As for `spread`.
        out: Members' soft targets are written.
        row: slack_k is in `scale` and factor_k in `even`.

    Returns:
        The largest of `violation`, |sum q - 1| and |q_i slack_k - a_i factor_k|; infinite if q is not finite.
    """
    n_found = layout.keys.size
    all_mass = 0.0
    for k in range(n_found):
        all_mass += row.mass[k]
    largest = max(violation, abs(all_mass - 1.0))
    if layout.classes.size < row.rest.size:
        largest = max(largest, _largest_gap(row.rest, out, row.scale[0], row.even[0] / unit))
    for k in range(1, n_found):
        first, last, solved = layout.starts[k], layout.starts[k + 1], row.merged[k]
        weight, share = row.weight[first:last], row.share[first:last]
        largest = max(largest, _largest_gap(weight, share, row.scale[solved], row.even[solved] / unit))
    for t in range(layout.classes.size):
        out[layout.classes[t]] = row.share[t]
    return largest if np.isfinite(all_mass) else np.inf  # a maximum may drop a NaN; the sum does not


@compiled
def _largest_gap(weights: NDArray[Any], probs: NDArray[Any], slack: float, factor: float) -> float:
    """The largest |q_i * slack - a_i * factor|.

    Floats above 0 are ordered like their bits, with NaN above all; and integers, unlike floats, take vector lanes.
    """
    largest = np.int64(0)
    for i in range(weights.size):
        gap = abs(np.float64(probs[i]) * slack - np.float64(weights[i]) * factor)
        largest = max(largest, np.float64(gap).view(np.int64))
    return float(np.int64(largest).view(np.float64))
