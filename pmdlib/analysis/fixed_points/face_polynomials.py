r"""The conditions of a face as polynomials, in any game: what its fixed points are the zeros of.

A place with k used actions is described by k - 1 numbers t in (0, 1): it plays its first action
with probability 1 - t₁, else the second with 1 - t₂, and so on. So an open face is an open cube,
and every expectation is affine in each coordinate. Let M = I - γP and D = det M > 0. By Cramer's
rule V_i(s)·D is the determinant of M with column s replaced by the rewards, so

    D · (Q_i(s, a) - Q_i(s, a')) = D · (r̄_i(s, a) - r̄_i(s, a'))
                                   + γ Σ_s' (P̄_i(s'|s, a) - P̄_i(s'|s, a')) · V_i(s') D

is a polynomial, and all of them vanish exactly at the fixed points of the open face.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import Ordering, fmpq, fmpq_mpoly, fmpq_mpoly_ctx

from pmdlib.analysis.fixed_points.faces import FaceFindings, Support, Zero, dimension, policy_on
from pmdlib.analysis.fixed_points.krawczyk import ENCLOSURE_BITS
from pmdlib.analysis.fixed_points.polynomial_systems import solve_cube
from pmdlib.arithmetic import Array, eye, precision
from pmdlib.games.tabular import TabularGame


def face_polynomials(game: TabularGame, face: Support) -> list[fmpq_mpoly]:
    """Build the conditions of a face, Σ (used actions - 1) polynomials in as many coordinates.

    Parameters
    ----------
    game : TabularGame
        Over exact rationals.
    face : Support
    """
    names = tuple(f"t{k}" for k in range(dimension(face)))
    ring = fmpq_mpoly_ctx.get(names, Ordering.lex)
    policy = policy_on(game, face, sticks(face, ring.gens()))
    rewards, kernels = game.average_rewards(policy), game.average_kernel(policy)
    rows = (policy[0][:, None, :] @ kernels[0])[:, 0]
    system = eye(game.num_states, rows) - game.discount * rows
    scale = determinant(system)
    conditions = []
    for place, used in enumerate(face):
        if len(used) == 1:
            continue
        agent, state = divmod(place, game.num_states)
        paid = (policy[agent] * rewards[agent]).sum(axis=-1)
        values = _row([determinant(_replaced(system, s, paid)) for s in range(len(paid))])
        own, following = rewards[agent][state], kernels[agent][state]
        for action in used[1:]:
            gain = (own[action] - own[used[0]]) * scale
            moved = following[action] - following[used[0]]
            gain = gain + game.discount * (moved * values).sum()
            conditions.append(gain if isinstance(gain, fmpq_mpoly) else ring.constant(gain))
    return conditions


def sticks(face: Support, coordinates: Sequence[Any]) -> tuple[Array, ...]:
    """Probabilities of the used actions of each place, from the coordinates of the cube."""
    weights, rest = [], iter(coordinates)
    for used in face:
        own, left = [], fmpq(1)
        for _ in used[1:]:
            share = next(rest)
            own.append(left * (1 - share))
            left = left * share
        weights.append(_row([*own, left]))
    return tuple(weights)


def determinant(matrix: Array) -> Any:
    """Expand the determinant of a small matrix over any ring by its first row."""
    if len(matrix) == 1:
        return matrix[0, 0]
    minors = (
        (-1) ** k * entry * determinant(np.delete(matrix[1:], k, axis=1))
        for k, entry in enumerate(matrix[0])
    )
    return sum(minors, start=fmpq(0))


def _row(entries: list[Any]) -> Array:
    """Put objects in an array; NumPy would take a polynomial for a sequence of terms."""
    row = np.empty(len(entries), dtype=object)
    for k, entry in enumerate(entries):
        row[k] = entry
    return row


def _replaced(matrix: Array, column: int, entries: Array) -> Array:
    changed = matrix.copy()
    changed[:, column] = entries
    return changed


def solve_face(game: TabularGame, face: Support, budget: int) -> FaceFindings:
    """Find the fixed points in an open face of any game, as far as `solve_cube` gets."""
    found = solve_cube(face_polynomials(game, face), dimension(face), budget)
    with precision(ENCLOSURE_BITS):
        zeros = tuple(Zero(sticks(face, point), alone) for point, alone in found.zeros)
    return FaceFindings(zeros, flat=found.everything, boxes=found.boxes, volume=found.volume)
