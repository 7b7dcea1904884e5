"""Best responses, gaps, c and κ against QuantEcon, enumeration and roll-outs."""

import itertools
import math

import brute_force
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from quantecon.markov import DiscreteDP

from pmdlib.analysis.equilibrium import (
    TIE_TOLERANCE,
    best_response,
    constant_c,
    mismatch,
    nash_gap,
    nash_regret,
    solve_mdp,
    tie_tolerance,
)
from pmdlib.analysis.policies import deterministic_policy, random_policy, replace, uniform_policy
from pmdlib.arithmetic import to_exact
from pmdlib.errors import InvalidPolicyError, NotConvergedError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.game import InducedMDP
from pmdlib.games.tabular import TabularGame

GAMES = brute_force.small_games(24, seed=2)


def scale(game):
    return max(game.reward_bound, 1) / (1 - game.discount)


def optimum(game, policy, agent):
    """Optimal values of one agent against the others, by QuantEcon's policy iteration, (S,)."""
    rewards, kernel = brute_force.induced(game, policy, agent, game.rewards[agent])
    program = DiscreteDP(rewards, kernel, game.discount)
    return program.solve(method="policy_iteration").v


# By hand


def test_best_responses_and_gaps_by_hand():
    game = catalogue.one_state([[1.0, 0.3], [0.2, 0.6]])
    policy = (np.array([[0.25, 0.75]]), np.array([[0.5, 0.5]]))  # V = .4625
    assert best_response(game, policy, 0).tolist() == [[1, 0]]  # .65 against .4
    assert best_response(game, policy, 1).tolist() == [[0, 1]]  # .4 against .525
    assert_allclose(nash_gap(game, policy, per_agent=True), [0.65 - 0.4625, 0.525 - 0.4625])
    gap = nash_gap(game, policy)
    assert isinstance(gap, float)
    assert gap == pytest.approx(0.1875)
    assert constant_c(game, policy) == 0.25  # min(.25, .5)


def test_the_gap_starts_from_the_initial_distribution():
    """From state 0 leaving is worth 9 - V(0); from state 1 there is nothing to gain."""
    stay = (np.array([[1.0, 0], [0.5, 0.5]]),)
    game = catalogue.stay_or_leave()
    assert nash_gap(game, stay) == pytest.approx(9)
    tail = TabularGame(np.array(game.rewards[0]), game.kernel, discount=0.9, initial=[0.25, 0.75])
    assert nash_gap(tail, stay) == pytest.approx(9 / 4)


def test_the_gap_is_the_largest_over_agents():
    game = catalogue.pollution_tax(2)
    free = TabularGame(list(game.rewards), game.kernel, discount=0.0, initial=[1.0, 0.0])
    policy = (np.array([[1.0, 0], [1, 0]]), np.array([[0.5, 0.5], [1, 0]]))
    assert_allclose(nash_gap(free, policy, per_agent=True), [2, 1])
    assert nash_gap(free, policy) == 2


# Independent routes


@pytest.mark.parametrize("index", range(len(GAMES)))
def test_against_quantecon(index, rng):
    game = GAMES[index]
    policy = brute_force.near_vertex_policy(game, rng)
    worth = brute_force.values(game, policy)
    gains = []
    for agent in range(game.num_agents):
        best = optimum(game, policy, agent)
        response = best_response(game, policy, agent)
        assert set(np.unique(response)) <= {0.0, 1.0}
        assert_array_equal(response.sum(axis=-1), 1)
        reached = brute_force.values(game, replace(policy, agent, response))[agent]
        assert_allclose(reached, best, atol=1e-9 * scale(game))  # optimal from EVERY state
        gains.append((best - worth[agent]) @ game.initial)
    close = {"abs": 1e-9 * scale(game)}
    assert nash_gap(game, policy, per_agent=True) == pytest.approx(np.array(gains), **close)
    assert nash_gap(game, policy) == pytest.approx(max(gains), **close)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_no_deterministic_deviation_does_better(family, rng):
    game = random_game(rng, family, Shape((2, 3), 3, 0.9))
    policy = brute_force.near_vertex_policy(game, rng)
    worth = brute_force.values(game, policy) @ game.initial
    gains = []
    for agent, count in enumerate(game.num_actions):
        gains.append(
            max(
                brute_force.values(game, replace(policy, agent, np.eye(count)[list(plan)]))[agent]
                @ game.initial
                for plan in itertools.product(range(count), repeat=game.num_states)
            )
            - worth[agent]
        )
    assert_allclose(nash_gap(game, policy, per_agent=True), gains, atol=1e-10)


