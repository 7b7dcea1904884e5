"""Baselines against single steps by hand, gradients by differentiation, and what theorems say."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import root

from pmdlib.analysis.equilibrium import nash_gap, solve_mdp
from pmdlib.analysis.policies import deterministic_policy, random_policy, uniform_policy
from pmdlib.analysis.values import averaged_q, occupancy, potential_values
from pmdlib.arithmetic import is_exact, to_float
from pmdlib.errors import InvalidPolicyError, NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.profiles import Profile
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.baselines import (
    Decay,
    EntropyRegularised,
    FictitiousPlay,
    JointPolicyIteration,
    NaturalGradient,
    OptimisticKL,
    ProjectedGradient,
    SequentialBestResponse,
    SoftmaxGradient,
    best_joint_policy,
    joint_mdp,
)
from pmdlib.learning.feedback import Feedback
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL, Euclidean
from pmdlib.learning.pmd import run, run_pmd

LEARNERS = {
    "projected": ProjectedGradient,
    "softmax": SoftmaxGradient,
    "softmax, barrier": lambda: SoftmaxGradient(0.01),
    "natural, barrier": lambda: NaturalGradient(1e-4),
    "entropy": lambda: EntropyRegularised(0.05),
    "annealed": lambda: EntropyRegularised(Decay(0.2)),
    "optimistic": OptimisticKL,
    "cyclic": SequentialBestResponse,
    "largest gain": lambda: SequentialBestResponse("largest gain"),
    "fictitious": FictitiousPlay,
}
RUNS = pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)

MATCHING_PENNIES = TabularGame(
    [np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[0.0, 1.0], [1.0, 0.0]]])],
    np.eye(1),
    discount=0.0,
)


def one_move(game, learner, step, policy, iterations=1):
    """Policy after some iterations."""
    return run(game, learner, step, iterations, policy, progress=False).policy


def two_by_two(first, second):
    return tuple(np.array([[p, 1 - p]]) for p in (first, second))


def odds(own):
    return own[0, 0] / own[0, 1]


# One step by hand, on [[1, .3], [.2, .6]]: from uniform agent 1 sees (.65, .4), agent 2 (.6, .45)


def test_a_projected_gradient_step_by_hand():
    first, second = one_move(catalogue.isolated(), ProjectedGradient(), 0.2, None)
    assert_allclose(first, [[0.525, 0.475]])
    assert_allclose(second, [[0.515, 0.485]])


def test_a_softmax_step_by_hand():
    """Slope ½(Q - V) = ±.0625 for agent 1, ±.0375 for agent 2."""
    first, second = one_move(catalogue.isolated(), SoftmaxGradient(), 1.0, None)
    assert odds(first) == pytest.approx(math.exp(0.125))
    assert odds(second) == pytest.approx(math.exp(0.075))


def test_a_barrier_step_by_hand():
    """From (.8, .2) for agent 1 the barrier's slope is λ(1 - 2·.8) and λ(1 - 2·.2)."""
    start = two_by_two(0.8, 0.5)
    first, _ = one_move(catalogue.isolated(), SoftmaxGradient(0.1), 1.0, start)
    assert odds(first) == pytest.approx(4 * math.exp(2 * 0.8 * 0.2 * 0.25 - 0.12))
    first, _ = one_move(catalogue.isolated(), NaturalGradient(0.1), 1.0, start)
    assert odds(first) == pytest.approx(4 * math.exp(0.25 + 0.1 * (1 / 0.8 - 1 / 0.2)))


def test_an_entropy_step_by_hand():
    learner = EntropyRegularised(0.25)
    first, second = one_move(catalogue.isolated(), learner, 2.0, two_by_two(0.8, 0.5))
    assert odds(first) == pytest.approx(4**0.5 * math.exp(2 * 0.25))
    # Agent 2 sees .8·1 + .2·.2 = .84 and .8·.3 + .2·.6 = .36
    assert odds(second) == pytest.approx(math.exp(2 * 0.48))


def test_annealing_uses_the_temperature_of_the_iteration():
    game, start = catalogue.isolated(), two_by_two(0.8, 0.3)
    middle = one_move(game, EntropyRegularised(0.4), 1.0, start)
    expected = one_move(game, EntropyRegularised(0.2), 1.0, middle)
    found = one_move(game, EntropyRegularised(Decay(0.4, power=1)), 1.0, start, iterations=2)
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=1e-13)
    assert Decay(0.4)(3) == pytest.approx(0.2)


