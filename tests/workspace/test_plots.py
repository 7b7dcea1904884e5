"""Pictures: of slack, a row for each part that has something to show; of slopes, with their fit."""

import dataclasses
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import pmdlib as pmd
from pmdlib.workspace import scaling_plot, slack_plot
from pmdlib.workspace.plots import slope_text


@pytest.fixture
def made():
    """Make a verdict with given slacks for its parts, and draw it."""
    known = pmd.verify("performance-difference", instances=1)
    figures = []

    def make(**parts):
        frames = [
            pd.DataFrame({"part": part, "slack": np.asarray(slack, dtype=float)})
            for part, (_, slack) in parts.items()
        ]
        reports = {part: {"relation": relation} for part, (relation, _) in parts.items()}
        verdict = dataclasses.replace(
            known, ways={"numeric": {"parts": reports}}, samples=pd.concat(frames)
        )
        figures.append(slack_plot(verdict))
        return figures[-1].axes

    yield make
    for figure in figures:
        plt.close(figure)


def heights(axis):
    return sum(patch.get_height() for patch in axis.patches)


def test_every_instance_is_drawn_once(made):
    ratios = np.append(np.linspace(1.3, 2.5, 98), [50.0, 1e9])
    (axis,) = made(a=(">=", ratios))
    assert heights(axis) == 100
    assert axis.get_xlim()[1] < 60  # the last two at the edge of the axis
    assert "tightest ×1.3, 100 instances" in axis.get_title(loc="left")
    assert axis.get_xlabel().startswith("larger side")


def test_instances_without_a_slack_are_left_out(made):
    (axis,) = made(a=(">=", [2.0, np.inf, 3.0]), b=(">=", [np.inf]))
    assert heights(axis) == 2


def test_parts_of_two_kinds_are_labelled_each_for_itself(made):
    first, second, third = made(a=(">=", [2.0, 3.0]), b=("==", [1e-3, 0.0]), c=("==", [0.1, 0.2]))
    assert first.get_xlabel().startswith("larger side")
    assert second.get_xlabel() == ""
    assert third.get_xlabel().startswith("difference")
    assert heights(second) == 2  # exact agreement is drawn at the left edge


def test_a_part_without_any_error_gives_way_to_the_others(made):
    assert len(made(a=(">=", [2.0, 3.0]), b=("==", [0.0, 0.0]))) == 1
    assert len(made(b=("==", [0.0, 0.0]))) == 1


@pytest.fixture
def axes():
    figure, axis = plt.subplots()
    yield axis
    plt.close(figure)


def test_a_scaling_plot_fits_what_it_draws_and_says_the_slope(axes):
    x = np.array([2, 4, 8, 16])
    law = scaling_plot(axes, x, 3.0 / x, label="measured", color="k")
    assert law.slope == pytest.approx(-1)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    line, points, hollow = axes.lines
    assert line.get_ydata() == pytest.approx([1.5, 3 / 16])
    assert points.get_ydata() == pytest.approx(3.0 / x)
    assert len(hollow.get_xdata()) == 0
    assert points.get_label() == r"measured, slope $-1.00 \pm 0.00$"


def test_points_that_are_not_fitted_are_hollow(axes):
    x = np.array([1, 2, 4, 8])
    y = np.array([7.0, 2, 4, 8])
    law = scaling_plot(axes, x, y, label="y", color="k", fitted=x > 1, offset=(5, 0))
    assert law.slope == pytest.approx(1)
    _, points, hollow = axes.lines
    assert points.get_label() == "y"
    assert hollow.get_xdata() == [1]
    assert [text.get_text() for text in axes.texts] == [r"slope $1.00 \pm 0.00$"]


@pytest.mark.parametrize(
    ("noise", "text"), [(0.3, r"-1.00 \\pm 0.12\$"), (3e-3, r"-1.000 \\pm 0.00[0-9]\$")]
)
def test_a_slope_has_two_decimals_and_more_if_its_uncertainty_supports_them(axes, noise, text):
    x = np.geomspace(1, 100, 9)
    y = np.exp(noise * np.cos(np.arange(9))) / x
    law = scaling_plot(axes, x, y, label="y", color="k")
    assert re.search(text, slope_text(law))
