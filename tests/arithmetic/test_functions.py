"""Exponentials, logarithms and roots: the truth is enclosed, and exact where it is exact."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from arithmetic.enclosures import DIGITS, as_mpf, contains, objects, positive, rational, small
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from pmdlib.arithmetic import (
    Ball,
    enclose,
    exp,
    is_exact,
    log,
    log_normalise,
    precision,
    rationals,
    sqrt,
    tilt,
    to_float,
)

X = sympy.Symbol("x", positive=True)


def row(*fractions):
    return objects(*map(rational, map(Fraction, fractions)))


# One variable


@given(small, positive)
def test_functions_of_rationals_contain_the_truth(p, q):
    with mpmath.workdps(DIGITS):
        for bits in (53, 150):
            with precision(bits):
                assert contains(exp(rational(p)), mpmath.exp(as_mpf(rational(p))))
                assert contains(log(rational(q)), mpmath.log(as_mpf(rational(q))))
                assert contains(sqrt(rational(q)), mpmath.sqrt(as_mpf(rational(q))))
                assert exp(enclose(rational(p))).overlaps(exp(rational(p)))


def test_exact_values_stay_rational():
    for result, value in ((exp(fmpq(0)), 1), (log(fmpq(1)), 0), (sqrt(fmpq(4, 9)), fmpq(2, 3))):
        assert isinstance(result, fmpq)
        assert result == value
    assert isinstance(exp(fmpq(1)), Ball)
    assert isinstance(log(fmpq(2)), Ball)


@given(positive)
def test_squares_have_rational_roots_and_only_they(q):
    root = sqrt(rational(q) ** 2)
    assert isinstance(root, fmpq)
    assert root == rational(q)
    irrational = sqrt(2 * rational(q) ** 2)
    assert isinstance(irrational, Ball)
    assert contains(irrational**2, 2 * q * q)


def test_roots_of_integers_follow_the_arithmetic_that_is_asked_for():
    assert sqrt(2) == np.sqrt(2)
    assert sqrt(9, like=fmpq(1)) == 3
    assert isinstance(sqrt(9, like=fmpq(1)), fmpq)
    assert contains(sqrt(2, like=Ball(1)) ** 2, Fraction(2))
    assert sqrt(np.int64(2), like=objects(fmpq(1))).overlaps(Ball(2).sqrt())
    assert sqrt(objects(fmpq(4), Ball(4), 4)).tolist() == [2, 2, 2]


def test_functions_of_floats_are_those_of_numpy():
    table = np.array([[0.5, 1.0], [2.0, 0.0]])
    for function, reference in ((exp, np.exp), (sqrt, np.sqrt)):
        np.testing.assert_array_equal(function(table), reference(table))
    assert log(table).tolist() == [[np.log(0.5), 0.0], [np.log(2.0), -np.inf]]  # and no warning


def test_functions_of_symbols():
    assert exp(objects(X))[0] == sympy.exp(X)
    assert log(objects(X))[0] == sympy.log(X)
    assert sqrt(objects(X**2))[0] == X


def test_the_logarithm_of_an_exact_zero_is_minus_infinity():
    assert log(fmpq(0)) < -(10**9)
    assert exp(log(fmpq(0))) == 0
    assert not log(Ball(0).union(Ball(1))).arb.is_finite()


# Distributions from logarithms


@given(st.lists(small, min_size=1, max_size=4), small)
def test_log_normalise_in_every_arithmetic(logs, shift):
    with mpmath.workdps(DIGITS):
        powers = [mpmath.exp(as_mpf(rational(x))) for x in logs]
        truth = [mpmath.log(p / sum(powers)) for p in powers]
        exactly = log_normalise(row(*logs))
        moved = log_normalise(enclose(row(*[x + shift for x in logs])))
        assert all(contains(ball, value) for ball, value in zip(exactly, truth, strict=True))
        assert all(contains(ball, value) for ball, value in zip(moved, truth, strict=True))
    floats = log_normalise(np.array([float(x) for x in logs]))
    np.testing.assert_allclose(floats, [float(x) for x in truth], atol=1e-14)


def test_log_normalise_keeps_zeros_and_batches():
    logs = np.array([[0.0, -np.inf], [1e4, -1e4]])
    np.testing.assert_array_equal(log_normalise(logs), [[0, -np.inf], [0, -2e4]])


def truth_of_tilt(weights, exponents):
    raised = [
        as_mpf(rational(w)) * mpmath.exp(as_mpf(rational(e)))
        for w, e in zip(weights, exponents, strict=True)
    ]
    return [value / sum(raised) for value in raised]


weights_and_exponents = st.lists(
    st.tuples(st.sampled_from([Fraction(0), Fraction(1, 7), Fraction(2)]), small),
    min_size=1,
    max_size=4,
).filter(lambda pairs: any(w for w, _ in pairs))


@given(weights_and_exponents, small)
def test_tilt_contains_the_truth_and_does_not_see_a_shift(pairs, shift):
    weights, exponents = zip(*pairs, strict=True)
    shifted = [e + shift for e in exponents]
    with mpmath.workdps(DIGITS):
        truth = truth_of_tilt(weights, exponents)
        for several in (exponents, shifted):
            for kind in (row(*several), enclose(row(*several))):
                tilted = tilt(row(*weights), kind)
                assert all(contains(x, y) for x, y in zip(tilted, truth, strict=True))
                zeros = [x == 0 for x, w in zip(tilted, weights, strict=True) if w == 0]
                assert all(zeros)
            floats = tilt(to_float(row(*weights)), to_float(row(*several)))
            np.testing.assert_allclose(floats, [float(x) for x in truth], rtol=1e-13)
    first, again = (tilt(row(*weights), row(*e)) for e in (exponents, shifted))
    assert all(repr(x) == repr(y) for x, y in zip(first, again, strict=True))  # not a bit moves


def test_tilt_by_hand():
    # Weights (1, 1) and exponents (log 3, 0): 3/4 and 1/4.
    tilted = tilt(row(1, 1), objects(Ball(3).log(), fmpq(0)))
    assert contains(tilted[0], Fraction(3, 4))
    assert contains(tilted[1], Fraction(1, 4))
    np.testing.assert_allclose(tilt(np.ones(2), np.log([3.0, 1.0])), [0.75, 0.25])


def test_equal_exponents_on_the_support_leave_rational_weights_as_they_are():
    weights = np.stack([row(Fraction(1, 3), Fraction(2, 3), 0), row(1, 0, 2)])
    tilted = tilt(weights, np.stack([row(7, 7, 100), row(-3, 2, -3)]))
    assert all(isinstance(x, fmpq) for x in tilted[0])
    assert tilted.tolist() == [
        [fmpq(1, 3), fmpq(2, 3), fmpq(0)],
        [fmpq(1, 3), fmpq(0), fmpq(2, 3)],
    ]
    assert isinstance(tilt(row(1, 1), row(7, 8))[0], Ball)


@pytest.mark.parametrize("size", [1e4, 1e308])
def test_enormous_exponents_do_not_overflow_in_floats(size):
    weights, exponents = np.array([0.5, 0.5, 0.0]), np.array([size, -size, size])
    assert tilt(weights, exponents).tolist() == [1, 0, 0]
    assert tilt(weights, -exponents).tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", [np.asarray, enclose])
def test_enormous_exponents_do_not_overflow_in_balls(kind):
    weights, exponents = row(1, 1, 0), row(10**4, -(10**4), 10**5)
    for sign, order in ((1, [0, 1]), (-1, [1, 0])):
        tilted = tilt(weights, kind(sign * exponents))
        assert fmpq(99, 100) < tilted[order[0]] < fmpq(101, 100)
        assert fmpq(1, 10**8687) < tilted[order[1]] < fmpq(1, 10**8685)  # e^-20000 = 1.3e-8686
        assert tilted[2] == 0


def test_tilt_broadcasts_over_batches():
    weights = rationals(np.ones((2, 1, 3)), np.full((2, 1, 3), 3))
    tilted = tilt(weights, np.stack([row(0, 0, 0), row(1, 2, 3)]))
    assert tilted.shape == (2, 2, 3)
    assert is_exact(tilted)
    assert (tilted[:, 0] == fmpq(1, 3)).all()
    single = tilt(weights[0, 0], row(1, 2, 3))
    assert all(x.overlaps(y) for x, y in zip(tilted[1, 1], single, strict=True))


def test_symbolic_tilt_is_the_quotient():
    p, g = sympy.symbols("p g")
    tilted = tilt(objects(p, 1 - p), objects(g, sympy.Integer(0)))
    expected = p * sympy.exp(g) / (p * sympy.exp(g) + 1 - p)
    assert sympy.simplify(tilted[0] - expected) == 0
