"""Values, averaged Q and occupancies against roll-outs, loops and finite differences."""

import brute_force
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pmdlib.analysis.equilibrium import largest_gap, nash_gap
from pmdlib.analysis.policies import random_policy, replace
from pmdlib.analysis.values import (
    Evaluation,
    advantages,
    averaged_q,
    evaluate,
    occupancy,
    potential_values,
    values,
)
from pmdlib.arithmetic import is_exact, to_exact
from pmdlib.errors import InvalidPolicyError, NotPotentialError
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.catalogue import one_state, pollution_tax, stay_or_leave
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.profiles import stacked
from pmdlib.games.tabular import TabularGame

GAMES = brute_force.small_games(24, seed=1)


#: Games whose evaluations are put together: agents move the state or do not, one agent, loads.
TOGETHER = [
    pollution_tax(4),
    one_state(np.arange(12.0).reshape(2, 3, 2)),
    stay_or_leave(),
    CongestionGame(-np.arange(24.0).reshape(2, 3, 4) / 24, 4, kernel=np.eye(2), discount=0.5),
]


def scale(game):
    return max(game.reward_bound, 1) / (1 - game.discount)


# By hand


def test_two_states_by_hand():
    """Leave with probability p: V(0) = γ(p·10 + (1-p)V(0)), V(1) = 1/(1-γ) = 10."""
    game, leave = stay_or_leave(), 0.25
    policy = (np.array([[1 - leave, leave], [0.5, 0.5]]),)
    first = 0.9 * leave * 10 / (1 - 0.9 * (1 - leave))
    assert_allclose(values(game, policy), [[first, 10]])
    assert_allclose(averaged_q(game, policy)[0], [[0.9 * first, 9], [10, 10]])
    assert_allclose(advantages(game, policy)[0], [[-0.1 * first, 9 - first], [0, 0]], atol=1e-14)
    stays = 0.1 / (1 - 0.9 * (1 - leave))
    assert_allclose(occupancy(game, policy), [stays, 1 - stays])
    assert_allclose(potential_values(game, policy), [first, 10])  # identical interest


def test_two_agents_by_hand():
    game = one_state([[1.0, 0.3], [0.2, 0.6]])
    policy = (np.array([[0.25, 0.75]]), np.array([[0.5, 0.5]]))
    first, second = averaged_q(game, policy)
    assert_allclose(first, [[0.65, 0.4]])
    assert_allclose(second, [[0.25 + 0.15, 0.075 + 0.45]])
    assert_allclose(values(game, policy), [[0.4625], [0.4625]])


def test_without_discount_only_the_stage_counts():
    game = pollution_tax(2)
    myopic = TabularGame(list(game.rewards), game.kernel, discount=0.0, initial=[0.25, 0.75])
    clean = (np.array([[1.0, 0]] * 2), np.array([[0.5, 0.5]] * 2))
    assert_allclose(values(myopic, clean), [[2, -2], [3, -1]])
    assert_allclose(occupancy(myopic, clean), [0.25, 0.75])


# Independent routes


@pytest.mark.parametrize("index", range(len(GAMES)))
def test_against_loops_and_power_series(index, rng):
    game = GAMES[index]
    policy = brute_force.near_vertex_policy(game, rng)
    close = {"atol": 1e-11 * scale(game)}
    assert_allclose(values(game, policy), brute_force.values(game, policy), **close)
    assert_allclose(
        potential_values(game, policy), brute_force.potential_values(game, policy), **close
    )
    for ours, theirs in zip(
        averaged_q(game, policy), brute_force.averaged_q(game, policy), strict=True
    ):
        assert_allclose(ours, theirs, **close)
    potential_q = evaluate(game, policy).potential_q
    for ours, theirs in zip(potential_q, brute_force.potential_q(game, policy), strict=True):
        assert_allclose(ours, theirs, **close)
    for start in (None, np.eye(game.num_states)[-1]):
        expected = brute_force.occupancy(game, policy, game.initial if start is None else start)
        assert_allclose(occupancy(game, policy, start), expected, atol=1e-11)


@pytest.mark.parametrize("index", range(0, len(GAMES), 3))
def test_advantages_average_to_zero_and_equal_those_of_the_potential(index, rng):
    game = GAMES[index]
    evaluation = evaluate(game, brute_force.near_vertex_policy(game, rng))
    for agent, own in enumerate(evaluation.policy):
        advantage = evaluation.advantages[agent]
        assert_allclose((own * advantage).sum(axis=-1), 0, atol=1e-11 * scale(game))
        expected = evaluation.averaged_q[agent] - evaluation.values[agent][:, None]
        assert_allclose(advantage, expected, atol=1e-14 * scale(game))
        of_potential = evaluation.potential_q[agent] - evaluation.potential_values[:, None]
        assert_allclose(advantage, of_potential, atol=1e-11 * scale(game))


