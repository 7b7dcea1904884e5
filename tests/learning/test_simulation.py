"""Simulated play: distributions by enumeration, kinds of games against each other, seeds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom

import pmdlib as pmd
from pmdlib.analysis.values import Evaluation
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CongestionGame, CountGame, TeamGame
from pmdlib.games.families import Shape, identical_interest
from pmdlib.games.game import MarkovGame
from pmdlib.games.profiles import Profile, Roster
from pmdlib.learning.simulation import Simulator, _ByAverages, mechanics_of, play, thresholds

#: Chance that a frequency test below fails on correct code; each is two-sided and exact.
FALSE_ALARM = 1e-9


def within_chance(count, trials, probability):
    low, high = binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], trials, probability)
    return low <= count <= high


def test_thresholds_never_let_an_outcome_of_probability_zero_happen():
    edges = thresholds(np.array([0.0, 0.1, 0.2, 0.7, 0.0, 0.0]))
    largest = np.nextafter(1.0, 0.0)
    assert (edges <= 0.0).sum() == 1
    assert (largest >= edges).sum() == 3
    awkward = np.array([0.1] * 10 + [0.0])
    assert (largest >= thresholds(awkward / awkward.sum())).sum() == 9


def test_actions_and_next_states_have_their_probabilities():
    rng, count = np.random.default_rng(0), 40_000
    game = identical_interest(rng, Shape((2, 3), 3, 0.5))
    policy = pmd.random_policy(game, rng)
    simulator = Simulator(game, policy)
    for state in range(3):
        states = np.full(count, state)
        actions = simulator.decide(states, rng)
        for agent, own in enumerate(policy):
            for action, probability in enumerate(own[state]):
                assert within_chance((actions[agent] == action).sum(), count, probability)
        both = (actions[0] == 1) & (actions[1] == 2)  # agents act independently
        assert within_chance(both.sum(), count, policy[0][state, 1] * policy[1][state, 2])
        fixed = np.array([[1], [2]]) + 0 * states
        rewards, following = simulator.step(states, fixed, rng)
        assert (rewards == game.rewards[:, state, 1, 2][:, None]).all()
        for after, probability in enumerate(game.kernel[state, 1, 2]):
            assert within_chance((following == after).sum(), count, probability)
    starts = simulator.start(count, rng)
    for state, probability in enumerate(game.initial):
        assert within_chance((starts == state).sum(), count, probability)


def moved_team():
    rng, agents = np.random.default_rng(5), 4
    stay = rng.random((2, 2, agents + 1)) / 4
    kernel = np.stack([stay, 0.5 - stay], axis=-1)
    return TeamGame(rng.random((2, 2, agents + 1)), agents, kernel, discount=0.5)


def mixed_populations():
    groups = [(3, [(0,), (1, 2)]), (2, [(1,), (2,), ()])]
    return CongestionGame(np.random.default_rng(1).normal(size=(1, 3, 5)), groups)


@pytest.mark.parametrize(
    "game",
    [
        catalogue.commute(5),
        moved_team(),
        mixed_populations(),
        CountGame([0.0, 1.0, 0.3, 0.7]),
        catalogue.routing_with_wear(),
        catalogue.routing_in_weather(),
        catalogue.stay_or_leave(),
        catalogue.stage_potential_only(),
    ],
    ids=["commute", "moved-team", "populations", "count", "wear", "weather", "leave", "stage"],
)
def test_outcomes_agree_with_averages_over_pure_policies(game):
    """The fast look-ups against the interface that every game has."""
    rng, count = np.random.default_rng(2), 60
    states = rng.integers(game.num_states, size=count)
    actions = np.stack([rng.integers(m, size=count) for m in game.num_actions])
    found = mechanics_of(game).outcomes(states, actions)
    for fast, slow in zip(found, _ByAverages(game).outcomes(states, actions), strict=True):
        assert fast.shape == slow.shape
        np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_a_game_of_ones_own_can_be_played():
    dense = catalogue.routing_with_wear()

    class Own(MarkovGame):
        num_actions, discount, initial = dense.num_actions, dense.discount, dense.initial
        average_rewards, average_kernel = dense.average_rewards, dense.average_kernel
        average_potential = has_potential = potential_shift = phi_max = reward_bound = None

    policy = pmd.uniform_policy(dense)
    paths = []
    for game in (dense, Own()):
        rng = np.random.default_rng(3)
        simulator = Simulator(game, policy)
        moments = play(simulator, simulator.start(7, rng), rng, continuation=0.5, horizon=6)
        paths.append([(m.states.tolist(), m.rewards.round(9).tolist()) for m in moments])
    assert paths[0] == paths[1]


def test_lengths_of_plays_are_geometric_and_horizons_are_kept():
    game, count = catalogue.anti_coordination(), 40_000
    simulator = Simulator(game, pmd.uniform_policy(game))
    states = np.zeros(count, dtype=int)
    alive = [
        len(moment.plays)
        for moment in play(simulator, states, np.random.default_rng(0), continuation=0.75)
    ]
    assert alive[0] == count
    for now, after in pairwise(alive[:11]):
        assert within_chance(after, now, 0.75)
    lengths = {0.0: 1, 1.0: 5}
    for continuation, length in lengths.items():
        rng = np.random.default_rng(0)
        moments = [*play(simulator, states, rng, continuation=continuation, horizon=5)]
        assert len(moments) == length
        assert (moments[-1].plays == np.arange(count)).all()


def test_the_first_action_can_be_set():
    game = catalogue.isolated()
    simulator = Simulator(game, pmd.uniform_policy(game))
    agents, actions = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    rng = np.random.default_rng(0)
    (moment,) = play(simulator, 0 * agents, rng, continuation=0.0, first=(agents, actions))
    assert (moment.actions[agents, moment.plays] == actions).all()


def test_shared_policies_are_drawn_for_each_agent():
    game = catalogue.commute(6)
    alike = pmd.uniform_policy(game)
    apart = Profile([np.full((6, 2, 4), 0.25)], Roster.apart(game.populations))
    states = np.zeros(50, dtype=int)
    drawn = [
        Simulator(game, policy).decide(states, np.random.default_rng(1))
        for policy in (alike, apart, tuple(apart))
    ]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] == drawn[2]).all()
    assert len({tuple(row) for row in drawn[0]}) == 6


def test_the_mean_of_play_is_the_value():
    """Values by a linear solve against discounted sums along plays, with a stated error rate."""
    rng = np.random.default_rng(8)
    game = catalogue.routing_with_wear()
    policy = pmd.random_policy(game, rng)
    simulator, count, steps = Simulator(game, policy), 20_000, 120
    total = np.zeros((game.num_agents, count))
    for time, moment in enumerate(
        play(simulator, simulator.start(count, rng), rng, continuation=1.0, horizon=steps)
    ):
        total += game.discount**time * moment.rewards
    exact = Evaluation(game, policy).values @ game.initial
    tail = game.discount**steps * game.reward_bound / (1 - game.discount)
    error = total.std(axis=1) / np.sqrt(count)
    assert (abs(total.mean(axis=1) - exact) <= 7 * error + tail).all()


def test_exact_games_are_refused():
    game = catalogue.isolated().exact()
    with pytest.raises(pmd.PmdError, match=r"exact numbers.*game\.rounded"):
        Simulator(game, pmd.uniform_policy(game))
