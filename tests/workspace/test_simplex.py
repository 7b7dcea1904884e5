"""The triangle of policies over three actions: corners, means and what is refused."""

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose

mpl.use("Agg")

import matplotlib.pyplot as plt

from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.simplex import VERTICES, draw_path, draw_simplex, to_plane


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_pure_policies_are_the_corners_of_a_regular_triangle():
    assert_allclose(to_plane(np.eye(3)), VERTICES)
    sides = VERTICES - np.roll(VERTICES, 1, axis=0)
    assert_allclose((sides**2).sum(axis=-1), 1)


def test_mixing_is_averaging_and_batch_axes_pass_through():
    rng = np.random.default_rng(0)
    policies = rng.dirichlet(np.ones(3), size=(4, 5))
    assert to_plane(policies).shape == (4, 5, 2)
    assert_allclose(to_plane(policies.mean(axis=0)), to_plane(policies).mean(axis=0))
    assert_allclose(to_plane([0.5, 0.5, 0.0]), [0.5, 0.0])


def test_the_triangle_is_drawn_with_its_labels(axes):
    draw_simplex(axes, ("left", "right", "top"))
    assert_allclose(axes.lines[0].get_xydata(), VERTICES[[0, 1, 2, 0]])
    assert {text.get_text(): text.xy for text in axes.texts} == {
        name: tuple(vertex) for name, vertex in zip(("left", "right", "top"), VERTICES, strict=True)
    }
    assert not axes.axison


def test_a_path_has_a_ring_at_its_start_and_dots_on_request(axes):
    policies = np.linspace([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], 9)
    draw_path(axes, policies, color="black")
    path, dots, start = axes.lines
    assert len(dots.get_xydata()) == 0
    assert_allclose(path.get_xydata(), to_plane(policies))
    assert_allclose(start.get_xydata(), [VERTICES[0]])
    assert start.get_markerfacecolor() == "white"
    draw_path(axes, policies, color="black", dots=range(4, 9, 4))
    assert_allclose(axes.lines[4].get_xydata(), to_plane(policies[[4, 8]]))


def test_other_shapes_are_refused(axes):
    with pytest.raises(WorkspaceError, match=r"shape \(2, 4\), must be \(.., 3\)"):
        to_plane(np.ones((2, 4)) / 4)
    with pytest.raises(WorkspaceError, match="got 2 labels, must be 3"):
        draw_simplex(axes, ("one", "two"))
    with pytest.raises(WorkspaceError, match=r"shape \(3,\), must be \(T, 3\)"):
        draw_path(axes, np.ones(3) / 3, color="black")
