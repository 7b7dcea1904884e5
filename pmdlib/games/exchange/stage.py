"""Games from payoff arrays, and a game with a potential that was found for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import is_exact, to_float
from pmdlib.errors import InvalidGameError, NotPotentialError
from pmdlib.games.checks import real_table
from pmdlib.games.tabular import TabularGame

#: NumPy's arrays have 64 axes at most, and averages need a few beside those of the actions.
MOST_AGENTS = 60


def stage_game(
    payoffs: ArrayLike | Sequence[ArrayLike],
    *,
    discount: Any = 0.0,
    potential: ArrayLike | None = None,
) -> TabularGame:
    """Return the game of one state with these payoffs: a bimatrix game, or one of N agents.

    Parameters
    ----------
    payoffs : sequence of N arrays (A_1, .., A_N), or one such ndarray
        ``[A, B]`` is a bimatrix game: rows are the actions of agent 0. As in `TabularGame` one
        ndarray means identical interest. If yours has an axis for the players, make it a list
        first: ``list(stacked)`` for a leading axis, ``list(np.moveaxis(stacked, -1, 0))`` for a
        last one.
    discount : float in [0, 1)
        0 by default: the stage is played once.
    potential : array (A_1, .., A_N), optional
        Potential of the stage, taken at its word.

    Returns
    -------
    TabularGame
        Exact if the payoffs are.

    Raises
    ------
    InvalidGameError
        Naming the array and what was required.

    Examples
    --------
    Matching pennies, where nobody gains by leaving the middle:

    >>> pennies = pmd.stage_game([[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]])
    >>> pmd.nash_gap(pennies, pmd.uniform_policy(pennies))
    0.0
    """
    if isinstance(payoffs, np.ndarray):
        tables = real_table("payoffs", payoffs)
        check_agents(tables.ndim)
        return _one_state(tables[None], discount, potential)
    if not isinstance(payoffs, Sequence) or isinstance(payoffs, str):
        raise InvalidGameError(
            f"payoffs are a {type(payoffs).__name__}, must be a sequence of N arrays "
            "(A_1, .., A_N), or one ndarray for identical interest"
        )
    check_agents(len(payoffs))
    own = [real_table(f"payoffs[{agent}]", table) for agent, table in enumerate(payoffs)]
    for agent, table in enumerate(own):
        if table.ndim != len(own) or table.shape != own[0].shape:
            raise InvalidGameError(
                f"payoffs[{agent}] has shape {table.shape}, must have one axis for each of the "
                f"{len(own)} agents, and the shape of payoffs[0], {own[0].shape}"
            )
    return _one_state([table[None] for table in own], discount, potential)


def _one_state(rewards: Any, discount: Any, potential: ArrayLike | None) -> TabularGame:
    stated = None if potential is None else real_table("potential", potential)[None]
    return TabularGame(rewards, np.eye(1), discount=discount, potential=stated)


def check_agents(number: int) -> None:
    """Refuse more agents than a table can have axes; InvalidGameError."""
    if number > MOST_AGENTS:
        raise InvalidGameError(
            f"{number} agents are too many for a table, must be at most {MOST_AGENTS}: see "
            "CongestionGame and TeamGame"
        )


def with_potential(game: TabularGame, potential: ArrayLike | None) -> TabularGame:
    """Return the same game, with a stage potential stated.

    Parameters
    ----------
    game : TabularGame
    potential : array (S, A_1, .., A_N)
        Taken at its word. ``is_markov_potential_game(game, rng).potential`` is one where there is
        one; it is rounded if the game is in floats.

    Returns
    -------
    TabularGame

    Raises
    ------
    NotPotentialError
        If the potential is None, as it is in the test of a game that has none.
    InvalidGameError
        If it does not fit the game.

    Examples
    --------
    A prisoner's dilemma comes without a potential; the test finds one, and runs may use it.

    >>> dilemma = pmd.stage_game([[[2, 0], [3, 1]], [[2, 3], [0, 1]]])
    >>> found = pmd.is_markov_potential_game(dilemma, np.random.default_rng(0))
    >>> game = pmd.with_potential(dilemma, found.potential)
    >>> trace = pmd.run_pmd(game, "kl", "paper", 500)
    >>> bool((np.diff(trace.potential) >= 0).all())
    True
    """
    if potential is None:
        raise NotPotentialError("there is no potential to state: the game was found to have none")
    table = real_table("potential", potential)
    return TabularGame(
        game.rewards[0] if game.identical_interest else list(game.rewards),
        game.kernel,
        discount=game.discount,
        initial=game.initial,
        potential=table if is_exact(game.initial) else to_float(table),
    )
