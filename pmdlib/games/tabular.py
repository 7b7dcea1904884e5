"""Games given by dense tensors over joint actions, averaged for all agents in two passes."""

from collections.abc import Sequence
from functools import cached_property
from math import prod
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
    not_finite,
    rationals,
    smallest,
    to_exact,
    to_float,
)
from pmdlib.errors import InvalidGameError, NotPotentialError
from pmdlib.games.game import MarkovGame, Policy

#: How far a probability distribution given in floating point may be from summing to one.
SUM_TOLERANCE = 1e-9


def average_over_others(tensor: Array, policy: Sequence[Array]) -> list[Array]:
    """Average a joint tensor over everyone but i, for all agents i at once.

    The agents are split in two halves. Averaging the tensor over the right half leaves what the
    left half needs, and the other way round; each half is then treated the same way. The tensor
    is read twice in all (once, if every agent has a tensor of its own), where one contraction an
    agent would read it N times.

    Parameters
    ----------
    tensor : ndarray (n, S, K, A_1 * .. * A_m)
        One tensor for each of the m agents (n = m), or one that they share (n = 1); K channels.
        Leading batch axes are allowed once some agents have been averaged out.
    policy : sequence of m arrays (..., S, A_i)

    Returns
    -------
    list of m arrays (..., S, K, A_i). With a single agent there is nobody to average over, and
    the batch axes of its policy do not appear.
    """
    if len(policy) == 1:
        return [tensor[..., 0, :, :, :]]
    half = len(policy) // 2
    left, right = policy[:half], policy[half:]
    left_weights, right_weights = join(left), join(right)
    block = tensor.reshape(*tensor.shape[:-1], left_weights.shape[-1], right_weights.shape[-1])
    shared = tensor.shape[-4] == 1
    for_left = block if shared else block[..., :half, :, :, :, :]
    for_right = block if shared else block[..., half:, :, :, :, :]
    over_right = (for_left @ right_weights[..., None, :, None, :, None])[..., 0]
    over_left = (left_weights[..., None, :, None, None, :] @ for_right)[..., 0, :]
    return average_over_others(over_right, left) + average_over_others(over_left, right)


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
        tables = [_table("rewards", rewards)] if identical else _tables(rewards)
        shape = tables[0].shape
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
        _check_finite("rewards", tables)
        self.identical_interest = identical
        self.discount = _check_discount(discount)
        self.exogenous, self._kernel = _kernel(kernel, states, self.num_actions, identical)
        exact = is_exact(self._kernel) or any(map(is_exact, tables))
        if exact:  # one arithmetic for all of the game
            tables = [to_exact(table) for table in tables]
            self._kernel = to_exact(self._kernel)
            self.discount = to_exact(self.discount)
        self.initial = _initial(initial, states, exact=exact)
        self._rewards = np.stack(tables).reshape(len(tables), states, 1, -1)
        _check_size(self._rewards, self.discount)
        self._potential = self._rewards if identical else None
        if potential is not None:
            table = _table("potential", potential)
            if table.shape != shape:
                raise InvalidGameError(
                    f"potential has shape {table.shape}, must be that of the rewards, {shape}"
                )
            _check_finite("potential", [table])
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
        return _extreme(largest, self._stated_potential()) + self._shift

    @cached_property
    def reward_bound(self) -> Any:
        """Largest absolute reward of any agent."""
        return _extreme(largest, abs(self._rewards))

    @cached_property
    def _exogenous_rows(self) -> Policy:
        states, rows = self.num_states, self._kernel[:, None, :]
        return tuple(np.broadcast_to(rows, (states, m, states)) for m in self.num_actions)

    @cached_property
    def _shift(self) -> Any:
        table = self._stated_potential()
        return -_extreme(smallest, table) if certainly_negative(table).any() else 0

    def _stated_potential(self) -> Array:
        if self._potential is None:
            raise NotPotentialError(
                "the game states no potential: pass potential=(S, A_1, .., A_N) to TabularGame, "
                "or use only what needs none"
            )
        return self._potential

    def average_rewards(self, policy: Policy) -> Policy:
        """Average each agent's reward over the others' actions: N arrays (..., S, A_i)."""
        return tuple(part[..., 0, :] for part in average_over_others(self._rewards, policy))

    def average_kernel(self, policy: Policy) -> Policy:
        """Average the next-state probabilities over the others: N arrays (..., S, A_i, S)."""
        if self.exogenous:
            return self._exogenous_rows
        parts = average_over_others(self._kernel[None], policy)
        return tuple(np.swapaxes(part, -1, -2) for part in parts)

    def average_potential(self, policy: Policy) -> Policy:
        """Average the stage potential, shifted to be non-negative: N arrays (..., S, A_i)."""
        parts = average_over_others(self._stated_potential(), policy)
        return tuple(part[..., 0, :] + self._shift for part in parts)

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


def _extreme(pick: Any, table: Array) -> Any:
    """Largest or smallest entry of a whole table, as a plain number."""
    entry = pick(table.reshape(-1))
    return entry if is_exact(table) else float(entry)


