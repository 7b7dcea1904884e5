"""How far is a game from a Markov potential game? A certified interval for the distance α.

A game is a Markov α-potential game if some function Ψ(s, π) registers every change of value up to
α: |V_i(π_i', π_-i)(s) - V_i(π)(s) - Ψ(π_i', π_-i)(s) + Ψ(π)(s)| <= α for all s, i, π, π_i'. The
distance is the smallest such α; Ψ is any function, and policies are product Markov policies.

**Below.** Round a cycle of L moves the changes of Ψ cancel, so the sum c of the movers' changes of
value is the sum of L terms of size at most α: α >= |c| / L. An exact cycle is a certificate.

**Above.** Any stage potential φ gives a bound, the largest change, by agent i's own policy, of the
value of r_i - φ. `alpha_upper` finds the φ with the best bound and its certificate. It is tight
where one state is all there is, and zero for the four families of random games.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np

from pmdlib.analysis.potential.alpha_upper import best_potential, interchangeable
from pmdlib.analysis.potential.cycle_search import widest_cycle
from pmdlib.analysis.potential.cycles import Cycle
from pmdlib.analysis.potential.stage_potential import is_certainly_potential, stage_potential
from pmdlib.arithmetic import Array, to_float
from pmdlib.errors import NotPotentialError
from pmdlib.games.tabular import TabularGame

#: Joint actions up to which a game is worth the attempt to prove α = 0 exactly.
_SMALL = 3000


@dataclass(frozen=True)
class PotentialDistance:
    """Result of `potential_distance`: the distance α lies in [lower, upper].

    Attributes
    ----------
    lower : fractions.Fraction
        |total| / length of ``cycle``; 0 without one.
    upper : float
        A bound for all policies, rounding included; 0 exactly if ``potential`` is proved right.
    cycle : Cycle or None
        The certificate of the lower bound.
    potential : ndarray (S, A_1, .., A_N)
        The stage potential that attains the upper bound, with minimum 0.
    """

    lower: Fraction
    upper: float
    cycle: Cycle | None
    potential: Array


def potential_distance(
    game: TabularGame,
    rng: np.random.Generator,
    *,
    lengths: Sequence[int] = (4, 6),
    restarts: int = 8,
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

    Examples
    --------
    Matching pennies: round the four pure profiles the movers gain 2 each, so any potential is wrong
    by 2 somewhere; the constant potential is wrong by no more.

    >>> wins = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    >>> pennies = pmd.TabularGame([wins, -wins], np.eye(1), discount=0.0)
    >>> distance = pmd.potential_distance(pennies, np.random.default_rng(0))
    >>> str(distance.lower), round(distance.upper, 6)
    ('2', 2.0)
    """
    if not isinstance(game, TabularGame):
        raise NotPotentialError(f"the distance needs a TabularGame, not {type(game).__name__}")
    if game.num_states * np.prod(game.num_actions) <= _SMALL:
        candidate = stage_potential(game.exact())
        if is_certainly_potential(game, candidate):
            potential = to_float(candidate)
            return PotentialDistance(Fraction(0), 0.0, None, potential - potential.min())
    potential, upper = best_potential(game)
    cycle = _best_cycle(game, rng, lengths, restarts)
    lower = Fraction(0)
    if cycle is not None:
        lower = abs(Fraction(int(cycle.total.p), int(cycle.total.q))) / cycle.length
    return PotentialDistance(lower, upper, cycle, potential)


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
