"""Intervals with exact rational ends, and the remainders of the exponential series on them.

The product of two balls forgets that an end was exactly zero; that of two intervals does not:
[0, h] · [1, 2] begins at 0. An inequality with equality on an edge of its range needs that.
The functions below also take SymPy expressions, so that a formula written once can be evaluated
on intervals and compared symbolically with another.
"""

from collections.abc import Callable
from functools import lru_cache
from math import factorial
from typing import Any

import sympy
from flint import arb, arb_poly, fmpq

from pmdlib.arithmetic.balls import Ball, UndecidedError, working_bits


class Interval:
    """All real numbers from ``lower`` to ``upper``.

    Parameters
    ----------
    lower : int or flint.fmpq
    upper : int or flint.fmpq, optional
        ``lower`` by default: a single point.

    Raises
    ------
    TypeError
        For an end that is no exact number.
    ValueError
        If the ends are in the wrong order.
    """

    __slots__ = ("lower", "upper")

    def __init__(self, lower: Any, upper: Any = None) -> None:
        upper = lower if upper is None else upper
        for end in (lower, upper):
            if not isinstance(end, int | fmpq):
                raise TypeError(f"an interval cannot end at {end!r}: it is no exact number")
        if lower > upper:
            raise ValueError(f"interval [{lower}, {upper}]: lower must not exceed upper")
        self.lower, self.upper = fmpq(lower), fmpq(upper)

    @property
    def width(self) -> fmpq:
        """Distance of the two ends."""
        return self.upper - self.lower

    @property
    def middle(self) -> fmpq:
        """The point half-way between the ends."""
        return (self.lower + self.upper) / 2

    def halves(self) -> tuple["Interval", "Interval"]:
        """Cut at the middle; the two parts share that point only."""
        return Interval(self.lower, self.middle), Interval(self.middle, self.upper)

    def ball(self) -> Ball:
        """Enclose the interval in a ball, rounded outwards."""
        return Ball(self.lower).union(Ball(self.upper))

    def __add__(self, other: Any) -> "Interval":
        other = _interval(other)
        return Interval(self.lower + other.lower, self.upper + other.upper)

    def __neg__(self) -> "Interval":
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: Any) -> "Interval":
        return self + -_interval(other)

    def __rsub__(self, other: Any) -> "Interval":
        return _interval(other) - self

    def __mul__(self, other: Any) -> "Interval":
        other = _interval(other)
        products = [x * y for x in (self.lower, self.upper) for y in (other.lower, other.upper)]
        return Interval(min(products), max(products))

    def __truediv__(self, other: Any) -> "Interval":
        other = _interval(other)
        if other.lower <= 0 <= other.upper:
            raise UndecidedError(f"the divisor {other} may be zero")
        return self * Interval(1 / other.upper, 1 / other.lower)

    def __rtruediv__(self, other: Any) -> "Interval":
        return _interval(other) / self

    def __pow__(self, exponent: int) -> "Interval":
        if exponent < 1:
            return Interval(1) / self**-exponent if exponent else Interval(1)
        ends = self.lower**exponent, self.upper**exponent
        through_zero = exponent % 2 == 0 and self.lower < 0 < self.upper
        return Interval(0 if through_zero else min(ends), max(ends))

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        return f"[{self.lower}, {self.upper}]"


def _interval(value: Any) -> Interval:
    return value if isinstance(value, Interval) else Interval(value)


def _image(function: Callable[[Ball], Ball], x: Interval) -> Interval:
    image = function(x.ball())
    return Interval(image.lower, image.upper)


def exp(x: Any) -> Any:
    """e^x of an interval or a SymPy expression."""
    return sympy.exp(x) if isinstance(x, sympy.Basic) else _image(Ball.exp, x)


def log(x: Any) -> Any:
    """Logarithm of an interval or a SymPy expression.

    Raises
    ------
    UndecidedError
        If the interval contains numbers that are not positive.
    """
    if isinstance(x, sympy.Basic):
        return sympy.log(x)
    if x.lower <= 0:
        raise UndecidedError(f"the logarithm of {x} may be undefined")
    return _image(Ball.log, x)


def remainder(order: int, x: Any) -> Any:
    """Scaled remainder of the exponential series, E_k(x) = Σ_{j>=0} x^j / (j+k)!.

    e^x = Σ_{j<k} x^j/j! + x^k E_k(x), so that E_0 = exp, E_k = 1/k! + x E_{k+1}, and
    E_k' = E_k - k E_{k+1}. On an interval the series is cut after n terms. What is left is at most
    |x|^n e^|x| / (n+k)! in size, because (j+m)! >= j! m!, and is added as a radius.

    Parameters
    ----------
    order : int
        k >= 0. Exponential integrators call these φ_k.
    x : Interval or SymPy expression
        Zero is an ordinary point of an interval; a symbol gives the quotient
        (e^x - Σ_{j<k} x^j/j!) / x^k.

    Returns
    -------
    Interval that contains E_k of every point of ``x``, or SymPy expression
    """
    if isinstance(x, sympy.Basic):
        head = sum((x**j / sympy.factorial(j) for j in range(order)), sympy.S.Zero)
        return (sympy.exp(x) - head) / x**order
    terms = working_bits()  # one a bit: more than small x needs, and the tail is bounded anyway
    reach = Ball(max(abs(x.lower), abs(x.upper)))
    tail = (reach**terms * reach.exp() / factorial(terms + order)).upper
    head = Ball(_head(order, terms)(x.ball().arb))
    return Interval(head.lower - tail, head.upper + tail)


@lru_cache
def _head(order: int, terms: int) -> arb_poly:
    """Σ_{j<n} x^j / (j+k)!, the coefficients enclosed at n bits, the working precision."""
    return arb_poly([arb(fmpq(1, factorial(j + order))) for j in range(terms)])
