"""The constant c: what it costs one step, and how it moves along a run."""

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from flint import fmpq
from scipy.optimize import brentq

from pmdlib.analysis.equilibrium import argmax_mass, tie_tolerance
from pmdlib.analysis.policies import uniform_policy
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import (
    Array,
    is_exact,
    largest,
    largest_entries,
    log,
    smallest,
    unit_roundoff,
)
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Sizes,
    value_rounding,
)
from pmdlib.claims.instances import (
    FULL_SUPPORT,
    IS_POTENTIAL,
    POSITIVE,
    exact_policy,
    runs,
)
from pmdlib.claims.one_step import MANY, with_step
from pmdlib.claims.ways.lemmas import BEST_ACTION
from pmdlib.claims.ways.symbolic import generic_step
from pmdlib.games import catalogue
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import KL
from pmdlib.learning.pmd import Trace, run_pmd


def _best_advantage(instance: Instance) -> Array:
    """Largest averaged advantage over agents, states and actions, (B,)."""
    best = [largest(part, (-1, -2)) for part in instance.evaluation.advantages]
    return largest(np.stack(best), 0)


def _progress_sides(instance: Instance) -> Iterator[Comparison]:
    game, evaluation = instance.game, instance.evaluation
    # Where no agent can improve, the claim says nothing, and no step is scaled by rounding.
    best = _best_advantage(instance)
    if not is_exact(best):
        best = np.maximum(best, max(tie_tolerance(game), np.finfo(float).tiny))
    step = (instance.extra["units"] / best)[:, None]
    tie = tie_tolerance(game)
    for own, q, advantage in zip(
        evaluation.policy, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        moved = KL().update(own, step[..., None] * q) - own
        mass = argmax_mass(own, q, tie)
        # Errors of the advantages enter both sides once as they are and once through ηA <= 1.
        yield Comparison(
            expectation(moved, advantage),
            mass * step * largest(advantage) ** 2,
            4 * value_rounding(game) * (1 + step * game.reward_bound / (1 - game.discount)),
            ">=",
        )


def _progress(rare: fmpq, step: fmpq, claimed: fmpq) -> Comparison:
    """Ratio of <A, D> to ``claimed``; the best action has mass 1 - rare, the other advantage -1."""
    own = np.array([1 - rare, rare])
    advantage = np.array([rare, rare - 1])
    moved = KL().update(own, step * advantage) - own
    return Comparison((moved * advantage).sum() / claimed, 1, 0, ">=")


def _beyond_one() -> Comparison:
    """ηA* = 1.5, nearly all mass on the best action: the ratio tends to 1/(ηA*) = 2/3."""
    rare = fmpq(1, 10**6)
    step = fmpq(3, 2) / rare
    return _progress(rare, step, (1 - rare) * step * rare**2)


def _largest_magnitude() -> Comparison:
    """Max |A|² in place of (max A)²: a hopeless action that is hardly played dominates."""
    rare = fmpq(1, 1000)
    return _progress(rare, fmpq(1), (1 - rare) * (1 - rare) ** 2)


def _runs_with_step(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield runs with steps from far below to above those of the regret theorems: any will do."""
    for instance in runs(rng, sizes):
        game = instance.game
        step = 10 ** rng.uniform(-1, 0.5) * (1 - game.discount) / max(game.reward_bound, 1e-9)
        yield instance.with_extra(step=step)


def _c_sides(instance: Instance) -> Iterator[Comparison]:
    game, step = instance.game, instance.extra["step"]
    trace = run_pmd(
        game, "kl", step, instance.extra["iterations"], instance.policy, record_policies=True
    )
    evaluation = Evaluation(game, tuple(own[:-1] for own in trace.policies))
    rises, expected = [], []
    logs_size: Any = 1
    for own, q, advantage in zip(
        trace.policies, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        best = largest_entries(q, 0).argmax(axis=-1)[..., None]
        logs = log(own)
        if not is_exact(logs):
            logs_size = max(logs_size, float(abs(logs).max()))
        rises.append(np.take_along_axis(np.diff(logs, axis=0), best, axis=-1)[..., 0])
        gain = np.take_along_axis(advantage, best, axis=-1)[..., 0]
        expected.append(step * gain - KL().divergence(own[:-1], own[1:]))
    rise = np.moveaxis(np.concatenate(rises, axis=-1), 0, 1)
    predicted = np.moveaxis(np.concatenate(expected, axis=-1), 0, 1)
    q_scale = game.reward_bound / (1 - game.discount)
    logs_rounding = 64 * unit_roundoff(rise) * (logs_size + step * q_scale)
    tolerance = logs_rounding + step * value_rounding(game)
    yield Comparison(rise, predicted, tolerance, "==", "rise of the best action's log-probability")
    yield Comparison(rise, 0, tolerance, ">=", "it never falls")
    if trace.iterations > 1:
        falls = np.where(_argmax_changes(evaluation), 0, np.diff(trace.c, axis=0))
        yield Comparison(
            falls.T,
            0,
            tolerance,
            ">=",
            "c falls only where a set of best actions changes",
        )


def _argmax_changes(evaluation: Evaluation) -> Array:
    """Whether any agent's set of best actions differs from one iterate to the next, (T - 1, B)."""
    tie = tie_tolerance(evaluation.game)
    changes = []
    for q in evaluation.averaged_q:
        best = largest_entries(q, tie)
        changes.append((best[1:] != best[:-1]).any(axis=(-1, -2)))
    return np.asarray(np.any(changes, axis=0))


#: Nash gap at which the runs below end; what is left of the sums of gaps is of this order.
VANISHED = 1e-12


@lru_cache
def slow_switch_run(epsilon: float) -> Trace:
    """Natural policy gradient with step 1 on slow-switch, until the Nash gap has vanished."""
    game, start = catalogue.slow_switch(epsilon), catalogue.slow_switch_start()
    return run_pmd(game, "kl", 1.0, 5000, start, tolerance=VANISHED, record_policies=True)


@lru_cache
def uniform_start_run() -> Trace:
    """Natural policy gradient with step 1 on slow-switch-from-uniform, from the uniform start."""
    game = catalogue.slow_switch_from_uniform()
    return run_pmd(game, "kl", 1.0, 5000, tolerance=VANISHED, record_policies=True)


def slow_switch_exponent(*, base: float = 0.5, extra: float = 0.25, odds: float = 4.0) -> float:
    """K of c ≈ e^{-K/ε}: K = ΔL + S log(1 + e^-L) - S log 2 - S·H(δ/S), S = Δ + δ.

    Δ is ``base``, δ is ``extra`` and L is ``odds``, as in `catalogue.slow_switch` and its start.
    """
    total, share = base + extra, extra / (base + extra)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return float(base * odds + total * (np.log1p(np.exp(-odds)) - np.log(2)) - total * entropy)


def slow_switch_flow(
    epsilon: float, *, base: float = 0.5, extra: float = 0.25, odds: float = 4.0
) -> float:
    """Log c of the continuous-time flow: the root X of εX + S log(1 + e^X) = -K, then log σ(X).

    ε is ``epsilon``; ``base``, ``extra`` and ``odds`` as in `slow_switch_exponent`.
    """
    exponent, total = slow_switch_exponent(base=base, extra=extra, odds=odds), base + extra
    root = brentq(
        lambda x: epsilon * x + total * np.logaddexp(0, x) + exponent, -2 * exponent / epsilon, 0
    )
    return float(-np.logaddexp(0, -root))


def _generic_rise() -> Iterator[Comparison]:
    """Rise of the log-probability of every action, for three actions and any advantages."""
    own, advantage = generic_step()
    moved = KL().update(own, advantage)
    rise = advantage - KL().divergence(own, moved)
    # Advantages have mean zero: the last one follows from the others.
    mean = expectation(own, advantage)
    yield Comparison(log(moved / own), rise - mean, 0, "==", "rise of the log-probability")


def _enclosed_c(game: TabularGame, start: Policy, iterations: int) -> Array:
    """Enclose c along the first iterations of natural policy gradient with step 1: (T,)."""
    exact = tuple(own[0] for own in exact_policy(start))
    return run_pmd(game.exact(), "kl", 1, iterations, exact, progress=False).c


def _slow_switch_c(epsilon: float, iterations: int) -> Array:
    return _enclosed_c(catalogue.slow_switch(epsilon), catalogue.slow_switch_start(), iterations)


def _never_falls() -> Comparison:
    """C along slow-switch with ε = 0.1 never falls, switches of the argmax included."""
    return Comparison(np.diff(_slow_switch_c(0.1, 40)), 0, 0, ">=")


def _limit_bounds_c() -> Comparison:
    """Take the smallest c of the limit game ε = 0 as a lower bound for ε = 0.1."""
    smallest_c, limit = (smallest(_slow_switch_c(epsilon, 40)) for epsilon in (0.1, 0.0))
    return Comparison(smallest_c, limit, 0, ">=")


def _uniform_bound() -> Comparison:
    """C >= 1e-10 in every game whose fixed points are isolated: slow-switch with ε = 0.0125."""
    return Comparison(smallest(_slow_switch_c(0.0125, 280)), fmpq(1, 10**10), 0, ">=")


def _uniform_start() -> Comparison:
    """C >= 1/|A|² from the uniform start, in a game whose fixed points are isolated."""
    game = catalogue.slow_switch_from_uniform()
    c = _enclosed_c(game, uniform_policy(game), 190)
    return Comparison(smallest(c), fmpq(1, 16), 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="best-action-progress",
        tag="beyond",
        label="one step moves the best action",
        statement=(
            r"\langle \bar Q_i, D_i\rangle \ge c_s\,\eta\,\big(\max_a \bar A_i(s,a)\big)^2"
            r" \quad \text{whenever } \eta \max_a \bar A_i(s,a) \le 1"
        ),
        notebook="07-constant-c",
        hypotheses=(
            FULL_SUPPORT,
            Hypothesis(
                "some agent can improve", lambda i: _best_advantage(i) > tie_tolerance(i.game)
            ),
        ),
        instances=partial(with_step, 0.01, 1.0),
        compare=_progress_sides,
        controls=(
            Control(
                "step-1.5",
                "ηA* = 1.5 in place of at most 1, as the ratio of both sides",
                _beyond_one,
            ),
            Control(
                "largest-magnitude",
                "max |A|² in place of (max A)², as the ratio of both sides",
                _largest_magnitude,
            ),
        ),
        sizes=MANY,
        lemmas=BEST_ACTION,
        attack={"units": 1.0},
    ),
    Claim(
        name="constant-c",
        tag="derived",
        label="the constant c > 0 of Theorem V.6",
        statement=(
            r"\log \pi_i^{t+1}(a^*|s) - \log \pi_i^{t}(a^*|s) = \eta \max_a \bar A_i^t(s,a) -"
            r" \mathrm{KL}(\pi_i^t \| \pi_i^{t+1})(s) \ge 0"
        ),
        notebook="07-constant-c",
        hypotheses=(FULL_SUPPORT, IS_POTENTIAL, POSITIVE),
        instances=_runs_with_step,
        compare=_c_sides,
        controls=(
            Control(
                "never-falls", "c never falls, switches included, slow-switch ε = 0.1", _never_falls
            ),
            Control(
                "limit-bounds-c",
                "the c of the limit ε = 0 bounds that of ε = 0.1 from below",
                _limit_bounds_c,
            ),
            Control(
                "uniform-bound",
                "c >= 1e-10 whenever fixed points are isolated, slow-switch ε = 0.0125",
                _uniform_bound,
            ),
            Control(
                "uniform-start",
                "c >= 1/|A|² from the uniform start, slow-switch-from-uniform",
                _uniform_start,
            ),
        ),
        sizes={"quick": 200, "full": 3000},
        symbolic=_generic_rise,
    ),
)
