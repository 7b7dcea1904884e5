"""Feedback: exact limits, hand-computed cases, means and variances with stated error rates."""

import numpy as np
import pytest
from scipy.stats import binom

import pmdlib as pmd
from pmdlib.analysis.values import Evaluation, evaluate
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, dummy, identical_interest
from pmdlib.games.profiles import Profile, Roster, each_agent
from pmdlib.learning.accuracy import accuracy
from pmdlib.learning.feedback import (
    BanditFeedback,
    ExactFeedback,
    Feedback,
    MonteCarloFeedback,
    NoisyFeedback,
    TemporalDifferenceFeedback,
)
from pmdlib.learning.returns import Experience, FirstVisits, capped_q, explore, return_variances
from pmdlib.learning.simulation import Moment

#: What follows lets a correct program fail with at most about this chance for each assertion.
DEVIATIONS = 6.5


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(4)
    game = dummy(rng, Shape((2, 3), 2, 0.75))
    return Evaluation(game, pmd.random_policy(game, rng))


def kinds(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "noise": NoisyFeedback(rng, 0.3),
        "roll-outs": MonteCarloFeedback(rng, 5),
        "weighted": BanditFeedback(rng, 60, exploration=0.2),
        "averaged": BanditFeedback(rng, 60, exploration=0.2, weighting="average"),
        "regression": TemporalDifferenceFeedback(rng, 5, 20, exploration=0.2),
    }


def flat(family):
    return np.concatenate([np.ravel(own) for own in family])


@pytest.mark.parametrize("step", [0.3, lambda t: 0.3 / (1 + t) ** 0.5], ids=["constant", "decays"])
@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_without_noise_a_run_is_the_exact_run_bit_for_bit(mirror_map, step, evaluation):
    silent = NoisyFeedback(np.random.default_rng(0), 0.0)
    runs = [
        pmd.run_pmd(evaluation.game, mirror_map, step, 60, feedback=feedback, progress=False)
        for feedback in (None, ExactFeedback(), silent)
    ]
    for run in runs[1:]:
        assert run.nash_gap.tobytes() == runs[0].nash_gap.tobytes()
        for own, exact in zip(run.policy, runs[0].policy, strict=True):
            assert own.tobytes() == exact.tobytes()


def test_roll_outs_of_a_game_without_chance_are_exact():
    game = catalogue.isolated()
    pure = pmd.deterministic_policy(game, [[0], [1]])
    rng = np.random.default_rng(0)
    for feedback in (MonteCarloFeedback(rng, 3), MonteCarloFeedback(rng, 3, horizon=1)):
        q = feedback.averaged_q(evaluate(game, pure))
        np.testing.assert_allclose(q[0], [[0.3, 0.6]], rtol=1e-15)
        np.testing.assert_allclose(q[1], [[1.0, 0.3]], rtol=1e-15)
        assert feedback.steps == 3 * 4


@pytest.mark.parametrize("kind", kinds())
def test_the_same_seed_gives_the_same_run_and_another_seed_does_not(kind, evaluation):
    runs = [
        pmd.run_pmd(evaluation.game, "kl", 0.2, 8, feedback=kinds(seed)[kind], progress=False)
        for seed in (0, 0, 1)
    ]
    assert runs[0].nash_gap.tobytes() == runs[1].nash_gap.tobytes()
    assert (runs[0].policy[0] != runs[2].policy[0]).any()


@pytest.mark.parametrize("kind", kinds())
def test_estimates_have_the_form_of_averaged_q(kind, evaluation):
    game, rng = evaluation.game, np.random.default_rng(0)
    for batch in ((), (3,), (2, 2)):
        policy = pmd.random_policy(game, rng, batch=batch)
        for own, q in zip(policy, kinds()[kind].averaged_q(Evaluation(game, policy)), strict=True):
            assert own.shape == q.shape
            assert np.isfinite(q).all()
    commute = catalogue.commute(5)
    apart = Profile([np.full((5, 2, 4), 0.25)], Roster.apart(commute.populations))
    for policy in (pmd.uniform_policy(commute), apart):
        q = kinds()[kind].averaged_q(evaluate(commute, policy))
        assert len(q) == 5
        assert q[0].shape == (2, 4)
        assert len({own.tobytes() for own in q}) == 5  # everybody sees something else
    found = kinds()[kind].averaged_q(evaluate(commute, apart))
    assert isinstance(found, Profile)
    trace = pmd.run_pmd(commute, "kl", 0.1, 3, feedback=kinds()[kind], progress=False)
    assert np.isfinite(trace.nash_gap).all()


