"""Closed forms of the mirror steps, checked against solvers that know none of them."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.optimize import minimize

from pmdlib.analysis.policies import replace
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Relation,
    value_rounding,
)
from pmdlib.claims.instances import (
    FULL_SUPPORT,
    games,
)
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap

#: A generic convex solver is slow: fewer instances, and it visits one state of each, all agents.
WITH_SOLVER = {"quick": 200, "full": 2000}

#: Displacement of the solver's difference quotients: the square root of machine precision.
SLOPE_DISPLACEMENT = 1.5e-8


# Mirror steps


def objective(mirror_map: MirrorMap, new: Array, old: Array, gradient: Array) -> Array:
    """<η Q, p> - D_ψ(p, π), the function that a PMD step maximises over p: (...)."""
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


def _step_instances(rng: np.random.Generator) -> Iterator[Instance]:
    """Policies of potential games with a step that moves them: ηQ of order 0.01 to 10."""
    for source, game in games(rng):
        policy = tuple(
            np.stack([own, 0.9 * own + 0.1 / own.shape[-1]])
            for own in (rng.dirichlet(np.ones(m), size=game.num_states) for m in game.num_actions)
        )
        scale = (game.reward_bound or 1.0) / (1 - game.discount)
        step = 10 ** rng.uniform(-2, 1) / scale
        extra = {"step": step, "state": int(rng.integers(game.num_states))}
        yield Instance(game, policy, source, extra)


def _step_sides(mirror_map: MirrorMap, instance: Instance) -> Iterator[Comparison]:
    step, state = instance.extra["step"], instance.extra["state"]
    scale = 1 + step * instance.game.reward_bound / (1 - instance.game.discount)
    for own, q in zip(instance.policy, instance.evaluation.averaged_q, strict=True):
        gradient = step * q
        new = mirror_map.update(own, gradient)
        closed = objective(mirror_map, new, own, gradient)[:, state]
        generic = np.array(
            [
                _generic_maximum(mirror_map, p, g)
                for p, g in zip(own[:, state], gradient[:, state], strict=True)
            ]
        )
        # The solver stops within its own tolerance, so it can lose to the closed form but not win.
        rounding = 1e3 * UNIT_ROUNDOFF * scale * own.shape[-1]
        yield Comparison(closed, generic, rounding, ">=", "no feasible policy does better")
        yield Comparison(closed, generic, 1e-6 * scale, "==", "a generic solver agrees to 1e-6")
        moved = expectation(new - own, gradient)
        if isinstance(mirror_map, KL):
            log_ratio = mirror_map.step(np.log(own), gradient) - np.log(own)
            symmetric = mirror_map.divergence(new, own) + mirror_map.divergence(own, new)
            logs = 1 + float(abs(np.log(own)).max())
            tolerance = 1e2 * UNIT_ROUNDOFF * scale * logs
            yield Comparison(moved, symmetric, tolerance, "==", "three-point identity")
            yield Comparison(
                new, own * np.exp(log_ratio), tolerance, "==", "probabilities and logs agree"
            )
        else:
            distance = ((new - own) ** 2).sum(axis=-1)
            yield Comparison(moved, distance, rounding, ">=", "three-point inequality")


def _not_legendre() -> Comparison:
    """Take ψ = ||p||_1, constant on the simplex: no divergence, and a vertex beats softmax."""
    old, gradient = np.array([0.6, 0.4]), np.array([0.3, 0.1])
    softmax = KL().update(old, gradient)
    vertex = np.array([1.0, 0.0])
    return Comparison(
        expectation(softmax, gradient)[None],
        expectation(vertex, gradient)[None],
        UNIT_ROUNDOFF,
        ">=",
    )


def _ascent_without_projection() -> Comparison:
    """π + ηQ - mean, clipped and rescaled, in place of the projection."""
    old, gradient = np.array([0.7, 0.2, 0.1]), np.array([0.5, -0.3, 0.1])
    raised = np.maximum(old + gradient - gradient.mean(), 0)
    rescaled = raised / raised.sum()
    euclidean = Euclidean()
    return Comparison(
        objective(euclidean, rescaled, old, gradient)[None],
        objective(euclidean, euclidean.update(old, gradient), old, gradient)[None],
        UNIT_ROUNDOFF,
        ">=",
    )


def _zero_probability(mirror_map: MirrorMap, relation: Relation) -> Comparison:
    """Mass that one step gives the best action when it starts at zero; claimed: none, or some."""
    new = mirror_map.update(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    claimed = 0.5 if relation == ">=" else 0.0
    return Comparison(new[:1], np.array([claimed]), UNIT_ROUNDOFF, relation)


# Natural gradient


def _gradient_of_value(instance: Instance, agent: int) -> Array:
    """∇_θ V_i(ρ) for the softmax parameters of one agent, by complex steps: (S, A).

    The derivative is the imaginary part at a displacement of 1e-30 i: no difference is taken, so
    no digit is lost, and no policy-gradient formula is used.
    """
    game, policy = instance.game, tuple(own[0] for own in instance.policy)
    logits = np.log(policy[agent])
    size = logits.size
    shifted = logits + 1e-30j * np.eye(size).reshape(size, *logits.shape)
    weights = np.exp(shifted)
    own = weights / weights.sum(axis=-1, keepdims=True)
    batch = tuple(np.broadcast_to(part, (size, *part.shape)) for part in policy)
    values = Evaluation(game, replace(batch, agent, own)).values[:, agent]
    return np.asarray((values @ game.initial).imag.reshape(logits.shape) / 1e-30)


def _natural_gradient_sides(instance: Instance) -> Iterator[Comparison]:
    game, agent, step = instance.game, instance.extra["agent"], instance.extra["step"]
    own = instance.policy[agent][0]
    gradient = _gradient_of_value(instance, agent)
    visits = instance.evaluation.occupancy(game.initial)[0]
    fisher = visits[:, None, None] * (
        own[..., :, None] * np.eye(own.shape[-1]) - own[..., :, None] * own[..., None, :]
    )
    natural = (np.linalg.pinv(fisher, rcond=1e-14) @ gradient[..., None])[..., 0]
    logits = np.log(own) + step * (1 - game.discount) * natural
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softmax = weights / weights.sum(axis=-1, keepdims=True)
    new = KL().update(own, step * instance.evaluation.averaged_q[agent][0])
    condition = float(1 / (visits[:, None] * own).min())
    moved = 1 + step * game.reward_bound / (1 - game.discount) ** 2
    tolerance = 64 * UNIT_ROUNDOFF * condition * moved
    yield Comparison(new[None], softmax[None], tolerance, "==")


def _natural_gradient_instances(rng: np.random.Generator) -> Iterator[Instance]:
    for source, game in games(rng):
        policy = tuple(
            rng.dirichlet(np.full(m, 2.0), size=(1, game.num_states)) for m in game.num_actions
        )
        agent = int(rng.integers(game.num_agents))
        step = rng.uniform(0.1, 5) * (1 - game.discount) / (game.reward_bound or 1.0)
        yield Instance(game, policy, source, {"agent": agent, "step": step})


def _well_conditioned(instance: Instance) -> Array:
    visits = instance.evaluation.occupancy(instance.game.initial)
    own = instance.policy[instance.extra["agent"]]
    return np.asarray((visits[..., None] * own).min(axis=(-1, -2)) > 1e-6)


def _plain_gradient(mutation: str) -> Comparison:
    """One ingredient of the natural gradient exchanged, on the isolated 2x2 game."""
    game = catalogue.isolated()
    own = np.array([[[0.7, 0.3]]])
    instance = Instance(game, (own, np.array([[[0.2, 0.8]]])), "isolated")
    gradient = _gradient_of_value(instance, 0)
    if mutation == "plain":
        logits = np.log(own[0]) + gradient
    else:  # one state: the natural gradient is ∇V / π up to a constant, which softmax ignores
        logits = np.log(own[0]) - gradient / own[0]
    softmax = np.exp(logits) / np.exp(logits).sum()
    new = KL().update(own[0], instance.evaluation.averaged_q[0][0])
    return Comparison(new, softmax, value_rounding(game), "==")


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
    ),
)
