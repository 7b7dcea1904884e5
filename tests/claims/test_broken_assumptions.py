"""Own steps: the sides by hand, and what the notebook's runs are computed from."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

import pmdlib as pmd
from pmdlib.analysis.values import Evaluation
from pmdlib.claims import broken_runs
from pmdlib.claims.broken_assumptions import OwnSteps, pairwise_load
from pmdlib.claims.one_step import Step
from pmdlib.errors import PmdError
from pmdlib.games import broken, catalogue
from pmdlib.games.families import Shape, identical_interest
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL
from pmdlib.learning.pmd import run
from pmdlib.learning.variants import Delayed, StepSizes
from pmdlib.workspace.plots import bifurcation_plot


@pytest.fixture
def game(rng):
    return identical_interest(rng, Shape((2, 3, 2), 3, 0.875))


@pytest.fixture
def before(game, rng):
    return Evaluation(game, pmd.random_policy(game, rng, batch=(4,)))


# The step


def test_equal_steps_are_one_step(before):
    own, one = OwnSteps(before, KL(), (0.1,) * 3), Step(before, KL(), 0.1)
    assert_allclose(own.one_state_gain, one.one_state_gain, atol=1e-13)
    assert_allclose(own.first_order(), one.divergences / 0.1)
    q_max = before.game.phi_max / (1 - before.game.discount)
    assert_allclose(own.variance_bound(), 0.1 * (1 - 0.1 * q_max / 2) * one.variances)


def test_waiting_agents_stay_and_do_not_count(before):
    own = OwnSteps(before, KL(), (0.1, 0, 0))
    for agent in (1, 2):
        assert own.after.policy[agent] is before.policy[agent]
    assert_allclose(own.crossings, 0)
    # One mover alone: the gain is the first order, at any step.
    hasty = OwnSteps(before, KL(), (0, 9.0, 0))
    assert_allclose(hasty.one_state_gain, hasty.first_order(), rtol=1e-9)


def test_crossings_by_their_definition(before):
    own = OwnSteps(before, KL(), (0.1, 0.3, 0.2))
    pairs = zip(own.after.policy, before.policy, strict=True)
    norms = [abs(new - old).sum(-1) for new, old in pairs]
    expected = norms[0] * norms[1] + norms[0] * norms[2] + norms[1] * norms[2]
    assert_allclose(own.crossings, expected)


def test_own_steps_are_those_of_a_run(game, rng):
    start = pmd.random_policy(game, rng)
    steps = (0.2, 0.1, 0.05)
    trace = run(
        game, StepSizes(MirrorDescent(KL()), [2, 1, 0.5]), 0.1, 3, start, record_policies=True
    )
    own = OwnSteps(Evaluation(game, tuple(p[:-1] for p in trace.policies)), KL(), steps)
    for moved, policy in zip(own.after.policy, trace.policies, strict=True):
        assert_allclose(moved, policy[1:], atol=1e-14)
    frame = broken_runs.own_steps_along(game, trace, steps)
    assert_allclose(frame["improvement"], np.diff(trace.potential), atol=1e-13)
    assert (frame["improvement"] >= frame["bound"]).all()


def test_the_pairwise_load_is_sixteen_for_two():
    assert pairwise_load((2, 8)) == pairwise_load((4, 4)) == 1
    assert pairwise_load((fmpq(1), fmpq(16))) == 1
    assert pairwise_load((1.0, 15.9)) < 1 < pairwise_load((1.0, 16.1))


@pytest.mark.parametrize(("pair", "falls"), [((1, 15), False), ((1, 17), True), ((5, 4), True)])
def test_two_agents_fall_exactly_beyond_the_product_of_16(pair, falls):
    (share,) = broken_runs.least_share([pair[0]], [pair[1]]).flat
    assert bool(share < 0) is falls


def test_the_pairwise_bound_is_attained_by_opposed_movers():
    start = broken.pair_of_mixtures(0.45)
    taken = OwnSteps(Evaluation(catalogue.anti_coordination(), start), KL(), (3.0, 0.5))
    bound = taken.first_order() - taken.crossings / 2
    assert_allclose(taken.one_state_gain, bound, rtol=1e-12)


# Runs


def test_falls_and_unsettled():
    game, start = catalogue.anti_coordination(), catalogue.anti_coordination_start()
    good, bad = (pmd.run_pmd(game, "kl", step, 300, start) for step in (1.0, 5.0))
    assert not broken_runs.falls(good)
    assert broken_runs.falls(bad)
    assert not broken_runs.unsettled(good)
    assert broken_runs.unsettled(bad)
    with pytest.raises(PmdError, match="without a potential"):
        broken_runs.falls(pmd.run_pmd(catalogue.pollution_tax(2), "kl", 0.1, 2))


def test_a_linear_map_jumps_to_best_responses_and_misses():
    game = broken.towards_pennies(0.0)
    start = broken.pair_of_mixtures(np.array([0.4]), np.array([0.9]))
    trace = pmd.run_pmd(game, broken_runs.Linear(), 1.0, 6, start, record_policies=True)
    assert_allclose(trace.policies[0][1:, 0, 0, 1], [1, 0, 1, 0, 1, 0])
    assert_allclose(trace.nash_gap[1:], 1)
    linear = broken_runs.Linear()
    assert linear.divergence(np.eye(2), np.eye(2)[::-1]).tolist() == [0, 0]


def test_exponents_at_the_mixed_equilibrium():
    """1 - η/2 along the line of equal policies, 1 + η/2 across it."""
    game = catalogue.anti_coordination()
    half = broken.pair_of_mixtures(np.array([0.5]))
    trace = pmd.run_pmd(game, "kl", 3.0, 2000, half, record_policies=True)
    found = broken_runs.lyapunov_exponents(game, trace)
    assert_allclose(found, [[np.log(2.5), np.log(0.5)]], atol=1e-3)


def test_exponents_against_finite_differences():
    """Three agents, a short run: the volume changes as the Jacobian of the whole map says."""
    game = broken.all_but_one_pair()
    odds = np.array([0.3, -0.4, 0.1])

    def end(x, keep=False):
        start = tuple(np.array([[[1 / (1 + np.exp(v)), 1 / (1 + np.exp(-v))]]]) for v in x)
        trace = pmd.run_pmd(game, "kl", 2.0, 3, start, record_policies=True)
        if keep:
            return trace
        return np.array([np.log(own[0, 0, 1] / own[0, 0, 0]) for own in trace.policy])

    small = 1e-5 * np.eye(3)
    columns = [(end(odds + shift) - end(odds - shift)) / 2e-5 for shift in small]
    volume = np.log(abs(np.linalg.det(np.stack(columns, axis=-1))))
    exponents = broken_runs.lyapunov_exponents(game, end(odds, keep=True))
    assert 3 * exponents.sum() == pytest.approx(volume, rel=1e-6)


def test_exponents_say_what_they_need(game):
    trace = pmd.run_pmd(game, "kl", 0.1, 2, record_policies=True)
    with pytest.raises(PmdError, match="one state and two actions"):
        broken_runs.lyapunov_exponents(game, trace)


@pytest.mark.parametrize(("step", "values"), [(3.9, 1), (5.0, 2)])
def test_bifurcation_at_four(step, values):
    frame = broken_runs.bifurcation(broken.uneven_sides(0.0), [step], np.array([0.3]), skip=900)
    assert len(np.unique(frame["orbit"][0].round(4))) == values
    assert frame["along"][0] < 0 < frame["across"][0]


def test_chaos_is_certified_and_pictured():
    path = broken_runs.three_updates(fmpq(14), fmpq(1, 10**4))
    assert path[3] < path[0] < path[1] < path[2]
    frame = broken_runs.bifurcation(broken.uneven_sides(), [3.0, 11.0], np.array([0.3, 0.6]))
    assert frame["along"][1] > 0.1
    figure, axes = plt.subplots(2, 1)
    bifurcation_plot(*axes, frame)
    assert len(axes[0].lines[0].get_xdata()) == 2 * 400
    assert len(axes[1].lines) == 3
    plt.close(figure)


def test_three_agents_have_an_attractor_and_two_have_none(rng):
    three, pair = broken.all_but_one_pair(), catalogue.anti_coordination()
    share = partial(broken_runs.share_unsettled, steps=[2.0, 12.0], iterations=600)
    starts = [pmd.random_policy(game, rng, batch=(40,)) for game in (three, pair)]
    games = zip((three, pair), starts, strict=True)
    found = [share(game, "kl", starts=start)["share"].tolist() for game, start in games]
    assert found[0][0] == 0 < found[0][1]
    assert found[1] == [0, 0]
    assert share(pair, "euclidean", starts=starts[1])["share"][1] > 0.2
    visited = broken_runs.attractor(three, [2.0, 12.0], np.array([0.9]), 600)
    assert set(visited["step"]) == {12.0}


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_delay_limits_are_where_runs_change(delay):
    settles, rises = broken_runs.delay_limits(delay)
    game, start = catalogue.anti_coordination(), catalogue.anti_coordination_start()

    def follow(step):
        return run(game, Delayed(MirrorDescent(KL()), delay), step, 500, start)

    assert not broken_runs.unsettled(follow(0.9 * settles), 50)
    assert broken_runs.unsettled(follow(1.1 * settles), 50)
    assert not broken_runs.falls(follow(0.9 * rises), 1e-9)
    assert broken_runs.falls(follow(1.1 * rises), 1e-9)


def test_along_a_line_the_gap_stays_beyond_the_threshold():
    frame = broken_runs.along_line(broken.towards_pennies, [0.0, 0.4, 0.6], 4, 1500)
    assert (frame["gap"][:2] < 1e-3).all()
    assert frame["gap"][2] > 0.3
    assert frame["fall"].round(9).tolist()[:2] == [0, 0]


def test_games_of_the_literature_are_tabulated():
    table = broken_runs.literature_table({"team": catalogue.perturbed_team()}, starts=2)
    row = table.loc["team"]
    assert row["α at least"] == pytest.approx(0.5 / 8.5)
    assert row["last gap"] < 1e-6
    assert row["runs with a fall"] == 0


def test_horizons_and_visits():
    table = broken_runs.horizon_table([0.75, 0.875], 2, target=0.25)
    assert (table["gap"] <= table["regret"]).all()
    assert (table["regret"] < table["bound"]).all()
    visits = broken_runs.visits_table([1e-4, 0.0], 50)
    assert visits["rule"].tolist() == ["kl", "euclidean"]
    assert np.isfinite(visits["κ_T"][1e-4])
    assert np.isinf(visits["κ_T"][0.0])
    assert (visits["regret"] < visits["bound, κ_μ"]).all()
    assert (visits["κ_μ"] <= 40).all()
