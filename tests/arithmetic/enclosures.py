"""What tests of enclosures share: random balls with a point inside, and the truth at 60 digits."""

from fractions import Fraction

import mpmath
import numpy as np
from flint import arb, fmpq
from hypothesis import strategies as st

from pmdlib.arithmetic import Ball, precision

#: Digits of the truth, and how far rounding of the truth itself may move it.
DIGITS, TRUTH_ERROR = 60, mpmath.mpf(10) ** -50


def rational(x):
    """A fraction as flint's rational."""
    return fmpq(x.numerator, x.denominator)


def fraction(x):
    """Flint's rational as a fraction."""
    return Fraction(int(x.numerator), int(x.denominator))


def objects(*entries):
    """An array of exact entries of any kind."""
    table = np.empty(len(entries), dtype=object)
    table[:] = entries
    return table


def as_mpf(x):
    """A rational (an end of an enclosure) at the working digits."""
    return mpmath.mpf(int(x.numerator)) / mpmath.mpf(int(x.denominator))


def contains(ball, value):
    """Whether a ball (or a rational) contains a rational, or the truth at `DIGITS` digits."""
    with precision(400):  # the ends as they are, not rounded outwards
        low, high = Ball(ball).lower, Ball(ball).upper
    if isinstance(value, mpmath.mpf):
        slack = TRUTH_ERROR * (1 + abs(value))
        return as_mpf(low) - slack <= value <= as_mpf(high) + slack
    return low <= (rational(value) if isinstance(value, Fraction) else value) <= high


small = st.fractions(-5, 5, max_denominator=40)
positive = st.fractions(Fraction(1, 40), 5, max_denominator=40)
radii = st.sampled_from([Fraction(0), Fraction(1, 2**40), Fraction(1, 7), Fraction(2)])
parts = st.fractions(-1, 1, max_denominator=9)


def around(centre, radius):
    """The ball of a centre and a radius, both rational."""
    ball = Ball(rational(centre))
    return Ball(ball.arb + arb(0, float(radius))) if radius else ball


@st.composite
def inside(draw, centres=small):
    """A ball, and a point of it: a fraction."""
    centre, radius = draw(centres), draw(radii)
    return around(centre, radius), centre + draw(parts) * radius
