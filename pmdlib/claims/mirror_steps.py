"""Closed forms of the mirror steps: optimal by the first-order condition, and to a generic solver.

The objective of a step is concave, so p is its maximiser over the simplex exactly if no vertex lies
uphill: <ηQ - ∇ψ(p) + ∇ψ(π), e_a - p> <= 0 for every action a. That is checked in every arithmetic;
in floats a solver that knows no closed form is asked as well.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize

from pmdlib.analysis.policies import replace
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import (
    Array,
    derivative,
    exp,
    eye,
    infinitesimal,
    is_exact,
    largest,
    log,
    maximum,
    rationals,
    smallest,
    solve,
    tilt,
    unit_roundoff,
)
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Relation,
    Sizes,
)
from pmdlib.claims.instances import FULL_SUPPORT, games
from pmdlib.claims.ways.symbolic import distributions, generic_step
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap

#: A generic convex solver is slow: fewer instances, and it visits one state of each, all agents.
WITH_SOLVER = {"quick": 200, "full": 2000}

#: Displacement of the solver's difference quotients: the square root of machine precision.
SLOPE_DISPLACEMENT = 1.5e-8


# Mirror steps


def objective(mirror_map: MirrorMap, new: Array, old: Array, gradient: Array) -> Array:
    """<η Q, p> - D_ψ(p, π), the function that a PMD step maximises over p: (...).

    ``new`` is p, ``old`` is π and ``gradient`` is η Q, each (..., A).
    """
    return expectation(new, gradient) - mirror_map.divergence(new, old)


def _generic_maximum(mirror_map: MirrorMap, old: Array, gradient: Array) -> float:
    """Maximise the step's objective by sequential quadratic programming, knowing no closed form.

    Slopes are differences of the objective, all coordinates in one call.
    """
    count = len(old)
    floor = 1e-12 if mirror_map.keeps_zeros else 0.0
    displacements = SLOPE_DISPLACEMENT * np.eye(count + 1, count, k=-1)

    def loss(new: Array) -> Array:
        return -objective(mirror_map, np.maximum(new, floor), old, gradient)

    def slope(new: Array) -> Array:
        here, *displaced = loss(new + displacements)
        return np.asarray((np.array(displaced) - here) / SLOPE_DISPLACEMENT)

    result = minimize(  # type: ignore[call-overload]  # the stubs type constraints too narrowly
        lambda p: float(loss(p)),
        np.full(count, 1 / count),
        jac=slope,
        bounds=[(floor, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda _: np.ones(count)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 200},
    )
    feasible = np.maximum(result.x, floor)
    feasible = feasible / feasible.sum()
    return float(-loss(feasible))


def _step_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Policies of potential games with a step that moves them: ηQ of order 0.01 to 10."""
    for source, game in games(rng, sizes):
        policy = tuple(
            np.stack([own, 0.9 * own + 0.1 / own.shape[-1]])
            for own in (rng.dirichlet(np.ones(m), size=game.num_states) for m in game.num_actions)
        )
        scale = (game.reward_bound or 1.0) / (1 - game.discount)
        step = 10 ** rng.uniform(-2, 1) / scale
        target = tuple(
            rng.dirichlet(np.ones(m), size=(2, game.num_states)) for m in game.num_actions
        )
        extra = {"step": step, "state": int(rng.integers(game.num_states)), "target": target}
        yield Instance(game, policy, source, extra)


