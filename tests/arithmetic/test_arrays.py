"""Exact and floating-point numbers go through the same lines."""

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pmdlib.arithmetic import UNIT_ROUNDOFF, eye, is_exact, join, rationals, solve, to_exact
from pmdlib.errors import NotConvergedError


def fraction(x):
    return Fraction(int(x.p), int(x.q))


def test_unit_roundoff_is_half_the_spacing_at_one():
    assert UNIT_ROUNDOFF == 2.0**-53
    assert 1.0 + UNIT_ROUNDOFF == 1.0


@given(arrays(np.float64, (2, 3), elements=st.floats(-1e300, 1e300)))
def test_to_exact_rounds_nothing(array):
    exact = to_exact(array)
    assert is_exact(exact)
    assert not is_exact(array)
    assert exact.shape == array.shape
    assert [fraction(x) for x in exact.flat] == [Fraction(float(x)) for x in array.flat]


def test_to_exact_knows_that_a_tenth_is_not_a_tenth():
    tenth = to_exact(np.array([0.1]))[0]
    assert tenth == fmpq(3602879701896397, 36028797018963968)
    assert tenth != fmpq(1, 10)


def test_to_exact_passes_exact_arrays_through():
    exact = rationals(np.array([1, 2]), np.array([3, 4]))
    assert to_exact(exact) is exact


def test_rationals_divide_entry_by_entry():
    table = rationals(np.array([[1, 2], [6, 0]]), np.array([[3, 4], [4, 5]]))
    assert table.tolist() == [[fmpq(1, 3), fmpq(1, 2)], [fmpq(3, 2), fmpq(0)]]


def test_eye_follows_the_kind_of_number():
    assert eye(2, np.zeros(1)).dtype == np.float64
    assert eye(2, np.zeros(1, dtype=complex)).dtype == complex
    exact = eye(2, rationals(np.array([1]), np.array([2])))
    assert is_exact(exact)
    assert exact.tolist() == [[1, 0], [0, 1]]


def test_solve_by_hand():
    # 2x + y = 5, x + 3y = 10  ->  x = 1, y = 3
    assert solve(np.array([[2.0, 1], [1, 3]]), np.array([[5.0], [10]])) == pytest.approx(
        np.array([[1.0], [3.0]])
    )


def test_solve_exactly_by_hand_with_a_zero_pivot():
    # y = 1/3, x + y = 1  ->  x = 2/3
    matrix = rationals(np.array([[0, 1], [1, 1]]), np.ones((2, 2), dtype=int))
    right = rationals(np.array([[1], [1]]), np.array([[3], [1]]))
    assert solve(matrix, right).tolist() == [[fmpq(2, 3)], [fmpq(1, 3)]]


def test_solve_a_batch_is_each_one_alone(rng):
    matrix, right = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(3, 4, 2))
    together = solve(matrix, right)
    exactly = solve(to_exact(matrix), to_exact(right))
    assert together.shape == exactly.shape == (2, 3, 4, 2)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(matrix[index] @ together[index], right[index[1]], atol=1e-12)
        assert (to_exact(matrix[index]) @ exactly[index] == to_exact(right[index[1]])).all()
    np.testing.assert_allclose(together, exactly.astype(float), rtol=1e-9, atol=1e-9)


def test_a_singular_system_is_an_error():
    singular = np.array([[1.0, 2], [2, 4]])
    with pytest.raises(NotConvergedError, match=r"shape \(2, 2\) is singular"):
        solve(singular, np.ones((2, 1)))
    with pytest.raises(NotConvergedError, match="2x2 linear system is singular"):
        solve(to_exact(singular), to_exact(np.ones((2, 1))))


def test_join_is_the_outer_product_with_the_first_agent_slowest(rng):
    first, second, third = rng.random((5, 2)), rng.random((5, 3)), rng.random((5, 4))
    expected = np.einsum("si,sj,sk->sijk", first, second, third).reshape(5, 24)
    np.testing.assert_allclose(join([first, second, third]), expected)
    np.testing.assert_array_equal(join([first]), first)
