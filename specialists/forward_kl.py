"""The forward combination of one example, in the masses of its membership patterns.

Wanted is the distribution q that minimises KL(p_g || q) + sum_m KL(p_m || q_m) over the active specialists m,
where q_m is q with all classes outside the subset S_m summed into one dustbin (Hinton, Vinyals, Dean 2015,
section 5.3). Classes that lie outside the same subsets form a pattern k. With

    A_k = sum of p_g[i] + sum_{m: i in S_m} p_m[i] over the classes i of pattern k        (weights)
    d_m = p_m[dustbin]                                                                      (dustbins)
    lambda = sum_k A_k + sum_m d_m = 1 + number of active specialists                       (total)

and unknowns W_k = mass of q in pattern k, Q_m = sum_{k outside m} W_k, the minimum is where

    W_k g_k = A_k,    Q_m r_m = d_m,    g_k = lambda - sum_{m: k outside m} r_m,    all >= 0,

and q_i = a_i W_k / A_k. The last equation is linear and holds at every step; the products are driven to their
targets by a primal-dual Newton method, as for a linear program whose complementarity products are A and d
instead of 0. That copes with targets that are tiny or 0, where Newton on W or r alone does not: a confident
generalist, an empty outside.
"""

from typing import NamedTuple

import numpy as np

from specialists.compiled import Flags, Floats, compiled
from specialists.elimination import eliminate
from specialists.patterns import Patterns

TOLERANCE = 4e-15  # relative, on every product; some ten roundings of float64
MAX_ITERATIONS = 100  # 2 to 8 are usual; 39 the most seen that met the tolerance
_STAY_INSIDE = 0.99  # share of the way to the boundary that one step may go
_CENTRE = 0.1  # after a shortened step, products shrink to this share at most, which keeps them balanced
_ROUNDING = 1e-16  # of lambda: a gap below it is rounding, and its product within the tolerance
_TIGHT = 0.01  # patterns whose gap is below this share of lambda get an equation of their own


class Iterate(NamedTuple):
    """Where Newton's method stands, and the step it is about to take.

    Attributes:
        mass: W_k (K,); relative steps beside it in `mass_step`.
        gap: g_k (K,).
        smallest_bin: The smallest Q_m that pattern k is part of; 1 where it lies inside every subset (K,).
        ratio: r_m (M,).
        bin_mass: Q_m (M,).
        matrix: Newton's equations (2M, 2M), for the relative steps of r and the steps of tight masses, in
            units of the smallest Q_m that they are part of.
        step: Their right-hand side, then their solution (2M,).
        pull: W_k / g_k, and later the change of -g_k in a full step (K,).
        shift: What eliminating x_k takes from a right-hand side (K,).
        kept: Whether x_k is not eliminated (K,).
    """

    mass: Floats
    mass_step: Floats
    gap: Floats
    smallest_bin: Floats
    ratio: Floats
    bin_mass: Floats
    matrix: Floats
    step: Floats
    pull: Floats
    shift: Floats
    kept: Flags


def workspace(n_patterns: int, n_specialists: int) -> Iterate:
    """Return room for the solution of problems up to this size."""
    return Iterate(
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty((2 * n_specialists, 2 * n_specialists)),
        np.empty(2 * n_specialists),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_patterns, np.bool_),
    )


@compiled
def solve(patterns: Patterns, at: Iterate, tolerance: float) -> int:
    """Find the pattern masses; they are left in `at.mass`.

    Args:
        patterns: The problem.
        at: Room for it, from `workspace`.
        tolerance: Relative, on every product; at least `TOLERANCE`.

    Returns:
        Newton steps taken: 0 where at most one dustbin is above zero, which has a closed form. `MAX_ITERATIONS`
        where the tolerance was not met: about one row in 1,000 of teachers so sure (logits of scale 20) that it asks
        for digits that rounding has taken. Such masses are as good as float64 allows; the certificate of the soft
        targets tells.
    """
    if patterns.n_bins <= 1:
        _closed_form(patterns, at)
        return 0
    _start(patterns, at)
    centre = _CENTRE
    iteration = 0
    while iteration < MAX_ITERATIONS:
        _sum_up(patterns, at)
        if _converged(patterns, at, tolerance):
            break
        n_tight = _equations(patterns, at, centre)
        eliminate(at.matrix, at.step, patterns.n_bins + n_tight)
        length = _spread_step(patterns, at)
        _advance(patterns, at, length)
        # Full steps aim ever closer to the true targets, so that convergence ends quadratically.
        centre = 0.1 * centre if length > 0.9 else _CENTRE
        iteration += 1
    _restore_small(patterns, at)
    return iteration


