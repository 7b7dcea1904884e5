"""Values, averaged Q, occupancies: what a policy is worth, by exact linear solves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pmdlib.analysis.policies import check_policy, check_start
from pmdlib.arithmetic import Array, eye, solve
from pmdlib.games.game import InducedMDP, MarkovGame, Policy
from pmdlib.games.profiles import all_agents, each_agent, from_rows, rows, side_by_side


def expectation(own: Array, table: Array) -> Array:
    """Average a table (..., S, A) over an agent's own policy (..., S, A): (..., S)."""
    return np.asarray((own * table).sum(axis=-1))


def state_kernel(kernel: Array, own: Array) -> Array:
    """Transition matrix (..., S, S): one agent's kernel (..., S, A, S), own policy (..., S, A)."""
    return np.asarray((own[..., None, :] @ kernel)[..., 0, :])


def discounted_sum(kernel: Array, rewards: Array, discount: float) -> Array:
    """Solve (I - γP) V = r: kernel (..., S, S) and rewards (..., S, K) give (..., S, K)."""
    return solve(eye(kernel.shape[-1], kernel) - discount * kernel, rewards)


def discounted_occupancy(kernel: Array, initial: Array, discount: float) -> Array:
    """Solve d (I - γP) = (1-γ) ρ: kernel (..., S, S) and initial (..., S) give (..., S)."""
    system = eye(kernel.shape[-1], kernel) - discount * np.swapaxes(kernel, -1, -2)
    return (1 - discount) * solve(system, initial[..., :, None])[..., 0]


def number_or_array(result: Any) -> Array | float:
    """Return a plain number where there are no batch axes, and the array where there are."""
    number: Array | float = result
    if isinstance(result, np.ndarray | np.generic) and result.ndim == 0:
        number = result.item()
    return number  # an exact number passes as it is


@dataclass(frozen=True)
class Evaluation:
    """Everything that the averages of one game under one policy determine.

    Attributes are computed once, when first asked for; a run that needs values, averaged Q and
    Nash gap of one iterate pays for its averages and its linear solve once.

    Attributes
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)
        Already checked: use `evaluate` to come here from outside.
    """

    game: MarkovGame
    policy: Policy

    @classmethod
    def together(cls, evaluations: Sequence["Evaluation"]) -> "Evaluation":
        """Evaluate policies (..., S, A_i) of one game side by side, along a new first axis.

        Averages, values and averaged Q that all of them know are not computed again.
        """
        first = evaluations[0]
        joined = cls(first.game, side_by_side([each.policy for each in evaluations]))
        known = set.intersection(*(set(vars(each)) for each in evaluations))
        own_axes = {"rewards": 2, "kernels": 3, "agent_values": 1, "averaged_q": 2}
        batch = first.policy[0].ndim - 2
        for name in known & set(own_axes):
            families = [vars(each)[name] for each in evaluations]
            if families[0][0].ndim == batch + own_axes[name]:  # averages may have no batch axes
                vars(joined)[name] = side_by_side(families)
        return joined

    @cached_property
    def rewards(self) -> Policy:
        """Averaged reward of each agent's own actions, N arrays (..., S, A_i)."""
        if self.game.exogenous_kernel is not None:
            return self.game.average_rewards(self.policy)
        rewards, kernels = self.game.averages(self.policy)
        vars(self).setdefault("kernels", kernels)  # nearly all who need the one need the other
        return rewards

    @cached_property
    def kernels(self) -> Policy:
        """Averaged kernel of each agent, N arrays (..., S, A_i, S)."""
        return self.game.average_kernel(self.policy)

    @cached_property
    def mdps(self) -> tuple[InducedMDP, ...]:
        """The induced MDP of each agent."""
        averages = zip(self.rewards, self.kernels, strict=True)
        return tuple(InducedMDP(*average, self.game.discount) for average in averages)

    @cached_property
    def kernel(self) -> Array:
        """State transition matrix P^π, (..., S, S)."""
        fixed = self.game.exogenous_kernel
        if fixed is None:
            return state_kernel(self.kernels[0], self.policy[0])
        return np.broadcast_to(fixed, (*self.policy[0].shape[:-2], *fixed.shape))

    @cached_property
    def agent_values(self) -> Sequence[Array]:
        """V_i^π(s) of each agent, N arrays (..., S)."""
        own = each_agent(expectation, self.policy, self.rewards)
        each = rows(own)
        columns = each.transpose(*range(1, each.ndim), 0)
        solution = discounted_sum(self.kernel, columns, self.game.discount)
        return from_rows(solution.transpose(-1, *range(solution.ndim - 1)), own)

    @property
    def values(self) -> Array:
        """V_i^π(s), (..., N, S)."""
        return np.moveaxis(all_agents(self.agent_values), 0, -2)

    def _look_ahead(self, rewards: Policy, values: Sequence[Array]) -> Policy:
        """One-step look-ahead r + γ P V of each agent, N arrays (..., S, A_i)."""
        discount, fixed = self.game.discount, self.game.exogenous_kernel
        if fixed is not None:  # no action counts for what follows
            return each_agent(
                lambda r, v: np.asarray(r + discount * (v @ fixed.T)[..., None]), rewards, values
            )
        return each_agent(
            lambda r, kernel, v: action_values(InducedMDP(r, kernel, discount), v),
            rewards,
            self.kernels,
            values,
        )

    @cached_property
    def averaged_q(self) -> Policy:
        """Averaged Q of each agent, N arrays (..., S, A_i)."""
        return self._look_ahead(self.rewards, self.agent_values)

    @cached_property
    def advantages(self) -> Policy:
        """Averaged advantages Q - V of each agent, N arrays (..., S, A_i)."""
        return each_agent(lambda q, v: q - v[..., None], self.averaged_q, self.agent_values)

    @cached_property
    def stage_potential(self) -> Array:
        """φ^π(s), the stage potential averaged over everyone, (..., S)."""
        if self.game.identical_interest:
            mean = expectation(self.policy[0], self.rewards[0])
            return np.asarray(mean + self.game.potential_shift)
        return self.game.expected_potential(self.policy)

    @cached_property
    def potential_values(self) -> Array:
        """Φ^π(s), (..., S)."""
        rewards = self.stage_potential[..., None]
        return discounted_sum(self.kernel, rewards, self.game.discount)[..., 0]

    @cached_property
    def potential_q(self) -> Policy:
        """Averaged Q of the identical-interest game with reward φ, N arrays (..., S, A_i)."""
        rewards = self.game.average_potential(self.policy)
        values = self.potential_values
        shared = each_agent(lambda own: np.broadcast_to(values, own.shape[:-1]), self.policy)
        return self._look_ahead(rewards, shared)

    def occupancy(self, initial: Array) -> Array:
        """Discounted occupancy d^π from an initial distribution (..., S): (..., S)."""
        return discounted_occupancy(self.kernel, initial, self.game.discount)


