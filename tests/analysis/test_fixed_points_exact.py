"""Every fixed point, certified: rational and quadratic points, continua, boxes, two states."""

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
import sympy
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from hypothesis import given, settings
from hypothesis import strategies as st

import pmdlib as pmd
from pmdlib.analysis.fixed_points import find_fixed_points, fixed_point_residual, fixed_points
from pmdlib.analysis.fixed_points.bernstein import bernstein_table, halved, rounding
from pmdlib.analysis.fixed_points.exact_games import exact_game
from pmdlib.analysis.fixed_points.face_polynomials import face_polynomials, solve_face
from pmdlib.analysis.fixed_points.faces import all_faces, dimension
from pmdlib.analysis.fixed_points.linear_supports import LinearFaces
from pmdlib.analysis.fixed_points.three_mixers import solve_three_mixers
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Ball, precision, to_exact
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CountGame

CUBE = ((0, 1),) * 3


def newton(game, face, rng, *, starts=60, steps=25):
    """Fixed points in an open face by Newton's method from random starts: no completeness."""
    states = game.num_states
    moves = [(place, action) for place, used in enumerate(face) for action in used[1:]]

    def policy(x):
        parts = [np.zeros((len(x), states, m), dtype=x.dtype) for m in game.num_actions]
        for place, used in enumerate(face):
            parts[place // states][:, place % states, used[0]] = 1
        for k, (place, action) in enumerate(moves):
            own = parts[place // states][:, place % states]
            own[:, action] = x[:, k]
            own[:, face[place][0]] -= x[:, k]
        return tuple(parts)

    def gains(x):
        q = Evaluation(game, policy(x)).averaged_q
        parts = [(q[place // states][:, place % states], place, a) for place, a in moves]
        return np.stack([own[:, a] - own[:, face[place][0]] for own, place, a in parts], axis=-1)

    x, directions = rng.random((starts, len(moves))), np.eye(len(moves))
    for _ in range(steps):
        slopes = np.stack([gains(x + 1e-30j * e).imag / 1e-30 for e in directions], axis=-1)
        x = np.clip(x - (np.linalg.pinv(slopes) @ gains(x)[..., None])[..., 0], -0.02, 1.02)
    parts = policy(x[abs(gains(x)).max(axis=-1) < 1e-11])
    used = [parts[p // states][:, p % states, list(own)] for p, own in enumerate(face)]
    inside = np.all([(own > 1e-9).all(axis=-1) for own in used], axis=0)
    return [tuple(own[k] for own in parts) for k in np.flatnonzero(inside)]


def missing(game, found, rng):
    """What Newton's method finds and the list lacks."""
    for face in all_faces(game):
        listed = [point.policy for point in found.points if point.support == face]
        for policy in newton(game, face, rng) if dimension(face) else ():
            distances = [
                max(abs(a - b).max() for a, b in zip(policy, other, strict=True))
                for other in listed
            ]
            if min(distances, default=1.0) > 1e-7:
                yield face, policy


def two_states(rng):
    kernel = rng.dirichlet([0.3, 0.3], size=(2, 2, 2))
    return pmd.TabularGame(list(rng.random((2, 2, 2, 2))), kernel, discount=0.9)


# Two agents


def test_the_mixed_point_of_the_isolated_game_is_rational():
    found = find_fixed_points(catalogue.isolated())
    assert found.complete
    assert found.holds is True
    mixed = found.points[-1]
    assert mixed.rational
    assert [*mixed.enclosure[0][0]] == [fmpq(4, 11), fmpq(7, 11)]
    assert [*mixed.enclosure[1][0]] == [fmpq(3, 11), fmpq(8, 11)]
    kinds = [(point.strict, point.quasi_strict, point.nash) for point in found.points]
    assert kinds == [(True,) * 3, (False,) * 3, (False,) * 3, (True,) * 3, (False, True, True)]


def test_continua_of_two_agents():
    found = find_fixed_points(catalogue.slow_switch(0.0))
    assert (found.complete, found.holds) == (True, False)
    assert found.reason == "a continuum of fixed points goes through support ((0,), (0,))"
    corner = find_fixed_points(catalogue.one_state([[0.0, 0.0], [0.0, 1.0]]))
    kinds = {point.support: point.isolated for point in corner.points}
    assert kinds == {
        ((0,), (0,)): False,
        ((0,), (1,)): False,
        ((1,), (0,)): False,
        ((1,), (1,)): True,
        ((0,), (0, 1)): False,
        ((0, 1), (0,)): False,
    }
    moving = [point.conditioning for point in corner.points if point.isolated is False]
    assert moving == [0.0] * 5


def test_a_continuum_in_the_interior_alone():
    """Matching pennies with a third column, the mean of the first two: no tie in pure play."""
    table = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    game = pmd.TabularGame([table[None], -table[None]], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    assert found.holds is False
    inside = next(p for p in found.points if p.support == ((0, 1), (0, 1, 2)))
    assert inside.isolated is False
    # (1/2, 1/2, 0) and (0, 0, 1) are the vertices, and their mean stands for the rest.
    assert [*inside.enclosure[1][0]] == [fmpq(1, 4), fmpq(1, 4), fmpq(1, 2)]


def test_rock_paper_scissors_has_one_interior_point_and_three_matching_pennies_less():
    table = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    game = pmd.TabularGame([table[None], -table[None]], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    assert found.holds is True
    nash = [point for point in found.points if point.nash]
    assert [[*own[0]] for own in nash[0].enclosure] == [[fmpq(1, 3)] * 3] * 2
    assert len(nash) == 1


def sympy_points(first, second):
    """Isolated interior solutions of all supports of a bimatrix game, by SymPy."""
    rows, columns = first.shape
    subsets = [[s for s in product((0, 1), repeat=m) if any(s)] for m in (rows, columns)]
    for used in product(*subsets):
        p, q = (
            [sympy.Symbol(f"{n}{k}") if on else sympy.Integer(0) for k, on in enumerate(own)]
            for n, own in zip("pq", used, strict=True)
        )
        paid = [sympy.Matrix(first) * sympy.Matrix(q), sympy.Matrix(second).T * sympy.Matrix(p)]
        conditions = [sum(p) - 1, sum(q) - 1]
        for own, pay in zip(used, paid, strict=True):
            active = [pay[k] for k, on in enumerate(own) if on]
            conditions += [value - active[0] for value in active[1:]]
        unknowns = [x for x in (*p, *q) if x != 0]
        for solution in sympy.linsolve(conditions, unknowns):
            if all(value.is_number and value > 0 for value in solution):
                yield tuple(Fraction(int(v.p), int(v.q)) for v in solution)


def test_agrees_with_sympy_on_integer_games():
    rng = np.random.default_rng(4)
    for _ in range(4):
        first, second = rng.integers(-9, 10, size=(2, 3, 3))
        game = pmd.TabularGame([first[None], second[None]], np.eye(1), discount=0.0)
        mine = sorted(
            tuple(
                Fraction(int(x.numerator), int(x.denominator))
                for own in point.enclosure
                for x in own[0]
                if x != 0
            )
            for point in fixed_points(game)
            if point.isolated
        )
        theirs = sorted(sympy_points(sympy.Matrix(first), sympy.Matrix(second)))
        if all(point.isolated for point in fixed_points(game)):
            assert mine == theirs


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=8, max_size=8))
def test_two_by_two_games_by_hand(entries):
    """The mixed point, and every edge, of all small integer games."""
    first, second = np.array(entries).reshape(2, 2, 2)
    game = pmd.TabularGame([first[None], second[None]], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    assert found.complete
    row_gain = first[1] - first[0]  # of row 2 over row 1, against each column
    column_gain = second[:, 1] - second[:, 0]
    edges = int((row_gain == 0).sum() + (column_gain == 0).sum())

    def solutions(gain):  # 0, 1 or 2 for many
        return 2 if not gain.any() else int(gain[0] * gain[1] < 0)

    mixed = solutions(row_gain) * solutions(column_gain)
    assert len(found.points) == 4 + edges + (mixed > 0)
    assert found.holds is (edges == 0 and mixed <= 1)


def test_one_agent_and_actions_that_an_agent_lacks():
    found = find_fixed_points(catalogue.one_state([1.0, 0.0, 1.0]))
    assert {p.support: (p.nash, p.isolated) for p in found.points} == {
        ((0,),): (True, False),
        ((1,),): (False, True),
        ((2,),): (True, False),
        ((0, 2),): (True, False),
    }
    flat = catalogue.isolated().rewards[0, 0][:, None, :]  # a third agent with one action
    assert len(fixed_points(catalogue.one_state(flat))) == 5


@pytest.mark.parametrize("shape", [(4, 4), (3, 4), (2, 2, 2), (2, 2, 3)])
def test_generic_games_have_an_odd_number_of_equilibria(shape):
    """Wilson's oddness theorem: a count that comes out even has missed or invented one."""
    rng = np.random.default_rng(sum(shape))
    for _ in range(10):
        rewards = [*rng.random((len(shape), 1, *shape))]
        found = find_fixed_points(pmd.TabularGame(rewards, np.eye(1), discount=0.0))
        assert found.holds is True
        assert sum(point.nash for point in found.points) % 2 == 1
        for point in found.points:
            assert (point.nash and point.pure) == point.strict


# Three agents


def test_the_quadratic_of_three_agents_by_hand():
    """Agents 1 and 2 match if x = z, y = z; agent 3 is indifferent on xy = 1/2: z = 1/√2."""
    x, y, z = np.indices((2, 2, 2))
    first, second, third = x * (y - z), y * (x - z), z * (2 * x * y - 1)
    game = pmd.TabularGame([g[None] for g in (first, second, third)], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    inside = [point for point in found.points if point.support == CUBE]
    assert len(inside) == 1
    point = inside[0]
    assert not point.rational
    with precision(256):
        for own in point.enclosure:
            assert abs(own[0, 1] * own[0, 1] * 2 - 1) < fmpq(1, 10**60)
    np.testing.assert_allclose([own[0, 1] for own in point.policy], 0.5**0.5, rtol=1e-15)


def test_a_double_root_is_isolated_though_its_jacobian_is_singular():
    """D₃ = (x + y)/2 - xy - 1/4 = -(z - 1/2)² on x = y = z: finite, so isolated."""
    x, y, z = np.indices((2, 2, 2))
    gains = x * (y - z), y * (x - z), z * ((x + y) / 2 - x * y - 0.25)
    game = pmd.TabularGame([g[None] for g in gains], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    inside = next(point for point in found.points if point.support == CUBE)
    assert [own[0, 1] for own in inside.enclosure] == [fmpq(1, 2)] * 3
    assert inside.isolated is True
    assert inside.conditioning < 1e-12


def test_a_curve_of_fixed_points_and_its_ends():
    """D₁ = y - z, D₂ = x - z, D₃ = x - y: the open diagonal, and both its ends."""
    x, y, z = np.indices((2, 2, 2))
    gains = x * (y - z), y * (x - z), z * (x - y)
    game = pmd.TabularGame([g[None] for g in gains], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    assert (found.complete, found.holds) == (True, False)
    kinds = {point.support: point.isolated for point in found.points}
    assert kinds[CUBE] is False
    assert kinds[(0,), (0,), (0,)] is False
    assert kinds[(1,), (1,), (1,)] is False
    assert None not in kinds.values()


def test_a_curve_through_a_sign_change_leaves_no_point_alone():
    """D₁ = (z - 1/2)(1 - 2y), D₂ = x - z, D₃ = 2y - 1: the segment y = 1/2, x = z.

    At z = 1/2 agent 1 is indifferent at every y, and in that plane the solution is alone.
    """
    x, y, z = np.indices((2, 2, 2))
    gains = x * (z - 0.5) * (1 - 2 * y), y * (x - z), z * (2 * y - 1)
    game = pmd.TabularGame([g[None] for g in gains], np.eye(1), discount=0.0)
    findings = solve_three_mixers(exact_game(game), CUBE)
    middle = [zero for zero in findings.zeros if zero.weights[2][1] == fmpq(1, 2)]
    assert [[*own] for own in middle[0].weights] == [[fmpq(1, 2)] * 2] * 3
    assert not any(zero.alone for zero in findings.zeros)
    assert findings.continuum
    found = find_fixed_points(game)
    inside = [point.isolated for point in found.points if point.support == CUBE]
    assert inside == [False] * 3


def test_an_irrational_point_with_an_undecided_tie_is_not_called_isolated():
    """As by hand above; agent 4 gains x - z, zero at the point, so it mixes there for free."""
    x, y, z, w = np.indices((2, 2, 2, 2))
    gains = x * (y - z), y * (x - z), z * (2 * x * y - 1), w * (x - z)
    game = pmd.TabularGame([g[None] for g in gains], np.eye(1), discount=0.0)
    found = find_fixed_points(game, budget=50)
    for action in (0, 1):
        ends = [point for point in found.points if point.support == (*CUBE, (action,))]
        assert len(ends) == 1
        assert not ends[0].rational
        assert ends[0].nash is None
        assert not ends[0].isolated
    assert found.holds is False


def test_a_dummy_agent_makes_continua_wherever_the_others_stand():
    payoff = np.stack([catalogue.isolated().rewards[0, 0]] * 2)  # agent 1 does not matter
    found = find_fixed_points(catalogue.one_state(payoff))
    assert (found.complete, found.holds) == (True, False)
    assert len(found.points) == 15  # five points of the others, three supports of the dummy
    assert all(point.isolated is False for point in found.points)


def test_constant_payoffs_fix_everything():
    for shape in ((2, 2, 2), (3, 3), (2, 2, 2, 2)):
        found = find_fixed_points(catalogue.one_state(np.ones(shape)))
        assert len(found.points) == np.prod([2**m - 1 for m in shape])
        assert found.complete
        assert all(point.isolated is False for point in found.points)


def test_the_quadratic_and_the_boxes_agree():
    """Two searches that share no line, on open cubes with none, one and two solutions."""
    rng, seen = np.random.default_rng(3), set()
    for _ in range(120):
        game = exact_game(pmd.TabularGame([*rng.random((3, 1, 2, 2, 2))], np.eye(1), discount=0.0))
        exact, boxes = solve_three_mixers(game, CUBE), solve_face(game, CUBE, 100_000)
        assert boxes.finite
        seen.add(len(exact.zeros))
        assert len(exact.zeros) == len(boxes.zeros)
        a, b = (
            sorted([float(Ball(own[1])) for own in zero.weights] for zero in found.zeros)
            for found in (exact, boxes)
        )
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)
    assert seen == {0, 1, 2}


def test_the_rounding_of_bernstein_coefficients_is_covered():
    """Against the same coefficients in rationals, at every depth of a random halving."""
    rng, degrees = np.random.default_rng(5), (2, 3)
    ring = fmpq_mpoly_ctx.get(("s", "t"), Ordering.lex)
    exact, polynomials = np.empty((2, 3, 4), dtype=object), []
    for row in exact:
        polynomial = ring.constant(0)
        for powers in np.ndindex(row.shape):
            row[powers] = fmpq(int(rng.integers(-99, 100)), int(rng.integers(1, 100)))
            term = ring.constant(row[powers])
            for x, k, n in zip(ring.gens(), powers, degrees, strict=True):
                term *= comb(n, k) * x**k * (1 - x) ** (n - k)
            polynomial += term
        row /= max(abs(row).flat)
        polynomials.append(polynomial)
    tables = bernstein_table(polynomials, [0, 1])
    for depth in range(12):
        error = max(abs(to_exact(tables) - exact).flat)
        assert 0 < error <= to_exact(rounding(tables.shape, depth))
        axis, side = 1 + depth % 2, int(rng.integers(2))
        tables, exact = halved(tables, axis)[side], halved(exact, axis)[side]


def test_linear_faces_and_boxes_agree():
    rng = np.random.default_rng(6)
    game = exact_game(pmd.TabularGame([*rng.random((2, 1, 3, 3))], np.eye(1), discount=0.0))
    linear = LinearFaces(game)
    for face in all_faces(game):
        exact, boxes = linear.solve(face), solve_face(game, face, 100_000)
        assert boxes.finite
        assert len(exact.zeros) == len(boxes.zeros)


@pytest.mark.parametrize("seed", range(3))
def test_newton_finds_nothing_that_the_list_lacks_with_three_agents(seed):
    rng = np.random.default_rng(seed)
    game = pmd.TabularGame([*rng.random((3, 1, 2, 2, 2))], np.eye(1), discount=0.0)
    found = find_fixed_points(game)
    assert found.complete
    assert list(missing(game, found, rng)) == []


def test_tied_payoffs_of_three_agents_are_decided_to_the_last_point():
    rng = np.random.default_rng(0)
    for _ in range(40):
        game = catalogue.one_state(rng.integers(3, size=(2, 2, 2)) / 2)
        found = find_fixed_points(game)
        assert found.complete
        assert found.holds is not None
        assert all(point.isolated is not None for point in found.points)
        for point in found.points:
            assert fixed_point_residual(game, point.policy) < 1e-14


# Larger games, and what is not decided


def test_four_agents_seen_through_counts():
    """The averages of a game without tensors give the same list as its tensor."""
    counts = [0.0, 1.0, 0.3, 0.7, 0.1]
    found = find_fixed_points(CountGame(counts))
    dense = find_fixed_points(catalogue.crowd(counts))
    assert [p.support for p in found.points] == [p.support for p in dense.points]
    assert found.holds == dense.holds


def test_what_is_not_decided_is_said():
    """Ties on the boundary of a four-agent face: boxes gather there."""
    game = catalogue.half_face(4)
    found = find_fixed_points(game, budget=500)
    assert not found.complete
    assert found.holds is False  # an edge is a continuum for certain
    assert found.undecided[0].boxes > 0
    assert 0 <= found.undecided[0].volume <= 1
    with pytest.raises(pmd.NotConvergedError, match="fixed_points cannot list them all"):
        fixed_points(game)
    rng = np.random.default_rng(0)
    large = find_fixed_points(catalogue.one_state(rng.random((2,) * 5)), budget=1)
    assert large.holds is None
    assert all(point.isolated is not False for point in large.points)
    assert "are undecided, the first on support" in large.reason


# Two states


def test_two_states_that_nobody_moves_between_are_two_games():
    rng = np.random.default_rng(2)
    rewards = np.stack([catalogue.isolated().rewards[0, 0], rng.random((2, 2))])
    stay = pmd.TabularGame(rewards, np.eye(2), discount=0.5)
    alone = [len(fixed_points(catalogue.one_state(table))) for table in rewards]
    found = find_fixed_points(stay)
    assert found.holds is True
    assert len(found.points) == alone[0] * alone[1]


def test_a_face_of_two_states_by_hand():
    """One agent leaves or stays: fixed points are the deterministic policies, and ties."""
    game = catalogue.stay_or_leave()
    found = find_fixed_points(game)
    supports = {point.support: point.isolated for point in found.points}
    # In the absorbing state both actions are the same, so it may mix there for ever.
    assert supports == {
        (first, second): False for first in ((0,), (1,)) for second in ((0,), (1,), (0, 1))
    }
    assert found.complete


def test_face_polynomials_vanish_where_the_gains_do():
    """The polynomial is det(I - γP) times the gain, at random rational policies."""
    rng = np.random.default_rng(1)
    game = exact_game(two_states(rng))
    face = ((0, 1),) * 4
    polynomials = face_polynomials(game, face)
    t = [fmpq(int(k), 10) for k in rng.integers(1, 10, size=4)]
    policy = tuple(
        np.array([[1 - t[2 * i + s], t[2 * i + s]] for s in (0, 1)], dtype=object) for i in (0, 1)
    )
    evaluation = Evaluation(game, policy)
    system = [
        [int(a == b) - game.discount * evaluation.kernel[a, b] for b in (0, 1)] for a in (0, 1)
    ]
    scale = system[0][0] * system[1][1] - system[0][1] * system[1][0]
    gains = [q[s, 1] - q[s, 0] for q in evaluation.averaged_q for s in (0, 1)]
    assert [p(*t) for p in polynomials] == [scale * gain for gain in gains]


@pytest.mark.parametrize("seed", range(3))
def test_two_states_complete_odd_and_nothing_missing(seed):
    rng = np.random.default_rng(seed)
    game = two_states(rng)
    found = find_fixed_points(game)
    assert found.complete
    assert found.holds is True
    assert sum(point.nash for point in found.points) % 2 == 1
    assert max(fixed_point_residual(game, point.policy) for point in found.points) < 1e-12
    if seed == 0:
        assert list(missing(game, found, rng)) == []


def test_a_game_of_rationals_is_taken_as_it_is():
    third = np.array([[fmpq(1), fmpq(1, 3)], [0, fmpq(2, 3)]], dtype=object)[None]
    game = pmd.TabularGame(third, np.array([[fmpq(1)]], dtype=object), discount=fmpq(0))
    found = find_fixed_points(game)
    assert [own[0, 0] for own in found.points[-1].enclosure] == [fmpq(1, 2), fmpq(1, 4)]
    for point in found.points:
        assert fixed_point_residual(found.game, point.enclosure) == 0
    floats = find_fixed_points(catalogue.isolated())
    assert all(fixed_point_residual(floats.game, p.enclosure) == 0 for p in floats.points)
