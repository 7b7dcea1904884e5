"""Runs of small games at the speed of machine code, from the same lines as all other runs.

The library's own update, averaged Q and mirror step, is run once on recorded numbers; the program
that this leaves is compiled and repeated. A run of thousands of iterations then costs about a
microsecond an iteration, where NumPy takes some hundred for small arrays.
"""

from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, is_exact
from pmdlib.arithmetic.machine_code import Loop, compiled
from pmdlib.arithmetic.program_text import loop_text
from pmdlib.arithmetic.recording import Tape
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import MIRROR_MAPS, MirrorMap

#: Operations (and numbers of the game) of one update up to which it is compiled. Recording and
#: compiling take some 10 µs an operation, 0.2 s for so many; each then takes half a nanosecond.
MOST_OPERATIONS = 20_000


@dataclass(frozen=True)
class Update:
    """One PMD update of a game, all agents at once, compiled.

    Attributes
    ----------
    rewards, kernel : ndarray (n, S, 1, J) and (S, S) or (S, S, J) of float64
        The tensors of the game, as it stores them.
    discount : float
    loop : Loop
    """

    rewards: Array
    kernel: Array
    discount: float
    loop: Loop

    def run(
        self, coordinates: tuple[Array, ...], step: float, iterations: int
    ) -> tuple[Array, ...]:
        """Update again and again from a start.

        Parameters
        ----------
        coordinates : tuple of N arrays (..., S, A_i)
            Coordinates of the mirror map. Each index of the leading axes is a start of its own.
        step : float
        iterations : int >= 0

        Returns
        -------
        tuple of N arrays (iterations + 1, ..., S, A_i)
            All coordinates, the start first. What leaves the finite numbers shows as NaN or
            infinity, and stays.
        """
        paths = tuple(np.empty((iterations + 1, *own.shape)) for own in coordinates)
        for path, own in zip(paths, coordinates, strict=True):
            path[0] = own
        starts = prod(coordinates[0].shape[:-2])
        numbers = np.array([self.discount, step], dtype=np.float64)
        self.loop([self.rewards, self.kernel, numbers, *paths], iterations * starts, starts)
        return paths


def compile_update(
    game: MarkovGame, mirror_map: MirrorMap, *, most: int = MOST_OPERATIONS
) -> Update | None:
    """Compile the update of a game, or say that it is not to be.

    Parameters
    ----------
    game : MarkovGame
    mirror_map : MirrorMap
    most : int
        Operations, numbers of the game included, beyond which nothing is compiled.

    Returns
    -------
    Update, or None where the plain update is the one to use: for games that are not small tables
    of floats, mirror maps whose steps cannot be recorded (they look at values, or change from
    step to step), and platforms without LLVM.
    """
    if type(game) is not TabularGame or is_exact(game.initial):
        return None
    rewards, kernel = (np.ascontiguousarray(t) for t in (game._rewards, game._kernel))
    if rewards.size + kernel.size > most:
        return None
    try:
        own_copy = deepcopy(mirror_map)  # if a step changes the map, the run must not see it
        text = _record(game, own_copy, most)
        known = any(type(mirror_map) is type(own) for own in MIRROR_MAPS.values())
        if not known and _record(game, own_copy, most) != text:
            return None
        loop = compiled(text)
    except Exception:  # noqa: BLE001  whatever it is, the plain update is there and will say
        return None
    return Update(rewards, kernel, float(game.discount), loop)


def _record(game: TabularGame, mirror_map: MirrorMap, most: int) -> str:
    """Run one update on recorded numbers and return the text of its loop.

    The input arrays are the rewards, the kernel, (discount, step), then each agent's coordinates.
    """
    tape = Tape(most)
    recorded = copy(game)
    for name, attribute in vars(TabularGame).items():
        if isinstance(attribute, cached_property):
            vars(recorded).pop(name, None)
    recorded._rewards = tape.inputs(game._rewards.shape)
    recorded._kernel = tape.inputs(game._kernel.shape)
    recorded.discount, step = tape.inputs((2,))
    first = len(tape.sizes)
    coordinates = [tape.inputs((game.num_states, actions)) for actions in game.num_actions]
    policy = tuple(mirror_map.policy(own) for own in coordinates)
    averaged_q = Evaluation(recorded, policy).averaged_q
    results = {}
    for agent, (own, q) in enumerate(zip(coordinates, averaged_q, strict=True)):
        new = mirror_map.step(own, step * q)
        if np.shape(new) != own.shape:
            raise ValueError(f"a step of shape {np.shape(new)}, must be {own.shape}")
        results[first + agent] = [tape.place(value) for value in new.flat]
    return loop_text(tape, results)
