"""One setting of the explorer, live: what the widget draws and says."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pmdlib.arithmetic import Array
from pmdlib.games.facilities import FacilityGame
from pmdlib.workspace.explorer.rest_points import RestPoint, rest_points
from pmdlib.workspace.explorer.runs import ITERATIONS, Runs, explore
from pmdlib.workspace.explorer.scenes import GRID, Scene
from pmdlib.workspace.explorer.theory import Theory, theory
from pmdlib.workspace.explorer.words import run_line, step_line


@dataclass(frozen=True)
class Look:
    """A game, a mirror map, a number of agents, a step and a start.

    Attributes
    ----------
    scene : Scene
    mirror_map : "kl" or "euclidean"
    agents : int >= 2
    step : float > 0
    place : tuple of float in (0, 1)
        Of the start on the two axes, see `Scene.place`.
    """

    scene: Scene
    mirror_map: str
    agents: int
    step: float
    place: tuple[float, float]

    @cached_property
    def game(self) -> FacilityGame:
        """The game of so many agents."""
        return self.scene.game(self.agents)

    @cached_property
    def theory(self) -> Theory:
        """What is known before the run."""
        return theory(self.game, self.mirror_map)

    @cached_property
    def start(self) -> Array:
        """Probability of action 1 in each group, (2,)."""
        return self.scene.probability(self.place, self.agents)

    @cached_property
    def run(self) -> Runs:
        """The run from the start, alone."""
        return explore(self.scene, self.mirror_map, self.agents, self.step, self.start)

    @cached_property
    def grid(self) -> Runs:
        """Runs from all starts of the grid, first x and then y."""
        places = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1).reshape(-1, 2)
        starts = self.scene.probability(places, self.agents)
        return explore(self.scene, self.mirror_map, self.agents, self.step, starts)

    @cached_property
    def rest(self) -> list[RestPoint]:
        """Fixed points of this mirror map."""
        found = rest_points(self.scene, self.agents)
        return [point for point in found if self.mirror_map == "kl" or point.nash]

    @property
    def line(self) -> str:
        """What there is to say."""
        numbers = run_numbers(self.run, 0) | {
            "falling": int((self.grid.falls > 0).sum()),
            "starts": len(self.grid.falls),
        }
        return f"{step_line(self.theory, self.step)} {run_line(numbers)}"


def run_numbers(runs: Runs, index: int) -> dict[str, float]:
    """Numbers of one of the runs that `run_line` speaks of, all but those of the grid."""
    (x, y), (end_x, end_y) = runs.points[[0, -1], index]
    return {
        "iterations": ITERATIONS,
        "falls": int(runs.falls[index]),
        "first": int(runs.first_fall[index]),
        "x": x,
        "y": y,
        "end_x": end_x,
        "end_y": end_y,
        "gap": runs.nash_gap[-1, index],
        "c": runs.c[-1, index],
        "regret": runs.regret[-1, index],
        "bound": runs.regret_bound[-1, index],
    }
