"""Runs with one assumption broken: what `12-broken-assumptions` measures beside its claim."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.policies import uniform_policy
from pmdlib.analysis.potential import potential_distance
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, rationals
from pmdlib.claims.broken_assumptions import OwnSteps
from pmdlib.claims.regret import euclidean_bound, kl_constant_bound, record
from pmdlib.errors import PmdError
from pmdlib.games import broken, catalogue
from pmdlib.games.families import Shape, identical_interest
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import KL, MirrorMap
from pmdlib.learning.pmd import Trace, run_pmd

#: Runs of `horizon_table` take this many iterations, over target (1-γ)².
ROUNDS = 2.0

#: A run has settled if its mean Nash gap over the last iterations is at most this.
SETTLED = 1e-2


def unsettled(trace: Trace, last: int = 200) -> Array:
    """Which runs of a batch have a mean Nash gap above `SETTLED` over their last iterations.

    ``trace`` is of a batch of starts (B, ...); ``last`` says how many iterations: (B, ...) of bool.
    """
    return np.asarray(trace.nash_gap[-last:].mean(axis=0) > SETTLED)


def falls(trace: Trace, rounding: float = 1e-12) -> Array:
    """Which runs of a batch have an update at which the potential falls, beyond rounding.

    ``trace`` is of a batch of starts (B, ...): (B, ...) of bool.

    Raises
    ------
    PmdError
        If the game states no potential.
    """
    if trace.potential is None:
        raise PmdError("a game without a potential has none that falls")
    return np.asarray((np.diff(trace.potential, axis=0) < -rounding).any(axis=0))


class Linear(MirrorMap):
    """ψ = ||p||_1, constant on the simplex: no divergence, so a step jumps to a best response."""

    name = "linear"
    keeps_zeros = False

    def divergence(self, new: Array, old: Array) -> Array:
        """0: ψ does not tell policies apart."""
        return np.asarray(0.0 * (new - old).sum(axis=-1))

    def coordinates(self, policy: Array) -> Array:
        """Return the policy itself."""
        return policy

    def policy(self, coordinates: Array) -> Array:
        """Return the policy itself."""
        return coordinates

    def step(self, coordinates: Array, gradient: Array) -> Array:
        """Jump to the first of the best actions: there is nothing to trade them against."""
        return np.asarray(np.eye(coordinates.shape[-1])[np.argmax(gradient, axis=-1)])


# Steps past the limits


def lyapunov_exponents(game: MarkovGame, trace: Trace, skip: int = 0) -> Array:
    """Rates at which orbits of the KL map next to a run separate, per update, largest first.

    In log-odds x_i of N agents with two actions each, one state, an update is x + η d(x), with d_i
    the difference of agent i's averaged Q. Its derivative is 1 on the diagonal and η H_ij p_j
    (1 - p_j) off it, where H_ij is the change of d_i as j turns from action 0 to action 1. Products
    of derivatives along the run are kept apart by QR decompositions.

    Parameters
    ----------
    game : MarkovGame
    trace : Trace
        Of the KL map, a batch of starts (B, ...), with recorded policies.
    skip : int
        Updates at the beginning that do not count.

    Returns
    -------
    ndarray (B, N)

    Raises
    ------
    PmdError
        If the run is of another kind.
    """
    if game.num_states != 1 or set(game.num_actions) != {2} or trace.mirror_map != "kl":
        raise PmdError("the exponents need a KL run of one state and two actions for each agent")
    policies, agents = tuple(own[skip:-1] for own in trace.policies), game.num_agents
    shape = policies[0].shape[:-2]
    jacobian = np.broadcast_to(np.eye(agents), (*shape, agents, agents)).copy()
    for j in range(agents):
        turned = [_differences(game, policies, j, action) for action in (0, 1)]
        slope = (policies[j][..., 0, 0] * policies[j][..., 0, 1])[..., None]
        jacobian[..., j] += trace.step * slope * (turned[1] - turned[0])
    frame, total = np.eye(agents), np.zeros((*shape[1:], agents))
    for derivative in jacobian:
        frame, triangle = np.linalg.qr(derivative @ frame)
        with np.errstate(divide="ignore"):
            total += np.log(abs(np.diagonal(triangle, axis1=-2, axis2=-1)))
    return np.asarray(total / len(jacobian))


def _differences(game: MarkovGame, policies: Policy, agent: int, action: int) -> Array:
    """Q of action 1 less that of action 0, for every agent, with one agent's action given."""
    pure = np.broadcast_to(np.eye(2)[action], policies[agent].shape)
    given = (*policies[:agent], pure, *policies[agent + 1 :])
    return np.stack([q[..., 0, 1] - q[..., 0, 0] for q in Evaluation(game, given).averaged_q], -1)


