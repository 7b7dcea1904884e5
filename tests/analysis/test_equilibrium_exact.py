"""Best responses, gaps and c in rationals and balls: exact ties, near ties, enclosures."""

import itertools

import numpy as np
import pytest
from arithmetic.enclosures import contains, inside, objects, rational
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st

from pmdlib.analysis.equilibrium import (
    argmax_mass,
    best_response,
    constant_c,
    mismatch,
    nash_gap,
    nash_regret,
    solve_mdp,
    tie_tolerance,
)
from pmdlib.analysis.policies import random_rational_policy, uniform_policy
from pmdlib.analysis.values import evaluate
from pmdlib.arithmetic import Ball, UndecidedError, enclose, precision, to_exact, to_float
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.games.game import InducedMDP
from pmdlib.games.tabular import TabularGame

HALF = fmpq(1, 2)


def policy_value(mdp, actions):
    """Values of a deterministic policy by Cramer's rule, for two states."""
    (a, b), (c, d) = (
        [int(s == t) - mdp.discount * mdp.kernel[s, actions[s], t] for t in range(2)]
        for s in range(2)
    )
    r, q = (mdp.rewards[s, actions[s]] for s in range(2))
    return [(r * d - b * q) / (a * d - b * c), (a * q - c * r) / (a * d - b * c)]


def brute_force_optimum(mdp):
    """Largest values over all deterministic policies, in rationals."""
    count = mdp.rewards.shape[-1]
    every = [policy_value(mdp, chosen) for chosen in itertools.product(range(count), repeat=2)]
    return [max(values[s] for values in every) for s in range(2)]


@st.composite
def rational_mdps(draw):
    """Two states, three actions; payoffs 0, ½, 1, so that ties are common."""
    grid = st.integers(0, 2).map(lambda k: fmpq(k, 2))
    rewards = objects(*draw(st.lists(grid, min_size=6, max_size=6))).reshape(2, 3)
    stay = objects(*(fmpq(draw(st.integers(0, 4)), 4) for _ in range(6))).reshape(2, 3)
    kernel = np.stack([stay, 1 - stay], axis=-1)
    return InducedMDP(rewards, kernel, fmpq(draw(st.integers(0, 9)), 10))


