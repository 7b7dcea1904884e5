"""Games seen through loads: against dense games, against SciPy's distributions, and bad input."""

import time

import numpy as np
import pytest
import sympy
from flint import fmpq
from numpy.testing import assert_allclose
from scipy import stats

from pmdlib.analysis.equilibrium import constant_c, mismatch, nash_gap
from pmdlib.analysis.policies import (
    check_policy,
    random_policy,
    random_rational_policy,
    uniform_policy,
)
from pmdlib.analysis.potential import is_markov_potential_game
from pmdlib.analysis.values import evaluate
from pmdlib.arithmetic import Ball, enclose, is_exact, precision, rationals, to_float
from pmdlib.errors import InvalidGameError, InvalidPolicyError
from pmdlib.games.aggregative import CongestionGame, CountGame, TeamGame
from pmdlib.games.game import MarkovGame
from pmdlib.games.profiles import Profile, Roster, stacked
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.pmd import run_pmd


def dense(game):
    """The same game as joint tensors: every joint action, its loads, and what they pay."""
    actions = np.indices(game.num_actions).reshape(game.num_agents, -1)
    incidences = [
        np.array([[f in bundle for f in range(facilities(game))] for bundle in bundles])
        for size, bundles in game.bundles
        for _ in range(size)
    ]
    used = np.array([uses[own] for uses, own in zip(incidences, actions, strict=True)])
    load = used.sum(axis=0)  # (J, F)
    table = game.payoffs if isinstance(game, CongestionGame) else game._payoffs
    places = np.arange(load.shape[1])
    shape = (game.num_states, *game.num_actions)
    if isinstance(game, CongestionGame):
        paid = np.concatenate([0 * table[..., :1], table], axis=-1)[:, places, load]  # (S, J, F)
        rewards = [(paid * mine).sum(axis=-1).reshape(shape) for mine in used]
        return TabularGame(
            rewards,
            game.exogenous_kernel,
            discount=game.discount,
            initial=game.initial,
            potential=rosenthal(table, load).reshape(shape),
        )
    kernel = game.exogenous_kernel
    if kernel is None:
        kernel = game._moved[:, places, load].sum(axis=-2).reshape(*shape, game.num_states)
    reward = table[:, places, load].sum(axis=-1).reshape(shape)
    return TabularGame(reward, kernel, discount=game.discount, initial=game.initial)


def facilities(game):
    table = game.payoffs if isinstance(game, CongestionGame) else game._payoffs
    return table.shape[1]


def rosenthal(table, load):
    """Σ_f Σ_{k <= n_f} payoff, agent by agent."""
    potential = np.zeros((len(table), len(load)), dtype=table.dtype)
    for joint, loads in enumerate(load):
        for f, count in enumerate(loads):
            for k in range(count):
                potential[:, joint] = potential[:, joint] + table[:, f, k]
    return potential


def stochastic(rng, *shape):
    """Distributions over the last axis with dyadic entries, so that sums are exact."""
    cuts = np.sort(rng.integers(0, 65, (*shape[:-1], shape[-1] - 1)), axis=-1)
    ends = np.concatenate([0 * cuts[..., :1], cuts, 0 * cuts[..., :1] + 64], axis=-1)
    return np.diff(ends, axis=-1) / 64


def grid(rng, *shape):
    return rng.integers(-64, 65, shape) / 64


def congestion(rng):
    """Two states, three facilities, four agents of whom two may take two facilities at once."""
    return CongestionGame(
        grid(rng, 2, 3, 4),
        [(2, [(0,), (1,), (2,)]), (2, [(0, 1), (2,), ()])],
        stochastic(rng, 2, 2),
        discount=0.75,
        initial=[0.25, 0.75],
    )


def routes(rng):
    """Five agents who each pick one of three facilities."""
    return CongestionGame(grid(rng, 1, 3, 5), 5)


def team(rng):
    """A team whose loads move the state: each facility adds its part of the probability."""
    split = stochastic(rng, 2, 3, 5, 2)  # each facility: a third of a distribution
    parts = np.array([0.25, 0.25, 0.5])
    return TeamGame(
        grid(rng, 2, 3, 5),
        [(3, [(0,), (1,), (2,)]), (1, [(), (0, 2)])],
        split * parts[:, None, None],
        discount=0.5,
    )


