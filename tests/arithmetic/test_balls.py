"""Balls: every operation contains the truth; a comparison is certain or raises."""

import math
import operator
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from arithmetic.enclosures import DIGITS, contains, inside, objects, positive, rational, small
from flint import arb, fmpq, fmpz
from hypothesis import given
from hypothesis import strategies as st

from pmdlib.arithmetic import Ball, UndecidedError, precision, working_bits
from pmdlib.errors import PmdError

WIDE, NAN, INFINITE = Ball(arb(0, 1)), Ball(arb("nan")), Ball(arb("inf"))
OPERATIONS = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


# What a ball is made of


def test_a_third_lies_strictly_between_its_ends_and_a_half_is_its_own():
    third = Ball(fmpq(1, 3))
    assert third.lower < fmpq(1, 3) < third.upper
    assert 0 < third.width < 2**-50
    half = Ball(fmpq(1, 2))
    assert half.lower == half.upper == fmpq(1, 2)
    assert half.width == 0
    assert float(half) == 0.5
    assert repr(half).startswith("0.5")


@pytest.mark.parametrize(
    "value", [3, fmpz(3), fmpq(3), arb(3), Ball(3), np.int64(3), np.uint8(3)], ids=type
)
def test_exact_numbers_are_taken(value):
    assert Ball(value).lower == Ball(value).upper == 3


@pytest.mark.parametrize(
    "value",
    [0.5, np.float64(0.5), np.float32(0.5), 1j, "1", None, Fraction(1, 2), math.nan],
    ids=repr,
)
def test_all_else_is_refused(value):
    with pytest.raises(TypeError, match="it is no exact number"):
        Ball(value)


@pytest.mark.parametrize("number", [0.5, np.float64(0.5), np.float32(0.5)], ids=repr)
@pytest.mark.parametrize("operation", [*OPERATIONS, *COMPARISONS.values(), operator.pow])
def test_no_operation_takes_a_float(operation, number):
    for left, right in ((Ball(1), number), (number, Ball(1))):
        with pytest.raises(TypeError):
            operation(left, right)
    for left, right in ((objects(Ball(1)), number), (objects(Ball(1)), np.array([number]))):
        with pytest.raises(TypeError):
            operation(left, right)


def test_the_precision_is_set_for_a_block_also_when_it_fails():
    before = working_bits()
    widths = {}
    for bits in (64, 256):
        with precision(bits):
            assert working_bits() == bits
            widths[bits] = Ball(fmpq(1, 3)).width
    assert 0 < widths[256] < 1e-40 < widths[64] < 1e-15
    with pytest.raises(ZeroDivisionError), precision(99):
        raise ZeroDivisionError
    assert working_bits() == before


def test_no_ends_where_nothing_is_known():
    for ball in (NAN, INFINITE):
        for end in ("lower", "upper"):
            with pytest.raises(UndecidedError, match="no finite end"):
                getattr(ball, end)
    assert issubclass(UndecidedError, PmdError)


# Containment


@given(inside(), inside())
def test_arithmetic_contains_that_of_points(left, right):
    (x, p), (y, q) = left, right
    for operation in OPERATIONS[:3]:
        assert contains(operation(x, y), operation(p, q))
        assert contains(operation(x, rational(q)), operation(p, q))
        assert contains(operation(rational(p), y), operation(p, q))
    if q:
        quotient = x / y
        assert not quotient.arb.is_finite() or contains(quotient, p / q)
    assert contains(-x, -p)
    assert contains(+x, p)
    assert contains(abs(x), abs(p))
    assert contains(3 - x, 3 - p)
    assert contains(fmpz(2) * x, 2 * p)
    assert contains(np.int64(2) + x, 2 + p)


@given(inside(), inside(positive))
def test_division_contains_that_of_points(left, right):
    (x, p), (y, q) = left, right
    divisor = Ball(y.maximum(rational(Fraction(1, 40))))
    assert contains(x / divisor, p / max(q, Fraction(1, 40)))
    assert contains(1 / divisor, 1 / max(q, Fraction(1, 40)))


@given(inside(), st.integers(0, 6))
def test_powers_contain_those_of_points_about_zero_too(pair, exponent):
    x, p = pair
    assert contains(x**exponent, p**exponent)
    assert (x**exponent).arb.is_finite()


def test_powers_by_hand():
    assert (WIDE**3).lower >= -fmpq(11, 10)
    assert (WIDE**0).lower == (WIDE**0).upper == 1
    assert Ball(2) ** -3 == fmpq(1, 8)
    assert not (WIDE**-1).arb.is_finite()
    for exponent in (fmpq(1, 2), fmpq(2), 0.5, Ball(2)):
        with pytest.raises(TypeError):
            Ball(4) ** exponent


@given(inside(), inside(positive))
def test_functions_contain_the_truth_at_sixty_digits(left, right):
    (x, p), (y, q) = left, right
    with mpmath.workdps(DIGITS):
        p_, q_ = (mpmath.mpf(z.numerator) / z.denominator for z in (p, q))
        for bits in (53, 150):
            with precision(bits):
                assert contains(x.exp(), mpmath.exp(p_))
                for function, truth in ((Ball.log, mpmath.log), (Ball.sqrt, mpmath.sqrt)):
                    result = function(y)
                    if y.arb > 0:
                        assert contains(result, truth(q_))
                    else:  # the ball reaches below zero
                        assert not result.arb.is_finite()


def test_functions_at_exact_points():
    assert Ball(0).exp() == 1
    assert Ball(1).log() == 0
    assert Ball(0).log() < -(10**9)
    assert Ball(4).sqrt() == 2
    assert not Ball(-1).sqrt().arb.is_finite()
    assert Ball(10**4).exp() > 10**4342  # e^10000 = 8.8e4342: no overflow
    assert 0 < Ball(-(10**4)).exp() < fmpq(1, 10**4342)


