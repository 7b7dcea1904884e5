r"""Existence and uniqueness of a zero in a box, proved in ball arithmetic.

For a box X with midpoint y, an invertible matrix Y and an enclosure J(X) of the Jacobian on X let

    K(X) = y - Y f(y) + (I - Y J(X)) (X - y).

If K(X) lies in the interior of X, then f has exactly one zero in X, it lies in K(X), and the
Jacobian is non-singular there.

References
----------
R. Krawczyk, Computing 4 (1969); A. Neumaier, Interval Methods for Systems of Equations, 1990, §5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mpoly

from pmdlib.arithmetic import Array, Ball, precision

#: Bits with which boxes are tested, and with which zeros are enclosed.
TEST_BITS, ENCLOSURE_BITS = 64, 256

#: Half-widths of the boxes that are tried: every success is followed by one twice as wide.
_FIRST_RADIUS, _LAST_RADIUS = 2.0**-30, 0.5

#: Rational zeros are recognised if their denominators are below this; then they are tested.
_LARGEST_DENOMINATOR = 10**6


class System:
    """Polynomials and their derivatives, as many as variables, to be evaluated at balls."""

    def __init__(self, polynomials: Sequence[fmpq_mpoly], variables: Sequence[int]) -> None:
        self.polynomials, self.variables = polynomials, tuple(variables)
        derivatives = [p.derivative(k) for p in polynomials for k in variables]
        self._terms = [_terms(p) for p in polynomials]
        self._slopes = [_terms(p) for p in derivatives]

    @property
    def size(self) -> int:
        """Number of equations and of variables."""
        return len(self.variables)

    def values(self, point: Sequence[arb]) -> arb_mat:
        """Enclose the polynomials at a point or on a box."""
        return arb_mat(self.size, 1, self._evaluate(self._terms, point))

    def jacobian(self, point: Sequence[arb]) -> arb_mat:
        """Enclose the derivatives at a point or on a box."""
        return arb_mat(self.size, self.size, self._evaluate(self._slopes, point))

    def vanishes(self, point: Sequence[fmpq]) -> bool:
        """Say whether a rational point is a zero."""
        return all(sum(_monomials(t, point, self.variables)) == 0 for t in self._terms)

    def _evaluate(self, tables: list[Any], point: Sequence[arb]) -> list[arb]:
        return [sum(_monomials(terms, point, self.variables), start=arb(0)) for terms in tables]


def _terms(polynomial: fmpq_mpoly) -> list[tuple[tuple[int, ...], fmpq]]:
    return [(tuple(map(int, powers)), value) for powers, value in polynomial.to_dict().items()]


def _monomials(terms: Any, point: Sequence[Any], variables: tuple[int, ...]) -> Any:
    for powers, value in terms:
        product = value
        for coordinate, variable in zip(point, variables, strict=True):
            if powers[variable]:
                product = product * coordinate ** powers[variable]
        yield product


@dataclass(frozen=True)
class Certificate:
    """A zero, and a box around it in which there is no other.

    Attributes
    ----------
    zero : tuple of fmpq or Ball
        Rational if it was recognised; else enclosed.
    lower, upper : ndarray (n,)
        Ends of the box; the zero is not singular.
    """

    zero: tuple[Any, ...]
    lower: Array
    upper: Array

    def covers(self, lower: Array, upper: Array) -> Array:
        """Say which boxes (..., n) lie in the box of uniqueness."""
        return np.asarray(((self.lower <= lower) & (upper <= self.upper)).all(axis=-1))

    def is_zero_of(self, other: "Certificate") -> bool:
        """Say whether the zero lies in another's box, so that the two are the same."""
        ends = [(Ball(z).lower, Ball(z).upper) for z in self.zero]
        return all(
            fmpq(*float(low).as_integer_ratio()) <= a and b <= fmpq(*float(up).as_integer_ratio())
            for (a, b), low, up in zip(ends, other.lower, other.upper, strict=True)
        )

    @property
    def inside(self) -> bool | None:
        """Whether the zero lies in the open unit cube; None if the balls do not say."""
        balls = [Ball(z).arb for z in self.zero]
        if all(z > 0 and z < 1 for z in balls):
            return True
        return False if any(z <= 0 or z >= 1 for z in balls) else None


def certify(system: System, start: Array) -> Certificate | None:
    """Prove that there is a zero near ``start`` and enclose it; None if the proof fails.

    Parameters
    ----------
    system : System
    start : ndarray (n,) of float64
        An approximate zero.
    """
    with precision(TEST_BITS):
        radius = _FIRST_RADIUS
        image = _krawczyk(system, start, radius)
        if image is None:
            return None
        while radius < _LAST_RADIUS and _krawczyk(system, start, 2 * radius) is not None:
            radius *= 2
    return Certificate(_enclosure(system, image), start - radius, start + radius)


def _krawczyk(system: System, middle: Array, radius: float) -> list[arb] | None:
    """K(X) for the box of this radius, if it lies in the interior of X.

    The box of balls may be a little larger than its ends in floating point say: they are in it.
    """
    box = [
        arb(float(x)).union(arb(float(low))).union(arb(float(up)))
        for x, low, up in zip(middle, middle - radius, middle + radius, strict=True)
    ]
    return _contraction(system, [arb(float(x)) for x in middle], box)


def _contraction(system: System, middle: list[arb], box: list[arb]) -> list[arb] | None:
    size = system.size
    try:
        inverse = _midpoints(system.jacobian(middle)).inv()
    except ZeroDivisionError:
        return None
    inverse = _midpoints(inverse)
    identity = arb_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])
    offsets = arb_mat(size, 1, [x - y for x, y in zip(box, middle, strict=True)])
    step = (identity - inverse * system.jacobian(box)) * offsets - inverse * system.values(middle)
    image = [y + step[k, 0] for k, y in enumerate(middle)]
    inside = all(x.contains_interior(k) for x, k in zip(box, image, strict=True))
    return image if inside else None


def _midpoints(matrix: arb_mat) -> arb_mat:
    return arb_mat(matrix.nrows(), matrix.ncols(), [entry.mid() for entry in matrix.entries()])


def _enclosure(system: System, box: list[arb]) -> tuple[Any, ...]:
    """Recognise the zero in a box if it is rational and simple, else shrink balls around it."""
    with precision(ENCLOSURE_BITS):
        for _ in range(8):
            smaller = _contraction(system, [x.mid() for x in box], box)
            if smaller is None:
                break
            box = smaller
    guess = []
    for x in box:
        near = Fraction(*_ratio(x)).limit_denominator(_LARGEST_DENOMINATOR)
        guess.append(fmpq(near.numerator, near.denominator))
    if all(x.contains(q) for x, q in zip(box, guess, strict=True)) and system.vanishes(guess):
        return tuple(guess)
    return tuple(Ball(x) for x in box)


def _ratio(x: arb) -> tuple[int, int]:
    middle = Ball(x.mid()).lower
    return int(middle.numerator), int(middle.denominator)
