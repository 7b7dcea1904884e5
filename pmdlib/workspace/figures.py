"""One style for every figure, and one function that saves it, byte for byte the same each time."""

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pmdlib.files import write_atomically
from pmdlib.workspace.files import (
    WorkspaceError,
    find_notebooks,
    find_root,
    owner,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS: Mapping[str, str] = MappingProxyType(
    {
        "bound": "#1a1a1a",
        "euclidean": "#0057a6",
        "kl": "#c8500a",
        "kl-constant": "#eba400",
        "control": "#cc79a7",
    }
)
"""What each colour means in every figure.

Told apart with either kind of red-green blindness, and in grey by their lightness alone.
"""

DIRECTORY_VARIABLE = "PMDLIB_FIGURES"
"""Names the directory that `save_figure` writes to; the runner points it at a private one."""

_NAME = re.compile(r"[0-9]{2}-[a-z0-9]+(-[a-z0-9]+)+")


def use_style() -> None:
    """Set the one style of this project's figures; call it once, before the first figure.

    Starts from matplotlib's own defaults, so that no personal setting shows. Text is drawn with
    STIX, which matplotlib ships: figures do not depend on the fonts of the machine.
    """
    import matplotlib as mpl
    import seaborn as sns

    backend = mpl.rcParams["backend"]
    mpl.rcdefaults()
    mpl.rcParams["backend"] = backend
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=[COLORS[name] for name in ("euclidean", "kl", "kl-constant", "bound", "control")],
        rc={
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.figsize": (6.4, 4.0),
            "font.family": "STIXGeneral",
            "grid.color": "#e4e4e4",
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "mathtext.fontset": "stix",
            "pdf.fonttype": 42,
            "svg.fonttype": "path",
            "svg.hashsalt": "pmdlib",
        },
    )


def save_figure(figure: "Figure", name: str) -> None:
    """Write a figure as NAME.svg and NAME.pdf, the same bytes on every run.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to save.
    name : str
        ``<notebook>-<figure>``, as in "05-policy-improvement-kl-slack": lower-case words and
        digits joined by hyphens. It must begin with the name of a notebook of the workspace.

    Raises
    ------
    WorkspaceError
        If the name has another form or belongs to no notebook, or no directory is known.

    Notes
    -----
    Writes to the directory that the environment variable PMDLIB_FIGURES names (the runner sets
    it), otherwise to the figures/ of the workspace that the current directory lies in.
    """
    write_figure(figure, _directory(name) / name)


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PATH.svg and PATH.pdf, the same bytes on every run."""
    import matplotlib as mpl

    for extension, dates in (("svg", ("Date",)), ("pdf", ("CreationDate", "ModDate", "Producer"))):
        content = io.BytesIO()
        metadata = dict.fromkeys((*dates, "Creator"))
        with mpl.rc_context({"svg.hashsalt": "pmdlib"}):
            figure.savefig(content, format=extension, metadata=metadata)
        write_atomically(path.with_name(f"{path.name}.{extension}"), content.getvalue())


def _directory(name: str) -> Path:
    """Return the directory for a figure of this name, which is checked."""
    if not _NAME.fullmatch(name):
        raise WorkspaceError(
            f"figure name {name!r} must be <notebook>-<figure>, lower-case words and digits joined "
            "by hyphens, such as '05-policy-improvement-kl-slack'"
        )
    given = os.environ.get(DIRECTORY_VARIABLE)
    notebooks = []
    try:
        root = find_root()
        notebooks = [path.stem for path in find_notebooks(root)]
    except WorkspaceError:
        if given is None:
            raise
    if notebooks and owner(name, notebooks) is None:
        raise WorkspaceError(
            f"figure name {name!r} must begin with the name of its notebook, one of: "
            + ", ".join(notebooks)
        )
    return Path(given) if given is not None else root / "figures"


def annotate_slope(
    axes: "Axes", slope: float, at: tuple[float, float], *, width: float = 3.0, label: str = ""
) -> None:
    r"""Draw a straight guide of the given slope on log-log axes, with its label.

    The guide is :math:`y = y_0 (x / x_0)^{slope}` from :math:`x_0` to :math:`width \cdot x_0`.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes whose two scales are logarithmic.
    slope : float
        The exponent.
    at : tuple of float
        The point (x_0, y_0) in data units, both positive, where the guide begins.
    width : float, default 3.0
        How far the guide reaches, as a factor of x_0.
    label : str, optional
        Mathtext; "slope -0.5" by default.

    Raises
    ------
    WorkspaceError
        If an axis is not logarithmic or the point is not positive.
    """
    if axes.get_xscale() != "log" or axes.get_yscale() != "log":
        raise WorkspaceError(
            f"annotate_slope needs two log scales, got x: {axes.get_xscale()}, "
            f"y: {axes.get_yscale()}"
        )
    x, y = at
    if not (x > 0 and y > 0 and width > 0):
        raise WorkspaceError(
            f"annotate_slope needs at > 0 and width > 0, got at={at}, width={width}"
        )
    end = y * width**slope
    axes.plot([x, x * width], [y, end], color="0.45", linewidth=1.0, linestyle=(0, (4, 2)))
    axes.annotate(
        label or rf"slope ${slope:g}$",
        (x * width**0.5, y * width ** (0.5 * slope)),
        # Above a guide that falls, below one that rises: the label never lies on its guide.
        xytext=(4, -4 if slope > 0 else 4),
        textcoords="offset points",
        verticalalignment="top" if slope > 0 else "bottom",
        color="0.3",
        fontsize="small",
    )