@given(inside(), inside())
def test_maximum_minimum_and_union_contain_what_they_say(left, right):
    (x, p), (y, q) = left, right
    assert contains(x.maximum(y), max(p, q))
    assert contains(x.minimum(y), min(p, q))
    assert contains(x.maximum(rational(q)), max(p, q))
    assert contains(x.union(y), p)
    assert contains(x.union(y), q)
    assert x.union(y).overlaps(x)
    assert x.overlaps(rational(p))


def test_maximum_and_minimum_do_not_decide():
    both = WIDE.maximum(0)
    assert both.lower >= -fmpq(1, 10**6)
    assert both.upper >= 1
    assert WIDE.minimum(0).upper <= fmpq(1, 10**6)
    assert Ball(2).maximum(3) == 3
    assert Ball(2).minimum(3) == 2


# Comparisons


@given(inside(), inside())
def test_a_comparison_that_answers_is_right_for_every_point(left, right):
    (x, p), (y, q) = left, right
    for operation in COMPARISONS.values():
        try:
            answer = operation(x, y)
        except UndecidedError:
            assert x.overlaps(y)
            assert x.width or y.width
        else:
            assert answer is operation(p, q)


@given(small, small)
def test_exact_balls_are_always_decided(p, q):
    # Multiples of a power of two have no rounding.
    p, q = (Fraction(round(z * 1024), 1024) for z in (p, q))
    for operation in COMPARISONS.values():
        assert operation(Ball(rational(p)), Ball(rational(q))) is operation(p, q)
        assert operation(Ball(rational(p)), rational(q)) is operation(p, q)
        assert operation(rational(p), Ball(rational(q))) is operation(p, q)


def interval(low, high):
    """The ball from low to high, both small multiples of ½: no rounding."""
    ball = Ball(low).union(Ball(high))
    return ball if low != high else Ball(low)


@pytest.mark.parametrize("sign", COMPARISONS)
def test_overlap_raises_whatever_is_asked(sign):
    # [0, 2] and [1, 3]; [0, 1] and the number 1 inside or at its end; a ball and itself.
    third = Ball(fmpq(1, 3))
    for left, right in ((interval(0, 2), interval(1, 3)), (interval(0, 2), 1), (third, third)):
        with pytest.raises(UndecidedError, match="cannot be decided at 53 bits"):
            COMPARISONS[sign](left, right)


def test_touching_balls_decide_only_what_their_common_end_allows():
    """Two balls that share one number: <= is certain, < and == are not."""
    low = interval(0, 1)
    high = low + (low.upper - low.lower)  # dyadic: no rounding
    assert low.upper == high.lower
    for left, right in ((low, high), (low.lower, low), (low, low.upper)):
        assert left <= right
        assert right >= left
        for sign in ("<", ">=", "==", "!="):
            with pytest.raises(UndecidedError):
                COMPARISONS[sign](left, right)
    assert Ball(1) <= Ball(1)
    assert not Ball(1) < Ball(1)
    assert interval(1, 2) > fmpq(99, 100)
    assert interval(1, 2) != 3
    assert interval(1, 2) != 3


@pytest.mark.parametrize("sign", COMPARISONS)
def test_nothing_is_known_of_nan(sign):
    for other in (0, NAN, INFINITE):
        with pytest.raises(UndecidedError):
            COMPARISONS[sign](NAN, other)


def test_infinity_is_larger_than_every_number():
    assert INFINITE > 10**400
    assert not INFINITE <= 0
    assert -INFINITE < 0
    assert INFINITE != 0


def test_truth_is_certain_or_raises():
    assert Ball(2)
    assert not Ball(0)
    with pytest.raises(UndecidedError):
        bool(WIDE)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ball(1))


# In object arrays


UNDECIDABLE = {
    "sort": np.sort,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "flatnonzero": np.flatnonzero,
    "maximum": lambda table: np.maximum(table, 0),
    "where": lambda table: np.where(table > 0, 1, 0),
    "equal": lambda table: table == 0,
    "unique": np.unique,
    "clip": lambda table: np.clip(table, 0, 1),
    "array_equal": lambda table: np.array_equal(table, np.roll(table, 1)),
}


@pytest.mark.parametrize("name", UNDECIDABLE)
def test_numpy_does_not_decide_what_cannot_be_decided(name):
    with pytest.raises(UndecidedError):
        UNDECIDABLE[name](objects(Ball(1), WIDE, Ball(0)))


def test_numpy_computes_with_balls_entry_by_entry():
    table = objects(Ball(1), Ball(fmpq(1, 3)), Ball(-2))
    assert contains(table.sum(), Fraction(-2, 3))
    assert contains(table @ table, 5 + Fraction(1, 9))
    assert np.sort(table)[0] == -2
    assert np.max(table) == 1
    assert (abs(table)[2], (table**2)[2], (-table)[2]) == (2, 4, 2)
    assert contains(np.cumsum(table)[1], Fraction(4, 3))
    assert np.where(table > 0, table, 0)[2] == 0
    assert contains((np.array([1, 2, 3]) * table)[1], Fraction(2, 3))
    assert contains(np.float64(0).astype(int) + table[1], Fraction(1, 3))


def test_argmax_of_numpy_is_no_safe_decision():
    """It stops at the error but may not say which: the library has its own `argmax`."""
    with pytest.raises((UndecidedError, SystemError)):
        np.argmax(objects(Ball(1), WIDE, Ball(fmpq(1, 2)), WIDE))
