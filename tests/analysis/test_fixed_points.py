"""Fixed points of the KL map: all of them, their kinds, and the isolation test."""

from itertools import product

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis.fixed_points import (
    classify,
    find_fixed_points,
    fixed_point_residual,
    fixed_points,
    jacobian,
)
from pmdlib.analysis.fixed_points.exact_games import exact_game
from pmdlib.arithmetic import Ball, to_float
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL


def pure(*actions, sizes):
    return tuple(np.eye(m)[[a]] for a, m in zip(actions, sizes, strict=True))


def test_the_isolated_game_has_five_fixed_points_all_isolated():
    points = fixed_points(catalogue.isolated())
    assert len(points) == 5
    assert all(point.isolated is True for point in points)
    mixed = points[-1]
    assert mixed.support == ((0, 1), (0, 1))
    np.testing.assert_allclose(mixed.policy[0], [[4 / 11, 7 / 11]], atol=1e-12)
    np.testing.assert_allclose(mixed.policy[1], [[3 / 11, 8 / 11]], atol=1e-12)
    value = pmd.values(catalogue.isolated(), mixed.policy)[0, 0]
    assert value == pytest.approx(0.54 / 1.1)  # det / (sum of diagonal - antidiagonal) = .4909
    assert mixed.nash
    assert [point.nash for point in points[:4]] == [True, False, False, True]


def test_the_three_agent_game_has_ten_isolated_fixed_points_one_not_quasi_strict():
    points = fixed_points(catalogue.three_agents_degenerate())
    assert len(points) == 10
    assert all(point.isolated is True for point in points)
    degenerate = [point for point in points if point.nash and not point.quasi_strict]
    assert len(degenerate) == 1
    point = degenerate[0]
    assert point.support == ((0,), (0, 1), (0, 1))
    np.testing.assert_allclose(np.concatenate(point.policy[1:]), 0.5, atol=1e-12)
    advantages = pmd.advantages(catalogue.three_agents_degenerate(), point.policy)
    assert advantages[0][0, 1] == pytest.approx(0, abs=1e-12)


def test_slow_switch_is_isolated_until_epsilon_vanishes():
    assert all(point.isolated for point in fixed_points(catalogue.slow_switch(0.1)))
    degenerate = fixed_points(catalogue.slow_switch(0.0))
    assert any(point.isolated is False for point in degenerate)
    assert all(point.isolated for point in fixed_points(catalogue.slow_switch_from_uniform()))


def test_a_nonsingular_full_face_does_not_isolate():
    """[[0,0],[0,1]] at (row 1, column 1): the full face says isolated, but row 1 is a continuum."""
    game = catalogue.one_state([[0.0, 0.0], [0.0, 1.0]])
    corner = pure(0, 0, sizes=(2, 2))
    full = jacobian(game, corner, ((0, 1), (0, 1)))
    np.testing.assert_allclose(full, [[0, 1], [1, 0]])
    assert classify(game, corner).isolated is False
    for weight in (1e-6, 0.3, 1.0):
        along = (corner[0], np.array([[1 - weight, weight]]))
        assert fixed_point_residual(game, along) == 0


@pytest.mark.parametrize("seed", range(8))
def test_every_fixed_point_is_fixed_and_every_pure_profile_is_found(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 5, size=2))
    game = catalogue.one_state(rng.random(shape))
    points = fixed_points(game)
    for point in points:
        assert fixed_point_residual(game, point.policy) < 1e-12
        for own, q in zip(point.policy, pmd.averaged_q(game, point.policy), strict=True):
            np.testing.assert_allclose(KL().update(own, 3.0 * q), own, atol=1e-12)
        assert point.nash == (pmd.nash_gap(game, point.policy) < 1e-9)
    profiles = {p.support for p in points if all(len(s) == 1 for s in p.support)}
    assert profiles == set(product(*([(a,) for a in range(m)] for m in shape)))


def test_mixed_points_of_a_two_by_two_game_are_found_by_the_indifference_formula():
    rng = np.random.default_rng(5)
    for _ in range(50):
        payoff = rng.random((2, 2))
        (a, b), (c, d) = payoff
        slope = a - b - c + d
        row, column = (d - c) / slope, (d - b) / slope
        inside = 0 < row < 1 and 0 < column < 1
        mixed = [p for p in fixed_points(catalogue.one_state(payoff)) if len(p.support[0]) == 2]
        assert len(mixed) == int(inside)
        if inside:
            assert mixed[0].policy[0][0, 0] == pytest.approx(row, abs=1e-9)
            assert mixed[0].policy[1][0, 0] == pytest.approx(column, abs=1e-9)
            assert mixed[0].conditioning == pytest.approx(abs(slope))


