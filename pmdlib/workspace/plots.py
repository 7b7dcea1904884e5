"""Pictures of verdicts and censuses: how close a claim came to failing, which points there are."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pmdlib.analysis.fixed_points.census import KINDS
from pmdlib.workspace.figures import COLORS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pmdlib.arithmetic import Array
    from pmdlib.claims.claim import Verdict

#: The share of ratios that the axis shows; those beyond, of which the bound says next to nothing,
#: are drawn at its right edge.
SHOWN_RATIOS = 0.98
#: Axes that span less than this factor are numbered 1, 1.5, 2, .. and not by powers of ten.
NARROW = 30.0
#: Errors below this share of the bound on rounding, exact agreement among them, are drawn here.
SMALLEST_ERROR = 1e-6


def slack_plot(verdict: "Verdict", *, color: str = COLORS["kl"]) -> "Figure":
    """Draw how the slack of a claim is distributed over instances, one row for each part.

    For an inequality the slack is the larger side over the smaller: 1 means equality, left of 1
    would refute. For an equality it is the difference over the bound on rounding: right of 1 would
    refute. Instances where neither side can be told from rounding have no slack and are left out;
    so is a part without a single error beside parts that have something to show.

    Parameters
    ----------
    verdict : Verdict
    color : str
        Of the histograms; the colour of the mirror map, usually.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    samples = verdict.samples
    kept = {
        str(part): rows.loc[np.isfinite(rows["slack"]), "slack"].to_numpy()
        for part, rows in samples.groupby("part", sort=False)
    }
    relations = {
        part: report["relation"]
        for way in verdict.ways.values()
        for part, report in way.get("parts", {}).items()
    }
    drawn = {part: slack for part, slack in kept.items() if slack.any()}
    parts = drawn or {part: slack for part, slack in kept.items() if len(slack)}
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(6.4, 1.1 + 1.35 * len(parts)), squeeze=False
    )
    for axis, (part, slack) in zip(axes[:, 0], parts.items(), strict=True):
        equality = relations[part] == "=="
        values = np.maximum(slack, SMALLEST_ERROR) if equality else _shown(slack)
        low, high = min(1.0, values.min()), max(1.0, values.max(), 1.2 * values.min())
        axis.hist(values, bins=np.geomspace(low, high, 61), color=color)
        axis.set_xscale("log")
        if high < NARROW * low:
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_locator(NullLocator())
        axis.axvline(1.0, color=COLORS["bound"], linewidth=1.2, linestyle="--")
        worst = slack.max() if equality else slack.min()
        label = f"largest {worst:.2g}" if equality else f"tightest ×{worst:.3g}"
        axis.set_title(
            f"{part}   ({label}, {len(slack):,} instances)", loc="left", fontsize="small"
        )
        axis.set_ylabel("instances", fontsize="small")
        axis.grid(axis="y", visible=False)
    kinds = [relations[part] == "==" for part in parts]
    for axis, equality, following in zip(axes[:, 0], kinds, [*kinds[1:], None], strict=True):
        if equality != following:
            axis.set_xlabel(
                "difference / bound on rounding (1 = refuted)"
                if equality
                else "larger side / smaller side (1 = equality)"
            )
    return figure


def _shown(ratios: "Array") -> "Array":
    """Move the largest ratios to the edge of the axis."""
    return np.asarray(np.minimum(ratios, np.quantile(ratios, SHOWN_RATIOS) * 1.1))


#: How bars show the kinds of fixed points: the colours that phase portraits give them.
KIND_STYLES: dict[str, dict[str, Any]] = {
    "strict Nash": {"color": COLORS["bound"]},
    "quasi-strict Nash": {"color": COLORS["kl-constant"]},
    "other Nash": {"color": COLORS["kl-constant"], "hatch": "////"},
    "not Nash": {"color": "white"},
    "continuum": {"color": COLORS["control"]},
    "undecided": {"color": "0.75"},
}


def kinds_plot(axes: "Axes", census: "pd.DataFrame") -> None:
    """Draw a bar for each sort of game: the share of each kind among its fixed points.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    census : DataFrame
        As `fixed_point_census` returns it. The mean number of points stands beside each bar.
    """
    sorts = list(census["sort"].unique())
    games = census.groupby("sort")["game"].nunique()
    counts = census.pivot_table(index="sort", columns="kind", values="count", aggfunc="sum")
    counts = counts.reindex(index=sorts, columns=[*KINDS], fill_value=0)
    shares = counts.div(counts.sum(axis=1), axis=0)
    left = np.zeros(len(sorts))
    for kind in KINDS:
        if counts[kind].any():
            style = KIND_STYLES[kind] | {"edgecolor": COLORS["bound"], "linewidth": 0.7}
            axes.barh(sorts, shares[kind], 0.7, left, label=kind, clip_on=False, **style)
            left += shares[kind].to_numpy()
    for place, sort in enumerate(sorts):
        number = counts.loc[sort].sum() / games[sort]
        axes.text(1.02, place, f"{number:.1f}", va="center", fontsize="small")
    axes.text(1.02, -0.62, "points", va="center", fontsize="small", color="0.3")
    axes.set(xlim=(0, 1), xlabel="share of the fixed points", ylim=(len(sorts) - 0.5, -0.5))
    axes.grid(visible=False)
