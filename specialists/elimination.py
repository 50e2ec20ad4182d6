"""Small dense systems of equations, solved in place."""

from specialists.compiled import Floats, compiled

_TIED = 1e-13  # pivots below it are the rounding of 0, in equations whose largest entries are near 1


@compiled
def eliminate(matrix: Floats, step: Floats, n: int) -> None:
    """Solve the leading n equations in place by Gaussian elimination with row pivots.

    An unknown that the equations before leave open, because it is tied to others, gets no step.

    Args:
        matrix: Its leading (n, n) are used and overwritten, float64; entries of order 1.
        step: The right-hand side, then the solution; float64, its leading n are used.
        n: How many equations, 0 or more.
    """
    for column in range(n):
        _pivot(matrix, step, column, n)
        if not abs(matrix[column, column]) > _TIED:
            for j in range(n):
                matrix[column, j] = 0.0
            for row in range(column + 1, n):
                matrix[row, column] = 0.0
            matrix[column, column] = 1.0
            step[column] = 0.0
        inverse = 1.0 / matrix[column, column]
        for row in range(column + 1, n):
            factor = matrix[row, column] * inverse
            for j in range(column + 1, n):
                matrix[row, j] -= factor * matrix[column, j]
            step[row] -= factor * step[column]
    for row in range(n - 1, -1, -1):
        for j in range(row + 1, n):
            step[row] -= matrix[row, j] * step[j]
        step[row] /= matrix[row, row]


@compiled
def _pivot(matrix: Floats, step: Floats, column: int, n: int) -> None:
    """Swap the row with the largest entry of a column into place."""
    best = column
    for row in range(column + 1, n):
        if abs(matrix[row, column]) > abs(matrix[best, column]):
            best = row
    if best != column:
        for j in range(column, n):
            matrix[best, j], matrix[column, j] = matrix[column, j], matrix[best, j]
        step[best], step[column] = step[column], step[best]
