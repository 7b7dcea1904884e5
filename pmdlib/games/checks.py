"""Checks of what a game is given: what is wrong is named with its place and the requirement."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array, certainly_negative, is_exact, not_finite, rationals, to_exact
from pmdlib.errors import InvalidGameError

#: How far a probability distribution given in floating point may be from summing to one.
SUM_TOLERANCE = 1e-9


def real_table(name: str, values: Any) -> Array:
    """Return a copy of a table of real numbers, floats or objects; InvalidGameError for others."""
    return _copy(_real(name, values))


def _real(name: str, values: Any) -> Array:
    """Return a table of real numbers as it is; InvalidGameError for anything else."""
    try:
        table = np.asarray(values)
    except ValueError as error:
        raise InvalidGameError(f"{name} cannot be read as an array: {error}") from error
    if is_exact(table):
        try:
            not_finite(table)
        except TypeError as error:
            raise InvalidGameError(f"{name} must hold real numbers: {error}") from error
    elif table.dtype.kind not in "fiub":
        raise InvalidGameError(f"{name} must hold real numbers, not {table.dtype}")
    return table


def _copy(table: Array) -> Array:
    # What the caller does to an array later must not change a game that was checked.
    return np.array(table, dtype=object if is_exact(table) else np.float64, order="C")


def real_tables(rewards: Any) -> Array:
    """Return copies of a sequence of tables of one shape, stacked; raises InvalidGameError."""
    if not isinstance(rewards, Sequence) or isinstance(rewards, str):
        raise InvalidGameError(
            f"rewards are a {type(rewards).__name__}, must be a sequence of N arrays, or one "
            "ndarray for identical interest"
        )
    tables = [_real(f"rewards[agent={i}]", table) for i, table in enumerate(rewards)]
    if not tables:
        raise InvalidGameError("rewards are empty: a game needs at least one agent")
    for i, table in enumerate(tables):
        if table.shape != tables[0].shape:
            raise InvalidGameError(
                f"rewards[agent={i}] has shape {table.shape}, must be that of agent 0, "
                f"{tables[0].shape}"
            )
    copies = np.empty(
        (len(tables), *tables[0].shape), object if any(map(is_exact, tables)) else float
    )
    for copy, table in zip(copies, tables, strict=True):
        copy[...] = table
    return copies


def check_finite(name: str, tables: Sequence[Array] | Array) -> None:
    """Raise InvalidGameError that names the first entry (S, A_1, ..) that is not finite."""
    for i, table in enumerate(tables):
        bad = np.argwhere(not_finite(table))
        if len(bad):
            where = tuple(bad[0])
            agent = f"agent={i}, " if len(tables) > 1 else ""
            raise InvalidGameError(
                f"{name}[{agent}s={where[0]}, a={_plain(where[1:])}] is {table[where]}, "
                "must be finite"
            )


def load_table(name: str, values: Any, axes: tuple[str, ...]) -> Array:
    """Check a table of finite numbers by state, facility and load; raises InvalidGameError."""
    table = real_table(name, values)
    if table.ndim != len(axes) or 0 in table.shape:
        raise InvalidGameError(
            f"{name} have shape {table.shape}, must be ({', '.join(axes)}) with no empty axis"
        )
    bad = np.argwhere(not_finite(table))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise InvalidGameError(f"{name}{list(where)} is {table[where]}, must be finite")
    return table


def check_size(rewards: Array, discount: Any) -> None:
    """Refuse rewards whose values, or differences of values, would overflow."""
    if is_exact(rewards):
        return
    largest = max(float(rewards.max()), -float(rewards.min()))
    if largest > np.finfo(float).max * (1 - discount) / 4:
        raise InvalidGameError(
            f"rewards reach {largest:g}: values of up to that over 1 - {discount} overflow"
        )


def check_discount(discount: Any) -> Any:
    """Return a discount if it is a number in [0, 1), else raise InvalidGameError."""
    try:
        bad = not_finite(np.asarray(discount)) | certainly_negative(np.asarray(discount))
        large = certainly_negative(np.asarray(1 - discount)) | (discount == 1)
        fits = np.ndim(discount) == 0 and not isinstance(discount, bool) and not (bad or large)
    except (TypeError, ValueError):  # not a number, or several
        fits = False
    if not fits:
        raise InvalidGameError(f"discount is {discount!r}, must be a number in [0, 1)")
    return discount


def check_kernel(
    kernel: ArrayLike, states: int, actions: tuple[int, ...], identical: bool
) -> tuple[bool, Array]:
    """Validate a kernel; store it as (S, S) or, next state first, as (S, S', joint actions)."""
    table = _real("kernel", kernel)
    exogenous = table.shape == (states, states)
    if not exogenous and table.shape != (states, *actions, states):
        hint = "; one ndarray of rewards means identical interest: give a list for one per agent"
        raise InvalidGameError(
            f"kernel has shape {table.shape}, must be (S, A_1, .., A_N, S) = "
            f"{(states, *actions, states)}, or (S, S) = {(states, states)} if no action moves "
            f"the state{hint if identical else ''}"
        )
    stored = _copy(table if exogenous else np.moveaxis(table, -1, 1))
    check_distributions("kernel", stored if exogenous else np.moveaxis(stored, 1, -1))
    return exogenous, stored if exogenous else stored.reshape(states, states, prod(actions))


def check_initial(initial: ArrayLike | None, states: int, *, exact: bool) -> Array:
    """Return the initial distribution (S,), uniform by default; raises InvalidGameError."""
    if initial is None:
        ones = np.ones(states, dtype=int)
        return rationals(ones, ones * states) if exact else ones / states
    table = real_table("initial", initial)
    if table.shape != (states,):
        raise InvalidGameError(f"initial has shape {table.shape}, must be (S,) = {(states,)}")
    check_distributions("initial", table)
    return to_exact(table) if exact else table


def check_distributions(name: str, table: Array) -> None:
    """Check that the last axis is a probability distribution, naming the first that is not."""
    bad = np.argwhere(not_finite(table))
    if len(bad):
        raise InvalidGameError(
            f"{_place(name, bad[0][:-1])} has a probability {table[tuple(bad[0])]}, must be finite"
        )
    bad = np.argwhere(certainly_negative(table))
    if len(bad):
        raise InvalidGameError(
            f"{_place(name, bad[0][:-1])} has a probability {table[tuple(bad[0])]}, must be >= 0"
        )
    tolerance = 0 if is_exact(table) else SUM_TOLERANCE
    # In place, for the sums alone are half as large as a kernel that has two states.
    error = np.asarray(table.sum(axis=-1))
    error -= 1
    np.abs(error, out=error)
    bad = np.argwhere(certainly_negative(np.subtract(tolerance, error, out=error)))
    if len(bad):
        where = tuple(bad[0])
        raise InvalidGameError(
            f"{_place(name, where)} sums to {table[where].sum()}, must be 1 within {tolerance:g}"
        )


def _place(name: str, index: Any) -> str:
    if len(index) == 0:
        return name
    if len(index) == 1:
        return f"{name}[s={index[0]}]"
    return f"{name}[s={index[0]}, a={_plain(index[1:])}]"


def _plain(index: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in index)
