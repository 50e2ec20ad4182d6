"""The reverse combination of one example, in the ratios of its active specialists.

Wanted is the distribution q that minimises KL(q || p_g) + sum_m KL(q_m || p_m) over the active specialists m,
where q_m is q with all classes outside the subset S_m summed into one dustbin (Hinton, Vinyals, Dean 2015,
section 5.3, with the arguments of the divergence exchanged). Classes that lie outside the same subsets form a
pattern k, with c_k active specialists around it. With

    a_i = [p_g[i] prod_{m: i in S_m} p_m[i]]^(1/(1+c_i)),    A_k = sum of a_i over pattern k       (weights)
    d_m = p_m[dustbin],    W_k = mass of q in pattern k,    Q_m = sum_{k outside m} W_k

the minimum is where, up to one factor C that makes q sum to 1,

    q_i = a_i [C prod_{m: i outside m} r_m]^(1/(1+c_i)),    r_m Q_m = d_m.

The u_m = log r_m are the only unknowns. Without C, log(Q_m) + u_m = log(d_m) is a system of convex functions
whose Jacobian is never singular, so that Newton's method with steps halved until the errors fall gets there from
anywhere; q is normalised at the end, which shifts u but not q.
"""

from typing import NamedTuple

import numpy as np

from specialists.compiled import Floats, compiled, compiled_sum
from specialists.elimination import eliminate
from specialists.patterns import Patterns

TOLERANCE = 1e-14  # of the logarithms, times the largest of them
MAX_ITERATIONS = 200
_SMALL = 1e-200  # a share of the largest mass that has lost no digits
_SHORTEST = 1e-8  # of a step: when no longer one lowers the errors, they are rounding


class Iterate(NamedTuple):
    """Where Newton's method stands; all float64, logarithms in nats.

    Attributes:
        mass: log W_k without C; in the end W_k (K,).
        share: W_k as a share of the largest (K,).
        log_weight: log A_k (K,).
        log_ratio: u_m (M,).
        before: u_m before the step (M,).
        error: log(Q_m) + u_m - log(d_m) (M,).
        log_bin: log Q_m (M,).
        bin_share: Q_m as a share of the largest W_k; 0 where it is too small for that (M,).
        log_dustbin: log d_m (M,).
        matrix: The Jacobian (M, M).
        step: The step of u (M,).
    """

    mass: Floats
    share: Floats
    log_weight: Floats
    log_ratio: Floats
    before: Floats
    error: Floats
    log_bin: Floats
    bin_share: Floats
    log_dustbin: Floats
    matrix: Floats
    step: Floats


def workspace(n_patterns: int, n_specialists: int) -> Iterate:
    """Return room for the solution of problems up to this size: K patterns and M specialists."""
    return Iterate(
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty(n_specialists),
        np.empty((n_specialists, n_specialists)),
        np.empty(n_specialists),
    )


@compiled
def solve(patterns: Patterns, at: Iterate, tolerance: float) -> int:
    """Find the pattern masses; they are left in `at.mass`.

    Args:
        patterns: The problem; at least one weight, and outside each subset at least one, is above 0.
        at: Room for it, from `workspace`.
        tolerance: Of the logarithms, times the largest of them; at least `TOLERANCE`.

    Returns:
        Newton steps taken: 0 where there is no dustbin.
    """
    for m in range(patterns.n_bins):
        at.log_ratio[m] = 0.0
        at.log_dustbin[m] = np.log(patterns.dustbins[m])
    for k in range(patterns.n_patterns):
        at.log_weight[k] = np.log(patterns.weights[k]) if patterns.weights[k] > 0.0 else -np.inf
    error = _evaluate(patterns, at)
    iteration = 0
    while iteration < MAX_ITERATIONS and _largest_error(patterns, at) > tolerance:
        _linearise(patterns, at)
        eliminate(at.matrix, at.step, patterns.n_bins)
        for m in range(patterns.n_bins):
            at.before[m] = at.log_ratio[m]
        length, last = 1.0, error
        error = _try_step(patterns, at, length)
        while not error < last and length > _SHORTEST:
            length *= 0.5
            error = _try_step(patterns, at, length)
        iteration += 1
        if not error < last:
            break
    _normalise(patterns, at)
    return iteration


@compiled
def _try_step(patterns: Patterns, at: Iterate, length: float) -> float:
    """Go this share of the step; return the sum of squared errors there."""
    for m in range(patterns.n_bins):
        at.log_ratio[m] = at.before[m] + length * at.step[m]
    return _evaluate(patterns, at)


