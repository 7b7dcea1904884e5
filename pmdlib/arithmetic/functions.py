"""Exponentials, logarithms, roots and derivatives in every arithmetic."""

from typing import Any

import numpy as np
import sympy
from flint import fmpq

from pmdlib.arithmetic.arrays import Array, each, is_exact, rounds
from pmdlib.arithmetic.balls import Ball
from pmdlib.arithmetic.duals import Dual
from pmdlib.arithmetic.order import largest
from pmdlib.arithmetic.recording import Recorded


def exp(array: Any) -> Array:
    """e^x; exactly 1 at an exact 0."""
    return each(_exp, array) if is_exact(array) else np.exp(array)


def _exp(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.exp(x)
    if isinstance(x, Ball | Recorded):
        return x.exp()
    return fmpq(1) if x == 0 else Ball(x).exp()


def log(array: Any) -> Array:
    """Natural logarithm; exactly 0 at an exact 1, -infinity at 0 without a warning."""
    if is_exact(array):
        return each(_log, array)
    with np.errstate(divide="ignore"):
        logs: Array = np.log(array)
    return logs


def _log(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.log(x)
    if isinstance(x, Ball | Recorded):
        return x.log()
    return fmpq(0) if x == 1 else Ball(x).log()


def sqrt(value: Any, like: Any = None) -> Any:
    """Square root in the arithmetic of ``like``, by default that of the value itself.

    Exact for squares of rationals, else enclosed in a ball.
    """
    if not is_exact(value if like is None else like):
        return np.sqrt(value)
    return each(_sqrt, value)


def _sqrt(x: Any) -> Any:
    if isinstance(x, sympy.Basic):
        return sympy.sqrt(x)
    if isinstance(x, Ball | Recorded):
        return x.sqrt()
    exact = fmpq(int(x)) if isinstance(x, int | np.integer) else x
    top, bottom = exact.numerator.isqrt(), exact.denominator.isqrt()
    root = fmpq(top, bottom)
    return root if root * root == exact else Ball(exact).sqrt()


def log_normalise(logs: Array) -> Array:
    """Shift logarithms (..., A) so that their exponentials sum to one."""
    if is_exact(logs):
        if rounds(logs):  # else nothing can overflow
            logs = logs - largest(logs, keepdims=True)
        return np.asarray(logs - log(exp(logs).sum(axis=-1, keepdims=True)))
    logs = logs - logs.max(axis=-1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=-1, keepdims=True))
    return logs


def tilt(weights: Array, exponents: Array) -> Array:
    """Σ-normalise weights·e^exponents over the last axis, (..., A); zero weights stay zero.

    Rational weights come back as they are if the exponents are equal wherever they are positive.
    """
    if is_exact(weights) or is_exact(exponents):
        exponents = _shift_rationals(weights, np.asarray(exponents, dtype=object))
        tilted = weights * exp(exponents)
    else:
        used = np.where(weights > 0, exponents, -np.inf)
        with np.errstate(over="ignore"):  # what is too far below the largest is -infinity
            tilted = weights * np.exp(used - used.max(axis=-1, keepdims=True))
    return np.asarray(tilted / tilted.sum(axis=-1, keepdims=True))


def _shift_rationals(weights: Array, exponents: Array) -> Array:
    """Subtract the exponent of the first weight that is not zero, row by row, if it is rational.

    Exponents of rational zeros do not matter: they become 0, so that no ball comes of them.
    """
    weights, exponents = np.broadcast_arrays(weights, exponents)
    shifted = exponents.copy()
    for row in np.ndindex(*exponents.shape[:-1]):
        used = np.array([not isinstance(w, fmpq | int) or bool(w) for w in weights[row]])
        first = next(iter(exponents[row][used]), 0)
        if isinstance(first, fmpq | int):
            shifted[row] = exponents[row] - first
        shifted[row][~used] = 0
    return shifted


# Derivatives without differences

#: Displacement of a complex step: its square is lost beside 1, so no digit of a slope is.
_COMPLEX_STEP = 1e-30


def infinitesimal(like: Array) -> Any:
    """Return h with h² = 0: a dual number for exact entries, a complex step for floats."""
    return Dual(fmpq(0), fmpq(1)) if is_exact(like) else _COMPLEX_STEP * 1j


def derivative(array: Array) -> Array:
    """Coefficient of `infinitesimal` in what was computed with it."""
    if is_exact(array):
        return each(lambda x: x.slope if isinstance(x, Dual) else fmpq(0), array)
    return np.asarray(array.imag / _COMPLEX_STEP)