def deviates(feedback, evaluation, target, repeats=300):
    frame = accuracy(feedback, evaluation, repeats, against=target)
    return (frame["bias"].abs() / np.sqrt(frame["variance"] / repeats)).max()


@pytest.mark.parametrize("kind", ["noise", "roll-outs", "weighted", "averaged"])
def test_the_mean_of_estimates_is_their_expectation(kind, evaluation):
    """Six and a half standard errors of a mean of 300 averages: below 1e-8 for all entries."""
    feedback = kinds(7)[kind]
    assert deviates(feedback, evaluation, feedback.expectation(evaluation)) < DEVIATIONS


def test_biased_kinds_are_biased_by_what_they_say(evaluation):
    rng = np.random.default_rng(1)
    cut = MonteCarloFeedback(rng, 5, horizon=2)
    assert deviates(cut, evaluation, cut.expectation(evaluation)) < DEVIATIONS
    assert deviates(cut, evaluation, evaluation.averaged_q) > 2 * DEVIATIONS
    shifted = NoisyFeedback(rng, 0.3, bias=0.2)
    assert deviates(shifted, evaluation, shifted.expectation(evaluation)) < DEVIATIONS
    np.testing.assert_allclose(shifted.expectation(evaluation)[0] - evaluation.averaged_q[0], 0.2)


def test_exploration_of_all_is_what_bandit_feedback_estimates():
    game = catalogue.isolated()
    evaluation = evaluate(game, tuple(np.array([[0.9, 0.1]]) for _ in range(2)))
    feedback = BanditFeedback(np.random.default_rng(0), 200, exploration=0.5)
    played = evaluate(game, tuple(np.array([[0.7, 0.3]]) for _ in range(2)))
    for q, target in zip(feedback.expectation(evaluation), played.averaged_q, strict=True):
        np.testing.assert_allclose(q, target)
    assert deviates(feedback, evaluation, played.averaged_q) < DEVIATIONS
    assert deviates(feedback, evaluation, evaluation.averaged_q) > DEVIATIONS


def test_a_baseline_moves_the_variance_and_not_the_mean():
    """With the baseline 1/2, payoffs 1 and .3, .2 and .6 are a quarter as large in the square."""
    evaluation = evaluate(catalogue.isolated(), pmd.uniform_policy(catalogue.isolated()))
    frames = []
    for baseline in (0.0, 0.5):
        feedback = BanditFeedback(np.random.default_rng(3), 60, exploration=0.2, baseline=baseline)
        target = feedback.expectation(evaluation)
        assert deviates(feedback, evaluation, target) < DEVIATIONS
        frames.append(accuracy(feedback, evaluation, 300))
    assert frames[1]["variance"].mean() < 0.5 * frames[0]["variance"].mean()


def test_the_variance_of_roll_outs_is_the_exact_one(evaluation):
    exact = flat(return_variances(evaluation)) / 5
    frame = accuracy(MonteCarloFeedback(np.random.default_rng(2), 5), evaluation, 3000)
    np.testing.assert_allclose(frame["variance"], exact, rtol=0.25)


def test_variances_of_returns_by_hand():
    """Reward 1 until the play ends: a geometric number, of variance γ/(1-γ)²."""
    game = catalogue.stay_or_leave()
    leave = (np.array([[0.0, 1.0], [0.0, 1.0]]),)
    (variance,) = return_variances(evaluate(game, leave))
    np.testing.assert_allclose(variance[1], 0.9 / 0.01)
    # Leaving pays 0, and then, with probability .9, such a number, whose mean is 10.
    np.testing.assert_allclose(variance[0, 1], 0.9 * (90 + 100) - 81)


def test_capped_q_by_hand():
    game = catalogue.stay_or_leave()
    leave = (np.array([[0.0, 1.0], [0.0, 1.0]]),)
    for horizon, expected in ((1, 0.0), (2, 0.9), (3, 0.9 + 0.81)):
        assert capped_q(evaluate(game, leave), horizon)[0][0, 1] == pytest.approx(expected)


