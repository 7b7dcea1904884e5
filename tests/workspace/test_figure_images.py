"""Pictures look as they did: small examples of all plot helpers, beside images that were kept.

Builds of FreeType draw letters differently, and layouts move with them by more than the loss of a
line would change. So the images have no letters and a layout of their own, which makes them the
same wherever Agg draws them; what is written on them is compared as text.

`pytest-mpl` compares the images; those of a failed comparison lie in .pytest_cache/figures. After a
change that is meant, look at what this writes, and commit it:

    .venv/bin/python -m pytest tests/workspace/test_figure_images.py \\
        --mpl-generate-path tests/workspace/baseline
"""

from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import Collection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.testing.compare import calculate_rms
from matplotlib.text import Text

from pmdlib.games import catalogue
from pmdlib.workspace import COLORS, annotate_slope, scaling_plot, slack_plot, use_style
from pmdlib.workspace.plots import bifurcation_plot, kinds_plot, race_plot
from pmdlib.workspace.portraits import phase_portrait, portrait_legend
from pmdlib.workspace.simplex import draw_path, draw_simplex

BASELINE = Path(__file__).with_name("baseline")
# Root mean square over pixels, of 255. Smoothed edges differ by less between processors; the palest
# thing drawn here, a band at 13 % of its colour, is missed by more (tested below).
TOLERANCE = 0.3
SAVED = {"dpi": 60}


def slack():
    shares = np.linspace(0.02, 0.98, 97)
    samples = pd.DataFrame(
        {
            "part": np.repeat(["bound", "identity"], 97),
            "slack": np.concatenate([1.2 + shares**2, 1e-3 * shares]),
        }
    )
    parts = {"bound": {"relation": ">="}, "identity": {"relation": "=="}}
    return slack_plot(SimpleNamespace(samples=samples, ways={"numeric": {"parts": parts}}))


def kinds():
    counts = {"strict Nash": (4, 2), "other Nash": (1, 1), "not Nash": (3, 3), "continuum": (0, 2)}
    rows = [
        {"sort": sort, "game": 0, "kind": kind, "count": pair[k]}
        for k, sort in enumerate(("2 × 2", "3 × 3"))
        for kind, pair in counts.items()
    ]
    figure, axes = plt.subplots(figsize=(5, 2.4))
    kinds_plot(axes, pd.DataFrame(rows))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2)
    return figure


def scaling():
    x = np.array([1, 2, 4, 8, 16, 32])
    figure, axes = plt.subplots(figsize=(4.5, 3))
    look = {"label": "found", "color": COLORS["kl"], "marker": "s"}
    scaling_plot(axes, x, 3 / x * 1.1 ** np.cos(x), **look, fitted=x > 1, offset=(-60, 30))
    annotate_slope(axes, -0.5, (2, 3), label="slope −½", width=8)
    return figure


def race():
    times, runs = np.indices((12, 5))
    frames = [
        pd.DataFrame(
            {
                "steps": "theory's step",
                "game": game,
                "learner": learner,
                "run": runs.ravel(),
                "iteration": times.ravel() + 1,
                "nash_gap": ((1 + runs / 4) * np.exp(-rate * times)).ravel(),
            }
        )
        for game in ("first", "second")
        for learner, rate in (("kl", 1.0), ("euclidean", 0.5), ("fictitious play", 0.2))
    ]
    return race_plot(pd.concat(frames), floor=1e-4)


def bifurcation():
    steps = np.linspace(1, 4, 31)
    orbits = [0.5 + np.array([1, -1]) * np.sqrt(max(step - 2, 0)) / 3 for step in steps]
    lines = {"along": np.log(abs(2 - steps) + 0.2), "across": 0.5 - steps / 3}
    figure, (above, below) = plt.subplots(2, 1, figsize=(4.5, 3.6), sharex=True)
    bifurcation_plot(above, below, pd.DataFrame({"step": steps, "orbit": orbits, **lines}))
    return figure


def portraits():
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.6), layout="constrained")
    options = {"starts": [(0.06, 0.94), (0.65, 0.06), (0.42, 0.42)], "step": 0.5, "grid": 7}
    phase_portrait(axes[0], catalogue.isolated(), "kl", **options)
    phase_portrait(axes[1], catalogue.slow_switch(0.0), "kl", **options)
    portrait_legend(figure, columns=3)
    return figure


def simplex():
    figure, axes = plt.subplots(figsize=(3, 3))
    draw_simplex(axes, ("rock", "paper", "scissors"))
    turn = np.linspace(0, 1, 20)[:, None]
    path = (1 - turn) * [0.2, 0.2, 0.6] + turn * [0.8, 0.1, 0.1]
    draw_path(axes, path, color=COLORS["euclidean"], dots=[10, 19])
    return figure


