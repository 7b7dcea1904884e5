"""Exit statuses, and readers of options that several commands share."""

import argparse
import json
import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmdlib.workspace.ledger import ClaimLike

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit status: all verified; something was not; a bad request; stopped by the user."""


def positive(kind: type[int] | type[float]) -> Any:
    """Return a reader of positive numbers for argparse."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive {kind.__name__}")
        return value

    return read


def seed(text: str) -> int:
    """Read a seed: a whole number, not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 0")
    return int(text)


def address(text: str) -> str:
    """Read the address of a Dask scheduler."""
    if not re.fullmatch(r"[a-z]+://.+:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as tcp://HOST:PORT")
    return text


def assignment(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name in {"profile", "seed"}:
        raise argparse.ArgumentTypeError(f"use --{name} for {name}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def registry() -> "Mapping[str, ClaimLike]":
    """Return the claims."""
    claims: Mapping[str, ClaimLike] = import_module("pmdlib").claims
    return claims
