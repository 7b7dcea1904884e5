"""The stage potential with the best certified bound on the distance α, by one linear program.

A stage potential φ misses a change of value by at most the change, by agent i's own policy, of the
value of u = r_i - φ, whatever the others do. Let two copies of the world start in the same state
and differ in agent i's policy alone. Let G(s, t) bound the value of the copy in s less that of the
copy in t. In the same state the others play the same in both; in different states their play has
nothing to do with each other. Next states are coupled, equal as often as they can be. Then

    G(s, s) >= u(s, a_i, a_-i) - u(s, b_i, a_-i) + γ E G(s', t')   for all a_i, b_i, a_-i,
    G(s, t) >= u(s, a) - u(t, b) + γ E G(s', t')                   for all joint a, b and s ≠ t

is enough for G to be a bound: the true differences under any policies satisfy it with "=" and an
average over actions in place of ">=" and "for all", and the map on the right is monotone and a
contraction. So α <= max G(s, s).

The inequalities are linear in φ and G together: one linear program finds the best φ and its
certificate. Afterwards what solver and rounding leave open is bounded and added.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

from pmdlib.analysis.potential.stage_potential import flat_tensors
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array, to_float
from pmdlib.errors import NotConvergedError, PmdError
from pmdlib.games.tabular import TabularGame

#: Inequalities beyond which the linear program is refused: it would take minutes.
LARGEST_PROGRAM = 400_000

#: How far the solver may miss an inequality, the least it accepts; it is made good afterwards.
_FEASIBILITY = 1e-10


class _Rows:
    """Inequalities A x <= b, collected row by row."""

    def __init__(self) -> None:
        self.columns: list[Array] = []
        self.entries: list[Array] = []
        self.right: list[float] = []

    def add(self, columns: Sequence[Any], entries: Sequence[Any], right: float = 0.0) -> None:
        self.columns.append(np.concatenate([np.atleast_1d(part) for part in columns]))
        self.entries.append(np.concatenate([np.atleast_1d(part) for part in entries]))
        self.right.append(right)
        if len(self.right) > LARGEST_PROGRAM:
            raise PmdError(
                "the game is too large for bounds on its distance: the linear program has more "
                f"than {LARGEST_PROGRAM} inequalities"
            )

    def matrix(self, width: int) -> Any:
        lengths = [len(part) for part in self.columns]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        cells = (rows, np.concatenate(self.columns).astype(int))
        return csr_array((np.concatenate(self.entries), cells), shape=(len(lengths), width))

    def violation(self, solution: Array) -> float:
        """Bound how far a solution misses the inequalities, rounding of all kinds included.

        A row of k products is computed with an error of at most (k + 2) u (|A| |x| + |b|). Its data
        (normalised kernel rows, couplings, scaled rewards) are off by a few k u, relative to the
        largest |x|. 64 (k + 2) u covers all of them.
        """
        matrix, right = self.matrix(len(solution)), np.asarray(self.right)
        size = abs(matrix) @ abs(solution) + abs(right) + abs(solution).max()
        rounding = 64 * (np.diff(matrix.indptr) + 2) * UNIT_ROUNDOFF * size
        return max(0.0, float((matrix @ solution - right + rounding).max()))


class _Program:
    """The linear program of one game: variables, and the rows that one agent contributes."""

    def __init__(self, game: TabularGame, classes: Array) -> None:
        rewards, kernel = (to_float(table) for table in flat_tensors(game))
        self.scale = float(abs(rewards).max()) or 1.0
        self.rewards = rewards / self.scale
        self.kernel = kernel / kernel.sum(axis=-1, keepdims=True)
        self.discount, self.states = float(to_float(game.discount)), game.num_states
        self.num_actions, self.classes = game.num_actions, classes
        self.width = 0
        self.alpha = self.new(1)
        self.phi = self.new(self.states, int(classes.max()) + 1)[:, classes]
        self.extremes, self.couplings, self.limits = _Rows(), _Rows(), _Rows()
        self.together: list[Array] = []

    def new(self, *shape: int) -> Array:
        """Give numbers to new variables."""
        array = self.width + np.arange(np.prod(shape)).reshape(shape)
        self.width += array.size
        return array

    def add_agent(self, agent: int) -> None:
        """Demand that G bounds all differences that one agent's policy can make."""
        index = np.arange(len(self.classes)).reshape(self.num_actions)
        table = np.moveaxis(index, agent, -1).reshape(-1, self.num_actions[agent])
        # A row for what the others play, a column for the own action; one row of each class.
        table = table[np.unique(self.classes[table], axis=0, return_index=True)[1]]
        bound = self.new(self.states, self.states)
        kinds = [self._kinds(agent, state, table.ravel()) for state in range(self.states)]
        for s, t in product(range(self.states), repeat=2):
            if s == t:
                self._add_together(agent, s, table, bound)
                continue
            for (high, _, p), (_, low, q) in product(kinds[s], kinds[t]):
                where, chances = _coupled(p, q, bound)
                entries = [1, -1, self.discount * chances, -1]
                self.couplings.add([high, low, where, bound[s, t]], entries)
        self.together.append(np.diagonal(bound))
        for own in np.diagonal(bound):
            self.limits.add([own, self.alpha], [1, -1])

    def _kinds(self, agent: int, state: int, joint: Array) -> list[tuple[int, int, Array]]:
        """Bound r_i - φ, from above and below, among joint actions of equal kernel row.

        They are all that copies in different states need to know.
        """
        rows, members = np.unique(self.kernel[state, joint], axis=0, return_inverse=True)
        high, low = self.new(2, len(rows))
        for a, kind in zip(joint, members.ravel(), strict=True):
            own = self.rewards[agent, state, a]
            self.extremes.add([self.phi[state, a], high[kind]], [-1, -1], -own)
            self.extremes.add([self.phi[state, a], low[kind]], [1, 1], own)
        return list(zip(high, low, rows, strict=True))

    def _add_together(self, agent: int, state: int, table: Array, bound: Array) -> None:
        own, phi, kernel = self.rewards[agent, state], self.phi[state], self.kernel[state]
        for a, b in (pair for row in table for pair in product(row, repeat=2)):
            where, chances = _coupled(kernel[a], kernel[b], bound)
            entries = [-1, 1, self.discount * chances, -1]
            self.couplings.add(
                [phi[a], phi[b], where, bound[state, state]], entries, own[b] - own[a]
            )

    def solve(self) -> Array:
        parts = (self.extremes, self.couplings, self.limits)
        blocks: list[Any] = [part.matrix(self.width) for part in parts]
        objective = np.zeros(self.width)
        objective[self.alpha] = 1.0
        matrix: Any = vstack(blocks)
        result = linprog(
            objective,
            A_ub=matrix,
            b_ub=np.concatenate([part.right for part in parts]),
            bounds=(None, None),
            options={"primal_feasibility_tolerance": _FEASIBILITY},
        )
        if result.status != 0:
            raise NotConvergedError(f"the linear program of the distance failed: {result.message}")
        return np.asarray(result.x)