def action_values(mdp: InducedMDP, values: Array) -> Array:
    """One-step look-ahead r + γ P V of one agent, (..., S, A): its averaged Q if V is its value."""
    next_values = (mdp.kernel @ values[..., None, :, None])[..., 0]
    return np.asarray(mdp.rewards + mdp.discount * next_values)


def evaluate(game: MarkovGame, policy: Policy) -> Evaluation:
    """Check ``policy`` and return its `Evaluation`; raises InvalidPolicyError."""
    return Evaluation(game, check_policy(game, policy))


def values(game: MarkovGame, policy: Policy) -> Array:
    """Compute V_i^π(s) = E Σ_t γ^t r_i(s_t, a_t) by one linear solve.

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)

    Returns
    -------
    ndarray (..., N, S), in units of reward.

    Raises
    ------
    InvalidPolicyError
        If the policy does not fit the game.

    Examples
    --------
    Leaving state 0 takes one step without reward; from then on state 1 pays 1 at a discount of 0.9.

    >>> from pmdlib.games.catalogue import stay_or_leave
    >>> game = stay_or_leave()
    >>> leave = pmd.deterministic_policy(game, [[1, 0]])
    >>> pmd.values(game, leave).round(9).tolist()
    [[9.0, 10.0]]
    """
    return evaluate(game, policy).values


def averaged_q(game: MarkovGame, policy: Policy) -> Policy:
    """Compute the averaged Q of every agent: the value of its own action, others averaged out.

    Q_i^π(s, a_i) = E_{a_-i ~ π_-i(.|s)} [ r_i(s, a) + γ Σ_s' P(s'|s, a) V_i^π(s') ].

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)

    Returns
    -------
    tuple of N arrays (..., S, A_i), in units of reward.

    Raises
    ------
    InvalidPolicyError
        If the policy does not fit the game.

    Examples
    --------
    Who leaves next time loses one reward by staying now: 0.9 · 9 = 8.1 in place of 9.

    >>> from pmdlib.games.catalogue import stay_or_leave
    >>> game = stay_or_leave()
    >>> leave = pmd.deterministic_policy(game, [[1, 0]])
    >>> [own.round(9).tolist() for own in pmd.averaged_q(game, leave)]
    [[[8.1, 9.0], [10.0, 10.0]]]
    """
    return evaluate(game, policy).averaged_q


def advantages(game: MarkovGame, policy: Policy) -> Policy:
    """Compute the averaged advantages Q_i^π(s, a_i) - V_i^π(s): N arrays (..., S, A_i).

    Examples
    --------
    Averaged over an agent's own policy its advantages are zero:

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> policy = pmd.random_policy(game, np.random.default_rng(0))
    >>> means = [(own * gain).sum() for own, gain in zip(policy, pmd.advantages(game, policy))]
    >>> bool(np.allclose(means, 0, atol=1e-12))
    True
    """
    return evaluate(game, policy).advantages


def occupancy(game: MarkovGame, policy: Policy, initial: Array | None = None) -> Array:
    """Compute the discounted occupancy d^π_ρ(s) = (1-γ) Σ_t γ^t Pr(s_t = s).

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)
    initial : ndarray (..., S), optional
        Start distribution in place of the game's own.

    Returns
    -------
    ndarray (..., S), summing to one. A state that ρ cannot reach has occupancy 0.

    Examples
    --------
    Who starts in state 0 and leaves at once spends the share 1 - γ = 0.1 of the discounted time
    there.

    >>> from pmdlib.games.catalogue import stay_or_leave
    >>> game = stay_or_leave()
    >>> leave = pmd.deterministic_policy(game, [[1, 0]])
    >>> pmd.occupancy(game, leave).round(9).tolist()
    [0.1, 0.9]
    """
    start = game.initial if initial is None else check_start(game, initial)
    return evaluate(game, policy).occupancy(start)


def potential_values(game: MarkovGame, policy: Policy) -> Array:
    """Compute Φ^π(s) = E Σ_t γ^t φ(s_t, a_t), φ shifted to start at 0 if negative: (..., S).

    Raises
    ------
    NotPotentialError
        If the game states no potential.

    Examples
    --------
    A team's reward is its potential, so the potential of a policy is its value:

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> policy = pmd.uniform_policy(game)
    >>> pmd.potential_values(game, policy).round(9).tolist()
    [0.525]
    >>> pmd.values(game, policy).round(9).tolist()
    [[0.525], [0.525]]
    """
    return evaluate(game, policy).potential_values
