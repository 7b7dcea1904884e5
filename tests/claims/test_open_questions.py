"""The claims and the runs of the notebook on open questions: formulas, and planted errors."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from flint import fmpq

import pmdlib as pmd
from pmdlib.analysis import strict
from pmdlib.claims import anarchy, last_iterate, open_runs
from pmdlib.claims.claim import SMALL
from pmdlib.games import catalogue
from pmdlib.games.affine import random_affine, tabular
from pmdlib.games.families import Shape, identical_interest
from pmdlib.learning.mirror_maps import KL

# The scalar facts of the proofs


def test_the_inequality_of_anarchy_for_whole_numbers():
    for x, y in product(range(200), repeat=2):
        assert 3 * y * (x + 1) <= 5 * y * y + x * x
    assert any(3 * y * (x + 1) == 5 * y * y + x * x for x, y in [(1, 1), (2, 1)])


def test_the_inequality_of_stability_for_whole_numbers():
    """In rationals around w = 1/√3: times √3, so that the sign of a + b √3 is decided exactly."""
    for x, y in product(range(120), repeat=2):
        # (w - ½) x² + ½ x - w x y + (½ + w)(y² - y) = (whole + w · rest)
        whole = fmpq(-x * x + x + y * y - y, 2)
        rest = fmpq(x * x - x * y + y * y - y)
        # whole + rest/√3 >= 0
        positive = whole >= 0 and rest >= 0
        if not positive:
            assert not (whole < 0 and rest < 0)
            assert (3 * whole**2 >= rest**2) if whole >= 0 else (rest**2 >= 3 * whole**2)


# Planted errors


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("margin", lambda found: {"margin": 3 * found.margin}),
        ("sensitivity", lambda found: {"sensitivity": found.sensitivity / 8}),
        ("most", lambda found: {"most": found.most / 4}),
    ],
)
def test_a_wrong_neighbourhood_is_refuted(name, change, monkeypatch):
    right = last_iterate.basin

    def wrong(game, actions):
        found = right(game, actions)
        return replace(found, **change(found))

    monkeypatch.setattr(last_iterate, "basin", wrong)
    assert pmd.verify("last-iterate-strict", instances=60).verdict == "refuted"


def test_a_flipped_step_is_refuted(monkeypatch):
    step = KL.step
    monkeypatch.setattr(KL, "step", lambda self, own, gradient: step(self, own, -gradient))
    assert pmd.verify("last-iterate-strict", instances=20).verdict == "refuted"


@pytest.mark.parametrize("name", ["social_cost", "total_gap", "stability"])
def test_a_wrong_side_of_anarchy_is_refuted(name, monkeypatch):
    right = getattr(anarchy, name)
    factor = {"social_cost": 1, "total_gap": 0, "stability": fmpq(1, 2)}[name]
    if name == "social_cost":  # costs that grow faster than they should
        monkeypatch.setattr(anarchy, name, lambda evaluation: right(evaluation) ** 2)
    elif name == "total_gap":
        monkeypatch.setattr(anarchy, name, lambda evaluation: factor * right(evaluation))
    else:
        monkeypatch.setattr(anarchy, name, lambda like: right(like) / 2)
    assert pmd.verify("anarchy-affine", instances=60).verdict == "refuted"


def test_exact_instances_start_in_the_neighbourhood():
    instances = last_iterate._instances(np.random.default_rng(0), SMALL)
    for _ in range(12):
        instance = next(instances)
        for which in range(instance.count):
            exact = instance.exact(which)
            assert np.all(last_iterate.NEAR.holds(exact))
            assert np.all(last_iterate.STRICT.holds(exact))


def test_the_doorman_is_an_equilibrium_in_which_no_two_agents_meet():
    game = last_iterate.doorman()
    found = strict.basin(game, [[0, 0, 0], [0, 0, 0]])
    assert found.margin == 0.25
    assert found.sensitivity > 0  # all of it from the states that follow
    still = pmd.TabularGame(game.rewards[0], np.eye(3), discount=0.0)
    assert strict.basin(still, [[0, 0, 0], [0, 0, 0]]).sensitivity == 0


def test_only_affine_costs_pass_the_hypothesis():
    game = random_affine(np.random.default_rng(0), agents=3, facilities=2)
    assert anarchy._is_affine(game)
    assert not anarchy._is_affine(anarchy.triangle(2))


# Runs in tables


def test_a_saddle_costs_the_logarithm_of_the_distance():
    distances = np.array([1e-4, 1e-6, 1e-8])
    gap = open_runs.saddle_run(distances, 150).nash_gap
    escape = np.array([np.flatnonzero(column > 0.02)[-1] for column in gap.T])
    expected = np.log(100) / open_runs.saddle_exponent()
    np.testing.assert_allclose(np.diff(escape), expected, atol=1)


@pytest.mark.parametrize("agents", [2, 3])
def test_the_corner_falls_like_its_flow(agents):
    gap = open_runs.corner_run(agents, 4000).nash_gap
    assert gap[-1] == pytest.approx(open_runs.corner_flow(agents, np.array(4000.0)), rel=0.05)


def test_resting_places_are_those_of_small_steps():
    odds = -3.0
    right = 1 / (1 + np.exp(-odds))
    start = (np.array([[0.5, 0.5]]), np.array([[1 - right, right]]))
    trace = pmd.run_pmd(catalogue.slow_switch(0.0), "kl", 0.01, 6000, start, progress=False)
    rest = 1 / (1 + np.exp(-open_runs.resting_place(odds)))
    assert trace.policy[1][0, 1] == pytest.approx(rest, rel=0.02)
    assert np.isnan(open_runs.resting_place(-1.0))


def test_the_bad_corner_gets_its_share():
    assert open_runs.bad_share(1.0) == pytest.approx(0.5, abs=2e-3)
    game, rng = catalogue.one_state([[1.0, 0.0], [0.0, 0.5]]), np.random.default_rng(0)
    start = pmd.random_policy(game, rng, batch=(1000,))
    last = pmd.run_pmd(game, "kl", 0.2, 600, start, progress=False).policy[0][:, 0, 1]
    assert (last > 0.5).mean() == pytest.approx(open_runs.bad_share(0.5), abs=0.04)


def test_sums_stay_below_both_bounds():
    rng = np.random.default_rng(0)
    for weight in (1.0, 0.1):
        game = catalogue.one_state(rng.random((2, 3)))
        found = open_runs.spent(game, pmd.random_policy(game, rng, concentration=weight), 200)
        assert found["squares"] <= min(found["rooted"], found["logs"])
        assert found["squares"] <= found["gaps"] <= found["logs"]


def test_the_rate_of_a_run_is_the_margin_of_its_corner():
    start = (np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))
    rate, margin, gap = open_runs.measured_rate(catalogue.isolated(), start, 200, 0.5)
    assert gap <= 1e-12
    assert rate == pytest.approx(0.5 * margin, rel=1e-3)


def test_tables_of_runs_have_a_row_for_each():
    rng = np.random.default_rng(0)
    sorts = {
        "team": lambda r: catalogue.one_state(r.random((2, 2))),
        "affine": lambda r: tabular(random_affine(r, agents=2, facilities=3)),
        "states": lambda r: identical_interest(r, Shape((2, 2), 2, 0.5)),
    }
    ends = open_runs.reached(sorts, 2, 3, 400, rng)
    assert len(ends) == 3 * 2 * 2 * 3
    assert (ends["ratio"] > 1 - 1e-9).all()
    assert ends[ends["family"] == "states"]["anarchy"].isna().all()
    known = ends.dropna()
    assert (known["ratio"] <= known["anarchy"] + 0.05).all()
    walks = open_runs.wanderings({"team": sorts["team"]}, 2, 3, 50, rng)
    assert len(walks) == 6
    assert (walks["late"] <= walks["length"]).all()
    pairs = open_runs.last_and_average({"team": sorts["team"]}, 2, 3, 50, rng)
    assert (pairs["average"] > 0).all()
    hard = open_runs.hardest(lambda r: random_affine(r, agents=3, facilities=3), rng, draws=3)
    assert hard.num_agents == 3
