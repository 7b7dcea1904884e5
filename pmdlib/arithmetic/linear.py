"""Linear systems and outer products in every arithmetic."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import sympy
from flint import arb_mat, fmpq, fmpq_mat

from pmdlib.arithmetic.arrays import Array, each, is_exact
from pmdlib.arithmetic.balls import Ball
from pmdlib.arithmetic.duals import Dual
from pmdlib.arithmetic.recording import Recorded
from pmdlib.errors import NotConvergedError


def eye(size: int, like: Array) -> Array:
    """Identity matrix (size, size) in the arithmetic of ``like``; read-only, it is shared."""
    return _identity(size, np.dtype(object) if is_exact(like) else like.dtype)


@cache
def _identity(size: int, dtype: np.dtype[Any]) -> Array:
    matrix = np.eye(size, dtype=dtype)
    matrix.flags.writeable = False
    return matrix


def solve(matrix: Array, right: Array) -> Array:
    """Solve ``matrix @ x = right`` for every leading batch index.

    Parameters
    ----------
    matrix : ndarray (..., S, S)
    right : ndarray (..., S, K)

    Returns
    -------
    ndarray (..., S, K)

    Notes
    -----
    Recorded numbers are eliminated in the order in which they stand: which pivot is largest is not
    known. For I - γP nothing is lost by that, nor for any other matrix whose diagonal dominates
    its rows (Malyshev, A note on the stability of Gauss-Jordan elimination for diagonally dominant
    matrices, Computing 65, 2000).

    Raises
    ------
    NotConvergedError
        If a matrix is singular, or is not known to be regular at the working precision.
    """
    if is_exact(matrix) or is_exact(right):
        batch = np.broadcast_shapes(matrix.shape[:-2], right.shape[:-2])
        matrix = np.broadcast_to(matrix, (*batch, *matrix.shape[-2:]))
        right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
        solution = np.empty(right.shape, dtype=object)
        for index in np.ndindex(*batch):
            solution[index] = _solve_exactly(matrix[index], right[index])
        return solution
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError as error:
        raise NotConvergedError(
            f"a linear system of shape {matrix.shape} is singular and has no unique solution"
        ) from error


def _solve_exactly(matrix: Array, right: Array) -> Array:
    entries = [*matrix.flat, *right.flat]
    try:
        if all(isinstance(entry, fmpq | int) for entry in entries):
            solved = fmpq_mat(matrix.tolist()).solve(fmpq_mat(right.tolist()))
            return np.array(solved.entries(), dtype=object).reshape(right.shape)
        if all(isinstance(entry, Ball | fmpq | int) for entry in entries):
            system, sides = (each(lambda x: Ball(x).arb, part).tolist() for part in (matrix, right))
            balls = each(Ball, np.array(arb_mat(system).solve(arb_mat(sides)).entries()))
            return np.asarray(balls, dtype=object).reshape(right.shape)
    except ZeroDivisionError as error:
        shape = f"{len(matrix)}x{len(matrix)}"
        raise NotConvergedError(f"an exact {shape} linear system is singular") from error
    return _eliminate(matrix, right)


def _eliminate(matrix: Array, right: Array) -> Array:
    """Gauss-Jordan elimination for entries of any kind; any pivot that can divide will do."""
    size = len(matrix)
    table = np.concatenate([matrix, right], axis=1).astype(object)
    # Python divides integers to floats; these divide exactly.
    whole = sympy.Integer if any(isinstance(x, sympy.Basic) for x in table.flat) else fmpq
    table = each(lambda x: whole(x) if isinstance(x, int) else x, table)
    for column in range(size):
        pivot = next((row for row in range(column, size) if _divides(table[row, column])), None)
        if pivot is None:
            raise NotConvergedError(f"an exact {size}x{size} linear system is singular")
        table[[column, pivot]] = table[[pivot, column]]
        table[column] = table[column] / table[column, column]
        for row in range(size):
            if row != column and not _is_zero(table[row, column]):
                table[row] = table[row] - table[row, column] * table[column]
    return table[:, size:]


def _divides(pivot: Any) -> bool:
    return not _is_zero(pivot.value if isinstance(pivot, Dual) else pivot)


def _is_zero(entry: Any) -> bool:
    return not isinstance(entry, Recorded) and bool(entry == 0)


def join(arrays: Sequence[Array]) -> Array:
    """Outer product over the last axis: (..., A_1), (..., A_2), .. -> (..., A_1 A_2 ..)."""
    joint = arrays[0]
    for array in arrays[1:]:
        joint = joint[..., :, None] * array[..., None, :]
        joint = joint.reshape(*joint.shape[:-2], joint.shape[-2] * joint.shape[-1])
    return joint
