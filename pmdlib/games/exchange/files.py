"""Reading and writing games, in the format that the suffix of the path names."""

from os import PathLike
from pathlib import Path
from typing import Any

from pmdlib.errors import InvalidGameError, PmdError
from pmdlib.files import write_atomically
from pmdlib.games.exchange.nfg import read_nfg, write_nfg
from pmdlib.games.exchange.npz import read_npz, write_npz
from pmdlib.games.game import MarkovGame

SUFFIXES = (".npz", ".nfg")


def load_game(
    path: str | PathLike[str], *, exact: bool = False, discount: Any = None
) -> MarkovGame:
    """Read a game from a file: .npz, or .nfg as Gambit writes it.

    A .npz archive holds a table, or several, under these names (and no others):

    - ``rewards`` (S, A_1, .., A_N): one for all agents, identical interest; or ``rewards_0``,
      ``rewards_1``, .. one for each agent;
    - ``kernel`` (S, A_1, .., A_N, S), or (S, S), and ``discount``: needed unless S = 1;
    - ``initial`` (S,) and ``potential`` (S, A_1, .., A_N), if there are any.

    So ``np.savez("mine.npz", rewards_0=r, rewards_1=q, kernel=p, discount=0.9)`` writes a game.
    Numbers are floats or integers; or text such as "1/3", and then the game is exact. With
    ``kind`` "congestion" or "team" the tables are those of `CongestionGame` and `TeamGame`:
    ``payoffs``, ``agents`` (their number, or the sizes of populations) with, unless everyone picks
    one facility, ``actions`` (how many each population has) and ``uses`` (ΣA, F), 1 where an
    action uses a facility; ``kernel``, ``discount``, ``initial``. With "count", ``payoffs`` alone.

    A .nfg file holds the payoffs of one stage. If all players are paid alike, the game is one of
    identical interest; other potentials are found by `is_markov_potential_game`.

    Parameters
    ----------
    path : path
        Its suffix names the format.
    exact : bool
        Return a game over rationals: those that a .nfg file writes (1/3, or 0.1 as one tenth), or
        those that the floats of a .npz archive are. Otherwise numbers of a .nfg file are rounded
        to the nearest floats, and a .npz archive gives what it holds.
    discount : float in [0, 1), optional
        Of a game from a .nfg file, which says none; 0 by default.

    Returns
    -------
    MarkovGame
        A `TabularGame`, or what a .npz archive says.

    Raises
    ------
    InvalidGameError
        If the content is no game, naming the file, the line or the key, and what was required.
        Nothing that an archive could have executed (a pickle) is ever loaded.
    PmdError
        If there is no such file, or the suffix names no format.

    Examples
    --------
    An archive that NumPy wrote, of one state and two agents who share a payoff:

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", rewards=np.array([[[1.0, 0.0], [0.0, 2.0]]]))
    ...     game = pmd.load_game(f"{folder}/mine.npz")
    >>> game.num_actions, game.identical_interest
    ((2, 2), True)
    """
    path = Path(path)
    suffix = _suffix(path)
    try:
        if suffix == ".nfg":
            return read_nfg(
                path.read_bytes(), exact=exact, discount=0.0 if discount is None else discount
            )
        if discount is not None:
            raise PmdError("a discount is for .nfg files only: a .npz archive holds its own")
        game: MarkovGame = read_npz(path, exact=exact)
        return game
    except OSError as error:
        raise PmdError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise InvalidGameError(f"{path}: the game does not fit into memory") from error
    except PmdError as error:
        raise type(error)(f"{path}: {error}") from error


def save_game(game: MarkovGame, path: str | PathLike[str]) -> None:
    """Write a game to a file: .npz (any game), or .nfg (the payoffs of a game of one state).

    The file is written whole or not at all, and the same game gives the same bytes. From a .npz
    archive `load_game` returns the same game: its class, and its numbers bit for bit, be they
    floats or rationals (bundles of facilities come sorted). A .nfg file keeps payoffs exactly, and
    nothing else: no discount, and no potential.

    Parameters
    ----------
    game : TabularGame, CongestionGame, TeamGame or CountGame
    path : path
        Its suffix names the format. Its folder is made where missing.

    Raises
    ------
    InvalidGameError
        If the format cannot hold the game: enclosures and symbols, several states in .nfg.
    PmdError
        If the file cannot be written, or the suffix names no format.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pmdlib.games import catalogue
    >>> with TemporaryDirectory() as folder:
    ...     pmd.save_game(catalogue.isolated(), f"{folder}/isolated.nfg")
    ...     pmd.load_game(f"{folder}/isolated.nfg").num_actions
    (2, 2)
    """
    path = Path(path)
    content = write_nfg(game, path.stem) if _suffix(path) == ".nfg" else write_npz(game)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise PmdError(f"{path} cannot be written: {error.strerror or error}") from error


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PmdError(f"{path} must end in {' or '.join(SUFFIXES)}, which name the format")
    return suffix
