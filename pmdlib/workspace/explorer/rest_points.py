"""Where the picture stands still: policies of two groups that a KL step leaves as they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import brentq, root

from pmdlib.analysis.equilibrium import nash_gap
from pmdlib.arithmetic import Array
from pmdlib.games.game import MarkovGame
from pmdlib.games.profiles import rows
from pmdlib.workspace.explorer.scenes import Scene, group_policy

#: Cells in each direction of the lattice on whose corners signs are read. A prime, so that no
#: corner is at a simple fraction, where a gain may be exactly zero.
LATTICE = 61

#: Gains below this times the largest reward are zero: some hundred roundings of an average.
SMALL = 1e-12

#: Solutions closer than this are one, and a Nash gap below this times the largest reward is none.
NEAR = 1e-7

Gains = Callable[[Array], Array]


@dataclass(frozen=True)
class RestPoint:
    """A fixed point, or the two ends of a line of them.

    Attributes
    ----------
    ends : tuple of points (x, y), one or two
        Probabilities of action 1.
    kind : "pure Nash", "mixed Nash" or "not Nash"; of a line "line, Nash" or "line, not Nash"
        A line is called Nash if it is at every point of the lattice between its ends.
    """

    ends: tuple[tuple[float, float], ...]
    kind: str

    @property
    def nash(self) -> bool:
        """Whether it is an equilibrium, and so rests under the Euclidean step as well."""
        return not self.kind.endswith("not Nash")


@lru_cache(maxsize=64)
def rest_points(scene: Scene, agents: int) -> tuple[RestPoint, ...]:
    """Find the fixed points of the KL step among policies of two groups.

    A corner is always fixed. On an edge the gain of the other group from action 1 must vanish, and
    inside the gains of both. These are polynomials; roots are looked for where their signs change
    on a lattice of the picture, so a double root would be missed. An edge on which the gain
    vanishes altogether is a line of fixed points. For the Euclidean step those that are Nash
    equilibria remain.

    Parameters
    ----------
    scene : Scene
    agents : int >= 2
    """
    game = scene.game(agents)
    lattice = scene.probability(np.linspace(0, 1, LATTICE + 1), agents)
    small = SMALL * game.reward_bound

    def gains(points: Array) -> Array:
        """Gain of each group from action 1 over action 0, (..., 2)."""
        rewards = rows(game.average_rewards(group_policy(points, agents)))[..., 0, :]
        return np.moveaxis(rewards[..., 1] - rewards[..., 0], 0, -1)

    found = [(float(x), float(y)) for x in (0, 1) for y in (0, 1)]
    lines = []
    for group in (0, 1):
        for side in (0.0, 1.0):
            points = np.full((len(lattice), 2), side)
            points[:, group] = lattice
            if (abs(gains(points)[:, group]) <= small).all():
                ends = (tuple(points[0].tolist()), tuple(points[-1].tolist()))
                nash = all(_is_nash(game, point, agents) for point in points[1:-1])
                lines.append(RestPoint(ends, "line, Nash" if nash else "line, not Nash"))
            else:
                found += _edge(gains, points, group, small)
    found += _inside(gains, lattice, small)
    single = [RestPoint((point,), _kind(game, point, agents)) for point in found]
    covered = {end: line.nash for line in lines for end in line.ends}
    return (*lines, *(one for one in single if covered.get(one.ends[0]) is not one.nash))


def _is_nash(game: MarkovGame, point: Any, agents: int) -> bool:
    gap = float(nash_gap(game, group_policy(point, agents)))
    return bool(gap <= NEAR * game.reward_bound)


def _kind(game: MarkovGame, point: tuple[float, float], agents: int) -> str:
    if not _is_nash(game, point, agents):
        return "not Nash"
    return "pure Nash" if set(point) <= {0.0, 1.0} else "mixed Nash"


def _signs(values: Array, small: float) -> Array:
    return np.asarray(np.where(abs(values) <= small, 0.0, np.sign(values)))


def _edge(gains: Gains, points: Array, group: int, small: float) -> Iterator[tuple[float, float]]:
    """Roots of the gain of one group inside an edge, between points where its sign changes."""

    def at(own: float) -> Array:
        point = np.array(points[0])
        point[group] = own
        return point

    signs = _signs(gains(points)[:, group], small)
    for k in np.flatnonzero(signs[:-1] * signs[1:] < 0):
        ends = points[k, group], points[k + 1, group]
        x, y = at(brentq(lambda own: float(gains(at(own))[group]), *ends, xtol=1e-14))
        yield float(x), float(y)


def _inside(gains: Gains, lattice: Array, small: float) -> list[tuple[float, float]]:
    """Points inside the square where both gains vanish, from cells where both change sign."""

    def inside(point: Array) -> Array:  # the solver may try points outside the square
        return gains(np.clip(point, 0, 1))

    corners = np.stack(np.meshgrid(lattice, lattice, indexing="ij"), axis=-1)
    signs = _signs(gains(corners), small)
    four = np.stack([signs[:-1, :-1], signs[1:, :-1], signs[:-1, 1:], signs[1:, 1:]])
    mixed = ((four.min(axis=0) < 0) & (four.max(axis=0) > 0)).all(axis=-1)
    found: list[tuple[float, float]] = []
    for i, j in np.argwhere(mixed):
        centre = (corners[i, j] + corners[i + 1, j + 1]) / 2
        solution = root(inside, centre, tol=1e-13)
        x, y = map(float, solution.x)
        low, high = lattice[[i, j]], lattice[[i + 1, j + 1]]
        within = ((solution.x >= low) & (solution.x <= high)).all()
        vanishes = abs(solution.fun).max() <= small
        if within and vanishes and all(abs(x - a) + abs(y - b) > NEAR for a, b in found):
            found.append((x, y))
    return found
