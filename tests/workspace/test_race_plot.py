"""The picture of learners side by side: what is drawn, where it stands, what it is called."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from pmdlib.workspace.plots import LEARNER_STYLES, race_plot

GAPS = np.array([[1.0, 2.0, 4.0, 8.0, 16.0], [0.5, 0.0, 0.0, 0.0, 0.1]])


def curves(learners, games=("a", "b"), steps=("theory's step", "best step")):
    times, runs = np.indices(GAPS.shape)
    rows = {"iteration": 10 * times.ravel() + 1, "run": runs.ravel(), "nash_gap": GAPS.ravel()}
    return pd.concat(
        pd.DataFrame(rows).assign(steps=s, game=g, learner=name)
        for s in steps
        for g in games
        for name in learners
    )


@pytest.fixture
def draw():
    figures = []

    def make(*args, **kwargs):
        figures.append(race_plot(*args, **kwargs))
        return figures[-1]

    yield make
    for figure in figures:
        plt.close(figure)


def test_lines_are_medians_and_bands_quartiles(draw):
    figure = draw(curves(["kl"]), floor=1e-3)
    assert len(figure.axes) == 4
    axis = figure.axes[0]
    (line,), (band,) = axis.lines, axis.collections
    assert_allclose(line.get_xdata(), [1, 11])
    assert_allclose(line.get_ydata(), [4.0, 1e-5])  # a gap of 0 leaves through the bottom
    heights = band.get_paths()[0].vertices
    assert {2.0, 8.0} <= set(heights[heights[:, 0] == 1, 1])
    assert axis.get_ylim()[0] == 1e-3
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b", "", ""]
    assert figure.axes[2].get_ylabel().startswith("best step")


def test_against_time_each_iteration_takes_as_long_as_given(draw):
    seconds = {("a", "kl"): 0.5, ("a", "mine"): 2.0}
    figure = draw(curves(["kl", "mine"], games=["a"]), seconds=seconds)
    lines = figure.axes[0].lines
    assert_allclose(lines[0].get_xdata(), [0.5, 5.5])
    assert_allclose(lines[1].get_xdata(), [2.0, 22.0])
    assert figure.axes[-1].get_xlabel().startswith("seconds")


def test_the_legend_has_every_learner_once_in_the_order_of_kinds(draw):
    figure = draw(curves(["mine", "fictitious play", "kl"]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "PMD, KL",
        "fictitious play",
        "mine",
    ]


def test_no_two_learners_look_the_same():
    looks = {(color, str(dashes)) for _, color, dashes in LEARNER_STYLES.values()}
    assert len(looks) == len(LEARNER_STYLES)
