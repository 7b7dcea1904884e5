"""The picture of slack: one row for each part that has something to show, labelled for its kind."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import pmdlib as pmd
from pmdlib.workspace import slack_plot


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
