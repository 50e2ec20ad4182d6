"""One row's classes, sorted by which of its active specialists have them in their subset.

A class is worked out by itself only if an active subset holds it: it is a **member**. All other classes share
one factor and are touched by nothing but plain loops over the row. Members with the same subsets form a
**pattern**; its key has bit e set where the row's e-th active specialist counts and holds the class. Most
members are in one subset alone: these lie together, specialist by specialist, so that sums over them are
plain loops as well. Members in several subsets come after them, one by one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specialists.compiled import compiled, compiled_entry, compiled_sum

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Classes = NDArray[np.uint32]  # unsigned, because a signed index is checked for being negative each time

MAX_ACTIVE = 62  # specialists on one row: bits of a key


class Subsets(NamedTuple):
    """All subsets in one array: subset m is `classes[starts[m]:starts[m + 1]]`."""

    classes: Classes
    starts: Integers


class Active(NamedTuple):
    """The active specialists of a block of rows.

    Attributes:
        starts: Row b has entries `starts[b]:starts[b + 1]`, int64 (rows + 1,).
        specialist: Which specialist an entry is, ascending within a row, int64 (entries,).
        offset: Where its probabilities begin in the block's table, int64 (entries,).
    """

    starts: Integers
    specialist: Integers
    offset: Integers


class Row(NamedTuple):
    """Room for one row.

    Attributes:
        rest: The generalist's probabilities, 0 for members, (classes,).
        marks: Bits of the subsets that hold a class; all 0 between rows, (classes,).
        classes: Class id by member.
        key: Bits by member, and later the pattern; of members in one subset alone, the first of each run has it.
        rest_bits: The same memory as integers.
        weight: What the teachers say of a member together, such as a_i.
        weight_bits: The same memory as integers.
        share: Soft target by member.
        runs: Members `runs[e]:runs[e + 1]` are in the e-th active subset alone.
        run_weights: Their summed weights.
        keys: Bits by pattern.
        sizes: Number of classes by pattern.
        weights: Sum of `weight` by pattern.
        mass: Mass of the returned soft targets by pattern.
        scale: By pattern, q_i / a_i; later the multipliers of q >= 0.
        even: By pattern, q_i where a_i = 0 but mass is needed.
        dustbins: d_m of the active specialists that count.
        outside: 1 where pattern k lies outside the m-th active specialist that counts, else 0.
    """

    rest: Floats
    rest_bits: Integers
    marks: Integers
    classes: Classes
    key: Integers
    weight: Floats
    weight_bits: Integers
    share: Floats
    runs: Integers
    run_weights: Floats
    keys: Integers
    sizes: Floats
    weights: Floats
    mass: Floats
    scale: Floats
    even: Floats
    dustbins: Floats
    outside: Floats


def room_for_row(n_classes: int, n_members: int, n_active: int) -> Row:
    """Return room for rows up to this size; `n_members` counts a class once for every subset that holds it."""
    n_patterns = n_members + 1
    rest, weight = np.empty(n_classes), np.empty(2 * n_members + 2)
    return Row(
        rest=rest,
        rest_bits=rest.view(np.int64),
        marks=np.zeros(n_classes, np.int64),
        classes=np.empty(2 * n_members + 2, np.uint32),
        key=np.empty(2 * n_members + 2, np.int64),
        weight=weight,
        weight_bits=weight.view(np.int64),
        share=np.empty(n_members),
        runs=np.empty(n_active + 1, np.int64),
        run_weights=np.empty(n_active),
        keys=np.empty(n_patterns, np.int64),
        sizes=np.empty(n_patterns),
        weights=np.empty(n_patterns),
        mass=np.empty(n_patterns),
        scale=np.empty(n_patterns),
        even=np.empty(n_patterns),
        dustbins=np.empty(n_active),
        outside=np.empty((n_active, n_patterns)),
    )


@compiled_entry
def index_rows(counts: Integers, rows: Integers, first_row: int, subsets: Subsets, active: Active) -> None:
    """Sort the entries of a block, given by specialist and then by row, by row and then by specialist.

    Args:
        counts: Rows of the block on which each specialist is active.
        rows: These rows, specialist by specialist, counted from the table's first.
        first_row: The block's first row.
        subsets: All subsets.
        active: Filled in.
    """
    starts = active.starts
    for b in range(starts.size):
        starts[b] = 0
    for entry in range(rows.size):
        starts[rows[entry] - first_row + 1] += 1
    for b in range(1, starts.size):
        starts[b] += starts[b - 1]
    entry, offset = 0, 0
    for m in range(counts.size):
        for _ in range(counts[m]):
            b = rows[entry] - first_row
            active.specialist[starts[b]] = m
            active.offset[starts[b]] = offset
            starts[b] += 1
            offset += subsets.starts[m + 1] - subsets.starts[m] + 1
            entry += 1
    for b in range(starts.size - 1, 0, -1):
        starts[b] = starts[b - 1]
    starts[0] = 0


@compiled
def mark(subsets: Subsets, m: int, bit: int, marks: Integers) -> None:
    """Mark the classes of subset m."""
    for j in range(subsets.starts[m], subsets.starts[m + 1]):
        marks[subsets.classes[j]] |= bit


@compiled
def collect(
    probs: NDArray[Any],
    offset: int,
    factor: float,
    subsets: Subsets,
    m: int,
    e: int,
    n_alone: int,
    n_shared: int,
    row: Row,
) -> tuple[int, int]:
    """Add a specialist's probabilities, times a factor, and list the classes of its subset as members.

    Args:
        probs: The block's table.
        offset: Where the specialist's probabilities begin in it.
        factor: What to multiply them with.
        subsets: All subsets; those of the row's active specialists are marked.
        m: The specialist.
        e: Its number among the active ones.
        n_alone: Members in one subset alone so far, at the front of `row.classes` and `row.weight`.
        n_shared: Members in several subsets so far, in the second half of `row.classes` and `row.key`.
        row: Members in one subset alone become 0 in `rest` and `marks`; the others keep what is known in `rest`.

    Returns:
        The two numbers of members after this specialist.
    """
    bit = 1 << e
    first = subsets.starts[m]
    half = row.classes.size // 2
    run_weight = 0.0
    for j in range(subsets.starts[m + 1] - first):
        i = subsets.classes[first + j]
        key = row.marks[i]
        weight = row.rest[i] + np.float64(probs[offset + j]) * factor
        if key == bit:
            row.rest[i] = 0.0
            row.marks[i] = 0
            row.classes[n_alone] = i
            row.weight[n_alone] = weight
            run_weight += weight
            n_alone += 1
        else:
            row.rest[i] = weight
            if key & (bit - 1) == 0:  # listed by the first subset that holds it
                row.classes[half + n_shared] = i
                row.key[half + n_shared] = key
                n_shared += 1
    row.run_weights[e] = run_weight
    return n_alone, n_shared


@compiled
def collect_shared(n_alone: int, n_shared: int, row: Row) -> None:
    """Move the members in several subsets behind the others."""
    half = row.classes.size // 2
    for t in range(n_shared):
        i = row.classes[half + t]
        row.classes[n_alone + t] = i
        row.key[n_alone + t] = row.key[half + t]
        row.weight[n_alone + t] = row.rest[i]
        row.rest[i] = 0.0
        row.marks[i] = 0


@compiled
def number_patterns(n_active: int, n_alone: int, n_members: int, effective: int, row: Row) -> int:
    """Give every member its pattern, sum weights and sizes by pattern, and return the number of patterns.

    Args:
        n_active: Active specialists of the row.
        n_alone: Members in one subset alone.
        n_members: All members.
        effective: Bits of the specialists that count: the others' dustbins ask nothing of the classes outside.
        row: `key`, `keys`, `sizes` and `weights` are filled in. Classes that are no members are pattern 0;
            where there are none, no pattern is kept for them.
    """
    n_patterns = 0
    if n_members < row.rest.size:
        row.keys[0] = 0
        row.sizes[0] = row.rest.size - n_members
        row.weights[0] = total(row.rest, 0, row.rest.size)
        n_patterns = 1
    for e in range(n_active):
        first, stop = row.runs[e], row.runs[e + 1]
        if first < stop:
            k = _pattern((1 << e) & effective, n_patterns, row)
            n_patterns = max(n_patterns, k + 1)
            row.key[first] = k
            row.sizes[k] += stop - first
            row.weights[k] += row.run_weights[e]
    for t in range(n_alone, n_members):
        k = _pattern(row.key[t] & effective, n_patterns, row)
        n_patterns = max(n_patterns, k + 1)
        row.key[t] = k
        row.sizes[k] += 1.0
        row.weights[k] += row.weight[t]
    return n_patterns


@compiled
def _pattern(key: int, n_patterns: int, row: Row) -> int:
    """Find the pattern with this key, or begin one."""
    for k in range(n_patterns):
        if row.keys[k] == key:
            return k
    row.keys[n_patterns] = key
    row.sizes[n_patterns] = 0.0
    row.weights[n_patterns] = 0.0
    return n_patterns


@compiled_sum
def total(values: Floats, first: int, stop: int) -> float:
    """The sum of some values."""
    result = 0.0
    for i in range(first, stop):
        result += values[i]
    return result
