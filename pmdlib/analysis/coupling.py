"""How strongly the agents' actions interact in the potential, pair by pair: the coupling λ.

For agents i and j, let B_ij be the largest mixed second difference of the stage potential,

    |φ(a, b, ·) - φ(a', b, ·) - φ(a, b', ·) + φ(a', b', ·)|,

over states, actions a, a' of agent i and b, b' of agent j, and what the others do; B_ii = 0. λ is
the largest eigenvalue of B. It is 0 if no agent's choice matters to what another's is worth, at
most 2 φmax (N - 1), and of order 1 where payoffs depend on the share of agents that do the same.

No action may move the state: then second differences of the action values are those of φ.
"""

from typing import Any

import numpy as np

from pmdlib.arithmetic import Array, is_exact, largest, smallest, to_exact, to_float
from pmdlib.errors import PmdError
from pmdlib.games.aggregative import CongestionGame, TeamGame
from pmdlib.games.facilities import FacilityGame
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame

#: How far above the eigenvalue, relatively, a bound on it may end: far beyond what floats resolve.
EXCESS = 2.0**-30


def coupling(game: MarkovGame) -> Any:
    """Bound the coupling λ = λmax(B) of a game from above; the bound is λ if all B_ij are equal.

    Parameters
    ----------
    game : TabularGame, CongestionGame or TeamGame
        With a stage potential, and no action that moves the state (or γ = 0).

    Returns
    -------
    number >= 0, in units of reward
        For a tabular game within a relative `EXCESS` of λ. For games of facilities B is bounded as
        well, for every facility at the worst load it may have: agents of a population share their
        entries, so a million agents cost as much as two. A rational, and certain, if the game is
        exact. In floats only the second differences are rounded; what follows is rounded upwards.

    Raises
    ------
    PmdError
        If actions move the state, or the game is of another kind.
    NotPotentialError
        If the game states no potential.

    References
    ----------
    Beyond the paper; see `pmdlib.analysis.bounds.step_kl_coupling`.
    """
    return _coupling(game, euclidean=False)


def coupling_euclidean(game: MarkovGame) -> Any:
    """Bound λmax(WBW) from above, W = diag(w_i), w_i² = 4 ⌊m_i/2⌋ ⌈m_i/2⌉ / m_i, m_i = |A_i|.

    What `coupling` is to the KL step, this is to the Euclidean one, whose moves are measured by
    ||D_i||_2: ||D_i||_1 is up to w_i times as large. At most 2 φmax Λ, `bounds.interaction_norm`.
    """
    return _coupling(game, euclidean=True)


def no_action_moves_the_state(game: MarkovGame) -> bool:
    """Say whether action values are the stage potential but for what no action changes."""
    return game.exogenous_kernel is not None or game.num_states == 1 or bool(game.discount == 0)


