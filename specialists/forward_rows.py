"""The forward combination of a block of rows: a_i = p_g[i] + sum of p_m[i], then `forward_kl`."""

from collections.abc import Callable

import numpy as np

from specialists import block as blocks
from specialists import compiled as decorators
from specialists import elimination, forward_kl, patterns, row_kernel
from specialists.block import NOT_A_DISTRIBUTION, NOT_CONVERGED, Block
from specialists.compiled import compiled, compiled_entry, sources_digest
from specialists.forward_kl import Iterate
from specialists.patterns import Row

_NO_DUSTBIN = 1e-100  # no precision shows a share of this; products of two such would underflow


@compiled
def _gather(b: int, unit: float, block: Block, row: Row) -> bool:
    """Add up what the active specialists say of their classes; return whether all are distributions.

    Args:
        b: The row.
        unit: What the generalist's probabilities sum to: the specialists' are brought to the same.
        block: The block.
        row: `rest` holds the generalist's probabilities; members are filled in, and `dustbins`.
    """
    n_active = patterns.mark(b, block, row)
    n_valid = 0
    for e in range(n_active):  # a loop of its own, so that the processor fetches all tables at once
        first, last = patterns.place(b, e, block)
        if block.tables.single.size > 0:
            row.factors[e] = 1.0 / row_kernel.checked_total(block.tables.single, first, last + 1)
            row.dustbins[e] = np.float64(block.tables.single[last]) * row.factors[e]
        else:
            row.factors[e] = 1.0 / row_kernel.checked_total(block.tables.double, first, last + 1)
            row.dustbins[e] = block.tables.double[last] * row.factors[e]
        n_valid += abs(1.0 / row.factors[e] - 1.0) <= block.accuracy.sums
    for e in range(n_active):
        entry = block.active.starts[b] + e
        if block.tables.single.size > 0:
            patterns.collect(block.tables.single, unit * row.factors[e], entry, e, block, row)
        else:
            patterns.collect(block.tables.double, unit * row.factors[e], entry, e, block, row)
    return n_valid == n_active


@compiled
def _counting(n_active: int, row: Row) -> int:
    """Bits of the specialists whose dustbin asks something of the classes outside."""
    bits = 0
    for e in range(n_active):
        if row.dustbins[e] > _NO_DUSTBIN:
            bits |= 1 << e
    return bits


def _kernel(sources: str) -> Callable[[Block, Row, Iterate], None]:
    """Make `combine_block`; why it captures a digest of its sources, `sources_digest` says."""

    @compiled_entry
    def combine_block(block: Block, row: Row, at: Iterate) -> None:
        _ = sources
        for b in range(block.residual.size):
            unit = row_kernel.read(b, block, row)
            valid = _gather(b, unit, block, row)
            found = patterns.join_lists(block.active.starts[b + 1] - block.active.starts[b], unit, row)
            if not (valid and abs(unit - 1.0) <= block.accuracy.sums):
                block.iterations[b] = NOT_A_DISTRIBUTION
                continue
            counting = _counting(found.n_active, row)
            n_patterns = patterns.number_patterns(found, counting, row)
            problem = patterns.pose(found, counting, n_patterns, row)
            block.iterations[b] = forward_kl.solve(problem, at, block.accuracy.products)
            row_kernel.spread(b, found, problem, at.mass, block, row)
            violation = forward_kl.conditions(problem, row.mass, row.scale, row.even)
            row_kernel.certify(b, found, n_patterns, violation, block, row)
            if not block.residual[b] <= block.accuracy.residual:
                block.iterations[b] = NOT_CONVERGED

    return combine_block


_SOURCES = (blocks, decorators, elimination, forward_kl, patterns, row_kernel)
combine_block = _kernel(sources_digest(__file__, *(str(module.__file__) for module in _SOURCES)))
"""Combine a block of rows, with room from `patterns.room_for_row` and `forward_kl.workspace`."""
