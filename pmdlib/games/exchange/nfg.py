"""Gambit's format of strategic games, .nfg: one stage, its payoffs as rationals or decimals.

A file says ``NFG 1 R`` (or ``D``), a quoted title, the players' names in braces, then their
strategies: how many each has, or their names, in braces again. A quoted comment may follow. The
rest is one of two bodies:

- *payoffs*: for each profile of strategies the payoff of each player;
- *outcomes*: in braces, each a name and the payoff of each player, in braces of its own; then for
  each profile the number of its outcome, from 1, where 0 pays nobody anything.

Profiles are counted with the first player's strategy running fastest. Names are not kept.
"""

import re
from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

import numpy as np

from pmdlib.arithmetic import Array, to_exact
from pmdlib.errors import InvalidGameError
from pmdlib.games.exchange.number_text import read_float, read_rational, write_number
from pmdlib.games.exchange.stage import check_agents, stage_game
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame

#: A quoted text, a brace, a word. Between them is white space, or a comma, which is as good.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}]|[^\s{}",]+|"', re.DOTALL)

_COUNT = re.compile("[0-9]{1,9}")


def read_nfg(content: bytes, *, exact: bool, discount: Any) -> TabularGame:
    """Read a strategic game; one in which all players are paid alike has identical interest.

    Parameters
    ----------
    content : bytes
        Of the file, in either body.
    exact : bool
        Keep the numbers as the rationals that they are; else the nearest floats.
    discount : float in [0, 1)

    Raises
    ------
    InvalidGameError
        Naming the line, what was expected and what is there.
    """
    reader = _Reader(content.decode("utf-8-sig", errors="replace"))
    number = read_rational if exact else read_float
    counts = _prologue(reader)
    body = _outcomes if reader.here == "{" else _payoffs
    payoffs = body(reader, counts, number)
    payoffs = to_exact(payoffs) if exact else payoffs.astype(float)
    alike = bool((payoffs == payoffs[0]).all())
    return stage_game(payoffs[0] if alike else list(payoffs), discount=discount)


def write_nfg(game: MarkovGame, title: str) -> bytes:
    """Write the payoffs of a game of one state, with its payoffs listed; InvalidGameError else.

    Numbers are decimals without an exponent, or rationals, which every reader of the format knows.
    """
    if not isinstance(game, TabularGame):
        raise InvalidGameError(
            f"a {type(game).__name__} has no table of joint actions, which .nfg needs; use .npz"
        )
    if game.num_states != 1:
        raise InvalidGameError(
            f"the game has {game.num_states} states, but .nfg holds games of one state; .npz any"
        )
    # The first player's actions run fastest, and the players of a profile stand side by side.
    profiles = game.rewards[:, 0].reshape(game.num_agents, -1, order="F").T
    players = " ".join(f'"{agent}"' for agent in range(game.num_agents))
    lines = [
        f'NFG 1 R "{_escaped(title)}" {{ {players} }} {{ {" ".join(map(str, game.num_actions))} }}',
        "",
        *(" ".join(map(write_number, own)) for own in profiles),
    ]
    return "\n".join([*lines, ""]).encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _prologue(reader: "_Reader") -> list[int]:
    """Read up to the body; return how many strategies each player has."""
    reader.take("'NFG' at the start of the file", lambda token: token == "NFG")
    reader.take("version 1", lambda token: token == "1")
    reader.take("'R' or 'D'", lambda token: token in {"R", "D"})
    reader.take("a quoted title", _is_quoted)
    reader.take("'{' before the names of the players", _opens)
    players = reader.texts("the quoted name of a player, or '}'")
    if players == 0:
        reader.fail("at least one player", back=1)
    check_agents(players)
    reader.take("'{' before the strategies", _opens)
    counts = []
    for player in range(1, players + 1):
        here = f"of player {player} of {players}"
        if reader.here == "{":
            reader.take("", _opens)
            counts.append(reader.texts(f"the quoted name of a strategy {here}, or '}}'"))
            if counts[-1] == 0:
                reader.fail(f"at least one strategy {here}", back=1)
        else:
            counts.append(
                int(reader.take(f"the strategies {here}, their number >= 1 or '{{'", _is_count))
            )
    reader.take(f"'}}' after the strategies of {players} players", lambda token: token == "}")
    if _is_quoted(reader.here):
        reader.take("a comment", _is_quoted)
    return counts


