"""Where a re-run differs from the committed ledger, and by how much."""

import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pmdlib.workspace.ledger import Entry
from pmdlib.workspace.plan import Plan

DIGITS = 3
"""Significant digits to which numbers of two machines agree.

Libraries round differently on other processors; what a search ends at, or a ratio of two small
numbers, feels that most.
"""

NOISE = "worst_error"
"""Errors of equalities are rounding themselves: they have no digits to compare."""

ABSENT = "–"


@dataclass(frozen=True)
class Difference:
    """One value that is not the same in two ledgers.

    Parameters
    ----------
    claim : str
    what : str
        Where in the claim's entry: "ways.numeric.worst_slack".
    old, new : JSON value
        The committed one, and that of the re-run.
    relative : float
        |new - old| / max(|old|, |new|); infinite where they are not both numbers.
    within : bool
        Whether they agree within `DIGITS` significant digits, or are rounding errors both.
    """

    claim: str
    what: str
    old: Any
    new: Any
    relative: float
    within: bool


def committed_ledger(plan: Plan) -> dict[str, Entry] | None:
    """Read the ledger as it was committed last; None if there is none or no git."""
    command = ["git", "show", "HEAD:./notebooks/executed/verdicts.json"]
    try:
        done = subprocess.run(command, cwd=plan.root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    entries: dict[str, Entry] = json.loads(done.stdout)
    return entries


def differences(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> list[Difference]:
    """List what differs between two ledgers, the largest first.

    Parameters
    ----------
    old, new : mapping
        Claim -> entry, as verdicts.json holds them; claims of one ledger only differ as a whole.

    Returns
    -------
    list of Difference
    """
    found = []
    for claim in dict.fromkeys([*old, *new]):
        if claim not in old or claim not in new:
            was, now = ("recorded" if claim in side else ABSENT for side in (old, new))
            found.append(Difference(claim, "entry", was, now, math.inf, within=False))
            continue
        before, after = dict(_leaves(old[claim])), dict(_leaves(new[claim]))
        for what in dict.fromkeys([*before, *after]):
            was, now = before.get(what, ABSENT), after.get(what, ABSENT)
            if was != now:
                relative = _relative(was, now)
                noise = what.rpartition(".")[2] == NOISE and relative < math.inf
                within = noise or relative < 10.0**-DIGITS
                found.append(Difference(claim, what, was, now, relative, within))
    return sorted(found, key=lambda each: (each.within, -each.relative))


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested mappings with their places; lists count as values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}" if where else str(key))
    else:
        yield where, value


def _relative(old: Any, new: Any) -> float:
    """Return the relative difference of two numbers; infinite for anything else."""
    if any(isinstance(side, bool) or not isinstance(side, int | float) for side in (old, new)):
        return math.inf
    return float(abs(new - old) / max(abs(old), abs(new)))
