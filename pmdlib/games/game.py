"""What every game offers: the averages over the others, and the MDP that each agent then faces."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pmdlib.arithmetic import Array

#: A product policy: one array (..., S, A_i) per agent, in a tuple or a `Profile`. Leading axes are
#: batch axes.
Policy = Sequence[Array]


@dataclass(frozen=True)
class InducedMDP:
    """The Markov decision process that one agent faces when the others keep their policies.

    Attributes
    ----------
    rewards : ndarray (..., S, A_i)
        Averaged reward of the agent's own action.
    kernel : ndarray (..., S, A_i, S)
        Averaged probability of the next state.
    discount : float, or an exact number
    """

    rewards: Array
    kernel: Array
    discount: float


class MarkovGame(ABC):
    """A finite discounted Markov game, seen through its averages over the other agents.

    A game has ``num_agents`` agents, ``num_states`` states, ``num_actions[i]`` actions for agent
    i, a ``discount`` in [0, 1) and an ``initial`` distribution (S,). Everything that the library
    computes follows from the three averages below, so a new kind of game implements these and
    nothing else.
    """

    num_actions: tuple[int, ...]
    discount: float
    initial: Array
    #: Whether all agents receive the same reward, which then is the potential.
    identical_interest: bool = False
    #: Sizes of populations of consecutive agents that only their policies tell apart, where a game
    #: keeps policies as a `Profile` with a stack for each; empty where it keeps them apart.
    populations: tuple[int, ...] = ()

    @property
    def num_agents(self) -> int:
        """Number of agents N."""
        return len(self.num_actions)

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return len(self.initial)

    @abstractmethod
    def average_rewards(self, policy: Policy) -> Policy:
        """Average each agent's reward over the others' actions: N arrays (..., S, A_i)."""

    @abstractmethod
    def average_kernel(self, policy: Policy) -> Policy:
        """Average the next-state probabilities over the others: N arrays (..., S, A_i, S)."""

    def averages(self, policy: Policy) -> tuple[Policy, Policy]:
        """Average rewards and kernel, together where that costs less."""
        return self.average_rewards(policy), self.average_kernel(policy)

    @abstractmethod
    def average_potential(self, policy: Policy) -> Policy:
        """Average the stage potential, shifted to start at 0 if it is negative somewhere.

        Returns N arrays (..., S, A_i); raises NotPotentialError if the game states no potential.
        """

    def expected_potential(self, policy: Policy) -> Array:
        """Average the stage potential, shifted alike, over all agents: (..., S)."""
        return np.asarray((policy[0] * self.average_potential(policy)[0]).sum(axis=-1))

    def arrange(self, policy: Policy) -> Policy:
        """Return a policy in the form in which this game keeps them: here a tuple."""
        return tuple(policy)

    @property
    def exogenous_kernel(self) -> Array | None:
        """Transition matrix (S, S) if no action moves the state, else None."""
        return None

    @property
    @abstractmethod
    def has_potential(self) -> bool:
        """Whether the game states a stage potential (stating one does not make it true)."""

    @cached_property
    @abstractmethod
    def potential_shift(self) -> Any:
        """What is added to the stated potential to make it start at 0; 0 if nowhere negative."""

    @cached_property
    @abstractmethod
    def phi_max(self) -> Any:
        """Largest value of the stage potential after the shift; NotPotentialError without one."""

    @cached_property
    @abstractmethod
    def reward_bound(self) -> Any:
        """Largest absolute reward of any agent: the scale of tolerances."""

    def induced_mdps(self, policy: Policy) -> tuple[InducedMDP, ...]:
        """Return the MDP that each agent faces under ``policy``."""
        averages = zip(*self.averages(policy), strict=True)
        return tuple(InducedMDP(rewards, kernel, self.discount) for rewards, kernel in averages)
