"""Policy improvement: what one simultaneous step gains, for each mirror map and step size."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from pmdlib.analysis import bounds
from pmdlib.analysis.equilibrium import argmax_mass, tie_tolerance
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array
from pmdlib.claims.claim import Claim, Comparison, Control, Hypothesis, Instance, value_rounding
from pmdlib.claims.identities import all_starts, from_all_starts
from pmdlib.claims.instances import (
    FULL_SUPPORT,
    IS_POTENTIAL,
    NOT_CONSTANT,
    potential_instances,
)
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap

MANY = {"quick": 300, "full": 6000}


@dataclass(frozen=True)
class Step:
    """One simultaneous PMD step of all agents from a batch of policies."""

    before: Evaluation
    mirror_map: MirrorMap
    size: float

    @cached_property
    def after(self) -> Evaluation:
        """Evaluation of the policies after the step."""
        moved = tuple(
            self.mirror_map.update(own, self.size * q)
            for own, q in zip(self.before.policy, self.before.averaged_q, strict=True)
        )
        return Evaluation(self.before.game, moved)

    @cached_property
    def change(self) -> Array:
        """Φ^{t+1} - Φ^t from every start state and from ρ, (B, S + 1)."""
        change = self.after.potential_values - self.before.potential_values
        return from_all_starts(self.after, change)

    def visited(self, per_state: Array) -> Array:
        """Σ_s d^{t+1}(s) x(s) for x of shape (B, S), from every start: (B, S + 1)."""
        return np.asarray((all_starts(self.after) @ per_state[..., None])[..., 0])

    @cached_property
    def squares(self) -> Array:
        """Σ_i ||D_i(s)||², (B, S)."""
        pairs = zip(self.before.policy, self.after.policy, strict=True)
        return np.sum([((new - old) ** 2).sum(axis=-1) for old, new in pairs], axis=0)

    @cached_property
    def divergences(self) -> Array:
        """Σ_i J_i(s), (B, S): symmetric KL divergence of the step, both directions added."""
        kl, pairs = KL(), zip(self.before.policy, self.after.policy, strict=True)
        return np.sum(
            [kl.divergence(new, old) + kl.divergence(old, new) for old, new in pairs], axis=0
        )

    @cached_property
    def variances(self) -> Array:
        """Σ_i Var_{π_i}(Q_i(s, .)), (B, S)."""
        pairs = zip(self.before.policy, self.before.advantages, strict=True)
        return np.sum([expectation(own, advantage**2) for own, advantage in pairs], axis=0)

    @cached_property
    def one_state_gain(self) -> Array:
        """Σ_a (π^{t+1}(a|s) - π^t(a|s)) Q_φ^t(s, a), (B, S): one stage of the new policy, then Φ^t."""
        values = self.before.potential_values
        following = (self.after.kernel @ values[..., None])[..., 0]
        return np.asarray(
            self.after.stage_potential + self.before.game.discount * following - values
        )


def _phi(game: MarkovGame) -> dict[str, float]:
    return {"phi_max": game.phi_max, "discount": game.discount}


# Euclidean


def _euclidean_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    step = bounds.step_euclidean(**_phi(game), num_actions=game.num_actions)
    taken = Step(instance.evaluation, Euclidean(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    yield Comparison(
        taken.change, coefficient * taken.visited(taken.squares), value_rounding(game), ">="
    )


def _with_step(low: float, high: float, rng: np.random.Generator) -> Iterator[Instance]:
    """Potential instances with a step in units that the claim chooses, often at the upper end."""
    for instance in potential_instances(rng):
        size = high if rng.random() < 1 / 3 else rng.uniform(low, high)
        yield Instance(
            instance.game, instance.policy, instance.source, instance.extra | {"units": size}
        )


def _euclidean_sharp_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    norm = bounds.interaction_norm(game.num_actions)
    q_max = bounds.largest_q(**_phi(game))
    tolerance = value_rounding(game)
    # A single agent has Λ = 0 and no largest step: measure its steps in 1/Qmax instead.
    step = instance.extra["units"] / (q_max * (norm if norm > 1e-9 else 1.0))
    taken = Step(instance.evaluation, Euclidean(), step)
    coefficient = bounds.improvement_coefficient_sharp(
        step=step, **_phi(game), num_actions=game.num_actions
    )
    yield Comparison(
        taken.change, coefficient * taken.visited(taken.squares), tolerance, ">=", "any step"
    )
    large = bounds.step_euclidean_large(**_phi(game), num_actions=game.num_actions)
    taken = Step(instance.evaluation, Euclidean(), large)
    coefficient = bounds.improvement_coefficient(step=large, discount=game.discount)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.squares),
        tolerance,
        ">=",
        "the paper's inequality at eight times its step",
    )
    taken = Step(instance.evaluation, Euclidean(), 4 / (q_max * max(norm, 1.0)))
    yield Comparison(
        taken.change, np.zeros(1), tolerance, ">=", "the potential never falls up to 4/(Qmax Λ)"
    )


def _anti_coordination(mirror_map: MirrorMap, step: float) -> Step:
    game = catalogue.anti_coordination()
    start = tuple(own[None] for own in catalogue.anti_coordination_start())
    return Step(Evaluation(game, start), mirror_map, step)


def _falls(mirror_map: MirrorMap, step: float) -> Comparison:
    """ΔΦ >= 0 at this step, on anti-coordination from (.55, .45)."""
    taken = _anti_coordination(mirror_map, step)
    return Comparison(taken.change, np.zeros(1), value_rounding(taken.before.game), ">=")


def _too_large_coefficient() -> Comparison:
    """Coefficient 1/(2η) at η = 2.2/(Qmax Λ), where it is (1/η - Qmax Λ/4) < 1/(2η)."""
    taken = _anti_coordination(Euclidean(), 2.2 / bounds.interaction_norm((2, 2)))
    claimed = taken.visited(taken.squares) / (2 * taken.size)
    return Comparison(taken.change, claimed, value_rounding(taken.before.game), ">=")


def _half_face(factor: float) -> Comparison:
    """ΔΦ >= 0 at a multiple of 8/((N-1)m), on the half-face game of 8 agents."""
    game = catalogue.half_face(8, 2)
    start = tuple(own[None] for own in catalogue.half_face_start(8, 2))
    step = factor * bounds.half_face_threshold(num_agents=8, num_actions=2)
    taken = Step(Evaluation(game, start), Euclidean(), step)
    return Comparison(taken.change, np.zeros(1), value_rounding(game), ">=")


# KL


def _kl_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    step = bounds.step_kl(**_phi(game), num_agents=game.num_agents)
    taken = Step(instance.evaluation, KL(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    tolerance = value_rounding(game)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.divergences),
        tolerance,
        ">=",
        "symmetric divergence",
    )
    kl, pairs = KL(), zip(taken.before.policy, taken.after.policy, strict=True)
    forward = np.sum([kl.divergence(new, old) for old, new in pairs], axis=0)
    yield Comparison(
        taken.change, coefficient * taken.visited(forward), tolerance, ">=", "KL(new, old) alone"
    )


def _kl_constant_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    tolerance = value_rounding(game)
    step = bounds.step_kl_constant(**_phi(game))
    taken = Step(instance.evaluation, KL(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.divergences),
        tolerance,
        ">=",
        "inequality of Proposition V.5 at (1-γ)/φmax",
    )
    taken = Step(instance.evaluation, KL(), instance.extra["units"] * step)
    factor = bounds.variance_coefficient(step=taken.size, **_phi(game))
    yield Comparison(
        taken.one_state_gain,
        factor * taken.variances,
        tolerance,
        ">=",
        "variance bound per state, ηQmax <= 2",
    )
    if taken.size <= step:
        yield Comparison(
            taken.one_state_gain,
            taken.divergences / (2 * taken.size),
            tolerance,
            ">=",
            "divergence bound per state, ηQmax <= 1",
        )
    yield Comparison(
        taken.change,
        np.zeros(1),
        tolerance,
        ">=",
        "the potential never falls at any state, ηQmax <= 2",
    )


def _full_divergence() -> Comparison:
    """Coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides."""
    taken = _anti_coordination(KL(), 1.0)
    ratio = taken.one_state_gain / taken.divergences
    return Comparison(ratio, np.ones(1), value_rounding(taken.before.game), ">=")


def _two_agent_coefficient() -> Comparison:
    """1 - ηQmax/4, the coefficient of two agents, claimed for ten at ηQmax = 1."""
    start = tuple(own[None] for own in catalogue.crowd_start())
    taken = Step(Evaluation(catalogue.crowd(), start), KL(), 1.0)
    ratio = taken.one_state_gain / taken.divergences
    return Comparison(ratio, np.array([0.75]), value_rounding(taken.before.game), ">=")


# Best action


def _best_advantage(instance: Instance) -> Array:
    """Largest averaged advantage over agents, states and actions, (B,)."""
    return np.max([part.max(axis=(-1, -2)) for part in instance.evaluation.advantages], axis=0)


def _progress_sides(instance: Instance) -> Iterator[Comparison]:
    game, evaluation = instance.game, instance.evaluation
    best = np.maximum(_best_advantage(instance), np.finfo(float).tiny)
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
            mass * step * advantage.max(axis=-1) ** 2,
            4 * value_rounding(game) * (1 + step * game.reward_bound / (1 - game.discount)),
            ">=",
        )


def _progress(own: Array, advantage: Array, step: float, claimed: float) -> Comparison:
    """Ratio of <A, D> to ``claimed``, for one agent in one state; claimed at least 1."""
    moved = KL().update(own, step * advantage) - own
    ratio = (moved * advantage).sum() / claimed
    return Comparison(np.array([ratio]), np.ones(1), 1e3 * UNIT_ROUNDOFF, ">=")


def _beyond_one() -> Comparison:
    """ηA* = 1.5, nearly all mass on the best action: the ratio tends to 1/(ηA*) = 2/3."""
    rare = 1e-6
    own, advantage = np.array([1 - rare, rare]), np.array([rare, rare - 1])
    step = 1.5 / rare
    return _progress(own, advantage, step, (1 - rare) * step * rare**2)


def _largest_magnitude() -> Comparison:
    """Max |A|² in place of (max A)²: a hopeless action that is hardly played dominates."""
    own, advantage = np.array([0.999, 0.001]), np.array([0.001, -0.999])
    return _progress(own, advantage, 1.0, 0.999 * 0.999**2)


_POTENTIAL = (IS_POTENTIAL, NOT_CONSTANT)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="improvement-euclidean",
        tag="derived",
        label="Section V.A, policy improvement",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i \|D_i(s)\|_2^2, \qquad"
            r" \eta = \frac{1-\gamma}{4\,\phi_{\max}\sum_i |\mathcal A_i|}"
        ),
        notebook="04-policy-improvement-euclidean",
        hypotheses=_POTENTIAL,
        instances=potential_instances,
        compare=_euclidean_sides,
        controls=(
            Control(
                "step-2.1",
                "the potential does not fall at step 2.1, anti-coordination from (.55, .45)",
                partial(_falls, Euclidean(), 2.1),
            ),
            Control(
                "half-face",
                "the potential does not fall 1 % above 8/((N-1)m), half-face game of 8 agents",
                partial(_half_face, 1.01),
            ),
        ),
        sizes=MANY,
    ),
    Claim(
        name="improvement-euclidean-sharp",
        tag="beyond",
        label="Section V.A, any step",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{1-\gamma}\Big(\frac1\eta -"
            r" \frac{Q_{\max}\Lambda}{4}\Big) \sum_s d_\rho^{t+1}(s) \sum_i \|D_i(s)\|_2^2"
            r" \quad \text{for every } \eta > 0"
        ),
        notebook="04-policy-improvement-euclidean",
        hypotheses=_POTENTIAL,
        instances=partial(_with_step, 0.1, 4.0),
        compare=_euclidean_sharp_sides,
        controls=(
            Control(
                "coefficient-half",
                "coefficient 1/(2η) at η = 2.2/(Qmax Λ), anti-coordination from (.55, .45)",
                _too_large_coefficient,
            ),
            Control(
                "step-2.1",
                "no fall at step 2.1 > 4/(Qmax Λ) = 2, anti-coordination from (.55, .45)",
                partial(_falls, Euclidean(), 2.1),
            ),
        ),
        sizes=MANY,
    ),
    Claim(
        name="improvement-kl",
        tag="derived",
        label="Proposition V.5",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i J_i(s), \qquad"
            r" \eta = \frac{1-\gamma}{2\,\phi_{\max}\sqrt N}"
        ),
        notebook="05-policy-improvement-kl",
        hypotheses=(*_POTENTIAL, FULL_SUPPORT),
        instances=potential_instances,
        compare=_kl_sides,
        controls=(
            Control(
                "step-4.2",
                "the potential does not fall at step 4.2, anti-coordination from (.55, .45)",
                partial(_falls, KL(), 4.2),
            ),
            Control(
                "coefficient-one",
                "coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides",
                _full_divergence,
            ),
        ),
        sizes=MANY,
    ),
    Claim(
        name="improvement-kl-constant-step",
        tag="beyond",
        label="Proposition V.5 without the factor √N",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i J_i(s) \quad \text{at } \eta = \frac{1-\gamma}{\phi_{\max}}"
            r" \text{ for every } N"
        ),
        notebook="05-policy-improvement-kl",
        hypotheses=(*_POTENTIAL, FULL_SUPPORT),
        instances=partial(_with_step, 0.05, 2.0),
        compare=_kl_constant_sides,
        controls=(
            Control(
                "coefficient-one",
                "coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides",
                _full_divergence,
            ),
            Control(
                "two-agent-coefficient",
                "1 - ηQmax/4, right for two agents, for ten agents that must not crowd",
                _two_agent_coefficient,
            ),
            Control(
                "step-4.2",
                "the potential does not fall at step 4.2, anti-coordination from (.55, .45)",
                partial(_falls, KL(), 4.2),
            ),
        ),
        sizes=MANY,
    ),
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
        instances=partial(_with_step, 0.01, 1.0),
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
    ),
)
