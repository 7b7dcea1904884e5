"""Exact first derivatives: numbers x + x'h with h² = 0, over any exact arithmetic."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

Operation = Callable[[Any, Any], Any]


def _among_numbers(operation: Operation) -> Operation:
    """Take plain numbers too; leave arrays to NumPy, which comes back entry by entry."""

    @wraps(operation)
    def operate(left: Any, right: Any) -> Any:
        if isinstance(right, np.ndarray):
            return NotImplemented
        return operation(left, right if isinstance(right, Dual) else Dual(right, 0))

    return operate


class Dual:
    """A number and its slope.

    Parameters
    ----------
    value, slope : exact numbers
    """

    __slots__ = ("slope", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any, slope: Any) -> None:
        self.value, self.slope = value, slope

    @_among_numbers
    def __add__(self, other: "Dual") -> "Dual":
        return Dual(self.value + other.value, self.slope + other.slope)

    @_among_numbers
    def __sub__(self, other: "Dual") -> "Dual":
        return Dual(self.value - other.value, self.slope - other.slope)

    @_among_numbers
    def __mul__(self, other: "Dual") -> "Dual":
        slope = self.slope * other.value + self.value * other.slope
        return Dual(self.value * other.value, slope)

    @_among_numbers
    def __truediv__(self, other: "Dual") -> "Dual":
        value = self.value / other.value
        return Dual(value, (self.slope - value * other.slope) / other.value)

    @_among_numbers
    def __rsub__(self, other: "Dual") -> Any:
        return other - self

    @_among_numbers
    def __rtruediv__(self, other: "Dual") -> Any:
        return other / self

    @_among_numbers
    def __eq__(self, other: "Dual") -> bool:
        return bool(self.value == other.value and self.slope == other.slope)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.slope)

    def __repr__(self) -> str:
        return f"{self.value} + {self.slope} h"