@pytest.mark.parametrize("index", range(len(GAMES)))
def test_c_is_the_smallest_mass_on_the_best_actions(index, rng):
    game = GAMES[index]
    policy = brute_force.near_vertex_policy(game, rng)
    smallest = 1.0
    for own, q in zip(policy, brute_force.averaged_q(game, policy), strict=True):
        for state in range(game.num_states):
            best = q[state].max()
            tied = [a for a, x in enumerate(q[state]) if x > best - 1e-9 * scale(game)]
            smallest = min(smallest, sum(own[state, a] for a in tied))
    assert constant_c(game, policy) == pytest.approx(smallest)


def kappas(game, policies, below):
    """κ_t, one t, agent and state at a time, with occupancies by power series."""
    series = []
    for before, after in itertools.pairwise(policies):
        visits = brute_force.occupancy(game, after, below)
        worst = 0.0
        for agent in range(game.num_agents):
            response = best_response(game, before, agent)
            there = brute_force.occupancy(game, replace(before, agent, response), game.initial)
            for top, bottom in zip(there, visits, strict=True):
                worst = max(worst, top / bottom if top > 0 else 0.0)
        series.append(worst)
    return series


@pytest.mark.parametrize("index", range(0, len(GAMES), 2))
def test_mismatch_divides_by_the_next_iterate(index, rng):
    game = GAMES[index]
    run = [brute_force.near_vertex_policy(game, rng) for _ in range(4)]
    stacked = tuple(np.stack(parts) for parts in zip(*run, strict=True))
    uniform = np.full(game.num_states, 1 / game.num_states)
    inside = TabularGame(  # a start that reaches every state, so that no ratio is 0/0 by rounding
        list(game.rewards), game.kernel, discount=game.discount, initial=uniform
    )
    assert_allclose(mismatch(inside, stacked), kappas(inside, run, uniform), rtol=1e-7)
    below = mismatch(game, stacked, uniform)
    assert_allclose(below, kappas(game, run, uniform), rtol=1e-7)
    assert (below <= game.num_states / (1 - game.discount) * (1 + 1e-9)).all()


def test_mismatch_by_hand():
    """The best response leaves at once, d = (.1, .9); with chance p, d(0) = .1/(.1 + .9p)."""
    game = catalogue.stay_or_leave()
    first, second = (np.array([[1 - p, p], [1, 0]]) for p in (0.25, 0.5))
    policies = (np.stack([first, second]),)
    stays = 0.1 / (0.1 + 0.9 * 0.5)
    assert_allclose(mismatch(game, policies), [0.9 / (1 - stays)])
    below = 0.1 * 0.5 / (0.1 + 0.9 * 0.5)  # d(0) from the uniform start
    assert_allclose(mismatch(game, policies, np.array([0.5, 0.5])), [max(0.1 / below, 0.9)])


def test_mismatch_at_states_that_nobody_or_only_one_side_visits():
    game = catalogue.stay_or_leave()
    stay, leave = np.array([[1.0, 0], [1, 0]]), np.array([[0.0, 1], [1, 0]])
    assert mismatch(game, (np.stack([stay, stay]),)).tolist() == [math.inf]
    assert_allclose(mismatch(game, (np.stack([stay, leave]),)), [1])
    third = np.zeros((3, 2))  # a state that nothing reaches does not count
    third[:2], third[2] = game.rewards[0], 5
    kernel = np.zeros((3, 2, 3))
    kernel[:2, :, :2] = game.kernel
    kernel[2, :, 2] = 1
    larger = TabularGame(third, kernel, discount=0.9, initial=[1.0, 0, 0])
    leaves = np.array([[0.0, 1], [1, 0], [1, 0]])
    assert_allclose(mismatch(larger, (np.stack([leaves, leaves]),)), [1])


def test_mismatch_of_a_batch_of_runs(rng):
    game = random_game(rng, "shaped", Shape((2, 3), 3, 0.9))
    policies = random_policy(game, rng, batch=(4, 5))  # T + 1 = 4, batch 5
    together = mismatch(game, policies)
    assert together.shape == (3, 5)
    for run in range(5):
        alone = mismatch(game, tuple(part[:, run] for part in policies))
        assert_allclose(together[:, run], alone)


