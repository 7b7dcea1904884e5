"""Estimates from play: are they unbiased, and how much noise an improvement survives.

Unbiasedness is shown twice. *Exactly*: all plays of a small game are written down, each with its
probability, and the estimator's own code, in rational arithmetic, is averaged over them.
*Statistically*: the mean of many draws, large ones damped, lies within what its exact variance
allows; no normality is assumed, and false alarms have a stated rate.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.policies import random_policy, uniform_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, is_exact
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.every_play import mean_first_visits, mean_roll_out
from pmdlib.claims.instances import exact_policy
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, random_shape
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.feedback import BanditFeedback, MonteCarloFeedback
from pmdlib.learning.returns import (
    capped_q,
    explore,
    return_variances,
)

NOTEBOOK = "11-noisy-feedback"

#: Chance that the statistical test of one instance fails although the estimators are unbiased. It
#: is shared evenly among all its entries.
FALSE_ALARM = 1e-9

#: Roll-outs for each entry, and common plays, that are put to the test.
ROLL_OUTS, PLAYS = 4000, 8000

#: A planted error this many times as large as what chance allows must be caught.
PLANTED = 3


def damped_deviation(
    draws: Array, exact: Array, variance: Array, chance: float
) -> tuple[Array, Array]:
    """Test the mean of independent draws of known variance, whatever their distribution.

    With ψ(x) = sign(x) log(1 + |x| + x²/2) and a = √(2L/(n v)), L = log(2/chance): as e^ψ(x) is at
    most 1 + x + x²/2, and e^-ψ(x) at most 1 - x + x²/2, the chance that |Σ ψ(a (X - q))|/(n a)
    exceeds √(2 v L/n) is at most ``chance`` for draws X of mean q and variance at most v.

    Parameters
    ----------
    draws : ndarray (n, ...)
        NaN where there is none.
    exact, variance : ndarray (...)
    chance : float in (0, 1)

    Returns
    -------
    deviation, allowed : ndarray (...)

    References
    ----------
    Catoni, "Challenging the empirical mean and empirical variance", 2012.
    """
    size, count = np.log(2 / chance), np.maximum((~np.isnan(draws)).sum(axis=0), 1)
    scale = np.sqrt(2 * size / (count * variance))
    away = scale * (draws - exact)
    damped = np.sign(away) * np.log1p(abs(away) + away**2 / 2)
    return abs(np.nansum(damped, axis=0)) / (count * scale), np.sqrt(2 * variance * size / count)


def _unbiased_sides(instance: Instance) -> Iterator[Comparison]:
    sides = _exact_sides if is_exact(instance.game.initial) else _statistical_sides
    yield from sides(instance)


def _single(instance: Instance, which: int) -> Evaluation:
    return Evaluation(instance.game, tuple(own[which] for own in instance.policy))


def _row(parts: Any) -> Array:
    return np.concatenate([np.ravel(part) for part in parts])[None]


def _exact_sides(instance: Instance) -> Iterator[Comparison]:
    """Compare means over every play with averaged Q, in rationals; there is no tolerance."""
    evaluation, game = _single(instance, 0), instance.game
    means = [
        mean_roll_out(evaluation, agent, state, action)
        for agent, count in enumerate(game.num_actions)
        for state, action in product(range(game.num_states), range(count))
    ]
    yield Comparison(
        np.array([means]), _row(evaluation.averaged_q), 0, "==", "roll-outs, every play"
    )
    played = Evaluation(game, explore(evaluation.policy, instance.extra["exploration"]))
    sums, visits = mean_first_visits(played)
    pairs = zip(sums, played.averaged_q, strict=True)
    yield Comparison(
        _row(sums),
        _row([visits[:, None] * q for _, q in pairs]),
        0,
        "==",
        "bandit feedback, every play",
    )


def _statistical_sides(instance: Instance) -> Iterator[Comparison]:
    """Test many draws against averaged Q; and draws with a planted error, which must be caught."""
    rng = np.random.default_rng(instance.extra["seed"])
    rounding = value_rounding(instance.game)
    for name, fault, test in (
        ("roll-outs", "truncation", _test_roll_outs),
        ("bandit feedback", "forgotten weights", _test_bandit),
    ):
        tested = [test(instance, which, rng) for which in range(instance.count)]
        deviation, allowed, planted, bias = map(np.stack, zip(*tested, strict=True))
        yield Comparison(deviation, allowed, rounding, "<=", f"{name}, many draws")
        place = np.argmax(bias - PLANTED * allowed, axis=1)[:, None]
        planted, bias, allowed = (
            np.take_along_axis(part, place, axis=1)[:, 0] for part in (planted, bias, allowed)
        )
        caught = bias > PLANTED * allowed
        yield Comparison(planted, allowed, rounding, ">=", f"{name}, {fault} caught", caught)


def _allowance(evaluation: Evaluation, count: int) -> tuple[Array, Array, float]:
    """Averaged Q and variance of returns, (entries,), and the false alarms of one entry."""
    exact, variance = _row(evaluation.averaged_q)[0], _row(return_variances(evaluation))[0]
    # What is certain has no variance, but rounding.
    return exact, variance + value_rounding(evaluation.game) ** 2, FALSE_ALARM / count / len(exact)


def _test_roll_outs(
    instance: Instance, which: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Deviation, what chance allows, deviation of cut roll-outs, and their bias: (entries,)."""
    evaluation = _single(instance, which)
    exact, variance, chance = _allowance(evaluation, 2 * instance.count)

    def test(feedback: MonteCarloFeedback) -> tuple[Array, Array]:
        draws = _columns(feedback.sample(evaluation.game, evaluation.policy))
        return damped_deviation(draws, exact, variance, chance)

    def bias(horizon: int) -> Array:
        return abs(_row(capped_q(evaluation, horizon))[0] - exact)

    deviation, allowed = test(MonteCarloFeedback(rng, ROLL_OUTS))
    horizon = 1  # the longest that leaves an error large enough
    while (bias(horizon + 1) > PLANTED * allowed).any():
        horizon += 1
    planted, _ = test(MonteCarloFeedback(rng, ROLL_OUTS, horizon=horizon))
    return deviation, allowed, planted, bias(horizon)


