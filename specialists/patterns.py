"""One row's classes, sorted by which of its active specialists have them in their subset.

A class is worked out by itself only if an active subset holds it: it is a **member**. All other classes share
one factor and are touched by nothing but plain loops over the row. Classes in the same subsets form a
**pattern**; its key has bit e set where the row's e-th active specialist counts and holds them. Most members
are in one subset alone: these lie together, in one **run** for each specialist, so that most of what is done to
them is plain loops as well. Members in several subsets come after them, one by one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specialists.block import Block
from specialists.compiled import Classes, Floats, Integers, compiled, compiled_sum

MAX_ACTIVE = 62  # specialists on one row: the bits of a key


class Patterns(NamedTuple):
    """What a solver is given: one row, summed up by pattern. Arrays may be longer than said.

    Attributes:
        n_patterns: K.
        n_bins: M, the specialists whose dustbin matters.
        weights: A_k (K,).
        sizes: Number of classes in each pattern, at least 1 (K,).
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
    """Room for one row.

    Attributes:
        rest: The generalist's probabilities, 0 for members, (classes,).
        rest_bits: The same memory as integers.
        marks: Bits of the subsets that hold a class; all 0 between rows, (classes,).
        classes: Class id by member.
        keys: Bits by member in several subsets; later its pattern.
        weight: What the teachers say of a member together, a_i.
        weight_bits: The same memory as integers.
        share: Soft target by member.
        runs: Members `runs[e]:runs[e + 1]` are in the e-th active subset alone, (active + 1,).
        factors: 1 / sum of the probabilities of the e-th active specialist.
        run_weight: Their summed weights; their pattern beside it.
        shared: Members in several subsets until the e-th active one, (active + 1,).
        pattern_keys: Bits by pattern.
        weights, sizes, powers, outside: As in `Patterns`.
        mass: Mass of the returned soft targets by pattern.
        scale: By pattern, q_i / a_i.
        even: By pattern, q_i where a_i = 0 but mass is needed.
        dustbins: d_m by active specialist, later of those that matter.
    """

    rest: Floats
    rest_bits: Integers
    marks: Integers
    classes: Classes
    keys: Integers
    weight: Floats
    weight_bits: Integers
    share: Floats
    runs: Integers
    factors: Floats
    run_weight: Floats
    run_pattern: Integers
    shared: Integers
    pattern_keys: Integers
    weights: Floats
    sizes: Floats
    powers: Floats
    outside: Floats
    mass: Floats
    scale: Floats
    even: Floats
    dustbins: Floats


class Found(NamedTuple):
    """What a row has.

    Attributes:
        n_active: Active specialists.
        n_alone: Members in one subset alone.
        n_members: Members in all.
        unit: What the generalist's probabilities sum to, and `Row.rest` and `Row.weight` are multiples of.
    """

    n_active: int
    n_alone: int
    n_members: int
    unit: float


def room_for_row(n_classes: int, n_members: int, n_active: int) -> Row:
    """Return room for rows up to this size."""
    n_patterns = n_members + 1
    n_listed = 2 * n_members + 2  # two lists, each with room for one more than there can be
    rest, weight = np.empty(n_classes), np.empty(n_listed)
    return Row(
        rest=rest,
        rest_bits=rest.view(np.int64),
        marks=np.zeros(n_classes, np.int64),
        classes=np.empty(n_listed, np.uint32),
        keys=np.empty(n_listed, np.int64),
        weight=weight,
        weight_bits=weight.view(np.int64),
        share=np.empty(n_members),
        runs=np.empty(n_active + 1, np.int64),
        factors=np.empty(n_active),
        run_weight=np.empty(n_active),
        run_pattern=np.empty(n_active, np.int64),
        shared=np.empty(n_active + 1, np.int64),
        pattern_keys=np.empty(n_patterns, np.int64),
        weights=np.empty(n_patterns),
        sizes=np.empty(n_patterns),
        powers=np.empty(n_patterns),
        outside=np.empty((n_active, n_patterns)),
        mass=np.empty(n_patterns),
        scale=np.empty(n_patterns),
        even=np.empty(n_patterns),
        dustbins=np.empty(n_active),
    )


@compiled
def mark(b: int, block: Block, row: Row) -> int:
    """Mark the classes of all active subsets; return how many subsets there are."""
    start = block.active.starts[b]
    n_active: int = block.active.starts[b + 1] - start
    for e in range(n_active):
        m = block.active.specialist[start + e]
        for j in range(block.subsets.starts[m], block.subsets.starts[m + 1]):
            row.marks[block.subsets.classes[j]] |= 1 << e
    row.runs[0], row.shared[0] = 0, 0
    return n_active


@compiled
def place(b: int, e: int, block: Block) -> tuple[int, int]:
    """Where in its table the probabilities of row b's e-th active specialist begin, and where its dustbin is."""
    entry = block.active.starts[b] + e
    m, first = block.active.specialist[entry], block.active.offset[entry]
    return first, first + block.subsets.starts[m + 1] - block.subsets.starts[m]