def _payoffs(reader: "_Reader", counts: list[int], number: Callable[[str], Any]) -> Array:
    """Read a body of payoffs: (N, A_1, .., A_N)."""
    players, profiles = len(counts), prod(counts)
    what = f"payoffs, for {players} players at {profiles} profiles"
    numbers = reader.rest(players * profiles, what, number)
    return np.array(numbers).reshape((players, *counts), order="F")


def _outcomes(reader: "_Reader", counts: list[int], number: Callable[[str], Any]) -> Array:
    """Read a body of outcomes: (N, A_1, .., A_N)."""
    players = len(counts)
    reader.take("", _opens)
    paid = [[number("0")] * players]
    while reader.here == "{":
        reader.take("", _opens)
        reader.take("the quoted name of an outcome", _is_quoted)
        paid.append(
            [reader.number(f"the payoff of player {k + 1}", number) for k in range(players)]
        )
        reader.take(f"'}}' after the payoffs of {players} players", lambda token: token == "}")
    reader.take("'{' of another outcome, or '}' after the last", lambda token: token == "}")

    def outcome(text: str) -> int:
        if not _COUNT.fullmatch(text) or int(text) >= len(paid):
            raise InvalidGameError(
                f"{text!r} is no outcome, must be 0 or the number of one of the {len(paid) - 1}"
            )
        return int(text)

    chosen = reader.rest(prod(counts), "numbers of outcomes, one for each profile", outcome)
    table: Array = np.array(paid)[np.array(chosen)].T
    return table.reshape((players, *counts), order="F")


def _is_quoted(token: str) -> bool:
    return token.startswith('"')


def _opens(token: str) -> bool:
    return token == "{"


def _is_count(token: str) -> bool:
    return _COUNT.fullmatch(token) is not None and int(token) > 0


class _Reader:
    """Goes through the tokens of a file; where one is not as it must be, says on which line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        self._places: list[int] = []
        self._next = 0
        for found in _TOKEN.finditer(text):
            if found[0] == '"':
                self._raise(found.start(), "the quoted text that begins here is not closed")
            self._tokens.append(found[0])
            self._places.append(found.start())

    @property
    def here(self) -> str:
        """The next token; empty at the end of the file."""
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self, expected: str, fits: Callable[[str], bool]) -> str:
        """Return the next token and go on, if it fits."""
        token = self.here
        if not fits(token):
            self.fail(expected)
        self._next += 1
        return token

    def texts(self, expected: str) -> int:
        """Count the quoted texts up to a closing brace, and pass that."""
        number = 0
        while self.take(expected, lambda token: token == "}" or _is_quoted(token)) != "}":
            number += 1
        return number

    def number(self, expected: str, read: Callable[[str], Any]) -> Any:
        """Read one number."""
        token = self.take(expected, lambda token: token not in {"", "{", "}"})
        return self._read(self._next - 1, token, read)

    def rest(self, required: int, what: str, read: Callable[[str], Any]) -> list[Any]:
        """Read all that is left: as many numbers as are required, no more and no fewer."""
        first, left = self._next, self._tokens[self._next :]
        entries = [self._read(first + k, token, read) for k, token in enumerate(left[:required])]
        if len(left) != required:
            end = self._places[first + required] if len(left) > required else len(self._text)
            self._raise(end, f"expected {required} {what}, found {len(left)}")
        return entries

    def _read(self, index: int, token: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(token)
        except InvalidGameError as error:
            self._raise(self._places[index], str(error))

    def fail(self, expected: str, back: int = 0) -> NoReturn:
        """Raise an error that names the line of the next token, or of one before."""
        index = self._next - back
        found = self._tokens[index] if index < len(self._tokens) else "the end of the file"
        place = self._places[index] if index < len(self._tokens) else len(self._text)
        self._raise(place, f"expected {expected}, found {found[:40]}")

    def _raise(self, place: int, message: str) -> NoReturn:
        line = self._text.count("\n", 0, place) + 1
        raise InvalidGameError(f"line {line}: {message}")
