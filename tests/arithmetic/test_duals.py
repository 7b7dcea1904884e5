"""Derivatives without differences: dual numbers and complex steps against known slopes."""

import operator

import numpy as np
import pytest
import sympy
from arithmetic.enclosures import rational, small
from flint import fmpq
from hypothesis import assume, given

from pmdlib.arithmetic import Ball, derivative, infinitesimal, to_exact, to_float
from pmdlib.arithmetic.duals import Dual


def test_the_infinitesimal_squares_to_zero():
    h = infinitesimal(to_exact(np.ones(1)))
    assert h * h == 0
    assert h != 0
    assert repr(h) == "0 + 1 h"
    step = infinitesimal(np.ones(1))
    assert 1 + step * step == 1


@given(small, small, small, small)
def test_every_operation_has_the_slope_of_its_rule(a, da, b, db):
    x, y = Dual(rational(a), rational(da)), Dual(rational(b), rational(db))
    rules = {
        operator.add: da + db,
        operator.sub: da - db,
        operator.mul: da * b + a * db,
    }
    for operation, slope in rules.items():
        assert operation(x, y) == Dual(rational(operation(a, b)), rational(slope))
    assert -x == Dual(rational(-a), rational(-da))
    assert 2 - x == Dual(rational(2 - a), rational(-da))
    assert 2 + x == x + 2
    assert 3 * x == x * 3
    assume(b)
    assert x / y == Dual(rational(a / b), rational((da * b - a * db) / b**2))
    assert 1 / y == Dual(rational(1 / b), rational(-db / b**2))


def test_equality_asks_for_value_and_slope():
    assert Dual(fmpq(1), fmpq(0)) == 1
    assert Dual(fmpq(1), fmpq(2)) != 1
    assert Dual(fmpq(1), fmpq(2)) == Dual(fmpq(1), fmpq(2))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Dual(1, 0))


@pytest.mark.parametrize(
    ("formula", "slope"),
    [
        (lambda x: x * x * x - 2 * x, lambda x: 3 * x * x - 2),
        (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) / (1 + x * x)),
        (lambda x: (x - 1) / (x + 2), lambda x: 3 / (x + 2) / (x + 2)),
        (lambda x: 0 * x + 5, lambda x: 0 * x),
    ],
    ids=["cubic", "bell", "quotient", "constant"],
)
def test_slopes_in_floats_and_rationals(formula, slope):
    points = np.array([[-0.5, 0.25], [1.5, 3.0]])
    exact = to_exact(points)
    found = derivative(formula(exact + infinitesimal(exact)))
    assert found.shape == (2, 2)
    assert (found == slope(exact)).all()
    np.testing.assert_allclose(
        derivative(formula(points + infinitesimal(points))), slope(points), rtol=1e-14, atol=1e-300
    )
    np.testing.assert_allclose(to_float(found), slope(points), rtol=1e-14)


def test_slopes_over_balls_and_arrays_from_the_left():
    x = Dual(Ball(2), Ball(1))
    product = np.array([Ball(3), Ball(4)], dtype=object) * x
    assert [entry.slope for entry in product] == [3, 4]
    total = np.array([x, x], dtype=object).sum()
    assert (total.value, total.slope) == (4, 2)


def test_what_does_not_depend_on_the_infinitesimal_has_slope_zero():
    assert derivative(to_exact(np.array([1.0, 2.0]))).tolist() == [0, 0]
    assert derivative(np.array([1.0, 2.0])).tolist() == [0, 0]
    mixed = np.array([Dual(fmpq(1), fmpq(3)), fmpq(1)], dtype=object)
    assert derivative(mixed).tolist() == [3, 0]


def test_no_float_comes_in():
    for operation in (operator.add, operator.mul, operator.sub, operator.truediv):
        with pytest.raises(TypeError):
            operation(Dual(fmpq(1), fmpq(1)), 0.5)


def test_a_polynomial_of_symbols_has_the_slope_that_sympy_finds():
    t = sympy.Symbol("t")
    x = Dual(t, sympy.Integer(1))
    found = (x * x * x - 4 * x + 1) / (x * x + 1)
    expected = sympy.diff((t**3 - 4 * t + 1) / (t**2 + 1), t)
    assert sympy.simplify(found.slope - expected) == 0
