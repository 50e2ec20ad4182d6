"""Which classes the active subsets of a row hold, worked out once for each set of specialists and kept.

A class is worked out by itself only if an active subset holds it: it is a **member**. All other classes share one
factor and are touched by nothing but plain loops over the row. Classes in the same subsets form a **pattern**; its
key has bit e set where the row's e-th active specialist holds them. Members are numbered pattern by pattern, so that
whatever is done to a pattern is a plain loop as well.
"""

from typing import NamedTuple

import numpy as np

from specialists.block import Block, Subsets
from specialists.compiled import Classes, Integers, compiled

MAX_ACTIVE = 62  # specialists on one row: the bits of a key
_MOST = 8192  # layouts that are kept; with more, what is kept no longer fits a processor's caches


class Layout(NamedTuple):
    """What all rows with the same active specialists have in common.

    Attributes:
        classes: Class id by member (members,).
        slots: Which member each output of each specialist is, dustbins left out, one specialist after the other.
        starts: Members of pattern k are `starts[k]:starts[k + 1]`; pattern 0 has those classes that are no members
            (patterns + 1,).
        keys: By pattern, bits of the active specialists that hold it (patterns,).
    """

    classes: Classes
    slots: Classes
    starts: Integers
    keys: Integers


class Layouts(NamedTuple):
    """The layouts that have been worked out, and room to work out another.

    Attributes:
        positions: A hash table of layouts' numbers, -1 where free.
        heads: By layout, where its part of `specialists`, `entries` and `spans` begins, and how many active
            specialists, members, outputs and patterns it has, (layouts, 7).
        used: How many layouts there are, and how much of `specialists`, `entries` and `spans` they take, (4,).
        specialists: By layout, its active specialists.
        entries: By layout, `Layout.classes` and then `Layout.slots`.
        starts, keys: By layout, as in `Layout`: the spans.
        numbers: While a layout is made, the pattern of each class; all 0 between, (classes,).
        bits, parts, sizes: While a layout is made, the key of each pattern, what the newest subset has split off it,
            and its size, later where its next member goes.
    """

    positions: Integers
    heads: Integers
    used: Integers
    specialists: Integers
    entries: Classes
    starts: Integers
    keys: Integers
    numbers: Integers
    bits: Integers
    parts: Integers
    sizes: Integers


def room_for_layouts(n_rows: int, n_classes: int, n_outputs: int, n_entries: int) -> Layouts:
    """Return room for the layouts of a table.

    Args:
        n_rows: Rows of the table.
        n_classes: N.
        n_outputs: The most outputs, dustbins left out, that the active specialists of a row have together.
        n_entries: How much to keep: a member and an output take one each. At least one layout is kept.
    """
    n_layouts = max(1, min(n_rows, _MOST))
    n_entries = max(2 * n_outputs, min(n_entries, 2 * n_outputs * n_layouts))
    n_spans = n_entries + 2 * n_layouts
    return Layouts(
        np.full(1 << (2 * n_layouts - 1).bit_length(), -1),
        np.empty((n_layouts, 7), np.int64),
        np.zeros(4, np.int64),
        np.empty(n_entries, np.int64),
        np.empty(n_entries, np.uint32),
        np.empty(n_spans, np.int64),
        np.empty(n_spans, np.int64),
        np.zeros(n_classes, np.int64),
        np.zeros(n_outputs + 1, np.int64),
        np.zeros(n_outputs + 1, np.int64),
        np.zeros(n_outputs + 1, np.int64),
    )


@compiled
def find(b: int, block: Block, layouts: Layouts) -> Layout:
    """Return the layout of row b, made if it is not kept."""
    n_outputs = layouts.sizes.size - 1
    if layouts.used[0] == layouts.heads.shape[0] or layouts.used[2] + 2 * n_outputs > layouts.entries.size:
        layouts.used[:] = 0
        layouts.positions[:] = -1
    active = block.active.specialist[block.active.starts[b] : block.active.starts[b + 1]]
    number = _search(active, layouts)
    if number < 0:
        position, number = -1 - number, layouts.used[0]
        layouts.positions[position] = number
        _make(active, block.subsets, layouts)
    head = layouts.heads[number]
    first, span = head[1], head[2]
    n_members, n_outputs, n_patterns = head[4], head[5], head[6]
    return Layout(
        layouts.entries[first : first + n_members],
        layouts.entries[first + n_members : first + n_members + n_outputs],
        layouts.starts[span : span + n_patterns + 1],
        layouts.keys[span : span + n_patterns],
    )


