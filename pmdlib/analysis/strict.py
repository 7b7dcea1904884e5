"""Strict pure equilibria: what a deviation loses, and how far around the pull of one reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pmdlib.analysis.equilibrium import best_responses
from pmdlib.analysis.policies import deterministic_policy
from pmdlib.analysis.values import Evaluation, number_or_array
from pmdlib.arithmetic import Array, exp, is_exact, largest, log, smallest, to_exact, to_float
from pmdlib.errors import InvalidPolicyError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

#: Rounds of best responses after which `settle` gives up; potential games need far fewer.
ROUNDS = 50

#: Gain, in shares of the largest reward, for which an agent leaves its action: far above rounding.
VISIBLE_GAIN = 1e-9


@dataclass(frozen=True)
class Basin:
    """A pure profile a*, its margin, and a neighbourhood that no KL or Euclidean step leaves.

    The neighbourhood is {π : 2 K E(π) <= δ}, with E(π) = max_s Σ_j (1 - π_j(a_j*|s)) the mass that
    does not play a*, δ the margin and K the sensitivity. In it every loss is at least δ/2.

    Attributes
    ----------
    actions : ndarray (N, S) of int
        The profile a*.
    losses : tuple of N arrays (S, A_i)
        Q_i(s, a_i*) - Q_i(s, a) at the profile: what a deviation in one state loses; 0 at a_i*.
    margin : number
        δ, the smallest loss over agents, states and actions other than a*; positive exactly if the
        profile is a strict equilibrium from every state.
    most : number
        Δ, the largest loss.
    sensitivity : number
        K: a loss changes by at most K E(π) from the profile to π [derived]. It is the largest
        change of Q_i(s, a_i*, a_-i) - Q_i(s, a, a_-i) with the others' actions a_-i, plus
        γ/(1-γ) times the range of the joint advantages at a* if actions move the state.
    discount : number
    """

    actions: Array
    losses: tuple[Array, ...]
    margin: Any
    most: Any
    sensitivity: Any
    discount: Any

    @property
    def radius(self) -> float:
        """δ/(2K), the largest E(π) of the neighbourhood; infinite if agents do not interact."""
        margin, sensitivity = float(to_float(self.margin)), float(to_float(self.sensitivity))
        return margin / (2 * sensitivity) if sensitivity else np.inf

    def played(self, policy: Policy) -> Array:
        """Probability of the profile's own action, (..., N, S)."""
        pairs = zip(policy, self.actions, strict=True)
        return np.stack([own[..., np.arange(len(a)), a] for own, a in pairs], axis=-2)

    def away(self, policy: Policy) -> Array:
        """Probability of all other actions, added up, (..., N, S): exactly 0 where none is left."""
        parts = []
        for own, actions in zip(policy, self.actions, strict=True):
            played = actions[:, None] == np.arange(own.shape[-1])
            parts.append(np.where(played, 0, own).sum(axis=-1))
        return np.stack(parts, axis=-2)

    def deviation(self, policy: Policy) -> Array:
        """E(π), the largest mass over states that does not play the profile: (...)."""
        return largest(self.away(policy).sum(axis=-2))

    def holds(self, policy: Policy) -> Array:
        """Whether a policy is in the neighbourhood, and plays the profile at all: (...)."""
        inside = 2 * self.sensitivity * self.deviation(policy) <= self.margin
        return np.asarray(inside & (self.played(policy) > 0).all(axis=(-1, -2)))

    def drift(self, policy: Policy, step: Any) -> Array:
        """η K O/(1 - e^{-ηδ/2}), (...): all that the losses on a run add up to beside their limits.

        O = max_s Σ_j (1 - π_j)/π_j (a_j*|s), at the start ``policy``.
        """
        odds = largest((self.away(policy) / self.played(policy)).sum(axis=-2))
        decay = 1 - exp(-step * self.margin / 2)
        return np.asarray(step * self.sensitivity * odds / decay)

    def log_gap_bounds(self, policy: Policy, step: Any, time: Array) -> tuple[Array, Array]:
        """Logarithms of two bounds on the Nash gap of KL PMD from ``policy``, each (T, ...).

        (3Δ/2)/(1-γ) o e^{-ηδt/2}, and the same with e^{-ηδt + drift}; o = max (1 - π_j)/π_j.

        ``step`` is η, constant along the run; ``time`` (T,) are the numbers of updates t.
        """
        odds = largest(self.away(policy) / self.played(policy), (-1, -2))
        first = log(3 * self.most / (2 * (1 - self.discount)) * odds)
        fall = step * self.margin * time.reshape(-1, *[1] * first.ndim)
        return first - fall / 2, first - fall + self.drift(policy, step)


