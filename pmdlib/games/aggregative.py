"""Games of many agents seen through loads: congestion games, and teams with anonymous rewards."""

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
    largest,
    not_finite,
    to_exact,
    to_float,
)
from pmdlib.errors import InvalidGameError
from pmdlib.games.checks import SUM_TOLERANCE, load_table, real_table
from pmdlib.games.facilities import Bundles, FacilityGame
from pmdlib.games.game import Policy
from pmdlib.games.profiles import Profile, each_agent


class CongestionGame(FacilityGame):
    """A Markov congestion game: every user of a facility gets what its load in this state pays.

    r_i(s, a) = Σ_{f in a_i} payoffs[s, f, n_f - 1], n_f the number of agents that use f. No action
    moves the state, so it is a Markov potential game, with Rosenthal's stage potential
    φ(s, a) = Σ_f Σ_{k <= n_f} payoffs[s, f, k - 1].

    Parameters
    ----------
    payoffs : array (S, F, N)
        What each user gets, for a load of 1, .., N; any table (a cost is a negative payoff).
    agents : int, or sequence of (size, bundles)
        Number N of agents, each of whom picks one facility; or populations of so many agents whose
        actions are these bundles, such as ``[(8, [(0,), (1, 2)]), (2, [(1,), (2,)])]``.
    kernel : array (S, S), optional
        Transition matrix; needed if there are several states.
    discount : float in [0, 1)
    initial : array (S,), optional
        Initial distribution ρ; uniform by default.

    Raises
    ------
    InvalidGameError
        Naming the table, the index, the value and what was required.

    References
    ----------
    Rosenthal, "A class of games possessing pure-strategy Nash equilibria", 1973.

    Examples
    --------
    Three drivers and two roads, which pay each of 1, 2, 3 drivers so much. Two on the better road
    and one on the other is an equilibrium; the one who leaves a crowd of three gains what the
    potential gains.

    >>> game = pmd.CongestionGame([[[3.0, 2.0, 1.0], [2.0, 1.0, 0.0]]], agents=3)
    >>> crowd = pmd.deterministic_policy(game, [[0], [0], [0]])
    >>> split = pmd.deterministic_policy(game, [[0], [0], [1]])
    >>> pmd.nash_gap(game, crowd), pmd.nash_gap(game, split)
    (1.0, 0.0)
    >>> (pmd.potential_values(game, split) - pmd.potential_values(game, crowd)).tolist()
    [1.0]
    """

    def __init__(
        self,
        payoffs: ArrayLike,
        agents: int | Sequence[tuple[int, Bundles]],
        kernel: ArrayLike | None = None,
        *,
        discount: Any = 0.0,
        initial: ArrayLike | None = None,
    ) -> None:
        table = load_table("payoffs", payoffs, ("S", "F", "N"))
        states, facilities, _ = table.shape
        kernel = _only_state(states) if kernel is None else kernel
        super().__init__(
            states,
            facilities,
            agents,
            kernel,
            discount=discount,
            initial=initial,
            exact=is_exact(table),
        )
        self.payoffs = to_exact(table) if is_exact(self.initial) else table
        self.payoffs.flags.writeable = False
        _check_loads(table.shape[2], self.num_agents, "one for each load from 1")

    @cached_property
    def potential_terms(self) -> Array:
        """Rosenthal's sums of payoffs up to each load, (S, F, N + 1)."""
        start = np.zeros_like(self.payoffs[..., :1])
        return np.concatenate([start, np.cumsum(self.payoffs, axis=-1)], axis=-1)

    @cached_property
    def _potential_tables(self) -> Array:
        """W and what one more user adds to it, for each load of the others: (S, F, 2, N)."""
        return np.stack([self.potential_terms[..., :-1], self.payoffs], axis=-2)

    @cached_property
    def reward_bound(self) -> Any:
        """Largest absolute reward of any agent, or an upper bound where actions are bundles."""
        paid = largest(largest(abs(self.payoffs)), axis=0)
        return largest(np.concatenate([part @ paid for part in self.incidences])).item()

    def average_rewards(self, policy: Policy) -> Policy:
        """Average each agent's reward over the others' actions: N arrays (..., S, A_i)."""
        profile = self.arrange(policy)
        users = self._over_loads(self.payoffs[:, :, None, :], profile)[..., 0, :]
        return self._own_actions(users, None, profile)

    def average_potential(self, policy: Policy) -> Policy:
        """Average the stage potential, shifted to be non-negative: N arrays (..., S, A_i)."""
        profile = self.arrange(policy)
        averages = self._over_loads(self._potential_tables, profile)
        base = averages[..., 0, :].sum(axis=-2) + self.potential_shift
        return self._own_actions(averages[..., 1, :], base, profile)

    def exact(self) -> "CongestionGame":
        """Return the same game over exact rationals: floats as they are, rows summing to 1."""
        return self._over(to_exact(self.payoffs), exact_rows, to_exact(self.discount))

    def rounded(self) -> "CongestionGame":
        """Return the same game in floats, every number rounded."""
        return self._over(to_float(self.payoffs), to_float, float(to_float(self.discount)))

    def _over(self, payoffs: Array, rows: Any, discount: Any) -> "CongestionGame":
        return CongestionGame(
            payoffs,
            self.bundles,
            rows(self._exogenous),
            discount=discount,
            initial=rows(self.initial),
        )


