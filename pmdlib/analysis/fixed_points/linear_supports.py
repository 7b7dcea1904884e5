"""Faces of one-state games on which at most two agents mix: linear conditions, solved exactly.

Agent 1 is indifferent over its support if agent 2's mixture satisfies linear equations, and the
other way round. So the fixed points of a face are a product P × Q of two open polytopes of
mixtures. The vertices of the closure of P are mixtures that their own support determines; P is
empty unless these supports cover all used actions, and then the mean of the vertices lies in it. P
is a single point exactly if it has a single vertex. Everything is a small rational linear system.
"""

import numpy as np
from flint import fmpq, fmpq_mat

from pmdlib.analysis.fixed_points.faces import FaceFindings, Support, Zero, mixing, subsets
from pmdlib.arithmetic import Array
from pmdlib.games.tabular import TabularGame

Actions = tuple[int, ...]


class Mixtures:
    """The mixtures of one agent that make another agent indifferent.

    Parameters
    ----------
    table : ndarray (B, A) of rationals
        Payoff of the other agent: its own actions in rows, the mixing agent's in columns.
    """

    def __init__(self, table: Array) -> None:
        self._table = table
        self._vertices: dict[tuple[Actions, Actions], Array | None] = {}

    def inside(self, used: Actions, rivals: Actions) -> tuple[Array, bool] | None:
        """Find a mixture with support ``used`` against which all ``rivals`` pay the same.

        Returns
        -------
        weights : ndarray (len(used),) of rationals
        alone : bool
            Whether it is the only one.
        None, if there is no such mixture.
        """
        found = [
            (support, vertex)
            for support in subsets(used)
            if (vertex := self._vertex(support, rivals)) is not None
        ]
        if set().union(*(support for support, _ in found)) != set(used):
            return None
        total = np.full(len(used), fmpq(0), dtype=object)
        for support, vertex in found:
            total[[used.index(action) for action in support]] += vertex
        return total / len(found), len(found) == 1

    def _vertex(self, used: Actions, rivals: Actions) -> Array | None:
        key = used, rivals
        if key not in self._vertices:
            self._vertices[key] = _only_mixture(self._table, used, rivals)
        return self._vertices[key]


def _only_mixture(table: Array, used: Actions, rivals: Actions) -> Array | None:
    """Solve for the mixture that indifference and a full support ``used`` determine, if any."""
    if len(used) == 1:
        paid = {table[rival, used[0]] for rival in rivals}
        return np.array([fmpq(1)], dtype=object) if len(paid) == 1 else None
    if len(rivals) < len(used):
        return None  # fewer equations than unknowns: none, or many
    rows = [fmpq(1)] * (len(used) + 1)
    for rival in rivals[1:]:
        rows += [table[rival, action] - table[rivals[0], action] for action in used] + [fmpq(0)]
    reduced, rank = fmpq_mat(len(rivals), len(used) + 1, rows).rref()
    if rank != len(used):
        return None  # a line of solutions, or one pivot too many: a contradiction
    if any(reduced[k, k] == 0 for k in range(rank)):
        return None  # the contradiction took the place of a pivot
    weights = np.array([reduced[k, len(used)] for k in range(rank)], dtype=object)
    return weights if all(weight > 0 for weight in weights) else None


class LinearFaces:
    """All faces of a one-state game on which at most two agents mix.

    Parameters
    ----------
    game : TabularGame
        One state, exact rationals.
    """

    def __init__(self, game: TabularGame) -> None:
        tables = game.rewards[:, 0]
        # One agent alone plays with a dummy, so that there is always a pair.
        self._padded = len(tables) == 1
        self._tables = np.stack([tables[0][..., None]] * 2) if self._padded else tables
        self._pairs: dict[tuple[int, int, Actions], tuple[Mixtures, Mixtures]] = {}

    def solve(self, face: Support) -> FaceFindings:
        """Decide which fixed points an open face has; one of them stands for a continuum."""
        full = (*face, (0,)) if self._padded else face
        first, second = sorted({*mixing(full), 0, 1}, key=lambda k: -len(full[k]))[:2]
        others = tuple(used[0] for used in full)
        key = first, second, _without(others, first, second)
        if key not in self._pairs:
            self._pairs[key] = self._pair(first, second, others)
        found = [
            mixtures.inside(full[own], full[other])
            for mixtures, own, other in zip(
                self._pairs[key], (first, second), (second, first), strict=True
            )
        ]
        if found[0] is None or found[1] is None:
            return FaceFindings()
        weights = [np.array([fmpq(1)], dtype=object)] * len(full)
        weights[first], weights[second] = found[0][0], found[1][0]
        alone = found[0][1] and found[1][1]
        return FaceFindings((Zero(tuple(weights[: len(face)]), alone),), flat=True)

    def _pair(self, first: int, second: int, others: Actions) -> tuple[Mixtures, Mixtures]:
        """Who mixes pays attention to the other's payoff: own actions in columns."""
        index = tuple(slice(None) if k in (first, second) else a for k, a in enumerate(others))
        low_first = [self._tables[k][index] for k in (first, second)]
        mine, yours = low_first if first < second else [table.T for table in low_first]
        return Mixtures(yours.T), Mixtures(mine)


def _without(others: Actions, first: int, second: int) -> Actions:
    return tuple(action for k, action in enumerate(others) if k not in (first, second))
