"""Whole numbers among arguments: counts, seeds, delays."""

from typing import Any

import numpy as np

from pmdlib.errors import PmdError


def is_whole(value: Any) -> bool:
    """Say whether a value is a whole number, Python's or NumPy's; a truth value is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number that is at least so large; PmdError for anything else."""
    if not is_whole(value) or value < least:
        raise PmdError(f"{name} is {value!r}, must be a whole number >= {least}")
    return int(value)
