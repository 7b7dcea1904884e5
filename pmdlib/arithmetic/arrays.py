"""The few operations whose code depends on the kind of number.

Games, policies, values and claims are plain array code. On float64 (or complex) arrays it runs on
BLAS and LAPACK; on object arrays the same lines compute with what the entries are:

- exact rationals (``flint.fmpq``): equalities and inequalities of rationals are decided;
- balls (`pmdlib.arithmetic.Ball`): enclosures; a comparison is certain or raises;
- symbols (SymPy expressions): identities for all games of a shape;
- recorded numbers (`pmdlib.arithmetic.recording`): the operations themselves, to be compiled.

``+ - * / @`` and comparisons dispatch on the entries. What is left lives in this package:
conversions and checks here, then `functions` (a rational stays one where it can, and becomes a ball
where a value is irrational), `order` and `linear`.
"""

from collections.abc import Callable
from decimal import Decimal
from numbers import Rational
from typing import Any

import numpy as np
import sympy
from flint import fmpq, fmpz
from numpy.typing import NDArray

from pmdlib.arithmetic.balls import Ball
from pmdlib.arithmetic.recording import is_recorded

Array = NDArray[Any]

#: Unit round-off of float64: the relative error of one rounded operation.
UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2


#: Kinds of a machine number by itself; named here, for `is_exact` is asked in every iteration.
_MACHINE = (int, float, complex, np.generic)


def is_exact(array: Any) -> bool:
    """Say whether the entries are Python objects (no rounding) rather than machine numbers."""
    if isinstance(array, np.ndarray):
        objects: bool = array.dtype.hasobject
        return objects
    return not isinstance(array, _MACHINE)  # a number by itself


def rounds(array: Any) -> bool:
    """Say whether the entries are machine numbers, known or (recorded) not known yet."""
    return not is_exact(array) or is_recorded(array)


def unit_roundoff(like: Any) -> float:
    """Relative error of one operation in the arithmetic of ``like``: 0 unless it rounds."""
    return 0 if is_exact(like) else UNIT_ROUNDOFF


def each(function: Callable[[Any], Any], array: Any) -> Array:
    """Apply a function to every entry of an object array, or to one object."""
    source = np.asarray(array, dtype=object)
    result = np.empty(source.shape, dtype=object)
    result.reshape(-1)[:] = [function(entry) for entry in source.flat]
    entries: Array = result[()]  # one object, if there are no axes
    return entries


# From one arithmetic to another


def to_exact(array: Any) -> Any:
    """Convert numbers to the exact rationals that they are.

    Parameters
    ----------
    array : ndarray of float64, any shape, or one number
        Finite numbers. A float is a dyadic rational, so nothing is rounded.

    Returns
    -------
    ndarray of object (flint.fmpq), the same shape. Of exact arrays, integers, fractions and SymPy
    rationals become flint.fmpq too; balls and symbols pass unchanged.
    """
    return each(_to_rational, np.asarray(array).astype(object))


def _to_rational(entry: Any) -> Any:
    if isinstance(entry, fmpq):
        return entry
    if isinstance(entry, fmpz):
        return fmpq(entry)
    if isinstance(entry, float | Decimal):  # NumPy's floats too
        return fmpq(*entry.as_integer_ratio())
    if isinstance(entry, Rational):  # integers, fractions, SymPy's rationals
        return fmpq(int(entry.numerator), int(entry.denominator))
    return entry


def exact_rows(rows: Array) -> Array:
    """Convert distributions (..., A) to rationals, scaled so that each sums to exactly 1."""
    exact = to_exact(rows)
    return np.asarray(exact / exact.sum(axis=-1, keepdims=True))


def rationals(numerators: Array, denominators: Array) -> Array:
    """Divide integer arrays exactly; the result holds flint.fmpq entries.

    ``numerators`` and ``denominators`` have the same shape.
    """
    exact = np.empty(numerators.shape, dtype=object)
    exact.reshape(-1)[:] = [
        fmpq(int(p), int(q)) for p, q in zip(numerators.flat, denominators.flat, strict=True)
    ]
    return exact


def enclose(array: Any) -> Array:
    """Turn exact entries into balls at the working precision; machine numbers pass unchanged.

    What follows stays of bounded size, where exact rationals would grow with every step of a run.
    """
    return each(Ball, array) if is_exact(array) else array


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
    return np.asarray(each(_is_infinite, table), dtype=bool)


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
    return np.asarray(each(_is_negative, table), dtype=bool)


def _is_negative(entry: Any) -> bool:
    if isinstance(entry, Ball):
        return bool(entry.arb < 0)
    if isinstance(entry, sympy.Basic):
        return sympy.cancel(entry).is_negative is True
    return bool(entry < 0)
