"""Pictures of verdicts, censuses, and of learners side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pmdlib.analysis.fixed_points.census import KINDS
from pmdlib.analysis.power_laws import PowerLaw, fit_power_law
from pmdlib.workspace.figures import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

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


def scaling_plot(
    axes: "Axes",
    x: "ArrayLike",
    y: "ArrayLike",
    *,
    label: str,
    color: str,
    marker: str = "o",
    fitted: "ArrayLike | None" = None,
    confidence: float = 0.95,
    offset: tuple[float, float] | None = None,
) -> PowerLaw:
    """Draw measured points on log-log axes with the line fitted to them, and say its slope.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    x, y : arrays (n,) of positive numbers
    label : str
        Of the points, for a legend.
    color, marker : str
    fitted : ndarray (n,) of bool, optional
        Which points the line is fitted to; all by default. The others are drawn hollow.
    confidence : float in (0, 1)
        Of the interval that is written as "slope ± half its length".
    offset : tuple of float, optional
        Where to write the slope, from the right end of the line, in points. By default it is
        written behind the label.

    Returns
    -------
    PowerLaw
        The fit, see `pmdlib.analysis.power_laws.fit_power_law`.
    """
    points, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    used = np.ones(points.shape, dtype=bool) if fitted is None else np.asarray(fitted, dtype=bool)
    law = fit_power_law(points[used], values[used], confidence=confidence)
    ends = np.array([law.x.min(), law.x.max()])
    axes.plot(ends, law(ends), color=color, linewidth=1.2, zorder=1.5)
    text = f"{label}, {slope_text(law)}" if offset is None else label
    axes.plot(points[used], values[used], marker, color=color, markersize=5, label=text)
    axes.plot(
        points[~used], values[~used], marker, color=color, markersize=5, markerfacecolor="white"
    )
    axes.set(xscale="log", yscale="log")
    if offset is not None:
        axes.annotate(
            slope_text(law),
            (ends[1], float(law(ends[1]))),
            xytext=offset,
            textcoords="offset points",
            verticalalignment="center",
            color=color,
            fontsize="small",
            annotation_clip=False,
        )
    return law


def slope_text(law: PowerLaw) -> str:
    """Write "slope ± half the confidence interval", to 2 decimals, or up to 4 if they mean much."""
    digits = 2 if law.half_width < 1e-9 else min(max(1 - int(np.log10(law.half_width)), 2), 4)
    slope = round(law.slope, digits) + 0.0  # no "-0.00"
    return rf"slope ${slope:.{digits}f} \pm {law.half_width:.{digits}f}$"


#: How learners look in a race: one colour for each kind of rule, dashes for its second variant.
LEARNER_STYLES: dict[str, tuple[str, str, Any]] = {
    "kl": ("PMD, KL", COLORS["kl"], "-"),
    "optimistic KL": ("optimistic KL", COLORS["kl"], (0, (5, 1.5))),
    "euclidean": ("PMD, Euclidean", COLORS["euclidean"], "-"),
    "projected gradient": ("projected gradient", COLORS["euclidean"], (0, (5, 1.5))),
    "softmax gradient": ("softmax gradient", "#009e73", "-"),
    "softmax gradient + log barrier": ("softmax, log barrier", "#009e73", (0, (5, 1.5))),
    "natural gradient + entropy": ("natural, entropy", COLORS["kl-constant"], "-"),
    "natural gradient + entropy, annealed": (
        "natural, entropy annealed",
        COLORS["kl-constant"],
        (0, (5, 1.5)),
    ),
    "natural gradient + log barrier": ("natural, log barrier", COLORS["kl-constant"], (0, (1, 1))),
    "sequential best response": ("best responses in turn", COLORS["bound"], "-"),
    "fictitious play": ("fictitious play", COLORS["bound"], (0, (5, 1.5))),
    "joint policy iteration": ("joint policy iteration", COLORS["bound"], (0, (1, 1))),
}


def race_plot(
    frame: "pd.DataFrame",
    *,
    seconds: "Mapping[tuple[str, str], float] | None" = None,
    floor: float = 1e-6,
) -> "Figure":
    """Draw the Nash gap of learners along their runs: a column for each game, a row for each step.

    Lines are medians over runs, bands reach from the lower to the upper quartile. A line that
    leaves through the bottom has a gap below the floor.

    Parameters
    ----------
    frame : DataFrame
        With columns steps, game, learner, run, iteration and nash_gap, as
        `pmdlib.learning.search.race` returns it.
    seconds : mapping from (game, learner) to the seconds of an update, optional
        With it the gap is drawn against time: iterations times these. They are given as numbers
        that were measured once (`seconds_per_update`, rounded), because a clock reads another time
        at every run, and figures are to be the same bytes.
    floor : float > 0
        Lower end of the axis of gaps.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    rows, columns = (list(dict.fromkeys(frame[name])) for name in ("steps", "game"))
    size = (2.2 + 2.6 * len(columns), 0.7 + 2.3 * len(rows))
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=size,
        sharex="col",
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    handles: dict[str, Any] = {}
    for names, runs in frame.groupby(["steps", "game", "learner"], sort=False):
        steps, game, learner = map(str, names)
        axis = axes[rows.index(steps), columns.index(game)]
        table = runs.pivot(index="iteration", columns="run", values="nash_gap")
        low, middle, high = np.maximum(np.quantile(table, [0.25, 0.5, 0.75], axis=1), floor / 100)
        label, color, dashes = LEARNER_STYLES.get(learner, (learner, "0.5", "-"))
        time = table.index.to_numpy() * (1 if seconds is None else seconds[game, learner])
        axis.fill_between(time, low, high, color=color, alpha=0.13, linewidth=0)
        width = 2.2 if label.startswith("PMD") else 1.4
        (line,) = axis.plot(time, middle, color=color, linestyle=dashes, linewidth=width)
        handles.setdefault(learner, (line, label))
    for place, axis in np.ndenumerate(axes):
        axis.set(xscale="log", yscale="log")
        axis.set_ylim(bottom=floor)
        axis.tick_params(labelsize="small")
        if place[0] == 0:
            axis.set_title(columns[place[1]], loc="left")
        if place[0] == len(rows) - 1:
            axis.set_xlabel("iteration" if seconds is None else "seconds, at measured medians")
        if place[1] == 0:
            axis.set_ylabel(f"{rows[place[0]]}\nNash gap")
    order = [name for name in LEARNER_STYLES if name in handles]
    order += [name for name in handles if name not in LEARNER_STYLES]
    lines, labels = zip(*(handles[name] for name in order), strict=True)
    figure.legend(lines, labels, loc="outside right center", fontsize="small", handlelength=2.6)
    return figure


def bifurcation_plot(orbits: "Axes", exponents: "Axes", frame: "pd.DataFrame") -> None:
    """Draw where orbits stay against the step size, and below how fast neighbours separate.

    Parameters
    ----------
    orbits, exponents : matplotlib.axes.Axes
        One above the other, with a common horizontal axis.
    frame : DataFrame
        As `pmdlib.claims.broken_runs.bifurcation` returns it.
    """
    sizes = [len(orbit) for orbit in frame["orbit"]]
    at, spots = np.repeat(frame["step"].to_numpy(), sizes), np.concatenate([*frame["orbit"]])
    dots: dict[str, Any] = {"markersize": 1.1, "markeredgewidth": 0, "rasterized": True}
    orbits.plot(at, spots, "o", color=COLORS["kl"], alpha=0.35, **dots)
    orbits.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
    exponents.axhline(0, color="0.6", linewidth=0.8)
    for name, dashes, color in (("along", "-", "bound"), ("across", "--", "kl-constant")):
        exponents.plot(frame["step"], frame[name], dashes, color=COLORS[color], linewidth=1.4)
    exponents.set(xlabel=r"step in units, $\eta\,Q_{\max}$", ylim=(-2, 1.5))
