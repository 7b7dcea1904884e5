"""Real numbers known to lie in an interval: every operation encloses, every decision is certain.

A `Ball` wraps flint's ``arb`` (midpoint, radius, rigorous rounding) and adds the one thing that
array code needs to stay rigorous without knowing: a comparison either is certain or raises
`UndecidedError`. So no branch, sort or maximum can silently take the wrong side, and a floating
point number, whose error nobody knows, is refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import index
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq, fmpz

from pmdlib.errors import PmdError

#: Bits with which a certified computation starts, and at which it gives up.
FIRST_BITS, LAST_BITS = 128, 1024


class UndecidedError(PmdError):
    """Two enclosures overlap, so a comparison has no certain answer at this precision."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute with balls of this many bits inside the ``with`` block."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def working_bits() -> int:
    """Return the bits with which balls are computed now."""
    return int(ctx.prec)


class Ball:
    """An enclosure of a real number.

    Parameters
    ----------
    value : int, flint.fmpq, flint.arb or Ball
        A rational is enclosed at the working precision, see `precision`.

    Raises
    ------
    TypeError
        For a floating-point number: its own error is unknown.
    """

    __slots__ = ("arb",)

    def __init__(self, value: Any) -> None:
        self.arb = _arb(value)

    @property
    def lower(self) -> fmpq:
        """A rational that is no larger than the number."""
        return _rational(self.arb.lower())

    @property
    def upper(self) -> fmpq:
        """A rational that is no smaller than the number."""
        return _rational(self.arb.upper())

    @property
    def width(self) -> float:
        """Distance of the two ends, rounded."""
        return 2 * float(self.arb.rad())

    def overlaps(self, other: Any) -> bool:
        """Say whether the two enclosures have a point in common."""
        return bool(self.arb.overlaps(_arb(other)))

    def exp(self) -> "Ball":
        """Enclose e^x."""
        return _ball(self.arb.exp())

    def log(self) -> "Ball":
        """Enclose log x; -infinity for an exact zero."""
        return _ball(arb.neg_inf() if self.arb.is_zero() else self.arb.log())

    def sqrt(self) -> "Ball":
        """Enclose the square root."""
        return _ball(self.arb.sqrt())

    def maximum(self, other: Any) -> "Ball":
        """Enclose the larger of two numbers, without deciding which it is."""
        return _ball(self.arb.max(_arb(other)))

    def minimum(self, other: Any) -> "Ball":
        """Enclose the smaller of two numbers, without deciding which it is."""
        return _ball(self.arb.min(_arb(other)))

    def union(self, other: Any) -> "Ball":
        """Enclose both numbers."""
        return _ball(self.arb.union(_arb(other)))

    def __add__(self, other: Any) -> Any:
        return _combine(arb.__add__, self, other)

    def __radd__(self, other: Any) -> Any:
        return _combine(arb.__add__, self, other)

    def __sub__(self, other: Any) -> Any:
        return _combine(arb.__sub__, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _combine(arb.__rsub__, self, other)

    def __mul__(self, other: Any) -> Any:
        return _combine(arb.__mul__, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _combine(arb.__mul__, self, other)

    def __truediv__(self, other: Any) -> Any:
        return _combine(arb.__truediv__, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _combine(arb.__rtruediv__, self, other)

    def __pow__(self, exponent: int) -> "Ball":
        # Flint's power of a ball about 0 is not finite; its products are.
        power = reduce(arb.__mul__, [self.arb] * abs(index(exponent)), arb(1))
        return _ball(power if exponent >= 0 else 1 / power)

    def __neg__(self) -> "Ball":
        return _ball(-self.arb)

    def __pos__(self) -> "Ball":
        return self

    def __abs__(self) -> "Ball":
        return _ball(abs(self.arb))

    def __lt__(self, other: Any) -> Any:
        return _decide(self, other, "<", arb.__lt__, arb.__ge__)

    def __le__(self, other: Any) -> Any:
        return _decide(self, other, "<=", arb.__le__, arb.__gt__)

    def __gt__(self, other: Any) -> Any:
        return _decide(self, other, ">", arb.__gt__, arb.__le__)

    def __ge__(self, other: Any) -> Any:
        return _decide(self, other, ">=", arb.__ge__, arb.__lt__)

    def __eq__(self, other: object) -> Any:
        return _decide(self, other, "==", arb.__eq__, arb.__ne__)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self != 0

    def __float__(self) -> float:
        return float(self.arb)

    def __repr__(self) -> str:
        return str(self.arb)


_CONVERTIBLE = (int, fmpq, fmpz, np.integer)


def _arb(value: Any) -> arb:
    if type(value) is Ball:
        return value.arb
    if isinstance(value, arb):
        return value
    if isinstance(value, _CONVERTIBLE):
        return arb(int(value) if isinstance(value, np.integer) else value)
    raise TypeError(f"a ball cannot take {value!r}: it is no exact number")


def _ball(value: arb) -> Ball:
    ball = Ball.__new__(Ball)
    ball.arb = value
    return ball


def _combine(operation: Callable[[arb, arb], arb], ball: Ball, other: Any) -> Any:
    if type(other) is Ball:
        return _ball(operation(ball.arb, other.arb))
    if isinstance(other, _CONVERTIBLE):
        return _ball(operation(ball.arb, _arb(other)))
    return NotImplemented


def _decide(
    ball: Ball,
    other: Any,
    sign: str,
    certain: Callable[[arb, arb], bool],
    impossible: Callable[[arb, arb], bool],
) -> Any:
    if type(other) is not Ball and not isinstance(other, _CONVERTIBLE):
        if isinstance(other, float | np.floating):  # Python would call them different objects
            raise TypeError(f"{ball.arb} {sign} {other!r}: a ball cannot be compared with a float")
        return NotImplemented
    right = _arb(other)
    if certain(ball.arb, right):
        return True
    if impossible(ball.arb, right):
        return False
    sides = (side.str(6) for side in (ball.arb, right))
    raise UndecidedError(f"{f' {sign} '.join(sides)} cannot be decided at {ctx.prec} bits")


def _rational(end: arb) -> fmpq:
    if not end.is_finite():
        raise UndecidedError(f"an enclosure has no finite end at {ctx.prec} bits")
    mantissa, exponent = end.man_exp()
    return fmpq(mantissa) * fmpq(2) ** int(exponent)
