"""A block of rows as the compiled kernels see it."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from specialists.compiled import Classes, Floats, Integers, compiled_entry

NOT_CONVERGED = -1
NOT_A_DISTRIBUTION = -2
INFINITE = -3


class Subsets(NamedTuple):
    """All subsets in one array: subset m is `classes[starts[m]:starts[m + 1]]`.

    Attributes:
        classes: Class ids, of `layouts.class_dtype` (sum of |S_m|,).
        starts: Ascending from 0, int64 (specialists + 1,).
    """

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


class Accuracy(NamedTuple):
    """What is asked of the values.

    Attributes:
        sums: How far from 1 the generalist's probabilities of a row may sum.
        table_sums: How far those of a specialist may.
        residual: The largest certificate that counts as converged.
        products: Relative tolerance of the solver.
    """

    sums: float
    table_sums: float
    residual: float
    products: float


class Block(NamedTuple):
    """A block of rows, checked but for the values.

    The kernels are compiled for the precisions that they meet, each when it is first needed.

    Attributes:
        generalist: Probabilities, float32 or float64 (rows, classes).
        tables: Probabilities of the active specialists, float32 or float64, dustbin last, where `active` says.
        subsets: All subsets.
        active: The active specialists.
        accuracy: What is asked of values and result.
        probs: Soft targets, filled in; as precise as the generalist (rows, classes).
        residual: Certificates, filled in, float64 (rows,).
        iterations: Filled in with Newton steps, or one of `NOT_CONVERGED`, `NOT_A_DISTRIBUTION` and `INFINITE`,
            for which a row's other values mean nothing; int64 (rows,).
    """

    generalist: NDArray[Any]
    tables: NDArray[Any]
    subsets: Subsets
    active: Active
    accuracy: Accuracy
    probs: NDArray[Any]
    residual: Floats
    iterations: Integers


@compiled_entry
def index_rows(counts: Integers, rows: Integers, first_row: int, subsets: Subsets, active: Active) -> None:
    """Sort the entries of a block, given by specialist and then by row, by row and then by specialist.

    Args:
        counts: Rows of the block on which each specialist is active, int64 (specialists,).
        rows: These rows, specialist by specialist, counted from the table's first, int64 (entries,).
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
