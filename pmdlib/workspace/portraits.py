"""Phase portraits of PMD where a policy is a point of the unit square, and its fixed points named.

Two agents, two actions each, one state: a point (p, q) says that agent 1 plays row 1 with
probability p, and agent 2 column 1 with probability q.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pmdlib.analysis.equilibrium import nash_gap
from pmdlib.analysis.fixed_points import (
    ZERO_TOLERANCE,
    FixedPoint,
    find_fixed_points,
    fixed_points,
)
from pmdlib.analysis.fixed_points.census import ANSWERS, KINDS, kind_of
from pmdlib.analysis.values import averaged_q, potential_values, values
from pmdlib.arithmetic import Array, is_exact, to_float
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.learning.mirror_maps import MirrorMap, get_mirror_map
from pmdlib.learning.pmd import run_pmd
from pmdlib.workspace.figures import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

#: Where runs start by default: all round the square, and near its centre.
STARTS: tuple[Point, ...] = (
    *((p, q) for p in (0.06, 0.35, 0.65, 0.94) for q in (0.06, 0.94)),
    *((p, q) for p in (0.06, 0.94) for q in (0.35, 0.65)),
    (0.42, 0.42),
    (0.58, 0.58),
)

_LABELS = {
    "strict Nash": "strict Nash equilibrium",
    "mixed Nash": "mixed Nash equilibrium (saddle)",
    "not Nash": "fixed by KL, not Nash",
    "continuum, Nash": "continuum, Nash",
    "continuum, not Nash": "continuum, not Nash",
}
_POINT = {"linestyle": "none", "markeredgecolor": COLORS["bound"]}
_LINE = {"color": COLORS["control"], "solid_capstyle": "butt"}

#: How fixed points of each kind are drawn.
MARKS: dict[str, dict[str, Any]] = {
    "strict Nash": _POINT | {"marker": "o", "markersize": 9, "color": COLORS["bound"]},
    "mixed Nash": _POINT | {"marker": "D", "markersize": 8, "color": COLORS["kl-constant"]},
    "not Nash": _POINT | {"marker": "s", "markersize": 8, "color": "white"},
    "continuum, Nash": _LINE | {"linewidth": 6},
    "continuum, not Nash": _LINE | {"linewidth": 4, "linestyle": (0, (1, 0.6))},
}

#: Runs end where no agent can gain more than this times the largest reward: no eye could tell.
VISIBLE_GAP = 1e-3

#: Fractions whose denominators are below this are shown as they are.
LONG = 1000


def kind(point: FixedPoint) -> str:
    """Name the type of a fixed point: what it is as an equilibrium, or that it is not alone."""
    name = "Nash" if point.nash else "not Nash"
    if point.isolated is False:
        return f"continuum, {name}"
    if point.nash:
        pure = all(len(used) == 1 for used in point.support)
        form = "strict Nash" if pure else "mixed Nash"
        name = form if point.quasi_strict else "Nash, not quasi-strict"
    return name if point.isolated else f"undecided, {name}"


def fixed_point_table(game: MarkovGame) -> pd.DataFrame:
    """Tabulate the fixed points of the KL map of a one-state game.

    Parameters
    ----------
    game : MarkovGame
        One state, small action sets.

    Returns
    -------
    DataFrame
        One row a point: its policies (exact, as fractions, where these are short), the first
        agent's value there, the Nash gap, its type, and the smallest singular value over the
        Jacobians of its faces ("–" where no face has one: a vertex without ties).
    """
    rows = []
    for point in fixed_points(game):
        shown = point.enclosure if point.enclosure and point.rational else point.policy
        row = {f"π_{i + 1}": _listed(own[0]) for i, own in enumerate(shown)}
        row["value"] = f"{float(np.asarray(values(game, point.policy))[0, 0]):.4f}"
        row["Nash gap"] = f"{float(nash_gap(game, point.policy)) + 0.0:.4f}"
        row["type"] = kind(point)
        alone = point.conditioning
        row["smallest singular value"] = f"{alone:.3f}" if np.isfinite(alone) else "–"
        rows.append(row)
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="point"))


def assumption_table(games: Mapping[str, MarkovGame]) -> pd.DataFrame:
    """Tabulate what the search for fixed points certifies about games, a row each.

    Parameters
    ----------
    games : mapping from a name to a game
        Small ones, see `find_fixed_points`.

    Returns
    -------
    DataFrame
        How many points of each kind there are; how they are known ("rational": exactly; "enclosed":
        by balls); whether the list is complete; whether Assumption V.4 holds, and why.
    """
    rows = {}
    for name, game in games.items():
        found = find_fixed_points(game)
        counts = Counter(map(kind_of, found.points))
        forms = Counter("rational" if point.rational else "enclosed" for point in found.points)
        rows[name] = {
            "points": len(found.points),
            "of these": ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]),
            "known as": ", ".join(f"{number} {form}" for form, number in forms.items()),
            "complete": "yes" if found.complete else "no",
            "Assumption V.4": ANSWERS[found.holds],
            "reason": found.reason,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("game")


def phase_portrait(
    axes: "Axes",
    game: MarkovGame,
    mirror_map: str | MirrorMap = "kl",
    *,
    step: str | float = "paper",
    starts: Sequence[Point] = STARTS,
    iterations: int = 1000,
    grid: int = 11,
) -> None:
    """Draw where PMD goes on the unit square: directions, runs, and the points that stay.

    Arrows of one length show the direction of one step; grey lines are level sets of the
    potential, if the game states one. For a map that keeps zeros, KL among them, all fixed points
    of the KL map are drawn; for the Euclidean map those that are equilibria, which are its own.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    game : MarkovGame
        One state, two agents with two actions each.
    mirror_map, step
        As in `run_pmd`.
    starts : sequence of (p, q)
        Where runs start, a dot each.
    iterations : int
        Length of the runs.
    grid : int
        Arrows in each direction.

    Raises
    ------
    InvalidGameError
        If the game has another shape, or every policy is a fixed point.
    """
    _check_square(game)
    chosen = get_mirror_map(mirror_map)
    color = COLORS.get(chosen.name, COLORS["control"])
    if game.has_potential:
        _draw_levels(axes, game)
    _draw_directions(axes, game, chosen, step, grid)
    p, q = np.array(starts, dtype=float).T
    start, end = _policy(p, q), VISIBLE_GAP * game.reward_bound
    trace = run_pmd(
        game, chosen, step, iterations, start, tolerance=end, record_policies=True, progress=False
    )
    axes.plot(*(own[..., 0, 0] for own in trace.policies), color=color, linewidth=1.3, zorder=3)
    axes.plot(p, q, linestyle="none", marker="o", markersize=3, color=color, zorder=3)
    for *ends, nash in continua(game):
        if nash or chosen.keeps_zeros:
            name = "continuum, Nash" if nash else "continuum, not Nash"
            sides = zip(*ends, strict=True)
            axes.plot(*sides, label=_LABELS[name], zorder=4, clip_on=False, **MARKS[name])
    for point in fixed_points(game):
        if point.isolated and (point.nash or chosen.keeps_zeros):
            place = [[float(own[0, 0])] for own in point.policy]
            name = kind(point)
            axes.plot(*place, label=_LABELS[name], zorder=5, clip_on=False, **MARKS[name])
    axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_aspect("equal")
    axes.grid(visible=False)


def portrait_legend(figure: "Figure", *, columns: int = 5) -> None:
    """Explain, below a figure, the marks that the phase portraits on its axes carry.

    It has this many ``columns``.
    """
    lines = [line for axes in figure.axes for line in axes.lines]
    drawn = {line.get_label(): line for line in lines}
    labels = [label for label in _LABELS.values() if label in drawn]
    handles = [drawn[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.4)


def continua(game: MarkovGame) -> Iterator[tuple[Point, Point, bool]]:
    """Find the segments of KL fixed points in the unit square: both ends, and whether Nash.

    An agent that is indifferent against a pure action of the other may mix as it likes there. On
    such an edge the other's gain from its second action is affine, so its root splits the edge in
    equilibria and others. Where one agent is always indifferent and the other is at one mixture,
    that whole line is fixed.
    """
    _check_square(game)
    small = ZERO_TOLERANCE * game.reward_bound
    gains = [np.where(abs(gain) <= small, 0.0, gain) for gain in _gains(game)]
    if not np.any(gains):
        raise InvalidGameError("every policy of this game is a fixed point: no portrait to draw")
    for mover, other in ((0, 1), (1, 0)):
        # Signs of the other's gain from its action 1 along the edge, and where it changes.
        left, right = (float(gain) for gain in gains[other])
        root = left / (left - right) if left * right < 0 else None
        for place in (0, 1):
            if gains[mover][place] == 0:  # the other plays action 1 at place 1, action 2 at 0
                cuts = (0.0, 1.0) if root is None else (0.0, root, 1.0)
                for low, high in pairwise(cuts):
                    gain = left + (low + high) / 2 * (right - left)
                    ends = (low, float(place)), (high, float(place))
                    yield *_ordered(mover, ends), (gain >= 0 if place else gain <= 0)
        if root is not None and not gains[mover].any():
            yield *_ordered(mover, ((root, 0.0), (root, 1.0))), True


def _ordered(mover: int, ends: tuple[Point, Point]) -> tuple[Point, Point]:
    """Turn points (mover, other) into points (agent 1, agent 2)."""
    return ends if mover == 0 else (ends[0][::-1], ends[1][::-1])


def _check_square(game: MarkovGame) -> None:
    if game.num_states != 1 or game.num_actions != (2, 2):
        raise InvalidGameError(
            f"a phase portrait needs one state and two agents with two actions each, this game has "
            f"{game.num_states} states and num_actions {game.num_actions}"
        )


def _policy(p: Array, q: Array) -> Policy:
    """Policies at the points (p, q), of any shape."""
    return tuple(np.stack([x, 1 - x], axis=-1)[..., None, :] for x in (p, q))


def _gains(game: MarkovGame) -> list[Array]:
    """Gain of each agent's action 1 over its action 2 when the other plays action 2, action 1."""
    rewards = game.average_rewards(_policy(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    return [np.asarray(part[:, 0, 0] - part[:, 0, 1]) for part in rewards]


def _draw_levels(axes: "Axes", game: MarkovGame) -> None:
    lattice = np.linspace(0, 1, 101)
    p, q = np.meshgrid(lattice, lattice)
    heights = np.asarray(potential_values(game, _policy(p.ravel(), q.ravel()))).reshape(p.shape)
    axes.contour(p, q, heights, levels=12, colors="0.88", linewidths=0.8, zorder=0)


def _draw_directions(
    axes: "Axes", game: MarkovGame, mirror_map: MirrorMap, step: str | float, grid: int
) -> None:
    inner = (np.arange(grid) + 0.5) / grid
    p, q = (x.ravel() for x in np.meshgrid(inner, inner))
    policy = _policy(p, q)
    size = mirror_map.theory_step(game, step) if isinstance(step, str) else step
    moves = [
        (mirror_map.update(own, size * table) - own)[:, 0, 0]
        for own, table in zip(policy, averaged_q(game, policy), strict=True)
    ]
    length = np.hypot(*moves)
    seen = length > ZERO_TOLERANCE
    arrows = (x[seen] for x in (p, q, *(move / np.where(seen, length, 1) for move in moves)))
    style: dict[str, Any] = {"pivot": "mid", "color": "0.62", "scale": 1.6 * grid, "width": 0.005}
    axes.quiver(*arrows, zorder=1, **style)


def _listed(own: Array) -> str:
    short = is_exact(own) and all(entry.denominator < LONG for entry in own)
    texts = map(str, own) if short else (f"{x + 0.0:.4g}" for x in to_float(own))
    return "(" + ", ".join(texts) + ")"
