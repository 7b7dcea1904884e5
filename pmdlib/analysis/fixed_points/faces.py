"""What the searches for fixed points share: the faces of the policy space, and what was found.

The KL map keeps zeros, so every choice of supports, one for each agent in each state, is a face of
the space of policies that runs never leave. A *place* is an agent in a state; place i·S + s is
agent i in state s, so in a game of one state places are agents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product
from math import prod

import numpy as np
from flint import fmpq

from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame, Policy

#: The actions used at every place.
Support = tuple[tuple[int, ...], ...]

#: Games with more faces than this are refused: nothing that has to look at all of them would end.
MOST_FACES = 20_000


@dataclass(frozen=True)
class Zero:
    """One solution of the conditions of a face: all used actions of a place are equally good.

    Attributes
    ----------
    weights : tuple with one array (number of used actions,) of rationals or balls for each place
    alone : bool or None
        Whether no other solution in the open face is near; None if that was not decided.
    ends : tuple of weights (as above), on the closed face
        Limits of the curve of solutions on which it lies, as far as they are known.
    """

    weights: tuple[Array, ...]
    alone: bool | None
    ends: tuple[tuple[Array, ...], ...] = ()


@dataclass(frozen=True)
class FaceFindings:
    """What is known for certain about the fixed points in one open face.

    Attributes
    ----------
    zeros : tuple of Zero
        All of them, up to the rest of a continuum, unless boxes are left.
    flat : bool
        The solutions are a convex set, so its closure is where the conditions hold on the closed
        face.
    boxes : int
        Boxes of which it is not known whether they hold a solution.
    volume : float
        Their share of the face, in the coordinates of `face_polynomials`.
    """

    zeros: tuple[Zero, ...] = ()
    flat: bool = False
    boxes: int = 0
    volume: float = 0.0

    @property
    def continuum(self) -> bool:
        """Whether some solutions are known not to be alone."""
        return any(zero.alone is False for zero in self.zeros)

    @property
    def finite(self) -> bool:
        """Whether all solutions are known, and all are alone."""
        return self.boxes == 0 and all(zero.alone for zero in self.zeros)


def subsets(actions: tuple[int, ...]) -> list[tuple[int, ...]]:
    """List all non-empty subsets, small ones first."""
    sizes = range(1, len(actions) + 1)
    return list(chain.from_iterable(combinations(actions, k) for k in sizes))


def all_faces(game: MarkovGame) -> list[Support]:
    """List all faces of the policy space, small ones first.

    Raises
    ------
    InvalidGameError
        If there are more than `MOST_FACES`.
    """
    actions = [m for m in game.num_actions for _ in range(game.num_states)]
    number = prod(2**m - 1 for m in actions)
    if number > MOST_FACES:
        raise InvalidGameError(
            f"a game with {game.num_actions} actions and {game.num_states} states has {number} "
            f"choices of supports, must have at most {MOST_FACES} to look at all of them"
        )
    return sorted(product(*(subsets(tuple(range(m))) for m in actions)), key=dimension)


def faces_between(support: Support, tied: Support) -> Iterator[Support]:
    """Yield all faces from the one of a support to the one of all tied actions, both included."""
    choices = []
    for used, zero in zip(support, tied, strict=True):
        unused = tuple(action for action in zero if action not in used)
        choices.append([tuple(sorted(used + extra)) for extra in [(), *subsets(unused)]])
    return product(*choices)


def dimension(face: Support) -> int:
    """Count the free probabilities in a face."""
    return sum(len(used) - 1 for used in face)


def mixing(face: Support) -> list[int]:
    """List the places that use several actions."""
    return [place for place, used in enumerate(face) if len(used) > 1]


def policy_on(game: MarkovGame, face: Support, weights: tuple[Array, ...]) -> Policy:
    """Build the policy with these probabilities on a face: N object arrays (S, A_i)."""
    policy = []
    for agent, actions in enumerate(game.num_actions):
        own = np.full((game.num_states, actions), fmpq(0), dtype=object)
        for state in range(game.num_states):
            place = agent * game.num_states + state
            own[state, list(face[place])] = weights[place]
        policy.append(own)
    return tuple(policy)