def bifurcation(
    game: TabularGame, steps: Sequence[float], starts: Array, *, skip: int = 400, kept: int = 200
) -> pd.DataFrame:
    """Follow two agents who always play alike, at many step sizes.

    Parameters
    ----------
    game : TabularGame
        Two agents, two actions, symmetric, one state.
    steps : sequence of float
    starts : ndarray (B,)
        Probability of action 1 at which both start.
    skip, kept : int
        Updates that are not shown, and that are.

    Returns
    -------
    DataFrame
        One row a step size: ``step``; ``orbit`` (kept · B,) of probabilities; mean ``gap``; the
        exponents ``along`` and ``across`` the line on which both play alike, averaged over starts.

    Raises
    ------
    PmdError
        If rounding parts the two agents.
    """
    rows = []
    for step in steps:
        start = broken.pair_of_mixtures(starts)
        trace = run_pmd(game, "kl", step, skip + kept, start, record_policies=True, progress=False)
        first, second = (own[skip:-1, :, 0, 1] for own in trace.policies)
        if (first != second).any():
            raise PmdError("the two agents left the line on which they play alike")
        across, along = lyapunov_exponents(game, trace, skip).mean(axis=0)
        gap = trace.nash_gap[skip:].mean()
        row = {"step": step, "orbit": first.ravel(), "gap": gap, "along": along, "across": across}
        rows.append(row)
    return pd.DataFrame(rows)


def three_updates(step: Any, chance: fmpq, crowded: float = 0.5) -> list[Any]:
    """Enclose p, f(p), f²(p), f³(p): both agents of `uneven_sides` start at ``chance``.

    f³(p) <= p < f(p) < f²(p), or the reverse, makes the map chaotic (Li and Yorke, 1975).

    ``crowded`` is the parameter of that game.
    """
    own = rationals(np.array([[1, 1]]), np.ones((1, 2))) * np.array([[1 - chance, chance]])
    game = broken.uneven_sides(crowded).exact()
    trace = run_pmd(game, "kl", step, 3, (own, own), record_policies=True, progress=False)
    return [policy[0, 1] for policy in trace.policies[0]]


def share_unsettled(
    game: TabularGame,
    mirror_map: str,
    steps: Sequence[float],
    starts: Policy,
    iterations: int,
) -> pd.DataFrame:
    """Share of starts from which a run has not settled, and its mean gap, for each step size.

    A row for each of the ``steps``: ``step``, ``share`` and ``gap``, the mean over those far away.
    """
    rows = []
    for step in steps:
        trace = run_pmd(game, mirror_map, float(step), iterations, starts, progress=False)
        far = unsettled(trace)
        gap = trace.nash_gap[-200:, far].mean() if far.any() else 0.0
        rows.append({"step": step, "share": far.mean(), "gap": gap})
    return pd.DataFrame(rows)


def attractor(
    game: TabularGame, steps: Sequence[float], chances: Array, iterations: int
) -> pd.DataFrame:
    """Follow three agents from next to the line on which agents 1 and 2 play alike, 3 the opposite.

    ``steps`` are the step sizes of the runs, ``chances`` (B,) where agent 1 starts.

    Returns
    -------
    DataFrame
        ``step``, and ``chance`` that agent 1 plays action 1, in the last 100 updates of the runs
        that have not settled.
    """
    own = np.clip(chances, 0.01, 0.99)
    near = own, own * 0.999, 1 - own * 0.998
    start = tuple(broken.pair_of_mixtures(chance)[0] for chance in near)
    frames = [pd.DataFrame({"step": [], "chance": []})]
    for step in map(float, steps):
        trace = run_pmd(game, "kl", step, iterations, start, record_policies=True, progress=False)
        spots = trace.policies[0][-100:, unsettled(trace), 0, 1].ravel()
        frames.append(pd.DataFrame({"step": step, "chance": spots}))
    return pd.concat(frames, ignore_index=True)


