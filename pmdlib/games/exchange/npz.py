"""Games in .npz archives: which arrays each kind of game consists of."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from pmdlib.arithmetic import Array, is_exact
from pmdlib.errors import InvalidGameError
from pmdlib.games.aggregative import CongestionGame, CountGame, TeamGame
from pmdlib.games.exchange.archive import read_archive, write_archive
from pmdlib.games.exchange.number_text import read_rationals, write_rationals
from pmdlib.games.exchange.stage import check_agents
from pmdlib.games.facilities import Bundles, FacilityGame
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame

Arrays = Mapping[str, Any]

#: The key of one agent's rewards.
_OWN_REWARDS = re.compile("rewards_(0|[1-9][0-9]*)")


def write_npz(game: MarkovGame) -> bytes:
    """Return the archive of a game; InvalidGameError if it is of no kind that has one."""
    for name, kind in KINDS.items():
        if type(game) is kind.of:
            arrays = {"kind": np.array(name)}
            for key, table in kind.arrays(game).items():
                arrays[key] = write_rationals(key, table) if is_exact(table) else np.asarray(table)
            return write_archive(arrays)
    names = ", ".join(kind.of.__name__ for kind in KINDS.values())
    raise InvalidGameError(f"a {type(game).__name__} cannot be written, must be one of {names}")


def read_npz(path: Path, *, exact: bool) -> Any:
    """Return the game of an archive, as it is or over the rationals that its numbers are.

    Raises
    ------
    InvalidGameError
        Naming the key and what was required.
    """
    arrays: dict[str, Any] = dict(read_archive(path))
    kind = _kind(arrays.pop("kind", np.array("tabular")))
    _check_keys(arrays, kind)
    for key, table in arrays.items():
        if table.dtype.kind == "U":
            arrays[key] = read_rationals(key, table)
        elif table.dtype.kind not in "fiub":
            raise InvalidGameError(
                f"{key} holds {table.dtype}, must hold numbers, or text such as 1/3"
            )
        elif table.ndim == 0:
            arrays[key] = table.item()
    game: Any = kind.game(arrays)
    return game.exact() if exact else game


def _kind(said: Array) -> "_Kind":
    name = str(said) if said.ndim == 0 else repr(said)
    if name not in KINDS:
        raise InvalidGameError(f"kind is {name[:40]!r}, must be one of {', '.join(KINDS)}")
    return KINDS[name]


def _check_keys(arrays: Arrays, kind: "_Kind") -> None:
    for key in arrays:
        if key not in kind.keys and not (kind.of is TabularGame and _OWN_REWARDS.fullmatch(key)):
            near = get_close_matches(key, kind.keys, n=1)
            hint = f"did you mean {near[0]}" if near else f"there may be {', '.join(kind.keys)}"
            raise InvalidGameError(f"there is no key {key[:40]!r} of such a game; {hint}")


def _needed(arrays: Arrays, key: str, why: str = "") -> Any:
    if key not in arrays:
        raise InvalidGameError(f"the key {key} is missing{why}")
    return arrays[key]


# Tables of joint actions


def _tabular_arrays(game: TabularGame) -> dict[str, Any]:
    shared = {"rewards": game.rewards[0]}
    apart = {f"rewards_{agent}": own for agent, own in enumerate(game.rewards)}
    arrays = (shared if game.identical_interest else apart) | {
        "kernel": game.kernel,
        "discount": game.discount if is_exact(game.initial) else float(game.discount),
        "initial": game.initial,
    }
    # Without a potential of its own, a game of identical interest has the rewards themselves.
    stated = game.has_potential and not np.may_share_memory(game.potential, game.rewards)
    return arrays | ({"potential": game.potential} if stated else {})


def _tabular_game(arrays: Arrays) -> TabularGame:
    rewards = _rewards(arrays)
    table = np.asarray(rewards if isinstance(rewards, np.ndarray) else rewards[0])
    check_agents(table.ndim - 1)
    one = table.ndim > 0 and len(table) == 1
    why = ": it may only be left out of a game of one state"
    return TabularGame(
        rewards,
        arrays.get("kernel", np.ones((1, 1))) if one else _needed(arrays, "kernel", why),
        discount=arrays.get("discount", 0.0) if one else _needed(arrays, "discount", why),
        initial=arrays.get("initial"),
        potential=arrays.get("potential"),
    )


def _rewards(arrays: Arrays) -> Any:
    """Return the rewards of all agents, or a list of their own."""
    own = sorted(int(found[1]) for key in arrays if (found := _OWN_REWARDS.fullmatch(key)))
    if "rewards" in arrays:
        if own:
            raise InvalidGameError(
                f"there are both rewards, for all agents, and rewards_{own[0]}, for one"
            )
        return np.asarray(arrays["rewards"])
    if not own:
        raise InvalidGameError("there are neither rewards, for all agents, nor rewards_0, ..")
    return [np.asarray(_needed(arrays, f"rewards_{agent}")) for agent in range(len(own))]


# Tables by load


def _facility_arrays(game: FacilityGame, payoffs: Array, kernel: Any) -> dict[str, Any]:
    return {
        "payoffs": payoffs,
        "agents": np.array(game.populations, dtype=np.int64),
        "actions": np.array([len(part) for part in game.incidences], dtype=np.int64),
        "uses": np.concatenate(game.incidences).astype(np.uint8),
        "kernel": kernel,
        "discount": game.discount,
        "initial": game.initial,
    }


def _congestion_arrays(game: CongestionGame) -> dict[str, Any]:
    return _facility_arrays(game, game.payoffs, game.exogenous_kernel)


def _team_arrays(game: TeamGame) -> dict[str, Any]:
    kernel = game.facility_kernel if game.exogenous_kernel is None else game.exogenous_kernel
    return _facility_arrays(game, game.payoffs, kernel)


def _facility_game(
    arrays: Arrays, of: type[CongestionGame] | type[TeamGame], loads: int
) -> CongestionGame | TeamGame:
    """Make a game of agents whose payoffs are for their number of loads, and so many more."""
    payoffs = np.asarray(_needed(arrays, "payoffs"))
    if payoffs.ndim != 3 or 0 in payoffs.shape:
        raise InvalidGameError(
            f"payoffs have shape {payoffs.shape}, must be (S, F, loads) with no empty axis"
        )
    sizes = _whole_numbers(arrays, "agents")
    if sum(sizes) + loads != payoffs.shape[2]:
        raise InvalidGameError(
            f"agents are {sum(sizes)} in all, but payoffs are for {payoffs.shape[2]} loads, must "
            f"be for {sum(sizes) + loads}"
        )
    single = np.ndim(arrays["agents"]) == 0
    agents = sizes[0] if single and "uses" not in arrays else _populations(arrays, sizes)
    return of(
        payoffs,
        agents,
        arrays.get("kernel"),
        discount=arrays.get("discount", 0.0) if len(payoffs) == 1 else _needed(arrays, "discount"),
        initial=arrays.get("initial"),
    )


def _populations(arrays: Arrays, sizes: list[int]) -> list[tuple[int, Bundles]]:
    actions, uses = _whole_numbers(arrays, "actions"), np.asarray(_needed(arrays, "uses"))
    facilities = np.shape(arrays["payoffs"])[1]
    if len(actions) != len(sizes):
        raise InvalidGameError(
            f"actions are for {len(actions)} populations, must be for the {len(sizes)} of agents"
        )
    if uses.shape != (sum(actions), facilities):
        raise InvalidGameError(
            f"uses have shape {uses.shape}, must be (all actions, F) = {(sum(actions), facilities)}"
        )
    if not np.isin(uses, (0, 1)).all():
        raise InvalidGameError("uses must be 1 where an action uses a facility, else 0")
    rows = [tuple(map(int, np.flatnonzero(row))) for row in uses]
    ends = np.cumsum(actions)
    return [
        (size, rows[end - own : end]) for size, own, end in zip(sizes, actions, ends, strict=True)
    ]


def _whole_numbers(arrays: Arrays, key: str) -> list[int]:
    """Return whole numbers >= 1, one or a row of them, as a list."""
    table = np.atleast_1d(_needed(arrays, key))
    if table.ndim != 1 or table.dtype.kind not in "iu" or not len(table) or (table < 1).any():
        raise InvalidGameError(f"{key} must be whole numbers >= 1, one or a row of them")
    return [int(number) for number in table]


@dataclass(frozen=True)
class _Kind:
    """A kind of game: its class, the keys that it may have, and both ways."""

    of: type[MarkovGame]
    keys: tuple[str, ...]
    arrays: Callable[[Any], dict[str, Any]]
    game: Callable[[Arrays], MarkovGame]


_BY_LOAD = ("payoffs", "agents", "actions", "uses", "kernel", "discount", "initial")

KINDS = {
    "tabular": _Kind(
        TabularGame,
        ("rewards", "rewards_0", "kernel", "discount", "initial", "potential"),
        _tabular_arrays,
        _tabular_game,
    ),
    "congestion": _Kind(
        CongestionGame,
        _BY_LOAD,
        _congestion_arrays,
        lambda arrays: _facility_game(arrays, CongestionGame, loads=0),
    ),
    "team": _Kind(
        TeamGame, _BY_LOAD, _team_arrays, lambda arrays: _facility_game(arrays, TeamGame, loads=1)
    ),
    "count": _Kind(
        CountGame,
        ("payoffs",),
        lambda game: {"payoffs": game.payoffs},
        lambda arrays: CountGame(_needed(arrays, "payoffs")),
    ),
}