def _step_sides(mirror_map: MirrorMap, instance: Instance) -> Iterator[Comparison]:
    step, state = instance.extra["step"], instance.extra["state"]
    scale = 1 + step * instance.game.reward_bound / (1 - instance.game.discount)
    for own, q, target in zip(
        instance.policy, instance.evaluation.averaged_q, instance.extra["target"], strict=True
    ):
        gradient = step * (q - q[..., :1])
        new = mirror_map.update(own, gradient)
        slopes = [mirror_map.coordinates(policy) for policy in (own, new)]
        logs = 1 + largest(abs(slopes[0]).reshape(-1)) if mirror_map.keeps_zeros else 1
        rounding = 1000 * unit_roundoff(own) * scale * logs * own.shape[-1]
        uphill = gradient - slopes[1] + slopes[0]
        yield _optimality(mirror_map, uphill, new, rounding)
        moved = expectation(new - own, gradient)
        if isinstance(mirror_map, KL):
            symmetric = mirror_map.divergence(new, own) + mirror_map.divergence(own, new)
            yield Comparison(moved, symmetric, rounding, "==", "three-point identity")
            logs_moved = mirror_map.step(slopes[0], gradient)
            yield Comparison(new, exp(logs_moved), rounding, "==", "probabilities and logs agree")
        else:
            distance = ((new - own) ** 2).sum(axis=-1)
            yield Comparison(moved, distance, rounding, ">=", "three-point inequality")
        yield _three_points(mirror_map, (target, new, own), slopes, rounding)
        if not is_exact(own):
            yield from _against_solver(mirror_map, (new, own, gradient), state, rounding, scale)


def _optimality(mirror_map: MirrorMap, uphill: Array, new: Array, rounding: Any) -> Comparison:
    """No vertex lies uphill of the new policy; with ψ steep at the boundary none lies downhill."""
    level = expectation(new, uphill)[..., None]
    relation: Relation = "==" if mirror_map.keeps_zeros else "<="
    part = "first-order condition: no direction from the new policy leads uphill"
    return Comparison(uphill, level, rounding, relation, part)


def _three_points(
    mirror_map: MirrorMap, points: tuple[Array, Array, Array], slopes: list[Array], rounding: Any
) -> Comparison:
    """D(p, π) - D(p, π') - D(π', π) = <∇ψ(π') - ∇ψ(π), p - π'> for any target p."""
    target, new, old = points
    distances = (
        mirror_map.divergence(target, old)
        - mirror_map.divergence(target, new)
        - mirror_map.divergence(new, old)
    )
    part = "three points: divergences from any target differ by a product of slopes"
    slope = slopes[1] - slopes[0]
    return Comparison(distances, expectation(target - new, slope), rounding, "==", part)


def _against_solver(
    mirror_map: MirrorMap,
    step: tuple[Array, Array, Array],
    state: int,
    rounding: float,
    scale: float,
) -> Iterator[Comparison]:
    """Compare the objective at the new policy with what a generic solver reaches, in one state."""
    new, own, gradient = step
    closed = objective(mirror_map, new, own, gradient)[:, state]
    generic = np.array(
        [
            _generic_maximum(mirror_map, p, g)
            for p, g in zip(own[:, state], gradient[:, state], strict=True)
        ]
    )
    # The solver stops within its own tolerance, so it can lose to the closed form but not win.
    yield Comparison(closed, generic, rounding, ">=", "no feasible policy does better")
    yield Comparison(closed, generic, 1e-6 * scale, "==", "a generic solver agrees to 1e-6")


def _not_legendre() -> Comparison:
    """Take ψ = ||p||_1, constant on the simplex: no divergence, and a vertex beats softmax."""
    old, gradient = _tenths(6, 4), _tenths(3, 1)
    softmax = KL().update(old, gradient)
    claimed = expectation(_tenths(10, 0), gradient)
    return Comparison(expectation(softmax, gradient), claimed, 0, ">=")


def _tenths(*numerators: int) -> Array:
    return rationals(np.array(numerators), np.full(len(numerators), 10))


def _ascent_without_projection() -> Comparison:
    """π + ηQ - mean, clipped and rescaled, in place of the projection."""
    old, gradient = _tenths(7, 2, 1), _tenths(5, -3, 1)
    raised = maximum(old + gradient - gradient.sum() / 3, 0)
    rescaled = raised / raised.sum()
    euclidean = Euclidean()
    projected = euclidean.update(old, gradient)
    claimed = objective(euclidean, projected, old, gradient)
    return Comparison(objective(euclidean, rescaled, old, gradient), claimed, 0, ">=")


def _zero_probability(mirror_map: MirrorMap, relation: Relation) -> Comparison:
    """Mass that one step gives the best action when it starts at zero; claimed: none, or some."""
    new = mirror_map.update(_tenths(0, 10), _tenths(10, 0))
    claimed = _tenths(5 if relation == ">=" else 0)
    return Comparison(new[:1], claimed, 0, relation)


# Natural gradient


