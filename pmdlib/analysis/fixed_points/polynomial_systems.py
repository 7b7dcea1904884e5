r"""All zeros of a polynomial system in the open unit cube, by exclusion and inclusion.

Exclusion: in Bernstein form a polynomial lies between its smallest and its largest coefficient, so
a box on which all coefficients of an equation, or of a combination of equations, have one sign
holds no zero. Else the box is halved; the halves' coefficients are means of the old ones. This is
done in floating point for thousands of boxes at once, with a bound on all rounding. Inclusion:
Newton's method proposes zeros and `certify` proves them, each the only one in a box around it; what
lies in such a box needs no further search. Boxes that neither decides are counted, not guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mpoly

from pmdlib.analysis.fixed_points.bernstein import bernstein_table, evaluate_table, halved, rounding
from pmdlib.analysis.fixed_points.krawczyk import Certificate, System, certify
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array

#: Boxes that are halved at once.
_BATCH = 2048

#: Boxes narrower than this are given up: singular zeros gather them at every scale.
_SMALLEST_WIDTH = 2.0**-22

#: Where variables are fixed when there are more of them than equations.
_PROBES = (fmpq(1, 2), fmpq(1, 3), fmpq(4, 5), fmpq(1, 7))

_NEWTON_STEPS = 12


@dataclass(frozen=True)
class CubeZeros:
    """What is known about the zeros in the open unit cube.

    Attributes
    ----------
    zeros : tuple of (point, alone)
        Coordinates, rational or balls. ``alone`` is True at non-singular zeros, and False at one
        point that stands for all the rest, a continuum among them.
    everything : bool
        Whether all equations vanish identically.
    boxes : int
        Number of boxes left undecided.
    volume : float
        Their volume.
    """

    zeros: tuple[tuple[tuple[Any, ...], bool], ...] = ()
    everything: bool = False
    boxes: int = 0
    volume: float = 0.0


def solve_cube(polynomials: Sequence[fmpq_mpoly], dimension: int, budget: int) -> CubeZeros:
    """Find all zeros of polynomials in the open unit cube.

    Parameters
    ----------
    polynomials : sequence of flint.fmpq_mpoly
        In ``dimension`` variables.
    dimension : int
    budget : int
        Boxes that may be looked at.
    """
    equations = _independent(polynomials)
    middle = (fmpq(1, 2),) * dimension
    if not equations:
        return CubeZeros(((middle, dimension == 0),), everything=True)
    if any(equation.is_constant() for equation in equations):
        return CubeZeros()
    occurring = [k for k in range(dimension) if any(p.degrees()[k] for p in equations)]
    if len(equations) < len(occurring):
        point = _moving_zero(equations, occurring, middle, budget // 20)
        if point is not None:
            return CubeZeros(((point, False),))
    certificates, boxes, volume = _search(equations, occurring, budget)
    alone = len(occurring) == dimension
    zeros = tuple((_filled(middle, occurring, c.zero), alone) for c in certificates if c.inside)
    doubtful = sum(c.inside is None for c in certificates)
    return CubeZeros(zeros, boxes=boxes + doubtful, volume=volume)


def _independent(polynomials: Sequence[fmpq_mpoly]) -> list[fmpq_mpoly]:
    """Drop polynomials that are zero, or multiples of one before."""
    kept: dict[str, fmpq_mpoly] = {}
    for polynomial in polynomials:
        if not polynomial.is_zero():
            scaled = polynomial / polynomial.leading_coefficient()
            kept.setdefault(str(scaled), scaled)
    return list(kept.values())


def _filled(point: tuple[Any, ...], where: Sequence[int], entries: Sequence[Any]) -> Any:
    changed = list(point)
    for k, entry in zip(where, entries, strict=True):
        changed[k] = entry
    return tuple(changed)


def _moving_zero(
    equations: list[fmpq_mpoly], variables: list[int], middle: tuple[Any, ...], budget: int
) -> tuple[Any, ...] | None:
    """Find a zero that is non-singular in some variables: it moves when the others do."""
    names = equations[0].context().names()
    for solved in combinations(variables, len(equations)):
        fixed = [k for k in variables if k not in solved]
        for value in _PROBES:
            sliced = [p.subs({names[k]: value for k in fixed}) for p in equations]
            if not any(p.is_constant() for p in sliced):
                for found in _search(sliced, list(solved), budget)[0]:
                    if found.inside:
                        point = _filled(middle, fixed, [value] * len(fixed))
                        return tuple(_filled(point, solved, found.zero))
    return None


def _search(
    equations: list[fmpq_mpoly], variables: list[int], budget: int
) -> tuple[list[Certificate], int, float]:
    """Certified zeros near the closed cube of these variables; undecided boxes, their volume."""
    table = bernstein_table(equations, variables)
    size = len(variables)
    square = len(equations) == size
    system = System(equations, variables) if square else None
    found: list[Certificate] = []
    if system is not None:
        _include(system, table, np.array([*product((1 / 6, 1 / 2, 5 / 6), repeat=size)]), found)
    stack = [(table[None], np.zeros((1, size)), 0)]
    boxes, volume = 0, 0.0
    while stack:
        tables, lower, depth = stack.pop()
        if len(tables) > _BATCH:
            stack.append((tables[_BATCH:], lower[_BATCH:], depth))
            tables, lower = tables[:_BATCH], lower[:_BATCH]
        budget -= len(tables)
        width = 2.0 ** -np.array([(depth - k + size - 1) // size for k in range(size)])
        keep = _undecided(tables, rounding(table.shape, depth), square)
        tables, lower = tables[keep], lower[keep]
        if system is not None and depth and depth % size == 0 and 0 < len(lower) <= _BATCH // 8:
            _include(system, table, lower + width / 2, found)
        for certificate in found:
            keep = ~certificate.covers(lower, lower + width)
            tables, lower = tables[keep], lower[keep]
        if budget <= 0 or width.max() < _SMALLEST_WIDTH:
            boxes, volume = boxes + len(lower), volume + len(lower) * float(width.prod())
        elif len(lower):
            axis = depth % size
            shift = np.eye(size)[axis] * width[axis] / 2
            halves = np.concatenate(halved(tables, axis + 2))
            stack.append((halves, np.concatenate([lower, lower + shift]), depth + 1))
    return found, boxes, volume


def _undecided(tables: Array, error: float, square: bool) -> Array:
    """Mark the boxes (K,) on which no equation, and no combination, has one sign for certain."""
    flat = tables.reshape(*tables.shape[:2], -1)
    open_boxes = _may_vanish(flat, error)
    if square and open_boxes.any():
        left = flat[open_boxes]
        slopes = [
            np.diff(tables[open_boxes], axis=axis).mean(axis=tuple(range(2, tables.ndim)))
            * (tables.shape[axis] - 1)
            for axis in range(2, tables.ndim)
        ]
        combination = _inverses(np.stack(slopes, axis=-1))
        # Rows of weight one: the errors of a combination are at most those of its terms.
        combination /= abs(combination).sum(axis=-1, keepdims=True)
        more = error + 2 * UNIT_ROUNDOFF * (len(combination[0]) + 2)
        open_boxes[open_boxes] = _may_vanish(combination @ left, more)
    return np.asarray(open_boxes)


def _may_vanish(flat: Array, error: float) -> Array:
    return np.asarray(((flat.min(axis=-1) <= error) & (flat.max(axis=-1) >= -error)).all(axis=-1))


def _inverses(matrices: Array) -> Array:
    """Inverses (K, d, d); the identity in place of a matrix that has none, or a useless one."""
    identity = np.eye(matrices.shape[-1])
    size = np.maximum(abs(matrices).max(axis=(-1, -2), keepdims=True), 1e-300)
    scaled = matrices / size
    regular = abs(np.linalg.det(scaled)) > 1e-12
    return np.asarray(np.linalg.inv(np.where(regular[:, None, None], scaled, identity)))


def _include(system: System, table: Array, starts: Array, found: list[Certificate]) -> None:
    """Certify what Newton's method finds from these starts (K, d), unless it is known already."""
    for point in _newton(table, starts):
        if not any(known.covers(point, point) for known in found):
            certificate = certify(system, point)
            if certificate is not None and not any(map(certificate.is_zero_of, found)):
                found.append(certificate)


def _newton(table: Array, points: Array) -> Array:
    """Approximate zeros (K', d) near the unit cube, repeated ones left out."""
    for _ in range(_NEWTON_STEPS):
        values, slopes = evaluate_table(table, points)
        step = (_inverses(slopes) @ values[..., None])[..., 0]
        size = np.maximum(abs(slopes).max(axis=(-1, -2)), 1e-300)
        step = step / size[:, None]
        points = np.clip(points - step, -1.0, 2.0)
    values, _ = evaluate_table(table, points)
    near = (abs(points - 0.5) < 0.6).all(axis=-1) & (abs(step) < 1e-9).all(axis=-1)
    _, first = np.unique(points[near].round(8), axis=0, return_index=True)
    return np.asarray(points[near][first])