def test_three_agents_agree_with_a_grid_search():
    """Every small residual of a fine grid on the cube lies near an enumerated point."""
    rng = np.random.default_rng(11)
    game = catalogue.one_state(rng.random((2, 2, 2)))
    points = np.array([[own[0, 1] for own in p.policy] for p in fixed_points(game)])
    grid = np.linspace(0, 1, 81)
    cube = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    policy = tuple(np.stack([1 - cube[:, i], cube[:, i]], axis=-1)[:, None] for i in range(3))
    residual = fixed_point_residual(game, policy)
    close = cube[residual < 2e-3]
    distance = abs(close[:, None] - points[None]).max(axis=-1).min(axis=-1)
    assert len(close) >= 8
    assert distance.max() < 0.05


def test_jacobian_is_the_derivative():
    rng = np.random.default_rng(2)
    game = catalogue.one_state(rng.random((2, 3, 2)))
    policy = pmd.random_policy(game, rng)
    face = ((0, 1), (0, 1, 2), (0, 1))
    matrix = jacobian(game, policy, face)

    def differences(moved):
        q = pmd.averaged_q(game, moved)
        return np.concatenate([part[0, 1:] - part[0, 0] for part in q])

    column = 0
    for agent, actions in enumerate(face):
        for action in actions[1:]:
            moved = [own.copy() for own in policy]
            moved[agent][0, action] += 1e-6
            moved[agent][0, 0] -= 1e-6
            numeric = (differences(tuple(moved)) - differences(policy)) / 1e-6
            np.testing.assert_allclose(matrix[:, column], numeric, atol=1e-8)
            column += 1


def test_residual_of_a_batch_and_in_several_states():
    rng = np.random.default_rng(0)
    game = pmd.TabularGame(rng.random((3, 2, 2)), np.eye(3), discount=0.9)
    policy = pmd.random_policy(game, rng, batch=(5,))
    batch = fixed_point_residual(game, policy)
    assert batch.shape == (5,)
    alone = fixed_point_residual(game, tuple(own[2] for own in policy))
    assert alone == pytest.approx(batch[2])
    assert batch.min() > 0


def test_a_tie_that_was_typed_in_decimals_is_a_tie():
    """.8/2 = (1 + .12 + .04 + .44)/4 in decimals; the floats differ by 9e-17, and do not tie."""
    game = catalogue.three_agents_degenerate()
    read = {name: find_fixed_points(game, reading=name) for name in ("decimal", "binary")}
    for found in read.values():
        assert found.holds is True
        assert len(found.points) == 10
    loose = {
        name: [p for p in f.points if p.nash and not p.quasi_strict] for name, f in read.items()
    }
    assert len(loose["decimal"]) == 1
    assert loose["binary"] == []


def test_exact_and_numerical_classification_agree():
    rng = np.random.default_rng(8)
    for shape in ((2, 2), (3, 3), (2, 2, 2)):
        game = catalogue.one_state(rng.random(shape))
        for point in fixed_points(game):
            again = classify(game, point.policy)
            assert again.support == point.support
            assert (again.nash, again.strict, again.quasi_strict, again.isolated) == (
                point.nash,
                point.strict,
                point.quasi_strict,
                point.isolated,
            )
            assert again.conditioning == pytest.approx(point.conditioning)
            assert point.certified
            assert not again.certified
            assert not again.rational


def test_the_jacobian_in_rationals_is_the_one_in_floats():
    game = catalogue.three_agents_degenerate()
    for point in fixed_points(game):
        exact = jacobian(exact_game(game), point.enclosure, ((0, 1),) * 3)
        floats = jacobian(game, point.policy, ((0, 1),) * 3)
        np.testing.assert_allclose(to_float(exact), floats, atol=1e-14)


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    game = catalogue.isolated()
    with pytest.raises(pmd.InvalidGameError, match="the policy is no fixed point"):
        classify(game, pmd.uniform_policy(game))
    with pytest.raises(pmd.InvalidGameError, match="reading is 'octal', must be one of"):
        find_fixed_points(game, reading="octal")
    with pytest.raises(pmd.InvalidGameError, match=r"has 65025 choices of supports, must have at"):
        find_fixed_points(catalogue.one_state(rng.random((8, 8))))
    one = np.full((1, 1), Ball(1), dtype=object)
    with pytest.raises(pmd.InvalidGameError, match="must hold floats or rationals"):
        find_fixed_points(pmd.TabularGame(one, one, discount=0.0))
