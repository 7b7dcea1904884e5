"""Recorded numbers: array code runs on them once and leaves its operations on a tape.

A recorded number stands for a float that is not known yet. Object arrays of them go through the
same lines as all other numbers; what comes out is the straight-line program that those lines are
for arrays of these shapes, and `machine_code` makes a loop of it. The program is that of every
value, so code that asks for a value (a comparison, a branch, a conversion) cannot be recorded: it
raises `RecordingError`, and never takes a side.

``+ - * /`` raise nothing, for NumPy's product of object matrices goes on after an exception, on
memory that it has given up (seen in 2.4). What went wrong in them is kept as the ``failure`` of the
tape, and raised when the tape is read.
"""

from collections.abc import Sequence
from math import prod
from numbers import Real
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

#: What leaves its left operand as it is, bit for bit (x - 0 does and x + 0 does not: -0 + 0 = 0).
_NEUTRAL = {"add": (-0.0).hex(), "sub": (0.0).hex(), "mul": (1.0).hex(), "div": (1.0).hex()}

#: Operations whose operands may change places, bit for bit.
_COMMUTATIVE = {"add", "mul"}


class RecordingError(TypeError):
    """Code asked for the value of a recorded number, or its tape is no program."""


class Tape:
    """The operations that recorded numbers went through, each distinct one once.

    Parameters
    ----------
    most : int, optional
        Operations (and inputs) after which recording gives up; no limit by default.

    Attributes
    ----------
    operations : list of tuples
        ``(name, *operands)``, the operands being places in the list. An input is
        ``("input", array, position)``, a constant ``("constant", hexadecimal)``.
    sizes : list of int
        Number of entries of each input array.
    failure : str
        Why the tape is not the program of what was computed; empty if it is.
    """

    def __init__(self, most: float = float("inf")) -> None:
        self.operations: list[tuple[Any, ...]] = []
        self.sizes: list[int] = []
        self.failure = ""
        self._most = most
        self._recorded: dict[tuple[Any, ...], Recorded] = {}

    def inputs(self, shape: Sequence[int]) -> NDArray[Any]:
        """Return the next input array: recorded numbers of this shape."""
        if len(self.operations) + prod(shape) > self._most:
            raise RecordingError(f"more than {self._most} operations")
        array = np.empty(shape, dtype=object)
        source = len(self.sizes)
        self.sizes.append(array.size)
        array.reshape(-1)[:] = [self._record("input", source, k) for k in range(array.size)]
        return array

    def place(self, value: Any) -> int:
        """Return the place of a recorded number or, put on the tape as a constant, of a literal."""
        if isinstance(value, Recorded):
            if value.tape is not self:
                self.failure = "a number of one tape met a number of another"
            return value.place
        return self._record("constant", float(value).hex()).place

    def apply(self, name: str, *operands: Any) -> "Recorded":
        """Record an operation on recorded numbers and literals."""
        if self.failure:
            return Recorded(self, 0)
        places = [self.place(operand) for operand in operands]
        if name in _NEUTRAL and self.operations[places[1]] == ("constant", _NEUTRAL[name]):
            return Recorded(self, places[0])
        return self._record(name, *(sorted(places) if name in _COMMUTATIVE else places))

    def _record(self, *operation: Any) -> "Recorded":
        known = self._recorded.get(operation)
        if known is None:
            if len(self.operations) >= self._most:
                self.failure = f"more than {self._most} operations"
                return Recorded(self, 0)
            known = self._recorded[operation] = Recorded(self, len(self.operations))
            self.operations.append(operation)
        return known


class Recorded:
    """A number on a tape."""

    __slots__ = ("place", "tape")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tape: Tape, place: int) -> None:
        self.tape, self.place = tape, place

    def _with(self, name: str, other: Any, *, swapped: bool = False) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy comes back entry by entry
        if not isinstance(other, Recorded | Real):
            self.tape.failure = f"a recorded number met {other!r}, which is no literal"
            return self
        return self.tape.apply(name, other, self) if swapped else self.tape.apply(name, self, other)

    def __add__(self, other: Any) -> Any:
        return self._with("add", other)

    def __sub__(self, other: Any) -> Any:
        return self._with("sub", other)

    def __mul__(self, other: Any) -> Any:
        return self._with("mul", other)

    def __truediv__(self, other: Any) -> Any:
        return self._with("div", other)

    def __pow__(self, other: Any) -> Any:
        square = isinstance(other, Real) and other == 2  # as NumPy does
        return self * self if square else self._with("pow", other)

    def __rsub__(self, other: Any) -> Any:
        return self._with("sub", other, swapped=True)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with("div", other, swapped=True)

    def __rpow__(self, other: Any) -> Any:
        return self._with("pow", other, swapped=True)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Recorded":
        return self.tape.apply("neg", self)

    def __pos__(self) -> "Recorded":
        return self

    def __abs__(self) -> "Recorded":
        return self.tape.apply("abs", self)

    # Named so that np.exp, np.log and np.sqrt find them too.

    def exp(self) -> "Recorded":
        """e^x."""
        return self.tape.apply("exp", self)

    def log(self) -> "Recorded":
        """Natural logarithm."""
        return self.tape.apply("log", self)

    def sqrt(self) -> "Recorded":
        """Square root."""
        return self.tape.apply("sqrt", self)

    def maximum(self, other: Any) -> Any:
        """Return the larger number: this one in a tie, and NaN if either is."""
        return self._with("max", other)

    def minimum(self, other: Any) -> Any:
        """Return the smaller number: this one in a tie, and NaN if either is."""
        return self._with("min", other)

    def _refuse(self, *_: object) -> NoReturn:
        raise RecordingError("a recorded number has no value to ask for")

    __bool__ = __float__ = __int__ = __complex__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse

    def __repr__(self) -> str:
        return f"{self.tape.operations[self.place]}"


def is_recorded(array: Any) -> bool:
    """Say whether an object array holds recorded numbers, or an object is one."""
    return any(isinstance(entry, Recorded) for entry in np.asarray(array, dtype=object).flat)
