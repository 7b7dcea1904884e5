"""The points of a sweep: checked, in order, each with the name of its results."""

import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from pmdlib.errors import PmdError
from pmdlib.whole import is_whole

Point = dict[str, Any]

RESERVED = ("seed", "error")
"""Columns that a sweep adds by itself."""

LARGEST = 2**63 - 1
"""What fits into a column of whole numbers."""


def make_points(grid: Any) -> list[Point]:
    """List the points of a grid: the product of its values, the last name fastest, or as given.

    Parameters
    ----------
    grid : mapping, or sequence of mappings
        Name -> values, or the points themselves.

    Raises
    ------
    PmdError
        If there is no point, one comes twice, or a name or value is none that a result can be
        kept under.
    """
    if isinstance(grid, Mapping):
        axes = [[(name, value) for value in _values(name, grid[name])] for name in grid]
        found = [dict(choice) for choice in itertools.product(*axes)] if axes else []
    elif isinstance(grid, list | tuple) and all(isinstance(point, Mapping) for point in grid):
        found = [dict(point) for point in grid]
    else:
        raise PmdError(f"grid is {_type(grid)}, must be name -> values, or a list of such points")
    if not found:
        raise PmdError("grid is empty: there is nothing to run ([{}] is one point without a name)")
    points = [{_name(name): _plain(name, point[name]) for name in point} for point in found]
    seen: set[tuple[Any, ...]] = set()
    for point in points:
        if point.keys() != points[0].keys():
            raise PmdError(f"grid has points with other names: {points[0]} and {point}")
        values = tuple(point[name] for name in points[0])
        if values in seen:
            raise PmdError(f"grid has the point {point} twice")
        seen.add(values)
    return points


def make_seeds(seeds: Any) -> list[int]:
    """List the seeds: 0 .. n - 1 for a number n, else as given."""
    if is_whole(seeds):
        if seeds < 1:
            raise PmdError(f"seeds is {seeds}, must be at least 1, or a list of seeds")
        return list(range(seeds))
    if isinstance(seeds, str | bool) or not isinstance(seeds, Iterable):
        raise PmdError(f"seeds is {seeds!r}, must be a number of seeds or a list of them")
    found = list(seeds)
    for index, seed in enumerate(found):
        if not is_whole(seed) or not 0 <= seed <= LARGEST:
            raise PmdError(f"seeds[{index}] is {seed!r}, must be a whole number >= 0")
    if not found or len(set(found)) < len(found):
        raise PmdError(f"seeds is {found}, must hold at least one, and none twice")
    return [int(seed) for seed in found]


def check_call(function: Callable[..., Any], point: Point) -> None:
    """Check before anything runs that a function takes a generator and these parameters."""
    if not callable(function):
        raise PmdError(f"function is {_type(function)}, must be a function")
    try:
        inspect.signature(function).bind(None, **point)
    except (TypeError, ValueError) as error:
        name = getattr(function, "__qualname__", repr(function))
        call = ", ".join(["rng", *(f"{parameter}=.." for parameter in point)])
        raise PmdError(f"{name} cannot be called as {name}({call}): {error}") from None


def key_of(point: Point, seed: int) -> str:
    """Name the results of a point and a seed; the order of the names does not matter."""
    return hashlib.sha256(repr((sorted(point.items()), seed)).encode()).hexdigest()[:32]


def _values(name: str, values: Any) -> list[Any]:
    """List the values of one name; text is one value, not a list of letters."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise PmdError(f"grid[{name!r}] is {values!r}, must be a list of values")
    return list(values)


def _name(name: Any) -> str:
    """Check the name of a parameter."""
    if not isinstance(name, str) or not name.isidentifier():
        raise PmdError(f"grid has the name {name!r}, must be that of a parameter")
    if name in RESERVED:
        raise PmdError(f"grid has the name {name!r}, which the results use for a column of theirs")
    return name


def _plain(name: str, value: Any) -> Any:
    """Return a value as plain Python: what has one spelling can name results."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple):
        return tuple(_plain(name, item) for item in value)
    if value is not None and type(value) not in (bool, int, float, str):
        raise PmdError(
            f"grid[{name!r}] has {value!r}, {_type(value)}; must be None, bool, int, float, str, "
            "or a tuple of these: let the function make the rest of them"
        )
    if type(value) is int and abs(value) > LARGEST:
        raise PmdError(f"grid[{name!r}] has {value}, must be within ±{LARGEST}")
    return value


def _type(value: object) -> str:
    return f"of type {type(value).__name__}"