@compiled
def _closed_form(patterns: Patterns, at: Iterate) -> None:
    """W_k = A_k / lambda inside; all classes outside the one dustbin's subset are scaled by one number."""
    n_patterns = patterns.n_patterns
    for k in range(n_patterns):
        at.mass[k] = patterns.weights[k] / patterns.total
    if patterns.n_bins == 0:
        return
    outside_weight, outside_size = 0.0, 0.0
    for k in range(n_patterns):
        outside_weight += patterns.outside[0, k] * patterns.weights[k]
        outside_size += patterns.outside[0, k] * patterns.sizes[k]
    for k in range(n_patterns):
        share = patterns.sizes[k] / outside_size  # evenly, as a smoothed generalist would
        if outside_weight > 0.0:
            share = patterns.weights[k] / outside_weight
        at.mass[k] += patterns.outside[0, k] * share * patterns.dustbins[0] / patterns.total


@compiled
def _start(patterns: Patterns, at: Iterate) -> None:
    """Divide each dustbin by the weights outside, smoothed so that no mass it can need starts at 0."""
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    n_classes = 0.0
    for k in range(n_patterns):
        n_classes += patterns.sizes[k]
    for k in range(n_patterns):
        at.mass[k] = patterns.weights[k] / patterns.total
        at.pull[k] = patterns.weights[k] + 1e-3 * patterns.sizes[k] / n_classes
    for m in range(n_specialists):
        at.ratio[m] = patterns.dustbins[m]
        outside_weight = 0.0
        for k in range(n_patterns):
            outside_weight += patterns.outside[m, k] * at.pull[k]
        scale = patterns.dustbins[m] / (outside_weight * patterns.total)
        for k in range(n_patterns):
            at.mass[k] += scale * patterns.outside[m, k] * at.pull[k]


@compiled
def _sum_up(patterns: Patterns, at: Iterate) -> None:
    """Work out Q_m and g_k, anew at each step so that roundings do not add up."""
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    for k in range(n_patterns):
        at.gap[k] = patterns.total
        at.smallest_bin[k] = 1.0
    for m in range(n_specialists):
        ratio = at.ratio[m]
        bin_mass = 0.0
        for k in range(n_patterns):
            bin_mass += patterns.outside[m, k] * at.mass[k]
            at.gap[k] -= patterns.outside[m, k] * ratio
        at.bin_mass[m] = bin_mass
        for k in range(n_patterns):
            if patterns.outside[m, k] > 0.0:
                at.smallest_bin[k] = min(at.smallest_bin[k], bin_mass)
    floor = _ROUNDING * patterns.total
    for k in range(n_patterns):
        at.gap[k] = max(at.gap[k], floor)


@compiled
def _converged(patterns: Patterns, at: Iterate, tolerance: float) -> bool:
    """Whether all products meet their targets, relative to d_m and to the smallest bin of a pattern."""
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    for m in range(n_specialists):
        error = abs(at.bin_mass[m] * at.ratio[m] - patterns.dustbins[m])
        if not error <= tolerance * patterns.dustbins[m]:
            return False
    for k in range(n_patterns):
        error = abs(at.mass[k] * at.gap[k] - patterns.weights[k])
        if not error <= tolerance * patterns.total * at.smallest_bin[k]:
            return False
    return True


@compiled
def _restore_small(patterns: Patterns, at: Iterate) -> None:
    """Give small masses full relative precision: W_k = A_k / g_k is exact where g_k has not cancelled."""
    for k in range(patterns.n_patterns):
        if at.gap[k] > 0.1 * patterns.total:
            at.mass[k] = patterns.weights[k] / at.gap[k]


@compiled
def _equations(patterns: Patterns, at: Iterate, centre: float) -> int:
    """Fill in Newton's equations for the relative steps y_m of r and x_k of W; return how many W are kept.

    Linearised and divided by the products, they read

        x_k + (dg_k)/g_k = A_k/(W_k g_k) - 1,    dg_k = - sum_{m: k outside m} r_m y_m
        y_m + sum_{k outside m} (W_k/Q_m) x_k = d_m/(Q_m r_m) - 1

    x_k is eliminated, except where the gap is nearly closed: 1/g_k would swamp everything else, so these
    patterns keep their equation. More than M of them are linearly dependent, so the room ends at M.
    """
    n_specialists = patterns.n_bins
    n_tight = _mass_steps(patterns, at, centre)
    for m in range(n_specialists):
        shift = 0.0
        for k in range(patterns.n_patterns):
            shift += patterns.outside[m, k] * at.shift[k]
        inverse = 1.0 / at.bin_mass[m]
        at.step[m] = max(patterns.dustbins[m] * inverse / at.ratio[m], centre) - 1.0 - shift * inverse
        for other in range(m + 1):
            common = 0.0
            for k in range(patterns.n_patterns):
                common += patterns.outside[m, k] * patterns.outside[other, k] * at.pull[k]
            at.matrix[m, other] = common * inverse * at.ratio[other]
            at.matrix[other, m] = common / at.bin_mass[other] * at.ratio[m]
        at.matrix[m, m] += 1.0
    if n_tight > 0:
        _keep_tight(patterns, at)
    return n_tight


