"""One simultaneous step of all agents, and what it changes: shared by the improvement claims."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import Array
from pmdlib.claims.claim import Comparison, Instance, value_rounding
from pmdlib.claims.identities import all_starts, from_all_starts
from pmdlib.claims.instances import (
    IS_POTENTIAL,
    NOT_CONSTANT,
    potential_instances,
)
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame
from pmdlib.learning.mirror_maps import KL, MirrorMap


def sum_over(parts: Iterable[Array]) -> Array:
    """Sum arrays of one shape, one for each agent."""
    return np.asarray(np.sum(list(parts), axis=0))


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
        return sum_over(((new - old) ** 2).sum(axis=-1) for old, new in pairs)

    @cached_property
    def divergences(self) -> Array:
        """Σ_i J_i(s), (B, S): symmetric KL divergence of the step, both directions added."""
        kl, pairs = KL(), zip(self.before.policy, self.after.policy, strict=True)
        return sum_over(kl.divergence(new, old) + kl.divergence(old, new) for old, new in pairs)

    @cached_property
    def variances(self) -> Array:
        """Σ_i Var_{π_i}(Q_i(s, .)), (B, S)."""
        pairs = zip(self.before.policy, self.before.advantages, strict=True)
        return sum_over(expectation(own, advantage**2) for own, advantage in pairs)

    @cached_property
    def one_state_gain(self) -> Array:
        """Σ_a (π^{t+1}(a|s) - π^t(a|s)) Q_φ^t(s, a), (B, S).

        One stage of the new policy, then Φ^t, less Φ^t.
        """
        values = self.before.potential_values
        following = (self.after.kernel @ values[..., None])[..., 0]
        return np.asarray(
            self.after.stage_potential + self.before.game.discount * following - values
        )


def phi(game: MarkovGame) -> dict[str, float]:
    """Collect φmax and γ, which every bound takes."""
    return {"phi_max": game.phi_max, "discount": game.discount}


def with_step(low: float, high: float, rng: np.random.Generator) -> Iterator[Instance]:
    """Potential instances with a step in units that the claim chooses, often at the upper end."""
    for instance in potential_instances(rng):
        size = high if rng.random() < 1 / 3 else rng.uniform(low, high)
        yield instance.with_extra(units=size)


def anti_coordination(mirror_map: MirrorMap, step: float) -> Step:
    """Step from (.55, .45), both agents, in the anti-coordination game."""
    game = catalogue.anti_coordination()
    start = tuple(own[None] for own in catalogue.anti_coordination_start())
    return Step(Evaluation(game, start), mirror_map, step)


def falls(mirror_map: MirrorMap, step: float) -> Comparison:
    """ΔΦ >= 0 at this step, on anti-coordination from (.55, .45)."""
    taken = anti_coordination(mirror_map, step)
    return Comparison(taken.change, np.zeros(1), value_rounding(taken.before.game), ">=")


#: What every improvement claim assumes.
POTENTIAL = (IS_POTENTIAL, NOT_CONSTANT)

MANY = {"quick": 300, "full": 6000}