class TeamGame(FacilityGame):
    """An anonymous team: reward and next state add up over facilities, by how many use each.

    r(s, a) = Σ_f payoffs[s, f, n_f] for all agents, n_f the number of agents that use f; and
    P(s'|s, a) = Σ_f kernel[s, f, n_f, s'], or a matrix (S, S) that no action moves.

    Parameters
    ----------
    payoffs : array (S, F, N + 1)
        What each facility adds to the common reward, for a load of 0, .., N.
    agents : int, or sequence of (size, bundles)
        As in `CongestionGame`. An action may be the empty bundle.
    kernel : array (S, S), or (S, F, N + 1, S), optional
        Needed if there are several states. The second form must have entries >= 0, and the sums
        over s' and facilities must be 1 for all loads that can occur.
    discount : float in [0, 1)
    initial : array (S,), optional
        Initial distribution ρ; uniform by default.

    Raises
    ------
    InvalidGameError
        Naming the table, the index, the value and what was required.

    Examples
    --------
    Ten agents use no facility or the only one; all earn 1 if exactly one of them uses it. If each
    does so with probability 1/10, that happens with probability (9/10)^9, and nobody can do better
    alone.

    >>> by_load = np.eye(11)[1]
    >>> game = pmd.TeamGame([[by_load]], [(10, [(), (0,)])])
    >>> policy = (np.array([[0.9, 0.1]]),) * 10
    >>> pmd.values(game, policy)[0, 0].round(4).item(), round(0.9**9, 4)
    (0.3874, 0.3874)
    >>> round(pmd.nash_gap(game, policy), 9)
    0.0
    """

    identical_interest = True

    def __init__(
        self,
        payoffs: ArrayLike,
        agents: int | Sequence[tuple[int, Bundles]],
        kernel: ArrayLike | None = None,
        *,
        discount: Any = 0.0,
        initial: ArrayLike | None = None,
    ) -> None:
        table = load_table("payoffs", payoffs, ("S", "F", "N + 1"))
        states, facilities, _ = table.shape
        moved = None if kernel is None or np.ndim(kernel) == 2 else real_table("kernel", kernel)
        fixed = None if moved is not None else _only_state(states) if kernel is None else kernel
        exact = is_exact(table) or (moved is not None and is_exact(moved))
        super().__init__(
            states, facilities, agents, fixed, discount=discount, initial=initial, exact=exact
        )
        exact = is_exact(self.initial)
        self._payoffs = to_exact(table) if exact else table
        self._payoffs.flags.writeable = False
        _check_loads(table.shape[2], self.num_agents + 1, "one for each load from 0")
        self._moved = moved if moved is None or not exact else to_exact(moved)
        if self._moved is not None:
            self._check_moved(self._moved, (*table.shape, states))

    @property
    def payoffs(self) -> Array:
        """What each facility adds to the reward by its load, (S, F, N + 1), before any shift."""
        return self._payoffs

    def _check_moved(self, kernel: Array, shape: tuple[int, ...]) -> None:
        if kernel.shape != shape:
            raise InvalidGameError(
                f"kernel has shape {kernel.shape}, must be (S, F, N + 1, S) = {shape} or (S, S)"
            )
        for bad, requirement in ((not_finite, "finite"), (certainly_negative, ">= 0")):
            where = np.argwhere(bad(kernel))
            if len(where):
                s, f, load, after = (int(i) for i in where[0])
                raise InvalidGameError(
                    f"kernel[s={s}, f={f}, load={load}, s'={after}] is "
                    f"{kernel[s, f, load, after]}, must be {requirement}"
                )
        tolerance = 0 if is_exact(kernel) else SUM_TOLERANCE
        for state, masses in enumerate(kernel.sum(axis=-1)):
            total = self._linear_total(masses, tolerance)
            if total is None:
                raise InvalidGameError(
                    f"kernel[s={state}] must have the same sum for all loads that may occur: "
                    "summed over s', each facility linear in its load, and all actions of an agent "
                    "alike in the slopes of what they use"
                )
            if abs(total - 1) > tolerance:
                raise InvalidGameError(
                    f"kernel[s={state}] sums to {float(to_float(total)):.9g}, must be 1 within "
                    f"{tolerance:g}"
                )

    def _linear_total(self, terms: Array, tolerance: float) -> Any | None:
        """Return Σ_f terms_f(load of f), terms (F, N + 1), if it is the same for all loads.

        That is shown by linearity, over the loads that each facility may have; else None.
        """
        least, most = self._reachable
        slopes, total = [], 0
        for row, a, b in zip(terms, least, most, strict=True):
            slope = (row[b] - row[a]) / int(b - a) if b > a else 0 * row[a]
            line = row[a] + slope * np.arange(b - a + 1).astype(terms.dtype)
            if largest(abs(row[a : b + 1] - line)) > tolerance:
                return None
            slopes.append(slope)
            total = total + row[a] - slope * int(a)
        for size, incidence in zip(self.populations, self.incidences, strict=True):
            gains = incidence @ np.array(slopes, dtype=terms.dtype)
            if largest(abs(gains - gains[0])) * self.num_agents > tolerance:
                return None
            total = total + size * gains[0]
        return total

    @property
    def potential_terms(self) -> Array:
        """What each facility adds to the common reward, (S, F, N + 1)."""
        return self._payoffs

    @property
    def facility_kernel(self) -> Array | None:
        """Part of each facility in the next state's probabilities, (S, F, N + 1, S); or None."""
        return self._moved

    @cached_property
    def reward_bound(self) -> Any:
        """Largest absolute reward, as far as `extremes` knows it."""
        low, high = self._potential_extremes
        return max(-low, high)

    @cached_property
    def _reward_tables(self) -> Array:
        return _with_steps(self._payoffs[:, :, None, :])

    @cached_property
    def _kernel_tables(self) -> Array:
        if self._moved is None:
            raise TypeError("no action moves the state")  # the base class answers for it
        return _with_steps(np.swapaxes(self._moved, -1, -2))

    def _average_sums(self, tables: Array, profile: Profile) -> list[Profile]:
        """Average sums over facilities for the agents' own actions, from `_with_steps`."""
        averages = self._over_loads(tables, profile)
        bases, steps = np.split(averages, 2, axis=-2)
        return [
            self._own_actions(steps[..., k, :], bases[..., k, :].sum(axis=-2), profile)
            for k in range(bases.shape[-2])
        ]

    def average_rewards(self, policy: Policy) -> Policy:
        """Average the common reward over the others' actions: N arrays (..., S, A_i)."""
        return self._average_sums(self._reward_tables, self.arrange(policy))[0]

    def average_potential(self, policy: Policy) -> Policy:
        """Average the reward, shifted to be non-negative: N arrays (..., S, A_i)."""
        return each_agent(lambda own: own + self.potential_shift, self.average_rewards(policy))

    def _average_own_kernel(self, profile: Profile) -> Profile:
        parts = self._average_sums(self._kernel_tables, profile)
        stacks = zip(*(part.stacks for part in parts), strict=True)
        return Profile((np.stack(after, axis=-1) for after in stacks), profile.roster)

    def exact(self) -> "TeamGame":
        """Return the same game over exact rationals, floats as they are (and (S, S) rows scaled).

        A kernel (S, F, N + 1, S) must then sum to 1 exactly.
        """
        fixed = self.exogenous_kernel
        kernel = to_exact(self._moved) if fixed is None else exact_rows(fixed)
        return self._over(
            to_exact(self._payoffs), kernel, to_exact(self.discount), exact_rows(self.initial)
        )

    def rounded(self) -> "TeamGame":
        """Return the same game in floats, every number rounded."""
        fixed = self.exogenous_kernel
        kernel = to_float(self._moved if fixed is None else fixed)
        return self._over(
            to_float(self._payoffs), kernel, float(to_float(self.discount)), to_float(self.initial)
        )

    def _over(self, payoffs: Array, kernel: Array, discount: Any, initial: Array) -> "TeamGame":
        return TeamGame(payoffs, self.bundles, kernel, discount=discount, initial=initial)


