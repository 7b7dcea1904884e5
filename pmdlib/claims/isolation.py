"""Assumption V.4: which fixed points are isolated, by Jacobians and by looking around them."""

from collections.abc import Iterator
from itertools import count
from math import sqrt

import numpy as np

from pmdlib.analysis.fixed_points import (
    ZERO_TOLERANCE,
    FixedPoint,
    Support,
    fixed_point_residual,
    fixed_points,
    jacobian,
)
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Sizes,
    value_rounding,
)
from pmdlib.claims.instances import small_game
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame


def _classified(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """All fixed points of small games: catalogue, random ones, and ones with many ties."""
    named = ("isolated", "slow-switch", "slow-switch-from-uniform", "three-agents-degenerate")
    for name in named:
        yield _points_of(catalogue.CATALOGUE[name](), f"catalogue:{name}", rng)
    yield _points_of(catalogue.slow_switch(0.0), "catalogue:slow-switch, ε = 0", rng)
    for number in count():
        degenerate = number % 2 == 1
        game = small_game(rng, degenerate=degenerate)
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

    Each part speaks of its own kind of point only.
    """
    game, points = instance.game, instance.extra["points"]
    alone = np.array([bool(point.isolated) for point in points])
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
        alone,
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
        ~alone,
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
    untied = [float(a[a > ZERO_TOLERANCE * scale].min(initial=np.inf)) for a in advantages]
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
        if (size[used] > ZERO_TOLERANCE * scale).any():
            return 0.5 * float(size[used & (size > ZERO_TOLERANCE * scale)].min())
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
    return remainder * point.conditioning * length / (2 * sqrt(dimension))


def _along_continuum(game: MarkovGame, point: FixedPoint) -> float:
    """Residual half-way along a segment of fixed points that starts here, per unit length.

    Infinite if no such segment is found. It starts on the face of the support, or on one with a
    single tied action more.
    """
    tied = [
        np.flatnonzero(abs(part[0]) <= ZERO_TOLERANCE * game.reward_bound)
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
        if np.linalg.norm(matrix @ direction) > ZERO_TOLERANCE * game.reward_bound:
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
    """Trust the full-face Jacobian alone: [[0,1],[1,0]] at (row 1, column 1) of [[0,0],[0,1]]."""
    game = catalogue.one_state([[0.0, 0.0], [0.0, 1.0]])
    corner = np.array([[1.0, 0.0]])
    smallest = np.linalg.svd(jacobian(game, (corner, corner), ((0, 1), (0, 1))), compute_uv=False)[
        -1
    ]
    along = (corner, np.array([[0.9, 0.1]]))
    residual = fixed_point_residual(game, along)
    claimed = smallest * 0.1 / (2 * sqrt(2))
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


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="isolated-fixed-points",
        tag="derived",
        label="Assumption V.4",
        statement=(
            r"\text{non-singular Jacobians on all faces } \operatorname{supp}\pi \subseteq B'"
            r" \subseteq \{a : \bar A_i(a) = 0\} \implies \pi \text{ isolated; and conversely for"
            r" } N = 2 \text{ with one state}"
        ),
        notebook="06-isolated-fixed-points",
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
)
