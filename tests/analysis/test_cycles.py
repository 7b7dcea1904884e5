"""Cycles: sums by hand and by roll-outs, exact evaluation, storage, the search for open ones."""

import json

import brute_force
import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import (
    deterministic_policy,
    random_policy,
    random_rational_policy,
    replace,
)
from pmdlib.analysis.potential.cycle_search import random_pure_policy, widest_cycle
from pmdlib.analysis.potential.cycles import Cycle, between, cycle_sum, exact_cycle
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import to_float
from pmdlib.errors import InvalidPolicyError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, random_game


@pytest.mark.parametrize("make", [catalogue.stage_potential_only, catalogue.isolated])
def test_cycle_sum_by_roll_outs(make, rng):
    game = make()
    start, target = random_policy(game, rng), random_policy(game, rng)
    total, corners = cycle_sum(game, start, (0, 1), target)
    around = [start, replace(start, 0, target[0]), target, replace(start, 1, target[1])]
    worth = [brute_force.values(game, policy) for policy in around]
    expected = (
        (worth[1][0] - worth[0][0])
        + (worth[2][1] - worth[1][1])
        + (worth[3][0] - worth[2][0])
        + (worth[0][1] - worth[3][1])
    )
    np.testing.assert_allclose(total, expected, atol=1e-12)
    np.testing.assert_allclose(corners, worth, atol=1e-12)
    opposite, _ = cycle_sum(game, start, (1, 0), target[::-1])
    np.testing.assert_allclose(opposite, -total, atol=1e-12)


def test_stage_potential_only_by_hand():
    """Agent 1 moves from state 2's side to state 1's, where agent 2's mix q(0) pays it γ q/(1-γ).

    Round the cycle, only agent 1's value moves: 9 (q - q') from state 0, times its own change.
    """
    game = catalogue.stage_potential_only()
    start = (np.tile([0.25, 0.75], (3, 1)), np.tile([0.5, 0.5], (3, 1)))
    moved = (np.tile([0.75, 0.25], (3, 1)), np.tile([0.875, 0.125], (3, 1)))
    total, _ = cycle_sum(game, start, (0, 1), moved)
    np.testing.assert_allclose(total, [9 * 0.5 * (0.5 - 0.875), 0, 0], atol=1e-12)


def hexagon():
    """The pollution tax for two: a 6-cycle of pure policies, found by the search."""
    game = catalogue.pollution_tax(2)
    start = deterministic_policy(game, [[1, 0], [0, 1]])
    turns = [([0, 0], 0), ([1, 0], 1), ([0, 1], 0), ([0, 0], 1)]
    moved = [deterministic_policy(game, [own, own])[agent] for own, agent in turns]
    return game, start, moved


def test_a_longer_cycle_is_the_sum_of_its_moves():
    game, start, moved = hexagon()
    total, corners = cycle_sum(game, start, (0, 1), moved)
    policy, expected = start, 0
    for turn, own in enumerate([*moved, start[0], start[1]]):
        assert_allclose(corners[turn], brute_force.values(game, policy), rtol=1e-9)
        after = replace(policy, turn % 2, own)
        gain = brute_force.values(game, after) - brute_force.values(game, policy)
        expected = expected + gain[turn % 2]
        policy = after
    assert_allclose(total, expected, atol=1e-6)
    cycle = exact_cycle(game, start, (0, 1), moved)
    assert cycle.length == 6
    assert abs(to_float(cycle.total)) == pytest.approx(593.005, abs=1e-3)


def test_a_batch_of_walks(rng):
    game = catalogue.pollution_tax(4)
    start, aim = (random_policy(game, rng, batch=(3,)) for _ in range(2))
    total, corners = cycle_sum(game, start, (1, 3), (aim[1], aim[3]))
    assert total.shape == (3, 2)
    assert corners.shape == (4, 3, 4, 2)
    for k in range(3):
        alone, _ = cycle_sum(game, tuple(x[k] for x in start), (1, 3), (aim[1][k], aim[3][k]))
        assert_allclose(total[k], alone, atol=1e-9)


@pytest.mark.parametrize("agents", [(0, 2), (3, 1), (2, 0)])
@pytest.mark.parametrize("exogenous", [False, True])
def test_between_two_agents_the_others_are_averaged_out(agents, exogenous, rng):
    family = "dummy" if exogenous else "shaped"
    game = random_game(rng, family, Shape((2, 3, 2, 3), 2, 0.9))
    for policy in (random_policy(game, rng), random_pure_policy(game, rng)):
        pair = between(game, agents, policy)
        assert pair.num_actions == tuple(game.num_actions[agent] for agent in agents)
        values = Evaluation(pair, (policy[agents[0]], policy[agents[1]])).values
        assert_allclose(values, brute_force.values(game, policy)[list(agents)], atol=1e-9)