@given(rational_mdps(), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_policy_iteration_finds_or_encloses_the_optimum(mdp, start):
    optimum = brute_force_optimum(mdp)
    q = objects(*map(fmpq, start)).reshape(2, 3)  # any start will do
    values, actions = solve_mdp(mdp, q, 0)
    assert values.tolist() == optimum
    assert policy_value(mdp, actions) == optimum
    balls = InducedMDP(*(enclose(part) for part in (mdp.rewards, mdp.kernel)), mdp.discount)
    enclosed, _ = solve_mdp(balls, enclose(q), 0)
    for ball, value in zip(enclosed, optimum, strict=True):
        assert contains(ball, value)
        assert Ball(ball).width < 1e-10


@given(rational_mdps(), st.sampled_from([2.0**-10, 2.0**-2]), st.data())
def test_wide_balls_enclose_the_optimum_of_every_mdp_inside(mdp, radius, data):
    """Rewards that are hardly known, so that no action is best for certain."""
    around = objects(*(Ball(x) + Ball(arb(0, radius)) for x in mdp.rewards.flat)).reshape(2, 3)
    parts = data.draw(st.lists(st.integers(-4, 4), min_size=6, max_size=6))
    shift = objects(*(fmpq(k, 4) * to_exact(radius) for k in parts)).reshape(2, 3)
    inside_it = InducedMDP(mdp.rewards + shift, mdp.kernel, mdp.discount)
    enclosed, _ = solve_mdp(InducedMDP(around, mdp.kernel, mdp.discount), enclose(mdp.rewards), 0)
    for ball, value in zip(enclosed, brute_force_optimum(inside_it), strict=True):
        assert contains(ball, value)


# Ties


def tied(extra):
    """One agent, one state, payoffs ½ and ½ + extra."""
    payoffs = objects(HALF, HALF + extra)[None]
    return TabularGame(payoffs, objects(fmpq(1))[None], discount=fmpq(0))


def test_exact_ties_are_no_problem_for_rationals_and_undecided_for_balls():
    game, uniform = tied(0), (objects(HALF, HALF)[None],)
    assert best_response(game, uniform, 0).sum() == 1
    assert nash_gap(game, uniform) == 0
    assert constant_c(game, uniform) == 1
    third = Ball(fmpq(1, 3))
    blurred = tied(third - third)
    with pytest.raises(UndecidedError):
        best_response(blurred, uniform, 0)
    gap = nash_gap(blurred, uniform)  # needs no best response, only its value
    assert contains(gap, fmpq(0))
    assert gap.width < 1e-14
    c = constant_c(blurred, uniform)
    assert contains(c, fmpq(1))
    assert contains(c, HALF)


def test_a_near_tie_is_decided_once_the_precision_allows():
    advantage, uniform = fmpq(1, 10**30), (objects(HALF, HALF)[None],)
    assert best_response(tied(advantage), uniform, 0).tolist() == [[0, 1]]
    assert nash_gap(tied(advantage), uniform) == advantage / 2
    assert constant_c(tied(advantage), uniform) == HALF
    with precision(53), pytest.raises(UndecidedError):
        best_response(tied(Ball(advantage) + third_less_third()), uniform, 0)
    with precision(128):
        sharp = tied(Ball(advantage) + third_less_third())
        assert to_float(best_response(sharp, uniform, 0)).tolist() == [[0, 1]]
        assert contains(nash_gap(sharp, uniform), advantage / 2)
        assert constant_c(sharp, uniform) == HALF


def test_a_gain_too_small_to_decide_is_inside_the_gap():
    """The worse row is exactly 1/2, so policy iteration on balls stays there, and q - q is 0."""
    advantage = fmpq(1, 2**200)
    payoffs = objects(HALF, HALF, HALF + advantage, HALF + advantage).reshape(1, 2, 2)
    game = TabularGame(payoffs, objects(fmpq(1))[None], discount=fmpq(0))
    with precision(53):
        worse = objects(Ball(1), Ball(0))[None]
        gains = nash_gap(game, (worse, worse), per_agent=True)
        gap = nash_gap(game, (worse, worse))
    assert contains(gains[0], advantage)
    assert contains(gap, advantage)
    assert gap.width < 1e-14


def third_less_third():
    return Ball(fmpq(1, 3)) - Ball(fmpq(1, 3))


def test_floats_tie_within_a_tolerance_and_exact_numbers_do_not():
    game = catalogue.isolated()
    assert tie_tolerance(game) > 0
    assert tie_tolerance(game.exact()) == 0


@given(st.lists(inside(), min_size=1, max_size=4), st.data())
def test_the_mass_of_the_best_actions_is_enclosed_when_they_are_undecided(pairs, data):
    count = len(pairs)
    weights = data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    policy = objects(*(fmpq(w, sum(weights)) for w in weights))
    table, points = objects(*(b for b, _ in pairs)), [rational(p) for _, p in pairs]
    truth = sum((p for p, x in zip(policy, points, strict=True) if x == max(points)), fmpq(0))
    assert contains(argmax_mass(policy, table, 0)[()], truth)
    exactly = argmax_mass(policy, objects(*points), 0)[()]
    assert isinstance(exactly, fmpq)
    assert exactly == truth


def test_the_enclosure_of_an_undecided_mass_is_no_wider_than_it_must_be():
    """Candidates [0, 2] and 1, the entry -5 is none: from the rarer candidate to both."""
    policy = objects(fmpq(1, 8), fmpq(3, 8), HALF)
    mass = argmax_mass(policy, objects(Ball(0).union(2), Ball(1), Ball(-5)), 0)[()]
    for value in (fmpq(1, 8), fmpq(3, 8), HALF):
        assert contains(mass, value)
    assert mass.lower > fmpq(12, 100)
    assert mass.upper < fmpq(51, 100)


# Games


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_gaps_and_c_agree_with_floats_and_balls_contain_them(family):
    rng = np.random.default_rng(11)
    for _ in range(3):
        game = FAMILIES[family](rng, Shape((2, 3), 2, 0.5, zero_one=bool(rng.integers(2))))
        policy = random_rational_policy(game, rng)
        floats, exact = tuple(map(to_float, policy)), game.exact()
        gaps = nash_gap(exact, policy, per_agent=True)
        assert all(isinstance(gap, fmpq) for gap in gaps)
        np.testing.assert_allclose(
            to_float(gaps), nash_gap(game, floats, per_agent=True), atol=1e-9
        )
        c = constant_c(exact, policy)
        assert float(to_float(c)) == pytest.approx(constant_c(game, floats), abs=1e-9)
        balls = tuple(map(enclose, policy))
        for ball, gap in zip(nash_gap(exact, balls, per_agent=True), gaps, strict=True):
            assert contains(ball, gap)
        assert contains(constant_c(exact, balls), c)
        evaluation, enclosed = evaluate(exact, policy), evaluate(exact, balls)
        for one, other in zip(evaluation.averaged_q, enclosed.averaged_q, strict=True):
            assert all(contains(b, x) for b, x in zip(other.flat, one.flat, strict=True))


def test_a_mismatch_by_hand_in_rationals():
    """Stay or leave: the best response visits what the next iterate visits half as often."""
    game = catalogue.stay_or_leave().exact()
    policies = (np.stack(uniform_policy(game) * 2),)
    kappa = mismatch(game, policies)
    floats = mismatch(catalogue.stay_or_leave(), tuple(map(to_float, policies)))
    assert all(isinstance(x, fmpq) for x in kappa)
    np.testing.assert_allclose(to_float(kappa), floats, rtol=1e-12)
    enclosed = mismatch(game, tuple(map(enclose, policies)))
    assert contains(enclosed[0], kappa[0])


def test_regrets_of_rationals_are_averages():
    regret = nash_regret(objects(fmpq(1), fmpq(1, 3), fmpq(1, 6)))
    assert regret.tolist() == [1, fmpq(2, 3), HALF]
