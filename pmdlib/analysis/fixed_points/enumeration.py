r"""Fixed points of the KL map: all of them, their kinds, and which are isolated (Assumption V.4).

A policy is fixed by the KL step, at every step size, exactly if each agent's averaged advantage
vanishes on its support. Around such a point x with supports S_i, let B_i ⊇ S_i be the actions of
advantage zero, used or not. Fixed points near x have supports between S and B. So x is isolated if
each of the faces S ⊆ B' ⊆ B has finitely many fixed points, and also if on each of them the square
system "advantages equal on B'" has a non-singular Jacobian at x. With two agents and one state an
isolated point has B = S: an unused action a ∈ B_i \ S_i leaves the line of fixed points on which
agent i moves mass to a while the other stands still.

Faces are searched one by one, over exact rationals: one state and at most two mixing agents by
linear systems, three agents mixing two actions each by a quadratic equation, and everything else
by exclusion and certified inclusion, which may leave something open and then says so.
"""

from dataclasses import dataclass, field

from pmdlib.analysis.fixed_points.exact_games import exact_game
from pmdlib.analysis.fixed_points.face_polynomials import solve_face
from pmdlib.analysis.fixed_points.faces import FaceFindings, Support, all_faces, dimension, mixing
from pmdlib.analysis.fixed_points.kinds import (
    FixedPoint,
    describe,
)
from pmdlib.analysis.fixed_points.linear_supports import LinearFaces
from pmdlib.analysis.fixed_points.three_mixers import solve_three_mixers
from pmdlib.errors import NotConvergedError
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame

#: Boxes that a search of one face may look at.
BUDGET = 200_000

#: Faces with more free probabilities than this are left open at once.
LARGEST_DIMENSION = 6


@dataclass(frozen=True)
class OpenFace:
    """A support on which boxes were left undecided: their number and their share of the face."""

    support: Support
    boxes: int
    volume: float


@dataclass(frozen=True)
class FixedPointSet:
    """The fixed points of the KL map of one game, and whether Assumption V.4 holds.

    Attributes
    ----------
    points : tuple of FixedPoint
        Vertices first; for a continuum in a face at least one of its points. All are certified.
    complete : bool
        Whether every fixed point is listed, or shares its support with a listed continuum.
    holds : bool or None
        Whether all fixed points are isolated: True if the list is complete and finite, False if a
        continuum is certified, None if neither is known.
    reason : str
        Why, in words.
    undecided : tuple of OpenFace
        What a list that is not complete may have missed.
    game : TabularGame
        The game over rationals of which all this is true, see `exact_game`.
    """

    points: tuple[FixedPoint, ...]
    complete: bool
    holds: bool | None
    reason: str
    undecided: tuple[OpenFace, ...]
    game: TabularGame = field(repr=False)


def fixed_points(game: MarkovGame, *, reading: str = "decimal") -> list[FixedPoint]:
    """Find the fixed points of the KL map; see `find_fixed_points`.

    Parameters
    ----------
    game : MarkovGame
    reading : {"decimal", "binary"}
        What floats stand for, see `exact_game`.

    Returns
    -------
    list of FixedPoint, vertices first; one point of each continuum is in it.

    Raises
    ------
    NotConvergedError
        If the list may be incomplete.
    """
    found = find_fixed_points(game, reading=reading)
    if not found.complete:
        raise NotConvergedError(
            f"fixed_points cannot list them all: {found.reason}; find_fixed_points returns the "
            "certified ones"
        )
    return list(found.points)


def find_fixed_points(
    game: MarkovGame, *, reading: str = "decimal", budget: int = BUDGET
) -> FixedPointSet:
    """Find and classify the fixed points of the KL map, and decide Assumption V.4.

    With one state, and at most two agents or three with two actions each, everything is decided by
    rational arithmetic, up to the isolation of points in the closure of a curved continuum. In
    other games mixed supports are searched by boxes: the answer is certain or said to be open.

    Parameters
    ----------
    game : MarkovGame
        With a small number of choices of supports.
    reading : {"decimal", "binary"}
        What floats stand for, see `exact_game`.
    budget : int
        Boxes that the search of one face may look at.

    Returns
    -------
    FixedPointSet

    Raises
    ------
    InvalidGameError
        If the game has too many supports, or holds numbers that are not rational.

    Examples
    --------
    Of the five fixed points of this game three are equilibria; the mixed one is known exactly.

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> found = pmd.find_fixed_points(game)
    >>> found.holds, found.reason
    (True, 'there are 5 fixed points, all isolated')
    >>> [point.nash for point in found.points]
    [True, False, False, True, True]
    >>> [own.astype(str).tolist() for own in found.points[-1].enclosure]
    [[['4/11', '7/11']], [['3/11', '8/11']]]
    """
    faces = all_faces(game)
    exact = exact_game(game, reading)
    rounded = exact.rounded()
    solve = _Solver(exact, budget)
    findings = {face: solve(face) for face in faces}
    points = tuple(
        describe(exact, rounded, face, zero, findings)
        for face, found in findings.items()
        for zero in found.zeros
    )
    undecided = tuple(
        OpenFace(face, found.boxes, found.volume) for face, found in findings.items() if found.boxes
    )
    holds, reason = _verdict(points, undecided)
    return FixedPointSet(points, not undecided, holds, reason, undecided, exact)


def _verdict(
    points: tuple[FixedPoint, ...], undecided: tuple[OpenFace, ...]
) -> tuple[bool | None, str]:
    moving = next((point for point in points if point.isolated is False), None)
    if moving is not None:
        return False, f"a continuum of fixed points goes through support {moving.support}"
    if undecided:
        first = undecided[0]
        return None, (
            f"{sum(face.boxes for face in undecided)} boxes on {len(undecided)} faces are "
            f"undecided, the first on support {first.support}"
        )
    return True, f"there are {len(points)} fixed points, all isolated"


class _Solver:
    """Choose how a face is searched."""

    def __init__(self, game: TabularGame, budget: int) -> None:
        self._game, self._budget = game, budget
        self._linear = LinearFaces(game) if game.num_states == 1 else None

    def __call__(self, face: Support) -> FaceFindings:
        mixers = mixing(face)
        if self._linear is not None:
            if len(mixers) <= 2:
                return self._linear.solve(face)
            if len(mixers) == 3 == dimension(face):
                return solve_three_mixers(self._game, face)
        if dimension(face) > LARGEST_DIMENSION:
            return FaceFindings(boxes=1, volume=1.0)
        return solve_face(self._game, face, self._budget)
