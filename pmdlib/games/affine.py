"""Congestion games whose costs are affine in the load, and named ones that decide a bound.

A cost is a negative payoff: a user of facility f pays slope_f · load + constant_f. Small ones can
be written out as dense tables (`tabular`), on which runs are faster.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.facilities import Bundles, FacilityGame
from pmdlib.games.tabular import TabularGame


def affine_congestion(
    slopes: ArrayLike,
    constants: ArrayLike,
    agents: int | Sequence[tuple[int, Bundles]],
    kernel: ArrayLike | None = None,
    *,
    discount: Any = 0.0,
    initial: ArrayLike | None = None,
) -> CongestionGame:
    """Return the congestion game in which a user of f pays slopes[s, f] n + constants[s, f].

    Parameters
    ----------
    slopes, constants : array (S, F), or (F,) for one state, non-negative
    agents, kernel, discount, initial
        As in `CongestionGame`.

    Raises
    ------
    InvalidGameError
        If a coefficient is negative, or the shapes differ.
    """
    slope, constant = (np.atleast_2d(np.asarray(table)) for table in (slopes, constants))
    if slope.shape != constant.shape:
        raise InvalidGameError(
            f"slopes have shape {slope.shape}, constants {constant.shape}: must be the same (S, F)"
        )
    for name, table in (("slopes", slope), ("constants", constant)):
        bad = np.argwhere(table < 0)
        if len(bad):
            where = tuple(int(i) for i in bad[0])
            raise InvalidGameError(f"{name}{list(where)} is {table[where]}, must be >= 0")
    many = agents if isinstance(agents, int) else sum(size for size, _ in agents)
    loads = np.arange(1, many + 1)
    return CongestionGame(
        -(slope[..., None] * loads + constant[..., None]),
        agents,
        kernel,
        discount=discount,
        initial=initial,
    )


def random_affine(
    rng: np.random.Generator,
    *,
    agents: int,
    facilities: int,
    actions: int = 2,
    states: int = 1,
    discount: float = 0.0,
    bundles: bool = True,
) -> CongestionGame:
    """Draw slopes from 0, .., 8 and constants from 0, .., 8 (most of them 0): nothing is rounded.

    Parameters
    ----------
    rng : numpy.random.Generator
    agents, facilities : int
    actions : int
        Bundles of each agent, drawn for each by itself.
    states : int
    discount : float
    bundles : bool
        If not, every agent picks one facility, whichever it likes.

    Returns
    -------
    CongestionGame
    """
    size = (states, facilities)
    slopes = rng.integers(0, 8, size=size, endpoint=True)
    constants = rng.integers(0, 8, size=size, endpoint=True) * (rng.random(size) < 0.3)
    slopes[(slopes == 0) & (constants == 0)] = 1  # nothing is free
    weights = rng.integers(1, 7, size=(states, states), endpoint=True)
    kernel = weights / weights.sum(axis=1, keepdims=True)
    own = [(1, _draw_bundles(rng, facilities, actions)) for _ in range(agents)]
    return affine_congestion(
        slopes.astype(float),
        constants.astype(float),
        own if bundles else agents,
        kernel,
        discount=discount,
    )


def _draw_bundles(rng: np.random.Generator, facilities: int, actions: int) -> Bundles:
    drawn: list[tuple[int, ...]] = []
    for _ in range(actions):
        used = rng.random(facilities) < 0.5
        used[rng.integers(facilities)] = True
        drawn.append(tuple(int(f) for f in np.flatnonzero(used)))
    return drawn


def triangle(power: int = 1, *, extra: Any = 0.0) -> CongestionGame:
    """Three agents, six facilities of cost n^power: the price of anarchy 5/2 is attained.

    Agent i takes {h_i, g_i}, or {g_{i+1}, h_{i-1}, h_{i+1}}. If all take the first it costs 6 in
    all; if all take the second, an equilibrium, 15 (27 for power 2). Nobody would lose by leaving
    it; with ``extra`` > 0 added to the factors 1 of the facilities g, each loses that much.

    References
    ----------
    Christodoulou, Koutsoupias, "The price of anarchy of finite congestion games", STOC 2005;
    Awerbuch, Azar, Epstein, "The price of routing unsplittable flow", STOC 2005.
    """
    own = [(1, [(i, 3 + i), (3 + (i + 1) % 3, (i - 1) % 3, (i + 1) % 3)]) for i in range(3)]
    factors = np.array([1.0] * 3 + [1.0 + extra] * 3)
    return CongestionGame(-(factors[:, None] * np.arange(1.0, 4.0) ** power)[None], own)


def pigou(constant: Any = 2.0, agents: int = 2) -> CongestionGame:
    """Agents pick a road that costs its load, or one that costs ``constant``.

    With a constant just above N all take the first, at a cost of N² in all.

    References
    ----------
    Pigou, "The Economics of Welfare", 1920.
    """
    return affine_congestion(np.array([1.0, 0.0]), np.array([0.0, constant]), agents)


def uses(game: FacilityGame) -> list[Array]:
    """Say which facilities each action of each agent uses: N arrays (A_i, F) of int."""
    populations = zip(game.populations, game.incidences, strict=True)
    return [incidence for size, incidence in populations for _ in range(size)]


def joint_loads(game: FacilityGame) -> Array:
    """Count the users of each facility for every joint action: (A_1, .., A_N, F) of int."""
    pairs = zip(uses(game), np.indices(game.num_actions), strict=True)
    return np.asarray(sum(table[actions] for table, actions in pairs))


def tabular(game: CongestionGame) -> TabularGame:
    """Write a congestion game out as dense tensors, Rosenthal's potential included."""
    states, facilities, _ = game.payoffs.shape
    free = 0 * game.payoffs[..., :1]
    paid = np.concatenate([free, game.payoffs], axis=-1)
    summed = game.potential_terms
    loads = joint_loads(game)
    each = np.stack([paid[:, f, loads[..., f]] for f in range(facilities)], axis=-1)
    rewards = [
        (each * table[actions]).sum(axis=-1)
        for table, actions in zip(uses(game), np.indices(game.num_actions), strict=True)
    ]
    rosenthal = sum(summed[:, f, loads[..., f]] for f in range(facilities))
    return TabularGame(
        rewards,
        np.asarray(game.exogenous_kernel),
        discount=game.discount,
        initial=game.initial,
        potential=np.asarray(rosenthal).reshape(states, *game.num_actions),
    )
