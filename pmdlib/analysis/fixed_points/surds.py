"""Roots of quadratic polynomials over the rationals: signs there are decided, not estimated."""

from dataclasses import dataclass

from flint import fmpq, fmpq_poly

from pmdlib.arithmetic import Ball, sqrt


@dataclass(frozen=True)
class Surd:
    """The irrational number ``rational`` + ``side``·√``square``.

    Attributes
    ----------
    rational : fmpq
    side : 1 or -1
    square : fmpq
        Positive, and no square of a rational.
    """

    rational: fmpq
    side: int
    square: fmpq

    def sign(self, affine: fmpq_poly) -> int:
        """Sign of an affine function here, by comparing squares."""
        first, second = affine[0] + affine[1] * self.rational, affine[1] * self.side
        signs = _sign(first), _sign(second)
        if 0 in signs or signs[0] == signs[1]:
            return signs[0] or signs[1]
        return signs[0] if first * first > second * second * self.square else signs[1]

    def enclosure(self) -> Ball:
        """Enclose it at the working precision."""
        enclosed: Ball = Ball(self.rational) + self.side * Ball(self.square).sqrt()
        return enclosed


def _sign(number: fmpq) -> int:
    return int(number > 0) - int(number < 0)


def quadratic_roots(polynomial: fmpq_poly) -> list[fmpq | Surd]:
    """All real roots of a non-zero polynomial of degree at most two."""
    constant, linear, square = (polynomial[k] for k in range(3))
    if square == 0:
        return [] if linear == 0 else [-constant / linear]
    middle = -linear / (2 * square)
    offset = middle * middle - constant / square
    if offset < 0:
        return []
    root = sqrt(offset)
    if isinstance(root, fmpq):
        return [middle - root, middle + root]
    return [Surd(middle, side, offset) for side in (-1, 1)]
