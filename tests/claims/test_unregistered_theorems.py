"""Theorems of the theory pages that no claim of the registry checks, on a few instances."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis.values import Evaluation
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.learning.pmd import run_pmd


def along_run(family, units, rng):
    """Gain, squared slope, squared move and variances of each step, in ξ = √π from uniform ρ."""
    game = FAMILIES[family](rng, Shape((2, 3, 2), 3, 0.75))
    step = units * (1 - game.discount) / game.phi_max
    start = pmd.random_policy(game, rng)
    trace = run_pmd(game, "kl", step, 30, start, record_policies=True, progress=False)
    evaluation = Evaluation(game, trace.policies)
    uniform = np.full(game.num_states, 1 / game.num_states)
    visits = evaluation.occupancy(uniform) / (1 - game.discount)
    pairs = [*zip(trace.policies, evaluation.advantages, strict=True)]
    slopes = [2 * visits[..., None] * np.sqrt(own) * gain for own, gain in pairs]
    return {
        "game": game,
        "step": step,
        "gain": np.diff(evaluation.potential_values @ uniform),
        "slope": sum((part**2).sum(axis=(-1, -2)) for part in slopes)[:-1],
        "move": sum((np.diff(np.sqrt(own), axis=0) ** 2).sum(axis=(-1, -2)) for own, _ in pairs),
        "variances": sum((own * gain**2).sum(axis=(-1, -2)) for own, gain in pairs)[:-1],
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("units", [0.3, 1.0, 1.9])
def test_a_kl_step_descends_strongly(family, units):
    # The three bullets of "Where runs end"; together they make the iterates converge.
    run = along_run(family, units, np.random.default_rng(3))
    game, step, rounding = run["game"], run["step"], 1e-12
    scale, variances = 1 / (1 - game.discount), run["variances"]
    assert (run["slope"] <= 4 * scale**2 * variances + rounding).all()
    assert (run["move"] <= (np.e**2 - 1) / 2 * step**2 * variances + rounding).all()
    least = step / game.num_states * (1 - units / 2) * variances
    assert (run["gain"] >= least - rounding).all()
    assert (least > 1e3 * rounding).any()


@pytest.mark.parametrize(("agents", "step"), [(2, 0.5), (2, 3.0), (3, 1.0)])
def test_gaps_at_a_tied_corner_fall_like_the_stated_power(agents, step):
    # φ = 1 - Π x_i from equal x: gap ~ ((N-1) η t)^(-N/(N-1)).
    payoff = np.ones((1, *(2,) * agents))
    payoff[(0, *(1,) * agents)] = 0.0
    game = pmd.TabularGame(payoff, np.eye(1), discount=0.0)
    start = (np.array([[0.5, 0.5]]),) * agents
    trace = run_pmd(game, "kl", step, 20000, start, progress=False)
    time = (agents - 1) * step * 19999
    stated = time ** (-agents / (agents - 1))
    assert trace.nash_gap[-1] == pytest.approx(stated, rel=0.03)


def test_the_slow_switch_never_switches_without_its_epsilon():
    # After five steps x < -2.37 and y < -2.89; all later steps add at most .6 to y.
    game = pmd.TabularGame(np.array([[[0.5, 0.5], [0.0, 0.75]]]), np.eye(1), discount=0.0)
    right = 1 / (1 + np.exp(4))
    start = (np.array([[0.5, 0.5]]), np.array([[1 - right, right]]))
    trace = run_pmd(game, "kl", 1.0, 5, start, record_policies=True, progress=False)
    x, y = (np.log(own[-1, 0, 1] / own[-1, 0, 0]) for own in trace.policies)
    assert x < -2.37
    assert y < -2.89
    assert 0.75 * np.exp(x) / (1 - np.exp(-1 / 8)) < 0.6
