"""Polynomials on the unit cube in Bernstein form: between their least and largest coefficient.

A table (E, n_1 + 1, .., n_d + 1) holds E polynomials in d variables of degree n_k in the k-th. Its
corners are values at corners of the cube, and the coefficients on half of the cube are means of
those on the whole, so nothing grows and rounding is easily bounded.
"""

from collections.abc import Sequence
from math import comb

import numpy as np
from flint import fmpq, fmpq_mpoly

from pmdlib.arithmetic import UNIT_ROUNDOFF, Array, to_float


def bernstein_table(equations: list[fmpq_mpoly], variables: list[int]) -> Array:
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


def rounding(shape: tuple[int, ...], depth: int) -> float:
    """Bound the error of every coefficient: one rounding, and at most 2u for each mean."""
    degrees = max(shape[1:]) - 1
    return 2 * UNIT_ROUNDOFF * (1 + depth * degrees)


def halved(tables: Array, axis: int) -> tuple[Array, Array]:
    """Bernstein coefficients on the two halves of an axis (de Casteljau)."""
    row = np.moveaxis(tables, axis, 0)
    left, right = [row[0]], [row[-1]]
    while len(row) > 1:
        row = (row[:-1] + row[1:]) / 2
        left.append(row[0])
        right.append(row[-1])
    return np.moveaxis(np.stack(left), 0, axis), np.moveaxis(np.stack(right[::-1]), 0, axis)


def evaluate_table(table: Array, points: Array) -> tuple[Array, Array]:
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
