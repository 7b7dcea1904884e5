"""The worst instances that the adversary has found, kept so that anyone can replay them.

They lie in ``worst_instances.json``: games and policies over exact rationals, the ratio that was
minimised and what the theory proves of it. A later search replaces an instance only by a worse
one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.policies import check_policy
from pmdlib.arithmetic import Array, rationals
from pmdlib.claims.claim import Instance
from pmdlib.errors import PmdError
from pmdlib.files import write_atomically
from pmdlib.games.aggregative import CountGame
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

#: The file of the package that holds them.
STORE = Path(__file__).with_name("worst_instances.json")

#: Names that are no claims: the smallest steps found at which the potential falls.
FIRST_FALLS = {"kl": "first-fall-kl", "euclidean": "first-fall-euclidean"}


@dataclass(frozen=True)
class Attack:
    """An instance that comes close to refuting a claim (or would refute it).

    Attributes
    ----------
    claim : str
        Name of the claim, or one of `FIRST_FALLS`.
    case : str
        What was given: number of agents, step. The worst instance of each case is kept.
    measure : str
        What was minimised.
    ratio : float
        Its value here.
    proved : float
        What the theory proves it is at least; 0 where that is nothing.
    found : str
        How it was found.
    game : CountGame or TabularGame
        Over exact rationals, identical interest.
    policy : tuple of N arrays (1, S, A_i)
        Exact rationals, with a batch axis.
    extra : mapping
        What else the sides of the claim read: exact numbers and integers.
    """

    claim: str
    case: str
    measure: str
    ratio: float
    proved: float
    found: str
    game: CountGame | TabularGame
    policy: Policy
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slack(self) -> float:
        """How far the theory is from this instance: ratio / proved; below 1 would refute it."""
        return self.ratio / self.proved if self.proved > 0 else inf

    def instance(self) -> Instance:
        """Return what a claim compares, with the deviation that its hypotheses ask for."""
        own = self.policy[0]
        deviation = (0, rationals(np.ones(own.shape[1:]), np.full(own.shape[1:], own.shape[-1])))
        extra = {"deviation": deviation, **self.extra}
        return Instance(self.game, self.policy, f"worst:{self.claim}, {self.case}", extra)


def simple(values: Any, digits: int) -> Array:
    """Round floats to that many decimals, as exact rationals."""
    scaled = np.rint(np.asarray(values, dtype=float) * 10**digits)
    return rationals(scaled, np.full(scaled.shape, 10**digits, dtype=object))


# Text: rationals as "p/q", tensors as a shape and their entries in C order


def _to_text(array: Array) -> str:
    return " ".join(str(entry) for entry in array.flat)


def _from_text(text: str, shape: tuple[int, ...] | list[int]) -> Array:
    table = np.empty(shape, dtype=object)
    entries = [Fraction(word) for word in text.split()]
    if len(entries) != table.size:
        raise PmdError(f"a stored array has {len(entries)} entries, must have {table.size}")
    table.reshape(-1)[:] = [fmpq(entry.numerator, entry.denominator) for entry in entries]
    return table


def _game_record(game: CountGame | TabularGame) -> dict[str, Any]:
    if isinstance(game, CountGame):
        return {"agents": game.num_agents, "payoffs": _to_text(game.payoffs)}
    return {
        "shape": list(game.potential.shape),
        "payoffs": _to_text(game.potential),
        "kernel": _to_text(game.kernel),
        "discount": str(game.discount),
        "initial": _to_text(game.initial),
    }


def _game(record: Mapping[str, Any]) -> CountGame | TabularGame:
    if "agents" in record:
        return CountGame(_from_text(record["payoffs"], (record["agents"] + 1,)))
    shape = tuple(record["shape"])
    states, words = shape[0], len(record["kernel"].split())
    kernel = (states, states) if words == states**2 else (*shape, states)
    return TabularGame(
        _from_text(record["payoffs"], shape),
        _from_text(record["kernel"], kernel),
        discount=_from_text(record["discount"], (1,))[0],
        initial=_from_text(record["initial"], (states,)),
    )


def _record(attack: Attack) -> dict[str, Any]:
    rows = [_to_text(own) for own in attack.policy]
    return {
        "case": attack.case,
        "measure": attack.measure,
        "ratio": attack.ratio,
        "proved": attack.proved,
        "found": attack.found,
        "game": _game_record(attack.game),
        "policy": [{"agents": len(list(same)), "rows": row} for row, same in groupby(rows)],
        "extra": {name: str(value) for name, value in attack.extra.items()},
    }


def _attack(claim: str, record: Mapping[str, Any]) -> Attack:
    game = _game(record["game"])
    rows = [part["rows"] for part in record["policy"] for _ in range(part["agents"])]
    policy = tuple(
        _from_text(row, (1, game.num_states, actions))
        for row, actions in zip(rows, game.num_actions, strict=True)
    )
    # A number of iterations counts; everything else is a rational.
    extra = {
        name: int(text) if name == "iterations" else _from_text(text, (1,))[0]
        for name, text in record["extra"].items()
    }
    kept = {name: record[name] for name in ("case", "measure", "ratio", "proved", "found")}
    return Attack(claim, game=game, policy=check_policy(game, policy), extra=extra, **kept)


# The file


def load_worst(claim: str, path: Path = STORE) -> list[Attack]:
    """Load the worst instances known for a claim (or `FIRST_FALLS`); none for other names.

    They are read from the file at ``path``.

    Raises
    ------
    PmdError
        If the file is there and cannot be read.
    """
    return [_attack(claim, record) for record in _read(path).get(claim, [])]


def save_worst(attacks: Iterable[Attack], path: Path = STORE) -> int:
    """Add instances to the file; of two of the same claim and case, the smaller ratio stays.

    The file is replaced as a whole, so an interruption leaves the old one.

    Returns
    -------
    int
        How many instances were new or worse than the stored ones.
    """
    stored = _read(path)
    changed = 0
    for attack in attacks:
        records = {record["case"]: record for record in stored.get(attack.claim, [])}
        known = records.get(attack.case)
        if known is None or attack.ratio < known["ratio"]:
            records[attack.case] = _record(attack)
            stored[attack.claim] = list(records.values())
            changed += 1
    if changed:
        ordered = {claim: stored[claim] for claim in sorted(stored)}
        write_atomically(path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    return changed


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    if not path.exists():
        return {}
    try:
        stored: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PmdError(f"{path.name} cannot be read as JSON: {error}") from error
    return stored
