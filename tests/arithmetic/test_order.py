"""Maxima, ties and sorting: rationals are decided, balls enclose whichever entry it is."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from arithmetic.enclosures import contains, inside, objects, rational
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pmdlib.arithmetic import (
    Ball,
    UndecidedError,
    argmax,
    enclose,
    largest,
    largest_entries,
    maximum,
    smallest,
    sort,
    to_exact,
    to_float,
    union,
)

rows = st.lists(inside(), min_size=1, max_size=5)
tables = arrays(np.float64, (2, 3, 4), elements=st.integers(-4, 4).map(lambda k: k / 4))


def interval(low, high):
    return Ball(low).union(Ball(high))


def split(pairs):
    """The balls of a row, and their points as rationals."""
    return objects(*(ball for ball, _ in pairs)), [rational(point) for _, point in pairs]


@given(rows)
def test_largest_and_smallest_contain_those_of_points(pairs):
    balls, points = split(pairs)
    assert contains(largest(balls), max(points))
    assert contains(smallest(balls), min(points))


@given(rows)
def test_places_of_a_sorted_row_contain_the_order_statistics(pairs):
    balls, points = split(pairs)
    for ball, point in zip(sort(balls), sorted(points), strict=True):
        assert contains(ball, point)


@given(rows)
def test_largest_entries_of_balls_are_those_of_points_or_undecided(pairs):
    balls, points = split(pairs)
    try:
        found = largest_entries(balls, 0)
    except UndecidedError:
        assert any(ball.width for ball in balls)
    else:
        assert found.tolist() == [x == max(points) for x in points]


@given(tables)
def test_rationals_and_floats_agree_on_every_axis(table):
    exact = to_exact(table)
    for axis in (-1, 0, 1, (0, 2), (-1, -2), (0, 1, 2)):
        for keepdims in (False, True):
            for function, reference in ((largest, np.max), (smallest, np.min)):
                expected = reference(table, axis=axis, keepdims=keepdims)
                for kind in (table, exact, enclose(exact)):
                    found = function(kind, axis, keepdims=keepdims)
                    assert np.shape(found) == expected.shape
                    np.testing.assert_array_equal(to_float(found), expected)
    np.testing.assert_array_equal(to_float(sort(exact)), np.sort(table))
    np.testing.assert_array_equal(to_float(sort(enclose(exact))), np.sort(table))
    ties = table == table.max(axis=-1, keepdims=True)
    for kind in (table, exact, enclose(exact)):
        np.testing.assert_array_equal(largest_entries(kind, 0), ties)
        np.testing.assert_array_equal(argmax(kind), table.argmax(axis=-1))
    other = table[:, ::-1]
    for kind, against in ((exact, to_exact(other)), (enclose(exact), to_exact(other))):
        np.testing.assert_array_equal(to_float(maximum(kind, against)), np.maximum(table, other))
    np.testing.assert_array_equal(maximum(table, other), np.maximum(table, other))


def test_places_overlap_where_the_order_is_open():
    """[0, 3], 1 and 2: the smallest lies in [0, 1], the next in [1, 2], the largest in [2, 3]."""
    ordered = sort(objects(interval(0, 3), fmpq(2), Ball(1)))
    for ball, (low, high) in zip(ordered, [(0, 1), (1, 2), (2, 3)], strict=True):
        assert contains(ball, fmpq(low))
        assert contains(ball, fmpq(high))
        assert ball.width < 1 + 1e-6


def test_ties_are_equalities_in_exact_arithmetic():
    third = fmpq(1, 3)
    table = np.stack([objects(third, third, fmpq(0)), objects(third, third + fmpq(1, 10**40), 0)])
    assert largest_entries(table, 0).tolist() == [[True, True, False], [False, True, False]]
    assert largest_entries(table, 1e-3).tolist() == largest_entries(table, 0).tolist()
    assert largest_entries(np.array([1.0, 1.0 - 1e-13, 0.9]), 1e-12).tolist() == [True, True, False]


def test_overlaps_that_do_not_matter_do_not_stop_the_decision():
    low = interval(0, 2)
    assert largest_entries(objects(low, interval(1, 2), Ball(5)), 0).tolist() == [False] * 2 + [
        True
    ]
    with pytest.raises(UndecidedError):
        largest_entries(objects(interval(4, 6), Ball(5), low), 0)
    with pytest.raises(UndecidedError):  # two enclosures of one number are no tie for certain
        largest_entries(objects(Ball(fmpq(1, 3)), Ball(fmpq(1, 3))), 0)
    assert largest_entries(objects(Ball(2), fmpq(2), Ball(1)), 0).tolist() == [True, True, False]


def test_argmax_of_balls_is_a_choice_among_the_largest():
    assert argmax(objects(interval(0, 9), Ball(2), fmpq(1))) == 1  # the largest lower end
    assert argmax(objects(fmpq(1), fmpq(3), fmpq(3))) == 1
    assert argmax(np.stack([objects(fmpq(1), Ball(3)), objects(fmpq(4), Ball(3))])).tolist() == [
        1,
        0,
    ]
    with pytest.raises(UndecidedError):
        argmax(objects(Ball(arb("nan")), Ball(1)))
    with pytest.raises(UndecidedError):
        sort(objects(Ball(arb("nan")), Ball(1)))


def test_unions_of_equal_rationals_stay_rational():
    same, different = union(objects(fmpq(1, 3), fmpq(1)), objects(fmpq(1, 3), fmpq(2)))
    assert isinstance(same, fmpq)
    assert contains(different, fmpq(1))
    assert contains(different, fmpq(2))
    assert contains(different, Fraction(3, 2))
    assert contains(union(objects(Ball(1)), objects(fmpq(5)))[0], fmpq(5))


def test_maxima_of_mixed_kinds():
    assert maximum(objects(fmpq(-1), Ball(-1), 2), 0).tolist() == [0, 0, 2]
    about = maximum(objects(interval(-1, 1)), 0)[0]
    assert contains(about, fmpq(0))
    assert contains(about, fmpq(1))
    assert about.lower > -fmpq(1, 10**6)
    x = sympy.Symbol("x")
    assert maximum(objects(x), 0)[0] == sympy.Max(x, 0)
    assert smallest(objects(x, sympy.Integer(2))) == sympy.Min(x, 2)
