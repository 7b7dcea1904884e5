"""How far is a game from a Markov potential game? A certified interval for the distance α.

A game is a Markov α-potential game if some function Ψ(s, π) registers every change of value up to
α: |V_i(π_i', π_-i)(s) - V_i(π)(s) - Ψ(π_i', π_-i)(s) + Ψ(π)(s)| <= α for all s, i, π, π_i'. The distance
is the smallest such α; Ψ is any function, and policies are product Markov policies.

**Below.** Round a cycle of L moves the changes of Ψ cancel, so the sum c of the movers' changes of
value is the sum of L terms of size at most α: α >= |c| / L. An exact cycle is a certificate.

**Above.** Any stage potential φ gives a bound: the sup over policies of the change, by agent i's own
policy, of the value of u_i = r_i - φ. Let two copies of the world start in the same state and
differ in agent i's policy alone, and let G(s, t) be a bound on the value of the copy in s less that
of the copy in t. In the same state the others play the same; in different states anything; next
states are coupled (`_coupling`) so that the copies meet as often as they can. So G may be any
solution of

    G(s, s) >= u(s, a_i, a_-i) - u(s, b_i, a_-i) + γ E G(s', t')    for all a_i, b_i, a_-i,
    G(s, t) >= u(s, a) - u(t, b) + γ E G(s', t')                    for all joint actions a, b, s ≠ t,

for the true difference under any policies satisfies this with an average over actions in place of
"for all" and with equality, and the map is monotone and a contraction. Then α <= max G(s, s). The
bound is linear in φ and G together: **one linear program finds the best φ and its certificate.**
It is tight where one state is all there is, and zero for the four families.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from flint import fmpq
from scipy.optimize import linprog
from scipy.sparse import csr_array

from pmdlib.analysis.cycles import Cycle, widest_cycle
from pmdlib.analysis.stage_potential import flat_tensors, is_certainly_potential, stage_potential
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array, to_float
from pmdlib.errors import NotConvergedError, NotPotentialError, PmdError
from pmdlib.games.tabular import TabularGame

#: Inequalities beyond which the linear program is refused: it would take minutes.
LARGEST_PROGRAM = 400_000

#: Joint actions up to which a game is worth the attempt to prove α = 0 exactly.
_SMALL = 3000


@dataclass(frozen=True)
class PotentialDistance:
    """Result of `potential_distance`: the distance α lies in [lower, upper].

    Attributes
    ----------
    lower : exact rational
        |total| / length of ``cycle``; 0 without one.
    upper : float
        A bound for all policies, rounding included; 0 exactly if ``potential`` is proved right.
    cycle : Cycle or None
        The certificate of the lower bound.
    potential : ndarray (S, A_1, .., A_N)
        The stage potential that attains the upper bound, with minimum 0.
    """

    lower: Any
    upper: float
    cycle: Cycle | None
    potential: Array


def potential_distance(
    game: TabularGame,
    rng: np.random.Generator,
    *,
    lengths: Sequence[int] = (4, 6),
    restarts: int = 6,
) -> PotentialDistance:
    """Bound the distance of a game from the Markov potential games, from both sides.

    Parameters
    ----------
    game : TabularGame
        Small: the linear program has a row for each pair of kernel rows of two states, unless
        they are equal. Agents that are interchangeable are treated as one.
    rng : numpy.random.Generator
        For the search for cycles.
    lengths : sequence of even int
        Lengths of cycles to search.
    restarts : int >= 1
        Starts of the search for each pair of agents and length.

    Returns
    -------
    PotentialDistance, in units of value: rewards / (1 - γ).

    Raises
    ------
    NotPotentialError
        If the game is not given by its tensors.
    PmdError
        If the game is too large for the linear program.

    References
    ----------
    Guo, Li, Maheshwari, Sastry, Wu, "Markov α-Potential Games", 2023, for the distance; the bounds
    are derived.
    """
    if not isinstance(game, TabularGame):
        raise NotPotentialError(f"the distance needs a TabularGame, not {type(game).__name__}")
    if game.num_states * np.prod(game.num_actions) <= _SMALL:
        candidate = stage_potential(game.exact())
        if is_certainly_potential(game, candidate):
            potential = to_float(candidate)
            return PotentialDistance(fmpq(0), 0.0, None, potential - potential.min())
    potential, upper = _best_potential(game)
    cycle = _best_cycle(game, rng, lengths, restarts)
    lower = abs(cycle.total) / cycle.length if cycle is not None else fmpq(0)
    return PotentialDistance(lower, upper, cycle, potential)


def interchangeable(game: TabularGame) -> bool:
    """Say whether any two agents can change places and nothing else changes."""
    if len(set(game.num_actions)) > 1:
        return False
    rewards, kernel = game.rewards, game.kernel
    for one in range(game.num_agents - 1):
        swapped = rewards.swapaxes(2 + one, 3 + one)
        order = [*range(one), one + 1, one, *range(one + 2, game.num_agents)]
        if (swapped[order] != rewards).any():
            return False
        if not game.exogenous and (kernel.swapaxes(1 + one, 2 + one) != kernel).any():
            return False
    return True


def _best_cycle(
    game: TabularGame, rng: np.random.Generator, lengths: Sequence[int], restarts: int
) -> Cycle | None:
    pairs = list(combinations(range(game.num_agents), 2))
    if interchangeable(game):
        pairs = pairs[:1]
    found = [
        widest_cycle(game, agents, rng, length=length, restarts=restarts)
        for agents in pairs
        for length in lengths
    ]
    open_ones = [cycle for cycle in found if cycle.total != 0]
    return max(open_ones, key=lambda cycle: abs(cycle.total) / cycle.length, default=None)


class _Program:
    """Inequalities A x <= b that are collected row by row."""

    def __init__(self) -> None:
        self.columns: list[Array] = []
        self.entries: list[Array] = []
        self.right: list[float] = []

    def add(self, columns: Sequence[Any], entries: Sequence[Any], right: float) -> None:
        self.columns.append(np.concatenate([np.atleast_1d(c) for c in columns]))
        self.entries.append(np.concatenate([np.atleast_1d(e) for e in entries]))
        self.right.append(right)
        if len(self.right) > LARGEST_PROGRAM:
            raise PmdError(
                f"the game is too large: its linear program has more than {LARGEST_PROGRAM} rows"
            )

    def matrix(self, width: int) -> csr_array:
        rows = np.repeat(np.arange(len(self.columns)), [len(c) for c in self.columns])
        cells = (rows, np.concatenate(self.columns).astype(int))
        return csr_array(
            (np.concatenate(self.entries), cells), shape=(len(self.columns), width)
        )


def _best_potential(game: TabularGame) -> tuple[Array, float]:
    """Minimise the bound over φ, and repair what the solver and rounding leave open.

    Variables: φ for each state and class of joint actions; for each agent G (S, S), and the
    largest and the smallest u = r - φ among the joint actions of a state with the same kernel row,
    which is all that two copies in different states need to know; last, α.
    """
    rewards, kernel = (to_float(table) for table in flat_tensors(game))
    scale = float(abs(rewards).max()) or 1.0
    rewards = rewards / scale
    kernel = kernel / kernel.sum(axis=-1, keepdims=True)
    discount, states = float(game.discount), game.num_states
    symmetric = interchangeable(game)
    classes = _classes(game.num_actions) if symmetric else np.arange(rewards.shape[-1])
    width = states * (int(classes.max()) + 1)
    phi = np.arange(width).reshape(states, -1)[:, classes]
    extremes, couplings, diagonals = _Program(), _Program(), []
    for agent in range(1 if symmetric else game.num_agents):
        table = _own_actions(game.num_actions, agent)
        kinds = np.unique(classes[table], axis=0, return_index=True)[1]
        table = table[kinds]
        joint = table.ravel()
        bound = width + np.arange(states * states).reshape(states, states)
        width += states * states
        diagonals.append(np.diagonal(bound))
        tops: list[list[tuple[int, int, Array]]] = []
        for s in range(states):
            rows, members = np.unique(kernel[s, joint], axis=0, return_inverse=True)
            tops.append([(width + 2 * k, width + 2 * k + 1, row) for k, row in enumerate(rows)])
            for a, k in zip(joint, members.ravel(), strict=True):
                high, low, _ = tops[s][k]
                extremes.add([phi[s, a], high], [-1, -1], -rewards[agent, s, a])
                extremes.add([phi[s, a], low], [1, 1], rewards[agent, s, a])
            width += 2 * len(rows)
        for s, t in product(range(states), repeat=2):
            if s != t:
                for (high, _, p), (_, low, q) in product(tops[s], tops[t]):
                    where, how = _coupling(p, q, bound)
                    couplings.add([high, low, where, bound[s, t]], [1, -1, discount * how, -1], 0.0)
                continue
            for a, b in (pair for row in table for pair in product(row, repeat=2)):
                where, how = _coupling(kernel[s, a], kernel[s, b], bound)
                gain = rewards[agent, s, b] - rewards[agent, s, a]
                entries = [-1, 1, discount * how, -1]
                couplings.add([phi[s, a], phi[s, b], where, bound[s, s]], entries, gain)
    alpha = width
    width += 1
    last = _Program()
    for diagonal in np.concatenate(diagonals):
        last.add([diagonal, alpha], [1, -1], 0.0)
    solution = _solve(extremes, couplings, last, width)
    slack = _violation(couplings, solution) + 2 * _violation(extremes, solution)
    # Widening "largest" and "smallest" and then raising every G makes all inequalities true.
    worst = solution[np.concatenate(diagonals)].max() + slack / (1 - discount)
    potential = scale * solution[phi].reshape(states, *game.num_actions)
    return potential - potential.min(), float(scale * worst * (1 + 8 * UNIT_ROUNDOFF))


def _solve(extremes: _Program, couplings: _Program, last: _Program, width: int) -> Array:
    everything = _Program()
    for part in (extremes, couplings, last):
        everything.columns += part.columns
        everything.entries += part.entries
        everything.right += part.right
    objective = np.zeros(width)
    objective[-1] = 1.0
    result = linprog(
        objective,
        A_ub=everything.matrix(width),
        b_ub=np.asarray(everything.right),
        bounds=(None, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-9},
    )
    if result.status != 0:
        raise NotConvergedError(f"the linear program of the distance failed: {result.message}")
    return np.asarray(result.x)


def _violation(program: _Program, solution: Array) -> float:
    """By how much a solution may miss the inequalities at most, rounding of all kinds included.

    A row of k products is computed with an error of at most (k + 2) u (|A| |x| + |b|); its data (kernel
    rows that were normalised, couplings, scaled rewards) carry relative errors of some more u.
    Eight times (k + 2) u covers both.
    """
    matrix = program.matrix(len(solution))
    right = np.asarray(program.right)
    size = abs(matrix) @ abs(solution) + abs(right) + abs(solution).max()
    terms = np.diff(matrix.indptr) + 2
    return max(0.0, float((matrix @ solution - right + 8 * terms * UNIT_ROUNDOFF * size).max()))


def _coupling(first: Array, second: Array, bound: Array) -> tuple[Array, Array]:
    """Couple two next-state distributions, equal as often as can be: variables, probabilities."""
    both = np.minimum(first, second)
    joint = np.diag(both)
    apart = 1 - both.sum()
    if apart > 4 * len(both) * UNIT_ROUNDOFF:
        joint = joint + np.outer(first - both, second - both) / apart
    chosen = joint > 0
    return bound[chosen], joint[chosen]


def _own_actions(num_actions: tuple[int, ...], agent: int) -> Array:
    """Indices of joint actions: a row for what the others play, a column for the own action."""
    index = np.arange(np.prod(num_actions)).reshape(num_actions)
    return np.moveaxis(index, agent, -1).reshape(-1, num_actions[agent])


def _classes(num_actions: tuple[int, ...]) -> Array:
    """Number the joint actions (J,), the same number for those that are permutations."""
    joint = np.sort(np.indices(num_actions).reshape(len(num_actions), -1), axis=0)
    return np.unique(joint, axis=1, return_inverse=True)[1].ravel()
