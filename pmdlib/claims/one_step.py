"""One simultaneous step of all agents, and what it changes: shared by the improvement claims."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import Array, sqrt, unit_roundoff
from pmdlib.claims.claim import VISIBLE, Comparison, Instance, Sizes, value_rounding
from pmdlib.claims.identities import all_starts, from_all_starts
from pmdlib.claims.instances import (
    IS_POTENTIAL,
    POSITIVE,
    exact_policy,
    potential_instances,
)
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import each_agent
from pmdlib.learning.mirror_maps import KL, MirrorMap, get_mirror_map
from pmdlib.learning.pmd import Trace


def sum_over(parts: Iterable[Array]) -> Array:
    """Sum arrays of one shape, one for each agent."""
    return np.asarray(np.sum(list(parts), axis=0))


@dataclass(frozen=True)
class Step:
    """One simultaneous PMD step of all agents from a batch of policies."""

    before: Evaluation
    mirror_map: MirrorMap
    size: Any

    @cached_property
    def after(self) -> Evaluation:
        """Evaluation of the policies after the step."""
        # A step does not see a shift of Q; without it, exact ties stay exact.
        moved = each_agent(
            lambda own, q: self.mirror_map.update(own, self.size * (q - q[..., :1])),
            self.before.policy,
            self.before.averaged_q,
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

    def share(self, moved: Array) -> Array:
        """η · one-state gain / Σ_i ||D_i||², or / Σ_i J_i: how much of the first order is left.

        1 in the limit of small steps; the cross terms of agents that move together take the rest.

        Parameters
        ----------
        moved : ndarray (B, S)
            ``squares`` for the Euclidean step, ``divergences`` for the KL step.

        Returns
        -------
        ndarray (B, S), NaN where the step is too small for the quotient to say anything.
        """
        visible = moved > VISIBLE * value_rounding(self.before.game) * self.size
        return np.where(visible, self.size * self.one_state_gain, np.nan) / np.where(
            visible, moved, 1.0
        )


def phi(game: MarkovGame) -> dict[str, Any]:
    """Collect φmax and γ, which every bound takes."""
    return {"phi_max": game.phi_max, "discount": game.discount}


def stated_euclidean(game: MarkovGame) -> Any:
    """Write out the paper's Euclidean step, (1-γ)/(4 φmax M), apart from `bounds`."""
    return (1 - game.discount) / (4 * game.phi_max * sum(game.num_actions))


def stated_kl(game: MarkovGame) -> Any:
    """Write out the paper's KL step, (1-γ)/(2 φmax √N), apart from `bounds`."""
    return (1 - game.discount) / (2 * game.phi_max * sqrt(game.num_agents, like=game.phi_max))


def stated_constant(game: MarkovGame) -> Any:
    """Write out the constant KL step, (1-γ)/φmax, apart from `bounds`."""
    return (1 - game.discount) / game.phi_max


def same_step(instance: Instance, taken: Any, stated: Any) -> Comparison:
    """Compare the step size that a run would take with the one that the claim states."""
    rounding = 16 * unit_roundoff(stated) * stated
    size = np.full(instance.count, taken)
    return Comparison(size, np.full(instance.count, stated), rounding, "==", "step size as stated")


def with_step(
    low: float, high: float, rng: np.random.Generator, sizes: Sizes
) -> Iterator[Instance]:
    """Potential instances with a step in units that the claim chooses, often at the upper end."""
    for instance in potential_instances(rng, sizes):
        size = high if rng.random() < 1 / 3 else rng.uniform(low, high)
        yield instance.with_extra(units=size)


def anti_coordination(mirror_map: MirrorMap, step: Any) -> Step:
    """Step from (.55, .45), both agents, in the anti-coordination game, in exact numbers."""
    game = catalogue.anti_coordination().exact()
    start = exact_policy(catalogue.anti_coordination_start())
    return Step(Evaluation(game, start), mirror_map, step)


def falls(mirror_map: MirrorMap, step: Any) -> Comparison:
    """ΔΦ >= 0 at this step, on anti-coordination from (.55, .45)."""
    return Comparison(anti_coordination(mirror_map, step).change, 0, 0, ">=")


def along_run(game: MarkovGame, trace: Trace) -> pd.DataFrame:
    """Set the improvement of every iteration of a run beside its bound.

    The bound is 1/(2η(1-γ)) Σ_s d_ρ^{t+1}(s) Σ_i x_i(s), with x_i = ||D_i||² for the Euclidean
    step and J_i for the KL step: the right-hand side of the claims at the step size of the run,
    whether or not that step size is one for which they are proved.

    Parameters
    ----------
    game : MarkovGame
        With a potential.
    trace : Trace
        A run of it from a single start, Euclidean or KL, with ``record_policies=True``.

    Returns
    -------
    DataFrame
        One row an iteration: ``iteration``, ``improvement`` Φ^{t+1}(ρ) - Φ^t(ρ), ``bound``, and
        ``rounding``, below which neither means anything.

    Raises
    ------
    PmdError
        If the trace holds no policies, or several runs, or is of another mirror map.
    """
    measures = {"euclidean": "squares", "kl": "divergences"}
    if trace.mirror_map not in measures:
        raise PmdError(
            f"the run used the mirror map {trace.mirror_map!r}, must be one of {[*measures]}"
        )
    if not trace.policies or trace.policies[0].ndim != 3:
        raise PmdError("along_run needs one run with record_policies=True")
    before = Evaluation(game, tuple(own[:-1] for own in trace.policies))
    taken = Step(before, get_mirror_map(trace.mirror_map), trace.step)
    coefficient = bounds.improvement_coefficient(step=trace.step, discount=game.discount)
    return pd.DataFrame(
        {
            "iteration": np.arange(trace.iterations),
            "improvement": taken.change[:, -1],
            "bound": coefficient * taken.visited(getattr(taken, measures[trace.mirror_map]))[:, -1],
            "rounding": value_rounding(game),
        }
    )


#: Relative width to which `largest_improving_step` narrows its bracket.
STEP_DIGITS = 1e-6


def largest_improving_step(
    game: MarkovGame, start: Policy, mirror_map: MirrorMap, *, low: float, high: float
) -> float:
    """Bisect for the step size at which one step from ``start`` stops raising Φ(ρ).

    Parameters
    ----------
    game : MarkovGame
        With a potential.
    start : tuple of N arrays (S, A_i)
    mirror_map : MirrorMap
    low, high : float
        Step sizes at which Φ(ρ) rises and falls. Between them it should change sign once.

    Returns
    -------
    float
        A step size at which the sign changes, to a relative width of `STEP_DIGITS`.

    Raises
    ------
    PmdError
        If Φ(ρ) does not rise at ``low`` and fall at ``high``.
    """
    before = Evaluation(game, tuple(own[None] for own in start))

    def change(step: float) -> float:
        return float(Step(before, mirror_map, step).change[0, -1])

    if not (0 < low < high and change(low) > 0 > change(high)):
        raise PmdError(
            f"the potential must rise at the step low={low:g} and fall at high={high:g}, "
            f"0 < low < high; it changes by {change(low):.3g} and {change(high):.3g}"
        )
    while high - low > STEP_DIGITS * low:
        middle = (low + high) / 2
        low, high = (middle, high) if change(middle) > 0 else (low, middle)
    return (low + high) / 2


#: What every improvement claim assumes.
POTENTIAL = (IS_POTENTIAL, POSITIVE)

MANY = {"quick": 300, "full": 6000}
