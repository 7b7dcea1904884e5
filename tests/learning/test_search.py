"""The search for the best step, on scores whose best step is known, and on runs."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from pmdlib.analysis.policies import random_policy
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, random_game
from pmdlib.learning.baselines import (
    EntropyRegularised,
    FictitiousPlay,
    OptimisticKL,
    ProjectedGradient,
    SequentialBestResponse,
    SoftmaxGradient,
)
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL
from pmdlib.learning.pmd import run
from pmdlib.learning.search import (
    _scored,
    average_regret,
    best_step,
    iterations_until,
    race,
    seconds_per_update,
)


def kl():
    return MirrorDescent(KL())


def test_a_smooth_minimum_is_found_ever_closer():
    errors = [
        abs(np.log(best_step(lambda s: np.log(s / 0.37) ** 2, 1e-3, 1e2, rounds=k).step / 0.37))
        for k in range(5)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < 1e-3


def test_the_best_of_several_minima_and_the_smallest_of_equals():
    found = best_step(lambda s: np.minimum(abs(np.log(s)) + 0.6, abs(np.log(s / 50))), 1e-3, 1e3)
    assert found.step == pytest.approx(50, rel=0.05)
    assert not found.at_edge
    flat = best_step(np.ones_like, 0.1, 10)
    assert flat.step == 0.1
    assert flat.at_edge


def test_what_was_tried_is_reported():
    found = best_step(lambda s: -s, 1, 4, points=3, rounds=1)
    assert found.at_edge
    assert found.step == 4
    assert found.score == -4
    assert found.steps[[0, -1]].tolist() == pytest.approx([1, 4])
    assert (np.diff(found.steps) > 0).all()
    assert found.scores.tolist() == (-found.steps).tolist()


def test_steps_that_fail_count_as_infinite():
    def score(steps):
        if (steps > 2).any():
            raise PmdError("too large")
        return np.where(steps > 1, np.nan, -steps)

    found = best_step(score, 0.1, 10)
    assert 0.7 < found.step <= 1
    assert np.isinf(found.scores[found.steps > 1]).all()
    with pytest.raises(PmdError, match="no step between 3 and 10 has a finite score"):
        best_step(score, 3, 10)
    for bad in ({"low": 0, "high": 1}, {"low": 2, "high": 1}, {"low": 1, "high": 2, "points": 2}):
        with pytest.raises(PmdError, match="best_step needs"):
            best_step(score, **bad)


def tasks(rng, count=2):
    games = [random_game(rng, "shaped", Shape((2, 3), 2, 0.5)) for _ in range(count)]
    return [(game, random_policy(game, rng, batch=(3,))) for game in games]


def test_the_score_is_the_regret_in_shares_of_the_largest_value(rng):
    pairs = tasks(rng)
    score = average_regret(kl, pairs, 20)
    shares = [
        run(game, kl(), 0.3, 20, start).nash_regret[-1].mean() / (game.reward_bound * 2)
        for game, start in pairs
    ]
    assert_allclose(score(np.array([0.3])), np.mean(shares))
    game, start = pairs[0]
    shares = [
        run(game, kl(), step, 20, start).nash_regret[-1].mean() / (game.reward_bound * 2)
        for step in (0.1, 0.3)
    ]
    assert_allclose(average_regret(kl, [(game, start)], 20)(np.array([0.1, 0.3])), shares)


def test_iterations_until_the_gap_stays_small(rng):
    game = catalogue.isolated()
    start = tuple(np.array([[0.3, 0.7]]) for _ in range(2))
    gap = run(game, kl(), 1.0, 60, start).nash_gap
    within = np.flatnonzero(gap > 0.01)[-1] + 1
    score = iterations_until(kl, [(game, start)], 0.01, 60)
    assert score(np.array([1e-3, 1.0])).tolist() == [120, within]


@pytest.mark.parametrize(
    "make",
    [kl, ProjectedGradient, OptimisticKL, SoftmaxGradient, partial(EntropyRegularised, 0.1)],
)
def test_many_steps_at_once_are_as_many_runs(make, rng):
    """Also in stacks of agents, and where some of the steps are too large."""
    steps = np.array([0.01, 0.1, 1.0, 1e3])
    for game in (catalogue.commute(5), tasks(rng)[0][0]):
        start = random_policy(game, rng, batch=(2,))
        score = average_regret(make, [(game, start)], 5)
        scores = _scored(score, steps)
        assert_allclose(scores[:3], [score(steps[[k]])[0] for k in range(3)], rtol=1e-12)
        assert_allclose(scores[3:], _scored(score, steps[3:]), rtol=1e-9)


@pytest.mark.parametrize("make", [kl, ProjectedGradient])
def test_the_best_step_beats_the_step_of_the_theory(make, rng):
    pairs = tasks(rng)
    score = average_regret(make, pairs, 25)
    found = best_step(score, 1e-2, 1e2, points=7, rounds=1)
    again = best_step(score, 1e-2, 1e2, points=7, rounds=1)
    assert found.step == again.step
    theory = min(make().theory_step(game) for game, _ in pairs)
    assert found.score < score(np.array([theory]))[0]


def test_a_race_runs_everyone_at_both_steps(rng):
    games = {str(k): task for k, task in enumerate(tasks(rng))}
    makers = [kl, OptimisticKL, SequentialBestResponse]
    frame = race(makers, games, 30, points=5, rounds=0)
    assert_frame_equal(frame, race(makers, games, 30, points=5, rounds=0))
    entries = frame.groupby(["learner", "steps"])["game"].nunique()
    assert dict(entries) == {
        ("kl", "theory's step"): 2,
        ("kl", "best step"): 2,
        ("optimistic KL", "best step"): 2,
        ("sequential best response", "theory's step"): 2,
        ("sequential best response", "best step"): 2,
    }
    game, start = games["1"]
    rows = frame[(frame["learner"] == "kl") & (frame["steps"] == "theory's step")]
    rows = rows[rows["game"] == "1"]
    gap = run(game, kl(), kl().theory_step(game), 30, start).nash_gap
    table = rows.pivot(index="iteration", columns="run", values="nash_gap")
    assert table.index[0] == 1
    assert table.index[-1] == 30
    assert_allclose(table.to_numpy(), gap[table.index - 1], rtol=1e-15)
    best = frame[(frame["learner"] == "kl") & (frame["steps"] == "best step")]["step"].unique()
    units = [0.5 / game.reward_bound for game, _ in games.values()]
    assert all(1e-2 * unit <= step <= 1e3 * unit for step, unit in zip(best, units, strict=True))


def test_the_time_of_an_update_is_that_of_its_slower_parts(rng):
    game, start = tasks(rng)[0]
    for learner in (kl(), FictitiousPlay(), SequentialBestResponse()):
        assert 1e-6 < seconds_per_update(game, learner, 0.1, start, updates=10) < 1
    assert seconds_per_update(game, kl(), lambda t: 0.1 / (1 + t), start, updates=3) > 0