def crowd(rng):
    """Each agent moves the state by joining a facility: the sum over facilities is n/N."""
    agents = 4
    moved = np.zeros((2, 2, agents + 1, 2))
    load = np.arange(agents + 1) / agents
    moved[:, 0, :, 0], moved[:, 1, :, 1] = load, load
    return TeamGame(grid(rng, 2, 2, agents + 1), agents, moved, discount=0.75)


def count(rng):
    return CountGame(grid(rng, 5))


GAMES = [congestion, routes, team, crowd, count]


@pytest.fixture(params=GAMES, ids=lambda make: make.__name__)
def game(request, rng):
    return request.param(rng)


# Everything that follows from averages, against joint tensors


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_all_averages_are_those_of_the_dense_game(game, batch, rng):
    table = dense(game)
    policy = random_policy(game, rng, batch=batch)
    assert isinstance(policy, Profile)
    for played in (policy, tuple(policy), tuple(policy)[:1] * 2 + tuple(policy)[2:]):
        if game.num_actions[0] != game.num_actions[1]:
            continue
        one, other = evaluate(game, played), evaluate(table, tuple(played))
        assert_allclose(one.values, other.values, atol=1e-12)
        assert_allclose(one.kernel, other.kernel, atol=1e-12)
        lift = (game.potential_shift - table.potential_shift) / (1 - game.discount)
        assert_allclose(one.potential_values, other.potential_values + lift, atol=1e-12)
        for name in ("averaged_q", "advantages", "potential_q", "kernels"):
            mine, theirs = getattr(one, name), getattr(other, name)
            theirs = [part + lift for part in theirs] if name == "potential_q" else theirs
            assert len(mine) == len(theirs) == game.num_agents
            for agent in range(game.num_agents):
                assert_allclose(
                    mine[agent], np.broadcast_to(theirs[agent], mine[agent].shape), atol=1e-12
                )
        gap = nash_gap(game, played, per_agent=True)
        assert_allclose(gap, nash_gap(table, tuple(played), per_agent=True), atol=1e-12)
        assert gap.shape == (*batch, game.num_agents)
        assert_allclose(constant_c(game, played), constant_c(table, tuple(played)), atol=1e-12)


def test_exact_averages_are_exactly_those_of_the_dense_game(game, rng):
    exact, table = game.exact(), dense(game.exact())
    policy = random_rational_policy(table, rng)
    one, other = evaluate(exact, policy), evaluate(table, policy)
    assert (one.values == other.values).all()
    lift = (exact.potential_shift - table.potential_shift) / (1 - exact.discount)
    assert (one.potential_values == other.potential_values + lift).all()
    for mine, theirs in zip(one.potential_q, other.potential_q, strict=True):
        assert (mine == theirs + lift).all()
    assert nash_gap(exact, policy) == nash_gap(table, policy)
    floats = tuple(to_float(own) for own in policy)
    rounded = exact.rounded()
    assert not is_exact(rounded.initial)
    assert_allclose(nash_gap(rounded, floats), float(nash_gap(exact, policy)), atol=1e-12)


def test_bounds_of_the_potential_hold_and_are_attained_where_promised(game):
    table = dense(game)
    span = table.potential.max() - table.potential.min()
    assert game.potential_shift >= table.potential_shift - 1e-15
    assert game.phi_max >= span - 1e-12 if game.potential_shift else True
    assert game.reward_bound >= table.reward_bound - 1e-12
    if game.populations == (game.num_agents,) and len(game.bundles[0][1]) == facilities(game):
        assert_allclose(
            (game.phi_max, game.potential_shift), (table.phi_max, table.potential_shift)
        )


def test_runs_are_those_of_the_dense_game(game, rng):
    table, start = dense(game), random_policy(game, rng)
    for mirror_map in ("kl", "euclidean"):
        one = run_pmd(game, mirror_map, 0.1, 20, start, record_policies=True)
        other = run_pmd(table, mirror_map, 0.1, 20, tuple(start), record_policies=True)
        lift = (game.potential_shift - table.potential_shift) / (1 - game.discount)
        assert_allclose(one.potential, other.potential + lift, atol=1e-10)
        for name in ("nash_gap", "log_c"):
            assert_allclose(getattr(one, name), getattr(other, name), atol=1e-10)
        for mine, theirs in zip(one.policies, other.policies, strict=True):
            assert_allclose(mine, theirs, atol=1e-11)
        kappa = mismatch(game, one.policies)
        assert_allclose(kappa, mismatch(table, other.policies), rtol=1e-8)


def test_a_congestion_game_is_a_potential_game(rng):
    for make in (congestion, routes):
        assert is_markov_potential_game(dense(make(rng)), rng).verdict


