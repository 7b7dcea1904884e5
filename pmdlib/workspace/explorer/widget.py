"""The explorer in JupyterLab: the same controls as the page, live, for any N and step."""

import io
from contextlib import ExitStack
from typing import Any

import ipywidgets
import matplotlib as mpl

from pmdlib.errors import PmdError
from pmdlib.workspace.explorer.data import MIRROR_MAPS
from pmdlib.workspace.explorer.look import Look
from pmdlib.workspace.explorer.picture import draw
from pmdlib.workspace.explorer.scenes import SCENES, get_scene
from pmdlib.workspace.figures import use_style

#: The choice of a step that is the one on the slider.
FIXED = "as on the slider"
GUARANTEED = "the largest guaranteed step"

#: More agents than this take longer than one cares to wait.
MOST_AGENTS = 10_000


def explorer() -> Any:
    """Build the explorer: a box of controls, a picture and a paragraph that follow them.

    Returns
    -------
    ipywidgets.VBox
        Its attribute ``controls`` is a dict of the control widgets by name: ``game``,
        ``mirror_map``, ``agents``, ``rule``, ``step``, ``x``, ``y`` and ``all_starts``; ``image``
        and ``line`` show the outcome, and ``story`` what is played.
    """
    return _Explorer().box


class _Explorer:
    """The widgets, and what happens when one is moved."""

    def __init__(self) -> None:
        wide = ipywidgets.Layout(width="26em")
        slow = {"continuous_update": False, "layout": wide}
        place = {"min": 0.01, "max": 0.99, "step": 0.01, **slow}
        self.controls: dict[str, Any] = {
            "game": ipywidgets.Dropdown(
                options=[(scene.title, name) for name, scene in SCENES.items()],
                description="game",
                layout=wide,
            ),
            "mirror_map": ipywidgets.ToggleButtons(
                options=[(title, name) for name, title in MIRROR_MAPS.items()], value="euclidean"
            ),
            "agents": ipywidgets.BoundedIntText(
                value=16, min=2, max=MOST_AGENTS, description="agents N", layout=wide
            ),
            "rule": ipywidgets.Dropdown(options=[FIXED], description="step rule", layout=wide),
            "step": ipywidgets.FloatLogSlider(
                value=0.0625, base=10, min=-10, max=2, step=0.01, description="step η", **slow
            ),
            "x": ipywidgets.FloatSlider(value=0.21, description="start x", **place),
            "y": ipywidgets.FloatSlider(value=0.36, description="start y", **place),
            "all_starts": ipywidgets.Checkbox(value=True, description="runs from all starts"),
        }
        self.image = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%"))
        self.line, self.story = ipywidgets.HTML(), ipywidgets.HTML()
        rows = [
            ipywidgets.HBox([self.controls[name] for name in names])
            for names in (
                ("game", "mirror_map"),
                ("agents", "rule", "step"),
                ("x", "y", "all_starts"),
            )
        ]
        self.box = ipywidgets.VBox([*rows, self.story, self.line, self.image])
        self.box.controls, self.box.image = self.controls, self.image
        self.box.line, self.box.story = self.line, self.story
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self._offer_rules()
        self._show()

    def look(self) -> Look:
        """Return the setting of the controls."""
        value = {name: control.value for name, control in self.controls.items()}
        return Look(
            get_scene(value["game"]),
            value["mirror_map"],
            value["agents"],
            value["step"],
            (value["x"], value["y"]),
        )

    def _steps(self) -> dict[str, float]:
        known = self.look().theory
        return {named.name: named.value for named in known.steps} | {GUARANTEED: known.limit}

    def _changed(self, change: Any) -> None:
        with self._silence():
            if change["owner"] is self.controls["step"]:
                self.controls["rule"].value = FIXED
            else:
                self._offer_rules()
        self._show()

    def _offer_rules(self) -> None:
        """Name the steps of the theory for this game, and take the one that is asked for."""
        rule, steps = self.controls["rule"], self._steps()
        asked = rule.value if rule.value in steps else FIXED
        rule.options = [FIXED, *steps]
        rule.value = asked
        if asked != FIXED:
            self.controls["step"].value = steps[asked]

    def _silence(self) -> ExitStack:
        """Keep changes that follow from one another from being taken for the reader's."""
        stack = ExitStack()
        for name in ("rule", "step"):
            control = self.controls[name]
            control.unobserve(self._changed, names="value")
            stack.callback(control.observe, self._changed, names="value")
        return stack

    def _show(self) -> None:
        look = self.look()
        self.story.value = f"{look.scene.story} <b>Try:</b> {look.scene.lesson}"
        try:
            text, picture = look.line, _png(look, self.controls["all_starts"].value)
        except PmdError as error:
            self.line.value = f"<b>{error}</b>"
            return
        self.line.value, self.image.value = text, picture


def _png(look: Look, all_starts: bool) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context():
        use_style()
        draw(look, all_starts=all_starts).savefig(content, format="png", dpi=100)
    return content.getvalue()