@pytest.mark.parametrize("index", [0, 7, 14, 21])
def test_the_policy_gradient_theorem_by_complex_steps(index, rng):
    """∂V_i(ρ)/∂π_i(a|s) = d(s) Q_i(s, a)/(1-γ), to the last digits, with no difference taken."""
    game = GAMES[index]
    policy = brute_force.near_vertex_policy(game, rng)
    evaluation = evaluate(game, policy)
    visits = evaluation.occupancy(game.initial) / (1 - game.discount)
    for agent, own in enumerate(policy):
        for where in np.ndindex(own.shape):
            moved = own.astype(complex)
            moved[where] += 1e-30j
            shifted = replace(tuple(p.astype(complex) for p in policy), agent, moved)
            slope = (Evaluation(game, shifted).values[agent] @ game.initial).imag / 1e-30
            expected = visits[where[0]] * evaluation.averaged_q[agent][where]
            assert slope == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale(game))


def test_the_performance_difference_needs_the_new_occupancy():
    game = stay_or_leave()
    stay, leave = np.array([[1.0, 0], [1, 0]]), np.array([[0.0, 1], [1, 0]])
    gain = (leave - stay) * averaged_q(game, (stay,))[0]
    by_state = gain.sum(axis=-1) / (1 - 0.9)
    assert occupancy(game, (leave,)) @ by_state == pytest.approx(9)
    assert occupancy(game, (stay,)) @ by_state == pytest.approx(90)
    assert (values(game, (leave,)) - values(game, (stay,)))[0, 0] == pytest.approx(9)


# Batches, exactness, invariants


@pytest.mark.parametrize("index", range(len(GAMES)))
def test_a_batch_is_the_runs_one_by_one(index, rng):
    game = GAMES[index]
    batch = random_policy(game, rng, batch=(2, 3))
    joint = evaluate(game, batch)
    starts = rng.dirichlet(np.ones(game.num_states), size=(2, 3))
    visits = occupancy(game, batch, starts)
    assert joint.values.shape == (2, 3, game.num_agents, game.num_states)
    assert joint.potential_values.shape == visits.shape == (2, 3, game.num_states)
    for where in np.ndindex(2, 3):
        alone = evaluate(game, tuple(part[where] for part in batch))
        close = {"atol": 1e-12 * scale(game)}
        assert_allclose(joint.values[where], alone.values, **close)
        assert_allclose(joint.potential_values[where], alone.potential_values, **close)
        assert_allclose(visits[where], alone.occupancy(starts[where]), atol=1e-12)
        for name in ("averaged_q", "advantages", "potential_q"):
            for together, one in zip(getattr(joint, name), getattr(alone, name), strict=True):
                assert_allclose(together[where], one, **close)


