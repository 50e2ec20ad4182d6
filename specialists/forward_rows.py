"""The forward combination of a block of rows: a_i = p_g[i] + sum of p_m[i], then `forward_kl`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specialists import block as blocks
from specialists import compiled as decorators
from specialists import elimination, forward_kl, forward_newton, layouts, patterns, prefetch, row_kernel
from specialists.block import NOT_A_DISTRIBUTION, NOT_CONVERGED, Block
from specialists.compiled import Classes, Floats, compiled, compiled_entry, sources_digest
from specialists.forward_newton import Iterate
from specialists.layouts import Layout, Layouts
from specialists.patterns import Row
from specialists.row_kernel import fetch_next

_NO_DUSTBIN = 1e-100  # no precision shows a share of this; products of two such would underflow


@compiled
def _gather(b: int, unit: float, block: Block, layout: Layout, row: Row) -> None:
    """Add up what the generalist and row b's active specialists say of the members; `rest` loses them.

    What specialists say is brought to the generalist's `unit`.
    """
    for t in range(layout.classes.size):
        row.weight[t] = row.rest[layout.classes[t]]
        row.rest[layout.classes[t]] = 0.0
    output = 0
    for entry in range(block.active.starts[b], block.active.starts[b + 1]):
        m, first = block.active.specialist[entry], block.active.offset[entry]
        size = block.subsets.starts[m + 1] - block.subsets.starts[m]
        factor = unit * row.factors[entry - block.active.starts[b]]
        _add(block.tables[first : first + size], factor, layout.slots[output : output + size], row.weight)
        output += size


@compiled
def _add(probs: NDArray[Any], factor: float, slots: Classes, weight: Floats) -> None:
    """Add a specialist's probabilities, times a factor, to its classes."""
    for j in range(slots.size):
        weight[slots[j]] += np.float64(probs[j]) * factor


@compiled
def _counting(n_active: int, row: Row) -> int:
    """Bits of the specialists whose dustbin asks something of the classes outside."""
    bits = 0
    for e in range(n_active):
        if row.all_dustbins[e] > _NO_DUSTBIN:
            bits |= 1 << e
    return bits


def _kernel(sources: str) -> Callable[[Block, Layouts, Row, Iterate], None]:
    """Make `combine_block`; why it captures a digest of its sources, `sources_digest` says."""

    @compiled_entry
    def combine_block(block: Block, kept: Layouts, row: Row, at: Iterate) -> None:
        _ = sources
        for b in range(block.residual.size):
            layout = layouts.find(b, block, kept)
            fetch_next(b, block, kept)
            unit = row_kernel.read(block.generalist[b], row.rest)
            if not (row_kernel.read_specialists(b, block, row) and abs(unit - 1.0) <= block.accuracy.sums):
                block.iterations[b] = NOT_A_DISTRIBUTION
                continue
            _gather(b, unit, block, layout, row)
            patterns.sum_up(layout, unit, row)
            n_active = block.active.starts[b + 1] - block.active.starts[b]
            counting = _counting(n_active, row)
            if counting != (1 << n_active) - 1:
                patterns.merge(counting, layout, row)
            patterns.drop_tiny(layout, row)
            problem = patterns.pose(n_active, counting, layout, row)
            block.iterations[b] = forward_kl.solve(problem, at, block.accuracy.products)
            row_kernel.spread(layout, problem, at.mass, unit, block.probs[b], row)
            violation = forward_kl.conditions(problem, row.mass, row.scale, row.even)
            block.residual[b] = row_kernel.certify(layout, violation, unit, block.probs[b], row)
            if not block.residual[b] <= block.accuracy.residual:
                block.iterations[b] = NOT_CONVERGED

    return combine_block


_SOURCES = (blocks, decorators, elimination, forward_kl, forward_newton, layouts, patterns, prefetch, row_kernel)
combine_block = _kernel(sources_digest(__file__, *(str(module.__file__) for module in _SOURCES)))
"""Combine a block of rows, with room from `room_for_layouts`, `room_for_row` and `forward_newton.workspace`."""