def best_potential(game: TabularGame) -> tuple[Array, float]:
    """Find the stage potential with the smallest certified bound on what it misses.

    Parameters
    ----------
    game : TabularGame

    Returns
    -------
    potential : ndarray (S, A_1, .., A_N) of float, with minimum 0
    upper : float
        No change of any agent's value differs from that of Φ by more, in any state and for any
        policies: a bound on the distance α.

    Raises
    ------
    PmdError
        If the game is too large.
    NotConvergedError
        If the solver fails.
    """
    symmetric = interchangeable(game)
    program = _Program(game, _classes(game.num_actions, symmetric=symmetric))
    for agent in range(1 if symmetric else game.num_agents):
        program.add_agent(agent)
    solution = program.solve()
    slack = program.couplings.violation(solution) + 2 * program.extremes.violation(solution)
    # Moving "largest" and "smallest" apart, and then raising every G, makes all inequalities true;
    # by twice what is needed, for coupled probabilities sum to 1 only up to rounding.
    upper = solution[np.concatenate(program.together)].max() + 2 * slack / (1 - program.discount)
    potential = program.scale * solution[program.phi].reshape(-1, *game.num_actions)
    return potential - potential.min(), float(program.scale * upper * (1 + 8 * UNIT_ROUNDOFF))


def interchangeable(game: TabularGame) -> bool:
    """Say whether any two agents can change places and nothing else changes.

    Then some best φ does not depend on who is who (average over all orders: the program is convex),
    and one agent stands for all.
    """
    if len(set(game.num_actions)) > 1:
        return False
    rewards, kernel = game.rewards, game.kernel
    for one in range(game.num_agents - 1):
        order = [*range(one), one + 1, one, *range(one + 2, game.num_agents)]
        if (rewards.swapaxes(2 + one, 3 + one)[order] != rewards).any():
            return False
        if not game.exogenous and (kernel.swapaxes(1 + one, 2 + one) != kernel).any():
            return False
    return True


def _classes(num_actions: tuple[int, ...], *, symmetric: bool) -> Array:
    """Give numbers to the joint actions (J,): each its own, or permutations the same."""
    joint = np.indices(num_actions).reshape(len(num_actions), -1)
    if symmetric:
        joint = np.sort(joint, axis=0)
    return np.unique(joint, axis=1, return_inverse=True)[1].ravel()


def _coupled(first: Array, second: Array, bound: Array) -> tuple[Array, Array]:
    """Couple two next-state distributions, equal as often as can be: variables, probabilities."""
    both = np.minimum(first, second)
    joint = np.diag(both)
    apart = 1 - both.sum()
    if apart > 4 * np.count_nonzero(both) * UNIT_ROUNDOFF:  # else it is rounding
        joint = joint + np.outer(first - both, second - both) / apart
    chosen = joint > 0
    return bound[chosen], joint[chosen]