def _gradient_of_value(instance: Instance, agent: int) -> Array:
    """∇_θ V_i(ρ) for the softmax parameters of one agent: (S, A).

    Every parameter is displaced by an infinitesimal h, which scales its weight by e^h = 1 + h, and
    the value is evaluated there: no difference is taken and no policy-gradient formula is used.
    """
    game, policy = instance.game, tuple(own[0] for own in instance.policy)
    own = policy[agent]
    displaced = infinitesimal(own) * eye(own.size, own).reshape(own.size, *own.shape)
    weights = own * (1 + displaced)
    moved = weights / weights.sum(axis=-1, keepdims=True)
    batch = tuple(np.broadcast_to(part, (own.size, *part.shape)) for part in policy)
    values = Evaluation(game, replace(batch, agent, moved)).values[:, agent]
    return derivative(values @ game.initial).reshape(own.shape)


def _natural_gradient_sides(instance: Instance) -> Iterator[Comparison]:
    game, agent, step = instance.game, instance.extra["agent"], instance.extra["step"]
    own = instance.policy[agent][0]
    gradient = _gradient_of_value(instance, agent)
    visits = instance.evaluation.occupancy(game.initial)[0]
    fisher = visits[:, None, None] * (
        own[..., :, None] * eye(own.shape[-1], own) - own[..., :, None] * own[..., None, :]
    )
    # F and ∇V vanish along constants, so F + 1·1ᵀ is regular and gives F†∇V, which sums to zero.
    natural = solve(fisher + 1, gradient[..., None])[..., 0]
    q = instance.evaluation.averaged_q[agent][0]
    new = KL().update(own, step * q)
    # log π + shift, through the exponential and normalised: the softmax of the new parameters
    softmax = tilt(own, step * (1 - game.discount) * natural)
    condition = 1 / smallest((visits[:, None] * own).reshape(-1))
    moved = 1 + step * game.reward_bound / (1 - game.discount) ** 2
    tolerance = 64 * unit_roundoff(own) * condition * moved
    yield Comparison(
        ((1 - game.discount) * natural)[None],
        (q - q.sum(axis=-1, keepdims=True) / q.shape[-1])[None],
        tolerance / step,
        "==",
        "the natural gradient is the averaged Q, less its mean over actions",
    )
    yield Comparison(new[None], softmax[None], tolerance, "==", "the new policies are equal")


def _natural_gradient_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    for source, game in games(rng, sizes):
        policy = tuple(
            rng.dirichlet(np.full(m, 2.0), size=(1, game.num_states)) for m in game.num_actions
        )
        agent = int(rng.integers(game.num_agents))
        step = rng.uniform(0.1, 5) * (1 - game.discount) / (game.reward_bound or 1.0)
        yield Instance(game, policy, source, {"agent": agent, "step": step})


def _well_conditioned(instance: Instance) -> Array:
    visits = instance.evaluation.occupancy(instance.game.initial)
    own = instance.policy[instance.extra["agent"]]
    return np.asarray(smallest(visits[..., None] * own, (-1, -2)) * 10**6 > 1)


def _plain_gradient(mutation: str) -> Comparison:
    """One ingredient of the natural gradient exchanged, on the isolated 2x2 game."""
    game = catalogue.isolated().exact()
    own = _tenths(7, 3)[None, None]
    instance = Instance(game, (own, _tenths(2, 8)[None, None]), "isolated")
    gradient = _gradient_of_value(instance, 0)
    # With one state the natural gradient is ∇V / π up to a constant, which softmax ignores.
    direction = gradient if mutation == "plain" else -gradient / own[0]
    new = KL().update(own[0], instance.evaluation.averaged_q[0][0])
    return Comparison(new, tilt(own[0], direction), 0, "==")


# Generic policies


def _generic_points(mirror_map: MirrorMap) -> Iterator[Comparison]:
    """Three points for any policies of three actions."""
    target, new, old = (distributions(name, (1,), 3) for name in "xyz")
    slopes = [mirror_map.coordinates(policy) for policy in (old, new)]
    yield _three_points(mirror_map, (target, new, old), slopes, 0)


