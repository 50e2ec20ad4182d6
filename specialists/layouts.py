"""Which classes the active subsets of a row hold, worked out once for each set of specialists and kept.

A class is worked out by itself only if an active subset holds it: it is a **member**. All other classes share one
factor and are touched by nothing but plain loops over the row. Classes in the same subsets form a **pattern**; its
key has bit e set where the row's e-th active specialist holds them. Members are numbered pattern by pattern, so that
whatever is done to a pattern is a plain loop as well.
"""

from typing import NamedTuple

import numpy as np

from specialists.block import Active, Block, Subsets
from specialists.compiled import Classes, Integers, compiled
from specialists.prefetch import fetch

MAX_ACTIVE = 62  # specialists on one row: the bits of a key
_MOST = 8192  # layouts that are kept; with more, what is kept no longer fits a processor's caches

# What a layout's head says: where its part of `specialists`, `entries` and spans begins, and what it has.
_ACTIVE, _ENTRIES, _SPANS, _N_ACTIVE, _N_MEMBERS, _N_OUTPUTS, _N_PATTERNS = range(7)
_LAYOUTS = 3  # beside the first three, what `used` says


class Layout(NamedTuple):
    """What all rows with the same active specialists have in common.

    Attributes:
        classes: Class id by member, of `class_dtype` (members,).
        slots: Which member each output of each specialist is, dustbins left out, one specialist after the other, of
            `class_dtype` (outputs,).
        starts: Members of pattern k are `starts[k]:starts[k + 1]`; pattern 0 has those classes that are no members;
            int64 (patterns + 1,).
        keys: By pattern, bits of the active specialists that hold it, int64 (patterns,).
    """

    classes: Classes
    slots: Classes
    starts: Integers
    keys: Integers


class Layouts(NamedTuple):
    """The layouts that have been worked out, and room to work out another; int64 but for `entries`.

    Attributes:
        positions: A hash table of layouts' numbers, -1 where free.
        heads: By layout, where its part of `specialists`, `entries` and spans begins, and how many active
            specialists, members, outputs and patterns it has, (layouts, 7).
        used: How much of `specialists`, `entries` and spans is taken, and how many layouts there are, (4,).
        specialists: By layout, its active specialists.
        entries: By layout, `Layout.classes` and then `Layout.slots`, of `class_dtype`.
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


def class_dtype(n_classes: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type for class ids, uint16 or uint32: layouts that are short are soon read."""
    return np.dtype(np.uint16 if n_classes <= 1 << 16 else np.uint32)


def room_for_layouts(n_rows: int, n_classes: int, n_outputs: int, n_bytes: int) -> Layouts:
    """Return room for the layouts of a table.

    Args:
        n_rows: Rows of the table.
        n_classes: N.
        n_outputs: The most outputs, dustbins left out, that the active specialists of a row have together.
        n_bytes: How much to keep, in bytes, for the longest part of the layouts; but at least one layout.
    """
    dtype = class_dtype(n_classes)
    n_layouts = max(1, min(n_rows, _MOST))
    n_entries = max(2 * n_outputs, min(n_bytes // dtype.itemsize, 2 * n_outputs * n_layouts))
    n_spans = n_entries + 2 * n_layouts
    return Layouts(
        np.full(1 << (2 * n_layouts - 1).bit_length(), -1),
        np.empty((n_layouts, 7), np.int64),
        np.zeros(4, np.int64),
        np.empty(n_entries, np.int64),
        np.empty(n_entries, dtype),
        np.empty(n_spans, np.int64),
        np.empty(n_spans, np.int64),
        np.zeros(n_classes, np.int64),
        np.zeros(n_outputs + 1, np.int64),
        np.zeros(n_outputs + 1, np.int64),
        np.zeros(n_outputs + 1, np.int64),
    )


@compiled
def find(b: int, block: Block, layouts: Layouts) -> Layout:
    """Return the layout of row b, made if it is not kept.

    Args:
        b: A row of the block.
        block: Of which only `active` and `subsets` are read.
        layouts: Where it is looked for and kept; where there is no room for another, all are forgotten first.

    Returns:
        Views of `layouts`, right until the next call.
    """
    n_outputs = layouts.sizes.size - 1
    if (
        layouts.used[_LAYOUTS] == layouts.heads.shape[0]
        or layouts.used[_ENTRIES] + 2 * n_outputs > layouts.entries.size
    ):
        layouts.used[:] = 0
        layouts.positions[:] = -1
    number = _search(b, block.active, layouts)
    if number < 0:
        position, number = -1 - number, layouts.used[_LAYOUTS]
        layouts.positions[position] = number
        active = block.active.specialist[block.active.starts[b] : block.active.starts[b + 1]]
        _make(active, block.subsets, layouts)
    head = layouts.heads[number]
    first, span = head[_ENTRIES], head[_SPANS]
    n_members, n_outputs, n_patterns = head[_N_MEMBERS], head[_N_OUTPUTS], head[_N_PATTERNS]
    return Layout(
        layouts.entries[first : first + n_members],
        layouts.entries[first + n_members : first + n_members + n_outputs],
        layouts.starts[span : span + n_patterns + 1],
        layouts.keys[span : span + n_patterns],
    )


@compiled
def fetch_entries(b: int, block: Block, layouts: Layouts) -> None:
    """Ask for what row b of a block will need of its layout, if that is kept; change nothing."""
    number = _search(b, block.active, layouts)
    if number >= 0:
        head = layouts.heads[number]
        first, size = head[_ENTRIES], head[_N_MEMBERS] + head[_N_OUTPUTS]
        fetch(layouts.entries[first : first + size], size)


@compiled
def _search(b: int, active: Active, layouts: Layouts) -> int:
    """Return the number of the layout of row b, or -1 - (the position where it should be)."""
    start = active.starts[b]
    n_active = active.starts[b + 1] - start
    value = n_active
    for e in range(n_active):
        value = (value * 1_000_003 + active.specialist[start + e]) & 0xFFFFFFFF
    last = layouts.positions.size - 1
    position: int = (value ^ (value >> 15)) & last
    while layouts.positions[position] >= 0:
        number: int = layouts.positions[position]
        n_equal = 0
        if layouts.heads[number, _N_ACTIVE] == n_active:
            first = layouts.heads[number, _ACTIVE]
            for e in range(n_active):
                n_equal += layouts.specialists[first + e] == active.specialist[start + e]
            if n_equal == n_active:
                return number
        position = (position + 1) & last
    return -1 - position


@compiled
def _make(active: Integers, subsets: Subsets, layouts: Layouts) -> None:
    """Make another layout."""
    first_active, first, span = layouts.used[_ACTIVE], layouts.used[_ENTRIES], layouts.used[_SPANS]
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
    head = layouts.heads[layouts.used[_LAYOUTS]]
    head[_ACTIVE], head[_ENTRIES], head[_SPANS] = first_active, first, span
    head[_N_ACTIVE], head[_N_MEMBERS], head[_N_OUTPUTS], head[_N_PATTERNS] = (
        active.size,
        n_members,
        n_outputs,
        n_patterns,
    )
    layouts.used[_ACTIVE] = first_active + active.size
    layouts.used[_ENTRIES] = first + n_members + n_outputs
    layouts.used[_SPANS] = span + n_patterns + 1
    layouts.used[_LAYOUTS] += 1


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
