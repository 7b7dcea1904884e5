"""Which named games are Markov potential games: a table, and stored proofs for those that are not.

``witnesses.json`` beside this module holds one open cycle for each game of
`pmdlib.games.catalogue.NOT_POTENTIAL`: rational policies and an exact sum, to be recomputed by
anyone. `load_witnesses` recomputes them before it returns them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pmdlib.analysis.potential.alpha import potential_distance
from pmdlib.analysis.potential.cycles import Cycle
from pmdlib.analysis.potential.membership import PotentialTest, is_markov_potential_game
from pmdlib.analysis.potential.stage_potential import smallest_range
from pmdlib.arithmetic import Array, to_float
from pmdlib.errors import PmdError
from pmdlib.files import write_atomically
from pmdlib.games.catalogue import CATALOGUE, NOT_POTENTIAL
from pmdlib.games.tabular import TabularGame

#: Where the stored witnesses lie.
WITNESSES = Path(__file__).with_name("witnesses.json")

#: Seed of the searches, so that the file can be made again.
_SEED = 0


def verdict_table(
    games: Mapping[str, TabularGame] | None = None, *, seed: int = _SEED
) -> pd.DataFrame:
    """Test games and measure how far they are from a Markov potential game.

    Parameters
    ----------
    games : mapping of names to games, optional
        The whole catalogue by default.
    seed : int
        Of the random policies, the same for each game.

    Returns
    -------
    DataFrame with a row for each game: ``agents``, ``states``; ``verdict`` (bool) and ``proved``;
    ``stated``, whether the stated potential is right (None without one); ``phi_max``, the smallest
    range of a stage potential (NaN if there is none, which is to say no value potential either);
    of the witness ``movers``, ``state``, ``total`` (rounded) and ``relative``, its share of the
    range of values (None without one); ``alpha_lower``, ``alpha_upper``, bounds on the distance.
    """
    chosen = {n: make() for n, make in CATALOGUE.items()} if games is None else games
    rows = [_row(game, seed) for game in chosen.values()]
    return pd.DataFrame(rows, index=pd.Index(chosen, name="game"))


def _row(game: TabularGame, seed: int) -> dict[str, object]:
    test = is_markov_potential_game(game, np.random.default_rng(seed))
    witness, potential = test.witness, test.potential
    lower, upper = _distance(game, test, seed)
    return {
        "agents": game.num_agents,
        "states": game.num_states,
        "verdict": test.verdict,
        "proved": test.proved,
        "stated": test.stated,
        "phi_max": np.nan if potential is None else _range(game, potential),
        "movers": None if witness is None else witness.agents,
        "state": None if witness is None else witness.state,
        "total": None if witness is None else float(to_float(witness.total)),
        "relative": None if witness is None else witness.relative,
        "alpha_lower": lower,
        "alpha_upper": upper,
    }


def _range(game: TabularGame, potential: Array) -> float:
    return float(smallest_range(game, to_float(potential)).max())


def _distance(game: TabularGame, test: PotentialTest, seed: int) -> tuple[float, float]:
    if test.verdict and test.proved:
        return 0.0, 0.0
    found = potential_distance(game, np.random.default_rng(seed))
    return float(found.lower), found.upper


def find_witnesses(names: Iterable[str] = NOT_POTENTIAL) -> dict[str, Cycle]:
    """Search for an open cycle of each named game.

    Raises
    ------
    PmdError
        If a game is not refuted.
    """
    found = {}
    for name in names:
        test = is_markov_potential_game(CATALOGUE[name](), np.random.default_rng(_SEED))
        if test.witness is None:
            raise PmdError(f"{name} is not refuted: all {test.cycles} cycles tried are closed")
        found[name] = test.witness
    return found


def write_witnesses(path: Path = WITNESSES) -> None:
    """Make the file of witnesses again, whole or not at all: a temporary file takes its name."""
    stored = {name: cycle.to_dict() for name, cycle in find_witnesses().items()}
    write_atomically(path, _as_json(stored))


def load_witnesses(path: Path = WITNESSES) -> dict[str, Cycle]:
    """Read the stored witnesses and recompute each in exact arithmetic.

    Returns
    -------
    dict
        Names of catalogue games and their open cycles.

    Raises
    ------
    PmdError
        If a game is unknown, or its cycle does not have the stated sum.
    """
    witnesses = {}
    for name, stored in json.loads(path.read_text(encoding="utf-8")).items():
        if name not in CATALOGUE:
            raise PmdError(f"witness of {name!r}: the catalogue has no such game")
        cycle = Cycle.from_dict(stored)
        if not cycle.verify(CATALOGUE[name]()):
            raise PmdError(f"witness of {name!r} does not open: its sum is not {stored['total']}")
        witnesses[name] = cycle
    return witnesses


def _as_json(stored: Mapping[str, Mapping[str, object]]) -> str:
    """Write each field of a witness on a line of its own."""
    games = []
    for name, fields in stored.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()]
        games.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(games) + "\n}\n"