@compiled_sum
def _evaluate(patterns: Patterns, at: Iterate) -> float:
    """Work out log W_k, log Q_m and the errors; return the sum of their squares."""
    total = 0.0
    for m in range(patterns.n_bins):
        total += at.log_ratio[m]
    # A sum over the few subsets around a pattern rounds less than one over the many it lies outside of; what the
    # total is off by changes C alone.
    for k in range(patterns.n_patterns):
        at.mass[k] = total
    for m in range(patterns.n_bins):
        for k in range(patterns.n_patterns):
            at.mass[k] -= (1.0 - patterns.outside[m, k]) * at.log_ratio[m]
    largest = -np.inf
    for k in range(patterns.n_patterns):
        at.mass[k] = at.log_weight[k] + at.mass[k] / patterns.powers[k]
        largest = max(largest, at.mass[k])
    for k in range(patterns.n_patterns):
        at.share[k] = np.exp(at.mass[k] - largest)
    squares = 0.0
    for m in range(patterns.n_bins):
        bin_share = 0.0
        for k in range(patterns.n_patterns):
            bin_share += patterns.outside[m, k] * at.share[k]
        at.bin_share[m] = bin_share if bin_share > _SMALL else 0.0
        at.log_bin[m] = largest + np.log(bin_share) if bin_share > _SMALL else _log_bin(patterns, at, m)
        at.error[m] = at.log_bin[m] + at.log_ratio[m] - at.log_dustbin[m]
        squares += at.error[m] * at.error[m]
    return squares


@compiled
def _log_bin(patterns: Patterns, at: Iterate, m: int) -> float:
    """The logarithm of Q_m where Q_m is too small a share of the largest mass."""
    largest = -np.inf
    for k in range(patterns.n_patterns):
        if patterns.outside[m, k] > 0.0:
            largest = max(largest, at.mass[k])
    total = 0.0
    for k in range(patterns.n_patterns):
        total += patterns.outside[m, k] * np.exp(min(at.mass[k] - largest, 0.0))
    return largest + float(np.log(total))


@compiled
def _largest_error(patterns: Patterns, at: Iterate) -> float:
    """The largest error, relative to the logarithms that it is the sum of where these are large."""
    largest = 0.0
    for m in range(patterns.n_bins):
        largest = max(largest, abs(at.error[m]) / (1.0 + abs(at.log_ratio[m])))
    return largest


@compiled
def _linearise(patterns: Patterns, at: Iterate) -> None:
    """Fill in J = 1 + P with P_mn = sum_{k outside m and n} (W_k / Q_m) / (1 + c_k), and -error."""
    for m in range(patterns.n_bins):
        for other in range(patterns.n_bins):
            at.matrix[m, other] = 1.0 if m == other else 0.0
        for k in range(patterns.n_patterns):
            if patterns.outside[m, k] > 0.0:
                part = at.share[k] / at.bin_share[m] if at.bin_share[m] > 0.0 else np.exp(at.mass[k] - at.log_bin[m])
                share = part / patterns.powers[k]
                for other in range(patterns.n_bins):
                    at.matrix[m, other] += share * patterns.outside[other, k]
        at.step[m] = -at.error[m]


@compiled
def _normalise(patterns: Patterns, at: Iterate) -> None:
    """Turn log W_k into W_k with sum 1."""
    largest = -np.inf
    for k in range(patterns.n_patterns):
        largest = max(largest, at.mass[k])
    total = 0.0
    for k in range(patterns.n_patterns):
        at.mass[k] = np.exp(at.mass[k] - largest)
        total += at.mass[k]
    for k in range(patterns.n_patterns):
        at.mass[k] /= total


@compiled
def conditions(patterns: Patterns, mass: Floats, slack: Floats, factor: Floats) -> None:
    """Work out the conditions for a minimum, q_i slack_k = a_i factor_k, from the soft targets alone.

    They are those of the module's head, with Q_m from `mass` and the C that fits best:
    log C = sum_k W_k [(1+c_k) log(W_k/A_k) - sum_{m: k outside m} log(d_m/Q_m)], but both without the sum over all m.

    Args:
        patterns: The problem.
        mass: Of the soft targets, by pattern, float64 (K,).
        slack: Filled in by pattern (K,): 1, or 0 where q is 0.
        factor: Filled in by pattern (K,); 0 where q is 0.
    """
    for k in range(patterns.n_patterns):
        slack[k] = 1.0 if mass[k] > 0.0 else 0.0
        factor[k] = 0.0
    for m in range(patterns.n_bins):
        bin_mass = 0.0
        for k in range(patterns.n_patterns):
            bin_mass += patterns.outside[m, k] * mass[k]
        # A bin without mass is no factor of any class that has some.
        ratio = np.log(patterns.dustbins[m]) - np.log(bin_mass) if bin_mass > 0.0 else 0.0
        for k in range(patterns.n_patterns):
            factor[k] -= (1.0 - patterns.outside[m, k]) * ratio
    log_c, total = 0.0, 0.0
    for k in range(patterns.n_patterns):
        if mass[k] > 0.0:
            log_c += mass[k] * (patterns.powers[k] * np.log(mass[k] / patterns.weights[k]) - factor[k])
            total += mass[k]
    for k in range(patterns.n_patterns):
        if mass[k] > 0.0:
            factor[k] = np.exp((factor[k] + log_c / total) / patterns.powers[k])
        else:
            factor[k] = 0.0
