"""From one arithmetic to another: nothing is rounded on the way in, checks see every kind."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from arithmetic.enclosures import contains, fraction, inside, objects
from flint import arb, fmpq, fmpz
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pmdlib.arithmetic import (
    UNIT_ROUNDOFF,
    Ball,
    certainly_negative,
    enclose,
    is_exact,
    not_finite,
    precision,
    rationals,
    to_exact,
    to_float,
    unit_roundoff,
)

X = sympy.Symbol("x")
ABOUT_ZERO, NAN, INFINITE = Ball(arb(0, 1)), Ball(arb("nan")), Ball(arb("inf"))


def test_unit_roundoff_is_half_the_spacing_at_one():
    assert UNIT_ROUNDOFF == 2.0**-53
    assert 1.0 + UNIT_ROUNDOFF == 1.0
    assert unit_roundoff(np.ones(1)) == UNIT_ROUNDOFF
    assert unit_roundoff(objects(fmpq(1))) == 0


@pytest.mark.parametrize("entry", [fmpq(1, 2), fmpz(3), Ball(1), X], ids=repr)
def test_objects_are_exact_and_machine_numbers_are_not(entry):
    assert is_exact(entry)
    assert is_exact(objects(entry))
    assert not any(map(is_exact, (1, 1.0, 1j, np.float64(1), np.ones(1), np.ones(1, complex))))


# To exact numbers


@given(arrays(np.float64, (2, 3), elements=st.floats(-1e300, 1e300)))
def test_to_exact_rounds_nothing(array):
    exact = to_exact(array)
    assert is_exact(exact)
    assert not is_exact(array)
    assert exact.shape == array.shape
    assert [fraction(x) for x in exact.flat] == [Fraction(float(x)) for x in array.flat]
    assert (to_float(exact) == array).all()


def test_to_exact_knows_that_a_tenth_is_not_a_tenth():
    tenth = to_exact(np.array([0.1]))[0]
    assert tenth == fmpq(3602879701896397, 36028797018963968)
    assert tenth != fmpq(1, 10)


def test_to_exact_takes_numbers_by_themselves_and_integers_beyond_floats():
    assert to_exact(0.75) == fmpq(3, 4)
    assert to_exact(np.float32(0.1)) == fmpq(13421773, 2**27)
    assert to_exact(np.int64(7)) == to_exact(7) == 7
    assert to_exact(np.array([2**60 + 1]))[0] == 2**60 + 1
    assert to_exact(np.array([True, False])).tolist() == [1, 0]
    assert to_exact(np.zeros((0, 3))).shape == (0, 3)
    assert isinstance(to_exact(np.ones(())), fmpq)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_to_exact_refuses_what_is_no_rational(value):
    with pytest.raises((ValueError, OverflowError), match="cannot convert"):
        to_exact(np.array([1.0, value]))


def test_to_exact_leaves_what_is_exact_and_turns_fractions_into_rationals():
    kept = objects(fmpq(1, 3), Ball(1), X)
    assert all(x is y for x, y in zip(to_exact(kept), kept, strict=True))
    turned = to_exact(objects(3, Fraction(1, 3), sympy.Rational(1, 3), 0.5))
    assert turned.tolist() == [3, fmpq(1, 3), fmpq(1, 3), fmpq(1, 2)]
    assert all(isinstance(x, fmpq) for x in turned)


def test_rationals_divide_entry_by_entry():
    table = rationals(np.array([[1, 2], [6, 0]]), np.array([[3, 4], [4, 5]]))
    assert table.tolist() == [[fmpq(1, 3), fmpq(1, 2)], [fmpq(3, 2), fmpq(0)]]


# To balls and back


@given(arrays(np.float64, (4,), elements=st.floats(-1e300, 1e300)))
def test_there_and_back_again(array):
    exact = to_exact(array)
    with precision(53):
        balls = enclose(exact)
        assert all(ball == x for ball, x in zip(balls, exact, strict=True))  # floats have 53 bits
    assert (to_float(balls) == array).all()


def test_enclose_encloses_at_the_working_precision_and_leaves_floats():
    third = fmpq(1, 3)
    for bits in (30, 300):
        with precision(bits):
            ball = enclose(objects(third))[0]
            assert contains(ball, third)
            assert 2.0 ** -(bits + 4) < ball.width < 2.0 ** -(bits - 4)
    floats = np.array([1 / 3])
    assert enclose(floats) is floats
    assert enclose(third).lower < third


def test_to_float_is_correctly_rounded_and_takes_every_kind():
    table = objects(fmpq(1, 3), Ball(2), 3, fmpz(4), sympy.Rational(1, 4))
    assert to_float(table).tolist() == [1 / 3, 2.0, 3.0, 4.0, 0.25]
    assert to_float(table).dtype == np.float64
    large = fmpq(10**400, 3 * 10**399)  # neither part is a float
    assert to_float(large) == 10 / 3
    assert to_float(objects(fmpq(1, 10**400)))[0] == 0
    floats = np.array([0.5])
    assert to_float(floats) is floats
    assert float(to_float(0.5)) == 0.5


# Checks


def test_not_finite_sees_every_kind():
    table = objects(fmpq(1), Ball(1), X, 2, NAN, INFINITE, float("nan"), float("inf"), sympy.oo)
    assert not_finite(table).tolist() == [False] * 4 + [True] * 5
    assert not_finite(np.array([1.0, np.nan, np.inf])).tolist() == [False, True, True]
    with pytest.raises(TypeError):
        not_finite(objects("text"))


def test_certainly_negative_by_hand():
    table = objects(fmpq(-1), fmpq(0), Ball(-1), ABOUT_ZERO, Ball(0), NAN, X, sympy.Integer(-1), -2)
    signs = [True, False, True, False, False, False, False, True, True]
    assert certainly_negative(table).tolist() == signs
    assert certainly_negative(np.array([-1.0, 0.0, np.nan])).tolist() == [True, False, False]


@given(inside())
def test_certainly_negative_is_certain(pair):
    ball, point = pair
    if certainly_negative(objects(ball))[0]:
        assert point < 0
    elif ball.width == 0:
        assert point >= 0
