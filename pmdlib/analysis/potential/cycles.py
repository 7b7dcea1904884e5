"""Closed walks through policies: what two agents gain in turn sums to zero if there is a potential.

A walk moves agents i and j in turn, i, j, i, j, .., and ends where it began. If a potential
registers every change of value, the changes of whoever moves sum to zero round the walk, from every
start state. A walk that stays open is a witness: policies of rational numbers and one sum that is
not zero, which anyone can recompute. `cycle_search` looks for readable ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.policies import check_policy, replace
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, exact_rows, is_exact, to_exact, to_float
from pmdlib.errors import InvalidPolicyError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame


@dataclass(frozen=True)
class Cycle:
    """A closed walk on which value changes do not cancel: a witness against a potential.

    Attributes
    ----------
    agents : (i, j)
        The two agents that move, in turn.
    start : tuple of N arrays (S, A_i) of exact rationals
    moved : tuple of arrays (S, A_i), (S, A_j), (S, A_i), ..
        What agents i and j move to, in turn, before they move back, in turn. Two entries make a
        4-cycle, four make a 6-cycle.
    state : int
        Start state at which the cycle is open the widest.
    total : exact rational
        Sum of the value changes there; zero in a Markov potential game.
    spread : exact rational
        Range of the two agents' values, over all states and corners.
    """

    agents: tuple[int, int]
    start: Policy
    moved: tuple[Array, ...]
    state: int
    total: Any
    spread: Any

    @property
    def length(self) -> int:
        """Number of moves."""
        return len(self.moved) + 2

    @property
    def relative(self) -> float:
        """Size of the sum, as a share of the range of values."""
        return float(to_float(abs(self.total) / self.spread)) if self.spread else 0.0

    def verify(self, game: TabularGame) -> bool:
        """Recompute the sum in exact arithmetic: whether it is as stated, and not zero."""
        again = exact_cycle(game, self.start, self.agents, self.moved, state=self.state)
        return bool(self.total != 0 and again.total == self.total and again.spread == self.spread)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and fractions written "p/q", ready for JSON."""
        return {
            "agents": list(self.agents),
            "state": self.state,
            "total": str(self.total),
            "spread": str(self.spread),
            "start": [_written(own) for own in self.start],
            "moved": [_written(own) for own in self.moved],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Cycle":
        """Read what `to_dict` wrote; its sum is not believed until `verify` says so."""
        first, second = stored["agents"]
        return cls(
            agents=(int(first), int(second)),
            start=tuple(_read(own) for own in stored["start"]),
            moved=tuple(_read(own) for own in stored["moved"]),
            state=int(stored["state"]),
            total=fmpq(stored["total"]),
            spread=fmpq(stored["spread"]),
        )


def cycle_sum(
    game: TabularGame, cycle_start: Policy, agents: tuple[int, int], moved: Sequence[Array]
) -> tuple[Array, Array]:
    """Sum the value changes of the movers round one cycle, from every start state.

    Parameters
    ----------
    game : TabularGame
        Over any arithmetic; exact tensors and policies give an exact answer.
    cycle_start : tuple of N arrays (..., S, A_i)
        Leading batch axes are walks that are done at once.
    agents : (i, j), different
    moved : what agents i and j move to, in turn: arrays (..., S, A_i), (..., S, A_j), ..
        An even number of them; then i moves back, and j.

    Returns
    -------
    total : ndarray (..., S)
        For a 4-cycle, V_i(1) - V_i(0) + V_j(2) - V_j(1) + V_i(3) - V_i(2) + V_j(0) - V_j(3).
    corners : ndarray (L, ..., N, S)
        All values at the L = len(moved) + 2 corners.

    Raises
    ------
    InvalidPolicyError
        If the agents are not two, or the number of moves is odd.
    """
    if agents[0] == agents[1] or not set(agents) <= set(range(game.num_agents)):
        raise InvalidPolicyError(
            f"agents are {tuple(agents)}, must be two different of 0..{game.num_agents - 1}"
        )
    if not moved or len(moved) % 2:
        raise InvalidPolicyError(
            f"moved has {len(moved)} entries, must have an even number: the agents take turns"
        )
    policy, worth = cycle_start, []
    for turn, own in enumerate((*moved, cycle_start[agents[0]])):
        worth.append(Evaluation(game, policy).values)
        policy = replace(policy, agents[turn % 2], own)
    worth.append(Evaluation(game, policy).values)
    corners = np.stack(worth)
    total = 0
    for turn in range(len(corners)):
        mover = corners[..., agents[turn % 2], :]
        total = total + mover[(turn + 1) % len(corners)] - mover[turn]
    return np.asarray(total), corners


def exact_cycle(
    game: TabularGame,
    start: Policy,
    agents: tuple[int, int],
    moved: Sequence[Array],
    *,
    state: int | None = None,
) -> Cycle:
    """Walk a cycle in exact rational arithmetic; floats are taken as the rationals they are.

    Parameters
    ----------
    game : TabularGame
    start : tuple of N arrays (S, A_i)
    agents : (i, j)
    moved : sequence of arrays (S, A_i)
        As in `cycle_sum`.
    state : int, optional
        Start state; by default the one at which the cycle is open the widest.

    Returns
    -------
    Cycle, whose ``total`` is zero if the cycle closes.
    """
    policy = start
    check_policy(game, policy, name="start")
    for turn, own in enumerate(moved):
        policy = replace(policy, agents[turn % 2], own)
        check_policy(game, policy, name=f"moved[{turn}]")
    exact_start = tuple(exact_rows(own) for own in start)
    exact_moved = tuple(exact_rows(own) for own in moved)
    pair = between(game, agents, exact_start).exact()
    own_start = (exact_start[agents[0]], exact_start[agents[1]])
    total, corners = cycle_sum(pair, own_start, (0, 1), exact_moved)
    widest = int(np.argmax(abs(total))) if state is None else state
    spread = corners.max() - corners.min()
    return Cycle(agents, exact_start, exact_moved, widest, total[widest], spread)


def between(game: TabularGame, agents: tuple[int, int], policy: Policy) -> TabularGame:
    """Return the game that two agents play when all others keep to their policies.

    Others who play one action for certain cost no arithmetic, so the tensors stay as they are;
    a mixture is averaged in the arithmetic of the policy.

    Parameters
    ----------
    game : TabularGame
    agents : (i, j)
        They become agents 0 and 1.
    policy : tuple of N arrays (S, A_i)
        The parts of i and j are ignored.
    """
    tables = [game.rewards[agent] for agent in agents]
    kernel = game.kernel
    others = [k for k in range(game.num_agents) if k not in agents]
    others.sort(key=lambda k: (not _is_certain(policy[k]), -k))  # the cheap ones first
    axes = list(range(game.num_agents))
    for agent in others:
        axis = axes.index(agent)
        if is_exact(policy[agent]) and not _is_certain(policy[agent]):
            tables, kernel = [to_exact(table) for table in tables], exact_rows(kernel)
        tables = [_average_out(table, axis, policy[agent]) for table in tables]
        kernel = kernel if game.exogenous else _average_out(kernel, axis, policy[agent])
        axes.remove(agent)
    if agents[0] > agents[1]:
        tables = [table.swapaxes(1, 2) for table in tables]
        kernel = kernel if game.exogenous else kernel.swapaxes(1, 2)
    return TabularGame(tables, kernel, discount=game.discount)


def _is_certain(own: Array) -> bool:
    return bool(((own != 0).sum(axis=-1) == 1).all())


def _average_out(table: Array, axis: int, own: Array) -> Array:
    """Average a joint table (S, A_1, ..) over one agent's actions, state by state."""
    if _is_certain(own):
        chosen = [np.flatnonzero(row)[0] for row in own]
        return np.stack([part.take(a, axis) for part, a in zip(table, chosen, strict=True)])
    parts = [np.tensordot(row, part, (0, axis)) for row, part in zip(own, table, strict=True)]
    return np.stack(parts)


def _written(own: Array) -> list[list[str]]:
    return [[str(entry) for entry in row] for row in own]


def _read(rows: Sequence[Sequence[str]]) -> Array:
    return np.array([[fmpq(entry) for entry in row] for row in rows], dtype=object)
