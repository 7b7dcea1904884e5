"""Maxima, ties and sorting: decided for rationals, enclosed for balls."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import sympy

from pmdlib.arithmetic.arrays import Array, certainly_negative, each, is_exact
from pmdlib.arithmetic.balls import Ball
from pmdlib.arithmetic.recording import Recorded, is_recorded


def largest(array: Array, axis: int | tuple[int, ...] = -1, *, keepdims: bool = False) -> Array:
    """Maximum along axes; balls enclose it, whichever entry attains it.

    ``array`` (..), its ``axis`` or axes (the last by default) and ``keepdims`` are those of NumPy.
    """
    if not is_exact(array):
        entries: Array = array.max(axis=axis, keepdims=keepdims)
        return entries
    return _reduce(_larger, array, axis, keepdims)


def smallest(array: Array, axis: int | tuple[int, ...] = -1, *, keepdims: bool = False) -> Array:
    """Minimum along axes; balls enclose it, whichever entry attains it.

    ``array`` (..), its ``axis`` or axes (the last by default) and ``keepdims`` are those of NumPy.
    """
    if not is_exact(array):
        entries: Array = array.min(axis=axis, keepdims=keepdims)
        return entries
    return _reduce(_smaller, array, axis, keepdims)


def maximum(left: Array, right: Any) -> Array:
    """Elementwise maximum of ``left`` and ``right``, broadcast; balls enclose it."""
    if not (is_exact(left) or is_exact(right)):
        return np.asarray(np.maximum(left, right))
    return np.asarray(np.frompyfunc(_larger, 2, 1)(left, right), dtype=object)


def _larger(x: Any, y: Any) -> Any:
    if isinstance(x, Ball | Recorded):
        return x.maximum(y)
    if isinstance(y, Ball | Recorded):
        return y.maximum(x)
    if isinstance(x, sympy.Basic) or isinstance(y, sympy.Basic):
        return sympy.Max(x, y)
    return max(x, y)


def _smaller(x: Any, y: Any) -> Any:
    if isinstance(x, Ball | Recorded):
        return x.minimum(y)
    if isinstance(y, Ball | Recorded):
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
        array = each(lambda x: Ball(x).lower, array)
    return np.asarray(array.argmax(axis=-1))


def possibly_largest(table: Array) -> Array:
    """Mark entries of an exact table (..., A) that no other exceeds for certain: (..., A)."""
    differences = table[..., :, None] - table[..., None, :]
    return np.asarray(~certainly_negative(differences).any(axis=-1))


def largest_entries(table: Array, tolerance: float) -> Array:
    """Say which entries of a table (..., A) are largest, ties included: (..., A) of bool.

    Parameters
    ----------
    table : ndarray (..., A)
    tolerance : float
        How far below the largest a tied entry may be; exact entries tie only if they are equal.

    Returns
    -------
    ndarray (..., A) of bool

    Raises
    ------
    UndecidedError
        If balls overlap, so that it is not certain which is largest.
    """
    if not is_exact(table):
        return np.asarray(table >= table.max(axis=-1, keepdims=True) - tolerance)
    candidates = possibly_largest(table)
    rivals = candidates[..., :, None] & ~np.eye(table.shape[-1], dtype=bool)
    for *row, entry, rival in np.argwhere(rivals):
        lead = table[(*row, entry)] - table[(*row, rival)]
        if not lead >= 0:  # raises if it cannot be decided, showing how near to a tie it is
            candidates[(*row, entry)] = False
    return candidates


def union(left: Array, right: Array) -> Array:
    """Enclose ``left`` and ``right``, entry by entry; equal rationals stay as they are."""
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
    lower end and the k-th smallest upper end. Recorded numbers go through a sorting network.
    """
    if is_exact(array) and is_recorded(array):
        return _network(array)
    if not _has_balls(array):
        return np.sort(array, axis=-1)
    lower = np.sort(each(lambda x: Ball(x).lower, array), axis=-1)
    upper = np.sort(each(lambda x: Ball(x).upper, array), axis=-1)
    both = np.frompyfunc(lambda low, high: Ball(low).union(high), 2, 1)
    return np.asarray(both(lower, upper), dtype=object)


def _network(array: Array) -> Array:
    """Sort the last axis by exchanges that do not depend on the numbers.

    Batcher's merge exchange: Knuth, The Art of Computer Programming 3, 5.2.2, Algorithm M.
    """
    ordered, size = array.copy(), array.shape[-1]
    top = 1 << max(size - 1, 1).bit_length() - 1  # half the next power of two
    span = top
    while span:
        reach, offset, partner = top, 0, span
        while True:
            first = np.array([i for i in range(size - partner) if i & span == offset], dtype=int)
            low, high = ordered[..., first], ordered[..., first + partner]
            ordered[..., first] = np.frompyfunc(_smaller, 2, 1)(low, high)
            ordered[..., first + partner] = np.frompyfunc(_larger, 2, 1)(low, high)
            if reach == span:
                break
            reach, offset, partner = reach // 2, span, reach - span
        span //= 2
    return ordered
