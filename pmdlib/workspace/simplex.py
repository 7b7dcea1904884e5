"""The simplex of three actions, drawn as a triangle."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pmdlib.arithmetic import Array
from pmdlib.workspace.files import WorkspaceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Where the policies that play one action for certain are drawn: left, right, top.
VERTICES = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def to_plane(policies: Array) -> Array:
    """Place policies over three actions in the triangle.

    Parameters
    ----------
    policies : ndarray (..., 3)

    Returns
    -------
    ndarray (..., 2): the weighted mean of `VERTICES`.

    Raises
    ------
    WorkspaceError
        If there are not three actions.
    """
    points = np.asarray(policies, dtype=float)
    if points.shape[-1:] != (3,):
        raise WorkspaceError(f"policies have shape {points.shape}, must be (.., 3)")
    return np.asarray(points @ VERTICES)


def draw_simplex(axes: "Axes", labels: Sequence[str] = ("1", "2", "3")) -> None:
    """Draw the outline of the triangle and name its corners; the frame of the axes goes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    labels : sequence of 3 str
        For the left, the right and the top corner.

    Raises
    ------
    WorkspaceError
        If there are not three labels.
    """
    if len(labels) != len(VERTICES):
        raise WorkspaceError(f"draw_simplex got {len(labels)} labels, must be 3")
    outline = np.concatenate([VERTICES, VERTICES[:1]])
    axes.plot(*outline.T, color="0.25", linewidth=1.0, zorder=1)
    below, above = ("top", (0, -6)), ("bottom", (0, 5))
    for label, vertex, (side, offset) in zip(labels, VERTICES, (below, below, above), strict=True):
        axes.annotate(
            label,
            tuple(vertex),
            xytext=offset,
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment=side,
            fontsize="small",
        )
    axes.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.1, 0.97))
    axes.set_axis_off()


def draw_path(axes: "Axes", policies: Array, *, color: str, dots: Sequence[int] = ()) -> None:
    """Draw a path of policies: a line from its start, a ring, with dots where asked for.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    policies : ndarray (T, 3)
        In their order.
    color : str
    dots : sequence of int
        Indices of the policies to mark.

    Raises
    ------
    WorkspaceError
        If the policies are not a path (T, 3).
    """
    points = to_plane(policies)
    if points.ndim != 2:
        raise WorkspaceError(f"policies have shape {np.shape(policies)}, must be (T, 3)")
    axes.plot(*points.T, color=color, linewidth=1.5, solid_capstyle="round", clip_on=False)
    marked = points[list(dots)].reshape(-1, 2)
    axes.plot(*marked.T, "o", color=color, markersize=4.5, markeredgewidth=0, clip_on=False)
    axes.plot(*points[0], "o", color=color, markerfacecolor="white", markersize=6, clip_on=False)