def _table(name: str, values: Any) -> Array:
    try:
        table = np.asarray(values)
    except ValueError as error:
        raise InvalidGameError(f"{name} cannot be read as an array: {error}") from error
    if is_exact(table):
        try:
            not_finite(table)
        except TypeError as error:
            raise InvalidGameError(f"{name} must hold real numbers: {error}") from error
    elif table.dtype.kind not in "fiub":
        raise InvalidGameError(f"{name} must hold real numbers, not {table.dtype}")
    # A copy: what the caller does to an array later must not change a game that was checked.
    return np.array(table, dtype=object if is_exact(table) else np.float64, order="C")


def _tables(rewards: Any) -> list[Array]:
    if not isinstance(rewards, Sequence) or isinstance(rewards, str):
        raise InvalidGameError(
            f"rewards are a {type(rewards).__name__}, must be a sequence of N arrays, or one "
            "ndarray for identical interest"
        )
    tables = [_table(f"rewards[agent={i}]", table) for i, table in enumerate(rewards)]
    if not tables:
        raise InvalidGameError("rewards are empty: a game needs at least one agent")
    for i, table in enumerate(tables):
        if table.shape != tables[0].shape:
            raise InvalidGameError(
                f"rewards[agent={i}] has shape {table.shape}, must be that of agent 0, "
                f"{tables[0].shape}"
            )
    return tables


def _check_finite(name: str, tables: list[Array]) -> None:
    for i, table in enumerate(tables):
        bad = np.argwhere(not_finite(table))
        if len(bad):
            where = tuple(bad[0])
            agent = f"agent={i}, " if len(tables) > 1 else ""
            raise InvalidGameError(
                f"{name}[{agent}s={where[0]}, a={_plain(where[1:])}] is {table[where]}, "
                "must be finite"
            )


def _check_size(rewards: Array, discount: Any) -> None:
    """Refuse rewards whose values, or differences of values, would overflow."""
    if is_exact(rewards):
        return
    largest = float(abs(rewards).max())
    if largest > np.finfo(float).max * (1 - discount) / 4:
        raise InvalidGameError(
            f"rewards reach {largest:g}: values of up to that over 1 - {discount} overflow"
        )


def _check_discount(discount: Any) -> Any:
    try:
        bad = not_finite(np.asarray(discount)) | certainly_negative(np.asarray(discount))
        large = certainly_negative(np.asarray(1 - discount)) | (discount == 1)
        fits = np.ndim(discount) == 0 and not isinstance(discount, bool) and not (bad or large)
    except (TypeError, ValueError):  # not a number, or several
        fits = False
    if not fits:
        raise InvalidGameError(f"discount is {discount!r}, must be a number in [0, 1)")
    return discount


def _kernel(
    kernel: ArrayLike, states: int, actions: tuple[int, ...], identical: bool
) -> tuple[bool, Array]:
    """Validate a kernel; store it as (S, S) or, next state first, as (S, S', joint actions)."""
    table = _table("kernel", kernel)
    exogenous = table.shape == (states, states)
    if not exogenous and table.shape != (states, *actions, states):
        hint = "; one ndarray of rewards means identical interest: give a list for one per agent"
        raise InvalidGameError(
            f"kernel has shape {table.shape}, must be (S, A_1, .., A_N, S) = "
            f"{(states, *actions, states)}, or (S, S) = {(states, states)} if no action moves "
            f"the state{hint if identical else ''}"
        )
    _check_distributions("kernel", table)
    if exogenous:
        return True, table
    stored = np.moveaxis(table, -1, 1).reshape(states, states, prod(actions))
    return False, np.ascontiguousarray(stored)


def _initial(initial: ArrayLike | None, states: int, *, exact: bool) -> Array:
    if initial is None:
        ones = np.ones(states, dtype=int)
        return rationals(ones, ones * states) if exact else ones / states
    table = _table("initial", initial)
    if table.shape != (states,):
        raise InvalidGameError(f"initial has shape {table.shape}, must be (S,) = {(states,)}")
    _check_distributions("initial", table)
    return to_exact(table) if exact else table


def _check_distributions(name: str, table: Array) -> None:
    """Check that the last axis is a probability distribution, naming the first that is not."""
    bad = np.argwhere(not_finite(table))
    if len(bad):
        raise InvalidGameError(
            f"{_place(name, bad[0][:-1])} has a probability {table[tuple(bad[0])]}, must be finite"
        )
    bad = np.argwhere(certainly_negative(table))
    if len(bad):
        raise InvalidGameError(
            f"{_place(name, bad[0][:-1])} has a probability {table[tuple(bad[0])]}, must be >= 0"
        )
    sums = table.sum(axis=-1)
    tolerance = 0 if is_exact(table) else SUM_TOLERANCE
    off = np.atleast_1d(certainly_negative(tolerance - abs(sums - 1)))
    if off.any():
        where = np.argwhere(off)[0][: np.ndim(sums)]
        value = np.asarray(sums)[tuple(where)]
        raise InvalidGameError(
            f"{_place(name, where)} sums to {value}, must be 1 within {tolerance:g}"
        )


def _place(name: str, index: Any) -> str:
    if len(index) == 0:
        return name
    if len(index) == 1:
        return f"{name}[s={index[0]}]"
    return f"{name}[s={index[0]}, a={_plain(index[1:])}]"


def _plain(index: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in index)
