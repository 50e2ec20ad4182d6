"""The reverse combination of a block of rows: a_i is the geometric mean of all that name i, then `reverse_kl`."""

from collections.abc import Callable

import numpy as np

from specialists import block as blocks
from specialists import compiled as decorators
from specialists import elimination, layouts, patterns, prefetch, reverse_kl, row_kernel
from specialists.block import INFINITE, NOT_A_DISTRIBUTION, NOT_CONVERGED, Block
from specialists.compiled import Floats, compiled, compiled_entry, sources_digest
from specialists.layouts import Layout, Layouts
from specialists.patterns import Patterns, Row
from specialists.reverse_kl import Iterate
from specialists.row_kernel import fetch_next

_FEW = 8.0  # active specialists; with more, the roundings in as many d_m / Q_m, all multiplied, exceed the bound


@compiled
def _gather(b: int, unit: float, block: Block, layout: Layout, row: Row) -> None:
    """Take the geometric means of what the generalist and row b's active specialists say of the members.

    Most members are in one subset: for these a product of two roots is all there is. For the others logarithms
    are added, because a product of more could underflow.
    """
    for k in range(1, layout.keys.size):
        power = 1.0
        for e in range(row.factors.size):
            power += layout.keys[k] >> e & 1
        for t in range(layout.starts[k], layout.starts[k + 1]):
            prob = np.float64(row.rest[layout.classes[t]]) / unit
            row.rest[layout.classes[t]] = 0.0
            row.power[t] = power
            row.weight[t] = np.sqrt(prob) if power == 2.0 else _log(prob)
    output = 0
    for entry in range(block.active.starts[b], block.active.starts[b + 1]):
        m, first = block.active.specialist[entry], block.active.offset[entry]
        factor = row.factors[entry - block.active.starts[b]]
        for j in range(block.subsets.starts[m + 1] - block.subsets.starts[m]):
            t = layout.slots[output + j]
            prob = np.float64(block.tables[first + j]) * factor
            if row.power[t] == 2.0:
                row.weight[t] *= np.sqrt(prob)
            else:
                row.weight[t] += _log(prob)
        output += block.subsets.starts[m + 1] - block.subsets.starts[m]
    for t in range(layout.classes.size):
        mean = row.weight[t] if row.power[t] == 2.0 else np.exp(row.weight[t] / row.power[t])
        row.weight[t] = mean * unit


@compiled
def _log(value: float) -> float:
    """The logarithm, and of 0 minus infinity without a word."""
    return float(np.log(value)) if value > 0.0 else -np.inf


@compiled
def _possible(n_active: int, layout: Layout, row: Row) -> int:
    """Take away the weight of patterns that a dustbin of 0 forbids; return the bits of dustbins that matter.

    A dustbin above 0 does not matter where all that it stands for is forbidden.
    """
    for e in range(n_active):
        if row.all_dustbins[e] == 0.0:
            for k in range(layout.keys.size):
                if layout.keys[k] >> e & 1 == 0:
                    row.weights[k] = 0.0
    bits = 0
    for e in range(n_active):
        for k in range(layout.keys.size):
            if row.all_dustbins[e] > 0.0 and row.weights[k] > 0.0 and layout.keys[k] >> e & 1 == 0:
                bits |= 1 << e
    return bits


@compiled
def _vanished(problem: Patterns, wanted: Floats, row: Row) -> float:
    """The largest mass that a pattern should have whose soft targets have all been rounded to 0."""
    largest = 0.0
    for k in range(problem.n_patterns):
        if row.mass[k] == 0.0:
            largest = max(largest, wanted[k])
    return largest


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
            patterns.drop_tiny(layout, row)
            n_active = block.active.starts[b + 1] - block.active.starts[b]
            problem = patterns.pose(n_active, _possible(n_active, layout, row), layout, row)
            if patterns.total(row.weights[: problem.n_patterns]) == 0.0:
                block.iterations[b] = INFINITE
                continue
            block.iterations[b] = reverse_kl.solve(problem, at, block.accuracy.products)
            row_kernel.spread(layout, problem, at.mass, unit, block.probs[b], row)
            violation = _vanished(problem, at.mass, row)
            reverse_kl.conditions(problem, row.mass, row.scale, row.even)
            block.residual[b] = row_kernel.certify(layout, violation, unit, block.probs[b], row)
            if not block.residual[b] <= block.accuracy.residual * max(1.0, n_active / _FEW):
                block.iterations[b] = NOT_CONVERGED

    return combine_block


_SOURCES = (blocks, decorators, elimination, layouts, patterns, prefetch, reverse_kl, row_kernel)
combine_block = _kernel(sources_digest(__file__, *(str(module.__file__) for module in _SOURCES)))
"""Combine a block of rows, with room from `room_for_layouts`, `room_for_row` and `reverse_kl.workspace`."""