def _test_bandit(
    instance: Instance, which: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Deviation, what chance allows, deviation without weights, and their bias: (entries,)."""
    game, policy = instance.game, _single(instance, which).policy
    exploration = instance.extra["exploration"]
    played = Evaluation(game, explore(policy, exploration))
    exact, variance, chance = _allowance(played, 2 * instance.count)
    own = _row(played.policy)[0]
    first = BanditFeedback(rng, PLAYS, exploration=exploration).first_visits(game, policy)
    draws = np.concatenate(
        [
            np.where(first.visited[..., None], first.weighted(i, p), np.nan).reshape(PLAYS, -1)
            for i, p in enumerate(played.policy)
        ],
        axis=1,
    )
    variance = np.maximum((variance + exact**2) / own - exact**2, variance)
    deviation, allowed = damped_deviation(draws, exact, variance, chance)
    planted, _ = damped_deviation(own * draws, exact, variance, chance)
    seen = ~np.isnan(draws).all(axis=0)
    return deviation, allowed, planted, np.where(seen, abs((1 - own) * exact), 0)


def _columns(samples: list[Array]) -> Array:
    """Draws of all entries, (n, entries), from N arrays (S, A_i, n)."""
    return np.concatenate([own.reshape(-1, own.shape[-1]) for own in samples]).T


#: Games small enough to write down every play, or to simulate thousands of times.
GAMES = ("stay-or-leave", "anti-coordination", "isolated", "stage-potential-only")

#: Discounts of random games: plays of one step, and of about 2, 4 and 11.
DISCOUNTS = (0.0, 1 / 2, 3 / 4, 29 / 32)


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield games, potential or not, with two policies each; tiny ones where plays are listed."""
    tiny = sizes.joint_actions < 1000
    number = 0
    while True:
        if number < len(GAMES):
            source, game = f"catalogue:{GAMES[number]}", catalogue.CATALOGUE[GAMES[number]]()
        else:
            family = [*FAMILIES][number % len(FAMILIES)]
            shape = random_shape(
                rng,
                max_agents=2 if tiny else 3,
                max_states=2 if tiny else 3,
                max_actions=3,
                max_joint_actions=6 if tiny else 18,
                discounts=DISCOUNTS,
            )
            source, game = f"{family}:{number}", FAMILIES[family](rng, shape)
        number += 1
        policy = random_policy(game, rng, concentration=float(rng.choice([0.3, 1])), batch=(2,))
        extra = {"seed": int(rng.integers(2**32)), "exploration": float(rng.choice([1 / 8, 1 / 2]))}
        yield Instance(game, policy, source, extra)


# Controls: each is a statement about means over every play, in rationals


def _of_catalogue(name: str) -> Evaluation:
    game = catalogue.CATALOGUE[name]().exact()
    policy = tuple(own[0] for own in exact_policy(uniform_policy(game.rounded())))
    return Evaluation(game, policy)


def _truncated() -> Comparison:
    """Plays cut after two steps, taken for the whole."""
    evaluation = _of_catalogue("stay-or-leave")
    cut = mean_roll_out(evaluation, 0, 0, 1, credit=False)
    return Comparison(np.array([cut]), evaluation.averaged_q[0][0, 1], 0, "==")


def _wrong_continuation() -> Comparison:
    """Plays that go on with probability 4/5, in a game with γ = 9/10."""
    evaluation = _of_catalogue("stay-or-leave")
    game = catalogue.stay_or_leave().exact()
    other = TabularGame(game.rewards[0], game.kernel, discount=fmpq(4, 5), initial=game.initial)
    mean = mean_roll_out(Evaluation(other, evaluation.policy), 0, 0, 1)
    return Comparison(np.array([mean]), evaluation.averaged_q[0][0, 1], 0, "==")


def _forgotten(what: str) -> Comparison:
    """Leave out one ingredient of bandit feedback, where everybody explores."""
    evaluation = _of_catalogue("stay-or-leave" if what == "visits" else "isolated")
    played = Evaluation(evaluation.game, explore(evaluation.policy, fmpq(1, 4)))
    if what == "exploration":
        start = tuple(np.array([[fmpq(3, 4), fmpq(1, 4)]]) for _ in range(2))
        evaluation = Evaluation(evaluation.game, start)
        played = Evaluation(evaluation.game, explore(start, fmpq(1, 2)))
    sums, visits = mean_first_visits(played, weigh=what != "weights")
    chance = 1 if what == "visits" else visits[:, None]
    return Comparison((sums[0] / chance)[None], evaluation.averaged_q[0][None], 0, "==")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="estimator-unbiased",
        tag="derived",
        label="estimates of averaged Q from play",
        statement=(
            r"\mathbb E\Big[\sum_{t<\tau} r_i(s_t,a_t)\,\Big|\,s_0=s,\,a_{0,i}=a\Big] ="
            r" \bar Q_i^{\pi}(s,a) \quad\text{and}\quad"
            r" \mathbb E\Big[\tfrac{\mathbb 1[a_i=a]}{\beta_i(a|s)}\,G_i\,\Big|\,"
            r"s\text{ visited}\Big] = \bar Q_i^{\beta}(s,a)"
        ),
        notebook=NOTEBOOK,
        hypotheses=(),
        instances=_instances,
        compare=_unbiased_sides,
        controls=(
            Control(
                "truncated",
                "roll-outs cut after two steps, stay-or-leave game from the uniform policy",
                _truncated,
            ),
            Control(
                "continuation",
                "roll-outs that go on with probability 4/5 where γ = 9/10, stay-or-leave game",
                _wrong_continuation,
            ),
            Control(
                "forgotten-weights",
                "rewards not divided by the probability of the action, isolated game",
                partial(_forgotten, "weights"),
            ),
            Control(
                "forgotten-visits",
                "means over all plays, not over those that visit the state, stay-or-leave game",
                partial(_forgotten, "visits"),
            ),
            Control(
                "forgotten-exploration",
                "Q of π while both agents play half π and half uniform, isolated game",
                partial(_forgotten, "exploration"),
            ),
        ),
        sizes={"quick": 60, "full": 300},
    ),
)
