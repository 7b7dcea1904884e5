"""Small games over exact rationals, and what their floats stand for."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.arithmetic import Array, is_exact, to_exact
from pmdlib.arithmetic.arrays import each
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def exact_game(game: MarkovGame, reading: str = "decimal") -> TabularGame:
    """Return a small game over exact rationals.

    Parameters
    ----------
    game : MarkovGame
        Games that already hold rationals stay as they are.
    reading : {"decimal", "binary"}
        What a float stands for. "decimal": the shortest decimal that rounds to it, which is what
        was typed: 0.1 + 0.2 ties with 0.3. "binary": the dyadic rational that is stored; these
        two then differ by 2^-54, and no longer tie. Rows of probabilities are scaled to sum to 1.

    Raises
    ------
    InvalidGameError
        If the reading does not exist, or the game holds numbers that are not rational.
    """
    if reading not in _READINGS:
        raise InvalidGameError(f"reading is {reading!r}, must be one of {[*_READINGS]}")
    read = _READINGS[reading]
    rewards, kernel = _tensors(game)
    tables = [_rationals(read(table)) for table in rewards]
    kernel, initial = (_rationals(read(table)) for table in (kernel, game.initial))
    discount = _rationals(read(np.array([game.discount])))[0]
    return TabularGame(
        tables,
        kernel / kernel.sum(axis=-1, keepdims=True),
        discount=discount,
        initial=initial / initial.sum(),
    )


def _rationals(table: Array) -> Array:
    exact = to_exact(table)
    for entry in exact.flat:
        if not isinstance(entry, fmpq):
            raise InvalidGameError(
                f"the game holds {entry!r}, must hold floats or rationals to be solved exactly"
            )
    return np.asarray(exact)


def _decimals(array: Array) -> Array:
    return array if is_exact(array) else each(lambda x: Decimal(repr(float(x))), array)


_READINGS: dict[str, Callable[[Array], Array]] = {"decimal": _decimals, "binary": to_exact}


def _tensors(game: MarkovGame) -> tuple[Any, Array]:
    """Rewards (N, S, A_1, .., A_N) and kernel of a game, by pure averages unless it has tensors."""
    if isinstance(game, TabularGame):
        return game.rewards, game.kernel
    profiles = list(product(*map(range, game.num_actions)))
    policy = tuple(
        np.broadcast_to(
            np.eye(m)[[profile[agent] for profile in profiles]][:, None],
            (len(profiles), game.num_states, m),
        )
        for agent, m in enumerate(game.num_actions)
    )
    averages, kernels = game.average_rewards(policy), game.average_kernel(policy)
    shape = (game.num_states, *game.num_actions)
    rewards = np.empty((game.num_agents, *shape))
    kernel = np.empty((*shape, game.num_states))
    moves = np.broadcast_to(kernels[0], (len(profiles), *kernels[0].shape[-3:]))
    for number, profile in enumerate(profiles):
        where: Any = (slice(None), *profile)
        kernel[where] = moves[number, :, profile[0]]
        for agent, action in enumerate(profile):
            rewards[agent][where] = averages[agent][number, :, action]
    return rewards, kernel
