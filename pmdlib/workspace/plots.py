"""Pictures that several notebooks draw: how close a claim came to failing."""

from typing import TYPE_CHECKING

import numpy as np

from pmdlib.workspace.figures import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pmdlib.claims.claim import Verdict

#: Ratios beyond this are drawn here: the bound says next to nothing about such an instance.
LARGEST_RATIO = 1e4
#: Errors below this share of the bound on rounding, exact agreement among them, are drawn here.
SMALLEST_ERROR = 1e-6


def slack_plot(verdict: "Verdict", *, color: str = COLORS["kl"]) -> "Figure":
    """Draw how the slack of a claim is distributed over instances, one row for each part.

    For an inequality the slack is the larger side over the smaller: 1 means equality, left of 1
    would refute. For an equality it is the difference over the bound on rounding: right of 1 would
    refute. Instances where neither side can be told from rounding have no slack and are left out.

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

    samples = verdict.samples
    kept = {
        str(part): rows.loc[np.isfinite(rows["slack"]), "slack"].to_numpy()
        for part, rows in samples.groupby("part", sort=False)
    }
    parts = {part: slack for part, slack in kept.items() if len(slack)}
    relations = {
        part: report["relation"]
        for way in verdict.ways.values()
        for part, report in way.get("parts", {}).items()
    }
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(6.4, 1.1 + 1.35 * len(parts)), squeeze=False
    )
    for axis, (part, slack) in zip(axes[:, 0], parts.items(), strict=True):
        equality = relations[part] == "=="
        values = np.maximum(slack, SMALLEST_ERROR) if equality else np.minimum(slack, LARGEST_RATIO)
        edges = np.geomspace(min(1.0, values.min()), max(1.0, values.max(), 1.2 * values.min()), 61)
        axis.hist(values, bins=edges, color=color)
        axis.set_xscale("log")
        axis.axvline(1.0, color=COLORS["bound"], linewidth=1.2, linestyle="--")
        worst = slack.max() if equality else slack.min()
        label = f"largest {worst:.2g}" if equality else f"tightest ×{worst:.3g}"
        axis.set_title(
            f"{part}   ({label}, {len(slack):,} instances)", loc="left", fontsize="small"
        )
        axis.set_ylabel("instances", fontsize="small")
        axis.grid(axis="y", visible=False)
    inequality = any(relations[part] != "==" for part in parts)
    axes[-1, 0].set_xlabel(
        "larger side / smaller side (1 = equality)"
        if inequality and relations[list(parts)[-1]] != "=="
        else "difference / bound on rounding (1 = refuted)"
    )
    return figure
