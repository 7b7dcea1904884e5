"""Variants of learners against plain runs, loops by hand, and one agent at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import random_policy, uniform_policy
from pmdlib.analysis.values import averaged_q
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, random_game
from pmdlib.games.profiles import Profile, by_row, stacked, told_apart
from pmdlib.learning.baselines import (
    EntropyRegularised,
    FictitiousPlay,
    NaturalGradient,
    OptimisticKL,
    ProjectedGradient,
    SequentialBestResponse,
    SoftmaxGradient,
)
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL, Euclidean, Tsallis
from pmdlib.learning.pmd import run
from pmdlib.learning.variants import Asynchronous, Delayed, StepSizes

LEARNERS = {
    "kl": lambda: MirrorDescent(KL()),
    "euclidean": lambda: MirrorDescent(Euclidean()),
    "tsallis": lambda: MirrorDescent(Tsallis()),
    "projected": ProjectedGradient,
    "softmax": lambda: SoftmaxGradient(0.01),
    "natural": lambda: NaturalGradient(1e-4),
    "entropy": lambda: EntropyRegularised(0.05),
    "optimistic": OptimisticKL,
    "best response": SequentialBestResponse,
    "fictitious": FictitiousPlay,
}
RUNS = pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
SHAPE = Shape((2, 3, 2), 3, 0.75)


def everyone(iteration):
    return np.ones(3, dtype=bool)


VARIANTS = {
    "equal steps": lambda learner: StepSizes(learner, np.ones(3)),
    "always": lambda learner: Asynchronous(learner, 1.0, np.random.default_rng(0)),
    "scheduled": lambda learner: Asynchronous(learner, everyone),
    "no delay": lambda learner: Delayed(learner, 0),
    "all": lambda learner: Delayed(StepSizes(Asynchronous(learner, everyone), np.ones(3)), 0),
}


@RUNS
@pytest.mark.parametrize("wrap", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("batch", [(), (2, 2)], ids=["one", "batch"])
def test_with_nothing_changed_the_run_is_the_same_bit_for_bit(make, wrap, batch, rng):
    game = random_game(rng, "shaped", SHAPE)
    start = random_policy(game, rng, batch=batch)
    plain = run(game, make(), 0.3, 9, start, record_policies=True)
    found = run(game, wrap(make()), 0.3, 9, start, record_policies=True)
    assert_array_equal(found.nash_gap, plain.nash_gap)
    assert_array_equal(found.potential, plain.potential)
    assert_array_equal(found.log_c, plain.log_c)
    for one, other in zip(found.policies, plain.policies, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("wrap", ["equal steps", "always", "no delay"])
@pytest.mark.parametrize("alike", [True, False])
def test_stacks_that_nothing_tells_apart_run_the_same_bit_for_bit(wrap, alike, rng):
    game = catalogue.two_roads(3)
    start = uniform_policy(game) if alike else random_policy(game, rng, batch=(2,))
    plain = run(game, MirrorDescent(KL()), 0.3, 9, start)
    found = run(game, VARIANTS[wrap](MirrorDescent(KL())), 0.3, 9, start)
    assert_array_equal(found.nash_gap, plain.nash_gap)


# Own step sizes


@RUNS
def test_each_agent_steps_with_its_own_size(make, rng):
    """From one and the same policy, an agent moves as if its step were that of all."""
    game, factors = random_game(rng, "shaped", SHAPE), [0.5, 2.0, 0.5]
    start = random_policy(game, rng, batch=(3,))
    found = run(game, StepSizes(make(), factors), 0.2, 1, start).policy
    for agent, factor in enumerate(factors):
        expected = run(game, make(), 0.2 * factor, 1, start).policy
        assert_array_equal(found[agent], expected[agent])


def test_own_step_sizes_by_hand(rng):
    game, factors = random_game(rng, "shaped", SHAPE), [0.5, 2.0, 1.0]
    policy = random_policy(game, rng)
    trace = run(game, StepSizes(MirrorDescent(KL()), factors), 0.2, 5, policy)
    for _ in range(5):
        moved = []
        for own, q, factor in zip(policy, averaged_q(game, policy), factors, strict=True):
            weights = own * np.exp(0.2 * factor * q)
            moved.append(weights / weights.sum(axis=-1, keepdims=True))
        policy = tuple(moved)
    for one, other in zip(trace.policy, policy, strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_many_agents_of_two_speeds_are_two_rows():
    game = catalogue.two_roads(100_000)
    factors = np.where(np.arange(100_000) < 40_000, 1.0, 3.0)
    trace = run(game, StepSizes(MirrorDescent(KL()), factors), 0.1, 5, record_policies=True)
    assert [len(stack) for stack in trace.policy.stacks] == [2]
    slow, fast = trace.policy[0], trace.policy[-1]
    assert abs(fast - 0.5).max() > abs(slow - 0.5).max() > 0
    small = catalogue.two_roads(5)
    factors = np.array([1.0, 3, 1, 3, 3])
    stacks = run(small, StepSizes(MirrorDescent(KL()), factors), 0.1, 5, record_policies=True)
    apart = random_policy(small, np.random.default_rng(0), concentration=1e9)
    other = run(small, StepSizes(MirrorDescent(KL()), factors), 0.1, 5, apart)
    for agent in range(5):
        assert_allclose(stacks.policy[agent], other.policy[agent], atol=1e-3)
        assert_allclose(stacks.policies[agent][-1], stacks.policy[agent])


# Some agents at a time


@RUNS
def test_who_waits_stays_and_who_moves_moves_as_if_all_did(make, rng):
    game = random_game(rng, "shaped", SHAPE)
    start = random_policy(game, rng, batch=(2,))
    movers = np.array([True, False, True])
    found = run(game, Asynchronous(make(), lambda t: movers), 0.2, 1, start).policy
    expected = run(game, make(), 0.2, 1, start).policy
    for agent, moves in enumerate(movers):
        if moves:
            assert_array_equal(found[agent], expected[agent])
        else:
            assert_allclose(found[agent], start[agent], rtol=1e-14)


def test_moves_at_random_are_independent_and_as_frequent_as_said(rng):
    game = random_game(rng, "dummy", Shape((2, 2, 2), 1, 0.0))
    start = random_policy(game, rng, batch=(500,))
    learner = Asynchronous(MirrorDescent(KL()), 0.3, np.random.default_rng(7))
    trace = run(game, learner, 0.2, 4, start, record_policies=True)
    moved = np.stack(
        [(abs(np.diff(own, axis=0)) > 1e-12).any(axis=(-1, -2)) for own in trace.policies]
    )
    assert moved.shape == (3, 4, 500)
    assert moved.mean() == pytest.approx(0.3, abs=0.02)
    assert np.corrcoef(moved[0].ravel(), moved[1].ravel())[0, 1] == pytest.approx(0, abs=0.07)
    again = run(
        game, Asynchronous(MirrorDescent(KL()), 0.3, np.random.default_rng(7)), 0.2, 4, start
    )
    assert_array_equal(again.nash_gap, trace.nash_gap)


def test_best_responses_one_by_one_are_a_schedule(rng):
    """All best-respond, but only agent t mod N moves: the cyclic rule, by another way."""
    game = random_game(rng, "congestion", SHAPE)
    start = random_policy(game, rng)

    class AllRespond(SequentialBestResponse):
        def move(self, state, sight):
            for agent in range(3):
                moved = super().move(state, type(sight)(sight.evaluation, (), 1.0, agent))
                state = (*state[:agent], moved[agent], *state[agent + 1 :])
            return state

    turns = Asynchronous(AllRespond(), lambda t: np.arange(3) == t % 3)
    found = run(game, turns, 1.0, 8, tuple(start))
    expected = run(game, SequentialBestResponse(), 1.0, 8, start)
    assert_allclose(found.nash_gap, expected.nash_gap, atol=1e-14)


def test_one_at_a_time_improves_with_steps_at_which_all_at_once_does_not():
    """φ = 1 if the two differ: at η = 5 all at once circle, in turns they settle."""
    game = catalogue.anti_coordination()
    start = tuple(np.array([[0.55, 0.45]]) for _ in range(2))
    together = run(game, MirrorDescent(KL()), 5.0, 200, start)
    turns = Asynchronous(MirrorDescent(KL()), lambda t: np.arange(2) == t % 2)
    apart = run(game, turns, 5.0, 200, start)
    assert together.nash_gap[-1] > 0.5
    assert apart.nash_gap[-1] < 1e-12
    assert (np.diff(apart.potential) >= 0).all()


# Late news


@pytest.mark.parametrize("delay", [1, 3])
def test_delayed_steps_by_hand(delay, rng):
    game = random_game(rng, "shaped", SHAPE)
    start = random_policy(game, rng)
    trace = run(game, Delayed(MirrorDescent(KL()), delay), 0.2, 7, start, record_policies=True)
    path = [start]
    for t in range(7):
        moved = []
        tables = averaged_q(game, path[max(t - delay, 0)])
        for own, q in zip(path[-1], tables, strict=True):
            weights = own * np.exp(0.2 * q)
            moved.append(weights / weights.sum(axis=-1, keepdims=True))
        path.append(tuple(moved))
    for agent, own in enumerate(trace.policies):
        assert_allclose(own, np.stack([policy[agent] for policy in path]), rtol=1e-12)


def test_a_delayed_gradient_is_that_of_the_old_policy(rng):
    """The first two moves of a softmax gradient with delay 1 are along the same gradient."""
    game = random_game(rng, "shaped", SHAPE)
    start = random_policy(game, rng)
    learner = Delayed(SoftmaxGradient(0.1), 1)
    twice = run(game, learner, 0.2, 2, start).policy
    once = run(game, SoftmaxGradient(0.1), 0.4, 1, start).policy
    for one, other in zip(twice, once, strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_a_delayed_learner_keeps_its_own_clock(rng):
    """Fictitious play weighs the t-th observation by 1/(t + 2), however late the news."""
    game = catalogue.isolated()
    trace = run(game, Delayed(FictitiousPlay(), 2), 1.0, 3)  # always the first action
    assert_allclose([own[0, 0] for own in trace.policy], 7 / 8)
    scheduled = run(game, Delayed(MirrorDescent(KL()), 2), lambda t: 0.1 * (t + 1), 3)
    once = run(game, MirrorDescent(KL()), 0.6, 1)  # three steps along the first Q
    for one, other in zip(scheduled.policy, once.policy, strict=True):
        assert_allclose(one, other, rtol=1e-13)


def test_agents_who_start_alike_part_when_only_some_move():
    game = catalogue.two_roads(4)
    turns = Asynchronous(MirrorDescent(KL()), lambda t: np.arange(4) < 2)
    policy = run(game, turns, 1.0, 1).policy
    moved = [abs(policy[agent] - 0.5).max() > 1e-3 for agent in range(4)]
    assert moved == [True, True, False, False]


def test_delay_can_destabilise():
    """At a step that improves without delay, news ten iterations old makes agents circle."""
    game = catalogue.anti_coordination()
    start = tuple(np.array([[0.55, 0.45]]) for _ in range(2))
    plain = run(game, MirrorDescent(KL()), 1.0, 300, start)
    late = run(game, Delayed(MirrorDescent(KL()), 10), 1.0, 300, start)
    assert (np.diff(plain.potential) >= -1e-15).all()
    assert np.diff(late.potential).min() < -0.05


def test_variants_go_together(rng):
    game = random_game(rng, "shaped", SHAPE)
    start = random_policy(game, rng, batch=(2,))
    inner = Asynchronous(OptimisticKL(), 0.5, np.random.default_rng(3))
    found = run(game, StepSizes(Delayed(inner, 2), [1.0, 2.0, 0.5]), 0.1, 30, start)
    assert found.mirror_map == "optimistic KL, asynchronous, delay 2, own step sizes"
    assert found.nash_gap[-1].max() < found.nash_gap[0].max()


# Agents told apart


def test_rows_are_split_where_labels_differ(rng):
    game = catalogue.rider_team(4)
    policy = uniform_policy(game)
    labels = np.array([0, 1, 0, 1, 1])
    apart = told_apart(policy, labels)
    assert [len(stack) for stack in apart.stacks] == [2, 1]
    for agent in range(5):
        assert_array_equal(apart[agent], policy[agent])
    assert told_apart(apart, labels) is apart
    assert isinstance(told_apart(tuple(policy), labels), tuple)
    numbers = by_row(labels * 10, apart)
    assert [int(n) for n in numbers] == [0, 10, 0, 10, 10]
    assert by_row(labels, tuple(policy)) == (0, 1, 0, 1, 1)


def test_stacks_in_any_order_stay_in_their_order(rng):
    """`stacked` sorts agents by their number of actions; to tell them apart changes nothing."""
    family = [rng.random((2, m)) for m in (3, 2, 3, 4, 2)]
    profile = stacked(family)
    apart = told_apart(profile, np.arange(5))
    assert apart is profile
    merged = Profile([rng.random((2, 2, 3)), rng.random((1, 2, 2))], profile.roster)
    merged.roster = type(profile.roster)(np.array([1, 2, 0, 1, 2]), (2, 1))
    split = told_apart(merged, np.arange(5))
    for agent in range(5):
        assert_array_equal(split[agent], merged[agent])


# Bad input


def test_bad_input(rng):
    game, kl = random_game(rng, "shaped", SHAPE), MirrorDescent(KL())
    for factors in ([1.0, -1.0, 1.0], [[1.0]], [np.nan]):
        with pytest.raises(PmdError, match="must be N positive numbers"):
            StepSizes(kl, factors)
    with pytest.raises(PmdError, match="factors are 2, the game has 3 agents"):
        run(game, StepSizes(kl, [1.0, 2.0]), 0.1, 1)
    for who in (0.0, 1.5):
        with pytest.raises(PmdError, match="must be a probability > 0"):
            Asynchronous(kl, who, rng)
    with pytest.raises(PmdError, match="rng is None, must be a Generator"):
        Asynchronous(kl, 0.5)
    with pytest.raises(PmdError, match=r"\(2,\) of bool at iteration 0, must be \(3,\) of bool"):
        run(game, Asynchronous(kl, lambda t: np.array([True, False])), 0.1, 1)
    for delay in (-1, 1.5, True):
        with pytest.raises(PmdError, match="delay is"):
            Delayed(kl, delay)
    assert StepSizes(kl, [1.0] * 3).theory_step(game) == kl.theory_step(game)
