"""The claims about fixed points: exact twins, Jacobian bounds, kernels, and what must not pass."""

from itertools import islice

import numpy as np
import pytest
from flint import fmpq

import pmdlib as pmd
from pmdlib.analysis.fixed_points import find_fixed_points, fixed_point_residual
from pmdlib.arithmetic import is_exact, to_exact, to_float
from pmdlib.claims import isolation
from pmdlib.claims.claim import SMALL
from pmdlib.claims.instances import fixed_point_instance, small_game, two_state_game
from pmdlib.claims.ways.certifying import DISPROVED, PROVED, check_rigorously, decide
from pmdlib.games import catalogue


def surroundings(game, number):
    """Around one fixed point of a game, over rationals."""
    found = find_fixed_points(game)
    point = found.points[number]
    return isolation._Surroundings(found.game, point.enclosure, point.support)


def test_twins_are_the_fixed_points_themselves():
    rng = np.random.default_rng(0)
    instance = fixed_point_instance(catalogue.isolated(), "here", rng)
    for which in range(instance.count):
        twin = instance.exact(which)
        assert is_exact(twin.policy[0])
        policy = tuple(own[0] for own in twin.policy)
        assert fixed_point_residual(twin.game, policy) == 0
        assert twin.extra["points"] == instance.extra["points"][which : which + 1]
    assert [*twin.policy[0][0, 0]] == [fmpq(4, 11), fmpq(7, 11)]


@pytest.mark.parametrize("agents", [2, 3])
def test_small_games_are_floats_without_rounding(agents):
    """Payoffs are multiples of 1/1024, so decimal and binary readings are the same game."""
    rng = np.random.default_rng(agents)
    for degenerate in (True, False):
        game = small_game(rng, degenerate=degenerate, agents=agents)
        assert game.num_agents == agents
        assert pmd.is_markov_potential_game(game, rng).verdict
        np.testing.assert_array_equal(game.rewards * 1024, np.round(game.rewards * 1024))
    two = two_state_game(rng, values=(0.0, 0.5, 1.0))
    assert set(np.unique(two.rewards)) <= {0.0, 0.5, 1.0}


def test_regularity_by_hand():
    """[[1,.3],[.2,.6]]: the differences have slopes 1.1 and 1.1, so 1/‖J⁻¹‖ = 1.1."""
    mixed = surroundings(catalogue.isolated(), 4)
    assert mixed.regular
    assert mixed.regularity == {((0, 1), (0, 1)): fmpq(11, 10)}
    assert mixed.radius == 1  # two agents, nothing untied: everywhere
    corner = surroundings(catalogue.isolated(), 0)
    assert corner.regularity == {}
    assert corner.radius == fmpq(7, 40)  # the smallest advantage, -.7, over four payoffs of 1


def test_two_faces_of_the_degenerate_game():
    around = surroundings(catalogue.three_agents_degenerate(), 8)
    assert around.tied == ((0, 1),) * 3
    assert around.regular
    assert list(around.regularity) == [((0,), (0, 1), (0, 1)), ((0, 1),) * 3]
    assert around.regularity[(0,), (0, 1), (0, 1)] == fmpq(8, 5)


def test_the_bound_is_attained_and_never_passed_in_rationals():
    """At (½, ½) of anti-coordination, moving both agents by z gives an advantage of about z."""
    found = find_fixed_points(catalogue.anti_coordination())
    point = found.points[-1]
    around = isolation._Surroundings(found.game, point.enclosure, point.support)
    residual, bound = around.nearby(np.random.default_rng(0))
    ratios = residual / bound
    assert all(isinstance(ratio, fmpq) for ratio in ratios)
    assert 1 <= min(ratios) < fmpq(3, 2)


def test_kernels():
    matrix = np.array([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 2.0, 4.0], [1.0, 0.0, 0.0, 0.0]])
    for table, tolerance in ((matrix, 1e-12), (to_exact(matrix), 0)):
        basis = isolation.null_directions(table, tolerance)
        assert [[int(x) for x in vector] for vector in basis] == [[0, 1, 0, 0], [0, 0, -2, 1]]
        assert not any((table @ vector).any() for vector in basis)
    assert isolation.null_directions(np.eye(2), 0.0) == []


@pytest.mark.parametrize("exact", [True, False])
def test_segments_are_followed_where_they_are_and_nowhere_else(exact):
    for game, number, there in (
        (catalogue.slow_switch(0.0), 0, True),
        (catalogue.slow_switch(0.0), 4, True),
        (catalogue.slow_switch(0.0), 3, False),
        (catalogue.isolated(), 4, False),
    ):
        found = find_fixed_points(game)
        point = found.points[number]
        chosen = (found.game, point.enclosure) if exact else (game, point.policy)
        along = isolation._Surroundings(*chosen, point.support).along_continuum()
        assert (abs(to_float(along)) < 1e-12) == there
        assert not exact or (along == 0) == there


def test_two_agents_decide_by_jacobians_what_the_enumeration_knows():
    """Every point of the random two-agent games, exactly: no tolerance on either side."""
    rng, seen = np.random.default_rng(5), set()
    for number in range(12):
        found = find_fixed_points(small_game(rng, degenerate=number % 2 == 1))
        for point in found.points:
            around = isolation._Surroundings(found.game, point.enclosure, point.support)
            assert around.regular == point.isolated
            seen.add(point.isolated)
    assert seen == {True, False}


def test_a_double_root_is_alone_and_singular():
    found = find_fixed_points(isolation.double_root())
    inside = next(p for p in found.points if p.support == ((0, 1),) * 3)
    assert inside.isolated is True
    around = isolation._Surroundings(found.game, inside.enclosure, inside.support)
    assert not around.regular
    test = pmd.is_markov_potential_game(isolation.double_root(), np.random.default_rng(0))
    assert not test.verdict


@pytest.mark.parametrize("name", ["fixed-points-kl", "isolated-fixed-points"])
def test_every_exact_instance_is_decided_for_the_claim(name):
    evidence = check_rigorously(pmd.claims[name], np.random.default_rng(2), "full", 60)
    assert evidence.instances == 60
    assert evidence.failures == 0


def test_a_bound_that_is_too_large_is_disproved(monkeypatch):
    right = isolation._Surroundings._regularity
    monkeypatch.setattr(
        isolation._Surroundings, "_regularity", lambda self, face: 3 * right(self, face)
    )
    assert check_rigorously(pmd.claims["isolated-fixed-points"], *wrong()).failures > 0


def test_a_jacobian_that_looks_regular_is_disproved(monkeypatch):
    monkeypatch.setattr(isolation._Surroundings, "_regularity", lambda self, face: fmpq(1, 10**9))
    assert check_rigorously(pmd.claims["isolated-fixed-points"], *wrong()).failures > 0


def wrong():
    return np.random.default_rng(0), "full", 40


def test_enumerated_points_that_move_are_disproved():
    """The claim about the step, at a policy next to a fixed point that is said to be one."""
    claim = pmd.claims["fixed-points-kl"]
    instances = islice(claim.instances(np.random.default_rng(0), SMALL), 20)
    fixed = next(i for i in instances if "points" in i.extra and i.game.num_agents == 2)
    twin = fixed.exact(fixed.count - 1)
    assert all((decide(side) == PROVED).all() for side in claim.compare(twin))
    tilted = tuple((own + fmpq(1, own.shape[-1])) / 2 for own in twin.policy)
    moved = type(twin)(twin.game, tilted, "tilted", twin.extra)
    last = list(claim.compare(moved))[-1]
    assert (decide(last) == DISPROVED).any()
