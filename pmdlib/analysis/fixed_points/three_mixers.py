r"""Three agents of a one-state game mix two actions each: one quadratic equation, solved exactly.

Let x, y, z be the probabilities of the second actions, a₀(z) and a₁(z) what agent 1 gains from its
second action at y = 0 and y = 1, b₀(z) and b₁(z) the same for agent 2 at x = 0 and x = 1, and c the
gains of agent 3 at the corners of (x, y). Gains are affine in each probability, so for given z
agent 1 is indifferent at y = a₀/(a₀ - a₁) if the two have opposite signs, at every y if both are
zero, and else nowhere; likewise agent 2. At such x and y agent 3 is indifferent exactly if

    E(z) = c₀₀a₁b₁ - c₁₀a₁b₀ - c₀₁a₀b₁ + c₁₁a₀b₀ = 0,    of degree at most two.

Every solution has a z at which an a or b changes its sign, which is rational and looked at by
itself; or a root of E; or, if E vanishes identically, any z in an interval between sign changes,
all of which are alike. Signs at a root u ± √w are decided by comparing squares of rationals.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from flint import fmpq, fmpq_poly

from pmdlib.analysis.fixed_points.faces import FaceFindings, Support, Zero, mixing
from pmdlib.analysis.fixed_points.krawczyk import ENCLOSURE_BITS
from pmdlib.analysis.fixed_points.surds import Surd, quadratic_roots
from pmdlib.arithmetic import Array, precision
from pmdlib.games.tabular import TabularGame

#: Gains at the two ends of a probability, as polynomials in z.
Ends = tuple[fmpq_poly, fmpq_poly]

Point = tuple[Any, Any, Any]

#: A solution (x, y, z), whether it is alone, and the ends of the curve on which it lies if not.
Solution = tuple[Point, bool | None, Sequence[Point]]

_HALF = fmpq(1, 2)
_FREE = "any probability will do"


def solve_three_mixers(game: TabularGame, face: Support) -> FaceFindings:
    """Find all fixed points in an open face on which three agents mix two actions each.

    Parameters
    ----------
    game : TabularGame
        One state, exact rationals.
    face : Support
        Three agents use two actions, all others one.
    """
    agents = mixing(face)
    corners = game.rewards[:, 0][np.ix_(range(game.num_agents), *face)]
    corners = corners.reshape(-1, 2, 2, 2)[agents]
    gains = [np.take(corners[k], 1, axis=k) - np.take(corners[k], 0, axis=k) for k in range(3)]
    # Take an agent that never cares, if there is one, as the third.
    last = next((k for k in range(3) if not gains[k].any()), 2)
    order = [*(k for k in range(3) if k != last), last]

    def weights(point: Point) -> tuple[Array, ...]:
        full = [np.array([fmpq(1)], dtype=object)] * len(face)
        for k, value in zip(order, point, strict=True):
            with precision(ENCLOSURE_BITS):
                full[agents[k]] = np.array([1 - value, value], dtype=object)
        return tuple(full)

    zeros = tuple(
        Zero(weights(point), alone, tuple(map(weights, ends)))
        for point, alone, ends in _solutions(*_renumbered(gains, order))
    )
    return FaceFindings(zeros, flat=not any(gain.any() for gain in gains))


def _renumbered(gains: Sequence[Array], order: Sequence[int]) -> tuple[Array, Array, Array]:
    """Gains with axes (y, z), (x, z), (x, y), when the agents are taken in this order."""
    first, second, third = order
    return (
        gains[first] if second < third else gains[first].T,
        gains[second] if first < third else gains[second].T,
        gains[third] if first < second else gains[third].T,
    )


def _solutions(first: Array, second: Array, closing: Array) -> Iterator[Solution]:
    """Yield the solutions in the open cube; one stands for each piece of a continuum."""
    a, b = _ends(first), _ends(second)
    eliminant = (
        closing[0, 0] * a[1] * b[1]
        - closing[1, 0] * a[1] * b[0]
        - closing[0, 1] * a[0] * b[1]
        + closing[1, 1] * a[0] * b[0]
    )
    changes = {-gain[0] / gain[1] for gain in (*a, *b) if gain[1] != 0}
    changes = {z for z in changes if 0 < z < 1}
    if eliminant == 0:
        cuts = [fmpq(0), *sorted(changes), fmpq(1)]
        moving = False
        for low, high in pairwise(cuts):
            for point, alone, _ in _slice(a, b, closing, (low + high) / 2):
                moving = True
                # A unique x and y at each z make a curve, else it is a surface.
                curve = [(_limit(b, z), _limit(a, z), z) for z in (low, high)] if alone else []
                yield point, False, curve
        for z in sorted(changes):
            for point, alone, ends in _slice(a, b, closing, z):
                yield point, None if alone and moving else alone, ends
        return
    roots = quadratic_roots(eliminant)
    rational = {z for z in roots if isinstance(z, fmpq) and 0 < z < 1}
    for z in sorted(changes | rational):
        yield from _slice(a, b, closing, z)
    for root in roots:
        if isinstance(root, Surd) and all(
            root.sign(left) * root.sign(right) < 0 for left, right in (a, b, _BETWEEN_0_AND_1)
        ):
            with precision(ENCLOSURE_BITS):
                ball = root.enclosure()
                y, x = (left / (left - right) for left, right in (_at(a, ball), _at(b, ball)))
            yield (x, y, ball), True, ()


def _ends(gain: Array) -> Ends:
    """Turn gains at the corners of (own variable, z) into two affine functions of z."""
    left, right = (fmpq_poly([row[0], row[1] - row[0]]) for row in gain)
    return left, right


_BETWEEN_0_AND_1: Ends = (fmpq_poly([0, 1]), fmpq_poly([-1, 1]))


def _at(ends: Ends, z: Any) -> tuple[Any, Any]:
    left, right = (gain[0] + gain[1] * z for gain in ends)
    return left, right


def _slice(a: Ends, b: Ends, closing: Array, z: fmpq) -> Iterator[Solution]:
    """Yield the solutions with a rational z, and whether they are alone in their plane."""
    y, x = _indifferent(*_at(a, z)), _indifferent(*_at(b, z))
    if x is None or y is None:
        return
    if x is _FREE and y is _FREE:
        for point in _curve_point(closing):
            yield (*point, z), False, [(*end, z) for end in _on_sides(closing)]
    elif y is _FREE:
        y = _indifferent(*_along(closing, x))
        if y is _FREE:
            yield (x, _HALF, z), False, [(x, fmpq(end), z) for end in (0, 1)]
        elif y is not None:
            yield (x, y, z), True, ()
    elif x is _FREE:
        x = _indifferent(*_along(closing.T, y))
        if x is _FREE:
            yield (_HALF, y, z), False, [(fmpq(end), y, z) for end in (0, 1)]
        elif x is not None:
            yield (x, y, z), True, ()
    else:
        left, right = _along(closing, x)
        if left + (right - left) * y == 0:
            yield (x, y, z), True, ()


def _limit(ends: Ends, z: fmpq) -> Any:
    """Where an agent is indifferent as z tends to an end of an interval of opposite signs."""
    left, right = _at(ends, z)
    if left == right:  # both vanish at this z, and nowhere else
        left, right = ends[0][1], ends[1][1]
    return left / (left - right)


def _on_sides(corners: Array) -> Iterator[tuple[fmpq, fmpq]]:
    """Where a bilinear function changes its sign on the sides of the unit square."""
    for side in (0, 1):
        y = _indifferent(*corners[side])
        if isinstance(y, fmpq):
            yield fmpq(side), y
        x = _indifferent(*corners[:, side])
        if isinstance(x, fmpq):
            yield x, fmpq(side)


def _indifferent(left: fmpq, right: fmpq) -> Any:
    """Where in (0, 1) an affine function with these ends vanishes: a number, `_FREE` or None."""
    if left == right == 0:
        return _FREE
    return left / (left - right) if left * right < 0 else None


def _along(corners: Array, x: fmpq) -> tuple[fmpq, fmpq]:
    """Return the ends, over y, of a bilinear function with these corners."""
    left, right = corners[0] + (corners[1] - corners[0]) * x
    return left, right


def _curve_point(corners: Array) -> Iterator[tuple[fmpq, fmpq]]:
    """Yield a point of the open square where a bilinear function vanishes, if there is one.

    In the interior it is a mean of all corners, so it vanishes there exactly if they have both
    signs, or are all zero.
    """
    sides = [_indifferent(corners[0, k], corners[1, k]) for k in (0, 1)]
    changes = sorted(x for x in sides if isinstance(x, fmpq))
    middles = [(low + high) / 2 for low, high in pairwise([fmpq(0), *changes, fmpq(1)])]
    for x in (*middles, *changes):
        y = _indifferent(*_along(corners, x))
        if y is not None:
            yield x, (_HALF if y is _FREE else y)
            return
