"""The few operations whose code depends on the kind of number.

Games, policies, values and claims are plain array code. On float64 (or complex) arrays it runs on
BLAS and LAPACK; on object arrays of exact rationals the same lines give exact results, because
``+ - * / @`` and comparisons dispatch on the elements. What is left lives here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import fmpq
from numpy.typing import NDArray

from pmdlib.errors import NotConvergedError

Array = NDArray[Any]

#: Unit round-off of float64: the relative error of one rounded operation.
UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2


def is_exact(array: Array) -> bool:
    """Say whether the entries are Python objects (exact numbers) rather than machine numbers."""
    return array.dtype == object


def to_exact(array: Array) -> Array:
    """Convert machine numbers to the exact rationals that they are.

    Parameters
    ----------
    array : ndarray of float64, any shape
        Finite numbers. A float is a dyadic rational, so nothing is rounded.

    Returns
    -------
    ndarray of object (flint.fmpq), the same shape. Exact arrays pass through unchanged.
    """
    if is_exact(array):
        return array
    exact = np.empty(array.shape, dtype=object)
    exact.reshape(-1)[:] = [fmpq(*float(x).as_integer_ratio()) for x in array.flat]
    return exact


def rationals(numerators: Array, denominators: Array) -> Array:
    """Divide integer arrays exactly; the result holds flint.fmpq entries."""
    exact = np.empty(numerators.shape, dtype=object)
    exact.reshape(-1)[:] = [
        fmpq(int(p), int(q)) for p, q in zip(numerators.flat, denominators.flat, strict=True)
    ]
    return exact


def eye(size: int, like: Array) -> Array:
    """Identity matrix (size, size) in the arithmetic of ``like``."""
    return np.eye(size, dtype=object if is_exact(like) else like.dtype)


def solve(matrix: Array, right: Array) -> Array:
    """Solve ``matrix @ x = right`` for every leading batch index.

    Parameters
    ----------
    matrix : ndarray (..., S, S)
    right : ndarray (..., S, K)

    Returns
    -------
    ndarray (..., S, K)

    Raises
    ------
    NotConvergedError
        If a matrix is singular.
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
    """Gauss-Jordan elimination in exact arithmetic; any non-zero pivot will do."""
    size = len(matrix)
    table = np.concatenate([matrix, right], axis=1).astype(object)
    for column in range(size):
        pivot = next((row for row in range(column, size) if table[row, column] != 0), None)
        if pivot is None:
            raise NotConvergedError(f"an exact {size}x{size} linear system is singular")
        table[[column, pivot]] = table[[pivot, column]]
        table[column] = table[column] / table[column, column]
        for row in range(size):
            if row != column and table[row, column] != 0:
                table[row] = table[row] - table[row, column] * table[column]
    return table[:, size:]


def join(arrays: Sequence[Array]) -> Array:
    """Outer product over the last axis: (..., A_1), (..., A_2), .. -> (..., A_1 A_2 ..)."""
    joint = arrays[0]
    for array in arrays[1:]:
        joint = joint[..., :, None] * array[..., None, :]
        joint = joint.reshape(*joint.shape[:-2], -1)
    return joint