def test_fictitious_play_by_hand():
    """Both best-respond with action 0: averages of start and observations 1/2, 3/4, 5/6."""
    start = two_by_two(0.5, 0.5)
    for iterations, expected in ((1, 3 / 4), (2, 5 / 6), (3, 7 / 8)):
        for own in one_move(catalogue.isolated(), FictitiousPlay(), 1.0, start, iterations):
            assert own[0, 0] == pytest.approx(expected)


def test_best_responses_by_turns():
    """From the bad equilibrium (1, 1) of a mixed start nobody returns; from uniform 0, then 0."""
    game = catalogue.isolated()
    first, second = one_move(game, SequentialBestResponse(), 1.0, None)
    assert_array_equal(first, [[1, 0]])
    assert_array_equal(second, [[0.5, 0.5]])
    for own in one_move(game, SequentialBestResponse(), 1.0, None, iterations=2):
        assert_array_equal(own, [[1, 0]])
    stuck = deterministic_policy(game, [[1], [1]])
    for own in one_move(game, SequentialBestResponse("largest gain"), 1.0, stuck, iterations=3):
        assert_array_equal(own, [[0, 1]])


def test_the_optimistic_step_is_twice_the_last_less_the_one_before(rng):
    game = random_game(rng, "shaped", Shape((2, 3), 3, 0.875))
    start = random_policy(game, rng)
    trace = run(game, OptimisticKL(), 0.1, 6, start, record_policies=True)
    iterates = [tuple(own[t] for own in trace.policies) for t in range(7)]
    tables = [averaged_q(game, policy) for policy in iterates]
    for t, (policy, following) in enumerate(itertools.pairwise(iterates)):
        before = tables[max(t - 1, 0)]
        for own, new, q, old in zip(policy, following, tables[t], before, strict=True):
            weights = own * np.exp(0.1 * (2 * q - old))
            assert_allclose(new, weights / weights.sum(axis=-1, keepdims=True), rtol=1e-12)


# Gradients by differentiation


def shares(logits):
    weights = np.exp(logits)
    return weights / weights.sum(axis=-1, keepdims=True)


def value(game, policy, rewards):
    """Solve for Σ_s ρ(s) V(s) with plain einsum; also for complex and unnormalised policies."""
    letters = "abcdef"[: game.num_agents]
    weight = np.einsum(",".join("s" + a for a in letters) + "->s" + letters, *policy)
    joint = tuple(range(1, game.num_agents + 1))
    kernel = game.kernel
    if game.exogenous_kernel is not None:
        kernel = kernel.reshape(game.num_states, *[1] * game.num_agents, game.num_states)
    moves = (weight[..., None] * kernel).sum(axis=joint)
    paid = (weight * rewards).sum(axis=joint) if np.ndim(rewards) > 1 else rewards
    values = np.linalg.solve(np.eye(game.num_states) - game.discount * moves, paid)
    return game.initial @ values


def slope(function, point, *given):
    """Gradient of function(point, *given) by the complex step."""
    found = np.empty(point.shape)
    for index in np.ndindex(*point.shape):
        moved = point.astype(complex)
        moved[index] += 1e-30j
        found[index] = function(moved, *given).imag / 1e-30
    return found


def games_with_states(rng):
    for family in ("shaped", "identical-interest", "dummy", "congestion"):
        yield random_game(rng, family, Shape((2, 3), 3, 0.875))


def exchanged(parts, agent, own):
    return [*parts[:agent], own, *parts[agent + 1 :]]


def own_value(own, game, policy, agent):
    return value(game, exchanged(policy, agent, own), game.rewards[agent])


def test_projected_gradient_follows_the_gradient_of_own_value(rng):
    """Far from the boundary a projection only removes the mean of the gradient."""
    for game in games_with_states(rng):
        policy, step = random_policy(game, rng, concentration=20.0), 1e-3
        for agent, new in enumerate(one_move(game, ProjectedGradient(), step, policy)):
            gradient = slope(own_value, policy[agent], game, policy, agent)
            expected = policy[agent] + step * (gradient - gradient.mean(axis=-1, keepdims=True))
            assert_allclose(new, expected, atol=1e-13)


def centred(logs):
    return logs - logs.mean(axis=-1, keepdims=True)


