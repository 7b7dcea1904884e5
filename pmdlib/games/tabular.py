"""Games given by dense tensors over joint actions, averaged for all agents at once."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import (
    Array,
    certainly_negative,
    exact_rows,
    is_exact,
    join,
    largest,
    smallest,
    to_exact,
    to_float,
)
from pmdlib.errors import InvalidGameError, NotPotentialError
from pmdlib.games.checks import (
    check_discount,
    check_finite,
    check_initial,
    check_kernel,
    check_size,
    real_table,
    real_tables,
)
from pmdlib.games.contraction import average_over_others
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import each_agent


class TabularGame(MarkovGame):
    """A Markov game given by its tensors.

    Parameters
    ----------
    rewards : sequence of N arrays (S, A_1, .., A_N), or one such ndarray
        One ndarray means identical interest: every agent receives it, and it is the potential.
        So N tensors stacked in one ndarray are not a sequence: pass ``list(stacked)``.
    kernel : array (S, A_1, .., A_N, S), or (S, S)
        Next-state probabilities; (S, S) when no action moves the state (exogenous kernel).
    discount : float in [0, 1)
    initial : array (S,), optional
        Initial distribution ρ; uniform by default.
    potential : array (S, A_1, .., A_N), optional
        Stage potential φ. It is taken at its word: `is_markov_potential_game` tests games.

    Raises
    ------
    InvalidGameError
        Naming the tensor, the index, the value and what was required.

    Notes
    -----
    Arrays of exact numbers (dtype object: rationals, balls, symbols) are kept as they are, floats
    beside them become the rationals that they are, and all averages are exact.

    Examples
    --------
    The prisoner's dilemma has different rewards, and a potential: it registers what each agent
    gains by moving alone. Action 1 (to defect) dominates.

    >>> rewards = [np.array([[[2.0, 0.0], [3.0, 1.0]]]), np.array([[[2.0, 3.0], [0.0, 1.0]]])]
    >>> potential = np.array([[[0.0, 1.0], [1.0, 2.0]]])
    >>> game = pmd.TabularGame(rewards, np.eye(1), discount=0.0, potential=potential)
    >>> game.num_agents, game.num_states, game.num_actions, game.phi_max
    (2, 1, (2, 2), 2.0)
    >>> pmd.nash_gap(game, pmd.uniform_policy(game))
    0.5

    Over the rationals that these floats are, nothing is rounded:

    >>> exact = game.exact()
    >>> print(pmd.nash_gap(exact, pmd.uniform_policy(exact)))
    1/2
    """

    def __init__(
        self,
        rewards: ArrayLike | Sequence[ArrayLike],
        kernel: ArrayLike,
        *,
        discount: Any,
        initial: ArrayLike | None = None,
        potential: ArrayLike | None = None,
    ) -> None:
        identical = isinstance(rewards, np.ndarray)
        tables = real_table("rewards", rewards)[None] if identical else real_tables(rewards)
        shape = tables.shape[1:]
        if len(shape) < 2 or 0 in shape:
            raise InvalidGameError(
                f"rewards have shape {shape}, must be (S, A_1, .., A_N) with no empty axis"
            )
        states, self.num_actions = shape[0], tuple(shape[1:])
        if not identical and len(tables) != self.num_agents:
            raise InvalidGameError(
                f"rewards hold {len(tables)} tensors of shape {shape}, but that shape has "
                f"{self.num_agents} action axes: give one tensor (S, A_1, .., A_N) per agent"
            )
        check_finite("rewards", tables)
        self.identical_interest = identical
        self.discount = check_discount(discount)
        self.exogenous, self._kernel = check_kernel(kernel, states, self.num_actions, identical)
        exact = is_exact(self._kernel) or is_exact(tables)
        if exact:  # one arithmetic for all of the game
            tables = to_exact(tables)
            self._kernel = to_exact(self._kernel)
            self.discount = to_exact(self.discount)
        self.initial = check_initial(initial, states, exact=exact)
        self._rewards = tables.reshape(len(tables), states, 1, -1)
        check_size(self._rewards, self.discount)
        self._potential = self._rewards if identical else None
        if potential is not None:
            table = real_table("potential", potential)
            if table.shape != shape:
                raise InvalidGameError(
                    f"potential has shape {table.shape}, must be that of the rewards, {shape}"
                )
            check_finite("potential", [table])
            table = to_exact(table) if exact else table
            self._potential = table.reshape(1, states, 1, -1)

    @property
    def rewards(self) -> Array:
        """Reward tensors (N, S, A_1, .., A_N); a read-only view for identical interest."""
        tables = self._rewards.reshape(-1, self.num_states, *self.num_actions)
        return np.broadcast_to(tables, (self.num_agents, *tables.shape[1:]))

    @property
    def kernel(self) -> Array:
        """Kernel as given: (S, A_1, .., A_N, S), or (S, S) when exogenous."""
        if self.exogenous:
            return self._kernel
        table = self._kernel.reshape(self.num_states, self.num_states, *self.num_actions)
        return np.moveaxis(table, 1, -1)

    @property
    def potential(self) -> Array:
        """Stage potential (S, A_1, .., A_N), as given, before any shift."""
        return self._stated_potential().reshape(self.num_states, *self.num_actions)

    @property
    def exogenous_kernel(self) -> Array | None:
        """Transition matrix (S, S) if no action moves the state, else None."""
        return self._kernel if self.exogenous else None

    @property
    def has_potential(self) -> bool:
        """Whether a potential was given, or the interest is identical."""
        return self._potential is not None

    @cached_property
    def phi_max(self) -> Any:
        """Largest stage potential, after a shift to start at 0 if it is negative somewhere."""
        return _extreme(largest, self._stated_potential()) + self.potential_shift

    @cached_property
    def reward_bound(self) -> Any:
        """Largest absolute reward of any agent."""
        if is_exact(self._rewards):
            return _extreme(largest, abs(self._rewards))
        return max(_extreme(largest, self._rewards), -_extreme(smallest, self._rewards))

    @cached_property
    def _exogenous_rows(self) -> Policy:
        states, rows = self.num_states, self._kernel[:, None, :]
        return tuple(np.broadcast_to(rows, (states, m, states)) for m in self.num_actions)

    @cached_property
    def potential_shift(self) -> Any:
        """What is added to the stated potential to make it start at 0; 0 if nowhere negative."""
        table = self._stated_potential()
        return -_extreme(smallest, table) if certainly_negative(table).any() else 0

    def _stated_potential(self) -> Array:
        if self._potential is None:
            raise NotPotentialError(
                "the game states no potential: pass potential=(S, A_1, .., A_N) to TabularGame, "
                "or use only what needs none"
            )
        return self._potential

    def averages(self, policy: Policy) -> tuple[Policy, Policy]:
        """Average rewards and kernel: what is alike in both is done once."""
        if self.exogenous:
            return self.average_rewards(policy), self._exogenous_rows
        rewards, kernels = average_over_others([self._rewards, self._kernel[None]], policy)
        return _without_channels(rewards), _next_states_last(kernels)

    def average_rewards(self, policy: Policy) -> Policy:
        """Average each agent's reward over the others' actions: N arrays (..., S, A_i)."""
        (rewards,) = average_over_others([self._rewards], policy)
        return _without_channels(rewards)

    def average_kernel(self, policy: Policy) -> Policy:
        """Average the next-state probabilities over the others: N arrays (..., S, A_i, S)."""
        if self.exogenous:
            return self._exogenous_rows
        (kernels,) = average_over_others([self._kernel[None]], policy)
        return _next_states_last(kernels)

    def average_potential(self, policy: Policy) -> Policy:
        """Average the stage potential, shifted to be non-negative: N arrays (..., S, A_i)."""
        (parts,) = average_over_others([self._stated_potential()], policy)
        return each_agent(lambda part: part[..., 0, :] + self.potential_shift, parts)

    def expected_potential(self, policy: Policy) -> Array:
        """Average the stage potential over all agents, in one pass: (..., S)."""
        if self.num_agents == 1:
            return super().expected_potential(policy)
        half = self.num_agents // 2
        left, right = join(policy[:half]), join(policy[half:])
        table = self._stated_potential().reshape(self.num_states, left.shape[-1], right.shape[-1])
        over_right = (table @ right[..., None])[..., 0]
        return np.asarray((left * over_right).sum(axis=-1) + self.potential_shift)

    def exact(self) -> "TabularGame":
        """Return the same game over exact rationals: floats as they are, rows summing to 1."""
        tables = to_exact(self.rewards[0]) if self.identical_interest else to_exact(self.rewards)
        return TabularGame(
            tables if self.identical_interest else list(tables),
            exact_rows(self.kernel),
            discount=to_exact(self.discount),
            initial=exact_rows(self.initial),
            potential=to_exact(self.potential) if self.has_potential else None,
        )

    def rounded(self) -> "TabularGame":
        """Return the same game in floats, every number rounded; one in floats as it is."""
        if not is_exact(self.initial):
            return self
        tables = to_float(self.rewards[0]) if self.identical_interest else to_float(self.rewards)
        return TabularGame(
            tables if self.identical_interest else list(tables),
            to_float(self.kernel),
            discount=float(to_float(self.discount)),
            initial=to_float(self.initial),
            potential=to_float(self.potential) if self.has_potential else None,
        )


def _without_channels(averages: Policy) -> Policy:
    return each_agent(lambda part: part[..., 0, :], averages)


def _next_states_last(averages: Policy) -> Policy:
    return each_agent(lambda part: np.swapaxes(part, -1, -2), averages)


def _extreme(pick: Any, table: Array) -> Any:
    """Largest or smallest entry of a whole table, as a plain number."""
    entry = pick(table.reshape(-1))
    return entry if is_exact(table) else float(entry)
