"""The picture of the widget: the phase portrait and the curves of one setting."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pmdlib.analysis.values import potential_values
from pmdlib.arithmetic import Array
from pmdlib.workspace.explorer.data import ticks
from pmdlib.workspace.explorer.look import Look
from pmdlib.workspace.explorer.scenes import group_policy
from pmdlib.workspace.figures import COLORS
from pmdlib.workspace.portraits import MARKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What the marks of fixed points are called where phase portraits are drawn.
_MARK_NAMES = {
    "pure Nash": "strict Nash",
    "mixed Nash": "mixed Nash",
    "not Nash": "not Nash",
    "line, Nash": "continuum, Nash",
    "line, not Nash": "continuum, not Nash",
}

#: Points in each direction for the level sets of the potential.
LEVEL_POINTS = 41


def draw(look: Look, *, all_starts: bool = True) -> "Figure":
    """Draw the phase portrait, and beside it four curves over the iterations.

    Parameters
    ----------
    look : Look
    all_starts : bool
        Draw the runs from all starts of the grid, not only their first steps.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"figure.constrained_layout.use": False}):  # it would double the time
        figure = Figure(figsize=(12, 5.4))
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.11, top=0.94, wspace=0.32, hspace=0.42)
    places: list[Any] = [["portrait", "potential", "gap"], ["portrait", "improvement", "c"]]
    axes = figure.subplot_mosaic(places, width_ratios=(1.5, 1, 1))
    _portrait(axes["portrait"], look, all_starts)
    _curves(axes, look)
    return figure


def _portrait(axes: "Axes", look: Look, all_starts: bool) -> None:
    scene, agents, color = look.scene, look.agents, COLORS[look.mirror_map]
    _levels(axes, look)
    grid = scene.place(look.grid.points, agents)
    if all_starts:
        axes.plot(grid[..., 0], grid[..., 1], color=color, linewidth=0.6, alpha=0.4)
    moved = grid[1] - grid[0]
    length = np.hypot(*moved.T)
    seen = length > 0
    arrows = moved[seen] / length[seen, None]
    bad = np.where(look.grid.falls[seen] > 0, COLORS["control"], "0.3")
    style: dict[str, Any] = {"scale": 22, "width": 0.004, "zorder": 3}
    axes.quiver(*grid[0, seen].T, *arrows.T, color=bad, **style)
    for point in look.rest:
        ends = scene.place(point.ends, agents).T
        axes.plot(*ends, zorder=4, clip_on=False, **MARKS[_MARK_NAMES[point.kind]])
    path = scene.place(look.run.points[:, 0], agents).T
    axes.plot(*path, "o-", color=color, linewidth=1.8, markersize=3, zorder=5)
    axes.plot(*path[:, :1], "o", color=color, markeredgecolor="white", markersize=9, zorder=6)
    places, labels = zip(*ticks(scene, agents), strict=True)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="x, group 1", ylabel="y, group 2")
    axes.set_xticks(places, labels)
    axes.set_yticks(places, labels)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_title(f"{scene.title}, {agents} agents", loc="left")


def _levels(axes: "Axes", look: Look) -> None:
    places = np.linspace(0, 1, LEVEL_POINTS)
    lattice = np.stack(np.meshgrid(places, places), axis=-1)
    policy = group_policy(look.scene.probability(lattice, look.agents), look.agents)
    heights = np.asarray(potential_values(look.game, policy))[..., 0]
    axes.contourf(places, places, heights, levels=12, cmap="Greys", alpha=0.35, zorder=0)


def _curves(axes: dict[str, "Axes"], look: Look) -> None:
    run, color = look.run, COLORS[look.mirror_map]
    bound: dict[str, Any] = {"color": COLORS["bound"], "linestyle": "--"}
    t = run.times + 1
    axes["potential"].plot(t, run.potential[:, 0], color=color)
    axes["potential"].set_title("potential", loc="left")
    gap = axes["gap"]
    gap.plot(t, _positive(run.nash_gap), color=color, label="Nash gap")
    gap.plot(t, _positive(run.regret), color=COLORS["bound"], label="average so far")
    if np.isfinite(run.regret_bound).any():
        gap.plot(t, run.regret_bound[:, 0], label="proved bound on it", **bound)
    gap.set_title("Nash gap and regret", loc="left")
    gap.legend(fontsize="small")
    improvement, change = axes["improvement"], run.improvement[:, 0]
    dots: dict[str, Any] = {"marker": "o", "markersize": 2.5}  # seen also between two falls
    improvement.plot(t, _positive(run.improvement), color=color, label="improvement", **dots)
    if np.isfinite(run.guarantee).any():
        improvement.plot(t, run.guarantee[:, 0], label="guaranteed", **bound)
    down = change < 0
    cross: dict[str, Any] = {"color": COLORS["control"], "linestyle": "none", "marker": "x"}
    if look.run.falls[0]:
        improvement.plot(t[down], -change[down], label="falls", **cross)
    improvement.set_title("improvement of each step", loc="left")
    improvement.legend(fontsize="small")
    axes["c"].plot(t, _positive(run.c), color=color)
    axes["c"].set_title("c: least probability of a best action", loc="left")
    for name in ("potential", "gap", "improvement", "c"):
        axes[name].set(xscale="log", xlabel="iteration")
        if name != "potential":
            axes[name].set_yscale("log")


def _positive(values: Array) -> Array:
    """Values of the single run, NaN where a logarithmic axis has no place for them."""
    return np.where(values[:, 0] > 0, values[:, 0], np.nan)
