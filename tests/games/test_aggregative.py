"""Games seen through counts: against dense games, against SciPy's distributions, and bad input."""

import time

import numpy as np
import pytest
import sympy
from flint import fmpq
from numpy.testing import assert_allclose
from scipy import stats

from pmdlib.analysis.policies import random_policy, random_rational_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Ball, enclose, is_exact, precision, rationals, to_float
from pmdlib.errors import InvalidGameError
from pmdlib.games.aggregative import MOST_AGENTS, CountGame, count_weights
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def dense(game):
    """The same game as a joint tensor."""
    counts = np.indices((2,) * game.num_agents).sum(axis=0)
    kernel = game.average_kernel(())[0][:, 0]
    return TabularGame(game.payoffs[counts][None], kernel, discount=game.discount)


def one_policy(*probabilities):
    return tuple(np.array([[1 - p, p]]) for p in probabilities)


def random_exact(rng, agents):
    return CountGame(rationals(rng.integers(-9, 9, agents + 1), rng.integers(1, 9, agents + 1)))


# Averages


def test_averages_by_hand():
    game = CountGame([1.0, 2.0, 4.0])
    first, second = game.average_rewards(one_policy(0.25, 0.5))
    assert_allclose(first, [[1.5, 3.0]])  # the other plays 1 half of the time
    assert_allclose(second, [[1.25, 2.5]])
    assert_allclose(CountGame([3.0, 7.0]).average_rewards(one_policy(0.9))[0], [[3.0, 7.0]])