# Late news


def delay_limits(delay: int) -> tuple[float, float]:
    """Give the steps up to which two agents who play alike do well with late Q.

    In `anti_coordination`.

    Near the mixed equilibrium their log-odds obey x_{t+1} = x_t - a x_{t-d} with a = η/2. That
    tends to 0 exactly for a < 2 sin(π / (4d + 2)), and without overshooting for
    a <= d^d / (d + 1)^{d+1}.

    Returns
    -------
    settles, rises : float
        η up to which the run tends to the equilibrium, and up to which Φ never falls near it.

    References
    ----------
    Levin and May, "A note on difference-delay equations", 1976, for the first. For d = 0 the
    second says η <= 2; Φ never falls up to 4 all the same.
    """
    settles = 4 * float(np.sin(np.pi / (4 * delay + 2)))
    rises = 2 * float(delay**delay / (delay + 1) ** (delay + 1))
    return settles, settles if delay == 0 else rises


# Games that are no potential games


def along_line(
    make: Callable[[float], TabularGame], shares: Sequence[float], starts: int, iterations: int
) -> pd.DataFrame:
    """Run the KL map at step 1 in the games along a line, from the same random starts.

    ``make`` turns a share θ into a game of two agents; ``shares`` are those to look at, and
    ``starts`` says how many starts.

    Returns
    -------
    DataFrame
        One row a share θ: the largest and the mean ``gap`` over the last quarter of the runs, the
        mean ``regret``, and the largest ``fall`` of the potential of θ = 0 in one update.
    """
    rng, rows = np.random.default_rng(0), []
    count = make(0.0).num_actions[0]
    start = tuple(rng.dirichlet(np.ones(count), size=(starts, 1)) for _ in range(2))
    for share in shares:
        trace = run_pmd(make(share), "kl", 1.0, iterations, start, progress=False)
        late = trace.nash_gap[-iterations // 4 :].mean(axis=0)
        row = {"share": share, "gap": late.max(), "mean": late.mean()}
        row["regret"] = trace.nash_regret[-1].mean()
        row["fall"] = max(0.0, -np.diff(np.asarray(trace.potential), axis=0).min())
        rows.append(row)
    return pd.DataFrame(rows)


def literature_table(
    games: Mapping[str, TabularGame], *, starts: int = 10, factor: float = 50.0
) -> pd.DataFrame:
    """Run the KL map in games that are no Markov potential games, beside how far they are from one.

    The potential is the stage potential with the best certified bound on the distance α. Whether it
    falls is asked at the constant step (1-γ)/φmax; whether the gap vanishes, at ``factor`` times
    that, so that it does not take too long.

    ``starts`` says how many runs of each game.
    """
    rows = {}
    for name, game in games.items():
        rng = np.random.default_rng(0)
        found = potential_distance(game, rng, restarts=2)
        near = TabularGame(
            list(game.rewards),
            game.kernel,
            discount=game.discount,
            initial=game.initial,
            potential=found.potential,
        )
        start = tuple(
            rng.dirichlet(np.ones(m), size=(starts, game.num_states)) for m in game.num_actions
        )
        slow = run_pmd(near, "kl", "constant", 300, start, progress=False)
        fast = run_pmd(near, "kl", factor * slow.step, 2000, start, progress=False)
        scale = near.reward_bound / (1 - near.discount)
        rows[name] = {
            "agents": game.num_agents,
            "states": game.num_states,
            "α at least": float(found.lower) / scale,
            "α at most": found.upper / scale,
            "first gap": slow.nash_gap[0].mean() / scale,
            "last gap": fast.nash_gap[-200:].mean(axis=0).max() / scale,
            "runs with a fall": falls(slow, 1e-9 * scale).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("game")


# Long horizons


def horizon_table(
    discounts: Sequence[float], games: int, *, target: float = 0.5, agents: int = 2
) -> pd.DataFrame:
    """Count iterations of the constant KL step until regret, and gap, stay below ``target``.

    The games are the same for every γ but for γ itself: random identical interest, three states.

    ``discounts`` are the γ, ``games`` how many games for each, ``agents`` how many agents, of two
    actions.

    Returns
    -------
    DataFrame
        One row for each γ, medians over games: ``regret``, ``gap`` (iterations), and ``bound``, the
        iterations that suffice by Theorem V.6 at this step, with the κ_T and c_T of the run.
    """
    rows = []
    for discount in discounts:
        for seed in range(games):
            shape = Shape((2,) * agents, num_states=3, discount=discount)
            game = identical_interest(np.random.default_rng(seed), shape)
            rows.append({"discount": discount} | _time_to_target(game, target))
    return pd.DataFrame(rows).groupby("discount", sort=False).median().reset_index()


def _time_to_target(game: TabularGame, target: float) -> dict[str, float]:
    rounds = int(ROUNDS / (target * (1 - game.discount) ** 2))
    start = tuple(own[None] for own in uniform_policy(game))
    done = record(game, start, rounds, "kl", "constant")
    series = (done.regret[:, 0], done.trace.nash_gap[:, 0])
    regret, gap = (1 + int(np.flatnonzero(np.append(True, s > target))[-1]) for s in series)
    if regret > rounds:
        raise PmdError(f"the regret is still above {target} after {rounds} iterations")
    known = {"mismatch": done.kappa[-1, 0], "c": done.c[-1, 0], "iterations": 1}
    bound = bounds.regret_kl_constant_step(phi_max=game.phi_max, discount=game.discount, **known)
    return {"regret": regret, "gap": gap, "bound": (bound / target) ** 2}


# Rare visits


def visits_table(chances: Sequence[float], iterations: int) -> pd.DataFrame:
    """Run in `rare_visit` from starts that hardly go where there is something to learn, or never.

    KL at the constant step for positive chances; the Euclidean step of the paper for 0, which KL
    does not leave. Each with the bound on the regret with κ_T, and the one with κ_μ.
    """
    rows = {}
    for chance in chances:
        start = tuple(own[None] for own in catalogue.rare_visit_start(chance))
        rule, step, bound = "kl", "constant", kl_constant_bound
        if chance == 0:
            rule, step, bound = "euclidean", "paper", euclidean_bound
        done = record(catalogue.rare_visit(), start, iterations, rule, step)
        rows[chance] = {
            "rule": rule,
            "κ_T": done.kappa[-1, 0],
            "κ_μ": done.kappa_uniform[-1, 0],
            "bound, κ_T": bound(done, done.kappa)[-1, 0],
            "bound, κ_μ": bound(done, done.kappa_uniform)[-1, 0],
            "regret": done.regret[-1, 0],
            "last gap": done.trace.nash_gap[-1, 0],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("chance of going")


# Steps of one's own


def least_share(first: Sequence[float], second: Sequence[float]) -> Array:
    """Least share of the first-order gain that two agents with steps of their own keep.

    In `anti_coordination` (Qmax = 1), over policies near the middle: (len(second), len(first)).
    """
    angles = np.linspace(0.05, 1.5, 30)  # how far off each is; equal signs are the bad case
    start = broken.pair_of_mixtures(0.5 - 0.01 * np.cos(angles), 0.5 - 0.01 * np.sin(angles))
    before = Evaluation(catalogue.anti_coordination(), start)
    shares = np.empty((len(second), len(first)))
    for row, column in np.ndindex(*shares.shape):
        taken = OwnSteps(before, KL(), (float(first[column]), float(second[row])))
        shares[row, column] = (taken.one_state_gain / taken.first_order()).min()
    return shares


def own_steps_along(game: MarkovGame, trace: Trace, steps: Sequence[float]) -> pd.DataFrame:
    """Set the improvement of every iteration of a run beside the bound for own steps.

    ``trace`` has recorded policies, of one start; ``steps`` are those of the agents.

    Returns
    -------
    DataFrame
        One row an iteration: ``improvement`` of Φ(ρ), ``bound``.
    """
    before = Evaluation(game, tuple(own[:-1] for own in trace.policies))
    taken = OwnSteps(before, KL(), tuple(steps))
    bound = taken.visited(taken.variance_bound())[:, -1] / (1 - game.discount)
    return pd.DataFrame({"improvement": taken.change[:, -1], "bound": bound})
