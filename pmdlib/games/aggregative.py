"""Games seen through counts: the payoff depends on how many agents play action 1, not on which.

Agents may have different policies. What an agent needs is the distribution of the number of
others that play action 1 (Poisson-binomial). Agents with the same policy are treated together, so
a symmetric population costs little more than a single agent.
"""

from collections.abc import Hashable, Sequence
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from pmdlib.arithmetic import (
    Array,
    Ball,
    is_exact,
    largest,
    not_finite,
    rationals,
    smallest,
    to_exact,
    to_float,
)
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame, Policy

#: Above this many agents the binomial coefficients of a group would overflow float64.
MOST_AGENTS = 1000

#: Agents with the same policy: their common array (..., S, 2), and how many they are.
Group = tuple[Array, int]


def count_weights(own: Array, agents: int) -> Array:
    """Distribution of how many of ``agents``, each with policy (..., 2), play action 1: (..., n+1).

    Powers are products, factor by factor. So balls enclose the result also for agents that have
    different policies within the same enclosure.
    """
    powers = [np.ones_like(own)]
    for _ in range(agents):
        powers.append(powers[-1] * own)
    weights = [
        comb(agents, k) * powers[agents - k][..., 0] * powers[k][..., 1] for k in range(agents + 1)
    ]
    return np.stack(weights, axis=-1)


def _joint_weights(groups: Sequence[Group]) -> Array:
    """Distribution of the number of agents of all groups that play action 1: (..., n + 1)."""
    total = count_weights(*groups[0])
    for group in groups[1:]:
        more = count_weights(*group)
        length = total.shape[-1] + more.shape[-1] - 1
        joint = np.zeros((*total.shape[:-1], length), dtype=total.dtype)
        for k in range(more.shape[-1]):
            joint[..., k : k + total.shape[-1]] += more[..., k, None] * total
        total = joint
    return total


def _average(payoffs: Array, weights: Array) -> Array:
    """Average the payoffs from each count j upwards, Σ_k weights_k payoffs_{j+k}: (..., m + 1)."""
    windows = sliding_window_view(payoffs, weights.shape[-1], axis=-1)
    return np.asarray((windows @ weights[..., None])[..., 0])


