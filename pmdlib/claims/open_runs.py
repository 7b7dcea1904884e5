"""What the notebook on open questions measures, besides its claims: runs in tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from pmdlib.analysis.policies import random_policy
from pmdlib.analysis.strict import basin
from pmdlib.analysis.welfare import inefficiency, social_optimum, welfare_ratio
from pmdlib.arithmetic import Array
from pmdlib.claims.regret import log_form
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.baselines import SequentialBestResponse
from pmdlib.learning.learners import Learner, MirrorDescent
from pmdlib.learning.mirror_maps import KL
from pmdlib.learning.pmd import Trace, run, run_pmd

Draw = Callable[[np.random.Generator], MarkovGame]


def movement(policies: Policy) -> Array:
    """Largest move of an agent at each step of a run, as total variation: (T, ...)."""
    moves = [abs(np.diff(own, axis=0)).sum(axis=-1).max(axis=-1) / 2 for own in policies]
    return np.asarray(np.max(moves, axis=0))


def wanderings(
    draws: Mapping[str, Draw], games: int, starts: int, iterations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Run KL PMD at the constant step, and measure how far the iterates still move.

    ``draws`` are functions of ``rng`` that draw a game, by sort; so many ``games`` are drawn of
    each, and so many ``starts`` in each game.

    Returns
    -------
    DataFrame
        A row a run: ``sort``, ``game``, ``length`` of the path (total variation, the largest
        agent), ``late``, the part of it after half of the iterations, ``gap`` and ``c``.
    """
    rows = []
    for sort, draw in draws.items():
        for number in range(games):
            game = draw(rng)
            start = random_policy(game, rng, batch=(starts,))
            trace = run_pmd(
                game, "kl", "constant", iterations, start, record_policies=True, progress=False
            )
            moves = movement(trace.policies)
            late = moves[iterations // 2 :].sum(axis=0)
            columns = moves.sum(axis=0), late, trace.nash_gap[-1], trace.c.min(axis=0)
            rows += [(sort, number, *map(float, row)) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=["sort", "game", "length", "late", "gap", "c"])


def resting_place(odds: float, *, base: float = 0.5, extra: float = 0.25) -> float:
    """Where the flow of `catalogue.slow_switch` with ε = 0 ends: log-odds of right over left.

    From an even agent 1 and log-odds y of right against left, Δy - S log(1 + e^y) rises by S log 2;
    NaN where that exceeds its maximum, so that row 2 becomes best and the run goes elsewhere.

    y begins at ``odds``; Δ is ``base``, δ is ``extra`` and S is their sum.
    """
    total = base + extra

    def level(y: float) -> float:
        return base * y - total * float(np.logaddexp(0, y))

    switch = float(np.log(base / extra))
    goal = level(odds) + total * np.log(2)
    if odds >= switch or goal >= level(switch):
        return np.nan
    return float(brentq(lambda y: level(y) - goal, odds, switch))


def spent(game: TabularGame, start: Policy, iterations: int) -> dict[str, float]:
    """Sum the squared gaps of a run at the constant step, beside the bounds with 1/c and log(1/c).

    One state; gaps in shares of φmax. ``squares`` is at most ``rooted``, 2/c, and at most ``logs``:
    no gap exceeds 1, the sum of the gaps is at most that of all agents' best advantages, and for
    that the log form has log 1/π(a*) summed over all agents and phases, + 2.

    ``start`` is one policy, N arrays (1, A_i).
    """
    trace = run_pmd(game, "kl", "constant", iterations, start, record_policies=True, progress=False)
    _, right = log_form(game, trace)
    gap, log_c = trace.nash_gap / game.phi_max, float(trace.log_c.min())
    return {
        "log 1/c": -log_c,
        "squares": float((gap**2).sum()),
        "gaps": float(gap.sum()),
        "rooted": float(2 * np.exp(-log_c)),
        "logs": float(right[-1].sum() - 2 * (game.num_agents - 1)),
        "last gap": float(gap[-1]),
    }


def measured_rate(
    game: TabularGame, start: Policy, iterations: int, step: float
) -> tuple[float, float, float]:
    """Run KL PMD to a gap of 1e-12; return its last decay a step, the margin there, and the gap.

    ``start`` is one policy, N arrays (S, A_i).
    """
    trace = run_pmd(game, "kl", step, iterations, start, tolerance=1e-12, progress=False)
    profile = [own.argmax(axis=-1) for own in trace.policy]
    last = min(len(trace.nash_gap) - 1, 20)
    tail = np.log(trace.nash_gap[-last - 1 :])
    return float(tail[0] - tail[-1]) / last, basin(game, profile).margin, trace.nash_gap[-1]


def corner_team(agents: int) -> TabularGame:
    """φ = 1 - Π x_i, x_i the probability of action 1: all but one profile are equally good.

    Nobody at the profile of zeros loses by a deviation. From equal x the KL flow is
    x' = -η x^N (1 - x), so x ~ ((N-1) η t)^{-1/(N-1)}, and the gap, x^N, falls like t^{-N/(N-1)}.
    """
    return catalogue.crowd([1.0] * agents + [0.0])


def corner_run(agents: int, iterations: int, step: float = 1.0) -> Trace:
    """KL PMD on `corner_team` from the uniform policy.

    ``agents`` says how many.
    """
    start = (np.array([[0.5, 0.5]]),) * agents
    return run_pmd(corner_team(agents), "kl", step, iterations, start, progress=False)


def corner_flow(agents: int, time: Array, step: float = 1.0) -> Array:
    """Gap of the flow of `corner_team` for large times: ((N-1) η t)^{-N/(N-1)}.

    ``agents`` is N, ``time`` (T,) are the t.
    """
    return np.asarray(((agents - 1) * step * time) ** (-agents / (agents - 1)))


#: The mixed equilibrium of `catalogue.isolated`, and what a step multiplies a deviation by there:
#: 1 + η λ, λ = 1.1 √(p(1-p) q(1-q)).
SADDLE = (4 / 11, 3 / 11)


def saddle_run(distances: Array, iterations: int, step: float = 1.0) -> Trace:
    """KL PMD on `catalogue.isolated` from so far beside its mixed equilibrium, (D,).

    ``distances`` (D,) are added to the probability with which agent 1 plays its first action.
    """
    p, q = SADDLE[0] + distances, SADDLE[1] + 0 * distances
    start = tuple(np.stack([own, 1 - own], axis=-1)[:, None] for own in (p, q))
    return run_pmd(catalogue.isolated(), "kl", step, iterations, start, progress=False)


def saddle_exponent(step: float = 1.0) -> float:
    """log(1 + ηλ): what the log-distance from the saddle gains a step."""
    p, q = SADDLE
    return float(np.log1p(step * 1.1 * np.sqrt(p * (1 - p) * q * (1 - q))))


def bad_share(worth: float) -> float:
    """Share of the square of starts from which the flow on diag(1, ϵ) ends in the corner worth ϵ.

    H(p) = -log(1 - p) - ϵ log p is conserved as H(p) - H(q), p and q the probabilities of the first
    action, so the border is the curve H(p) = H(q) through the saddle p = q = ϵ/(1 + ϵ) that falls.
    """
    saddle = worth / (1 + worth)

    def level(p: float) -> float:
        return float(-np.log1p(-p) - worth * np.log(p))

    middles = (np.arange(400) + 0.5) / 400
    tiny = 1e-300
    other = [
        brentq(lambda q, p=p: level(q) - level(p), saddle, 1 - 1e-16)
        if p < saddle
        else brentq(lambda q, p=p: level(q) - level(p), tiny, saddle)
        for p in middles
    ]
    return float(np.mean(other))


def hardest(draw: Draw, rng: np.random.Generator, *, draws: int = 12) -> MarkovGame:
    """Draw some games of one state, and return the one with the largest price of anarchy.

    ``draw`` is a function of ``rng`` that draws a game; ``draws`` games are compared, none of them
    with a constant potential.
    """
    found = [_interesting(draw, rng) for _ in range(draws)]
    return max(found, key=lambda game: float(inefficiency(game).anarchy))


def last_and_average(
    families: Mapping[str, Draw], games: int, starts: int, iterations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare the last gap of runs at the constant step with their regret, in shares of Qmax.

    ``families`` are functions of ``rng`` that draw a game, by name; so many ``games`` are drawn of
    each, and so many ``starts`` in each game.
    """
    rows = []
    for family, draw in families.items():
        for number in range(games):
            game = draw(rng)
            start = random_policy(game, rng, batch=(starts,))
            trace = run_pmd(game, "kl", "constant", iterations, start, progress=False)
            scale = (1 - game.discount) / game.phi_max
            pairs = zip(scale * trace.nash_gap[-1], scale * trace.nash_regret[-1], strict=True)
            rows += [(family, number, *map(float, pair)) for pair in pairs]
    return pd.DataFrame(rows, columns=["family", "game", "last", "average"])


def reached(
    families: Mapping[str, Draw], games: int, starts: int, iterations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare what independent learners reach with the social optimum, from the same starts.

    ``families`` are functions of ``rng`` that draw a game, by name; so many ``games`` are drawn of
    each, and so many ``starts`` in each game.

    Returns
    -------
    DataFrame
        A row for each run: ``family``, ``game``, ``learner``, ``ratio`` (of costs to the optimal
        cost, or of the optimal welfare to welfare: at least 1), ``gap`` in shares of the largest
        reward, ``iterations`` until it was below `SETTLED`; and of the game the prices ``anarchy``
        and ``stability`` over pure equilibria, NaN with several states.
    """
    learners: dict[str, tuple[Learner, int]] = {
        "PMD, KL": (MirrorDescent(KL()), iterations),
        "best responses": (SequentialBestResponse(), 200),
    }
    frames = []
    for family, draw in families.items():
        for number in range(games):
            game = _interesting(draw, rng)
            start, best = random_policy(game, rng, batch=(starts,)), social_optimum(game)
            found = inefficiency(game) if game.num_states == 1 else None
            for name, (learner, most) in learners.items():
                step = KL().theory_step(game, "constant")
                trace = run(game, learner, step, most, start, progress=False)
                frame = pd.DataFrame({"ratio": welfare_ratio(game, trace.policy, best)})
                outside = trace.nash_gap > SETTLED * game.reward_bound
                times = np.arange(1, most + 1)[:, None]
                frame = frame.assign(
                    family=family,
                    game=number,
                    learner=name,
                    gap=trace.nash_gap[-1] / game.reward_bound,
                    iterations=(times * outside).max(axis=0),
                    anarchy=float(found.anarchy) if found else np.nan,
                    stability=float(found.stability) if found else np.nan,
                )
                frames.append(frame)
    return pd.concat(frames, ignore_index=True)


#: Nash gap, in shares of the largest reward, at which a learner has settled.
SETTLED = 1e-3


def _interesting(draw: Draw, rng: np.random.Generator) -> MarkovGame:
    """Draw games until one has a potential that is not constant."""
    while True:
        game = draw(rng)
        if game.phi_max > 0:
            return game


def quartiles(values: Iterable[float]) -> str:
    """Write median and quartiles as text."""
    low, middle, high = np.quantile(np.fromiter(values, dtype=float), [0.25, 0.5, 0.75])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def late_share(frame: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """Share of runs, by sort, whose late path is below each level."""
    shares = {f"below {level:g}": frame["late"] < level for level in levels}
    return pd.DataFrame(shares).groupby(frame["sort"], sort=False).mean()