def test_the_exact_sum_is_that_of_the_whole_game(rng):
    game = catalogue.routing_with_wear()
    exact = game.exact()
    start, aim = (random_rational_policy(game, rng) for _ in range(2))
    cycle = exact_cycle(game, start, (2, 0), (aim[2], aim[0]))
    total, corners = cycle_sum(exact, start, (2, 0), (aim[2], aim[0]))
    assert cycle.total == total[cycle.state]
    assert abs(cycle.total) == abs(total).max()
    own = corners[:, [0, 2]]
    assert cycle.spread == own.max() - own.min()
    other = exact_cycle(game, start, (2, 0), (aim[2], aim[0]), state=1 - cycle.state)
    assert other.total == total[1 - cycle.state]


def test_storage_and_verification():
    game, start, moved = hexagon()
    cycle = exact_cycle(game, start, (0, 1), moved)
    stored = json.loads(json.dumps(cycle.to_dict()))
    again = Cycle.from_dict(stored)
    assert again.verify(game)
    assert again.to_dict() == stored
    assert again.relative == cycle.relative
    for one, two in zip((*cycle.start, *cycle.moved), (*again.start, *again.moved), strict=True):
        assert_array_equal(one, two)
    for field, value in (("total", "1/3"), ("spread", "7"), ("state", 1 - cycle.state)):
        assert not Cycle.from_dict({**stored, field: value}).verify(game)
    closed = exact_cycle(catalogue.isolated(), *closed_walk())
    assert closed.total == 0
    assert not closed.verify(catalogue.isolated())


def closed_walk():
    first, second = np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]])
    return (first, first), (0, 1), (second, second)


def test_relative_size():
    game = catalogue.stage_potential_only()
    start = deterministic_policy(game, [[0, 0, 0], [0, 0, 0]])
    aim = deterministic_policy(game, [[1, 0, 0], [0, 1, 0]])
    cycle = exact_cycle(game, start, (0, 1), aim)
    assert cycle.relative == pytest.approx(0.9)  # 9 of the range 0..10
    assert Cycle((0, 1), start, aim, 0, fmpq(0), fmpq(0)).relative == 0


@pytest.mark.parametrize("mixes", [False, True])
def test_the_search_finds_the_widest_cycle_of_matching_pennies(mixes, rng):
    """All four corners differ by 2 in turn: 8, and no mixed walk is wider."""
    sign = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    game = catalogue.TabularGame([sign, -sign], np.eye(1), discount=0.0)
    cycle = widest_cycle(game, (0, 1), rng, mixes=mixes)
    assert abs(cycle.total) == 8


def test_the_search_undoes_what_does_not_matter(rng):
    """Nothing can be done in states 1 and 2 of agent 1, nor in 0 and 2 of agent 2."""
    cycle = widest_cycle(catalogue.stage_potential_only(), (0, 1), rng, mixes=False)
    assert cycle.state == 0
    first, second = (to_float(own) for own in cycle.start)
    assert_array_equal(first[1:], [[1, 0], [1, 0]])
    assert_array_equal(second[[0, 2]], [[1, 0], [1, 0]])
    assert_array_equal(to_float(cycle.moved[0])[1:], [[1, 0], [1, 0]])
    assert_array_equal(to_float(cycle.moved[1])[[0, 2]], [[1, 0], [1, 0]])


def test_pure_policies_cannot_open_the_cycles_of_instalments(rng):
    game = catalogue.instalments()
    assert widest_cycle(game, (0, 1), rng, mixes=False).total == 0
    assert abs(widest_cycle(game, (0, 1), rng, mixes=True).total) == fmpq(1, 6)


def test_bad_arguments(rng):
    game, start, moved = hexagon()
    with pytest.raises(InvalidPolicyError, match=r"agents are \(1, 1\), must be two"):
        cycle_sum(game, start, (1, 1), moved)
    with pytest.raises(InvalidPolicyError, match="moved has 3 entries, must have an even number"):
        cycle_sum(game, start, (0, 1), moved[:3])
    with pytest.raises(InvalidPolicyError, match=r"moved\[1\]"):
        exact_cycle(game, start, (0, 1), (moved[0], moved[1][:1]))
    for wrong in ({"length": 5}, {"length": 2}, {"restarts": 0}):
        with pytest.raises(PmdError, match="length must be even and at least 4"):
            widest_cycle(game, (0, 1), rng, **wrong)
