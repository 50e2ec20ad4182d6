"""One row as a solver sees it: summed up by pattern, and spread over its classes again."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specialists.compiled import Floats, Integers, compiled, compiled_sum
from specialists.layouts import Layout

_TINY = 1e-306  # a mass of 1 divided by a weight below it overflows
LANES = 16  # patterns are filled up to a multiple of it, so that loops over them take vector lanes to the end


class Patterns(NamedTuple):
    """What a solver is given: one row, summed up by pattern. All float64; arrays may be longer than said.

    Attributes:
        n_patterns: K, a multiple of `LANES`. Those that fill it up lie inside every subset, and nobody gives them
            anything: they have no effect.
        n_bins: M, the specialists whose dustbin matters.
        weights: A_k (K,).
        sizes: Number of classes in each pattern (K,).
        powers: 1 + number of active specialists that hold the pattern (K,).
        outside: 1 where pattern k lies outside subset m, else 0 (M, K).
        dustbins: d_m, above 0 (M,).
        total: lambda, 1 + number of active specialists.
    """

    n_patterns: int
    n_bins: int
    weights: Floats
    sizes: Floats
    powers: Floats
    outside: Floats
    dustbins: Floats
    total: float


class Row(NamedTuple):
    """Room for one row: float64 where nothing else is said, and as long as the longest row needs.

    Attributes:
        rest: The generalist's probabilities, 0 for members, as precise as they are (classes,).
        share: Soft target by member, as precise (members,).
        weight: What the teachers say of a member together, a_i (members,).
        power: By member, 1 + number of active specialists that hold it; only for the reverse divergence (members,).
        factors: 1 / sum of the probabilities of each active specialist (specialists,).
        all_dustbins: d_m of each active specialist (specialists,).
        weights, sizes, powers, outside, dustbins: As in `Patterns`.
        mass: Mass of the returned soft targets by pattern (patterns,).
        merged: With which pattern a pattern is solved, itself if none before it lies outside the same subsets, int64
            (patterns,).
        scale: By pattern, q_i / a_i (patterns,).
        even: By pattern, q_i where a_i = 0 but mass is needed (patterns,).
    """

    rest: NDArray[Any]
    share: NDArray[Any]
    weight: Floats
    power: Floats
    factors: Floats
    all_dustbins: Floats
    weights: Floats
    sizes: Floats
    powers: Floats
    outside: Floats
    dustbins: Floats
    mass: Floats
    merged: Integers
    scale: Floats
    even: Floats


def padded(n_patterns: int) -> int:
    """Return how many patterns there are when they are filled up to a multiple of `LANES`."""
    return -(-n_patterns // LANES) * LANES


def room_for_row(n_classes: int, n_members: int, n_active: int, dtype: np.dtype[Any]) -> Row:
    """Return room for rows up to this size.

    Args:
        n_classes: N, exactly.
        n_members: The most classes that the active subsets of a row hold.
        n_active: The most active specialists of a row.
        dtype: Of the generalist, float32 or float64.
    """
    n_patterns = padded(n_members + 1)
    return Row(
        rest=np.empty(n_classes, dtype),
        share=np.empty(n_members, dtype),
        weight=np.empty(n_members),
        power=np.empty(n_members),
        factors=np.empty(n_active),
        all_dustbins=np.empty(n_active),
        weights=np.empty(n_patterns),
        sizes=np.empty(n_patterns),
        powers=np.empty(n_patterns),
        outside=np.empty((n_active, n_patterns)),
        dustbins=np.empty(n_active),
        mass=np.empty(n_patterns),
        merged=np.empty(n_patterns, np.int64),
        scale=np.empty(n_patterns),
        even=np.empty(n_patterns),
    )


@compiled
def sum_up(layout: Layout, unit: float, row: Row) -> None:
    """Sum weights and sizes by pattern: A_k = sum of a_i over the classes i of pattern k.

    Args:
        layout: The row's layout.
        unit: What the generalist's probabilities sum to, and `row.rest` and `row.weight` are multiples of.
        row: `weights`, `sizes` and `merged` are filled in.
    """
    n_found = layout.keys.size
    row.weights[0] = total(row.rest) / unit
    row.sizes[0] = row.rest.size - layout.classes.size
    row.merged[0] = 0
    for k in range(1, n_found):
        row.weights[k] = total(row.weight[layout.starts[k] : layout.starts[k + 1]]) / unit
        row.sizes[k] = layout.starts[k + 1] - layout.starts[k]
        row.merged[k] = k
    for k in range(n_found, -(-n_found // LANES) * LANES):
        row.weights[k], row.sizes[k] = 0.0, 0.0


@compiled
def merge(counting: int, layout: Layout, row: Row) -> None:
    """Merge patterns that no counting subset tells apart: what one of them is given is for all their classes.

    Args:
        counting: Bits of the active specialists whose dustbin matters.
        layout: The row's layout.
        row: `weights` and `sizes` are added to the first of such patterns, whose number is filled in to `merged`.
    """
    for k in range(1, layout.keys.size):
        for before in range(k):
            if row.merged[k] == k and (layout.keys[before] ^ layout.keys[k]) & counting == 0:
                row.merged[k] = before
                row.weights[before] += row.weights[k]
                row.sizes[before] += row.sizes[k]
                row.weights[k], row.sizes[k] = 0.0, 0.0


@compiled
def drop_tiny(layout: Layout, row: Row) -> None:
    """Set the weights of patterns to 0 that no mass can be divided by; see `combine` for what that means."""
    for k in range(layout.keys.size):
        row.weights[k] = row.weights[k] if row.weights[k] > _TINY else 0.0


@compiled_sum
def total(values: NDArray[Any]) -> float:
    """Return the sum, in float64, of values of any float dtype and any number."""
    result = 0.0
    for i in range(values.size):
        result += np.float64(values[i])
    return result


@compiled
def pose(n_active: int, counting: int, layout: Layout, row: Row) -> Patterns:
    """Write the row down as the solvers see it.

    Args:
        n_active: Active specialists.
        counting: Bits of those whose dustbin matters.
        layout: Their layout.
        row: `powers`, `outside` and `dustbins` are filled in.
    """
    n_found = layout.keys.size
    n_patterns = -(-n_found // LANES) * LANES
    n_bins = 0
    for k in range(n_patterns):
        row.powers[k] = 1.0
    for e in range(n_active):
        for k in range(n_found):
            inside = np.float64(layout.keys[k] >> e & 1)
            row.powers[k] += inside
            row.outside[n_bins, k] = 1.0 - inside if row.sizes[k] > 0.0 else 0.0
        for k in range(n_found, n_patterns):
            row.outside[n_bins, k] = 0.0
        if counting >> e & 1:
            row.dustbins[n_bins] = row.all_dustbins[e]
            n_bins += 1
    return Patterns(n_patterns, n_bins, row.weights, row.sizes, row.powers, row.outside, row.dustbins, 1.0 + n_active)
