"""What the explorer shows: symmetric games of N agents with two actions, as pictures in a square.

The agents fall into two groups that share a policy each, so that a point (x, y) says how probable
action 1 is in the first group and in the second. Agents who start alike stay alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.facilities import FacilityGame
from pmdlib.games.profiles import Profile, Roster
from pmdlib.whole import whole_number

#: Where one agent in N stands on a stretched axis of length 1, unless that is to the left of 1/N.
ONE_AGENT = 0.4

#: Places on each axis of the starts whose runs are drawn together.
GRID = tuple((k + 0.5) / 7 for k in range(7))


@dataclass(frozen=True)
class Scene:
    """A game for every number of agents, and how to draw it.

    Attributes
    ----------
    name, title, story, lesson : str
        The story says what is played, the lesson what to try.
    action : str
        What an agent does who plays action 1.
    game : callable
        From the number of agents N >= 2 to the game: one state, two actions each, all agents alike.
    stretched : bool
        Whether what matters happens where some 1/N of the agents play action 1. Then the axes are
        powers of the probability, with 1/N at the same place for all N that are not small.
    """

    name: str
    title: str
    story: str
    lesson: str
    action: str
    game: Callable[[int], FacilityGame]
    stretched: bool

    def exponent(self, agents: int) -> float:
        """Return the power of a probability that says where it stands on an axis."""
        return min(1.0, log(1 / ONE_AGENT) / log(agents)) if self.stretched else 1.0

    def place(self, probability: ArrayLike, agents: int) -> Array:
        """Places in [0, 1] of probabilities on an axis of the portrait."""
        return np.asarray(probability) ** self.exponent(agents)

    def probability(self, place: ArrayLike, agents: int) -> Array:
        """Probabilities at places of an axis: the inverse of `place`."""
        return np.asarray(place) ** (1 / self.exponent(agents))


def group_sizes(agents: int) -> tuple[int, int]:
    """Split agents into two groups, of one size or one more in the first; PmdError below 2."""
    count = whole_number("agents", agents)
    if count < 2:
        raise PmdError(f"agents is {count}, must be at least 2: one for each group")
    return (count + 1) // 2, count // 2


def group_policy(points: ArrayLike, agents: int) -> Profile:
    """Return the policies in which each group plays action 1 with the probability of a point.

    Parameters
    ----------
    points : array (..., 2) of probabilities
    agents : int

    Returns
    -------
    Profile of N arrays (..., 1, 2), two of them kept
    """
    first, second = group_sizes(agents)
    ones = np.moveaxis(np.asarray(points, dtype=float), -1, 0)
    stack = np.stack([1 - ones, ones], axis=-1)[..., None, :]
    return Profile([stack], Roster(np.repeat([0, 1], [first, second]), (2,)))


def stag_hunt(num_agents: int) -> CongestionGame:
    """Hunting stag pays the share of the others who do it, a hare 0.4 whatever the others do."""
    others = np.arange(num_agents) / (num_agents - 1)
    return CongestionGame([[np.full(num_agents, 0.4), others]], num_agents)


def one_may_cross(num_agents: int) -> FacilityGame:
    """Return the half-face game with 0.8, 1, 0, 0, .. for 0, 1, 2, .. agents across."""
    return catalogue.half_face_team(num_agents, delta=0.2)


def _by_name(*scenes: Scene) -> dict[str, Scene]:
    return {scene.name: scene for scene in scenes}


#: The games of the explorer.
SCENES: dict[str, Scene] = _by_name(
    Scene(
        name="half-face",
        title="One may cross",
        story=(
            "The team earns 0.8 if nobody crosses the river, 1 if one agent does, and nothing if "
            "two or more do (the half-face game of the theory, with δ = 0.2). Each agent sees that "
            "crossing pays; none sees that the others are about to cross as well."
        ),
        lesson=(
            "Hold the step and raise N. The Euclidean guarantee shrinks like 1/N, and soon after "
            "it ends too many cross at once; the thick edges are equilibria where nobody alone can "
            "mend that. The guarantee of KL stays at 2 or more."
        ),
        action="crosses",
        game=one_may_cross,
        stretched=True,
    ),
    Scene(
        name="one-or-two",
        title="One or two",
        story=(
            "The team earns 1 if one or two of its agents volunteer, and nothing otherwise (of two "
            "agents: if exactly one does)."
        ),
        lesson=(
            "For more than two agents it is the worst game for KL steps that a search over "
            "symmetric ones has found. Compare the KL steps 2 and 4: the first is proved safe for "
            "every N; at the second, from N = 4 on, some starts lose."
        ),
        action="volunteers",
        game=catalogue.one_or_two,
        stretched=True,
    ),
    Scene(
        name="two-roads",
        title="Two roads",
        story=(
            "Each agent takes one of two roads, which pay 0.9 - 0.5 s and 0.8 - 0.8 s if a share s "
            "of the agents is on it. Payoffs are of order 1 for every N, but the potential grows "
            "with N."
        ),
        lesson=(
            "Steps that are measured by the largest potential shrink as N grows, until hardly "
            "anything moves. The coupling of the agents stays of order 1, and so does the step "
            "that it allows. Far beyond it the crowd rushes from road to road."
        ),
        action="takes the second road",
        game=catalogue.two_roads,
        stretched=False,
    ),
    Scene(
        name="stag-hunt",
        title="Stag hunt",
        story=(
            "Hunting stag pays the share of the other agents who hunt it; a hare pays 0.4 for "
            "sure. All stag and all hare are strict equilibria."
        ),
        lesson=(
            "The start decides which equilibrium is reached; between the two lies a saddle at 0.4. "
            "Try steps far beyond the guarantee: it is sufficient, not necessary. Where the two "
            "groups start on different sides, c begins small, and the bound pays for it."
        ),
        action="hunts stag",
        game=stag_hunt,
        stretched=False,
    ),
)


def get_scene(name: Any) -> Scene:
    """Look a scene up by name; PmdError for another one."""
    try:
        return SCENES[name]
    except (KeyError, TypeError):
        raise PmdError(f"game is {name!r}, must be one of {[*SCENES]}") from None
