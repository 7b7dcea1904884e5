"""What the explorer says in plain language; the page fills the same templates as the widget."""

from collections.abc import Mapping
from math import isnan, log10

from pmdlib.workspace.explorer.theory import Theory

#: Templates for a run; the script of the page fills them as `run_line` does.
TEMPLATES: dict[str, str] = {
    "improves": "From this start the potential never falls in {iterations} iterations.",
    "falls": (
        "From this start the potential falls at {falls} of {iterations} iterations, first at "
        "iteration {first}."
    ),
    "grid": "Of the {starts} starts on the grid, {falling} lead through a fall.",
    "end": (
        "From x = {x}, y = {y} the run comes to x = {end_x}, y = {end_y}, where the Nash gap is "
        "{gap} and c is {c}."
    ),
    "bounded": (
        "The average regret of all {iterations} iterates is {regret}; a theorem says at most "
        "{bound}."
    ),
    "unbounded": (
        "The average regret of all {iterations} iterates is {regret}; no theorem here bounds it at "
        "this step."
    ),
}

#: Gaps and the like below this are not told apart from zero.
SMALLEST = 1e-9

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def short(number: float, digits: int = 2) -> str:
    """Write a number with so many significant digits, and a power of ten where that is shorter."""
    if number == 0:
        return "0"
    rounded = float(f"{number:.{digits - 1}e}")
    if 1e-3 <= abs(rounded) < 1e5:
        text = f"{rounded:.{max(digits - 1 - _exponent(rounded), 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"


def _exponent(number: float) -> int:
    """Power of ten of the first digit."""
    return int(f"{number:e}".split("e")[1])


def step_line(theory: Theory, step: float) -> str:
    """Say what the theory says of a step, before anything has run."""
    ratio, limit = step / theory.limit, short(theory.limit, 3)
    names = " and ".join(theory.names(step))
    here = f"Step {short(step, 3)}{f', {names}' if names else ''}: "
    if ratio <= 1 + 1e-9:
        return (
            f"{here}the theory guarantees that no step up to {limit} ever lowers the potential of "
            f"this game (by {theory.reason}). This step is {short(100 * ratio)} % of that."
        )
    return (
        f"{here}this is {short(ratio)} times {limit}, the largest step at which the theory "
        f"guarantees that the potential never falls (by {theory.reason})."
    )


def run_line(numbers: Mapping[str, float]) -> str:
    """Say what happened in a run.

    Parameters
    ----------
    numbers : mapping
        ``iterations``, ``falls``, ``first``, ``falling``, ``starts``, ``x``, ``y``, ``end_x``,
        ``end_y``, ``gap``, ``c``, ``regret`` and ``bound``; the bound is NaN where there is none.
    """
    bounded = not isnan(numbers["bound"])
    parts = (
        "falls" if numbers["falls"] else "improves",
        "grid",
        "end",
        "bounded" if bounded else "unbounded",
    )
    texts = {
        name: _shown(value, name in _SIZES) if name in _ROUNDED else f"{value:g}"
        for name, value in numbers.items()
    }
    return " ".join(TEMPLATES[part] for part in parts).format(**texts)


def _shown(number: float, size: bool) -> str:
    if size and not abs(number) >= SMALLEST:
        return f"below 10{str(round(log10(SMALLEST))).translate(_SUPERSCRIPTS)}"
    return short(number)


#: Numbers that are shown to two digits; the others are counts.
_SIZES = ("gap", "c", "regret", "bound")
_ROUNDED = ("x", "y", "end_x", "end_y", *_SIZES)