def basin(game: TabularGame, actions: Sequence[Sequence[int]] | Array) -> Basin:
    """Find margin and neighbourhood of a pure profile, in the arithmetic of the game.

    Parameters
    ----------
    game : TabularGame
        With a potential or without.
    actions : N sequences of S actions, or ndarray (N, S)

    Returns
    -------
    Basin

    Raises
    ------
    InvalidPolicyError
        If there is no such profile.

    Notes
    -----
    Why K is right: Q_i^π(s,a) averages the joint Q_i^*(s, a, a_-i) of the profile over the others,
    plus γ times an average over next states of V_i^π - V_i^*. The others play a* but for mass E(π);
    and V_i^π - V_i^* is 1/(1-γ) times an average of joint advantages at the profile, which are zero
    but for mass E(π), so that it ranges over states by at most E(π)/(1-γ) times their range.
    """
    profile = np.asarray(actions)
    policy = deterministic_policy(game, profile.tolist())
    if is_exact(game.initial):
        policy = tuple(to_exact(own) for own in policy)
    values = Evaluation(game, policy).values
    losses = [np.zeros((game.num_states, m), dtype=values.dtype) for m in game.num_actions]
    sensitivity: Any = 0 * game.discount
    for agent, (reward, value) in enumerate(zip(game.rewards, values, strict=True)):
        q = reward  # where no action moves the state, what follows is the same for all
        if game.exogenous_kernel is None:
            q = reward + game.discount * (game.kernel @ value)
        spread: Any = 0 * game.discount
        for state, table in enumerate(q):
            others = tuple(np.delete(profile[:, state], agent))
            own = np.moveaxis(table, agent, -1)
            lost = own[..., [profile[agent, state]]] - own
            losses[agent][state] = lost[others]
            spread = max(spread, number_or_array(largest(abs(lost - lost[others]).reshape(-1))))
        if game.exogenous_kernel is None:
            advantages = (q - value.reshape(-1, *[1] * game.num_agents)).reshape(-1)
            reach = number_or_array(largest(advantages) - smallest(advantages))
            spread = spread + game.discount / (1 - game.discount) * reach
        sensitivity = max(sensitivity, spread)
    rivals = np.concatenate(
        [
            loss[own[:, None] != np.arange(loss.shape[1])]
            for loss, own in zip(losses, profile, strict=True)
        ]
    )
    if not len(rivals):
        raise InvalidPolicyError("the game has one joint action in each state: nobody can deviate")
    margin, most = number_or_array(smallest(rivals)), number_or_array(largest(rivals))
    return Basin(profile, tuple(losses), margin, most, sensitivity, game.discount)


def settle(game: TabularGame, rng: np.random.Generator) -> Array | None:
    """Find a pure profile at which everybody plays a best response, (N, S): agent after agent.

    Best responses start at a random profile. In a potential game they end; where they have not
    after `ROUNDS` rounds, as in other games may happen, the answer is None.
    """
    profile = np.stack([rng.integers(m, size=game.num_states) for m in game.num_actions])
    for _ in range(ROUNDS):
        before = profile.copy()
        for agent in range(game.num_agents):
            evaluation = Evaluation(game, deterministic_policy(game, profile.tolist()))
            values, actions = best_responses(evaluation)
            gain = values[agent] - evaluation.values[agent]
            if (gain > VISIBLE_GAIN * game.reward_bound).any():
                profile[agent] = actions[agent]
        if (profile == before).all():
            return profile
    return None


def near(
    found: Basin, rng: np.random.Generator, shares: Sequence[float], num_actions: Sequence[int]
) -> Policy:
    """Draw policies at which E(π) is a share of the radius, in every state: N arrays (B, S, A_i).

    Nobody deviates with more than probability 0.9; what deviates is spread at random.
    """
    states = found.actions.shape[1]
    total = np.asarray(shares)[:, None] * min(found.radius, 0.9)
    split = rng.dirichlet(np.ones(len(num_actions)), size=(len(shares), states))
    policy = []
    for agent, (own, count) in enumerate(zip(found.actions, num_actions, strict=True)):
        away = np.broadcast_to(total * split[..., agent], (len(shares), states))
        spread = rng.dirichlet(np.ones(max(count - 1, 1)), size=(len(shares), states))
        table = np.zeros((len(shares), states, count))
        for state, action in enumerate(own):
            rest = np.delete(np.arange(count), action)
            table[:, state, action] = 1 - away[:, state] * (count > 1)
            table[:, state, rest] = away[:, [state]] * spread[:, state, : count - 1]
        policy.append(table)
    return tuple(policy)
