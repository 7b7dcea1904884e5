"""Numbers that the theory announces for named games, found again by running them."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pmdlib.analysis import bounds
from pmdlib.analysis.equilibrium import nash_gap
from pmdlib.games import catalogue
from pmdlib.learning.pmd import run_pmd


@pytest.mark.parametrize(
    ("epsilon", "iterations", "log_c", "total", "squares"),
    [
        (0.1, 1000, -9.57, 13.4, 2.5),
        (0.05, 1500, -18.83, 22.6, 4.3),
        (0.0125, 6000, -74.45, 78.2, 16),
    ],
)
def test_c_falls_exponentially_in_the_slow_switch(epsilon, iterations, log_c, total, squares):
    trace = run_pmd(
        catalogue.slow_switch(epsilon),
        "kl",
        1.0,
        iterations,
        catalogue.slow_switch_start(),
        tolerance=1e-12,
    )
    assert trace.iterations < iterations  # it ran to the end of the sums
    assert math.log(trace.c.min()) == pytest.approx(log_c, abs=0.005)
    assert trace.nash_gap.sum() == pytest.approx(total, abs=0.05)
    assert (trace.nash_gap**2).sum() == pytest.approx(squares, abs=0.05)
    assert trace.potential[-1] == pytest.approx(0.75 + epsilon)


def test_c_stays_positive_where_the_slow_switch_never_comes():
    trace = run_pmd(catalogue.slow_switch(0.0), "kl", 1.0, 500, catalogue.slow_switch_start())
    assert trace.c.min() == pytest.approx(0.018, abs=5e-4)
    assert trace.potential[-1] == pytest.approx(0.5, abs=1e-12)
    assert_allclose(trace.policy[0][0], [1, 0], atol=1e-12)
    assert_allclose(trace.policy[1][0], [0.938, 0.062], atol=5e-4)


def test_c_is_small_from_the_uniform_start_as_well():
    trace = run_pmd(catalogue.slow_switch_from_uniform(0.01), "kl", 1.0, 3000)
    assert math.log(trace.c.min()) == pytest.approx(-13.70, abs=0.005)


@pytest.mark.parametrize(("agents", "actions"), [(4, 2), (4, 4), (4, 8), (8, 2), (16, 2)])
def test_half_face_threshold_to_three_digits(agents, actions):
    """Bisection for the step at which one Euclidean update stops improving the potential."""
    game = catalogue.half_face(agents, actions)
    start = catalogue.half_face_start(agents, actions)

    def change(step):
        first, second = run_pmd(game, "euclidean", step, 1, start).potential
        return second - first

    announced = bounds.half_face_threshold(num_agents=agents, num_actions=actions)
    low, high = 0.5 * announced, 1.5 * announced
    assert change(low) > 0 > change(high)
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if change(middle) > 0 else (low, middle)
    assert low == pytest.approx(announced, rel=1e-3)
    assert low == pytest.approx(8 / ((agents - 1) * actions), rel=1e-3)


def last_above(trace, level=0.02):
    """Number of iterations after which the average regret stays at or below ``level``."""
    above = np.flatnonzero(trace.nash_regret > level)
    assert len(above) < trace.iterations  # the run saw the end of it
    return int(above[-1]) + 1


RIDER = [
    (4, "euclidean", "paper", 1973),
    (4, "kl", "paper", 1043),
    (4, "kl", "constant", 242),
    pytest.param(16, "euclidean", "paper", 6677, marks=pytest.mark.slow),
    pytest.param(16, "kl", "paper", 1911, marks=pytest.mark.slow),
    (16, "kl", "constant", 242),
]


@pytest.mark.parametrize(("crowd", "mirror_map", "step", "count"), RIDER)
def test_rider_counts(crowd, mirror_map, step, count):
    game, start = catalogue.rider(crowd), catalogue.rider_start(crowd)
    trace = run_pmd(game, mirror_map, step, count + 30, start)
    assert last_above(trace) == count


def test_large_steps_overshoot_in_the_anti_coordination_game():
    game, start = catalogue.anti_coordination(), catalogue.anti_coordination_start()
    for mirror_map, step, change in (
        ("euclidean", 2.1, -1.05e-3),
        ("euclidean", 1.9, 9.5e-4),
        ("kl", 4.2, -9.7e-4),
    ):
        first, second = run_pmd(game, mirror_map, step, 1, start).potential
        assert second - first == pytest.approx(change, rel=0.005)
    cycle = run_pmd(game, "kl", 5.0, 200, start)
    assert cycle.nash_gap[-50:].mean() == pytest.approx(0.608, abs=5e-4)
    assert_allclose(cycle.nash_gap[-1], cycle.nash_gap[-3], rtol=1e-9)


def test_regret_without_c_or_without_the_number_of_actions_would_be_refuted():
    """A rare best action: regret .9987 against .447; a needle: .510 against .354."""
    rare = run_pmd(catalogue.rare_best_action(), "kl", 1.0, 10, catalogue.rare_best_action_start())
    assert rare.nash_regret[-1] == pytest.approx(0.9987, abs=5e-5)
    at = {"phi_max": 1.0, "discount": 0.0, "mismatch": 1.0}
    without = bounds.regret_kl_constant_step(**at, c=1.0, iterations=10)
    assert without == pytest.approx(0.447, abs=5e-4)
    assert rare.nash_regret[-1] <= bounds.regret_kl_constant_step(**at, c=1e-6, iterations=10)
    needle = run_pmd(catalogue.needle(), "euclidean", "paper", 256, catalogue.needle_start())
    assert needle.nash_regret[-1] == pytest.approx(0.510, abs=5e-4)
    single = bounds.regret_euclidean(**at, num_actions=(1,), iterations=256)
    assert single == pytest.approx(0.354, abs=5e-4)
    whole = bounds.regret_euclidean(**at, num_actions=(64,), iterations=256)
    assert needle.nash_regret[-1] <= whole


def test_the_fixed_points_of_the_isolated_game():
    game = catalogue.isolated()
    mixed = (np.array([[4 / 11, 7 / 11]]), np.array([[3 / 11, 8 / 11]]))
    assert nash_gap(game, mixed) < 1e-15
    still = run_pmd(game, "kl", 1.0, 1, mixed)
    assert_allclose(np.concatenate(still.policy), np.concatenate(mixed), rtol=1e-12)
    assert still.potential[0] == pytest.approx(0.4909, abs=5e-5)
    assert run_pmd(game, "kl", "constant", 200).c.min() == 0.5