@compiled
def _mass_steps(patterns: Patterns, at: Iterate, centre: float) -> int:
    """Set the right-hand sides of all x_k and what eliminating them adds; return how many are not eliminated."""
    n_tight = 0
    for k in range(patterns.n_patterns):
        product = at.mass[k] * at.gap[k]
        # A pattern inside every subset that nobody gives anything starts with mass 0 and keeps it.
        at.mass_step[k] = max(patterns.weights[k] / product, centre) - 1.0 if product > 0.0 else 0.0
        at.kept[k] = at.gap[k] < _TIGHT * patterns.total and n_tight < patterns.n_bins
        if at.kept[k]:
            n_tight += 1
            at.pull[k], at.shift[k] = 0.0, 0.0
        else:
            at.pull[k], at.shift[k] = at.mass[k] / at.gap[k], at.mass[k] * at.mass_step[k]
    return n_tight


@compiled
def _keep_tight(patterns: Patterns, at: Iterate) -> None:
    """Give each tight pattern k an equation, g_k x_k + dg_k = g_k * (right-hand side), and an unknown.

    The unknown is dW_k in units of the smallest Q_m it is part of, so that no entry is above 1 and the largest is 1.
    """
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    row = n_specialists
    for k in range(n_patterns):
        if at.kept[k]:
            unit = at.smallest_bin[k]
            for other in range(2 * n_specialists):
                at.matrix[row, other] = 0.0
                at.matrix[other, row] = 0.0
            at.matrix[row, row] = at.gap[k] * unit / at.mass[k]
            at.step[row] = at.gap[k] * at.mass_step[k]
            for m in range(n_specialists):
                at.matrix[m, row] = patterns.outside[m, k] * unit / at.bin_mass[m]
                at.matrix[row, m] = -patterns.outside[m, k] * at.ratio[m]
            row += 1


@compiled
def _spread_step(patterns: Patterns, at: Iterate) -> float:
    """Work out the steps of masses and gaps; return the share of them that keeps everything above zero."""
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    steepest = 0.0  # the largest relative decrease of any unknown
    for k in range(n_patterns):
        at.pull[k] = 0.0
    for m in range(n_specialists):
        steepest = max(steepest, -at.step[m])
        fall = at.ratio[m] * at.step[m]
        for k in range(n_patterns):
            at.pull[k] += patterns.outside[m, k] * fall
    row = n_specialists
    for k in range(n_patterns):
        if at.kept[k]:
            at.mass_step[k] = at.step[row] * at.smallest_bin[k] / at.mass[k]
            row += 1
        else:
            at.mass_step[k] += at.pull[k] / at.gap[k]
        # A gap that has closed to rounding must not hold up the step for another rounding.
        closing = at.pull[k] / max(at.gap[k], 4.0 * _ROUNDING * patterns.total)
        steepest = max(steepest, -at.mass_step[k], closing)
    return min(1.0, _STAY_INSIDE / steepest) if steepest > _STAY_INSIDE else 1.0


@compiled
def _advance(patterns: Patterns, at: Iterate, length: float) -> None:
    """Take this share of the step."""
    for k in range(patterns.n_patterns):
        at.mass[k] *= 1.0 + length * at.mass_step[k]
    for m in range(patterns.n_bins):
        at.ratio[m] *= 1.0 + length * at.step[m]


@compiled
def conditions(patterns: Patterns, mass: Floats, slack: Floats, factor: Floats) -> float:
    """Work out the conditions for a minimum, q_i slack_k = a_i factor_k, from the soft targets alone.

    They are those of the module's head, divided by lambda: slack_k = 1 - sum_{m: k outside m} d_m / (lambda Q_m).

    Args:
        patterns: The problem.
        mass: Of the soft targets, by pattern.
        slack: Filled in by pattern; 0 where q is 0, for which there is another condition.
        factor: Filled in by pattern; 0 where q is 0.

    Returns:
        The largest violation of that other condition, A_k = 0 <= slack_k.
    """
    for k in range(patterns.n_patterns):
        slack[k] = 1.0
        factor[k] = 1.0 / patterns.total
    for m in range(patterns.n_bins):
        bin_mass = 0.0
        for k in range(patterns.n_patterns):
            bin_mass += patterns.outside[m, k] * mass[k]
        ratio = _ratio(patterns.dustbins[m], bin_mass) / patterns.total
        for k in range(patterns.n_patterns):
            if patterns.outside[m, k] > 0.0:
                slack[k] -= ratio
    largest = 0.0
    for k in range(patterns.n_patterns):
        if mass[k] == 0.0:
            largest = max(largest, -slack[k], patterns.weights[k] / patterns.total)
            slack[k], factor[k] = 0.0, 0.0
    return largest


@compiled
def _ratio(dustbin: float, bin_mass: float) -> float:
    """d_m / Q_m; a dustbin whose share of float32 soft targets has underflowed counts as empty."""
    if bin_mass == 0.0:
        return 0.0 if dustbin < 1e-30 else np.inf
    return dustbin / bin_mass
