"""The last iterate near a strict pure equilibrium: it stays, and gets there at a linear rate.

Let a* be a pure profile at which every deviation in one state loses at least δ > 0, and let K be
its sensitivity, see `pmdlib.analysis.strict`: at a policy π each loss differs from the one at the
profile by at most K E(π), E(π) = max_s Σ_j (1 - π_j(a_j*|s)). Start where 2 K E <= δ.

*KL, any step η > 0.* As long as 2 K E <= δ, every loss is at least δ/2, so a step multiplies the
odds π_i(a|s)/π_i(a*|s) by e^{-η loss} <= e^{-ηδ/2}. All odds fall, hence so does E, and it goes on
like that for ever. The odds are at most e^{-ηδt/2} times what they were, so are the masses, and
Σ_t E(π^t) <= O/(1 - e^{-ηδ/2}) with O = max_s Σ_j odds_j at the start. Losses differ from their
limits by K E, so the log-odds of each action differ from -ηt · loss at a* by at most η K times that
sum. As for the Nash gap: no loss exceeds Δ + δ/2 <= 3Δ/2, so that nobody can gain more than that,
times its odds of deviating, over 1 - γ. No potential was used, and no small step.

*Euclidean, any step.* Shift Q so that Q(a*) = 0, all others at most -δ/2. Then no entry of
max(π + ηQ, 0) exceeds that of π, so they sum to at most 1: the threshold λ of the projection is not
positive, and π'(a*) = π(a*) - λ. With k actions
left, k λ = π(a*) + Σ (π(a) - η loss(a)) - 1 over the k - 1 others that are left, which is at most
-(k-1) ηδ/2. If k >= 2, then a* gains at least ηδ/4; if k = 1, all is done.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.strict import VISIBLE_GAIN, Basin, basin, near, settle
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import (
    Array,
    enclose,
    exact_rows,
    exp,
    is_exact,
    largest,
    log,
    maximum,
    smallest,
    to_exact,
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
from pmdlib.claims.instances import OTHER_GAMES, POTENTIAL_GAMES, exact_policy, games
from pmdlib.games import catalogue
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.pmd import Trace, run_pmd

#: How far into the neighbourhood runs start, as shares of its radius.
SHARES = (0.99, 0.9, 0.5, 0.1)


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield games with a strict equilibrium, potential or not, and starts in its neighbourhood."""
    for source, game in games(rng, sizes, names=POTENTIAL_GAMES + OTHER_GAMES):
        actions = settle(game, rng)
        if actions is None or max(game.num_actions) == 1:
            continue
        found = basin(game, actions)
        if not found.margin > VISIBLE_GAIN * game.reward_bound:
            continue
        policy = near(found, rng, SHARES, game.num_actions)
        iterations = int(rng.integers(2, sizes.iterations // 2, endpoint=True))
        # Where K = 0 all policies are near: those of `near` still play a* with probability 0.1.
        away = max(float(found.away(policy).max()), 1e-9)
        yield _with_twin(
            Instance(
                game,
                policy,
                source,
                {
                    "actions": actions,
                    "iterations": iterations,
                    "step": 10 ** rng.uniform(-1.5, 0.5) / found.most,
                    "euclidean": 2 ** rng.uniform(-1, 1) * 4 * away / (found.margin * iterations),
                },
            )
        )


def _with_twin(instance: Instance) -> Instance:
    """Add the exact counterparts: starts as the rationals that their floats are."""

    def twin(which: int) -> Instance:
        extra = dict(instance.extra)
        extra |= {name: to_exact(np.float32(extra[name])) for name in ("step", "euclidean")}
        own = tuple(exact_rows(part[[which]]) for part in instance.policy)
        return Instance(instance.game.exact(), own, f"{instance.source}, policy {which}", extra)

    return replace(instance, twin=twin)


def _basin(instance: Instance) -> Basin:
    return basin(instance.game, instance.extra["actions"])


STRICT = Hypothesis(
    "every deviation from the profile in one state loses", lambda i: _basin(i).margin > 0
)
NEAR = Hypothesis(
    "the start is in the neighbourhood 2 K E(π) <= δ", lambda i: _basin(i).holds(i.policy)
)


def record(game: TabularGame, policy: Policy, iterations: int, mirror_map: str, step: Any) -> Trace:
    """Run PMD from a batch of starts; exact ones are enclosed, for rationals grow at every step."""
    start = tuple(enclose(own) for own in policy) if is_exact(game.initial) else policy
    return run_pmd(game, mirror_map, step, iterations, start, record_policies=True, progress=False)


def losses(game: TabularGame, found: Basin, policies: Policy) -> tuple[Array, ...]:
    """Q_i(s, a*) - Q_i(s, a) at each of many policies: N arrays (..., S, A_i)."""
    return tuple(
        q[..., np.arange(len(own)), own][..., None] - q
        for q, own in zip(Evaluation(game, policies).averaged_q, found.actions, strict=True)
    )


def _rivals(found: Basin, tables: Policy) -> Array:
    """Collect the entries of actions other than a*, of tables (..., S, A_i): (..., R)."""
    parts = []
    for table, own in zip(tables, found.actions, strict=True):
        other = own[:, None] != np.arange(table.shape[-1])
        parts.append(table[..., other])
    return np.concatenate(parts, axis=-1)


def _log_odds(found: Basin, policies: Policy) -> Array:
    """Log π_i(a|s) - log π_i(a*|s) of all actions other than a*: (..., R)."""
    tables = []
    for own, actions in zip(policies, found.actions, strict=True):
        logs = log(own)
        tables.append(logs - logs[..., np.arange(len(actions)), actions][..., None])
    return _rivals(found, tuple(tables))


def _kl_sides(instance: Instance, found: Basin) -> Iterator[Comparison]:
    game, step = instance.game, instance.extra["step"]
    trace = record(game, instance.policy, instance.extra["iterations"], "kl", step)
    rounding = value_rounding(game)
    lost = _rivals(found, losses(game, found, tuple(own[:-1] for own in trace.policies)))
    part = "no loss below δ/2"
    yield Comparison(np.swapaxes(smallest(lost), 0, 1), found.margin / 2, 2 * rounding, ">=", part)

    odds = _log_odds(found, trace.policies)  # actions that are never played have no odds
    time = np.arange(trace.iterations + 1)
    logs_size: Any = 1 if is_exact(odds) else max(1.0, float(abs(odds[np.isfinite(odds)]).max()))
    tolerance = 64 * unit_roundoff(odds) * logs_size + 4 * step * rounding
    part = "KL: odds fall by exp(-ηδ/2) at each step"
    fall = np.moveaxis(odds[:-1] - odds[1:], 1, 0)
    yield Comparison(fall, step * found.margin / 2, tolerance, ">=", part)

    limit = _rivals(found, found.losses)
    count = time.reshape(-1, 1, 1).astype(object if is_exact(odds) else float)
    away = abs(odds - odds[0] + step * count * limit)
    part = "KL: log-odds fall by ηt times the loss, but for the drift"
    drift = found.drift(instance.policy, step)
    yield Comparison(
        largest(np.moveaxis(away[1:], 1, 0)),
        drift[:, None],
        len(time) * tolerance,
        "<=",
        part,
        np.broadcast_to(found.sensitivity > 0, drift.shape),  # else both sides are exactly 0
    )

    rough, sharp = found.log_gap_bounds(instance.policy, step, count[:-1, 0, 0])
    for decay, bound in (("exp(-ηδt/2)", rough), ("exp(-ηδt)", sharp)):
        part = f"KL: Nash gap at most a constant times {decay}"
        yield Comparison(trace.nash_gap.T, exp(bound).T, rounding, "<=", part)


def _euclidean_sides(instance: Instance, found: Basin) -> Iterator[Comparison]:
    game, step = instance.game, instance.extra["euclidean"]
    iterations = instance.extra["iterations"]
    trace = record(game, instance.policy, iterations, "euclidean", step)
    away = np.swapaxes(largest(found.away(trace.policies), (-1, -2)), 0, 1)
    time = np.arange(iterations + 1).astype(object if is_exact(away) else float)
    claimed = maximum(away[:, :1] - time * step * found.margin / 4, 0)
    rounding = iterations * (step * value_rounding(game) + 64 * unit_roundoff(away))
    part = "Euclidean: what does not play a* falls by ηδ/4 at each step, to 0"
    yield Comparison(away[:, 1:], claimed[:, 1:], rounding, "<=", part)


def _sides(instance: Instance) -> Iterator[Comparison]:
    found = _basin(instance)
    yield from _kl_sides(instance, found)
    yield from _euclidean_sides(instance, found)


# Controls

#: The profile (row 1, column 1) of `catalogue.isolated`: δ = .7, K = 1.1.
_CORNER = [[0], [0]]


def _start(*deviations: Any) -> Policy:
    """Two actions each in one state, the second with these probabilities: a batch of one."""
    return tuple(np.array([[[1 - fmpq(d), fmpq(d)]]], dtype=object) for d in deviations)


def _twice_the_rate() -> Comparison:
    """Gap at most the constant times e^{-2ηδt}, from inside the neighbourhood."""
    game, start = catalogue.isolated().exact(), _start(fmpq(1, 10), fmpq(1, 10))
    found, time = basin(game, _CORNER), 40
    trace = record(game, start, time + 1, "kl", 1)
    _, sharp = found.log_gap_bounds(start, 1, np.array([time], dtype=object))
    return Comparison(trace.nash_gap[-1], exp(sharp[0] - time * found.margin), 0, "<=")


def _wider() -> Comparison:
    """No loss below δ/2, at a policy whose E is 11/10 of the radius."""
    game = catalogue.isolated().exact()
    found = basin(game, _CORNER)
    start = _start(fmpq(11, 20) * found.margin / found.sensitivity, fmpq(0))
    lost = _rivals(found, losses(game, found, start))
    return Comparison(smallest(lost), found.margin / 2, 0, ">=")


def _anywhere() -> Comparison:
    """From the uniform policy, which is outside, row 2 and column 2 gain on row 1 and column 1."""
    game = catalogue.isolated().exact()
    trace = record(game, _start(fmpq(1, 2), fmpq(1, 2)), 10, "kl", 1)
    odds = _log_odds(basin(game, [[1], [1]]), trace.policies)
    return Comparison(odds[-1], odds[0], 0, "<=")


def _tied() -> Comparison:
    """Claim a linear rate at an equilibrium with ties, φ = 1 - xy: the gap falls like 1/t²."""
    game = catalogue.one_state([[1.0, 1.0], [1.0, 0.0]]).exact()
    trace = record(game, _start(fmpq(1, 4), fmpq(1, 4)), 260, "kl", 1)
    return Comparison(trace.nash_gap[-1], fmpq(99, 100) * trace.nash_gap[-2], 0, "<=")


def _mixed() -> Comparison:
    """Gap never above its start, from 1/1000 beside a quasi-strict mixed equilibrium."""
    game = catalogue.isolated().exact()
    exact_point = fmpq(7, 11), fmpq(8, 11)  # where the other agent is indifferent, to 1e-3 or less
    trace = record(game, _start(exact_point[0] + fmpq(1, 1000), exact_point[1]), 20, "kl", 1)
    return Comparison(trace.nash_gap[-1], trace.nash_gap[0], 0, "<=")


def doorman() -> TabularGame:
    """Agent 1 stays, or goes to where agent 2 opens the door: they meet in no state; γ = 1/2.

    In state 0 staying (action 1) pays 1/4 and all is over; going (action 0) leads to state 1,
    where 1 is paid if agent 2 opens (action 0). Everything else is a loss of 1/4 or more for the
    agent who does not play action 0, and adds up: no reward and no move depends on two agents.
    """
    reward = np.zeros((3, 2, 2))
    reward[0] = [[0.0, -0.25], [0.25, 0.0]]
    reward[1] = [[1.0, 0.0], [0.75, -0.25]]
    reward[2] = [[0.0, -0.5], [-0.5, -1.0]]
    kernel = np.zeros((3, 2, 2, 3))
    kernel[0, 0, :, 1] = kernel[0, 1, :, 2] = kernel[1, ..., 2] = kernel[2, ..., 2] = 1.0
    return TabularGame(reward, kernel, discount=0.5, initial=[1.0, 0.0, 0.0])


def _state_by_state() -> Comparison:
    """K without the term of the next states: in no state do the agents interact, so K = 0."""
    game = doorman().exact()
    found = basin(game, [[0, 0, 0], [0, 0, 0]])
    rarely = exact_policy((np.eye(2)[[0, 0, 0]], np.array([[1.0, 0.0], [0.25, 0.75], [1.0, 0.0]])))
    lost = losses(game, found, rarely)[0][..., 0, 1]
    return Comparison(lost, found.margin / 2, 0, ">=")


def _euclidean_faster() -> Comparison:
    """ηδ in place of ηδ/4 a step: two actions move by half the difference."""
    game, start = catalogue.isolated().exact(), _start(fmpq(3, 20), fmpq(3, 20))
    found, step = basin(game, _CORNER), fmpq(1, 100)
    trace = record(game, start, 5, "euclidean", step)
    away = largest(found.away(trace.policies), (-1, -2))
    return Comparison(away[-1], away[0] - 5 * step * found.margin, 0, "<=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="last-iterate-strict",
        tag="derived",
        label="last iterate near a strict equilibrium",
        statement=(
            r"2K\,E(\pi^0)\le\delta \;\Longrightarrow\; \mathrm{gap}_t \le"
            r" \frac{3\Delta}{2(1-\gamma)}\,o\,e^{-\eta\delta t/2} \ \text{ (KL)}, \qquad"
            r" \pi^t = a^* \text{ for } t \ge \frac{4\,\varepsilon}{\eta\delta}"
            r" \ \text{ (Euclidean)}, \quad \text{any } \eta > 0"
        ),
        notebook="13-open-questions",
        hypotheses=(STRICT, NEAR),
        instances=_instances,
        compare=_sides,
        controls=(
            Control(
                "twice-the-rate",
                "Nash gap at most the same constant times e^{-2ηδt}; isolated game, t = 40",
                _twice_the_rate,
            ),
            Control(
                "wider-basin",
                "no loss below δ/2 where E is 11/10 of the radius; isolated game",
                _wider,
            ),
            Control(
                "anywhere",
                "odds of row 1 and column 1 fall in ten steps from the uniform policy, too",
                _anywhere,
            ),
            Control(
                "tied-equilibrium",
                "a linear rate, .99 a step, at an equilibrium with ties; φ = 1 - xy, t = 259",
                _tied,
            ),
            Control(
                "mixed-equilibrium",
                "runs stay near a quasi-strict mixed equilibrium: gap at t = 19 at most the first",
                _mixed,
            ),
            Control(
                "state-by-state",
                "K without the next states: no two agents meet in one state, so K = 0; doorman",
                _state_by_state,
            ),
            Control(
                "euclidean-faster",
                "ηδ in place of ηδ/4 at each Euclidean step; isolated game, five steps",
                _euclidean_faster,
            ),
        ),
        sizes={"quick": 120, "full": 1000},
    ),
)
