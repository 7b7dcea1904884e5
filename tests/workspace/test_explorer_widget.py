"""The explorer in JupyterLab: its controls move the picture and the words."""

import io
import json
import re
from pathlib import Path

import matplotlib as mpl
import papermill
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from pmdlib.workspace.explorer import explorer
from pmdlib.workspace.explorer.look import Look
from pmdlib.workspace.explorer.scenes import SCENES
from pmdlib.workspace.explorer.widget import FIXED, GUARANTEED

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "explore.ipynb"


@pytest.fixture(scope="module")
def widget():
    return explorer()


def test_moving_a_control_changes_picture_and_words(widget):
    seen = {(widget.image.value, widget.line.value)}
    moves = [
        ("agents", 6),
        ("step", 1.0),
        ("x", 0.6),
        ("y", 0.7),
        ("mirror_map", "kl"),
        ("game", "stag-hunt"),
        ("all_starts", False),
    ]
    for name, value in moves:
        before = widget.image.value
        widget.controls[name].value = value
        assert widget.image.value != before, name
        assert bytes(widget.image.value).startswith(b"\x89PNG")
        seen.add((widget.image.value, widget.line.value))
    assert len(seen) == len(moves) + 1
    look = Look(SCENES["stag-hunt"], "kl", 6, 1.0, (0.6, 0.7))
    assert widget.line.value == look.line
    assert SCENES["stag-hunt"].story in widget.story.value


@pytest.mark.slow
def test_a_named_step_follows_n_and_the_slider_takes_over(widget):
    controls = widget.controls
    controls["game"].value, controls["mirror_map"].value = "two-roads", "kl"
    controls["rule"].value = "the N-free step"
    for agents in (4, 9):
        controls["agents"].value = agents
        phi_max = SCENES["two-roads"].game(agents).phi_max
        assert controls["step"].value == pytest.approx(1 / phi_max)
        assert "the N-free step" in widget.line.value
    controls["mirror_map"].value = "euclidean"  # has no such step: the number stays
    assert controls["rule"].value == FIXED
    assert controls["step"].value == pytest.approx(1 / phi_max)
    controls["rule"].value = GUARANTEED
    assert "This step is 100 % of that." in widget.line.value
    controls["step"].value = 2.0
    assert controls["rule"].value == FIXED
    assert widget.line.value.startswith("Step 2: ")


def test_the_picture_is_drawn_in_the_style_of_the_figures_and_leaves_no_trace(widget):
    before = dict(mpl.rcParams)
    old = widget.image.value
    widget.controls["x"].value = 0.11
    assert dict(mpl.rcParams) == before
    assert not plt.get_fignums()
    shape = plt.imread(io.BytesIO(bytes(widget.image.value))).shape
    assert shape[:2] == (540, 1200)
    assert widget.image.value != old


def test_the_notebook_is_stored_without_outputs_and_not_verified():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert not re.match("[0-9]{2}-", NOTEBOOK.name)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_the_widget(tmp_path):
    out = tmp_path / "explore.ipynb"
    papermill.execute_notebook(NOTEBOOK, out, cwd=ROOT / "notebooks", progress_bar=False)
    notebook = json.loads(out.read_text(encoding="utf-8"))
    shown = [
        kind
        for cell in notebook["cells"]
        for o in cell.get("outputs", [])
        for kind in o.get("data", {})
    ]
    assert "application/vnd.jupyter.widget-view+json" in shown
    states = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    models = {state["model_name"] for state in states.values()}
    assert {"VBoxModel", "ImageModel", "FloatLogSliderModel", "ToggleButtonsModel"} <= models