def colours():
    figure, axes = plt.subplots(figsize=(4, 2.4))
    for place, (name, color) in enumerate(COLORS.items()):
        axes.plot([0, 1], [place, place + 0.5], color=color, label=name)
    axes.plot([0, 1], [5, 6])  # the first colour of the cycle
    axes.set(title="Style", xlabel=r"$\eta\,Q_{\max}$", ylabel="colour")
    axes.legend()
    return figure


DRAWINGS = {
    drawing.__name__: drawing
    for drawing in (slack, kinds, scaling, race, bifurcation, portraits, simplex, colours)
}


def words(figure):
    """What is written on a figure, the numbers of its axes included."""
    figure.draw_without_rendering()
    off = [axes for axes in figure.axes if not axes.axison]
    hidden = {text for axes in off for axis in (axes.xaxis, axes.yaxis) for text in written(axis)}
    return [text.get_text() for text in written(figure) if text not in hidden]


def written(thing):
    found = (text for text in thing.findobj(Text) if text.get_visible())
    return [text for text in found if text.get_text().strip()]


def draw(name):
    """Draw an example in the style of all figures, where letters have no say in the layout."""
    use_style()
    figure = DRAWINGS[name]()
    figure.set_layout_engine("none")
    return figure


def without_words(figure):
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    for thing in [*figure.findobj(Text), *filter(None, legends)]:
        thing.set_visible(False)
    return figure


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.mpl_image_compare(style="default", tolerance=TOLERANCE, savefig_kwargs=SAVED)
def test_picture(name, request):
    figure = draw(name)
    said = "\n".join(words(figure)) + "\n"
    folder = request.config.getoption("--mpl-generate-path")
    if folder is not None:
        Path(folder, f"{name}.txt").write_text(said, encoding="utf-8")
    assert said == (BASELINE / f"{name}.txt").read_text(encoding="utf-8")
    return without_words(figure)


def test_images_are_compared_and_small(request):
    assert request.config.getoption("--mpl")
    assert sum(path.stat().st_size for path in BASELINE.iterdir()) < 300_000
    names = {path.stem.removeprefix("test_picture_") for path in BASELINE.iterdir()}
    assert names == set(DRAWINGS)


@pytest.fixture
def differs():
    """Whether a figure differs from the image that was kept."""
    with mpl.rc_context():
        yield lambda name, figure: calculate_rms(kept(name), pixels(figure)) > TOLERANCE
    plt.close("all")


def kept(name):
    return 255.0 * plt.imread(BASELINE / f"test_picture_{name}.png")[..., :3]


def pixels(figure):
    figure.set_dpi(SAVED["dpi"])
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)


def things(figure):
    """What is drawn on the axes of a figure: lines, dots, bars, bands, arrows."""
    for axes in figure.axes:
        frame = {axes.patch, *axes.spines.values()}
        yield from (each for each in axes.get_children() if each not in frame and has_ink(each))


def has_ink(thing):
    """Whether it is something that can be seen: bars may have no height, lines no points."""
    if not isinstance(thing, Line2D | Patch | Collection):
        return False
    box = thing.get_window_extent()
    sides = (box.width, box.height)
    return np.isfinite(sides).all() and (min if isinstance(thing, Patch) else max)(sides) > 0


@pytest.mark.parametrize("name", DRAWINGS)
def test_an_image_without_one_of_its_things_differs(name, differs):
    figure = without_words(draw(name))
    assert not differs(name, figure)
    drawn = [*things(figure)]
    for thing in drawn[:: 1 + len(drawn) // 20]:  # of many bars some
        thing.set_visible(False)
        assert differs(name, figure), f"{thing} is not missed"
        thing.set_visible(True)


def recolour(thing):
    """Draw it in another of our colours."""
    thing.set_color(COLORS["euclidean" if thing.get_color() == COLORS["kl"] else "kl"])


def swap(thing):
    """Mistake one axis for the other."""
    thing.set_data(*thing.get_data()[::-1])


@pytest.mark.parametrize("change", [recolour, swap])
@pytest.mark.parametrize("name", ["scaling", "race", "bifurcation", "portraits", "simplex"])
def test_an_image_with_a_line_gone_wrong_differs(name, change, differs):
    figure = without_words(draw(name))
    longest = max(
        (thing for thing in things(figure) if isinstance(thing, Line2D)),
        key=lambda line: len(line.get_xdata()),
    )
    change(longest)
    assert differs(name, figure)


def test_other_words_are_found():
    with mpl.rc_context():
        figure = draw("simplex")
        assert words(figure) == ["rock", "paper", "scissors"]
        figure.axes[0].set_title("stone")
        figure.axes[0].texts[0].set_visible(False)
        assert sorted(words(figure)) == ["paper", "scissors", "stone"]
    plt.close(figure)
