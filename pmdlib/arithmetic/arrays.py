"""The few operations whose code depends on the kind of number.

Games, policies, values and claims are plain array code. On float64 (or complex) arrays it runs on
BLAS and LAPACK; on object arrays the same lines compute with what the entries are:

- exact rationals (``flint.fmpq``): equalities and inequalities of rationals are decided;
- balls (`pmdlib.arithmetic.Ball`): enclosures; a comparison is certain or raises;
- symbols (SymPy expressions): identities for all games of a shape.

``+ - * / @`` and comparisons dispatch on the entries. What is left lives here. A rational stays a
rational where it can, and becomes a ball where a value is irrational (``exp``, ``log``, ``sqrt``).
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy
from flint import arb_mat, fmpq, fmpq_mat, fmpz
from numpy.typing import NDArray

from pmdlib.arithmetic.balls import Ball
from pmdlib.arithmetic.duals import Dual
from pmdlib.errors import NotConvergedError

Array = NDArray[Any]

#: Unit round-off of float64: the relative error of one rounded operation.
UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2


def is_exact(array: Any) -> bool:
    """Say whether the entries are Python objects (no rounding) rather than machine numbers."""
    dtype = getattr(array, "dtype", None)
    if dtype is None:  # a number by itself
        return not isinstance(array, int | float | complex)
    return bool(dtype.kind == "O")


def unit_roundoff(like: Any) -> float:
    """Relative error of one operation in the arithmetic of ``like``: 0 unless it rounds."""
    return 0 if is_exact(like) else UNIT_ROUNDOFF


def _each(function: Callable[[Any], Any], array: Any) -> Any:
    """Apply a function to every entry of an object array, or to one object."""
    source = np.asarray(array, dtype=object)
    result = np.empty(source.shape, dtype=object)
    result.reshape(-1)[:] = [function(entry) for entry in source.flat]
    return result[()]


# From one arithmetic to another


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
    return _each(lambda x: fmpq(*float(x).as_integer_ratio()), array)


def rationals(numerators: Array, denominators: Array) -> Array:
    """Divide integer arrays exactly; the result holds flint.fmpq entries."""
    exact = np.empty(numerators.shape, dtype=object)
    exact.reshape(-1)[:] = [
        fmpq(int(p), int(q)) for p, q in zip(numerators.flat, denominators.flat, strict=True)
    ]
    return exact


def enclose(array: Array) -> Array:
    """Turn exact entries into balls at the working precision; machine numbers pass unchanged.

    What follows stays of bounded size, where exact rationals would grow with every step of a run.
    """
    return _each(Ball, array) if is_exact(array) else array


def to_float(array: Any) -> Array:
    """Round every entry to float64: the midpoint of a ball; for reports, not for decisions."""
    source = np.asarray(array)
    if not is_exact(source):
        return source
    return np.asarray([_float(entry) for entry in source.flat]).reshape(source.shape)[()]


def _float(entry: Any) -> float:
    if isinstance(entry, fmpq | fmpz):
        return int(entry.numerator) / int(entry.denominator)
    return float(entry)


# Checks


def not_finite(table: Array) -> Array:
    """Mark NaN and infinite entries; floats may hide among the objects of an exact array.

    Raises
    ------
    TypeError
        If an object is no number.
    """
    if not is_exact(table):
        return ~np.isfinite(table)
    return np.asarray(_each(_is_infinite, table), dtype=bool)


def _is_infinite(entry: Any) -> bool:
    if isinstance(entry, Ball):
        return not entry.arb.is_finite()
    if isinstance(entry, sympy.Basic):
        return entry.is_finite is False
    with np.errstate(invalid="ignore"):
        difference = entry - entry  # 0, or NaN where the entry is not finite
    return bool(difference != 0)


def certainly_negative(table: Array) -> Array:
    """Mark entries that are negative for certain: a ball about 0 and a bare symbol are not."""
    if not is_exact(table):
        return np.asarray(table < 0)
    return np.asarray(_each(_is_negative, table), dtype=bool)


def _is_negative(entry: Any) -> bool:
    if isinstance(entry, Ball):
        return bool(entry.arb < 0)
    if isinstance(entry, sympy.Basic):
        return sympy.cancel(entry).is_negative is True
    return bool(entry < 0)


# Functions of one variable


def exp(array: Array) -> Array:
    """e^x; exactly 1 at an exact 0."""
    return _each(_exp, array) if is_exact(array) else np.exp(array)


def _exp(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.exp(x)
    if isinstance(x, Ball):
        return x.exp()
    return fmpq(1) if x == 0 else Ball(x).exp()


def log(array: Array) -> Array:
    """Natural logarithm; exactly 0 at an exact 1, -infinity at 0 without a warning."""
    if is_exact(array):
        return _each(_log, array)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(array))


def _log(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.log(x)
    if isinstance(x, Ball):
        return x.log()
    return fmpq(0) if x == 1 else Ball(x).log()


def sqrt(value: Any, like: Any = None) -> Any:
    """Square root in the arithmetic of ``like``, by default that of the value itself.

    Exact for squares of rationals, else enclosed in a ball.
    """
    if not is_exact(value if like is None else like):
        return np.sqrt(value)
    return _each(_sqrt, value)


def _sqrt(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.sqrt(x)
    if isinstance(x, Ball):
        return x.sqrt()
    exact = fmpq(int(x)) if isinstance(x, int | np.integer) else x
    top, bottom = exact.numerator.isqrt(), exact.denominator.isqrt()
    root = fmpq(top, bottom)
    return root if root * root == exact else Ball(exact).sqrt()


def log_normalise(logs: Array) -> Array:
    """Shift logarithms (..., A) so that their exponentials sum to one."""
    if is_exact(logs):  # nothing can overflow
        return np.asarray(logs - log(exp(logs).sum(axis=-1, keepdims=True)))
    logs = logs - logs.max(axis=-1, keepdims=True)
    return np.asarray(logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True)))


def tilt(weights: Array, exponents: Array) -> Array:
    """Σ-normalise weights·e^exponents over the last axis, (..., A); zero weights stay zero.

    Rational weights come back as they are if the exponents are equal wherever they are positive.
    """
    if is_exact(weights) or is_exact(exponents):
        exponents = _shift_rationals(weights, np.asarray(exponents, dtype=object))
        tilted = weights * exp(exponents)
    else:
        used = np.where(weights > 0, exponents, -np.inf)
        tilted = weights * np.exp(used - used.max(axis=-1, keepdims=True))
    return np.asarray(tilted / tilted.sum(axis=-1, keepdims=True))


def _shift_rationals(weights: Array, exponents: Array) -> Array:
    """Subtract the exponent of the first weight that is not zero, row by row, if it is rational."""
    weights, exponents = np.broadcast_arrays(weights, exponents)
    shifted = exponents.copy()
    for row in np.ndindex(*exponents.shape[:-1]):
        first = next((e for w, e in zip(weights[row], exponents[row], strict=True) if w != 0), 0)
        if isinstance(first, fmpq | int):
            shifted[row] = exponents[row] - first
    return shifted


# Order


def largest(array: Array, axis: int | tuple[int, ...] = -1, *, keepdims: bool = False) -> Array:
    """Maximum along axes; balls enclose it, whichever entry attains it."""
    if not is_exact(array):
        return np.asarray(array.max(axis=axis, keepdims=keepdims))
    return _reduce(_larger, array, axis, keepdims)


def smallest(array: Array, axis: int | tuple[int, ...] = -1, *, keepdims: bool = False) -> Array:
    """Minimum along axes; balls enclose it, whichever entry attains it."""
    if not is_exact(array):
        return np.asarray(array.min(axis=axis, keepdims=keepdims))
    return _reduce(_smaller, array, axis, keepdims)


def maximum(left: Array, right: Any) -> Array:
    """Elementwise maximum; balls enclose it."""
    if not (is_exact(left) or is_exact(right)):
        return np.maximum(left, right)
    return np.asarray(np.frompyfunc(_larger, 2, 1)(left, right), dtype=object)


def _larger(x: Any, y: Any) -> Any:
    if isinstance(x, Ball):
        return x.maximum(y)
    if isinstance(y, Ball):
        return y.maximum(x)
    if isinstance(x, sympy.Basic) or isinstance(y, sympy.Basic):
        return sympy.Max(x, y)
    return max(x, y)


def _smaller(x: Any, y: Any) -> Any:
    if isinstance(x, Ball):
        return x.minimum(y)
    if isinstance(y, Ball):
        return y.minimum(x)
    if isinstance(x, sympy.Basic) or isinstance(y, sympy.Basic):
        return sympy.Min(x, y)
    return min(x, y)


def _reduce(
    pick: Callable[[Any, Any], Any],
    array: Array,
    axis: int | tuple[int, ...],
    keepdims: bool,
) -> Array:
    axes = sorted(a % array.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    kept = [a for a in range(array.ndim) if a not in axes]
    rows = np.transpose(array, kept + axes).reshape([array.shape[a] for a in kept] + [-1])
    result = np.empty(rows.shape[:-1], dtype=object)
    for index in np.ndindex(*result.shape):
        result[index] = reduce(pick, rows[index])
    return np.expand_dims(result, tuple(axes)) if keepdims else result[()]


def argmax(array: Array) -> Array:
    """Index of a largest entry of the last axis; of balls, of the one with the largest lower end.

    For balls that is a choice and no decision: what follows from it must not rely on its being
    the largest.
    """
    if _has_balls(array):
        array = _each(lambda x: Ball(x).lower, array)
    return np.asarray(array.argmax(axis=-1))


def largest_entries(table: Array, tolerance: float) -> Array:
    """Say which entries of a table (..., A) are largest, ties included: (..., A) of bool.

    Parameters
    ----------
    table : ndarray (..., A)
    tolerance : float
        How far below the largest a tied entry may be; exact entries tie only if they are equal.

    Raises
    ------
    UndecidedError
        If balls overlap, so that it is not certain which is largest.
    """
    if not is_exact(table):
        return np.asarray(table >= table.max(axis=-1, keepdims=True) - tolerance)
    differences = table[..., :, None] - table[..., None, :]
    beaten = certainly_negative(differences).any(axis=-1)
    open_pairs = ~beaten[..., :, None] & ~np.eye(table.shape[-1], dtype=bool)
    for index in np.argwhere(open_pairs):
        if not differences[tuple(index)] >= 0:  # raises if it cannot be decided
            beaten[tuple(index[:-1])] = True
    return ~beaten


def union(left: Array, right: Array) -> Array:
    """Enclose two numbers, entry by entry; equal rationals stay as they are."""
    return np.asarray(np.frompyfunc(_union, 2, 1)(left, right), dtype=object)


def _union(x: Any, y: Any) -> Any:
    if isinstance(x, Ball) or isinstance(y, Ball):
        return Ball(x).union(y)
    return x if x == y else Ball(x).union(y)


def _has_balls(array: Array) -> bool:
    return is_exact(array) and any(isinstance(entry, Ball) for entry in array.flat)


def sort(array: Array) -> Array:
    """Sort the last axis upwards.

    Of balls, the k-th place encloses the k-th smallest number: it lies between the k-th smallest
    lower end and the k-th smallest upper end.
    """
    if not _has_balls(array):
        return np.sort(array, axis=-1)
    lower = np.sort(_each(lambda x: Ball(x).lower, array), axis=-1)
    upper = np.sort(_each(lambda x: Ball(x).upper, array), axis=-1)
    both = np.frompyfunc(lambda low, high: Ball(low).union(high), 2, 1)
    return np.asarray(both(lower, upper), dtype=object)


# Linear systems


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
            solved = fmpq_mat(*matrix.shape, list(matrix.flat)).solve(
                fmpq_mat(*right.shape, list(right.flat))
            )
            return np.array(solved.entries(), dtype=object).reshape(right.shape)
        if all(isinstance(entry, Ball | fmpq | int) for entry in entries):
            balls = [[Ball(entry).arb for entry in part.flat] for part in (matrix, right)]
            solved = arb_mat(*matrix.shape, balls[0]).solve(arb_mat(*right.shape, balls[1]))
            return _each(Ball, np.array(solved.entries(), dtype=object)).reshape(right.shape)
    except ZeroDivisionError as error:
        shape = f"{len(matrix)}x{len(matrix)}"
        raise NotConvergedError(f"an exact {shape} linear system is singular") from error
    return _eliminate(matrix, right)


def _eliminate(matrix: Array, right: Array) -> Array:
    """Gauss-Jordan elimination for entries of any kind; any non-zero pivot will do."""
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


# Derivatives without differences

#: Displacement of a complex step: its square is lost beside 1, so no digit of a slope is.
_COMPLEX_STEP = 1e-30


def infinitesimal(like: Array) -> Any:
    """Return h with h² = 0: a dual number for exact entries, a complex step for floats."""
    return Dual(fmpq(0), fmpq(1)) if is_exact(like) else _COMPLEX_STEP * 1j


def derivative(array: Array) -> Array:
    """Coefficient of `infinitesimal` in what was computed with it."""
    if is_exact(array):
        return _each(lambda x: x.slope if isinstance(x, Dual) else fmpq(0), array)
    return np.asarray(array.imag / _COMPLEX_STEP)