def average_over_counts(payoffs: Array, groups: Sequence[Group]) -> list[Array]:
    """Average payoffs by count over all agents but one, for one agent of each group.

    The groups are split in two halves; averaging over one half leaves what the other half needs.

    Parameters
    ----------
    payoffs : ndarray (..., n + 1)
        Payoff for each number of agents that play action 1, of n in all groups together.
    groups : sequence of (policy (..., 2), number of agents)

    Returns
    -------
    list of arrays (..., 2), one a group: the payoff of the agent's own actions 0 and 1.
    """
    if len(groups) == 1:
        own, agents = groups[0]
        return [_average(payoffs, count_weights(own, agents - 1))]
    left, right = groups[: len(groups) // 2], groups[len(groups) // 2 :]
    return [
        *average_over_counts(_average(payoffs, _joint_weights(right)), left),
        *average_over_counts(_average(payoffs, _joint_weights(left)), right),
    ]


class CountGame(MarkovGame):
    """Identical interest, one state, two actions: the payoff c_k counts who plays action 1.

    Parameters
    ----------
    payoffs : array (N + 1,)
        c_k, the reward of every agent when k of the N agents play action 1. It is the potential.

    Raises
    ------
    InvalidGameError
        Naming the entry, the value and what was required.

    Notes
    -----
    Discount 0. Object arrays of exact rationals or balls are kept, and averages are then exact or
    enclosed: they take sums and products of probabilities, and no division.
    """

    identical_interest = True

    def __init__(self, payoffs: ArrayLike) -> None:
        self._payoffs = _check_payoffs(payoffs)
        exact = is_exact(self._payoffs)
        self.num_actions = (2,) * (len(self._payoffs) - 1)
        self.discount = to_exact(np.zeros(1))[0] if exact else 0.0
        self.initial = _ones((1,), exact=exact)

    @property
    def payoffs(self) -> Array:
        """Payoffs by count (N + 1,), as given, before any shift."""
        return self._payoffs.copy()

    @property
    def has_potential(self) -> bool:
        """Always: the interest is identical."""
        return True

    @cached_property
    def phi_max(self) -> Any:
        """Largest payoff, after a shift to start at 0 if one is negative; exact if they are."""
        return _number(largest(self._payoffs)) + self._shift

    @cached_property
    def reward_bound(self) -> Any:
        """Largest absolute payoff; exact if the payoffs are."""
        return _number(largest(abs(self._payoffs)))

    @cached_property
    def _shift(self) -> Any:
        return _number(largest(np.array([-_number(smallest(self._payoffs)), 0])))

    @cached_property
    def _kernel(self) -> Array:
        return _ones((1, 2, 1), exact=is_exact(self._payoffs))

    def average_rewards(self, policy: Policy) -> Policy:
        """Average the payoff over the others' actions: N arrays (..., 1, 2)."""
        members: dict[Any, list[int]] = {}
        for agent, own in enumerate(policy):
            members.setdefault(_identity(own), []).append(agent)
        groups = [(policy[agents[0]], len(agents)) for agents in members.values()]
        averages = average_over_counts(self._payoffs, groups)
        shared = zip(members.values(), averages, strict=True)
        by_agent = {agent: average for agents, average in shared for agent in agents}
        return tuple(by_agent[agent] for agent in range(self.num_agents))

    def average_kernel(self, policy: Policy) -> Policy:
        """There is one state: N arrays (1, 2, 1) of ones."""
        return (self._kernel,) * self.num_agents

    def average_potential(self, policy: Policy) -> Policy:
        """Average the payoff, shifted to be non-negative: N arrays (..., 1, 2)."""
        return tuple(average + self._shift for average in self.average_rewards(policy))

    def exact(self) -> "CountGame":
        """Return the same game over exact rationals, floats as they are."""
        return CountGame(to_exact(self._payoffs))

    def rounded(self) -> "CountGame":
        """Return the same game in floats, every number rounded; one in floats as it is."""
        return CountGame(to_float(self._payoffs)) if is_exact(self._payoffs) else self


def _number(array: Array) -> Any:
    """Return the one entry of an array of no axes."""
    return np.asarray(array).item()


def _ones(shape: tuple[int, ...], *, exact: bool) -> Array:
    ones = np.ones(shape, dtype=int)
    return rationals(ones, ones) if exact else ones.astype(float)


def _identity(own: Array) -> Any:
    """Return a key that is equal for policies with the same entries (or the same enclosures)."""
    if not is_exact(own):
        return own.shape, own.tobytes()
    return own.shape, tuple(_entry_identity(entry) for entry in own.flat)


def _entry_identity(entry: Any) -> Any:
    if isinstance(entry, Ball):
        return entry.arb.mid().man_exp(), entry.arb.rad().man_exp()
    return entry if isinstance(entry, Hashable) else id(entry)


def _check_payoffs(payoffs: ArrayLike) -> Array:
    """Validate payoffs and return a copy: what the caller does later must not change a game."""
    table = np.array(payoffs)
    if table.ndim != 1 or len(table) < 2:
        raise InvalidGameError(
            f"payoffs have shape {table.shape}, must be (N + 1,): one for each number of agents "
            "that play action 1, of at least one agent"
        )
    if len(table) - 1 > MOST_AGENTS:
        raise InvalidGameError(
            f"payoffs are for {len(table) - 1} agents, must be for at most {MOST_AGENTS}"
        )
    if not is_exact(table):
        if table.dtype.kind not in "fiub":
            raise InvalidGameError(f"payoffs must hold real numbers, not {table.dtype}")
        table = table.astype(np.float64)
    try:
        bad = np.flatnonzero(not_finite(table))
    except TypeError as error:
        raise InvalidGameError(f"payoffs must hold real numbers: {error}") from error
    if len(bad):
        raise InvalidGameError(f"payoffs[k={bad[0]}] is {table[bad[0]]}, must be finite")
    return table