# Policy iteration


def test_policy_iteration_by_hand_needs_several_rounds():
    """A corridor of 6 states with the reward at its end: a greedy start sees nothing of it."""
    states = 6
    rewards, kernel = np.zeros((states, 2)), np.zeros((states, 2, states))
    for state in range(states):
        kernel[state, 0, max(state - 1, 0)] = kernel[state, 1, min(state + 1, states - 1)] = 1
    rewards[-1, 1], rewards[0, 0] = 1, 0.01
    mdp = InducedMDP(rewards, kernel, 0.9)
    values, actions = solve_mdp(mdp, rewards, 1e-12)
    assert actions.tolist() == [1] * states
    assert_allclose(values, [10 * 0.9 ** (states - 1 - s) for s in range(states)])


def test_policy_iteration_is_exact_in_exact_arithmetic(rng):
    game = random_game(rng, "identical-interest", Shape((3,), 4, 0.9))
    mdp = game.exact().induced_mdps((to_exact(np.eye(3)[[0, 1, 2, 0]]),))[0]
    values, actions = solve_mdp(mdp, mdp.rewards, 0)
    ahead = mdp.rewards + mdp.discount * (mdp.kernel @ values)
    assert (ahead.max(axis=-1) == values).all()  # the Bellman optimality equation, exactly
    assert (np.take_along_axis(ahead, actions[:, None], axis=-1)[:, 0] == values).all()


def test_policy_iteration_that_cannot_end_says_so():
    """With a negative tolerance every round counts as an improvement."""
    mdp = InducedMDP(np.zeros((2, 3)), np.full((2, 3, 2), 0.5), 0.5)
    with pytest.raises(NotConvergedError) as caught:
        solve_mdp(mdp, mdp.rewards, -1.0)
    assert str(caught.value) == (
        "policy iteration did not end in 1000 rounds on an MDP with 2 states and 3 actions"
    )


# Equilibria, ties, batches


def test_gap_is_zero_at_equilibria_and_never_negative():
    game = catalogue.isolated()
    mixed = (np.array([[4 / 11, 7 / 11]]), np.array([[3 / 11, 8 / 11]]))
    assert nash_gap(game, mixed) == pytest.approx(0, abs=1e-15)
    assert nash_gap(game, mixed) >= 0
    for pure in ([[0], [0]], [[1], [1]]):
        assert nash_gap(game, deterministic_policy(game, pure)) == 0
    for pure, gap in (([[0], [1]], 0.7), ([[1], [0]], 0.8)):
        assert nash_gap(game, deterministic_policy(game, pure)) == pytest.approx(gap)


