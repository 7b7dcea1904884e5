"""Figures: the same bytes on every run, in the right place, told apart by everyone."""

import itertools
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from workspace.fakes import make_workspace, snapshot

mpl.use("Agg")

import matplotlib.pyplot as plt

from pmdlib.files import write_atomically
from pmdlib.workspace import COLORS, annotate_slope, save_figure, use_style
from pmdlib.workspace.files import WorkspaceError, find_root

SCRIPT = """
import matplotlib.pyplot as plt, seaborn as sns
from pmdlib.workspace import COLORS, annotate_slope, save_figure, use_style
use_style()
figure, axes = plt.subplots()
axes.loglog([1, 10, 100], [1, .1, .01], color=COLORS["kl"], label=r"$\\eta_{\\mathrm{KL}}$")
axes.fill_between([1, 100], [1, 1], [2, 2], alpha=.2, hatch="/")
annotate_slope(axes, -1, (2, .3))
axes.legend()
save_figure(figure, "01-good-line")
"""


@pytest.fixture
def axes():
    with mpl.rc_context():
        use_style()
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


def test_two_processes_write_the_same_bytes(tmp_path):
    seen = []
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        directory = tmp_path / seed
        changes = {"PYTHONHASHSEED": seed, "TZ": zone, "MPLBACKEND": "Agg"}
        environment = os.environ | changes | {"PMDLIB_FIGURES": str(directory)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment.pop("SOURCE_DATE_EPOCH", None)
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, check=True)
        seen.append(snapshot(directory))
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"01-good-line.svg", "01-good-line.pdf"}
    for content in seen[0].values():
        assert b"Date" not in content
        assert b"Matplotlib v" not in content


def test_figures_go_to_the_workspace_unless_told_otherwise(tmp_path, monkeypatch, axes):
    root = make_workspace(tmp_path / "place", {"01-good": [], "01-good-too": []})
    monkeypatch.delenv("PMDLIB_FIGURES", raising=False)
    monkeypatch.chdir(root / "notebooks")
    save_figure(axes.figure, "01-good-line")
    assert set(snapshot(root / "figures")) == {"01-good-line.svg", "01-good-line.pdf"}
    monkeypatch.setenv("PMDLIB_FIGURES", str(tmp_path / "else"))
    save_figure(axes.figure, "01-good-two")
    assert set(snapshot(tmp_path / "else")) == {"01-good-two.svg", "01-good-two.pdf"}
    with pytest.raises(WorkspaceError, match=r"'02-x-y' must begin .* one of: 01-good, 01-good-to"):
        save_figure(axes.figure, "02-x-y")
    monkeypatch.delenv("PMDLIB_FIGURES")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="no workspace at or above"):
        save_figure(axes.figure, "01-good-line")


@pytest.mark.parametrize("name", ["line", "01-good", "01-Good-line", "01-a/b-c", "../01-a-b", ""])
def test_bad_names_are_refused(name, axes):
    with pytest.raises(WorkspaceError, match="must be <notebook>-<figure>"):
        save_figure(axes.figure, name)


def test_slope_guide_has_the_slope_and_says_so(axes):
    with pytest.raises(WorkspaceError, match="needs two log scales, got x: linear"):
        annotate_slope(axes, -0.5, (1, 1))
    axes.set(xscale="log", yscale="log")
    with pytest.raises(WorkspaceError, match=r"at > 0 .* at=\(0, 1\)"):
        annotate_slope(axes, -0.5, (0, 1))
    annotate_slope(axes, -0.5, (4.0, 3.0), width=100)
    x, y = axes.lines[0].get_data()
    assert np.allclose([x, y], [[4, 400], [3, 0.3]])
    assert axes.texts[0].get_text() == "slope $-0.5$"


# Machado, Oliveira and Fernandes (2009): linear RGB as seen without one kind of cone.
SIGHT = {
    "full": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(color, sight):
    """CIELAB of a colour as seen."""
    encoded = np.array(mpl.colors.to_rgb(color))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1) / (XYZ @ np.ones(3)))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colors_are_told_apart(sight):
    for one, other in itertools.combinations(COLORS, 2):
        distance = np.linalg.norm(lab(COLORS[one], sight) - lab(COLORS[other], sight))
        assert distance > 25, f"{one} and {other}: {distance:.0f}"
        lightness = abs(lab(COLORS[one], "full")[0] - lab(COLORS[other], "full")[0])
        assert lightness > 10, f"{one} and {other} in grey: {lightness:.0f}"


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o640)

    def interrupt(self, other):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(target, "new")
    assert snapshot(tmp_path) == {"file": b"old"}
    write_atomically(target, "new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_the_root_is_the_nearest_with_notebooks_and_project(tmp_path):
    root = make_workspace(tmp_path / "place", {})
    (root / "notebooks" / "deep" / "notebooks").mkdir(parents=True)
    assert find_root(root / "notebooks" / "deep") == root
    with pytest.raises(WorkspaceError, match="a workspace holds notebooks/ and pyproject"):
        find_root(tmp_path)
