"""Numbers as text: rationals and decimals, read exactly, and written so that nothing is lost."""

import re
from math import inf, isinf
from typing import Any

import numpy as np
from flint import fmpq, fmpz

from pmdlib.arithmetic import Array, is_exact, to_float
from pmdlib.errors import InvalidGameError

#: What is read as a number. An exponent has three digits at most: more is no payoff of a game, but
#: a way to ask for a rational that fills the memory.
_NUMBER = re.compile(
    r"""(?P<sign>[+-]?)
    (?: (?P<top>[0-9]+)/(?P<bottom>[0-9]*[1-9][0-9]*)
      | (?=\.?[0-9])(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?:[eE](?P<power>[+-]?[0-9]{1,3}))?
    )""",
    re.VERBOSE,
)


def read_rational(text: str) -> fmpq:
    """Return the rational that a text such as -2, 1/3, 0.25 or 1e-3 says; InvalidGameError else."""
    found = _match(text)
    if found["top"]:
        size = fmpq(fmpz(found["top"]), fmpz(found["bottom"]))
    else:
        part = found["part"] or ""
        power = int(found["power"] or 0) - len(part)
        size = fmpq(fmpz(found["whole"] + part)) * fmpq(10) ** power
    return -size if found["sign"] == "-" else size


def read_float(text: str) -> float:
    """Return the float next to the number that a text says; InvalidGameError as `read_rational`."""
    try:
        value = float(to_float(read_rational(text)) if _match(text)["top"] else text)
    except OverflowError:
        value = inf
    if isinf(value):
        raise InvalidGameError(f"{_short(text)} is too large for a float")
    return value


def _match(text: str) -> re.Match[str]:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise InvalidGameError(f"{_short(text)} is no number such as -2, 1/3, 0.25 or 1e-3")
    return found


def write_number(entry: Any) -> str:
    """Write a float or a rational so that it is read back as it is: digits, without an exponent.

    Raises
    ------
    InvalidGameError
        For enclosures and symbols.
    """
    if isinstance(entry, fmpq):
        return str(entry)
    if is_exact(entry):
        raise InvalidGameError(f"{entry} is no rational: only floats and rationals can be written")
    return np.format_float_positional(entry, trim="-")


def write_rationals(name: str, table: Any) -> Array:
    """Write exact numbers as an array of text, of the same shape; InvalidGameError as above."""
    source = np.asarray(table, dtype=object)
    try:
        texts = [write_number(entry) for entry in source.flat]
    except InvalidGameError as error:
        raise InvalidGameError(f"{name}: {error}") from error
    return np.array(texts, dtype=str).reshape(source.shape)


def read_rationals(name: str, table: Array) -> Any:
    """Read an array of text as rationals, of the same shape; one number if it has no axes."""
    entries = np.empty(table.shape, dtype=object)
    for where in np.ndindex(table.shape):
        try:
            entries[where] = read_rational(str(table[where]))
        except InvalidGameError as error:
            place = list(where) or ""
            raise InvalidGameError(f"{name}{place}: {error}") from error
    return entries[()]


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
