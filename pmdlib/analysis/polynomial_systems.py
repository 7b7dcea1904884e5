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
from math import comb
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mpoly

from pmdlib.analysis.krawczyk import Certificate, System, certify
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array, to_float

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
            if all(any(p.degrees()[k] for p in sliced) for k in solved):
                for found in _search(sliced, list(solved), budget)[0]:
                    if found.inside:
                        point = _filled(middle, fixed, [value] * len(fixed))
                        return tuple(_filled(point, solved, found.zero))
    return None


def _search(
    equations: list[fmpq_mpoly], variables: list[int], budget: int
) -> tuple[list[Certificate], int, float]:
    """Certified zeros near the closed cube of these variables; undecided boxes, their volume."""
    table = _bernstein(equations, variables)
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
        keep = _undecided(tables, _rounding(table.shape, depth), square)
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
            halves = np.concatenate(_halved(tables, axis + 2))
            stack.append((halves, np.concatenate([lower, lower + shift]), depth + 1))
    return found, boxes, volume


def _bernstein(equations: list[fmpq_mpoly], variables: list[int]) -> Array:
    """Bernstein coefficients (E, n_1 + 1, .., n_d + 1), scaled to at most 1, in float64."""
    degrees = [max(int(p.degrees()[k]) for p in equations) for k in variables]
    tables = np.full((len(equations), *(n + 1 for n in degrees)), fmpq(0), dtype=object)
    for row, polynomial in zip(tables, equations, strict=True):
        for powers, value in polynomial.to_dict().items():
            row[tuple(int(powers[k]) for k in variables)] = value
    for axis, n in enumerate(degrees):
        change = np.array(
            [[fmpq(comb(k, j), comb(n, j)) for j in range(n + 1)] for k in range(n + 1)],
            dtype=object,
        )
        tables = np.moveaxis(np.tensordot(change, tables, axes=(1, axis + 1)), 0, axis + 1)
    return np.stack([to_float(row / max(abs(row).flat)) for row in tables])


def _rounding(shape: tuple[int, ...], depth: int) -> float:
    """Bound the error of every coefficient: one rounding, and at most 2u for each mean."""
    degrees = max(shape[1:]) - 1
    return 2 * UNIT_ROUNDOFF * (1 + depth * degrees)


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


def _halved(tables: Array, axis: int) -> tuple[Array, Array]:
    """Bernstein coefficients on the two halves of an axis (de Casteljau)."""
    row = np.moveaxis(tables, axis, 0)
    left, right = [row[0]], [row[-1]]
    while len(row) > 1:
        row = (row[:-1] + row[1:]) / 2
        left.append(row[0])
        right.append(row[-1])
    return np.moveaxis(np.stack(left), 0, axis), np.moveaxis(np.stack(right[::-1]), 0, axis)


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
        values, slopes = _evaluate(table, points)
        step = (_inverses(slopes) @ values[..., None])[..., 0]
        size = np.maximum(abs(slopes).max(axis=(-1, -2)), 1e-300)
        step = step / size[:, None]
        points = np.clip(points - step, -1.0, 2.0)
    values, _ = _evaluate(table, points)
    near = (abs(points - 0.5) < 0.6).all(axis=-1) & (abs(step) < 1e-9).all(axis=-1)
    _, first = np.unique(points[near].round(8), axis=0, return_index=True)
    return np.asarray(points[near][first])


def _evaluate(table: Array, points: Array) -> tuple[Array, Array]:
    """Values (K, E) and derivatives (K, E, d) of polynomials in Bernstein form."""
    size = points.shape[-1]
    weights, slopes = zip(
        *(_basis(points[:, k], table.shape[k + 1] - 1) for k in range(size)), strict=True
    )

    def contract(factors: Sequence[Array]) -> Array:
        result = np.broadcast_to(table, (len(points), *table.shape))
        for factor in factors:
            result = np.einsum("kea...,ka->ke...", result, factor)
        return result

    parts = [contract([*weights[:k], slopes[k], *weights[k + 1 :]]) for k in range(size)]
    return contract(weights), np.stack(parts, axis=-1)


def _basis(t: Array, degree: int) -> tuple[Array, Array]:
    """Bernstein polynomials (K, degree + 1) and their derivatives."""

    def values(n: int) -> Array:
        return np.stack([comb(n, k) * t**k * (1 - t) ** (n - k) for k in range(n + 1)], axis=-1)

    if degree == 0:
        return values(0), np.zeros((len(t), 1))
    lower = np.pad(values(degree - 1), ((0, 0), (1, 1)))
    return values(degree), degree * (lower[:, :-1] - lower[:, 1:])