@pytest.mark.parametrize("kind", ["concave", "convex"])
def test_extremes_beyond_the_program(kind, rng, monkeypatch):
    slope = np.sort(grid(rng, 2, 3, 6), axis=-1)
    game = CongestionGame(slope if kind == "convex" else slope[..., ::-1], 6, np.eye(2))
    expected = (game.phi_max, game.potential_shift)
    monkeypatch.setattr("pmdlib.games.facilities.MOST_PROGRAMMED", 0)
    again = CongestionGame(game.payoffs, 6, np.eye(2))
    assert_allclose((again.phi_max, again.potential_shift), expected)
    jagged = CongestionGame(grid(rng, 2, 3, 6), 6, np.eye(2))
    table = dense(jagged)
    assert jagged.phi_max - jagged.potential_shift >= table.phi_max - table.potential_shift
    assert jagged.potential_shift >= table.potential_shift


def test_agents_are_handed_to_their_rows(rng):
    """Populations in order, equal policies once; a tuple and a Profile are the same policy."""
    game = congestion(rng)
    policy = tuple(random_policy(game, rng))
    shared = game.arrange((policy[0], policy[0], policy[2], policy[3]))
    assert [len(stack) for stack in shared.stacks] == [1, 2]
    assert shared.roster.counts.tolist() == [2, 1, 1]
    for agent, own in enumerate((policy[0], policy[0], policy[2], policy[3])):
        assert_allclose(shared[agent], own)
    uniform = uniform_policy(game)
    assert [len(stack) for stack in uniform.stacks] == [1, 1]
    with pytest.raises(InvalidPolicyError, match="a stack for each population"):
        check_policy(game, stacked(policy[::-1]))
    idle = Profile([*uniform_policy(game).stacks], Roster(np.array([0, 0, 2, 2]), (2, 1)))
    idle.stacks = (np.concatenate([idle.stacks[0]] * 2), idle.stacks[1])
    with pytest.raises(InvalidPolicyError, match="no row that is nobody's"):
        check_policy(game, idle)
    bad = random_policy(game, rng)
    bad.stacks[1][1, 0] = [0.5, 0.25, 0.5]
    with pytest.raises(InvalidPolicyError, match=r"policy\[agent=3\]\[s=0\] sums to 1.25"):
        check_policy(game, bad)
    zero = random_policy(game, rng)
    zero.stacks[1][0, 1] = [0.0, 0.5, 0.5]
    with pytest.raises(InvalidPolicyError, match=r"initial_policy\[agent=2\]\[s=1, a=0\] is 0"):
        run_pmd(game, "kl", 0.1, 3, zero)


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


def test_expected_loads_count_users(game, rng):
    policy = random_policy(game, rng, batch=(3,))
    expected = np.zeros((3, game.num_states, facilities(game)))
    first = 0
    for size, bundles in game.bundles:
        for agent in range(first, first + size):
            for action, bundle in enumerate(bundles):
                for f in bundle:
                    expected[..., f] += policy[agent][..., action]
        first += size
    assert_allclose(game.expected_loads(policy), expected)


def test_one_array_may_hold_the_policies_of_a_population(rng):
    game = routes(rng)
    array = rng.dirichlet(np.ones(3), (5, 1))  # (N, S, A)
    assert_allclose(nash_gap(game, array), nash_gap(game, tuple(array)))
    array[4, 0] = [0.5, 0.5, 0.5]
    with pytest.raises(InvalidPolicyError, match=r"policy\[agent=4\]\[s=0\] sums to 1.5"):
        nash_gap(game, array)
    with pytest.raises(InvalidPolicyError, match="must be a sequence of N = 5 arrays"):
        nash_gap(game, array[:4])


def test_many_different_agents_reach_a_small_gap(rng):
    """Checked against SciPy's Poisson-binomial distribution for some agents."""
    agents, slopes = 5000, np.array([1.0, 2.0, 3.0])
    payoffs = 1 - slopes[:, None] * np.arange(1, agents + 1) / agents / 3
    game = CongestionGame(payoffs[None], agents)
    start = random_policy(game, rng)
    gap = nash_gap(game, start, per_agent=True)
    rewards = game.average_rewards(start)
    use = start.stacks[0][:, 0]
    for agent in (0, 17, 4999):
        others = np.delete(use, agent, axis=0)
        expected = [
            stats.poisson_binom.pmf(np.arange(agents), others[:, f]) @ payoffs[f] for f in range(3)
        ]
        assert_allclose(rewards[agent][0], expected, atol=1e-12)
        assert_allclose(gap[agent], max(expected) - use[agent] @ expected, atol=1e-12)
    trace = run_pmd(game, "kl", 2.0, 60, start)
    assert (np.diff(trace.potential) > -1e-9).all()
    assert trace.nash_gap[-1] < 1e-3 < trace.nash_gap[0]
    loads = game.expected_loads(trace.policy)[0]  # users are as happy everywhere
    assert_allclose(loads * slopes, agents * 6 / 11, rtol=2e-3)