@given(
    seed=st.integers(0, 10**6),
    family=st.sampled_from(sorted(FAMILIES)),
    actions=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    discount=st.sampled_from([0.0, 0.9, 0.99]),
)
def test_gap_is_non_negative_and_zero_when_the_potential_is_maximal(
    seed, family, actions, discount
):
    """Alternating best responses climb the potential until nobody can gain: an equilibrium."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, family, Shape(tuple(actions), 2, discount))
    policy = random_policy(game, rng, concentration=0.3)
    gains = nash_gap(game, policy, per_agent=True)
    assert (gains >= 0).all()
    assert nash_gap(game, policy) == gains.max()
    for _ in range(100):
        gains = nash_gap(game, policy, per_agent=True)
        if gains.max() < 1e-12 * scale(game):
            break
        agent = int(gains.argmax())
        policy = replace(policy, agent, best_response(game, policy, agent))
    assert nash_gap(game, policy) < 1e-10 * scale(game)


def test_ties_count_together():
    game = catalogue.one_state([[1.0, 1.0, 0.0]])
    policy = (np.array([[1.0]]), np.array([[0.25, 0.125, 0.625]]))
    assert constant_c(game, policy) == 0.375
    flat = catalogue.one_state([[0.5, 0.5]])
    assert constant_c(flat, uniform_policy(flat)) == 1


def test_the_tie_tolerance_scales_with_rewards_and_horizon():
    game = catalogue.distancing(2)
    assert tie_tolerance(game) == pytest.approx(TIE_TOLERANCE * 100 / 0.01, rel=0.1)
    for size in (1e-6, 1.0, 1e6):
        policy = (np.array([[1.0]]), np.array([[0.25, 0.75]]))
        near = catalogue.one_state(np.array([[1.0, 1 - TIE_TOLERANCE / 4]]) * size)
        apart = catalogue.one_state(np.array([[1.0, 1 - TIE_TOLERANCE * 4]]) * size)
        assert constant_c(near, policy) == 1
        assert constant_c(apart, policy) == 0.25


@pytest.mark.parametrize("index", range(len(GAMES)))
def test_a_batch_is_the_policies_one_by_one(index, rng):
    game = GAMES[index]
    batch = random_policy(game, rng, batch=(2, 3))
    gap, each, c = (
        nash_gap(game, batch),
        nash_gap(game, batch, per_agent=True),
        constant_c(game, batch),
    )
    assert gap.shape == c.shape == (2, 3)
    assert each.shape == (2, 3, game.num_agents)
    responses = [best_response(game, batch, agent) for agent in range(game.num_agents)]
    for where in np.ndindex(2, 3):
        alone = tuple(part[where] for part in batch)
        assert gap[where] == pytest.approx(nash_gap(game, alone), abs=1e-11 * scale(game))
        assert c[where] == pytest.approx(constant_c(game, alone))
        for agent, response in enumerate(responses):
            reached = brute_force.values(game, replace(alone, agent, response[where]))[agent]
            assert_allclose(reached, optimum(game, alone, agent), atol=1e-9 * scale(game))


@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
def test_permuting_the_agents_permutes_the_gaps(seed, order):
    rng = np.random.default_rng(seed)
    game = random_game(rng, "shaped", Shape((2, 3, 2), 2, 0.9))
    policy = random_policy(game, rng)
    axes = (0, *(1 + i for i in order))
    renamed = TabularGame(
        [np.transpose(game.rewards[i], axes) for i in order],
        np.transpose(game.kernel, (*axes, 4)),
        discount=0.9,
        initial=game.initial,
    )
    permuted = tuple(policy[i] for i in order)
    gains = nash_gap(game, policy, per_agent=True)
    assert_allclose(nash_gap(renamed, permuted, per_agent=True), gains[list(order)], atol=1e-11)
    assert constant_c(renamed, permuted) == pytest.approx(constant_c(game, policy))


# Regret


def test_regret_by_hand():
    assert_allclose(nash_regret(np.array([4.0, 2.0, 0.0])), [4, 3, 2])
    assert_allclose(nash_regret([[4.0, 1.0], [2.0, 1.0]]), [[4, 1], [3, 1]])


@pytest.mark.parametrize("gap", [[], 1.0, np.zeros((0, 3))])
def test_regret_needs_a_gap(gap):
    with pytest.raises(PmdError, match="nash_regret needs at least one Nash gap"):
        nash_regret(gap)


# Bad input


@pytest.mark.parametrize("agent", [1, -1, 0.5])
def test_unknown_agents(agent):
    game = catalogue.stay_or_leave()
    with pytest.raises(InvalidPolicyError, match=rf"agent is {agent}, must be in 0..0"):
        best_response(game, uniform_policy(game), agent)


@pytest.mark.parametrize(
    "function", [nash_gap, constant_c, lambda game, policy: best_response(game, policy, 0)]
)
def test_bad_policies(function):
    game = catalogue.stay_or_leave()
    with pytest.raises(InvalidPolicyError, match=r"policy\[agent=0\]\[s=1\] sums to 0.5"):
        function(game, (np.array([[1.0, 0], [0.5, 0]]),))


def test_mismatch_needs_iterates_along_the_first_axis():
    game = catalogue.stay_or_leave()
    uniform = uniform_policy(game)
    with pytest.raises(
        InvalidPolicyError, match=r"policies\[agent=0\] has shape \(2, 2\), must be"
    ):
        mismatch(game, uniform)
    with pytest.raises(InvalidPolicyError, match="at least two consecutive iterates"):
        mismatch(game, tuple(part[None] for part in uniform))
    with pytest.raises(InvalidPolicyError, match=r"policies\[agent=0\]\[batch=\(1,\), s=0, a=0\]"):
        mismatch(game, (np.stack([uniform[0], uniform[0] * np.nan]),))
    with pytest.raises(InvalidPolicyError, match=r"below sums to 0\.5, must be 1"):
        mismatch(game, (np.stack([uniform[0]] * 2),), np.array([0.5, 0.0]))
