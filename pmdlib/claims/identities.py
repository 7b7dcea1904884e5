"""Identities: performance difference, alone and jointly, and the potential advantage."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from pmdlib.analysis.policies import replace, uniform_policy
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import Array, eye
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Instance,
    Sizes,
    value_rounding,
)
from pmdlib.claims.instances import (
    IS_POTENTIAL,
    any_instances,
    exact_policy,
    potential_instances,
)
from pmdlib.claims.ways.symbolic import generic_instance
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, shaped

MANY = {"quick": 300, "full": 6000}


def all_starts(evaluation: Evaluation) -> Array:
    """Occupancy of every start state and of ρ: (B, S + 1, S)."""
    states = evaluation.game.num_states
    initial = evaluation.game.initial
    starts = np.concatenate([eye(states, initial), initial[None]])
    return np.moveaxis(evaluation.occupancy(starts[:, None, :]), 0, -2)


def from_all_starts(evaluation: Evaluation, values: Array) -> Array:
    """Values (B, S) seen from every start state and from ρ: (B, S + 1)."""
    return np.concatenate([values, (values @ evaluation.game.initial)[..., None]], axis=-1)


# Performance difference


def _deviation_sides(instance: Instance) -> Iterator[Comparison]:
    agent = instance.extra["agent"]
    own, target = instance.policy[agent], instance.extra["target"][agent]
    before = instance.evaluation
    after = Evaluation(instance.game, replace(instance.policy, agent, target))
    change = after.values[:, agent] - before.values[:, agent]
    gain = expectation(target - own, before.averaged_q[agent])
    visits = all_starts(after) / (1 - instance.game.discount)
    yield Comparison(
        from_all_starts(before, change),
        (visits @ gain[..., None])[..., 0],
        value_rounding(instance.game),
        "==",
    )


def _stay_or_leave(mutation: str) -> Comparison:
    """Exchange one ingredient of the identity, on the two-state game."""
    game = catalogue.stay_or_leave().exact()
    stay, leave = (eye(2, game.initial)[[[a, 0]]] for a in (0, 1))
    before, after = Evaluation(game, (stay,)), Evaluation(game, (leave,))
    occupancy = (before if mutation == "old occupancy" else after).occupancy(game.initial)
    q = (after if mutation == "new Q" else before).averaged_q[0]
    factor = 1 if mutation == "no factor" else 1 / (1 - game.discount)
    change = (after.values[:, 0] - before.values[:, 0]) @ game.initial
    claimed = factor * (occupancy * expectation(leave - stay, q)).sum(axis=-1)
    return Comparison(change, claimed, 0, "==")


def _identity_controls() -> tuple[Control, ...]:
    mutations = {
        "old occupancy": "occupancy of the old policy in place of the new one, stay-or-leave game",
        "no factor": "the factor 1/(1-γ) dropped, stay-or-leave game",
        "new Q": "averaged Q of the new policy in place of the old one, stay-or-leave game",
    }
    return tuple(
        Control(name.replace(" ", "-"), text, partial(_stay_or_leave, name))
        for name, text in mutations.items()
    )


def _joint_sides(instance: Instance) -> Iterator[Comparison]:
    before = instance.evaluation
    after = Evaluation(instance.game, instance.extra["target"])
    change = after.potential_values - before.potential_values
    gain = joint_gain(before, after)
    visits = all_starts(after) / (1 - instance.game.discount)
    yield Comparison(
        from_all_starts(before, change),
        (visits @ gain[..., None])[..., 0],
        value_rounding(instance.game),
        "==",
    )


def joint_gain(before: Evaluation, after: Evaluation) -> Array:
    """Σ_a (π'(a|s) - π(a|s)) Q_φ^π(s, a), (B, S): agents switch one at a time, and it telescopes.

    The k-th term is <π_k' - π_k, E Q_φ^π(s, ·)> with the agents before k at their new policies.
    ``after`` is of the same game, as many policies. Each average is over Q_φ^π, so values stay
    those of ``before``.
    """
    values = before.potential_values
    total = 0 * values
    for agent in range(before.game.num_agents):
        path = (*after.policy[:agent], *before.policy[agent:])
        mixed = Evaluation(before.game, path)
        rewards = before.game.average_potential(path)[agent]
        q = (
            rewards
            + before.game.discount * (mixed.mdps[agent].kernel @ values[:, None, :, None])[..., 0]
        )
        total = total + expectation(after.policy[agent] - before.policy[agent], q)
    return total


def _potential_targets(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    for instance in any_instances(rng, sizes):
        if instance.game.has_potential:
            yield instance


def _sum_of_agents() -> Comparison:
    """Σ_i <π_i' - π_i, Q_i^π> in place of the joint change: wrong as soon as two agents move."""
    game = catalogue.anti_coordination().exact()
    before = Evaluation(game, exact_policy(catalogue.anti_coordination_start()))
    after = Evaluation(game, tuple(eye(2, game.initial)[[[1]]] for _ in range(2)))
    change = after.potential_values[:, 0] - before.potential_values[:, 0]
    separate = sum(
        expectation(new - old, q)[:, 0]
        for new, old, q in zip(after.policy, before.policy, before.potential_q, strict=True)
    )
    return Comparison(change, np.asarray(separate), 0, "==")


# Potential advantage


def _advantage_sides(instance: Instance) -> Iterator[Comparison]:
    evaluation = instance.evaluation
    potential = evaluation.potential_values[..., None]
    flat = [part.reshape(instance.count, -1) for part in evaluation.advantages]
    of_potential = [(q - potential).reshape(instance.count, -1) for q in evaluation.potential_q]
    yield Comparison(
        np.concatenate(flat, axis=1),
        np.concatenate(of_potential, axis=1),
        value_rounding(instance.game),
        "==",
    )


def _stage_potential_only() -> Comparison:
    game = catalogue.stage_potential_only().exact()
    evaluation = Evaluation(game, exact_policy(uniform_policy(game)))
    advantage = evaluation.advantages[0][:, 0]
    of_potential = evaluation.potential_q[0][:, 0] - evaluation.potential_values[:, 0, None]
    return Comparison(advantage, of_potential, 0, "==")


def _q_for_advantage() -> Comparison:
    """Averaged Q in place of advantages: shaping moves values, so Q and Q_φ differ."""
    game = shaped(np.random.default_rng(0), Shape((2, 3), 2, 0.5)).exact()
    evaluation = Evaluation(game, exact_policy(uniform_policy(game)))
    return Comparison(evaluation.averaged_q[0], evaluation.potential_q[0], 0, "==")


# Generic games


def _generic_advantages() -> Iterator[Comparison]:
    yield from _advantage_sides(generic_instance(potential=True))


def _generic_deviation() -> Iterator[Comparison]:
    for agent in range(2):
        yield from _deviation_sides(generic_instance(potential=False, agent=agent))


def _generic_joint() -> Iterator[Comparison]:
    yield from _joint_sides(generic_instance(potential=False))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="potential-advantage",
        tag="derived",
        label="potential advantage",
        statement=r"\bar A_i^{\pi}(s,a) = \bar A_{\phi,i}^{\pi}(s,a) \quad \forall\, i, s, a",
        notebook="01-markov-potential-games",
        hypotheses=(IS_POTENTIAL,),
        instances=potential_instances,
        compare=_advantage_sides,
        controls=(
            Control(
                "stage-potential-only",
                "every stage game has a potential, the Markov game has none",
                _stage_potential_only,
            ),
            Control(
                "averaged-q",
                "averaged Q in place of the advantage, in a shaped game",
                _q_for_advantage,
            ),
        ),
        sizes=MANY,
        symbolic=_generic_advantages,
    ),
    Claim(
        name="performance-difference",
        tag="paper",
        label="performance difference lemma",
        statement=(
            r"V_i^{\pi_i',\pi_{-i}}(\rho) - V_i^{\pi}(\rho) = \frac{1}{1-\gamma} \sum_s"
            r" d_\rho^{\pi_i',\pi_{-i}}(s)\, \langle \pi_i'(\cdot|s) - \pi_i(\cdot|s),"
            r" \bar Q_i^{\pi}(s,\cdot) \rangle"
        ),
        notebook="03-performance-difference",
        hypotheses=(),
        instances=any_instances,
        compare=_deviation_sides,
        controls=_identity_controls(),
        sizes=MANY,
        symbolic=_generic_deviation,
    ),
    Claim(
        name="performance-difference-joint",
        tag="paper",
        label="performance difference lemma, joint form",
        statement=(
            r"\Phi^{\pi'}(\rho) - \Phi^{\pi}(\rho) = \frac{1}{1-\gamma} \sum_s d_\rho^{\pi'}(s)"
            r" \sum_a \big(\pi'(a|s) - \pi(a|s)\big)\, Q_\phi^{\pi}(s,a)"
        ),
        notebook="03-performance-difference",
        hypotheses=(),
        instances=_potential_targets,
        compare=_joint_sides,
        controls=(
            *_identity_controls(),
            Control(
                "sum-of-agents",
                "the agents' own first-order gains added up, both agents of anti-coordination move",
                _sum_of_agents,
            ),
        ),
        sizes=MANY,
        symbolic=_generic_joint,
    ),
)
