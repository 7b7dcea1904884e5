"""Copies of actions: splitting and merging by hand, whole runs, thresholds of two agents."""

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose, assert_array_equal

import pmdlib as pmd
from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import is_exact, to_float
from pmdlib.claims import action_independence
from pmdlib.claims.action_independence import (
    OFFSET,
    button_start,
    buttons,
    duplicated,
    found_slope,
    found_step,
    merged,
    merged_game,
    needles,
    split,
    width,
)
from pmdlib.claims.one_step import Step
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.learning.mirror_maps import KL, Euclidean

LABELS = ((0, 1, 1), (1, 0, 0, 0))

# Splitting and merging


def test_splitting_by_hand():
    game = split(catalogue.isolated(), LABELS)
    assert_array_equal(
        game.potential[0], [[0.3, 1.0, 1.0, 1.0], [0.6, 0.2, 0.2, 0.2], [0.6, 0.2, 0.2, 0.2]]
    )
    assert game.identical_interest
    assert_array_equal(merged_game(game, LABELS).potential, catalogue.isolated().potential)


def test_merging_by_hand():
    policy = (np.array([[0.5, 0.2, 0.3]]), np.array([[0.4, 0.1, 0.2, 0.3]]))
    first, second = merged(policy, LABELS)
    assert_allclose(first, [[0.5, 0.5]])
    assert_allclose(second, [[0.6, 0.4]])
    back = duplicated((first, second), LABELS)
    assert_allclose(back[0], [[0.5, 0.25, 0.25]])
    assert_allclose(back[1], [[0.4, 0.2, 0.2, 0.2]])


def test_rationals_stay_rational():
    start = button_start(5, fmpq(1, 8))
    assert_array_equal(start[0][0, 0], [fmpq(5, 24)] * 3 + [fmpq(3, 16)] * 2)
    assert all(is_exact(own) for own in merged(start, ((0, 0, 0, 1, 1),) * 2))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_split_game_has_the_values_of_the_game(family, rng):
    game = FAMILIES[family](rng, Shape((2, 2), 3, 0.5))
    copied = split(game, LABELS)
    policy = pmd.random_policy(copied, rng)
    plain = merged(policy, LABELS)
    assert_allclose(pmd.values(copied, policy), pmd.values(game, plain), atol=1e-13)
    assert pmd.nash_gap(copied, policy) == pytest.approx(pmd.nash_gap(game, plain))
    assert copied.phi_max == game.phi_max
    for own, of, q in zip(
        pmd.averaged_q(copied, policy), LABELS, pmd.averaged_q(game, plain), strict=True
    ):
        assert_allclose(own, q[:, list(of)], atol=1e-13)


@pytest.mark.parametrize("family", ["identical-interest", "dummy"])
def test_a_whole_run_does_not_see_copies(family, rng):
    game = FAMILIES[family](rng, Shape((2, 2), 3, 0.5))
    copied = split(game, LABELS)
    start = pmd.random_policy(copied, rng)
    runs = [
        pmd.run_pmd(one, "kl", "constant", 30, policy)
        for one, policy in ((copied, start), (game, merged(start, LABELS)))
    ]
    for name in ("potential", "nash_gap", "c"):
        assert_allclose(*(getattr(run, name) for run in runs), rtol=1e-9, atol=1e-12)
    for own, plain in zip(merged(runs[0].policy, LABELS), runs[1].policy, strict=True):
        assert_allclose(own, plain, atol=1e-12)
    # Copies keep their shares.
    assert_allclose(
        runs[0].policy[0][:, 1] / runs[0].policy[0][:, 2], start[0][:, 1] / start[0][:, 2]
    )
    euclidean = [
        pmd.run_pmd(one, "euclidean", 0.1, 3, policy).potential
        for one, policy in ((copied, start), (game, merged(start, LABELS)))
    ]
    assert abs(euclidean[0] - euclidean[1]).max() > 1e-4


def test_other_games_cannot_be_merged():
    with pytest.raises(TypeError, match="a CongestionGame cannot be merged"):
        merged_game(CongestionGame(np.ones((1, 2, 2)), 2), ((0, 0), (0, 0)))


# Two agents on buttons


def test_widths_by_hand():
    assert [width(m) for m in (2, 3, 4, 5)] == [2, fmpq(8, 3), 4, fmpq(24, 5)]
    for m in (2, 3, 8):
        assert bounds.interaction_norm((m, m), like=fmpq(1)) == width(m)


def test_buttons_by_hand():
    game = buttons(3)
    policy = pmd.deterministic_policy(game, [[0], [2]])
    assert pmd.potential_values(game, policy) == 1
    assert pmd.potential_values(game, pmd.deterministic_policy(game, [[0], [1]])) == 0


