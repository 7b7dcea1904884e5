"""The claims about estimates: their own tests must hold, and catch what is planted."""

from itertools import product

import numpy as np
import pytest
from flint import fmpq

import pmdlib as pmd
from pmdlib.analysis.values import Evaluation
from pmdlib.claims import estimators, every_play, noise_floor
from pmdlib.claims.checking import check
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL

CLAIMS = {claim.name: claim for claim in (*estimators.CLAIMS, *noise_floor.CLAIMS)}


def test_error_rates_are_as_stated():
    """A verification has at most so many instances, each with its share of false alarms."""
    assert CLAIMS["estimator-unbiased"].sizes["full"] * estimators.FALSE_ALARM < 1e-6


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.geometric(0.1, shape) - 10.0,
        lambda rng, shape: np.where(rng.random(shape) < 1e-3, 1000.0, 0.0) - 1,
        lambda rng, shape: rng.standard_t(2.2, shape),
    ],
    ids=["geometric", "rare", "heavy"],
)
def test_the_damped_test_holds_its_level_whatever_the_distribution(draw):
    """False alarms at a chance of 5%, in 4000 tests of 200 draws each: it is conservative."""
    variance = {"0": 90.0, "1": 999.0, "2": 11.0}
    rng, shape = np.random.default_rng(0), (200, 4000)
    draws = draw(rng, shape)
    known = min(variance.values(), key=lambda v: abs(v - draws.var()))
    deviation, allowed = estimators.damped_deviation(draws, 0.0, np.array(known), 0.05)
    assert (deviation > allowed).mean() < 0.05


def test_the_damped_test_has_power():
    draws = np.random.default_rng(0).geometric(0.1, (4000, 50)) - 10.0
    deviation, allowed = estimators.damped_deviation(draws, 0.0, np.array(90.0), 1e-9)
    assert (deviation < allowed).all()
    assert allowed.max() < 7 * np.sqrt(90 / 4000)
    caught, _ = estimators.damped_deviation(draws, 3 * allowed, np.array(90.0), 1e-9)
    assert (caught > 1.5 * allowed).all()
    missing = draws.copy()
    missing[1000:] = np.nan
    _, wider = estimators.damped_deviation(missing, 0.0, np.array(90.0), 1e-9)
    np.testing.assert_allclose(wider, 2 * allowed)


@pytest.mark.parametrize("plant", ["continuation", "reward", "others"])
def test_a_wrong_estimator_is_caught(plant, monkeypatch):
    """The numeric way alone must refute a library that samples wrongly."""
    if plant == "continuation":
        real = estimators.MonteCarloFeedback._roll_out.__globals__["play"]

        def wrong(*arguments, continuation, **options):
            return real(*arguments, continuation=0.9 * continuation, **options)

        monkeypatch.setitem(estimators.MonteCarloFeedback._roll_out.__globals__, "play", wrong)
    elif plant == "reward":
        real = estimators.MonteCarloFeedback.sample
        monkeypatch.setattr(
            estimators.MonteCarloFeedback,
            "sample",
            lambda *a: [1.2 * own for own in real(*a)],
        )
    else:
        real = estimators.BanditFeedback.first_visits

        def uniform(feedback, game, policy):
            return real(feedback, game, pmd.uniform_policy(game))

        monkeypatch.setattr(estimators.BanditFeedback, "first_visits", uniform)
    verdict = check(CLAIMS["estimator-unbiased"], "quick")
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] > 0


def test_every_play_has_probability_one_and_values_by_hand():
    game = catalogue.stay_or_leave().exact()
    even = (np.full((2, 2), fmpq(1, 2)),)
    plays = every_play.every_play(game, even, game.initial, game.discount, steps=3)
    assert plays.weights.sum() == 1
    assert (plays.weights * plays.alive).sum() == game.discount**3
    evaluation = Evaluation(game, even)
    cut = every_play.mean_roll_out(evaluation, 0, 0, 1, credit=False)
    assert cut == game.discount  # leave, and one reward in the second step
    for state, action in product(range(2), range(2)):
        mean = every_play.mean_roll_out(evaluation, 0, state, action)
        assert mean == evaluation.averaged_q[0][state, action]
    _, visits = every_play.mean_first_visits(evaluation)
    assert visits[0] == 1
    assert visits[1] == game.discount / 2
    with pytest.raises(pmd.PmdError, match="TabularGame, not CountGame"):
        every_play.every_play(catalogue.one_or_two(3).exact(), even, game.initial, fmpq(0))


def test_the_price_of_noise_by_hand():
    """One agent, payoffs (1, 0), even: variance 1/4, value 1/2; η = 1, σ = 1."""
    game = catalogue.one_state([1.0, 0.0])
    evaluation = Evaluation(game, (np.array([[[0.5, 0.5]]]),))
    bound = noise_floor.noise_floor(evaluation, 1.0, 1.0)[0, -1]
    assert bound == pytest.approx(1 * (1 - 1 / 2) / 4 - 1 / 2 * 1 / 2)


def test_mean_gain_is_the_mean_over_all_noise():
    """By mean policies, against the average over all sign patterns of all agents at once."""
    payoff, policy = noise_floor.coordination(2, 2, fmpq(3, 4))
    gain, _ = noise_floor.mean_gain(payoff, policy, fmpq(1, 2), fmpq(1))
    floats = tuple(own.astype(float) for own in policy)
    before = Evaluation(catalogue.one_state(payoff), floats)
    total = 0.0
    for signs in product((1.0, -1.0), repeat=4):
        noise = tuple(np.array(signs).reshape(2, 1, 1, 2))
        after = noise_floor.moved_by(before, 0.5, noise)
        total += (after.potential_values - before.potential_values).item() / 16
    assert float(gain[0].arb) == pytest.approx(total, abs=1e-12)


def test_gaussian_noise_obeys_the_bound():
    """Not a finite sum this time: within seven standard errors of a mean of 20 000."""
    rng = np.random.default_rng(0)
    payoff, policy = noise_floor.coordination(3, 2, fmpq(3, 4))
    start = tuple(own.astype(float) for own in policy)
    before = Evaluation(catalogue.one_state(payoff), start)
    many = Evaluation(before.game, tuple(np.broadcast_to(p, (20_000, 1, 2)) for p in start))
    for scale in (0.1, 1.0, 3.0):
        noise = tuple(rng.normal(0, scale, own.shape) for own in many.policy)
        gain = noise_floor.moved_by(many, 0.5, noise).potential_values[:, 0]
        gain = gain - before.potential_values[0]
        bound = noise_floor.noise_floor(before, 0.5, scale)[0, -1]
        assert gain.mean() + 7 * gain.std() / 20_000**0.5 > bound


def test_moving_by_no_noise_is_the_kl_step():
    evaluation = Evaluation(catalogue.isolated(), (np.full((1, 1, 2), 0.5),) * 2)
    moved = noise_floor.moved_by(evaluation, 0.7, tuple(0 * own for own in evaluation.policy))
    for own, q, new in zip(evaluation.policy, evaluation.averaged_q, moved.policy, strict=True):
        np.testing.assert_allclose(new, KL().update(own, 0.7 * q))
