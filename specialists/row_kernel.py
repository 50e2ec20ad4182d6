"""Combination of a block of rows: from probabilities to patterns, from pattern masses to soft targets.

Every row is worked out by itself, in float64 and in an order that its own subsets fix, so that its result
does not depend on the rows around it or on the number of threads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specialists import forward_kl
from specialists.compiled import compiled, compiled_entry, compiled_maximum, compiled_sum, sources_digest
from specialists.forward_kl import Floats, Iterate, Patterns

Integers = NDArray[np.int64]

NOT_CONVERGED = -1
NOT_A_DISTRIBUTION = -2
_NO_DUSTBIN = 1e-100  # no precision shows a share of this; products of two such would underflow
_TINY = 1e-280  # weights below it divide nothing: their reciprocals overflow


class Subsets(NamedTuple):
    """All subsets in one array: subset m is `classes[starts[m]:starts[m + 1]]`, int64 class ids."""

    classes: Integers
    starts: Integers


class Active(NamedTuple):
    """The active specialists of a block of rows.

    Attributes:
        starts: Row b has entries `starts[b]:starts[b + 1]`, int64 (rows + 1,).
        specialist: Which specialist an entry is, ascending within a row, int64 (entries,).
        offset: Where its probabilities begin in `probs`, int64 (entries,).
        probs: All their probabilities, dustbin last, float64.
    """

    starts: Integers
    specialist: Integers
    offset: Integers
    probs: Floats


class Result(NamedTuple):
    """What is filled in for each row.

    Attributes:
        probs: Soft targets, float32 or float64 (rows, classes).
        residual: Certificate, float64 (rows,).
        iterations: Newton steps, or `NOT_CONVERGED` or `NOT_A_DISTRIBUTION`, int64 (rows,).
    """

    probs: NDArray[Any]
    residual: Floats
    iterations: Integers


class Accuracy(NamedTuple):
    """What is asked of the values.

    Attributes:
        sums: How far from 1 the probabilities of a teacher on a row may sum.
        residual: The largest certificate that counts as converged.
    """

    sums: float
    residual: float


class Workspace(NamedTuple):
    """Room for one row. Classes in an active subset are its members, numbered in the order they are met.

    Attributes:
        rest: The generalist's probabilities, 0 for members, (classes,).
        member: A class's number as member, -1 for all others; all -1 between rows, (classes,).
        classes: Class id by member.
        pattern: Pattern by member.
        weight: a_i by member.
        share: Soft target by member, in the dtype of the result.
        child: Scratch by pattern; all -1 between uses.
        weights: A_k by pattern.
        sizes: Number of classes by pattern.
        outside: Whether pattern k lies outside the m-th active specialist whose dustbin counts.
        scale: q_i / a_i by pattern; later the multipliers of q >= 0.
        even: q_i by pattern, where a_i = 0 but mass is needed.
        mass: Mass of the returned soft targets by pattern.
        dustbins: d_m of those specialists.
        iterate: Room for the solver.
    """

    rest: Floats
    member: Integers
    classes: Integers
    pattern: Integers
    weight: Floats
    share: NDArray[Any]
    child: Integers
    weights: Floats
    sizes: Floats
    outside: NDArray[np.bool_]
    scale: Floats
    even: Floats
    mass: Floats
    dustbins: Floats
    iterate: Iterate


@compiled_sum
def _total(probs: NDArray[Any]) -> float:
    """The sum, or NaN where a value is negative or NaN."""
    total = 0.0
    n_wrong = 0
    for i in range(probs.size):
        total += np.float64(probs[i])
        n_wrong += not probs[i] >= 0.0
    return total if n_wrong == 0 else np.nan


@compiled
def _divide(probs: NDArray[Any], total: float, out: Floats) -> None:
    """Renormalise in float64: a float32 softmax over 15,000 classes sums to 1 only within some 1e-6."""
    inverse = 1.0 / total
    for i in range(probs.size):
        out[i] = np.float64(probs[i]) * inverse


@compiled
def _scale(weights: Floats, scale: float, even: float, out: NDArray[Any]) -> None:
    """q_i = a_i * scale + even."""
    for i in range(weights.size):
        out[i] = weights[i] * scale + even


@compiled_maximum
def _largest_gap(probs: NDArray[Any], slack: float, weights: Floats) -> float:
    """The largest |q_i * slack - a_i|."""
    largest = 0.0
    for i in range(weights.size):
        largest = max(largest, abs(probs[i] * slack - weights[i]))
    return largest


@compiled
def _entry_probs(subsets: Subsets, active: Active, entry: int) -> Floats:
    """The probabilities of one active specialist on one row, dustbin last."""
    m = active.specialist[entry]
    width = subsets.starts[m + 1] - subsets.starts[m] + 1
    return active.probs[active.offset[entry] : active.offset[entry] + width]


@compiled
def _split(classes: Integers, n_patterns: int, n_bins: int, room: Workspace) -> int:
    """Split every pattern into its classes outside and inside one more subset; return their number."""
    n_after = n_patterns
    for j in range(classes.size):
        t = room.member[classes[j]]
        parent = room.pattern[t]
        if room.child[parent] < 0:
            room.child[parent] = n_after
            room.outside[n_after, :n_bins] = room.outside[parent, :n_bins]
            room.outside[n_after, n_bins] = False
            n_after += 1
        room.pattern[t] = room.child[parent]
    for k in range(n_patterns):
        room.outside[k, n_bins] = True
        room.child[k] = -1
    return n_after


@compiled
def _gather(b: int, subsets: Subsets, active: Active, room: Workspace) -> tuple[int, int, int]:
    """Collect a_i and pattern of each member; return how many members, patterns, dustbins that count."""
    n_members, n_patterns, n_bins = 0, 1, 0
    for e in range(active.starts[b], active.starts[b + 1]):
        m = active.specialist[e]
        probs = _entry_probs(subsets, active, e)
        classes = subsets.classes[subsets.starts[m] : subsets.starts[m + 1]]
        for j in range(classes.size):
            i = classes[j]
            if room.member[i] < 0:
                room.member[i] = n_members
                room.classes[n_members] = i
                room.pattern[n_members] = 0
                room.weight[n_members] = room.rest[i]
                room.rest[i] = 0.0
                n_members += 1
            room.weight[room.member[i]] += probs[j]
        if probs[classes.size] > _NO_DUSTBIN:  # else it asks nothing of the classes outside
            n_patterns = _split(classes, n_patterns, n_bins, room)
            room.dustbins[n_bins] = probs[classes.size]
            n_bins += 1
    for t in range(n_members):
        room.member[room.classes[t]] = -1
    return n_members, n_patterns, n_bins


@compiled
def _weigh(n_members: int, n_patterns: int, n_bins: int, room: Workspace) -> int:
    """Sum weights and sizes by pattern, drop patterns that lost all their classes; return how many are left.

    Pattern 0, the classes outside every subset, stays the first; it too is dropped where there are none.
    """
    room.weights[:n_patterns] = 0.0
    room.sizes[:n_patterns] = 0.0
    room.weights[0] = _total(room.rest)
    room.sizes[0] = room.rest.size - n_members
    for t in range(n_members):
        room.weights[room.pattern[t]] += room.weight[t]
        room.sizes[room.pattern[t]] += 1.0
    kept = 0
    for k in range(n_patterns):
        if room.sizes[k] > 0.0:
            room.child[k] = kept
            room.weights[kept] = room.weights[k]
            room.sizes[kept] = room.sizes[k]
            room.outside[kept, :n_bins] = room.outside[k, :n_bins]
            kept += 1
    for t in range(n_members):
        room.pattern[t] = room.child[room.pattern[t]]
    room.child[:n_patterns] = -1
    return kept


@compiled
def _spread(n_members: int, patterns: Patterns, room: Workspace, probs: NDArray[Any]) -> None:
    """Divide each pattern's mass, q_i = a_i W_k / A_k: members' to `room.share`, all others' to `probs`.

    A mass that no teacher divides, A_k = 0, goes evenly to its classes: the limit of a smoothed generalist.
    """
    for k in range(patterns.weights.size):
        weight, mass = patterns.weights[k], room.iterate.mass[k]
        room.scale[k] = mass / weight if weight > _TINY else 0.0
        room.even[k] = 0.0 if weight > _TINY else mass / patterns.sizes[k]
    for t in range(n_members):
        k = room.pattern[t]
        room.share[t] = room.weight[t] * room.scale[k] + room.even[k]
    if n_members == probs.size:
        probs[:] = 0.0
    else:
        # With dustbins all 0 the members are in pattern 0 too; their own weight is not in `rest`.
        _scale(room.rest, room.scale[0], room.even[0], probs)
        for t in range(n_members):
            probs[room.classes[t]] = 0.0


@compiled
def _ratio(dustbin: float, bin_mass: float) -> float:
    """d_m / Q_m; a dustbin whose share of float32 soft targets has underflowed counts as empty."""
    if bin_mass == 0.0:
        return 0.0 if dustbin < 1e-30 else np.inf
    return dustbin / bin_mass


@compiled
def _multipliers(patterns: Patterns, room: Workspace) -> None:
    """Leave lambda - sum_{m: k outside m} d_m / Q_m in `room.scale`, with Q_m from the returned masses."""
    n_patterns, n_bins = patterns.outside.shape
    room.scale[:n_patterns] = patterns.total
    for m in range(n_bins):
        bin_mass = 0.0
        for k in range(n_patterns):
            if patterns.outside[k, m]:
                bin_mass += room.mass[k]
        ratio = _ratio(patterns.dustbins[m], bin_mass)
        for k in range(n_patterns):
            if patterns.outside[k, m]:
                room.scale[k] -= ratio


@compiled
def _certificate(n_members: int, patterns: Patterns, room: Workspace, probs: NDArray[Any]) -> float:
    """Return how far the soft targets, rounded as they will be returned, are from the minimum.

    The largest of |sum q - 1|, of |lambda q_i - a_i - q_i sum_{m: i outside m} d_m / Q_m| / lambda, and,
    where a whole pattern has q = 0, of the amount by which the multiplier of q >= 0 is negative, over lambda.
    """
    n_patterns = patterns.weights.size
    room.mass[:n_patterns] = 0.0
    if n_members < probs.size:
        room.mass[0] = _total(probs)
    for t in range(n_members):
        room.mass[room.pattern[t]] += room.share[t]
    _multipliers(patterns, room)
    largest = 0.0
    for k in range(n_patterns):
        if room.mass[k] == 0.0:
            largest = max(largest, -room.scale[k], patterns.weights[k])
    for t in range(n_members):
        k = room.pattern[t]
        if room.mass[k] > 0.0:
            largest = max(largest, abs(room.share[t] * room.scale[k] - room.weight[t]))
    if n_members < probs.size and room.mass[0] > 0.0:
        largest = max(largest, _largest_gap(probs, room.scale[0], room.rest))
    total: float = room.mass[:n_patterns].sum()
    # A maximum may drop a NaN; the sum does not.
    return max(largest / patterns.total, abs(total - 1.0)) if np.isfinite(total) else np.inf


@compiled
def _combine_row(b: int, subsets: Subsets, active: Active, room: Workspace, result: Result) -> int:
    """Combine one row whose generalist is in `room.rest`; return what the solver returns."""
    n_members, n_patterns, n_bins = _gather(b, subsets, active, room)
    n_patterns = _weigh(n_members, n_patterns, n_bins, room)
    patterns = Patterns(
        room.weights[:n_patterns],
        room.sizes[:n_patterns],
        room.outside[:n_patterns, :n_bins],
        room.dustbins[:n_bins],
        1.0 + active.starts[b + 1] - active.starts[b],
    )
    iterations = forward_kl.solve(patterns, room.iterate)
    _spread(n_members, patterns, room, result.probs[b])
    result.residual[b] = _certificate(n_members, patterns, room, result.probs[b])
    for t in range(n_members):
        result.probs[b, room.classes[t]] = room.share[t]
    return iterations


@compiled
def _normalise(
    b: int, generalist: NDArray[Any], subsets: Subsets, active: Active, tolerance: float, room: Workspace
) -> bool:
    """Renormalise all teachers of a row in float64; False where one is no distribution."""
    total = _total(generalist)
    valid = abs(total - 1.0) <= tolerance
    _divide(generalist, total, room.rest)
    for e in range(active.starts[b], active.starts[b + 1]):
        probs = _entry_probs(subsets, active, e)
        total = _total(probs)
        valid = valid and abs(total - 1.0) <= tolerance
        probs /= total
    return bool(valid)


@compiled
def _workspace(n_classes: int, subsets: Subsets, active: Active, probs: NDArray[Any]) -> Workspace:
    """Return room for the largest row of the block."""
    n_members, n_bins = 0, 0
    for b in range(active.starts.size - 1):
        members = 0
        for e in range(active.starts[b], active.starts[b + 1]):
            m = active.specialist[e]
            members += subsets.starts[m + 1] - subsets.starts[m]
        n_members = max(n_members, members)
        n_bins = max(n_bins, active.starts[b + 1] - active.starts[b])
    n_patterns = n_members + 1  # each class of a subset begins at most one pattern
    n_members = min(n_members, n_classes)
    return Workspace(
        np.empty(n_classes),
        np.full(n_classes, -1),
        np.empty(n_members, np.int64),
        np.empty(n_members, np.int64),
        np.empty(n_members),
        np.empty(n_members, probs.dtype),
        np.full(n_patterns, -1),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty((n_patterns, n_bins), np.bool_),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_patterns),
        np.empty(n_bins),
        forward_kl.workspace(n_patterns, n_bins),
    )


def _block_kernel(sources: str) -> Callable[[NDArray[Any], Subsets, Active, Accuracy, Result], None]:
    """Make `combine_block`; why it captures a digest of its sources, `sources_digest` says."""

    @compiled_entry
    def combine_block(
        generalist: NDArray[Any], subsets: Subsets, active: Active, accuracy: Accuracy, result: Result
    ) -> None:
        _ = sources
        room = _workspace(generalist.shape[1], subsets, active, result.probs)
        for b in range(generalist.shape[0]):
            if not _normalise(b, generalist[b], subsets, active, accuracy.sums, room):
                result.iterations[b] = NOT_A_DISTRIBUTION
                continue
            result.iterations[b] = _combine_row(b, subsets, active, room, result)
            if not result.residual[b] <= accuracy.residual:
                result.iterations[b] = NOT_CONVERGED

    return combine_block


combine_block = _block_kernel(sources_digest(__file__, forward_kl.__file__))
"""Combine a block of rows; the caller has checked everything but the values.

Args:
    generalist: Probabilities, float32 or float64 (rows, classes).
    subsets: All subsets.
    active: The active specialists of each row; their probabilities are renormalised in place.
    accuracy: What is asked of input and result.
    result: Filled in. Where `iterations` is negative, a row's other values mean nothing.
"""