@pytest.mark.parametrize("actions", [2, 3, 4, 7, 16])
def test_buttons_multiply_the_euclidean_step(actions):
    """A step of η on m buttons is one of ηw²/2 on two: exactly."""
    step, labels = fmpq(1, 10), ((0,) * ((actions + 1) // 2) + (1,) * (actions // 2),) * 2
    start = button_start(actions, fmpq(1, 16))
    after = [
        Step(Evaluation(buttons(m, exact=True), policy), Euclidean(), size).after.policy
        for m, policy, size in (
            (actions, start, step),
            (2, merged(start, labels), step * width(actions) / 2),
        )
    ]
    for own, plain in zip(merged(after[0], labels), after[1], strict=True):
        assert (own == plain).all()


def test_found_steps_are_those_of_the_formulas():
    # twice 2 artanh(2x) / 2x for x = 1/20, whatever m is
    threshold = 2 * np.arctanh(0.1) / 0.05
    rough = 0.06 / 2**8
    for actions in (2, 3, 8, 33):
        assert found_step(actions, "kl", exact=False) == pytest.approx(threshold, rel=rough)
        scaled = found_step(actions, "euclidean", exact=False) * float(to_float(width(actions)))
        assert scaled == pytest.approx(4, rel=rough)
        for kind in ("kl", "euclidean"):
            ball = found_step(actions, kind, exact=True)
            middle = found_step(actions, kind, exact=False)
            assert float(to_float(ball.lower)) <= middle <= float(to_float(ball.upper))
    assert fmpq(1, 20) == OFFSET


def test_slopes_are_minus_one_and_zero():
    grid = (2, 8, 32)
    for exact in (False, True):
        assert float(found_slope(grid, "euclidean", exact)) == pytest.approx(-1, abs=1e-3)
        assert float(found_slope(grid, "kl", exact)) == pytest.approx(0, abs=1e-3)


def test_a_bracket_without_a_threshold_is_no_step(monkeypatch):
    monkeypatch.setattr(action_independence, "OFFSET", fmpq(2, 5))  # KL: 2·1.0986/.2 = 5.5 > 4.2
    found_step.cache_clear()
    assert np.isnan(found_step(2, "kl", exact=False))
    assert found_step(2, "kl", exact=True).width > 100
    found_step.cache_clear()


# One good action


def test_the_log_odds_of_the_good_action_rise_linearly():
    """From the uniform start: log-odds -log(m - 1) + ηt/N, and a gap of (1 - p)/N."""
    game = needles(2, 64)
    trace = pmd.run_pmd(game, "kl", 0.5, 20)
    good = 1 / (1 + 63 * np.exp(-0.5 * np.arange(20) / 2))
    assert_allclose(trace.nash_gap, (1 - good) / 2, atol=1e-14)
    assert_allclose(trace.c, good, rtol=1e-12)


def test_the_gaps_from_the_uniform_start_sum_to_the_logarithm():
    """Σ gap = log(m)/η, and half of the first gap."""
    for actions in (2, 32, 1024):
        trace = pmd.run_pmd(needles(2, actions), "kl", 0.25, 400)
        expected = np.log(actions) / 0.25 + (1 - 1 / actions) / 4
        assert trace.nash_gap.sum() == pytest.approx(expected, abs=0.02)


def test_half_of_the_actions_good_is_one_run_for_the_euclidean_step_too():
    runs = [pmd.run_pmd(needles(2, m, m // 2), "euclidean", "paper", 40) for m in (4, 64)]
    assert_allclose(runs[0].nash_gap, runs[1].nash_gap, atol=1e-13)


# What the claim notices


def test_a_step_that_counts_copies_is_refuted(monkeypatch):
    right = KL.update
    monkeypatch.setattr(
        KL, "update", lambda self, own, gain: right(self, own, gain * own.shape[-1] / 2)
    )
    assert pmd.verify("action-independence", instances=20).verdict == "refuted"


def test_a_wrong_width_is_refuted(monkeypatch):
    right = action_independence.width
    monkeypatch.setattr(action_independence, "width", lambda m: right(m) * fmpq(9, 10))
    found_step.cache_clear()
    verdict = pmd.verify("action-independence", instances=20)
    assert verdict.verdict == "refuted"
    assert verdict.ways["certified"]["failures"] > 0
    found_step.cache_clear()


def test_a_claim_on_the_number_of_actions_is_refuted(monkeypatch):
    """Of slope 0 for the Euclidean step, the enclosed slope knows better."""
    right = action_independence.found_slope
    monkeypatch.setattr(
        action_independence, "found_slope", lambda grid, kind, exact: right(grid, "kl", exact)
    )
    assert pmd.verify("action-independence", instances=20).verdict == "refuted"