def fisher(game, policy, agent):
    """Fisher matrix of the agent's logits, over states and actions."""
    states, actions = policy[agent].shape
    visits = occupancy(game, policy)
    matrix = np.zeros((states * actions,) * 2)
    for s in range(states):
        own, block = policy[agent][s], slice(s * actions, (s + 1) * actions)
        matrix[block, block] = visits[s] * (np.diag(own) - np.outer(own, own))
    return matrix


def regularised(logits, game, policy, agent, barrier, temperature):
    """F_i of own logits: value, plus barrier, plus discounted entropy."""
    own = shares(logits)
    parts = exchanged(policy, agent, own)
    found = value(game, parts, game.rewards[agent]) + barrier * np.log(own).sum()
    if temperature:
        found += temperature * value(game, parts, -(own * np.log(own)).sum(axis=-1))
    return found


@pytest.mark.parametrize(
    ("learner", "barrier", "temperature", "natural"),
    [
        (SoftmaxGradient(), 0, 0, False),
        (SoftmaxGradient(0.3), 0.3, 0, False),
        (NaturalGradient(0.0), 0, 0, True),
        (NaturalGradient(0.02), 0.02, 0, True),
        (EntropyRegularised(0.7), 0, 0.7, True),
        (OptimisticKL(), 0, 0, True),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_softmax_learners_follow_gradients_in_the_logits(
    learner, barrier, temperature, natural, rng
):
    step = 0.3
    for game in games_with_states(rng):
        policy = random_policy(game, rng, concentration=5.0)
        for agent, new in enumerate(one_move(game, learner, step, policy)):
            logits = np.log(policy[agent])
            gradient = slope(regularised, logits, game, policy, agent, barrier, temperature)
            if natural:
                pinv = np.linalg.pinv(fisher(game, policy, agent), rcond=1e-10)
                gradient = (1 - game.discount) * (pinv @ gradient.ravel()).reshape(logits.shape)
            expected = centred(logits + step * gradient)
            assert_allclose(centred(np.log(new)), expected, atol=1e-9)


def test_without_barrier_the_natural_gradient_is_kl_descent(rng):
    game = random_game(rng, "shaped", Shape((2, 3), 3, 0.875))
    start = random_policy(game, rng)
    plain = run_pmd(game, "kl", 0.2, 20, start)
    for learner in (NaturalGradient(0.0), EntropyRegularised(0.0)):
        found = run(game, learner, 0.2, 20, start)
        assert_allclose(found.nash_gap, plain.nash_gap, rtol=1e-12, atol=1e-14)


# Steps of the theory


def potential_at(own, game, policy, agent):
    parts = exchanged(policy, agent, own)
    return value(game, parts, game.potential + game.potential_shift)


def potential_in_logits(own, game, logits, agent):
    return potential_at(shares(own), game, [shares(part) for part in logits], agent)


def hessian(function, game, parts):
    """Second derivatives in the entries of all parts: differences of complex-step slopes."""
    sizes = [own.size for own in parts]

    def gradient(flat):
        pieces = np.split(flat, np.cumsum(sizes)[:-1])
        moved = [piece.reshape(own.shape) for piece, own in zip(pieces, parts, strict=True)]
        slopes = [slope(function, own, game, moved, i) for i, own in enumerate(moved)]
        return np.concatenate([part.ravel() for part in slopes])

    flat = np.concatenate([own.ravel() for own in parts])
    columns = [gradient(flat + h) - gradient(flat - h) for h in 1e-5 * np.eye(len(flat))]
    return np.array(columns) / 2e-5


def hard_games(rng, count):
    for _ in range(count):
        agents, states = int(rng.integers(1, 5)), int(rng.integers(1, 3))
        shape = Shape((2,) * agents, states, float(rng.choice([0.0, 0.5])), 0.02, zero_one=True)
        yield random_game(rng, "identical-interest", shape)


def test_slopes_change_no_faster_than_the_steps_assume(rng):
    """L = φmax/(2(1-γ)³) in the logits, (1+γ) φmax M/(2(1-γ)³) in the probabilities, for any N."""
    in_logits, in_policy = 0.0, 0.0
    for game in hard_games(rng, 40):
        logits = [rng.normal(size=own.shape) * rng.choice([0.1, 1]) for own in uniform_policy(game)]
        norm = np.linalg.norm(hessian(potential_in_logits, game, logits), 2)
        in_logits = max(in_logits, norm * SoftmaxGradient().theory_step(game))
        policy = [shares(own) for own in logits]
        rows = sum(len(own) for own in policy)
        tangent = np.kron(np.eye(rows), np.eye(2) - 0.5)  # every agent has two actions
        norm = np.linalg.norm(tangent @ hessian(potential_at, game, policy) @ tangent, 2)
        share = (1 + game.discount) / 4
        in_policy = max(in_policy, norm * ProjectedGradient().theory_step(game) / share)
    assert 0.3 < in_logits <= 1 + 1e-6
    assert 0.1 < in_policy <= 1 + 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("learner", "barrier"),
    [(ProjectedGradient(), 0), (SoftmaxGradient(), 0), (SoftmaxGradient(0.05), 0.05)],
    ids=["projected", "softmax", "softmax, barrier"],
)
def test_the_objective_never_falls_at_the_step_of_the_theory(family, learner, barrier, rng):
    for discount in (0.0, 0.875):
        game = random_game(rng, family, Shape((2, 3, 2), 3, discount))
        start = random_policy(game, rng, batch=(10,))
        step = learner.theory_step(game)
        trace = run(game, learner, step, 40, start, record_policies=True)
        logs = sum(np.log(own).sum(axis=(-1, -2)) for own in trace.policies) if barrier else 0
        rises = np.diff(trace.potential + barrier * logs, axis=0)
        assert rises.min() >= -1e-12
        assert rises.max() > 1e-8


@pytest.mark.parametrize("family", ["dummy", "congestion"])
def test_the_regularised_potential_never_falls_at_the_step_of_the_theory(family, rng):
    for heat in (0.01, 0.3):
        game = random_game(rng, family, Shape((2, 3, 2), 3, 0.875))
        learner = EntropyRegularised(heat)
        step = learner.theory_step(game)
        assert step == pytest.approx(1 / (math.sqrt(3) * game.phi_max + heat))
        start = random_policy(game, rng, batch=(10,))
        trace = run(game, learner, step, 60, start, record_policies=True)
        entropy = -sum((own * np.log(own)).sum(axis=-1) for own in trace.policies)
        rest = np.linalg.inv(np.eye(3) - game.discount * game.kernel)
        rises = np.diff(trace.potential + heat * entropy @ rest.T @ game.initial, axis=0)
        assert rises.min() >= -1e-12
        assert rises.max() > 1e-8


def test_steps_of_the_theory_by_hand(rng):
    game = random_game(rng, "dummy", Shape((2, 3, 4), 2, 0.75))
    at = 0.25**3 / game.phi_max
    assert ProjectedGradient().theory_step(game) == pytest.approx(at / 18)
    assert SoftmaxGradient().theory_step(game) == pytest.approx(2 * at)
    assert SoftmaxGradient(0.5).theory_step(game) == pytest.approx(1 / (1 / (2 * at) + 1))
    assert MirrorDescent(KL()).theory_step(game) == KL().theory_step(game, "paper")
    for learner in (OptimisticKL(), NaturalGradient(0.1), FictitiousPlay()):
        with pytest.raises(PmdError, match="no theory gives a step"):
            learner.theory_step(game)
    moving = random_game(rng, "shaped", Shape((2, 2), 2, 0.75))
    with pytest.raises(PmdError, match="where actions move the state"):
        EntropyRegularised(0.1).theory_step(moving)


# Logit equilibria


def test_entropy_leads_to_the_quantal_response_equilibrium():
    """p = σ((Q(0) - Q(1))/τ) for both agents, solved for by a root finder."""
    game, heat = catalogue.isolated(), 0.4
    table = game.potential[0]

    def residual(x):
        first, second = np.array([x[0], 1 - x[0]]), np.array([x[1], 1 - x[1]])
        gains = (table @ second) @ [1, -1], (first @ table) @ [1, -1]
        return [p - 1 / (1 + math.exp(-g / heat)) for p, g in zip(x, gains, strict=True)]

    expected = root(residual, [0.6, 0.6]).x
    found = one_move(game, EntropyRegularised(heat), 0.5, None, iterations=400)
    assert_allclose([own[0, 0] for own in found], expected, atol=1e-12)


def test_fixed_points_are_logit_responses_and_near_equilibria(rng):
    game = random_game(rng, "congestion", Shape((2, 3), 3, 0.875))
    gaps = []
    for heat in (0.2, 0.05):
        learner = EntropyRegularised(heat)
        policy = one_move(game, learner, learner.theory_step(game), None, iterations=900)
        for own, q in zip(policy, averaged_q(game, policy), strict=True):
            assert_allclose(own, shares(q / heat), atol=1e-10)
        gaps.append(nash_gap(game, policy))
        assert 0 < gaps[-1] <= heat * math.log(3) / (1 - game.discount)
    assert gaps[1] < gaps[0]
    annealed = run(game, EntropyRegularised(Decay(0.2)), 1.0, 900)
    assert annealed.nash_gap[-1] < gaps[0]


# What best responses lead to


def routing(rng, agents=8, facilities=4, states=1):
    """Each facility pays less the more use it."""
    pay = np.sort(rng.random((states, facilities, agents)), axis=-1)[..., ::-1]
    if states == 1:
        return CongestionGame(pay, agents)
    return CongestionGame(pay, agents, rng.dirichlet([1] * states, states), discount=0.5)


@pytest.mark.parametrize("order", ["cyclic", "largest gain"])
@pytest.mark.parametrize("states", [1, 3])
def test_best_responses_in_turn_end_in_a_pure_equilibrium(order, states, rng):
    for _ in range(3):
        game = routing(rng, states=states)
        start = random_policy(game, rng, batch=(4,))
        trace = run(game, SequentialBestResponse(order), 1.0, 60, start)
        assert (trace.nash_gap[-1] <= 1e-14).all()
        for own in trace.policy:
            assert set(np.unique(own)) <= {0.0, 1.0}
        rises = np.diff(trace.potential, axis=0)
        assert (rises >= -1e-12).all()
        if order == "largest gain":  # the potential rises by just what the agent gains
            assert_allclose(rises, trace.nash_gap, atol=1e-11)


def test_exact_best_responses(rng):
    """In rationals: after finitely many moves the gap is 0, not nearly 0."""
    game = random_game(rng, "congestion", Shape((3, 3, 2), 2, 0.5)).exact()
    trace = run(game, SequentialBestResponse("largest gain"), 1, 12)
    assert trace.nash_gap[-1] == 0
    assert (np.diff(trace.potential) == trace.nash_gap).all()


@RUNS
def test_the_same_run_in_balls(make):
    """Two states, moved by the agents; every number is enclosed, and the floats lie inside."""
    game = random_game(np.random.default_rng(1), "shaped", Shape((2, 2), 2, 0.5))
    floats = run(game, make(), 0.125, 3, random_policy(game, np.random.default_rng(2)))
    exact = run(game.exact(), make(), 0.125, 3, random_policy(game, np.random.default_rng(2)))
    assert is_exact(exact.nash_gap)
    assert_allclose(to_float(exact.nash_gap), floats.nash_gap, atol=1e-12)
    for one, other in zip(exact.policy, floats.policy, strict=True):
        assert_allclose(to_float(one), other, atol=1e-12)


def test_fictitious_play_converges_in_beliefs():
    """To a pure equilibrium of a common interest, and to (1/2, 1/2) in matching pennies."""
    for start in (two_by_two(0.9, 0.3), two_by_two(0.2, 0.6)):
        trace = run(catalogue.isolated(), FictitiousPlay(), 1.0, 400, start)
        assert trace.nash_gap[-1] < 5e-3
        assert min(max(own[0]) for own in trace.policy) > 0.99
        trace = run(MATCHING_PENNIES, FictitiousPlay(), 1.0, 1000, start)
        assert trace.nash_gap[-1] < 0.04
        for own in trace.policy:
            assert_allclose(own, 0.5, atol=0.04)


def test_in_matching_pennies_only_optimism_converges():
    start = two_by_two(0.6, 0.5)
    plain = run(MATCHING_PENNIES, MirrorDescent(KL()), 0.2, 499, start)
    optimistic = run(MATCHING_PENNIES, OptimisticKL(), 0.4, 1000, start)
    assert plain.nash_gap[0] == pytest.approx(0.1)
    assert plain.nash_gap[-100:].min() > 0.2
    assert plain.nash_gap[-100:].max() > 0.6
    assert optimistic.nash_gap[-1] < 1e-5 * plain.nash_gap[-100:].min()


# Planning together


def test_the_best_joint_policy_is_the_best_of_all_deterministic_ones(rng):
    for family in FAMILIES:
        game = random_game(rng, family, Shape((2, 2), 3, 0.875))
        best = best_joint_policy(game)
        choices = list(itertools.product(range(2), repeat=3))
        every = [
            potential_values(game, deterministic_policy(game, pair))
            for pair in itertools.product(choices, choices)
        ]
        assert_allclose(potential_values(game, best), np.max(every, axis=0), rtol=1e-12)
        assert nash_gap(game, best) <= 1e-12
        trace = run(game, JointPolicyIteration(), 1.0, 10, random_policy(game, rng, batch=(3,)))
        assert (np.diff(trace.potential, axis=0) >= -1e-12).all()
        assert_allclose(trace.potential[-1], np.max(every, axis=0) @ game.initial, rtol=1e-12)
        learned = run(game, SequentialBestResponse(), 1.0, 20).potential[-1]
        assert learned <= trace.potential[-1, 0] + 1e-12


def test_the_centre_looks_ahead_and_is_paid_the_shifted_potential(rng):
    """Leaving pays only later; and a potential of -3..0 is shifted to 0..3."""
    game = catalogue.stay_or_leave()
    for plan in (best_joint_policy(game), run(game, JointPolicyIteration(), 1.0, 3).policy):
        assert_array_equal(plan[0][0], [0, 1])
    game = TabularGame(-3 * rng.random((2, 2, 3)), np.full((2, 2), 0.5), discount=0.5)
    values, _ = solve_mdp(joint_mdp(game), joint_mdp(game).rewards, 1e-12)
    assert_allclose(values, potential_values(game, best_joint_policy(game)), rtol=1e-12)


def test_joint_plans_are_exact_in_rationals(rng):
    game = random_game(rng, "congestion", Shape((2, 3), 2, 0.5))
    for own, other in zip(best_joint_policy(game), best_joint_policy(game.exact()), strict=True):
        assert (own == other).all()


def test_coordination_on_the_worse_convention():
    """Independent learners may settle on .6; the centre never does."""
    game = catalogue.isolated()
    start = two_by_two(0.1, 0.1)
    assert run_pmd(game, "kl", "constant", 400, start).potential[-1] == pytest.approx(0.6)
    assert run(game, JointPolicyIteration(), 1.0, 2, start).potential[-1] == 1


# Batches, many agents


@RUNS
@pytest.mark.parametrize("family", ["shaped", "congestion"])
def test_each_start_of_a_batch_runs_by_itself(make, family, rng):
    game = random_game(rng, family, Shape((2, 3, 2), 3, 0.75))
    start = random_policy(game, rng, batch=(2, 3))
    together = run(game, make(), 0.3, 12, start, record_policies=True)
    assert together.nash_gap.shape == (12, 2, 3)
    for k in np.ndindex(2, 3):
        alone = run(game, make(), 0.3, 12, tuple(own[k] for own in start), record_policies=True)
        for one, other in zip(together.policies, alone.policies, strict=True):
            assert one.shape == (13, 2, 3, *other.shape[1:])
            assert_allclose(one[(slice(None), *k)], other, atol=1e-12)


def dense(game):
    """Write a congestion game, one facility for each agent, as a table."""
    agents, facilities = game.num_agents, game.payoffs.shape[1]
    joint = np.indices((facilities,) * agents)
    load = np.stack([(joint == f).sum(axis=0) for f in range(facilities)])
    rewards = [
        game.payoffs[:, own, np.take_along_axis(load, own[None], axis=0)[0] - 1] for own in joint
    ]
    return TabularGame(rewards, game.exogenous_kernel, discount=game.discount, initial=game.initial)


@RUNS
@pytest.mark.parametrize("alike", [True, False])
def test_agents_in_stacks_learn_as_agents_in_a_table(make, alike, rng):
    game = routing(rng, agents=4, facilities=3, states=2)
    start = uniform_policy(game) if alike else random_policy(game, rng)
    stacks = run(game, make(), 0.3, 6, start, record_policies=True)
    table = run(dense(game), make(), 0.3, 6, tuple(start), record_policies=True)
    assert isinstance(stacks.policy, Profile)
    assert_allclose(stacks.nash_gap, table.nash_gap, atol=1e-12)
    for agent in range(4):
        assert_allclose(stacks.policies[agent], table.policies[agent], atol=1e-12)


@RUNS
def test_many_agents(make):
    game = catalogue.two_roads(1000)
    trace = run(game, make(), 0.1, 3)
    assert np.isfinite(trace.nash_gap).all()
    assert len(trace.policy) == 1000


@pytest.mark.parametrize("name", [k for k in LEARNERS if k not in ("cyclic", "largest gain")])
def test_agents_who_are_alike_stay_one_row(name):
    trace = run(catalogue.two_roads(100_000), LEARNERS[name](), 0.1, 2)
    assert [len(stack) for stack in trace.policy.stacks] == [1]


@RUNS
def test_a_single_agent(make, rng):
    game = random_game(rng, "identical-interest", Shape((4,), 3, 0.75))
    trace = run(game, make(), 0.2, 30, random_policy(game, rng))
    assert trace.nash_gap[-1] < trace.nash_gap[0]


def test_log_policies_do_not_underflow(rng):
    game = random_game(rng, "identical-interest", Shape((2, 3), 2, 0.5))
    for learner in (OptimisticKL(), EntropyRegularised(1e-5)):
        trace = run(game, learner, 50.0, 300)
        assert np.isfinite(trace.log_c).all()
        state = learner.begin(trace.policy)
        assert len(learner.log_policy(state)) == 2


class Doubled(Feedback):
    """Twice the averaged Q."""

    def averaged_q(self, evaluation):
        return tuple(2 * own for own in evaluation.averaged_q)


@pytest.mark.parametrize("name", ["projected", "softmax", "optimistic"])
def test_learners_believe_what_they_are_told_of_their_averaged_q(name, rng):
    game = random_game(rng, "shaped", Shape((2, 3), 3, 0.75))
    start = random_policy(game, rng)
    told = run(game, LEARNERS[name](), 0.1, 10, start, feedback=Doubled())
    doubled = run(game, LEARNERS[name](), 0.2, 10, start)
    assert_allclose(told.nash_gap, doubled.nash_gap, atol=1e-12)


# Bad input


def test_bad_input(rng):
    game = random_game(rng, "shaped", Shape((2, 2), 2, 0.75))
    with pytest.raises(PmdError, match="barrier is -1"):
        SoftmaxGradient(-1)
    with pytest.raises(PmdError, match="temperature is inf"):
        EntropyRegularised(np.inf)
    with pytest.raises(PmdError, match="temperature is -1"):
        run(game, EntropyRegularised(lambda t: -1), 0.1, 1)
    with pytest.raises(
        PmdError, match=r"step is 3, must be at most 1/τ for the temperature τ = 0.5"
    ):
        run(game, EntropyRegularised(0.5), 3.0, 1)
    with pytest.raises(PmdError, match=r"must be .cyclic. or .largest gain."):
        SequentialBestResponse("random")
    with pytest.raises(PmdError, match="needs a TabularGame, not CongestionGame"):
        best_joint_policy(routing(rng))
    for step in (-1.0, "paper", None):
        with pytest.raises(PmdError, match="must be a positive number"):
            run(game, OptimisticKL(), step, 1)
    with pytest.raises(NotPotentialError):
        joint_mdp(MATCHING_PENNIES)
    zero = tuple(np.array([[1.0, 0.0], [0.5, 0.5]]) for _ in range(2))
    with pytest.raises(InvalidPolicyError, match="never revives"):
        run(game, SoftmaxGradient(), 0.1, 1, zero)


def test_what_a_barrier_cannot_bear():
    """Where nobody ever is, the Fisher matrix is zero; near the boundary the push overflows."""
    unreachable = TabularGame(np.ones((2, 3)), np.eye(2), discount=0.9, initial=[1.0, 0.0])
    with pytest.raises(PmdError, match="state 1 is never visited"):
        run(unreachable, NaturalGradient(0.1), 0.1, 1)
    with pytest.raises(PmdError, match="not finite after iteration"):
        run(catalogue.isolated(), NaturalGradient(1.0), 1e5, 50)


def test_euclidean_descent_is_projected_gradient_without_the_weights():
    """With one state and no discount the weight is 1: the same rule."""
    game = catalogue.isolated()
    for one, other in zip(
        one_move(game, ProjectedGradient(), 0.1, None, 20),
        one_move(game, MirrorDescent(Euclidean()), 0.1, None, 20),
        strict=True,
    ):
        assert_allclose(one, other, rtol=1e-14)
