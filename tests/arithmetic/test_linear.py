"""Linear systems: by hand, and rationals, balls, derivatives and symbols against each other."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from arithmetic.enclosures import around, contains, objects, rational
from flint import arb, fmpq
from hypothesis import assume, given
from hypothesis import strategies as st

from pmdlib.arithmetic import (
    Ball,
    derivative,
    enclose,
    eye,
    infinitesimal,
    is_exact,
    join,
    precision,
    rationals,
    solve,
    to_exact,
    to_float,
)
from pmdlib.arithmetic.duals import Dual
from pmdlib.errors import NotConvergedError


def matrix(*rows):
    return np.stack([objects(*row) for row in rows])


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
    system = rationals(np.array([[0, 1], [1, 1]]), np.ones((2, 2), dtype=int))
    right = rationals(np.array([[1], [1]]), np.array([[3], [1]]))
    assert solve(system, right).tolist() == [[fmpq(2, 3)], [fmpq(1, 3)]]
    # Python's own integers among them are no floats.
    assert solve(matrix((0, 1), (1, 1)), right).tolist() == [[fmpq(2, 3)], [fmpq(1, 3)]]


def test_solve_a_batch_is_each_one_alone(rng):
    system, right = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(3, 4, 2))
    together = solve(system, right)
    exactly = solve(to_exact(system), to_exact(right))
    assert together.shape == exactly.shape == (2, 3, 4, 2)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(system[index] @ together[index], right[index[1]], atol=1e-12)
        assert (to_exact(system[index]) @ exactly[index] == to_exact(right[index[1]])).all()
    np.testing.assert_allclose(together, exactly.astype(float), rtol=1e-9, atol=1e-9)
    enclosed = solve(enclose(to_exact(system)), to_exact(right))
    for ball, x in zip(enclosed.flat, exactly.flat, strict=True):
        assert contains(ball, x)
        assert ball.width < 1e-8


entries = st.lists(st.fractions(-3, 3, max_denominator=6), min_size=12, max_size=12)
radii = st.sampled_from([Fraction(0), Fraction(1, 2**30)])
parts = st.lists(st.fractions(-1, 1, max_denominator=5), min_size=12, max_size=12)


@given(entries, radii, parts)
def test_balls_contain_the_solutions_of_all_systems_inside(numbers, radius, where):
    points = [x + radius * p for x, p in zip(numbers, where, strict=True)]
    point = objects(*map(rational, points)).reshape(3, 4)
    try:
        truth = solve(point[:, :3], point[:, 3:])
    except NotConvergedError:
        assume(False)
    balls = objects(*(around(x, radius) for x in numbers)).reshape(3, 4)
    try:
        found = solve(balls[:, :3], balls[:, 3:])
    except NotConvergedError:
        assert radius  # some system inside is singular, or nearly
    else:
        for ball, x in zip(found.flat, truth.flat, strict=True):
            assert not ball.arb.is_finite() or contains(ball, x)


@given(entries)
def test_rationals_and_symbols_give_the_same_solution(numbers):
    """A generic system is solved once, with symbols; numbers are put in afterwards."""
    point = objects(*map(rational, numbers)).reshape(3, 4)[:2, :3]
    names = np.array(sympy.symbols("a:6"), dtype=object).reshape(2, 3)
    generic = solve(names[:, :2], names[:, 2:])
    values = {
        name: sympy.Rational(int(x.numerator), int(x.denominator))
        for name, x in zip(names.flat, point.flat, strict=True)
    }
    try:
        exactly = solve(point[:, :2], point[:, 2:])
    except NotConvergedError:
        assert sympy.Matrix(names[:, :2].tolist()).det().subs(values) == 0
        return
    for one, other in zip(generic.flat, exactly.flat, strict=True):
        simple = sympy.cancel(one).subs(values)
        assert simple == sympy.Rational(int(other.numerator), int(other.denominator))


def test_symbols_beside_integers_stay_exact():
    x = sympy.Symbol("x")
    solution = solve(matrix((3, x), (1, 2)), objects(1, 1).reshape(2, 1))
    expected = [(2 - x) / (6 - x), 2 / (6 - x)]
    for found, value in zip(solution[:, 0], expected, strict=True):
        assert not found.has(sympy.Float)
        assert sympy.simplify(found - value) == 0


def test_derivatives_of_solutions_in_floats_and_rationals(rng):
    """d(A⁻¹ b) = A⁻¹ (db - dA A⁻¹ b)."""
    system = np.round(8 * rng.normal(size=(3, 3))) / 8 + 4 * np.eye(3)
    right, system_slope, right_slope = (
        np.round(8 * rng.normal(size=s)) / 8 for s in ((3, 1), (3, 3), (3, 1))
    )
    exact = [to_exact(part) for part in (system, right, system_slope, right_slope)]
    for a, b, da, db in ((system, right, system_slope, right_slope), exact):
        h = infinitesimal(a)
        found = derivative(solve(a + h * da, b + h * db))
        expected = solve(a, db - da @ solve(a, b))
        if is_exact(a):
            assert (found == expected).all()
        np.testing.assert_allclose(to_float(found), to_float(expected), rtol=1e-12)


def test_a_pivot_whose_value_is_zero_is_passed_over():
    # h x + y = 1, x = 1  ->  y = 1 - h
    h = Dual(fmpq(0), fmpq(1))
    solution = solve(matrix((h, fmpq(1)), (fmpq(1), fmpq(0))), matrix((fmpq(1),), (fmpq(1),)))
    assert solution[0, 0] == 1
    assert solution[1, 0] == Dual(fmpq(1), fmpq(-1))


def test_a_singular_system_is_an_error():
    singular = np.array([[1.0, 2], [2, 4]])
    with pytest.raises(NotConvergedError, match=r"shape \(2, 2\) is singular"):
        solve(singular, np.ones((2, 1)))
    x = sympy.Symbol("x")
    h = infinitesimal(to_exact(singular))
    systems = [
        to_exact(singular),
        enclose(to_exact(singular)),
        matrix((x, 2 * x), (1, 2)),
        to_exact(singular) + h * to_exact(np.eye(2)),
    ]
    for system in systems:
        with pytest.raises(NotConvergedError, match="2x2 linear system is singular"):
            solve(
                system,
                to_exact(np.ones((2, 1))) if system is not systems[2] else matrix((x,), (x,)),
            )


def test_a_system_that_may_be_singular_is_an_error_until_the_precision_says_no():
    # Determinant 10^-25: beyond 53 bits, within 128.
    close = matrix((fmpq(1), fmpq(1)), (fmpq(1), 1 + fmpq(1, 10**25)))
    right = matrix((fmpq(1),), (fmpq(2),))
    about = enclose(close)
    about[0, 0] = Ball(1) + Ball(arb(0, 2.0**-60))
    with pytest.raises(NotConvergedError, match="singular"):
        solve(about, right)
    with precision(53), pytest.raises(NotConvergedError):
        solve(enclose(close), right)
    with precision(128):
        assert contains(solve(enclose(close), right)[1, 0], fmpq(10**25))


def test_floats_are_not_mixed_with_exact_numbers():
    for system in (matrix((fmpq(2),)), matrix((Ball(2),))):
        with pytest.raises(TypeError):
            solve(system, np.ones((1, 1)))


def test_join_is_the_outer_product_with_the_first_agent_slowest(rng):
    first, second, third = rng.random((5, 2)), rng.random((5, 3)), rng.random((5, 4))
    expected = np.einsum("si,sj,sk->sijk", first, second, third).reshape(5, 24)
    np.testing.assert_allclose(join([first, second, third]), expected)
    np.testing.assert_array_equal(join([first]), first)
    exactly = join([to_exact(part) for part in (first, second, third)])
    assert (
        exactly.sum(axis=-1)
        == to_exact(first).sum(-1) * to_exact(second).sum(-1) * to_exact(third).sum(-1)
    ).all()
    np.testing.assert_allclose(to_float(exactly), expected)
