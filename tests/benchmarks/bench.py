"""Everything that is asked of speed and memory, measured in one run: `make bench`.

Writes figures/bench.md, .svg and .pdf. They differ from run to run and from machine to machine, so
nothing else writes them.
"""

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import certified, counts, dense, dispatch, distancing, sampling, small
from benchmarks.measuring import Row
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pmdlib.files import write_atomically
from pmdlib.workspace.figures import COLORS, use_style, write_figure
from pmdlib.workspace.tables import columns

FIGURES = Path(__file__).parents[2] / "figures"

TOPICS = (dense, distancing, small, counts, sampling, certified, dispatch)

HEADINGS = ("benchmark", "measured / goal", "measured", "goal")


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    ratios = ["–" if row.ratio is None else f"{row.ratio:.2f}" for row in rows]
    return [
        (row.name, ratio, row.measured, row.goal) for row, ratio in zip(rows, ratios, strict=True)
    ]


def markdown(rows: Sequence[Row]) -> str:
    """Lay out the table for the README; the ratio to the goal comes first."""
    lines = [HEADINGS, ("---", "---:", "---", "---"), *cells(rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\nOne core, BLAS on one thread, {platform.machine()}, processor time.\n"


def draw(rows: Sequence[Row]) -> None:
    """Draw each ratio to its goal on a log axis: what is left of 1 is as asked for."""
    use_style()
    import matplotlib.pyplot as plt

    asked = [row for row in rows if row.ratio is not None]
    figure, axes = plt.subplots(figsize=(9.6, 0.46 * len(asked) + 1.0))
    least, most = min(row.ratio for row in asked), max(row.ratio for row in asked)
    axes.set_xscale("log")
    axes.set_xlim(min(least, 0.5) / 1.8, max(most, 2.0) * 1.8)
    axes.axvspan(axes.get_xlim()[0], 1.0, color=COLORS["euclidean"], alpha=0.07, linewidth=0)
    axes.axvline(1.0, color=COLORS["bound"], linewidth=1.4)
    for height, row in enumerate(reversed(asked)):
        met = row.ratio <= 1
        color = COLORS["euclidean" if met else "kl"]
        axes.plot([1.0, row.ratio], [height, height], color=color, linewidth=2.0, zorder=2)
        axes.plot(row.ratio, height, "o" if met else "D", color=color, markersize=7, zorder=3)
        beside = {"textcoords": "offset points", "verticalalignment": "center"}
        side = (-9, "right") if met else (9, "left")
        axes.annotate(
            f"{row.ratio:.2f}",
            (row.ratio, height),
            xytext=(side[0], 0),
            horizontalalignment=side[1],
            fontsize="small",
            **beside,
        )
        axes.annotate(
            f"{row.measured.partition(' (')[0]}, goal {row.goal}",
            (1.0, height),
            xytext=(8, 0),
            xycoords=("axes fraction", "data"),
            color=color,
            fontsize="small",
            **beside,
        )
    names = [row.name.replace(", ", "\n", 1) for row in reversed(asked)]
    axes.set_yticks(range(len(asked)), names, fontsize="small")
    axes.set_ylim(-0.7, len(asked) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("measured / goal")
    for text, shift, side in (("as asked for", -7, "right"), ("beyond", 7, "left")):
        axes.annotate(
            text,
            (1.0, 1.0),
            xytext=(shift, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            horizontalalignment=side,
            fontsize="small",
        )
    write_figure(figure, FIGURES / "bench")
    plt.close(figure)


def main() -> None:
    """Measure, print and write."""
    rows = []
    for topic in TOPICS:
        rows += topic.rows()
        sys.stderr.write(f"{topic.__name__} measured\n")
    sys.stdout.write(f"{columns([HEADINGS, *cells(rows)])}\n\n")
    write_atomically(FIGURES / "bench.md", markdown(rows).encode())
    draw(rows)
    sys.stdout.write(f"{columns(certified.ways())}\n")


if __name__ == "__main__":
    main()