@compiled
def _search(active: Integers, layouts: Layouts) -> int:
    """Return the number of these specialists' layout, or -1 - (the position where it should be)."""
    value = active.size
    for e in range(active.size):
        value = (value * 1_000_003 + active[e]) & 0xFFFFFFFF
    last = layouts.positions.size - 1
    position = (value ^ (value >> 15)) & last
    while layouts.positions[position] >= 0:
        number: int = layouts.positions[position]
        n_equal = 0
        if layouts.heads[number, 3] == active.size:
            for e in range(active.size):
                n_equal += layouts.specialists[layouts.heads[number, 0] + e] == active[e]
            if n_equal == active.size:
                return number
        position = (position + 1) & last
    return -1 - position


@compiled
def _make(active: Integers, subsets: Subsets, layouts: Layouts) -> None:
    """Make another layout."""
    number, first_active, first, span = layouts.used[0], layouts.used[1], layouts.used[2], layouts.used[3]
    n_made = _refine(active, subsets, layouts)
    # Patterns that later subsets have used up are left out; pattern 0 is kept though it may be empty.
    n_patterns, n_members = 0, 0
    layouts.sizes[0] = 0
    for k in range(n_made):
        size = layouts.sizes[k]
        if k == 0 or size > 0:
            layouts.starts[span + n_patterns] = n_members
            layouts.keys[span + n_patterns] = layouts.bits[k]
            layouts.sizes[k] = n_members
            n_members += size
            n_patterns += 1
    layouts.starts[span + n_patterns] = n_members
    n_outputs = _place(active, subsets, first, n_members, layouts)
    for e in range(active.size):
        layouts.specialists[first_active + e] = active[e]
    head = layouts.heads[number]
    head[0], head[1], head[2] = first_active, first, span
    head[3], head[4], head[5], head[6] = active.size, n_members, n_outputs, n_patterns
    layouts.used[0] = number + 1
    layouts.used[1] = first_active + active.size
    layouts.used[2] = first + n_members + n_outputs
    layouts.used[3] = span + n_patterns + 1


@compiled
def _refine(active: Integers, subsets: Subsets, layouts: Layouts) -> int:
    """Split the patterns by one subset after the other; return how many were made, those used up included."""
    n_made = 1
    layouts.bits[0], layouts.parts[0], layouts.sizes[0] = 0, 0, 0
    for e in range(active.size):
        n_before = n_made
        for j in range(subsets.starts[active[e]], subsets.starts[active[e] + 1]):
            i = subsets.classes[j]
            whole = layouts.numbers[i]
            if layouts.parts[whole] < n_before:  # its first class in this subset
                layouts.parts[whole] = n_made
                layouts.bits[n_made] = layouts.bits[whole] | 1 << e
                layouts.parts[n_made], layouts.sizes[n_made] = 0, 0
                n_made += 1
            part = layouts.parts[whole]
            layouts.sizes[whole] -= 1
            layouts.sizes[part] += 1
            layouts.numbers[i] = part
    return n_made


@compiled
def _place(active: Integers, subsets: Subsets, first: int, n_members: int, layouts: Layouts) -> int:
    """Number the members pattern by pattern, and write down which output is which; return how many outputs."""
    output = first + n_members
    for e in range(active.size):
        for j in range(subsets.starts[active[e]], subsets.starts[active[e] + 1]):
            i = subsets.classes[j]
            k = layouts.numbers[i]
            if k >= 0:  # the first subset that holds it
                member = layouts.sizes[k]
                layouts.sizes[k] += 1
                layouts.entries[first + member] = i
                layouts.numbers[i] = -1 - member
            layouts.entries[output] = -1 - layouts.numbers[i]
            output += 1
    for t in range(n_members):
        layouts.numbers[layouts.entries[first + t]] = 0
    return output - first - n_members
