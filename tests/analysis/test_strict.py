"""Strict equilibria: margins and sensitivities by hand and by loops, and runs that stay."""

import itertools

import brute_force
import numpy as np
import pytest
from flint import fmpq

import pmdlib as pmd
from pmdlib.analysis.strict import basin, near, settle
from pmdlib.arithmetic import to_float
from pmdlib.errors import InvalidPolicyError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game


def test_the_corner_of_the_isolated_game_by_hand():
    found = basin(catalogue.isolated().exact(), [[0], [0]])
    # rows 1, .3 and .2, .6 as floats: losses 1 - .2 and 1 - .3, at the other column .3 - .6
    assert [to_float(own).round(12).tolist() for own in found.losses] == [[[0, 0.8]], [[0, 0.7]]]
    assert float(to_float(found.margin)) == pytest.approx(0.7)
    assert float(to_float(found.most)) == pytest.approx(0.8)
    assert float(to_float(found.sensitivity)) == pytest.approx(1.1)
    assert found.radius == pytest.approx(0.7 / 2.2)


def test_a_profile_that_is_no_equilibrium_has_a_negative_margin_and_a_tied_one_none():
    assert basin(catalogue.isolated(), [[0], [1]]).margin < 0
    tied = basin(catalogue.one_state([[1.0, 1.0], [1.0, 0.0]]).exact(), [[0], [0]])
    assert tied.margin == 0
    assert tied.sensitivity == 1


def test_agents_who_do_not_interact_are_everywhere_near():
    payoff = np.array([1.0, 0.0])[:, None] + np.array([0.5, 0.0])
    found = basin(catalogue.one_state(payoff), [[0], [0]])
    assert found.radius == np.inf
    assert found.holds((np.array([[0.01, 0.99]]), np.array([[0.01, 0.99]])))
    assert not found.holds((np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])))


@pytest.mark.parametrize("family", [*FAMILIES])
def test_losses_are_those_of_a_loop_over_deviations(family):
    rng = np.random.default_rng(0)
    game = random_game(rng, family, Shape((2, 3), 2, 0.5))
    actions = settle(game, rng)
    found = basin(game, actions)
    policy = pmd.deterministic_policy(game, actions)
    values = brute_force.values(game, policy)
    for agent, state in itertools.product(range(2), range(2)):
        for action in range(game.num_actions[agent]):
            joint = [int(own[state]) for own in actions]
            joint[agent] = action
            kernel = brute_force.next_states(game, state, joint)
            q = game.rewards[(agent, state, *joint)] + game.discount * kernel @ values[agent]
            assert found.losses[agent][state, action] == pytest.approx(
                values[agent, state] - q, abs=1e-9
            )
    assert found.margin >= -1e-12


@pytest.mark.parametrize("seed", range(6))
def test_losses_change_by_no_more_than_the_sensitivity_allows(seed):
    """The bound K E(π), at policies far outside of the neighbourhood too."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, [*FAMILIES][seed % 4], Shape((2, 3, 2), 3, 0.5))
    actions = settle(game, rng)
    found = basin(game, actions)
    pure = pmd.deterministic_policy(game, actions)
    drawn = pmd.random_policy(game, rng, batch=(50,))
    share = rng.random((50, 1, 1))
    policy = tuple(share * own + (1 - share) * p for own, p in zip(drawn, pure, strict=True))
    deviation = found.deviation(policy)
    for q, limit, own in zip(pmd.averaged_q(game, policy), found.losses, actions, strict=True):
        loss = np.take_along_axis(q, np.broadcast_to(own[:, None], (50, 3, 1)), axis=-1) - q
        away = abs(loss - limit).max(axis=(-1, -2))
        assert (away <= found.sensitivity * deviation + 1e-9).all()


def test_best_responses_settle_at_an_equilibrium_or_say_that_they_do_not():
    rng = np.random.default_rng(1)
    for _ in range(5):
        game = random_game(rng)
        policy = pmd.deterministic_policy(game, settle(game, rng))
        assert pmd.nash_gap(game, policy) <= 1e-8 * game.reward_bound / (1 - game.discount)
    pennies = pmd.TabularGame(
        [np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[0.0, 1.0], [1.0, 0.0]]])],
        np.eye(1),
        discount=0.0,
    )
    assert settle(pennies, rng) is None


def test_policies_near_a_profile_deviate_by_the_share_that_was_asked_for():
    rng = np.random.default_rng(2)
    game = catalogue.routing_in_weather()
    found = basin(game, settle(game, rng))
    policy = near(found, rng, (1.0, 0.25), game.num_actions)
    np.testing.assert_allclose(found.deviation(policy), found.radius * np.array([1.0, 0.25]))
    assert all(np.allclose(own.sum(axis=-1), 1) for own in policy)
    np.testing.assert_allclose(found.away(policy), 1 - found.played(policy), atol=1e-12)


def test_the_bounds_on_the_gap_in_numbers():
    """(3Δ/2) o e^{-ηδt/2}, and with the drift η K O / (1 - e^{-ηδ/2}), by hand."""
    found = basin(catalogue.isolated(), [[0], [0]])
    start = (np.array([[0.9, 0.1]]), np.array([[0.95, 0.05]]))
    rough, sharp = found.log_gap_bounds(start, 2.0, np.array([0, 3]))
    first, odds = np.log(1.2 / 9), 1 / 9 + 1 / 19
    drift = 2 * 1.1 * odds / (1 - np.exp(-0.7))
    np.testing.assert_allclose(rough, [first, first - 2.1])
    np.testing.assert_allclose(sharp, [first + drift, first - 4.2 + drift])


def test_a_game_without_choices_has_no_deviation():
    game = pmd.TabularGame(np.ones((1, 1, 1)), np.eye(1), discount=0.0)
    with pytest.raises(InvalidPolicyError, match="nobody can deviate"):
        basin(game, [[0], [0]])
    with pytest.raises(InvalidPolicyError, match=r"must be in 0\.\.1"):
        basin(catalogue.isolated(), [[0], [2]])


def test_exact_arrival_of_a_euclidean_run():
    """Bound 4 ε/(ηδ), in rationals: every mass but that of the profile is cut off exactly."""
    game = catalogue.isolated().exact()
    found, step = basin(game, [[0], [0]]), fmpq(1, 4)
    start = tuple(np.array([[fmpq(17, 20), fmpq(3, 20)]], dtype=object) for _ in range(2))
    assert found.holds(start)
    count = int(float(to_float(4 * fmpq(3, 20) / (step * found.margin)))) + 1
    last = pmd.run_pmd(game, "euclidean", step, count, start).policy
    assert all((own == np.array([[1, 0]])).all() for own in last)
