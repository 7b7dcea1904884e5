"""Policy improvement when agents step as they please: each with a step of its own, or not at all.

What else the notebook on broken assumptions measures is in `pmdlib.claims.broken_runs`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import Array, rationals
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.instances import FULL_SUPPORT, exact_policy, potential_instances
from pmdlib.claims.one_step import POTENTIAL, Step, phi, sum_over
from pmdlib.claims.ways.lemmas import CONSTANT_STEP
from pmdlib.games import broken, catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.learning.mirror_maps import KL


@dataclass(frozen=True)
class OwnSteps(Step):
    """A simultaneous KL step in which agent i has the step size ``size[i]``; 0: it waits."""

    @cached_property
    def after(self) -> Evaluation:
        """Evaluation of the policies after the step."""
        before, parts = self.before, []
        for own, q, step in zip(before.policy, before.averaged_q, self.size, strict=True):
            parts.append(self.mirror_map.update(own, step * (q - q[..., :1])) if step else own)
        return Evaluation(before.game, tuple(parts))

    @property
    def units(self) -> list[Any]:
        """η_i Qmax of each agent."""
        return [step * bounds.largest_q(**phi(self.before.game)) for step in self.size]

    def variance_bound(self, units: Sequence[Any] | None = None) -> Array:
        """Σ_i η_i (1 - u_i/2) Var_{π_i}(Q_i), (B, S), with u_i = η_i Qmax unless given."""
        pairs = zip(self.before.policy, self.before.advantages, strict=True)
        variances = [expectation(own, advantage**2) for own, advantage in pairs]
        parts = zip(self.size, units or self.units, variances, strict=True)
        return sum_over(step * (2 - u) / 2 * variance for step, u, variance in parts)

    def first_order(self, lost: Sequence[Any] | None = None) -> Array:
        """Σ_i (1 - l_i) J_i/η_i over the agents who move, (B, S); l_i = 0 unless given."""
        kl, policies = KL(), zip(self.before.policy, self.after.policy, strict=True)
        moves = [kl.divergence(new, old) + kl.divergence(old, new) for old, new in policies]
        parts = zip(self.size, lost or [0] * len(moves), moves, strict=True)
        return sum_over(
            (1 - loss) * move / step if step else 0 * move for step, loss, move in parts
        )

    @property
    def crossings(self) -> Array:
        """Σ_{i<j} ||D_i||_1 ||D_j||_1, (B, S): how much agents who move at once can interfere."""
        policies = zip(self.before.policy, self.after.policy, strict=True)
        norms = [abs(new - old).sum(axis=-1) for old, new in policies]
        earlier, total = 0 * norms[0], 0 * norms[0]
        for norm in norms:
            total, earlier = total + norm * earlier, earlier + norm
        return np.asarray(total)


def pairwise_load(units: Sequence[Any]) -> Any:
    """Σ_i u_i/(4 + u_i), u_i = η_i Qmax: up to 1 the potential never falls, however large one is.

    For two agents this says u_1 u_2 <= 16, and is exact.
    """
    return sum(u / (4 + u) for u in units)


# Instances


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield potential instances with a step for each agent: often the largest, often none at all.

    ``shares`` are in units of ``units``/Qmax; ``wide`` are steps, in units of 1/Qmax, with a
    pairwise load just below 1.
    """
    for instance in potential_instances(rng, sizes):
        agents = instance.game.num_agents
        shares = np.where(rng.random(agents) < 1 / 3, 1.0, rng.random(agents))
        shares[rng.random(agents) < 1 / 4] = 0.0
        shares[rng.integers(agents)] = 1.0
        loads = 0.98 * rng.dirichlet(np.full(agents, rng.choice([0.5, 5.0])))
        wide = 4 * loads / (1 - loads)
        units = 2.0 if rng.random() < 1 / 3 else rng.uniform(0.05, 2.0)
        extra = {"shares": tuple(map(float, shares)), "wide": tuple(map(float, wide))}
        yield instance.with_extra(units=units, **extra)


def _steps(instance: Instance) -> tuple[list[Any], list[Any]]:
    """Own steps, at most ``units``, and wide ones, in units of 1/Qmax: 1, 1/2, .. if none."""
    extra, agents = instance.extra, instance.game.num_agents
    one = 0 * instance.game.phi_max + 1  # exact for an exact game
    shares = extra.get("shares", [one / (1 + i) for i in range(agents)])
    wide = extra.get("wide", [4 * one / max(agents - 1, 1)] * agents)
    return [one * extra["units"] * s for s in shares], [one * u for u in wide]


