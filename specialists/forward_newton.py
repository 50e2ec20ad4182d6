"""One step of the primal-dual Newton method of `forward_kl`, whose symbols these are."""

from typing import NamedTuple

import numpy as np

from specialists.compiled import Floats, compiled, compiled_sum
from specialists.elimination import eliminate
from specialists.patterns import Patterns

ROUNDING = 1e-16
"""Of lambda: a gap below it is rounding, and its product within the tolerance."""

_STAY_INSIDE = 0.99  # share of the way to the boundary that one step may go
_TIGHT = 0.01  # patterns whose gap is below this share of lambda get an equation of their own


class Iterate(NamedTuple):
    """Where Newton's method stands, and the step it is about to take; all float64.

    Attributes:
        mass: W_k (K,).
        mass_step: x_k, the relative step of W_k (K,).
        gap: g_k (K,).
        smallest_bin: The smallest Q_m that pattern k is part of; 1 where it lies inside every subset (K,).
        ratio: r_m (M,).
        bin_mass: Q_m (M,).
        matrix: Newton's equations (2M, 2M), for the relative steps of r and the steps of tight masses, in
            units of the smallest Q_m that they are part of.
        step: Their right-hand side, then their solution (2M,).
        pull: W_k / g_k, and later the change of -g_k in a full step (K,).
        shift: What eliminating x_k takes from a right-hand side (K,).
        kept: 1 where x_k is not eliminated, else 0 (K,).
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
    kept: Floats


def workspace(n_patterns: int, n_specialists: int) -> Iterate:
    """Return room for the solution of problems up to this size: K patterns and M specialists."""
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
        np.empty(n_patterns),
    )


@compiled
def take_step(patterns: Patterns, at: Iterate, centre: float) -> float:
    """Take a step of Newton's method, from where `bin_mass`, `gap` and `smallest_bin` have been worked out.

    Args:
        patterns: The problem.
        at: `mass` and `ratio` are changed.
        centre: Products may shrink to this share of themselves at most.

    Returns:
        Which share of the step it was possible to go.
    """
    n_tight = _equations(patterns, at, centre)
    eliminate(at.matrix, at.step, patterns.n_bins + n_tight)
    _spread_step(patterns, at, n_tight)
    length = _possible_share(patterns, at)
    for k in range(patterns.n_patterns):
        at.mass[k] *= 1.0 + length * at.mass_step[k]
    for m in range(patterns.n_bins):
        at.ratio[m] *= 1.0 + length * at.step[m]
    return length


@compiled_sum
def _equations(patterns: Patterns, at: Iterate, centre: float) -> int:
    """Fill in Newton's equations for the relative steps y_m of r and x_k of W; return how many W are kept.

    Linearised and divided by the products, they read

        x_k + (dg_k)/g_k = A_k/(W_k g_k) - 1,    dg_k = - sum_{m: k outside m} r_m y_m
        y_m + sum_{k outside m} (W_k/Q_m) x_k = d_m/(Q_m r_m) - 1

    x_k is eliminated, except where the gap is nearly closed: 1/g_k would swamp everything else, so these
    patterns keep their equation. More than M of them are linearly dependent, so the room ends at M.
    """
    n_patterns = patterns.n_patterns
    n_tight = _mass_steps(patterns, at, centre)
    for m in range(patterns.n_bins):
        shift = 0.0
        for k in range(n_patterns):
            shift += patterns.outside[m, k] * at.shift[k]
        inverse = 1.0 / at.bin_mass[m]
        at.step[m] = max(patterns.dustbins[m] * inverse / at.ratio[m], centre) - 1.0 - shift * inverse
        for other in range(m + 1):
            common = 0.0
            for k in range(n_patterns):
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
    bound = _TIGHT * patterns.total
    n_tight = 0
    for k in range(patterns.n_patterns):
        product = at.mass[k] * at.gap[k]
        wanted = max(patterns.weights[k] / (product if product > 0.0 else 1.0), centre) - 1.0
        # A pattern inside every subset that nobody gives anything starts with mass 0 and keeps it.
        at.mass_step[k] = wanted if product > 0.0 else 0.0
        at.pull[k], at.shift[k] = at.mass[k] / at.gap[k], at.mass[k] * at.mass_step[k]
        at.kept[k] = 0.0
        n_tight += at.gap[k] < bound
    if n_tight == 0:
        return 0
    n_tight = 0
    for k in range(patterns.n_patterns):
        if at.gap[k] < bound and n_tight < patterns.n_bins:
            n_tight += 1
            at.kept[k], at.pull[k], at.shift[k] = 1.0, 0.0, 0.0
    return n_tight


@compiled
def _keep_tight(patterns: Patterns, at: Iterate) -> None:
    """Give each tight pattern k an equation, g_k x_k + dg_k = g_k * (right-hand side), and an unknown.

    The unknown is dW_k in units of the smallest Q_m it is part of, so that no entry is above 1 and the largest is 1.
    """
    n_specialists, n_patterns = patterns.n_bins, patterns.n_patterns
    row = n_specialists
    for k in range(n_patterns):
        if at.kept[k] > 0.0:
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
def _spread_step(patterns: Patterns, at: Iterate, n_tight: int) -> None:
    """Work out the steps of masses and gaps from those of ratios and tight masses."""
    n_bins, n_patterns = patterns.n_bins, patterns.n_patterns
    for k in range(n_patterns):
        at.pull[k] = 0.0
    for m in range(n_bins):
        fall = at.ratio[m] * at.step[m]
        for k in range(n_patterns):
            at.pull[k] += patterns.outside[m, k] * fall
    for k in range(n_patterns):
        at.mass_step[k] += at.pull[k] / at.gap[k]
    if n_tight > 0:
        row = n_bins
        for k in range(n_patterns):
            if at.kept[k] > 0.0:
                at.mass_step[k] = at.step[row] * at.smallest_bin[k] / at.mass[k]
                row += 1


@compiled
def _possible_share(patterns: Patterns, at: Iterate) -> float:
    """Which share of the step keeps everything above zero."""
    steepest = 0.0  # the largest relative decrease of any unknown
    for m in range(patterns.n_bins):
        steepest = max(steepest, -at.step[m])
    # Floats above 0 are ordered like their bits, and integers, unlike floats, take vector lanes.
    bits = np.float64(steepest).view(np.int64)
    floor = 4.0 * ROUNDING * patterns.total
    for k in range(patterns.n_patterns):
        # A gap that has closed to rounding must not hold up the step for another rounding.
        closing = at.pull[k] / max(at.gap[k], floor)
        bits = max(bits, np.float64(-at.mass_step[k]).view(np.int64), np.float64(closing).view(np.int64))
    steepest = np.int64(bits).view(np.float64)
    return min(1.0, _STAY_INSIDE / steepest) if steepest > _STAY_INSIDE else 1.0