@pytest.mark.parametrize(
    ("agents", "share"),
    [
        ([(2, [(0,), (1,)]), (1, [(1,), (2,)])], 1.0),
        ([(3, [(0, 1), (1, 2), (0, 2)])], 0.5),
        (5000, 1.0),
    ],
)
def test_a_kernel_may_add_up_over_facilities_in_proportion_to_their_loads(agents, share, rng):
    parts = rng.dirichlet(np.ones(2), size=(2, 3))
    number = agents if isinstance(agents, int) else sum(size for size, _ in agents)
    load = np.arange(number + 1)[None, None, :, None] / number
    kernel = share * load * parts[:, :, None, :]
    payoffs = grid(rng, 2, 3, number + 1)
    game = TeamGame(payoffs, agents, kernel, discount=0.5)
    assert_allclose(evaluate(game, uniform_policy(game)).kernel.sum(axis=-1), 1)
    with pytest.raises(InvalidGameError, match=r"sums to 0\.9"):
        TeamGame(payoffs, agents, 0.9 * kernel, discount=0.5)
    bent = kernel * np.where(load < 0.5, 0.5, 1.5)
    with pytest.raises(InvalidGameError, match="must have the same sum for all loads"):
        TeamGame(payoffs, agents, bent, discount=0.5)


def test_a_constant_payoff_has_the_potential_that_it_has_for_any_number():
    for agents in (4096, 4097, 50_000):
        assert CongestionGame(np.full((1, 3, agents), 0.1), agents).phi_max == pytest.approx(
            0.1 * agents, rel=1e-9
        )


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
        (np.ones((2, 2)), "payoffs have shape (2, 2), must be (N + 1)"),
        ([0, np.nan, 1], "payoffs[1] is nan, must be finite"),
        (np.array([fmpq(1), np.inf]), "payoffs[1] is inf, must be finite"),
        (["a", "b"], "payoffs must hold real numbers, not <U1"),
        ([1j, 2], "payoffs must hold real numbers, not complex128"),
        (np.array([None, 1]), "payoffs must hold real numbers"),
    ],
)
def test_bad_payoffs_are_named(payoffs, message):
    with pytest.raises(InvalidGameError) as caught:
        CountGame(payoffs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CongestionGame(np.ones((1, 2, 3)), 4), "payoffs are for 3 loads, must be for 4"),
        (
            lambda: CongestionGame(np.ones((2, 3)), 3),
            "payoffs have shape (2, 3), must be (S, F, N)",
        ),
        (lambda: CongestionGame(np.ones((2, 1, 3)), 3), "a kernel is needed"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), 0), "agents[population=0] are 0, must be"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), []), "agents are empty"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), "abc"), "agents"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), [(3, [(0,), (2,)])]), "uses facility 2"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), [(3, [(0, 0)])]), "uses facility 0 twice"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), [(3, [0, 1])]), "0 is no bundle"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), [(3, [])]), "have no actions"),
        (lambda: CongestionGame(np.ones((1, 2, 3)), 3, discount=1.0), "discount is 1.0"),
        (
            lambda: TeamGame(np.ones((2, 2, 3)), 2, np.ones((2, 2, 3, 2)) / 3),
            "kernel[s=0] sums to 1.33",
        ),
        (
            lambda: TeamGame(np.ones((2, 2, 3)), 2, -np.ones((2, 2, 3, 2))),
            "kernel[s=0, f=0, load=0, s'=0] is -1.0, must be >= 0",
        ),
        (lambda: TeamGame(np.ones((2, 2, 3)), 2, np.ones((2, 2, 3, 3))), "kernel has shape"),
        (lambda: TeamGame(np.ones((2, 2, 4)), 2, np.eye(2)), "payoffs are for 4 loads, must be"),
    ],
)
def test_bad_games_are_named(build, message):
    with pytest.raises(InvalidGameError) as caught:
        build()
    assert message in str(caught.value)
