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
instead of 0 (target-following: Jansen, Roos, Terlaky, Vial 1996). That copes with targets that are tiny or 0, where
Newton on W or r alone does not: a confident generalist, an empty outside.
"""

import numpy as np

from specialists.compiled import Floats, compiled, compiled_sum
from specialists.forward_newton import ROUNDING, Iterate, take_step
from specialists.patterns import Patterns

TOLERANCE = 4e-15  # relative, on every product; some ten roundings of float64
MAX_ITERATIONS = 100  # 2 to 8 are usual; 39 the most seen that met the tolerance
_CENTRE = 0.1  # after a shortened step, products shrink to this share at most, which keeps them balanced


@compiled
def solve(patterns: Patterns, at: Iterate, tolerance: float) -> int:
    """Find the pattern masses; they are left in `at.mass`.

    Args:
        patterns: The problem.
        at: Room for it, from `forward_newton.workspace`.
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
        length = take_step(patterns, at, centre)
        # Full steps aim ever closer to the true targets, so that convergence ends quadratically.
        centre = 0.1 * centre if length > 0.9 else _CENTRE
        iteration += 1
    _restore_small(patterns, at)
    return iteration


@compiled_sum
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


@compiled_sum
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


@compiled_sum
def _sum_up(patterns: Patterns, at: Iterate) -> None:
    """Work out Q_m and g_k, anew at each step so that roundings do not add up."""
    n_patterns = patterns.n_patterns
    for k in range(n_patterns):
        at.gap[k] = patterns.total
        at.smallest_bin[k] = 1.0
    for m in range(patterns.n_bins):
        bin_mass = 0.0
        for k in range(n_patterns):
            bin_mass += patterns.outside[m, k] * at.mass[k]
        at.bin_mass[m] = bin_mass
        for k in range(n_patterns):
            at.gap[k] -= patterns.outside[m, k] * at.ratio[m]
            at.smallest_bin[k] = min(at.smallest_bin[k], bin_mass if patterns.outside[m, k] > 0.0 else 1.0)
    floor = ROUNDING * patterns.total
    for k in range(n_patterns):
        at.gap[k] = max(at.gap[k], floor)


@compiled_sum
def _converged(patterns: Patterns, at: Iterate, tolerance: float) -> bool:
    """Whether all products meet their targets, relative to d_m and to the smallest bin of a pattern."""
    n_wrong = 0
    for m in range(patterns.n_bins):
        error = abs(at.bin_mass[m] * at.ratio[m] - patterns.dustbins[m])
        n_wrong += not error <= tolerance * patterns.dustbins[m]
    for k in range(patterns.n_patterns):
        error = abs(at.mass[k] * at.gap[k] - patterns.weights[k])
        n_wrong += not error <= tolerance * patterns.total * at.smallest_bin[k]
    return n_wrong == 0


@compiled
def _restore_small(patterns: Patterns, at: Iterate) -> None:
    """Give small masses full relative precision: W_k = A_k / g_k is exact where g_k has not cancelled."""
    for k in range(patterns.n_patterns):
        exact = patterns.weights[k] / at.gap[k]
        at.mass[k] = exact if at.gap[k] > 0.1 * patterns.total else at.mass[k]


@compiled_sum
def conditions(patterns: Patterns, mass: Floats, slack: Floats, factor: Floats) -> float:
    """Work out the conditions for a minimum, q_i slack_k = a_i factor_k, from the soft targets alone.

    They are those of the module's head, divided by lambda: slack_k = 1 - sum_{m: k outside m} d_m / (lambda Q_m).

    Args:
        patterns: The problem.
        mass: Of the soft targets, by pattern, float64 (K,).
        slack: Filled in by pattern (K,); 0 where q is 0, for which there is another condition.
        factor: Filled in by pattern (K,); 0 where q is 0.

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
            slack[k] -= ratio if patterns.outside[m, k] > 0.0 else 0.0
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
