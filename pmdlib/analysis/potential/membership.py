"""Is it a Markov potential game? An exact open cycle refutes; a stage potential explains.

A value potential exists exactly if the value changes of the two moving agents sum to zero around
every cycle (π_i, π_j) -> (π_i', π_j) -> (π_i', π_j') -> (π_i, π_j') -> back, in every state and
whatever the others do. A value potential is always the discounted sum of a stage potential, and
that has a closed form (`stage_potential`). So there are three kinds of answer:

- **no**, proved: an open cycle, in exact rational arithmetic (`Cycle`);
- **yes**, proved: the stage potential, with a certificate that covers all policies;
- **yes**, supported: cycles through random rational policies close exactly. A cycle sum is a
  rational function of the policies, so a game that is no potential game passes only if the draw
  hits a zero of a polynomial, and the probability of that is bounded (Schwartz and Zippel).
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.policies import random_policy, random_rational_policy, replace
from pmdlib.analysis.potential.cycle_search import floating_pair, random_pure_policy, widest_cycle
from pmdlib.analysis.potential.cycles import (
    Cycle,
    cycle_sum,
    exact_cycle,
)
from pmdlib.analysis.potential.stage_potential import (
    excess_game,
    is_certainly_potential,
    stage_potential,
)
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, to_float
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

__all__ = ["DATA_ROUNDING", "Cycle", "PotentialTest", "cycle_sum", "is_markov_potential_game"]

#: A sum below this share of the value range is put down to the rounding of the game's own
#: floating-point entries (a kernel row of thirds, a shaped reward), not to the game.
DATA_ROUNDING = 1e-10

#: Above this share a cycle in floating point is worth a search; rounding is a million times less.
_VISIBLY_OPEN = 1e-9

#: Random policies have weights 1..WEIGHTS. The more weights, the less likely is a false "yes".
WEIGHTS = 2**20


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
        Number of cycles walked in exact arithmetic.
    witness : Cycle or None
        An open cycle, if the verdict is False.
    potential : ndarray (S, A_1, .., A_N) of exact rationals, or None
        The stage potential, if the verdict is True; 0 where all play action 0. See
        `pmdlib.analysis.potential.stage_potential.smallest_range` for one with the smallest φmax.
    proved : bool
        Whether the verdict is proved for all policies: by the witness, or by the certificate
        `is_certainly_potential`. Otherwise it is supported.
    stated : bool or None
        Whether the potential that the game states is right; None if it states none. True is
        proved if ``proved`` is; otherwise it was compared at random policies.
    chance : float
        Bound on the probability, over the draw of policies, that a game which is no Markov
        potential game closes all cycles exactly; 0 if the verdict is proved, 1 if not ``exact``.
    """

    verdict: bool
    residual: float
    exact: bool
    cycles: int
    witness: Cycle | None
    potential: Array | None
    proved: bool
    stated: bool | None
    chance: float

    @property
    def distance(self) -> Any:
        """Certified lower bound on the distance α from a potential game: |sum| / moves; 0 if none.

        `potential_distance` looks for better cycles, and bounds α from above by a stage potential.
        """
        return abs(self.witness.total) / self.witness.length if self.witness else fmpq(0)

    def __bool__(self) -> bool:
        """Return the verdict."""
        return self.verdict


def is_markov_potential_game(
    game: TabularGame, rng: np.random.Generator, *, cycles: int = 2
) -> PotentialTest:
    """Test whether a game is a Markov potential game, in exact rational arithmetic.

    First each pair of agents walks one random cycle in floating point; where that stays open, a
    witness that is easy to read is sought (`widest_cycle`) and evaluated exactly. If there is none,
    all agents walk a cycle of 2N random rational moves: 1, 2, .., N move in turn, then 1, 2, .., N
    move back. **That closes for all policies exactly if all 4-cycles of two agents do**: a
    potential closes it, and the cycle of a pair is the special case in which the others "move" to
    where they are. So one draw tests all pairs.

    Parameters
    ----------
    game : TabularGame
        Floats are taken as the rationals that they are.
    rng : numpy.random.Generator
    cycles : int >= 1
        Number of random 2N-cycles, with policies that differ from state to state.

    Returns
    -------
    PotentialTest

    Raises
    ------
    NotPotentialError
        If the game is not given by its tensors.
    PmdError
        If the number of cycles is below 1.

    References
    ----------
    Derived: the cycle condition of Monderer and Shapley (1996) for the game of Markov policies.

    Examples
    --------
    In this game only mixed policies tell that there is no potential. The cycle that proves it:

    >>> from pmdlib.games.catalogue import instalments
    >>> test = pmd.is_markov_potential_game(instalments(), np.random.default_rng(0))
    >>> test.verdict, test.proved, test.witness.agents, str(abs(test.witness.total))
    (False, True, (0, 1), '1/6')

    A team is one, and for so small a game that is proved for all policies:

    >>> team = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> test = pmd.is_markov_potential_game(team, np.random.default_rng(0))
    >>> test.verdict, test.proved
    (True, True)
    """
    if not isinstance(game, TabularGame):
        raise NotPotentialError(f"the exact test needs a TabularGame, not {type(game).__name__}")
    if cycles < 1:
        raise PmdError(f"cycles is {cycles}, must be at least 1")
    witness = _readable_witness(game, rng)
    if witness is not None:
        return _refuted(game, witness, 1)
    exact = game.exact()
    worst, all_zero = 0.0, True
    tried = cycles if game.num_agents > 1 else 0  # one agent alone moves there and back
    for number in range(tried):
        start, target = (random_rational_policy(exact, rng, largest=WEIGHTS) for _ in range(2))
        total, spread = _grand_cycle(exact, start, target)
        share = _share(total, spread)
        if share > DATA_ROUNDING:
            return _refuted(game, _pair_in(exact, start, target), number + 1)
        worst, all_zero = max(worst, share), all_zero and not any(total != 0)
    potential = stage_potential(exact)
    proved = is_certainly_potential(exact, potential)
    stated = None
    if game.has_potential:
        stated = is_certainly_potential(exact, exact.potential) or _is_potential_at(
            exact, exact.potential, random_rational_policy(exact, rng, largest=WEIGHTS)
        )
    chance = 0.0 if proved or not tried else _chance(exact) ** cycles if all_zero else 1.0
    return PotentialTest(True, worst, all_zero, tried, None, potential, proved, stated, chance)


