"""Is it a Markov potential game? Exact 4-cycles refute, or support with probability one.

A value potential exists exactly if the value changes of the two moving agents sum to zero around
every cycle (π_i, π_j) -> (π_i', π_j) -> (π_i', π_j') -> (π_i, π_j') -> back, in every state. Values
are rational in the policy, so a random rational cycle misses a game that is not one with
probability zero (over continuous draws), and a cycle that does not close proves that it is not one.
"""

from dataclasses import dataclass

import numpy as np

from pmdlib.analysis.policies import random_rational_policy, replace
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

#: A cycle sum below this share of the value range is put down to the rounding of the game's own
#: floating-point entries (a kernel row of thirds, a shaped reward), not to the game.
DATA_ROUNDING = 1e-10

#: Cycles in all for games of more than four agents, whose large tensors are what costs.
CYCLE_BUDGET = 40


@dataclass(frozen=True)
class Cycle:
    """Four policies around which value changes do not cancel: a witness against a potential.

    Attributes
    ----------
    agents : (i, j)
        The two agents that move, in turn.
    start : tuple of N arrays (S, A_i) of exact rationals
    moved : (array, array)
        What agents i and j move to.
    state : int
        Start state at which the cycle is open the widest.
    total : exact rational
        Sum of the four value changes there; zero in a Markov potential game.
    """

    agents: tuple[int, int]
    start: Policy
    moved: tuple[Array, Array]
    state: int
    total: object


@dataclass(frozen=True)
class PotentialTest:
    """Result of `is_markov_potential_game`.

    Attributes
    ----------
    verdict : bool
        False: not a Markov potential game, and ``witness`` proves it. True: every cycle tried
        closed, exactly or (``exact`` False) up to the rounding of the game's own numbers.
    residual : float
        Cycle sum relative to the range of the values seen: of the witness if there is one, else
        the largest.
    exact : bool
        Whether every cycle sum was exactly zero.
    cycles : int
        Number of cycles tried, in exact arithmetic; the first open one ends the test.
    witness : Cycle or None
        The first open cycle, if the verdict is False.
    """

    verdict: bool
    residual: float
    exact: bool
    cycles: int
    witness: Cycle | None

    def __bool__(self) -> bool:
        """Return the verdict."""
        return self.verdict


def cycle_sum(
    game: TabularGame, cycle_start: Policy, agents: tuple[int, int], moved: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Sum the value changes around one 4-cycle, from every start state.

    Parameters
    ----------
    game : TabularGame
        Over any arithmetic; exact tensors and policies give an exact answer.
    cycle_start : tuple of N arrays (S, A_i)
    agents : (i, j), different
    moved : what agents i and j move to, (S, A_i) and (S, A_j)

    Returns
    -------
    total : ndarray (S,)
        V_i(1) - V_i(0) + V_j(2) - V_j(1) + V_i(3) - V_i(2) + V_j(0) - V_j(3).
    corners : ndarray (4, N, S)
        All values at the four corners.
    """
    i, j = agents
    first = replace(cycle_start, i, moved[0])
    both = replace(first, j, moved[1])
    last = replace(cycle_start, j, moved[1])
    corners = np.stack(
        [Evaluation(game, policy).values for policy in (cycle_start, first, both, last)]
    )
    at_i, at_j = corners[:, i], corners[:, j]
    total = at_i[1] - at_i[0] + at_j[2] - at_j[1] + at_i[3] - at_i[2] + at_j[0] - at_j[3]
    return total, corners


def is_markov_potential_game(
    game: TabularGame, rng: np.random.Generator, *, cycles: int = 8
) -> PotentialTest:
    """Test whether a game is a Markov potential game, in exact rational arithmetic.

    Parameters
    ----------
    game : TabularGame
        Floats are taken as the rationals that they are.
    rng : numpy.random.Generator
    cycles : int >= 1
        Number of random 4-cycles for each pair of agents, with policies that differ from state to
        state; with more than four agents fewer for each pair, `CYCLE_BUDGET` in all or one each.

    Returns
    -------
    PotentialTest

    References
    ----------
    Derived: the cycle condition of Monderer and Shapley for the game of Markov policies.
    """
    if not isinstance(game, TabularGame):
        raise NotPotentialError(f"the exact test needs a TabularGame, not {type(game).__name__}")
    if cycles < 1:
        raise PmdError(f"cycles is {cycles}, must be at least 1")
    exact = game.exact()
    pairs = [(i, j) for i in range(game.num_agents) for j in range(i)]
    if game.num_agents > 4:  # every pair still moves: one pair alone may spoil a potential
        cycles = min(cycles, max(1, CYCLE_BUDGET // len(pairs)))
    worst, all_zero, tried = 0.0, True, 0
    for agents in pairs:
        for _ in range(cycles):
            start = random_rational_policy(exact, rng)
            target = random_rational_policy(exact, rng)
            moved = (target[agents[0]], target[agents[1]])
            total, corners = cycle_sum(exact, start, agents, moved)
            tried += 1
            all_zero = all_zero and not any(total != 0)
            own = corners[:, list(agents)]
            spread = float(own.max() - own.min())
            state = int(np.argmax(abs(total)))
            share = abs(float(total[state])) / spread if spread else 0.0
            if share > DATA_ROUNDING:
                witness = Cycle(agents, start, moved, state, total[state])
                return PotentialTest(False, share, False, tried, witness)
            worst = max(worst, share)
    return PotentialTest(True, worst, all_zero, tried, None)
