"""Fixed points of the KL map, when they are isolated, and what happens to the constant c."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import count

import numpy as np
from scipy.optimize import brentq

from pmdlib.analysis.equilibrium import gaps, tie_tolerance
from pmdlib.analysis.fixed_points import (
    FixedPoint,
    Support,
    fixed_point_residual,
    fixed_points,
    jacobian,
)
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array
from pmdlib.claims.claim import Claim, Comparison, Control, Hypothesis, Instance, value_rounding
from pmdlib.claims.instances import FULL_SUPPORT, IS_POTENTIAL, NOT_CONSTANT, games, runs
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import KL, Euclidean
from pmdlib.learning.pmd import Trace, run_pmd

NOTEBOOK = "06-isolated-fixed-points"


# Which policies are fixed


def _partial_supports(game: MarkovGame, rng: np.random.Generator, batch: int) -> Policy:
    """Policies on random supports, vertices included, different in every state: (B, S, A_i)."""
    policy = []
    for actions in game.num_actions:
        shape = (batch, game.num_states, actions)
        used = rng.random(shape) < rng.random((batch, 1, 1))
        np.put_along_axis(used, rng.integers(actions, size=(*shape[:2], 1)), True, axis=-1)
        weights = used * rng.standard_exponential(shape)
        policy.append(weights / weights.sum(axis=-1, keepdims=True))
    return tuple(policy)


def _fixed_and_moving(rng: np.random.Generator) -> Iterator[Instance]:
    """Random policies with zeros, and in turn all fixed points of random two-agent games."""
    for source, game in games(rng):
        yield Instance(game, _partial_supports(game, rng, 6), source, {"fixed": False})
        small = _small_game(rng, degenerate=False)
        points = fixed_points(small)
        policy = tuple(np.stack(parts) for parts in zip(*(p.policy for p in points), strict=True))
        yield Instance(small, policy, f"fixed points beside {source}", {"fixed": True})


def _fixed_sides(instance: Instance) -> Iterator[Comparison]:
    game, evaluation = instance.game, instance.evaluation
    step = (1 - game.discount) / max(game.reward_bound, np.finfo(float).tiny)
    tolerance = value_rounding(game)
    largest, spreads, moves, changes = [], [], [], []
    for own, q, advantage in zip(
        evaluation.policy, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        used = own > 0
        logs = KL().coordinates(own)
        moved = KL().step(logs, step * q)
        with np.errstate(invalid="ignore"):
            moves.append(_spread(np.where(used, moved - logs, np.nan)))
        spreads.append(_spread(np.where(used, advantage, np.nan)))
        largest.append(np.where(used, abs(advantage), 0.0).max(axis=-1))
        changes.append(abs(np.exp(moved) - own).max(axis=-1))
    logs_rounding = 1e3 * UNIT_ROUNDOFF
    yield Comparison(
        _flat(moves),
        step * _flat(spreads),
        logs_rounding + step * tolerance,
        "==",
        "log-probabilities move by η times the spread of the advantage on the support",
    )
    yield Comparison(
        _flat(largest),
        _flat(spreads),
        2 * tolerance,
        "<=",
        "no spread on the support means advantage zero there",
    )
    if instance.extra["fixed"]:
        yield Comparison(
            _flat(changes),
            np.zeros(1),
            logs_rounding + step * tolerance,
            "==",
            "enumerated fixed points do not move",
        )


def _spread(table: Array) -> Array:
    return np.asarray(np.nanmax(table, axis=-1) - np.nanmin(table, axis=-1))


def _flat(parts: list[Array]) -> Array:
    return np.concatenate(parts, axis=-1)


def _vertex() -> Evaluation:
    """A fixed point of the isolated 2x2 game that is no equilibrium: row 1, column 2."""
    policy = (np.array([[[1.0, 0.0]]]), np.array([[[0.0, 1.0]]]))
    return Evaluation(catalogue.isolated(), policy)


def _fixed_is_nash() -> Comparison:
    evaluation = _vertex()
    gap = gaps(evaluation, evaluation.game.initial).max(axis=-1)
    return Comparison(gap, np.zeros(1), value_rounding(evaluation.game), "==")


def _zero_everywhere() -> Comparison:
    evaluation = _vertex()
    return Comparison(evaluation.advantages[0], np.zeros(1), value_rounding(evaluation.game), "==")


def _euclidean_fixed() -> Comparison:
    evaluation = _vertex()
    own, q = evaluation.policy[0], evaluation.averaged_q[0]
    return Comparison(Euclidean().update(own, 0.1 * q), own, value_rounding(evaluation.game), "==")


# Isolation


def _small_game(rng: np.random.Generator, *, degenerate: bool) -> TabularGame:
    """A two-agent, one-state game, identical interest or with dummy terms, ties on request."""
    shape = tuple(int(m) for m in rng.integers(2, 3, size=2, endpoint=True))
    payoff = rng.integers(3, size=shape) / 2 if degenerate else rng.random(shape)
    payoff.flat[rng.integers(payoff.size)] = 1.0
    if rng.random() < 0.5:
        return catalogue.one_state(payoff)
    terms = (rng.integers(3, size=(1, shape[1])) / 2, rng.integers(3, size=(shape[0], 1)) / 2)
    rewards = [(payoff + term)[None] for term in terms]
    return TabularGame(rewards, np.eye(1), discount=0.0, potential=payoff[None])


def _classified(rng: np.random.Generator) -> Iterator[Instance]:
    """All fixed points of small games: catalogue, random ones, and ones with many ties."""
    named = ("isolated", "slow-switch", "slow-switch-from-uniform", "three-agents-degenerate")
    for name in named:
        yield _points_of(catalogue.CATALOGUE[name](), f"catalogue:{name}", rng)
    yield _points_of(catalogue.slow_switch(0.0), "catalogue:slow-switch, ε = 0", rng)
    for number in count():
        degenerate = number % 2 == 1
        game = _small_game(rng, degenerate=degenerate)
        kind = "payoffs 0, ½, 1" if degenerate else "random payoffs"
        yield _points_of(game, f"{kind}:{number}", rng)


def _points_of(game: TabularGame, source: str, rng: np.random.Generator) -> Instance:
    points = fixed_points(game)
    policy = tuple(np.stack(parts) for parts in zip(*(p.policy for p in points), strict=True))
    seeds = rng.integers(2**32, size=len(points))
    return Instance(game, policy, source, {"points": points, "seeds": seeds})


def _decided(instance: Instance) -> Array:
    return np.array([point.isolated is not None for point in instance.extra["points"]])


def _isolation_sides(instance: Instance) -> Iterator[Comparison]:
    """Residuals near isolated points against the Jacobian; residuals along the continuum at others.

    Rows of the other kind hold trivially (both sides zero), so that rows stay aligned.
    """
    game, points = instance.game, instance.extra["points"]
    near = [
        _nearby(game, point, np.random.default_rng(seed)) if point.isolated else _NOTHING
        for point, seed in zip(points, instance.extra["seeds"], strict=True)
    ]
    tolerance = value_rounding(game)
    yield Comparison(
        np.stack([n[0] for n in near]),
        np.stack([n[1] for n in near]),
        tolerance,
        ">=",
        "near an isolated point the residual is at least what the Jacobians say",
    )
    along = np.array(
        [[_along_continuum(game, point) if point.isolated is False else 0.0] for point in points]
    )
    yield Comparison(
        along,
        np.zeros(1),
        1e3 * tolerance,
        "==",
        "at every other point a segment of fixed points begins",
    )


SAMPLES = 16
_NOTHING = (np.zeros(SAMPLES), np.zeros(SAMPLES))


def _nearby(game: MarkovGame, point: FixedPoint, rng: np.random.Generator) -> tuple[Array, Array]:
    """Residual at random policies near a point, and the lower bound that isolates it: (SAMPLES,).

    On a face of tied actions the differences move by J z, and the residual is at least half the
    largest of them. An action with advantage m ≠ 0 at the point keeps half of it within distance
    m/(8 max|r|). With three agents J z has a remainder of second order: half is given away.
    """
    advantages = [abs(part[0]) for part in Evaluation(game, point.policy).advantages]
    scale = game.reward_bound
    untied = [float(a[a > 1e-9 * scale].min(initial=np.inf)) for a in advantages]
    radius = 0.5 * min(min(own[own > 0].min() for own in point.policy), min(untied) / (8 * scale))
    if game.num_agents > 2 and np.isfinite(point.conditioning):
        radius = min(radius, point.conditioning / (16 * scale * game.num_agents))
    found, bound = np.empty(SAMPLES), np.empty(SAMPLES)
    for k in range(SAMPLES):
        moved = _perturb(point, radius, rng)
        found[k] = fixed_point_residual(game, moved)
        bound[k] = _isolating_bound(game, point, moved, advantages, scale)
    return found, bound


def _perturb(point: FixedPoint, radius: float, rng: np.random.Generator) -> Policy:
    """Mix with a random distribution on a random face that holds the support."""
    moved = []
    for own in point.policy:
        open_actions = (own[0] > 0) | (rng.random(own.shape[-1]) < 0.5)
        target = open_actions * rng.standard_exponential(own.shape[-1])
        share = radius * rng.uniform(0.1, 1) / len(point.policy) / 2
        moved.append((1 - share) * own + share * target / target.sum())
    return tuple(moved)


def _isolating_bound(
    game: MarkovGame, point: FixedPoint, moved: Policy, advantages: list[Array], scale: float
) -> float:
    faces: list[tuple[int, ...]] = []
    for own, size in zip(moved, advantages, strict=True):
        used = own[0] > 0
        if (size[used] > 1e-9 * scale).any():
            return 0.5 * float(size[used & (size > 1e-9 * scale)].min())
        faces.append(tuple(map(int, np.flatnonzero(used))))
    steps = [
        (new - old)[0, list(face[1:])]
        for old, new, face in zip(point.policy, moved, faces, strict=True)
    ]
    length = float(np.linalg.norm(np.concatenate(steps)))
    dimension = max(1, sum(len(face) - 1 for face in faces))
    remainder = 1.0 if game.num_agents <= 2 else 0.5
    if not np.isfinite(point.conditioning):
        return 0.0
    return remainder * point.conditioning * length / (2 * dimension**0.5)


def _along_continuum(game: MarkovGame, point: FixedPoint) -> float:
    """Residual half-way along a segment of fixed points that starts here, per unit length.

    Infinite if no such segment is found. It starts on the face of the support, or on one with a
    single tied action more.
    """
    tied = [
        np.flatnonzero(abs(part[0]) <= 1e-9 * game.reward_bound)
        for part in Evaluation(game, point.policy).advantages
    ]
    faces: list[Support] = [point.support]
    for agent, actions in enumerate(tied):
        for action in map(int, set(actions) - set(point.support[agent])):
            own = (*point.support[agent], action)  # the new action last: it may only gain mass
            faces.append((*point.support[:agent], own, *point.support[agent + 1 :]))
    for face in faces:
        matrix = jacobian(game, point.policy, face)
        if not matrix.size:
            continue
        direction = np.linalg.svd(matrix)[2][-1]
        if np.linalg.norm(matrix @ direction) > 1e-9 * game.reward_bound:
            continue
        for sign in (1.0, -1.0):
            moved, length = _follow(point, face, sign * direction)
            if length > 1e-6:
                return float(fixed_point_residual(game, moved)) / length
    return np.inf


def _follow(point: FixedPoint, face: Support, direction: Array) -> tuple[Policy, float]:
    """Go half-way to the boundary along a tangent direction: the policy, and how far it is."""
    change, start = [], 0
    for own, actions in zip(point.policy, face, strict=True):
        part = np.zeros(own.shape)
        step = direction[start : start + len(actions) - 1]
        part[0, list(actions[1:])] = step
        part[0, actions[0]] = -step.sum()
        change.append(part)
        start += len(actions) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = [
            np.where(part < -1e-12, own / -part, np.inf).min()
            for own, part in zip(point.policy, change, strict=True)
        ]
    length = 0.5 * float(min(limits))
    if not np.isfinite(length):
        return point.policy, 0.0
    moved = tuple(
        np.maximum(own + length * part, 0) for own, part in zip(point.policy, change, strict=True)
    )
    return moved, length


def _one_sided_tie() -> Comparison:
    """The full-face Jacobian alone: it is [[0, 1], [1, 0]] at (row 1, column 1) of [[0,0],[0,1]]."""
    game = catalogue.one_state([[0.0, 0.0], [0.0, 1.0]])
    corner = np.array([[1.0, 0.0]])
    smallest = np.linalg.svd(jacobian(game, (corner, corner), ((0, 1), (0, 1))), compute_uv=False)[
        -1
    ]
    along = (corner, np.array([[0.9, 0.1]]))
    residual = fixed_point_residual(game, along)
    claimed = smallest * 0.1 / (2 * 2**0.5)
    return Comparison(np.array([residual]), np.array([claimed]), value_rounding(game), ">=")


def _continuum() -> Comparison:
    """slow-switch with ε = 0: all of row 1 is fixed, so residuals near it do not grow."""
    game = catalogue.slow_switch(0.0)
    row, mixed = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    residual = fixed_point_residual(game, (row, mixed))
    return Comparison(np.array([residual]), np.array([0.01]), value_rounding(game), ">=")


def _isolated_is_quasi_strict() -> Comparison:
    """At (0, ½, ½) of the three-agent game the unused action has advantage 0, not below."""
    game = catalogue.three_agents_degenerate()
    half = np.array([[[0.5, 0.5]]])
    evaluation = Evaluation(game, (np.array([[[1.0, 0.0]]]), half, half))
    unused = evaluation.advantages[0][..., 1]
    return Comparison(unused, np.full(1, -0.01), value_rounding(game), "<=")


# The constant c


def _runs_with_step(rng: np.random.Generator) -> Iterator[Instance]:
    """Runs with a step from far below to above what the regret theorems use: any step will do."""
    for instance in runs(rng):
        game = instance.game
        step = 10 ** rng.uniform(-1, 0.5) * (1 - game.discount) / max(game.reward_bound, 1e-9)
        yield Instance(game, instance.policy, instance.source, instance.extra | {"step": step})


def _c_sides(instance: Instance) -> Iterator[Comparison]:
    game, step = instance.game, instance.extra["step"]
    trace = run_pmd(
        game, "kl", step, instance.extra["iterations"], instance.policy, record_policies=True
    )
    evaluation = Evaluation(game, tuple(own[:-1] for own in trace.policies))
    rises, expected, logs_size = [], [], 1.0
    for own, q, advantage in zip(
        trace.policies, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        best = q.argmax(axis=-1)[..., None]
        logs = np.log(own)
        logs_size = max(logs_size, float(abs(logs).max()))
        rises.append(np.take_along_axis(np.diff(logs, axis=0), best, axis=-1)[..., 0])
        gain = np.take_along_axis(advantage, best, axis=-1)[..., 0]
        expected.append(step * gain - KL().divergence(own[:-1], own[1:]))
    rise = np.moveaxis(np.concatenate(rises, axis=-1), 0, 1)
    predicted = np.moveaxis(np.concatenate(expected, axis=-1), 0, 1)
    q_scale = game.reward_bound / (1 - game.discount)
    tolerance = 64 * UNIT_ROUNDOFF * (logs_size + step * q_scale) + step * value_rounding(game)
    yield Comparison(rise, predicted, tolerance, "==", "rise of the best action's log-probability")
    yield Comparison(rise, np.zeros(1), tolerance, ">=", "it never falls")
    if trace.iterations > 1:
        falls = np.where(_argmax_changes(evaluation), 0.0, np.diff(trace.c, axis=0))
        yield Comparison(
            falls.T,
            np.zeros(1),
            tolerance,
            ">=",
            "c falls only where a set of best actions changes",
        )


def _argmax_changes(evaluation: Evaluation) -> Array:
    """Whether any agent's set of best actions differs from one iterate to the next, (T - 1, B)."""
    tie = tie_tolerance(evaluation.game)
    changes = []
    for q in evaluation.averaged_q:
        best = q >= q.max(axis=-1, keepdims=True) - tie
        changes.append((best[1:] != best[:-1]).any(axis=(-1, -2)))
    return np.any(changes, axis=0)