def test_first_visits_by_hand():
    """One play: states 0, 1, 0 with rewards 1, 2, 4; a second ends after state 1, reward 8."""
    index, none = np.array, np.zeros(0, dtype=int)
    moments = [
        Moment(index([0, 1]), index([0, 1]), index([[1, 0]]), index([[1.0, 8.0]]), none),
        Moment(index([0]), index([1]), index([[0]]), index([[2.0]]), none),
        Moment(index([0]), index([0]), index([[0]]), index([[4.0]]), none),
    ]
    first = FirstVisits.of(moments, (1, 2, 3), float)
    assert first.visited.tolist() == [[True, True, False], [False, True, False]]
    assert first.returns[0, 0, :2].tolist() == [7.0, 6.0]
    assert first.returns[0, 1, 1] == 8.0
    behaviour = np.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]])
    weighted = first.weighted(0, behaviour)
    assert weighted[0].tolist() == [[0.0, 28.0], [12.0, 0.0], [0.0, 0.0]]
    assert weighted[1, 1].tolist() == [16.0, 0.0]
    assert first.weighted(0, behaviour, baseline=3.0)[0, 0].tolist() == [3.0, 3.0 + 4.0 / 0.25]


def test_experience_by_hand():
    """State 0: action 0 paid 1 and 3, then came 1 and 0; action 1 not tried; state 2 unseen."""
    seen = Experience.none(3, 2)
    index = np.array
    seen.add(
        Moment(
            index([0, 1, 2]),
            index([0, 0, 1]),
            index([[0, 0, 1]]),
            index([[1.0, 3.0, 5.0]]),
            index([1, 0, 1]),
        ),
        0,
    )
    q = seen.q(np.array([[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]]), 0.5)
    # V(1) = 5 + V(1)/2 = 10; V(0) = 2 + (V(0) + V(1))/4 = 6.
    np.testing.assert_allclose(q, [[6.0, 6.0], [10.0, 10.0], [0.0, 0.0]])


def test_regression_tends_to_its_limit(evaluation):
    feedback = TemporalDifferenceFeedback(np.random.default_rng(0), 200, 1500, exploration=0.3)
    limit = flat(feedback.limit(evaluation))
    found = flat(feedback.averaged_q(evaluation))
    scale = evaluation.game.reward_bound / (1 - evaluation.game.discount)
    np.testing.assert_allclose(found, limit, atol=0.02 * scale)
    assert abs(limit - flat(evaluation.averaged_q)).max() > 0.02 * scale
    on_policy = TemporalDifferenceFeedback(np.random.default_rng(0), 2, 2)
    np.testing.assert_allclose(flat(on_policy.limit(evaluation)), flat(evaluation.averaged_q))


def test_states_never_visited_move_no_policy():
    game = catalogue.rare_visit()
    stay = evaluate(game, pmd.deterministic_policy(game, [[0, 0, 0, 0]]))
    for feedback in (
        BanditFeedback(np.random.default_rng(0), 50),
        BanditFeedback(np.random.default_rng(0), 50, weighting="average"),
        TemporalDifferenceFeedback(np.random.default_rng(0), 50, 4),
    ):
        (q,) = feedback.averaged_q(stay)
        assert q[1].tolist() == [0.0, 0.0]
    # The action that was not taken says nothing either, where estimates are averages.
    (q,) = BanditFeedback(np.random.default_rng(0), 50, weighting="average").averaged_q(stay)
    assert q[0, 0] == q[0, 1] > 0


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_intervals_cover_at_their_rate(seed):
    """95% intervals for bias and variance, on means of skewed returns: how many miss.

    All 400 are independent. A rate of misses of 5% is refused with a chance of 1e-6 at either end;
    intervals for variances are cautious, and may miss less often.
    """
    rng = np.random.default_rng(seed)
    game = identical_interest(rng, Shape((2,), 40, 0.75))
    evaluation = Evaluation(game, pmd.random_policy(game, rng))
    exact = flat(return_variances(evaluation)) / 20
    missed = missed_variance = 0
    for _ in range(5):
        frame = accuracy(MonteCarloFeedback(rng, 20), evaluation, 60)
        missed += (frame["bias_low"] > 0).sum() + (frame["bias_high"] < 0).sum()
        low, high = frame["variance_low"], frame["variance_high"]
        missed_variance += ((low > exact) | (high < exact)).sum()
    assert binom.ppf(1e-6, 400, 0.05) <= missed <= binom.ppf(1 - 1e-6, 400, 0.05)
    assert missed_variance <= binom.ppf(1 - 1e-6, 400, 0.05)


