"""The reverse combination of a block of rows: a_i is the geometric mean of all that name i, then `reverse_kl`."""

from collections.abc import Callable

import numpy as np

from specialists import block as blocks
from specialists import compiled as decorators
from specialists import elimination, patterns, reverse_kl, row_kernel
from specialists.block import INFINITE, NOT_A_DISTRIBUTION, NOT_CONVERGED, Block
from specialists.compiled import Floats, compiled, compiled_entry, sources_digest
from specialists.patterns import Found, Patterns, Row
from specialists.reverse_kl import Iterate


@compiled
def _take_logs(b: int, unit: float, block: Block, row: Row) -> bool:
    """Replace all that the row's members are made of by logarithms; return whether all are distributions.

    Args:
        b: The row.
        unit: What the generalist's probabilities sum to.
        block: `tables`, in double precision, is replaced; dustbins are normalised, and no logarithms.
        row: `rest` holds the generalist's probabilities, and is replaced for members; `dustbins` is filled in.
    """
    n_active = patterns.mark(b, block, row)
    n_valid = 0
    for e in range(n_active):
        entry = block.active.starts[b] + e
        m, first = block.active.specialist[entry], block.active.offset[entry]
        size = block.subsets.starts[m + 1] - block.subsets.starts[m]
        probs_sum = row_kernel.checked_total(block.tables.double, first, first + size + 1)
        n_valid += abs(probs_sum - 1.0) <= block.accuracy.sums
        row.dustbins[e] = block.tables.double[first + size] / probs_sum
        for j in range(size):
            block.tables.double[first + j] = _log(block.tables.double[first + j] / probs_sum)
            i = block.subsets.classes[block.subsets.starts[m] + j]
            if row.marks[i] & ((1 << e) - 1) == 0:  # the first subset that holds it
                row.rest[i] = _log(row.rest[i] / unit)
    return n_valid == n_active


@compiled
def _log(value: float) -> float:
    """The logarithm, and of 0 minus infinity without a word."""
    return float(np.log(value)) if value > 0.0 else -np.inf


@compiled
def _gather(b: int, unit: float, block: Block, row: Row) -> Found:
    """Turn the members' sums of logarithms into geometric means, in the generalist's unit."""
    n_active = block.active.starts[b + 1] - block.active.starts[b]
    for e in range(n_active):
        entry = block.active.starts[b] + e
        patterns.collect(block.tables.double, 1.0, entry, e, block, row)
    found = patterns.join_lists(n_active, unit, row)
    for e in range(n_active):
        row.run_weight[e] = 0.0
        for t in range(row.runs[e], row.runs[e + 1]):
            row.weight[t] = np.exp(row.weight[t] / 2.0) * unit
            row.run_weight[e] += row.weight[t]
    for t in range(found.n_alone, found.n_members):
        power = 1.0
        for e in range(n_active):
            power += row.keys[t] >> e & 1
        row.weight[t] = np.exp(row.weight[t] / power) * unit
    return found


@compiled
def _possible(found: Found, n_patterns: int, row: Row) -> int:
    """Take away the weight of patterns that a dustbin of 0 forbids; return the bits of dustbins that matter.

    A dustbin above 0 does not matter where all that it stands for is forbidden.
    """
    for e in range(found.n_active):
        if row.dustbins[e] == 0.0:
            for k in range(n_patterns):
                if row.pattern_keys[k] >> e & 1 == 0:
                    row.weights[k] = 0.0
    bits = 0
    for e in range(found.n_active):
        for k in range(n_patterns):
            if row.dustbins[e] > 0.0 and row.weights[k] > 0.0 and row.pattern_keys[k] >> e & 1 == 0:
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


def _kernel(sources: str) -> Callable[[Block, Row, Iterate], None]:
    """Make `combine_block`; why it captures a digest of its sources, `sources_digest` says."""

    @compiled_entry
    def combine_block(block: Block, row: Row, at: Iterate) -> None:
        _ = sources
        for b in range(block.residual.size):
            unit = row_kernel.read(b, block, row)
            valid = _take_logs(b, unit, block, row)
            found = _gather(b, unit, block, row)
            if not (valid and abs(unit - 1.0) <= block.accuracy.sums):
                block.iterations[b] = NOT_A_DISTRIBUTION
                continue
            n_patterns = patterns.number_patterns(found, -1, row)
            counting = _possible(found, n_patterns, row)
            problem = patterns.pose(found, counting, n_patterns, row)
            if patterns.total(row.weights, n_patterns) == 0.0:
                block.iterations[b] = INFINITE
                continue
            block.iterations[b] = reverse_kl.solve(problem, at, block.accuracy.products)
            row_kernel.spread(b, found, problem, at.mass, block, row)
            violation = _vanished(problem, at.mass, row)
            reverse_kl.conditions(problem, row.mass, row.scale, row.even)
            row_kernel.certify(b, found, n_patterns, violation, block, row)
            if not block.residual[b] <= block.accuracy.residual:
                block.iterations[b] = NOT_CONVERGED

    return combine_block


_SOURCES = (blocks, decorators, elimination, patterns, reverse_kl, row_kernel)
combine_block = _kernel(sources_digest(__file__, *(str(module.__file__) for module in _SOURCES)))
"""Combine a block of rows, with room from `patterns.room_for_row` and `reverse_kl.workspace`."""