def _sides(instance: Instance) -> Iterator[Comparison]:
    game, tolerance = instance.game, value_rounding(instance.game)
    own, wide = _steps(instance)
    q_max = bounds.largest_q(**phi(game))

    def take(units: Sequence[Any]) -> OwnSteps:
        return OwnSteps(instance.evaluation, KL(), [u / q_max for u in units])

    taken = take(own)
    bound = taken.variance_bound()
    yield Comparison(taken.one_state_gain, bound, tolerance, ">=", "variance bound per state")
    lost = taken.first_order([u / 2 for u in own])
    yield Comparison(taken.one_state_gain, lost, tolerance, ">=", "divergence bound per state")
    yield Comparison(
        taken.change,
        taken.visited(bound) / (1 - game.discount),
        tolerance,
        ">=",
        "improvement of the potential, from every start",
    )
    yield Comparison(taken.change, 0, tolerance, ">=", "the potential never falls")
    taken = take([u * 3 / 2 for u in own])
    yield Comparison(
        taken.one_state_gain, taken.variance_bound(), tolerance, ">=", "variance bound up to 3"
    )
    taken = take(wide)
    crossings = taken.crossings
    yield Comparison(
        taken.one_state_gain,
        taken.first_order() - q_max * crossings / 2,
        tolerance,
        ">=",
        "pair by pair, any steps",
        applies=np.asarray(
            (crossings > 0).all(axis=-1)
        ),  # else it is an equality, which balls never prove
    )
    yield Comparison(
        taken.change, 0, tolerance, ">=", "the potential never falls, pairwise load up to 1"
    )


# Controls


def _exact_step(game: MarkovGame, policy: Policy, *steps: Any) -> OwnSteps:
    return OwnSteps(Evaluation(game, policy), KL(), [fmpq(step) for step in steps])


def _mixed(*hundredths: int) -> Policy:
    """Policies of agents with two actions, who play the first with so many hundredths."""
    chances = [np.array([[[part, 100 - part]]]) for part in hundredths]
    return tuple(rationals(own, np.full(own.shape, 100)) for own in chances)


def _full_variance() -> Comparison:
    """Coefficient η_i in place of η_i (1 - η_i Qmax/2): steps 1 and 1/2, anti-coordination."""
    game = catalogue.anti_coordination().exact()
    taken = _exact_step(game, _mixed(55, 55), 1, fmpq(1, 2))
    return Comparison(taken.one_state_gain, taken.variance_bound([0, 0]), 0, ">=")


def _mean_step() -> Comparison:
    """Put the mean step into the bracket: one agent moves with ηQmax = 2, the other waits."""
    game = catalogue.one_state([[1, 1], [0, 0]]).exact()
    taken = _exact_step(game, _mixed(99, 50), 2, 0)
    mean = sum(taken.units) / 2
    return Comparison(taken.one_state_gain, taken.variance_bound([mean, mean]), 0, ">=")


def _smaller_step() -> Comparison:
    """Only the smaller step must obey the limit 2: steps 2 and 9, whose product exceeds 16."""
    game = catalogue.anti_coordination().exact()
    taken = _exact_step(game, _mixed(52, 51), 9, 2)
    return Comparison(taken.change, 0, 0, ">=")


def _late() -> Comparison:
    """Q of one iterate ago: anti-coordination from (.55, .45), step 1.9, the second update."""
    game = catalogue.anti_coordination().exact()
    start = exact_policy(catalogue.anti_coordination_start())
    first = _exact_step(game, start, fmpq(19, 10), fmpq(19, 10))
    old = first.before.averaged_q
    again = tuple(
        KL().update(own, step * q)
        for own, q, step in zip(first.after.policy, old, first.size, strict=True)
    )
    change = Evaluation(game, again).potential_values - first.after.potential_values
    return Comparison(change, 0, 0, ">=")


def _weights() -> Comparison:
    """Agent 1 is paid the potential, agent 2 for θ = 11/20 minus a tenth of it: it falls."""
    game = broken.towards_pennies(0.55).exact()
    taken = _exact_step(game, _mixed(90, 50), 1, 1)
    change = taken.after.potential_values - taken.before.potential_values
    return Comparison(change, 0, 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="improvement-kl-own-steps",
        tag="beyond",
        label="Proposition V.5 for agents with steps of their own",
        statement=(
            r"\sum_a \big(\pi^{t+1}(a|s) - \pi^t(a|s)\big)\, Q_\phi^t(s,a) \ge \sum_i \eta_i"
            r" \Big(1 - \frac{\eta_i Q_{\max}}2\Big) \mathrm{Var}_{\pi_i^t}\big(\bar Q_i^t(s,\cdot)"
            r"\big) \quad \text{for any } 0 \le \eta_i \le \frac{2}{Q_{\max}}"
        ),
        notebook="12-broken-assumptions",
        hypotheses=(*POTENTIAL, FULL_SUPPORT),
        instances=_instances,
        compare=_sides,
        controls=(
            Control(
                "full-variance",
                "coefficient η_i in place of η_i (1 - η_i Qmax/2): steps 1 and 1/2, "
                "anti-coordination from (.55, .45)",
                _full_variance,
            ),
            Control(
                "mean-step",
                "the mean step in the bracket: one agent moves with ηQmax = 2, the other waits",
                _mean_step,
            ),
            Control(
                "smaller-step",
                "it is enough that the smaller step obeys the limit: steps 9 and 2, "
                "anti-coordination near the middle",
                _smaller_step,
            ),
            Control(
                "late",
                "Q of the iterate before in place of the present one: step 1.9, anti-coordination "
                "from (.55, .45), second update",
                _late,
            ),
            Control(
                "opposed",
                "it is enough that one agent is paid the potential: the other is paid -1/10 of it",
                _weights,
            ),
        ),
        sizes={"quick": 240, "full": 4000},
        lemmas=CONSTANT_STEP,
        attack={"units": 1.0},
    ),
)