@pytest.mark.parametrize("form", [tuple, stacked])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("game", TOGETHER, ids=["moved", "fixed", "one agent", "facilities"])
def test_evaluations_together_are_those_apart(game, form, known, rng, monkeypatch):
    apart = [Evaluation(game, form(random_policy(game, rng))) for _ in range(3)]
    worth = [(each.values, each.averaged_q) for each in apart]
    expected_gap = [nash_gap(game, tuple(each.policy)) for each in apart]
    if known and game.num_agents > 1:  # then nothing is averaged again
        monkeypatch.setattr(game, "average_rewards", None)
        monkeypatch.setattr(game, "averages", None)
    if not known:
        apart = [Evaluation(game, each.policy) for each in apart]
    joined = Evaluation.together(apart)
    for k, (own_values, tables) in enumerate(worth):
        assert_allclose(joined.values[k], own_values, rtol=1e-12)
        for found, one in zip(joined.averaged_q, tables, strict=True):
            assert_allclose(found[k], one, rtol=1e-12)
    assert_allclose(largest_gap(joined, game.initial), expected_gap, rtol=1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_exact_values_are_rational_and_agree(family, rng):
    game = random_game(rng, family, Shape((2, 3), 3, 0.9))
    exact = game.exact()
    policy = random_policy(game, rng)
    rational = tuple(to_exact(p) / to_exact(p).sum(-1, keepdims=True) for p in policy)
    exactly = evaluate(exact, rational)
    floating = evaluate(game, policy)
    assert is_exact(exactly.values)
    assert_allclose(exactly.values.astype(float), floating.values, rtol=1e-12, atol=1e-12)
    assert_allclose(exactly.potential_values.astype(float), floating.potential_values, rtol=1e-12)
    visits = exactly.occupancy(exact.initial)
    assert visits.sum() == 1
    assert_allclose(visits.astype(float), occupancy(game, policy), rtol=1e-12)
    # In exact arithmetic the Bellman equation holds exactly.
    for agent, q in enumerate(exactly.averaged_q):
        assert ((rational[agent] * q).sum(axis=-1) == exactly.values[agent]).all()


@given(
    seed=st.integers(0, 10**6),
    family=st.sampled_from(sorted(FAMILIES)),
    actions=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    states=st.integers(1, 6),
    discount=st.sampled_from([0.0, 0.5, 0.99]),
)
def test_invariants(seed, family, actions, states, discount):
    rng = np.random.default_rng(seed)
    game = random_game(rng, family, Shape(tuple(actions), states, discount, 0.1))
    policy = random_policy(game, rng, concentration=0.3)
    visits = occupancy(game, policy)
    assert visits.sum() == pytest.approx(1, abs=1e-12 / (1 - discount))
    assert (visits >= (1 - discount) * game.initial - 1e-12).all()
    worth, phi = values(game, policy), potential_values(game, policy)
    assert (abs(worth) <= scale(game) * (1 + 1e-12)).all()
    assert (phi >= -1e-12).all()
    assert (phi <= game.phi_max / (1 - discount) * (1 + 1e-12)).all()
    # (1-γ) V(ρ) is the occupancy-weighted average of the stage reward.
    rewards = evaluate(game, policy).mdps[0].rewards
    stage_reward = (policy[0] * rewards).sum(axis=-1)
    left, right = (1 - discount) * worth[0] @ game.initial, visits @ stage_reward
    assert left == pytest.approx(right, abs=1e-11 * scale(game))


@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
def test_permuting_the_agents_permutes_the_results(seed, order):
    rng = np.random.default_rng(seed)
    game = random_game(rng, "shaped", Shape((2, 3, 1, 2), 2, 0.9))
    policy = random_policy(game, rng)
    axes = (0, *(1 + i for i in order))
    renamed = TabularGame(
        [np.transpose(game.rewards[i], axes) for i in order],
        np.transpose(game.kernel, (*axes, 5)),
        discount=0.9,
        initial=game.initial,
        potential=np.transpose(game.potential, axes),
    )
    permuted = tuple(policy[i] for i in order)
    assert_allclose(values(renamed, permuted), values(game, policy)[list(order)], atol=1e-11)
    assert_allclose(potential_values(renamed, permuted), potential_values(game, policy), atol=1e-11)
    assert_allclose(occupancy(renamed, permuted), occupancy(game, policy), atol=1e-12)
    table = averaged_q(game, policy)
    for q, agent in zip(averaged_q(renamed, permuted), order, strict=True):
        assert_allclose(q, table[agent], atol=1e-11)


# Edges and bad input


def test_unreachable_states_have_occupancy_exactly_zero(rng):
    """States 2 and 3 reach everything, nothing reaches them."""
    kernel = np.zeros((4, 2, 2, 4))
    kernel[:2, ..., :2] = rng.dirichlet(np.ones(2), size=(2, 2, 2))
    kernel[2:] = rng.dirichlet(np.ones(4), size=(2, 2, 2))
    game = TabularGame(rng.random((4, 2, 2)), kernel, discount=0.99, initial=[0.5, 0.5, 0.0, 0.0])
    for _ in range(20):
        visits = occupancy(game, random_policy(game, rng, concentration=0.2))
        assert visits[2:].tolist() == [0, 0]
        assert visits.sum() == pytest.approx(1)
    island = occupancy(game, random_policy(game, rng), np.array([0.0, 0, 1, 0]))
    assert (island > 0).all()


def test_no_potential_is_an_error_only_where_it_is_needed(rng):
    game = pollution_tax(2)
    policy = random_policy(game, rng)
    assert np.isfinite(values(game, policy)).all()
    with pytest.raises(NotPotentialError, match="the game states no potential"):
        potential_values(game, policy)


@pytest.mark.parametrize("function", [values, averaged_q, advantages, occupancy, potential_values])
def test_bad_policies_never_become_nan(function):
    game = one_state([[1.0, 0.3], [0.2, 0.6]])
    bad = (np.array([[np.nan, 1.0]]), np.array([[0.5, 0.5]]))
    with pytest.raises(InvalidPolicyError, match=r"policy\[agent=0\]\[s=0, a=0\] is nan"):
        function(game, bad)


def test_bad_starts_never_become_nan(rng):
    game = stay_or_leave()
    policy = random_policy(game, rng)
    for start, message in (
        ([np.nan, 1.0], r"initial\[s=0\] is nan, must be finite"),
        ([0.5, 0.6], r"initial sums to 1.1, must be 1"),
        ([1.0], r"initial has shape \(1,\), must be"),
    ):
        with pytest.raises(InvalidPolicyError, match=message):
            occupancy(game, policy, np.array(start))
