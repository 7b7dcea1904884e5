"""How the conditions of a face change when mass moves on it: the Jacobians that isolate."""

import numpy as np
from flint import arb_mat, fmpq, fmpq_mat

from pmdlib.analysis.fixed_points.faces import Support
from pmdlib.analysis.fixed_points.krawczyk import ENCLOSURE_BITS
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, Ball, derivative, infinitesimal, is_exact, precision
from pmdlib.games.game import MarkovGame, Policy


def jacobian(game: MarkovGame, policy: Policy, face: Support) -> Array:
    """Differentiate the differences of averaged Q on a face, in its tangent coordinates.

    Row (p, k): averaged Q of the k-th action of ``face[p]`` minus that of its first, where place p
    = i·S + s is agent i in state s. Column (q, l): place q moves mass from its first action to its
    l-th. Derivatives are exact: of rationals by dual numbers, of floats up to rounding.
    """
    moves = [(place, action) for place, used in enumerate(face) for action in used[1:]]
    if not moves:
        return np.empty((0, 0))
    step = infinitesimal(policy[0])
    kind = object if is_exact(policy[0]) else complex
    moved = [np.array([own] * len(moves), dtype=kind) for own in policy]
    for row, (place, action) in enumerate(moves):
        agent, state = divmod(place, game.num_states)
        moved[agent][row, state, action] += step
        moved[agent][row, state, face[place][0]] -= step
    columns = []
    q = Evaluation(game, tuple(moved)).averaged_q
    for place, used in enumerate(face):
        agent, state = divmod(place, game.num_states)
        own = q[agent][:, state]
        columns.append(derivative(own[:, list(used[1:])] - own[:, [used[0]]]))
    return np.concatenate(columns, axis=-1).T


def smallest_singular_value(matrix: Array) -> float:
    """Return the smallest singular value of a matrix of floats; infinity for an empty one."""
    return float(np.linalg.svd(matrix, compute_uv=False)[-1]) if matrix.size else np.inf


def is_regular(matrix: Array) -> bool:
    """Say whether a square matrix of rationals or balls is certainly invertible."""
    size, entries = len(matrix), list(matrix.flat)
    if all(isinstance(entry, fmpq | int) for entry in entries):
        return bool(fmpq_mat(size, size, entries).det() != 0)
    with precision(ENCLOSURE_BITS):
        return not arb_mat(size, size, [Ball(x).arb for x in entries]).det().contains(0)