class CountGame(TeamGame):
    """A team of one state and two actions: the payoff c_k counts who plays action 1; γ = 0.

    Parameters
    ----------
    payoffs : array (N + 1,)
        c_k, the reward of every agent when k of the N agents play action 1. It is the potential.

    Raises
    ------
    InvalidGameError
        Naming the entry, the value and what was required.
    """

    def __init__(self, payoffs: ArrayLike) -> None:
        table = load_table("payoffs", payoffs, ("N + 1",))
        if len(table) < 2:
            raise InvalidGameError(
                f"payoffs have shape {table.shape}, must be (N + 1,) for N >= 1 agents"
            )
        super().__init__(table[None, None], [(len(table) - 1, [(), (0,)])])

    @property
    def payoffs(self) -> Array:
        """Payoffs by count (N + 1,), as given, before any shift."""
        return np.array(self._payoffs[0, 0])

    def exact(self) -> "CountGame":
        """Return the same game over exact rationals, floats as they are."""
        return CountGame(to_exact(self.payoffs))

    def rounded(self) -> "CountGame":
        """Return the same game in floats, every number rounded."""
        return CountGame(to_float(self.payoffs))


def _with_steps(terms: Array) -> Array:
    """Append to terms (S, F, K, N + 1) what one more user adds: (S, F, 2 K, N), by the others."""
    return np.concatenate([terms[..., :-1], np.diff(terms, axis=-1)], axis=-2)


def _only_state(states: int) -> Array:
    if states > 1:
        raise InvalidGameError(f"a kernel is needed: the payoffs are for {states} states")
    return np.ones((1, 1))


def _check_loads(given: int, required: int, what: str) -> None:
    if given != required:
        raise InvalidGameError(
            f"payoffs are for {given} loads, must be for {required}: {what} to the number of agents"
        )