def _coupling(game: MarkovGame, *, euclidean: bool) -> Any:
    if not no_action_moves_the_state(game):
        raise PmdError(
            "actions move the state: a coupling needs an exogenous kernel (S, S), or discount 0"
        )
    if isinstance(game, TabularGame):
        entries, agents = _tabular_entries(game), (1,) * game.num_agents
    elif isinstance(game, FacilityGame):
        entries, agents = _facility_entries(game), game.populations
    else:
        raise PmdError(f"no coupling is known of a {type(game).__name__}: its second differences")
    sizes = np.array(agents)
    # λ belongs to a vector that is constant on populations: there B is this small matrix.
    matrix = to_exact(entries) * (sizes - np.eye(len(sizes), dtype=int))
    if euclidean:  # W²B has the eigenvalues of WBW, and is rational
        counts = np.array(game.num_actions)[np.cumsum(sizes) - 1]
        matrix = to_exact(4 * (counts // 2) * ((counts + 1) // 2))[:, None] * matrix
        matrix = matrix / to_exact(counts)[:, None]
    bound = largest_eigenvalue(matrix)
    return bound if is_exact(game.initial) else _rounded_up(bound)


def largest_eigenvalue(matrix: Array) -> Any:
    """Bound the largest eigenvalue of a matrix of exact entries >= 0 from above.

    For any v > 0 it is at most max_i (Av)_i / v_i (Collatz and Wielandt). Floats find v, as
    (cI - A)^-1 1 with c slightly above the eigenvalue, which makes the bound at most c; v = 1 is
    the largest row sum.

    Parameters
    ----------
    matrix : ndarray (P, P) of exact numbers, similar to a symmetric one

    Returns
    -------
    number
    """
    ones = np.ones(len(matrix))
    bounds = [_quotient(matrix, ones)]
    rough = to_float(matrix)
    above = max(np.linalg.eigvals(rough).real.max(), 0.0) * (1 + EXCESS)
    if above > 0:
        vector = np.linalg.solve(above * np.eye(len(rough)) - rough, ones)
        if (np.isfinite(vector) & (vector > 0)).all():
            bounds.append(_quotient(matrix, vector))
    return smallest(np.array(bounds, dtype=object))


def _quotient(matrix: Array, vector: Array) -> Any:
    exact = to_exact(vector)
    return largest((matrix @ exact) / exact)


def _rounded_up(bound: Any) -> float:
    number = float(to_float(bound))
    return number if to_exact(number) >= bound else float(np.nextafter(number, np.inf))


def _tabular_entries(game: TabularGame) -> Array:
    """B, agent by agent: differences for agent i, then how far they range over j's actions."""
    potential, agents = game.potential, game.num_agents
    table = np.zeros((agents, agents), dtype=potential.dtype)
    for i in range(agents):
        own = np.moveaxis(potential, 1 + i, 0)
        first, second = np.triu_indices(len(own), 1)
        differences = own[first] - own[second]  # (pairs, S, actions of the others)
        for j in range(i + 1, agents):
            if differences.size:  # else agent i has no choice
                spread = largest(differences, axis=1 + j) - smallest(differences, axis=1 + j)
                table[i, j] = table[j, i] = largest(spread.reshape(-1))
    return table


def _facility_entries(game: FacilityGame) -> Array:
    """Bounds on B between agents of two populations, or of one: (P, P).

    A facility that agent i joins or leaves, and agent j too, adds a second difference of its term.
    """
    curvatures = _curvatures(game)
    incidences = game.incidences
    # Facilities that an agent may join or leave.
    optional = [uses.min(axis=0) < uses.max(axis=0) for uses in incidences]
    table = np.zeros((len(incidences),) * 2, dtype=curvatures.dtype)
    for p, q in np.ndindex(*table.shape):
        shared = curvatures * (optional[p] & optional[q])
        sides = [largest(_changes(incidences[side], shared)) for side in (p, q)]
        table[p, q] = smallest(np.array(sides, dtype=table.dtype))
    return table


def _curvatures(game: FacilityGame) -> Array:
    """Largest second difference of each facility's term of the potential, (S, F)."""
    if isinstance(game, CongestionGame):
        bends = np.diff(game.payoffs, axis=-1)
    elif isinstance(game, TeamGame):
        bends = np.diff(game.potential_terms, n=2, axis=-1)
    else:
        raise PmdError(f"no coupling is known of a {type(game).__name__}: its second differences")
    zeros = np.zeros_like(bends, shape=(*bends.shape[:-1], 1))  # one agent bends nothing
    return largest(np.concatenate([abs(bends), zeros], axis=-1))


def _changes(uses: Array, weights: Array) -> Array:
    """Weight (S, F) of the facilities in which two actions differ, for the worst pair: (S,)."""
    totals = weights @ uses.T  # (S, A)
    common = np.stack([(uses * row) @ uses.T for row in weights])
    apart = totals[:, :, None] + totals[:, None, :] - 2 * common
    return largest(apart.reshape(len(weights), -1))
