"""Runs in rationals and balls: the same run as in floats, and the truth at sixty digits inside."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from arithmetic.enclosures import DIGITS, as_mpf, contains, objects
from flint import fmpq
from numpy.testing import assert_allclose

from pmdlib.analysis.equilibrium import best_response, mismatch, nash_gap
from pmdlib.analysis.policies import random_rational_policy
from pmdlib.analysis.values import evaluate
from pmdlib.arithmetic import (
    Ball,
    UndecidedError,
    enclose,
    is_exact,
    precision,
    to_float,
)
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.pmd import run_pmd

ITERATIONS = 4


def small_game(family, seed=3):
    rng = np.random.default_rng(seed)
    return FAMILIES[family](rng, Shape((2, 3), 2, 0.5)), rng


def floats(policy):
    return tuple(to_float(own) for own in policy)


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_and_float_runs_agree(family, mirror_map):
    game, rng = small_game(family)
    start = random_rational_policy(game, rng)
    options = {"iterations": ITERATIONS, "record_policies": True}
    run = run_pmd(game, mirror_map, "paper", initial_policy=floats(start), **options)
    with precision(128):
        for begin in (start, tuple(map(enclose, start))):
            exact = run_pmd(game.exact(), mirror_map, "paper", initial_policy=begin, **options)
            assert is_exact(exact.nash_gap)
            assert float(to_float(exact.step)) == pytest.approx(run.step, rel=1e-15)
            for name in ("nash_gap", "potential", "log_c", "c", "nash_regret"):
                found, expected = to_float(getattr(exact, name)), getattr(run, name)
                assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=name)
            for mine, other in zip(exact.policies, run.policies, strict=True):
                assert_allclose(to_float(mine), other, rtol=0, atol=1e-9)
                assert all(x.width < 1e-25 for x in mine.flat if isinstance(x, Ball))
            assert_allclose(
                to_float(mismatch(game.exact(), exact.policies)),
                mismatch(game, run.policies),
                rtol=1e-9,
            )
            here = evaluate(game, run.policy)
            there = evaluate(game.exact(), exact.policy)
            assert_allclose(to_float(there.values), here.values, atol=1e-9)
            for agent in range(2):
                mine = best_response(game.exact(), exact.policy, agent)
                assert (mine == best_response(game, run.policy, agent)).all()
            assert exact.converged == run.converged
            assert (
                to_float(exact.to_frame()["nash_gap"]).tolist() == to_float(exact.nash_gap).tolist()
            )


def test_a_euclidean_run_of_rationals_stays_rational_and_a_kl_run_does_not():
    game, rng = small_game("shaped")
    start = random_rational_policy(game, rng)
    run = run_pmd(game.exact(), "euclidean", "paper", 3, start, record_policies=True)
    for own in run.policies:
        assert all(isinstance(x, fmpq) for x in own.flat)
        assert (own.sum(axis=-1) == 1).all()
    assert all(isinstance(x, fmpq) for x in (*run.nash_gap, *run.potential))
    assert (np.diff(run.potential) >= 0).all()
    moved = run_pmd(game.exact(), "kl", "constant", 1, start).policy
    assert all(isinstance(x, Ball) for own in moved for x in own.flat)


def mpmath_run(game, policy, step, iterations):
    """Run KL in loops at sixty digits, identical interest: policy, potentials and Nash gaps."""
    states, counts = range(game.num_states), game.num_actions
    joint = list(itertools.product(*map(range, counts)))
    table, kernel, discount = game.potential, game.kernel, as_mpf(game.discount)
    rho = [as_mpf(p) for p in game.initial]
    policy = [[[as_mpf(p) for p in row] for row in own] for own in policy]

    def value(policy):
        system, right = mpmath.eye(len(states)), mpmath.zeros(len(states), 1)
        for s in states:
            for actions in joint:
                weight = mpmath.fprod(policy[i][s][a] for i, a in enumerate(actions))
                right[s] += weight * as_mpf(table[(s, *actions)])
                for t in states:
                    system[s, t] -= discount * weight * as_mpf(kernel[(s, *actions, t)])
        return mpmath.lu_solve(system, right)

    def start(values):
        return mpmath.fsum(p * values[s] for s, p in enumerate(rho))

    def gap(agent, base):
        best = -mpmath.inf
        for chosen in itertools.product(range(counts[agent]), repeat=len(states)):
            own = [[mpmath.mpf(a == chosen[s]) for a in range(counts[agent])] for s in states]
            best = max(best, start(value([*policy[:agent], own, *policy[agent + 1 :]])))
        return best - base

    potentials, gaps = [], []
    for _ in range(iterations):
        values = value(policy)
        potentials.append(start(values))
        gaps.append(max(gap(agent, potentials[-1]) for agent in range(len(counts))))
        raised = []
        for agent, own in enumerate(policy):
            rows = []
            for s in states:
                row = []
                for mine in range(counts[agent]):
                    q = mpmath.mpf(0)
                    for actions in joint:
                        if actions[agent] == mine:
                            weight = mpmath.fprod(
                                policy[i][s][a] for i, a in enumerate(actions) if i != agent
                            )
                            ahead = mpmath.fsum(
                                as_mpf(kernel[(s, *actions, t)]) * values[t] for t in states
                            )
                            q += weight * (as_mpf(table[(s, *actions)]) + discount * ahead)
                    row.append(own[s][mine] * mpmath.exp(step * q))
                rows.append([x / mpmath.fsum(row) for x in row])
            raised.append(rows)
        policy = raised
    return policy, potentials, gaps


def test_balls_contain_the_run_at_sixty_digits():
    game, rng = small_game("identical-interest", seed=5)
    start, exact = random_rational_policy(game, rng), game.exact()
    with mpmath.workdps(DIGITS):
        policy, potentials, gaps = mpmath_run(exact, start, as_mpf(fmpq(1, 2)), 3)
        for bits in (64, 128):
            with precision(bits):
                run = run_pmd(exact, "kl", fmpq(1, 2), 3, start)
                for own, truth in zip(run.policy, policy, strict=True):
                    for ball, x in zip(own.flat, itertools.chain(*truth), strict=True):
                        assert contains(ball, x)
                for found, truth in ((run.potential[:-1], potentials), (run.nash_gap, gaps)):
                    assert all(contains(ball, x) for ball, x in zip(found, truth, strict=True))
                widest = max(ball.width for ball in run.nash_gap if isinstance(ball, Ball))
                assert widest < 2.0 ** (20 - bits)


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_coarse_balls_contain_fine_ones(mirror_map):
    game, rng = small_game("congestion", seed=7)
    start, runs = random_rational_policy(game, rng), {}
    for bits in (80, 300):
        with precision(bits):
            balls = tuple(map(enclose, start))
            runs[bits] = run_pmd(game.exact(), mirror_map, "paper", 6, balls)
    for coarse, fine in zip(runs[80].nash_gap, runs[300].nash_gap, strict=True):
        with precision(400):
            low, high = fine.lower, fine.upper
        assert contains(coarse, low)
        assert contains(coarse, high)
        assert fine.width < 1e-60 < 1e-30 < coarse.width


def test_a_run_whose_balls_have_grown_says_so():
    """Sixteen bits cannot follow anti-coordination at a large step: the error names it."""
    game = catalogue.anti_coordination().exact()
    start = tuple(own[0] for own in (objects(fmpq(11, 20), fmpq(9, 20))[None, None],) * 2)
    with precision(6), pytest.raises((UndecidedError, PmdError)):
        run_pmd(game, "kl", fmpq(40), 60, start)


def test_one_action_agents_have_nothing_to_learn_in_exact_numbers():
    game = TabularGame(np.ones((2, 1, 1)), np.eye(2), discount=0.5).exact()
    for mirror_map in ("kl", "euclidean"):
        trace = run_pmd(game, mirror_map, 1, 3)
        assert all(contains(gap, fmpq(0)) for gap in trace.nash_gap)
        assert all(contains(c, fmpq(1)) for c in trace.c)
        assert_allclose(to_float(trace.nash_gap), 0, atol=1e-12)


def test_steps_and_starts_come_in_the_arithmetic_of_the_game():
    game, rng = small_game("dummy")
    start = random_rational_policy(game, rng)
    for step in (0.25, fmpq(1, 4), Ball(fmpq(1, 4))):
        assert run_pmd(game, "kl", step, 1, start).step == 0.25
        assert run_pmd(game.exact(), "kl", step, 1, floats(start)).step == fmpq(1, 4)
    here = run_pmd(game, "kl", 0.25, 2, start).policy  # rationals, rounded to floats
    there = run_pmd(game.exact(), "kl", 0.25, 2, floats(start)).policy  # floats, taken exactly
    for one, other in zip(here, there, strict=True):
        assert one.dtype == np.float64
        assert is_exact(other)
        assert_allclose(one, to_float(other), atol=1e-12)
    assert nash_gap(game, start) == pytest.approx(float(to_float(nash_gap(game.exact(), start))))


@pytest.mark.parametrize("step", [fmpq(0), fmpq(-1), Ball(-2)], ids=repr)
def test_exact_steps_must_be_positive(step):
    with pytest.raises(PmdError, match="a positive number"):
        run_pmd(catalogue.isolated().exact(), "kl", step, 2)


def test_tsallis_is_for_floats_only():
    with pytest.raises(PmdError, match="in floats: it takes no exact numbers"):
        run_pmd(catalogue.isolated().exact(), "tsallis", fmpq(1, 2), 2)


def test_the_mass_of_a_rare_action_does_not_underflow():
    """log c of -1000 and below: a ball has no smallest number."""
    game = catalogue.rare_best_action().exact()
    start = (objects(fmpq(1, 2**1500), 1 - fmpq(1, 2**1500))[None],)
    with precision(128):
        run = run_pmd(game, "kl", 1, 2, start)
    assert float(run.log_c[0]) == pytest.approx(-1500 * math.log(2))
    assert 0 < run.c[0] < fmpq(1, 2**1499)