@lru_cache
def slow_switch_run(epsilon: float) -> Trace:
    """Natural policy gradient with step 1 on slow-switch, long enough to converge."""
    start = catalogue.slow_switch_start()
    return run_pmd(catalogue.slow_switch(epsilon), "kl", 1.0, 5000, start, progress=False)


def slow_switch_exponent(*, base: float = 0.5, extra: float = 0.25, odds: float = 4.0) -> float:
    """K of c ≈ e^{-K/ε}: K = ΔL + S log(1 + e^-L) - S log 2 - S·H(δ/S), S = Δ + δ."""
    total, share = base + extra, extra / (base + extra)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return float(base * odds + total * (np.log1p(np.exp(-odds)) - np.log(2)) - total * entropy)


def slow_switch_flow(epsilon: float, *, base: float = 0.5, extra: float = 0.25) -> float:
    """Log c of the continuous-time flow: the root X of εX + S log(1 + e^X) = -K, then log σ(X)."""
    exponent, total = slow_switch_exponent(base=base, extra=extra), base + extra
    root = brentq(
        lambda x: epsilon * x + total * np.logaddexp(0, x) + exponent, -2 * exponent / epsilon, 0
    )
    return float(-np.logaddexp(0, -root))


def _never_falls() -> Comparison:
    """C along slow-switch with ε = 0.1 never falls, switches of the argmax included."""
    c = slow_switch_run(0.1).c
    return Comparison(np.diff(c)[None], np.zeros(1), 1e-12, ">=")