def test_confidence_widens_intervals(evaluation):
    frames = [
        accuracy(NoisyFeedback(np.random.default_rng(0), 1.0), evaluation, 20, confidence=level)
        for level in (0.9, 0.999)
    ]
    assert (frames[1]["bias_high"] > frames[0]["bias_high"]).all()
    assert (frames[1]["variance_low"] < frames[0]["variance_low"]).all()
    assert [*frames[0].columns[:4]] == ["agent", "state", "action", "exact"]
    assert len(frames[0]) == 2 * (2 + 3)


def test_exploration_mixes_with_the_uniform_policy():
    own = np.array([[1.0, 0.0]])
    (mixed,) = explore((own,), 0.2)
    np.testing.assert_allclose(mixed, [[0.9, 0.1]])
    assert explore((own,), 0.0)[0] is own
    each = each_agent(lambda p: p, (own,))
    np.testing.assert_allclose(explore(each, 1.0)[0], [[0.5, 0.5]])


def test_what_is_not_known_is_not_claimed(evaluation):
    rng = np.random.default_rng(0)

    class Other(Feedback):
        def averaged_q(self, evaluation):
            return evaluation.averaged_q

    for feedback in (
        TemporalDifferenceFeedback(rng, 2, 2),
        BanditFeedback(rng, 2, horizon=3),
        Other(),
    ):
        with pytest.raises(pmd.PmdError, match="on average is not known"):
            feedback.expectation(evaluation)
    assert ExactFeedback().expectation(evaluation) is evaluation.averaged_q


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: NoisyFeedback(0, 1.0), r"rng is 0, must be a generator"),
        (lambda rng: NoisyFeedback(rng, -1.0), r"scale is -1\.0 .* must be finite, scale >= 0"),
        (lambda rng: NoisyFeedback(rng, np.nan), "scale is nan"),
        (lambda rng: NoisyFeedback(rng, 1.0, bias=np.inf), "bias inf"),
        (lambda rng: MonteCarloFeedback(rng, 0), "samples is 0, must be a whole number >= 1"),
        (lambda rng: MonteCarloFeedback(rng, 2.5), r"samples is 2\.5"),
        (lambda rng: MonteCarloFeedback(rng, 1, horizon=0), "horizon is 0"),
        (lambda rng: BanditFeedback(rng, True), "trajectories is True"),
        (lambda rng: BanditFeedback(rng, 1, exploration=1.5), r"exploration is 1\.5.*\[0, 1\]"),
        (lambda rng: BanditFeedback(rng, 1, weighting="no"), "weighting is 'no', must be one of"),
        (lambda rng: BanditFeedback(rng, 1, baseline=np.nan), "baseline is nan, must be finite"),
        (lambda rng: TemporalDifferenceFeedback(rng, 1, None), "horizon is None"),
        (lambda rng: TemporalDifferenceFeedback(rng, -1, 3), "trajectories is -1"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(pmd.PmdError, match=message):
        make(np.random.default_rng(0))


def test_bad_requests_are_named(evaluation):
    feedback = NoisyFeedback(np.random.default_rng(0), 1.0)
    with pytest.raises(pmd.PmdError, match="repeats is 2, must be at least 3"):
        accuracy(feedback, evaluation, 2)
    with pytest.raises(pmd.PmdError, match="confidence is 95"):
        accuracy(feedback, evaluation, 5, confidence=95)
    game = evaluation.game
    batch = Evaluation(game, pmd.random_policy(game, np.random.default_rng(0), batch=(2,)))
    with pytest.raises(pmd.PmdError, match="single policy"):
        accuracy(feedback, batch, 5)
    with pytest.raises(pmd.PmdError, match="TabularGame and a single policy"):
        return_variances(batch)
    exact = catalogue.isolated().exact()
    for kind, each in kinds().items():
        with pytest.raises(pmd.PmdError, match="exact numbers"):
            each.averaged_q(evaluate(exact, pmd.uniform_policy(exact)))
        assert kind