def _generic_kl() -> Iterator[Comparison]:
    """Yield the three-point identity of the closed form, and the first-order condition."""
    own, gradient = generic_step()
    kl, new = KL(), KL().update(own, gradient)
    moved = expectation(new - own, gradient)
    symmetric = kl.divergence(new, own) + kl.divergence(own, new)
    yield Comparison(moved, symmetric, 0, "==", "three-point identity")
    uphill = gradient - log(new) + log(own)
    yield Comparison(uphill[..., 1:], uphill[..., :1], 0, "==", "first-order condition")
    yield from _generic_points(kl)


def _generic_natural_gradient() -> Iterator[Comparison]:
    """(F + 1 1ᵀ) x = ∇V for x the averaged Q less its mean, in a single state visited always."""
    own, q = generic_step()
    fisher = own[..., :, None] * eye(3, own) - own[..., :, None] * own[..., None, :]
    centred = q - q.sum(axis=-1, keepdims=True) / 3
    gradient = own * (q - expectation(own, q)[..., None])
    yield Comparison(((fisher + 1) @ centred[..., None])[..., 0], gradient, 0, "==")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="mirror-step-euclidean",
        tag="paper",
        label="update rule (2), Section IV",
        statement=(
            r"\mathrm{Proj}_\Delta(\pi + \eta \bar Q) = \arg\max_{p \in \Delta}"
            r" \eta\langle \bar Q, p\rangle - \tfrac12\|p-\pi\|_2^2, \qquad"
            r" \langle \bar Q, D\rangle \ge \|D\|_2^2/\eta"
        ),
        notebook="02-mirror-maps",
        hypotheses=(),
        instances=_step_instances,
        compare=partial(_step_sides, Euclidean()),
        controls=(
            Control(
                "rescaled",
                "clipping and rescaling in place of the projection",
                _ascent_without_projection,
            ),
            Control(
                "zeros-stay-zero",
                "an action of probability zero keeps it under the Euclidean step",
                partial(_zero_probability, Euclidean(), "=="),
            ),
        ),
        sizes=WITH_SOLVER,
        symbolic=partial(_generic_points, Euclidean()),
    ),
    Claim(
        name="mirror-step-kl",
        tag="paper",
        label="update rule (3), Section IV",
        statement=(
            r"\frac{\pi\, e^{\eta \bar Q}}{\sum_b \pi(b)\, e^{\eta \bar Q(b)}} ="
            r" \arg\max_{p \in \Delta} \eta\langle \bar Q, p\rangle - \mathrm{KL}(p\|\pi), \qquad"
            r" \langle \bar Q, D\rangle = J/\eta"
        ),
        notebook="02-mirror-maps",
        hypotheses=(FULL_SUPPORT,),
        instances=_step_instances,
        compare=partial(_step_sides, KL()),
        controls=(
            Control(
                "not-legendre",
                "ψ = ||p||_1 in place of the entropy: softmax is beaten by a vertex",
                _not_legendre,
            ),
            Control(
                "zeros-revive",
                "the KL step gives mass to an action of probability zero",
                partial(_zero_probability, KL(), ">="),
            ),
        ),
        sizes=WITH_SOLVER,
        symbolic=_generic_kl,
    ),
    Claim(
        name="natural-gradient",
        tag="paper",
        label="update rule (3) as natural policy gradient",
        statement=(
            r"\mathrm{softmax}\big(\theta_i + \eta(1-\gamma)\, F_i^{\dagger}\nabla_{\theta_i}"
            r" V_i(\rho)\big) \;\propto\; \pi_i\, e^{\eta \bar Q_i}"
        ),
        notebook="02-mirror-maps",
        hypotheses=(
            FULL_SUPPORT,
            Hypothesis("every state is visited and every action played", _well_conditioned),
        ),
        instances=_natural_gradient_instances,
        compare=_natural_gradient_sides,
        controls=(
            Control(
                "plain-gradient",
                "∇V without the Fisher pseudo-inverse, isolated 2x2 game",
                partial(_plain_gradient, "plain"),
            ),
            Control(
                "descent",
                "the sign of the natural gradient flipped, isolated 2x2 game",
                partial(_plain_gradient, "descent"),
            ),
        ),
        sizes={"quick": 150, "full": 3000},
        symbolic=_generic_natural_gradient,
    ),
)
