"""Prove that a function is nowhere negative on a box, or find a point where it is.

Interval arithmetic encloses the values of a function on a box. If the enclosure does not go below
zero, nor does the function; otherwise the box is cut in two. Wherever the function is positive this
ends after finitely many cuts. It cannot end at a zero inside the box unless the formula shows its
sign there (a square, say), so inequalities with equality have to be factored first.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flint import fmpq

from pmdlib.arithmetic.balls import UndecidedError, precision
from pmdlib.arithmetic.intervals import Interval

Box = tuple[Interval, ...]
Function = Callable[..., Any]

#: Boxes after which a search gives up: hundreds of times what the lemmas of this library need.
MOST_BOXES = 5_000

#: Working precision: its rounding is far below what interval arithmetic loses on any box.
BITS = 64


@dataclass(frozen=True)
class Proof:
    """What a branch and bound found.

    Attributes
    ----------
    proved : bool or None
        True: nowhere negative on the box. False: certainly negative at ``counterexample``.
        None: undecided when the boxes ran out.
    cover : tuple of boxes
        The certificate: boxes on which the function is certainly not negative, or which the
        constraint certainly excludes. If proved they fill the whole box and overlap in edges only.
    counterexample : tuple of flint.fmpq, optional
        A rational point of the box, constraint met, where the function is certainly negative.
    lower : flint.fmpq, optional
        Smallest lower bound certified on a box of the cover; 0 where equality is attained.
    waiting : int
        Boxes not decided when the search ended.
    bits : int
        Working precision of the enclosures.
    """

    proved: bool | None
    cover: tuple[Box, ...] = field(repr=False)
    counterexample: tuple[fmpq, ...] | None
    lower: fmpq | None
    waiting: int
    bits: int

    @property
    def boxes(self) -> int:
        """Number of boxes in the cover."""
        return len(self.cover)

    @property
    def outcome(self) -> str:
        """The result in words."""
        if self.counterexample is not None:
            return f"refuted at ({', '.join(map(str, self.counterexample))})"
        if self.proved:
            return f"proved on {self.boxes} {'box' if self.boxes == 1 else 'boxes'}"
        return f"undecided after {self.boxes + self.waiting} boxes"


def prove_nonnegative(
    function: Function,
    box: Sequence[Interval],
    constraint: Function | None = None,
    *,
    boxes: int = MOST_BOXES,
    bits: int = BITS,
) -> Proof:
    """Prove or refute f(x) >= 0 for every x of a box with constraint(x) >= 0.

    Breadth first, so that a large region where f is negative is met early.

    Parameters
    ----------
    function : callable (*Interval) -> Interval
        Encloses f on a box. It may raise `UndecidedError`, which asks for smaller boxes.
    box : sequence of Interval
    constraint : callable (*Interval) -> Interval, optional
        Where it is negative nothing is claimed.
    boxes : int
        After how many boxes to give up.
    bits : int
        Working precision of the enclosures.

    Returns
    -------
    Proof
    """
    cover: list[Box] = []
    bounds: list[fmpq] = []
    waiting = deque([tuple(box)])

    def found(proved: bool | None, point: Box | None = None) -> Proof:
        counterexample = tuple(x.lower for x in point) if point else None
        lower = min(bounds, default=None)
        return Proof(proved, tuple(cover), counterexample, lower, len(waiting), bits)

    with precision(bits):
        while waiting:
            if len(cover) + len(waiting) > boxes:
                return found(None)
            current = waiting.popleft()
            if constraint is not None and constraint(*current).upper < 0:
                cover.append(current)
                continue
            value = _enclosure(function, current)
            if value is not None and value.lower >= 0:
                cover.append(current)
                bounds.append(value.lower)
                continue
            centre = tuple(Interval(x.middle) for x in current)
            value = _enclosure(function, centre)
            allowed = constraint is None or constraint(*centre).lower >= 0
            if allowed and value is not None and value.upper < 0:
                waiting.appendleft(current)
                return found(False, centre)
            waiting.extend(_halves(current))
    return found(True)


def _enclosure(function: Function, box: Box) -> Interval | None:
    try:
        value: Interval = function(*box)
    except UndecidedError:
        return None
    return value


def _halves(box: Box) -> tuple[Box, Box]:
    """Cut a box across its longest side."""
    longest = max(range(len(box)), key=lambda side: box[side].width)
    first, second = box[longest].halves()
    return (
        (*box[:longest], first, *box[longest + 1 :]),
        (*box[:longest], second, *box[longest + 1 :]),
    )