def _limit_bounds_c() -> Comparison:
    """The smallest c of the limit game ε = 0 as a lower bound for ε = 0.1."""
    smallest, limit = (slow_switch_run(epsilon).c.min() for epsilon in (0.1, 0.0))
    return Comparison(np.array([smallest]), np.array([limit]), 1e-12, ">=")


def _uniform_bound() -> Comparison:
    """C >= 1e-10 in every game whose fixed points are isolated: slow-switch with ε = 0.0125."""
    smallest = slow_switch_run(0.0125).c.min()
    return Comparison(np.array([smallest]), np.array([1e-10]), 1e-14, ">=")


def _uniform_start() -> Comparison:
    """C >= 1/|A|² from the uniform start, in a game whose fixed points are isolated."""
    trace = run_pmd(catalogue.slow_switch_from_uniform(), "kl", 1.0, 4000, progress=False)
    return Comparison(np.array([trace.c.min()]), np.array([1 / 16]), 1e-12, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="fixed-points-kl",
        tag="derived",
        label="fixed points of update rule (3)",
        statement=(
            r"\pi \text{ is fixed by the KL step} \iff \bar A_i^{\pi}(s,a) = 0"
            r" \ \text{ for all } i, s \text{ and } a \in \operatorname{supp} \pi_i(\cdot|s)"
        ),
        notebook=NOTEBOOK,
        hypotheses=(),
        instances=_fixed_and_moving,
        compare=_fixed_sides,
        controls=(
            Control(
                "fixed-is-nash",
                "every fixed point is an equilibrium: Nash gap at (row 1, column 2), isolated 2x2",
                _fixed_is_nash,
            ),
            Control(
                "zero-everywhere",
                "advantages vanish on all actions, used or not, at (row 1, column 2)",
                _zero_everywhere,
            ),
            Control(
                "euclidean-fixed",
                "the Euclidean step has the same fixed points, at (row 1, column 2)",
                _euclidean_fixed,
            ),
        ),
        sizes={"quick": 300, "full": 6000},
    ),
    Claim(
        name="isolated-fixed-points",
        tag="derived",
        label="Assumption V.4",
        statement=(
            r"\text{non-singular Jacobians on all faces } \operatorname{supp}\pi \subseteq B'"
            r" \subseteq \{a : \bar A_i(a) = 0\} \implies \pi \text{ isolated; and conversely for"
            r" } N = 2 \text{ with one state}"
        ),
        notebook=NOTEBOOK,
        hypotheses=(Hypothesis("the Jacobians decide", _decided),),
        instances=_classified,
        compare=_isolation_sides,
        controls=(
            Control(
                "full-face-only",
                "the Jacobian of the largest face alone, at (row 1, column 1) of [[0,0],[0,1]]",
                _one_sided_tie,
            ),
            Control(
                "continuum", "isolated although ε = 0, on row 1 of the slow-switch game", _continuum
            ),
            Control(
                "quasi-strict",
                "isolated implies quasi-strict, at (0, ½, ½) of the three-agent game",
                _isolated_is_quasi_strict,
            ),
        ),
        sizes={"quick": 300, "full": 4000},
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
        hypotheses=(FULL_SUPPORT, IS_POTENTIAL, NOT_CONSTANT),
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
    ),
)