@pytest.mark.parametrize("agents", range(1, 7))
def test_averages_are_those_of_the_dense_game(agents, rng):
    game = CountGame(rng.normal(size=agents + 1))
    table = dense(game)
    policy = random_policy(game, rng, batch=(3, 2))
    shared = (*policy[:1] * (agents - agents // 2), *policy[-1:] * (agents // 2))
    for played in (policy, shared):
        one, other = Evaluation(game, played), Evaluation(table, played)
        assert_allclose(one.values, other.values, atol=1e-13)
        assert_allclose(one.potential_values, other.potential_values, atol=1e-13)
        for mine, theirs in zip(one.potential_q, other.potential_q, strict=True):
            assert_allclose(mine, theirs, atol=1e-13)
        for average in game.average_rewards(played):
            assert average.shape == (3, 2, 1, 2)
    assert game.phi_max == pytest.approx(table.phi_max)
    assert game.reward_bound == table.reward_bound


@pytest.mark.parametrize("agents", range(1, 7))
def test_exact_averages_are_exactly_those_of_the_dense_game(agents, rng):
    game = random_exact(rng, agents)
    table = dense(game)
    policy = random_rational_policy(game, rng)
    for played in (policy, policy[:1] * agents):
        one, other = Evaluation(game, played), Evaluation(table, played)
        assert (one.values == other.values).all()
        assert (one.potential_values == other.potential_values).all()
        for mine, theirs in zip(one.averaged_q, other.averaged_q, strict=True):
            assert (mine == theirs).all()


def test_balls_enclose_the_exact_averages(rng):
    game = random_exact(rng, 7)
    policy = random_rational_policy(game, rng)
    policy = (*policy[:5], policy[0], policy[0])
    expected = game.average_potential(policy)
    with precision(96):
        found = game.average_potential(tuple(enclose(own) for own in policy))
        for mine, theirs in zip(found, expected, strict=True):
            for ball, number in zip(mine.flat, theirs.flat, strict=True):
                assert ball.lower <= number <= ball.upper
                assert ball.width < 1e-25


def test_different_policies_within_the_same_enclosure_are_enclosed(rng):
    """Two agents whose balls look alike need not be the same: all that lies inside is covered."""
    game = random_exact(rng, 4)
    with precision(64):
        middle = Ball(fmpq(1, 3)).union(fmpq(2, 3))
        own = np.array([[1 - middle, middle]], dtype=object)
        found = game.average_rewards((own,) * 4)[0]
    for ends in np.ndindex(2, 2, 2, 2):
        policy = one_policy(*[fmpq(1 + end, 3) for end in ends])
        for ball, number in zip(found.flat, game.average_rewards(policy)[0].flat, strict=True):
            assert ball.lower <= number <= ball.upper


def test_symbols_give_the_polynomial():
    p = sympy.Symbol("p")
    average = CountGame(np.array([fmpq(1), fmpq(2), fmpq(5)])).average_rewards(one_policy(p, p))
    assert sympy.expand(average[0][0, 1] - (2 + 3 * p)) == 0


@pytest.mark.parametrize("agents", [12, 100, MOST_AGENTS])
def test_counts_are_binomial(agents):
    for p in (0.0, 1e-3, 0.4, 1.0):
        weights = count_weights(np.array([1 - p, p]), agents)
        expected = stats.binom.pmf(np.arange(agents + 1), agents, p)
        assert_allclose(weights, expected, rtol=1e-10, atol=1e-15)


def test_counts_of_different_policies_are_poisson_binomial(rng):
    agents = 40
    probabilities = rng.random(agents)
    probabilities[5:20] = probabilities[4]
    game = CountGame(rng.random(agents + 1))
    averages = game.average_rewards(one_policy(*probabilities))
    for agent in (0, 4, 19, 39):
        others = np.delete(probabilities, agent)
        weights = stats.poisson_binom.pmf(np.arange(agents), others)
        expected = [weights @ game.payoffs[:-1], weights @ game.payoffs[1:]]
        assert_allclose(averages[agent][0], expected, rtol=1e-12)


def test_a_symmetric_population_is_cheap(rng):
    game = CountGame(rng.integers(0, 2**40, 65) / 2**40).exact()
    own = np.array([[fmpq(2**40 - 12345678901, 2**40), fmpq(12345678901, 2**40)]])
    begun = time.process_time()
    averages = game.average_rewards((own,) * 64)
    assert time.process_time() - begun < 0.05
    assert is_exact(averages[0])
    floats = CountGame(to_float(game.payoffs)).average_rewards((to_float(own),) * 64)
    assert_allclose(to_float(averages[7]), floats[7], rtol=1e-12)


# What the game says about itself


def test_attributes():
    game = CountGame([0, 2, 1])
    assert isinstance(game, MarkovGame)
    assert (game.num_agents, game.num_states, game.num_actions) == (2, 1, (2, 2))
    assert (game.phi_max, game.reward_bound, game.discount) == (2.0, 2.0, 0.0)
    assert game.has_potential
    assert game.identical_interest
    assert_allclose(game.average_kernel(one_policy(0.5, 0.5))[1], np.ones((1, 2, 1)))


def test_a_negative_potential_is_shifted():
    game = CountGame([-1.0, 3.0])
    assert (game.phi_max, game.reward_bound) == (4.0, 3.0)
    assert_allclose(game.average_potential(one_policy(0.5))[0], [[0.0, 4.0]])
    assert_allclose(game.average_rewards(one_policy(0.5))[0], [[-1.0, 3.0]])
    assert CountGame([1.0, 3.0]).phi_max == 3.0


def test_exact_takes_floats_as_they_are():
    game = CountGame([-0.1, 0.25]).exact()
    tenth = fmpq(*(0.1).as_integer_ratio())
    assert game.payoffs[0] == -tenth
    assert game.phi_max == fmpq(1, 4) + tenth
    assert game.reward_bound == fmpq(1, 4)
    assert isinstance(game.discount, fmpq)
    assert game.initial[0] == 1
    assert (game.exact().payoffs == game.payoffs).all()


def test_a_game_does_not_change_when_its_arrays_do():
    payoffs = np.array([1.0, 2.0])
    game = CountGame(payoffs)
    payoffs[:] = np.nan
    game.payoffs[:] = np.nan
    assert game.payoffs.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        ([1.0], "payoffs have shape (1,), must be (N + 1,)"),
        (np.ones((2, 2)), "payoffs have shape (2, 2), must be (N + 1,)"),
        ([0, np.nan, 1], "payoffs[k=1] is nan, must be finite"),
        (np.array([fmpq(1), np.inf]), "payoffs[k=1] is inf, must be finite"),
        (["a", "b"], "payoffs must hold real numbers, not <U1"),
        ([1j, 2], "payoffs must hold real numbers, not complex128"),
        (np.array([None, 1]), "payoffs must hold real numbers"),
        (np.ones(MOST_AGENTS + 2), "payoffs are for 1001 agents, must be for at most 1000"),
    ],
)
def test_bad_payoffs_are_named(payoffs, message):
    with pytest.raises(InvalidGameError) as caught:
        CountGame(payoffs)
    assert message in str(caught.value)