def _refuted(game: TabularGame, witness: Cycle, tried: int) -> PotentialTest:
    stated = False if game.has_potential else None
    return PotentialTest(False, witness.relative, False, tried, witness, None, True, stated, 0.0)


def _readable_witness(game: TabularGame, rng: np.random.Generator) -> Cycle | None:
    """Search, pair by pair, for an open cycle of pure policies, else of even mixes as well."""
    for agents in combinations(range(game.num_agents), 2):
        pair = floating_pair(game, agents, random_pure_policy(game, rng))
        total, corners = cycle_sum(pair, random_policy(pair, rng), (0, 1), random_policy(pair, rng))
        if _share(total, np.ptp(corners)) > _VISIBLY_OPEN:
            for mixes in (False, True):
                witness = widest_cycle(game, agents, rng, restarts=2, mixes=mixes)
                if witness.relative > DATA_ROUNDING:
                    return witness
    return None


def _pair_in(exact: TabularGame, start: Policy, target: Policy) -> Cycle:
    """Return the widest of the 4-cycles into which an open cycle of all agents falls.

    There and back, the agents move in the orders 1..N and N..1. Exchanging neighbours turns one
    order into the other; exchanging i < j is a 4-cycle of the two, when those between them have
    moved and the rest have not. The N (N-1) / 2 sums add up to the sum of the long cycle.
    """
    found = []
    for i, j in combinations(range(exact.num_agents), 2):
        policy = (*start[: i + 1], *target[i + 1 : j], *start[j:])
        found.append(exact_cycle(exact, policy, (i, j), (target[i], target[j])))
    return max(found, key=lambda cycle: abs(cycle.total))


def _grand_cycle(game: TabularGame, start: Policy, target: Policy) -> tuple[Array, Any]:
    """Sum the value changes of all agents as they move to their targets, and back, in turn."""
    policy, total, seen = start, np.zeros(game.num_states, dtype=int), []
    before = Evaluation(game, policy).values
    for goal in (target, start):
        for agent in range(game.num_agents):
            policy = replace(policy, agent, goal[agent])
            after = Evaluation(game, policy).values
            total = total + after[agent] - before[agent]
            seen.append(after)
            before = after
    return np.asarray(total), np.max(np.stack(seen)) - np.min(np.stack(seen))


def _chance(game: TabularGame) -> float:
    """Bound the share of random policies that close the cycle of a game without a potential.

    In the weights of the policies a value is a quotient of polynomials of degree N S, and the cycle
    visits 2N policies: its sum has a numerator of degree 2 N² S at most, and a polynomial of that
    degree that is not zero vanishes for at most that share of 1 / `WEIGHTS` (Schwartz and Zippel).
    """
    return min(1.0, 2 * game.num_agents**2 * game.num_states / WEIGHTS)


def _share(total: Array, spread: Any) -> float:
    return float(to_float(abs(total).max()) / to_float(spread)) if spread else 0.0


def _is_potential_at(exact: TabularGame, potential: Array, policy: Policy) -> bool:
    """Whether own actions do not matter to r_i - φ at one random policy, up to `DATA_ROUNDING`."""
    excess = Evaluation(excess_game(exact, potential), policy).advantages
    allowed = DATA_ROUNDING * to_float(abs(Evaluation(exact, policy).values)).max()
    return all(bool((to_float(abs(own)) <= allowed).all()) for own in excess)