@compiled
def collect(values: NDArray[Any], factor: float, entry: int, e: int, block: Block, row: Row) -> None:
    """Add a specialist's values, times a factor, to the classes of its subset, and list these as members.

    Args:
        values: The block's table of specialists' values.
        factor: What to multiply them with.
        entry: The specialist on this row.
        e: Its number among the row's active ones.
        block: The block.
        row: `runs`, `run_weight` and `shared` are filled in behind e. Members in one subset alone become 0 in
            `rest` and `marks`; for the others `rest` sums up what has been added.
    """
    m = block.active.specialist[entry]
    # Unsigned, because whatever may be negative is tested for it wherever it is an index.
    one, half = np.uint64(1), np.uint64(row.classes.size // 2)
    first, offset = np.uint64(block.subsets.starts[m]), np.uint64(block.active.offset[entry])
    n_alone, n_shared, run_weight = np.uint64(row.runs[e]), np.uint64(row.shared[e]), 0.0
    bit = 1 << e
    for j in range(np.uint64(block.subsets.starts[m + 1]) - first):
        i = block.subsets.classes[first + j]
        key = row.marks[i]
        weight = row.rest[i] + np.float64(values[offset + j]) * factor
        if key == bit:
            row.rest[i] = 0.0
            row.marks[i] = 0
            row.classes[n_alone] = i
            row.weight[n_alone] = weight
            run_weight += weight
            n_alone += one
        else:
            row.rest[i] = weight
            if key & (bit - 1) == 0:  # it is listed by the first subset that holds it
                row.classes[half + n_shared] = i
                row.keys[half + n_shared] = key
                n_shared += one
    row.runs[e + 1], row.shared[e + 1], row.run_weight[e] = n_alone, n_shared, run_weight


@compiled
def join_lists(n_active: int, unit: float, row: Row) -> Found:
    """Move the members in several subsets behind the others."""
    half = row.classes.size // 2
    n_alone, n_shared = row.runs[n_active], row.shared[n_active]
    for t in range(n_shared):
        i = row.classes[half + t]
        row.classes[n_alone + t] = i
        row.keys[n_alone + t] = row.keys[half + t]
        row.weight[n_alone + t] = row.rest[i]
        row.rest[i] = 0.0
        row.marks[i] = 0
    return Found(n_active, n_alone, n_alone + n_shared, unit)


@compiled
def number_patterns(found: Found, counting: int, row: Row) -> int:
    """Give every member its pattern, sum weights and sizes by pattern, and return the number of patterns.

    Args:
        found: What the row has.
        counting: Bits of the specialists that count.
        row: `run_pattern`, `keys`, `pattern_keys`, `sizes` and `weights` are filled in. Classes that are no members
            are pattern 0; where there are none, no pattern is kept for them.
    """
    n_patterns = 0
    if found.n_members < row.rest.size:
        row.pattern_keys[0] = 0
        row.sizes[0] = row.rest.size - found.n_members
        row.weights[0] = total(row.rest, row.rest.size)
        n_patterns = 1
    for e in range(found.n_active):
        size = row.runs[e + 1] - row.runs[e]
        if size > 0:
            k = _pattern((1 << e) & counting, n_patterns, row)
            n_patterns = max(n_patterns, k + 1)
            row.run_pattern[e] = k
            row.sizes[k] += size
            row.weights[k] += row.run_weight[e]
    for t in range(found.n_alone, found.n_members):
        k = _pattern(row.keys[t] & counting, n_patterns, row)
        n_patterns = max(n_patterns, k + 1)
        row.keys[t] = k
        row.sizes[k] += 1.0
        row.weights[k] += row.weight[t]
    return n_patterns


@compiled
def _pattern(key: int, n_patterns: int, row: Row) -> int:
    """Find the pattern with this key, or begin one."""
    for k in range(n_patterns):
        if row.pattern_keys[k] == key:
            return k
    row.pattern_keys[n_patterns] = key
    row.sizes[n_patterns] = 0.0
    row.weights[n_patterns] = 0.0
    return n_patterns


@compiled
def pose(found: Found, counting: int, n_patterns: int, row: Row) -> Patterns:
    """Write the row down as the solvers see it.

    Args:
        found: What the row has.
        counting: Bits of the specialists whose dustbin matters.
        n_patterns: Number of patterns.
        row: `weights`, `powers`, `outside` and `dustbins` are filled in.
    """
    n_bins = 0
    for k in range(n_patterns):
        row.weights[k] /= found.unit
        row.powers[k] = 1.0
        row.mass[k] = 0.0
    for e in range(found.n_active):
        for k in range(n_patterns):
            inside = row.pattern_keys[k] >> e & 1
            row.powers[k] += inside
            row.outside[n_bins, k] = 1.0 - inside
        if counting >> e & 1:
            row.dustbins[n_bins] = row.dustbins[e]
            n_bins += 1
    return Patterns(
        n_patterns,
        n_bins,
        row.weights,
        row.sizes,
        row.powers,
        row.outside,
        row.dustbins,
        1.0 + found.n_active,
    )


@compiled_sum
def total(values: Floats, n: int) -> float:
    """The sum of the first n."""
    result = 0.0
    for i in range(n):
        result += values[i]
    return result
