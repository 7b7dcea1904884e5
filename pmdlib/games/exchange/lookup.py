"""The games that have a name: the catalogue's, the broken ones, those of other distributions."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pmdlib import plugins
from pmdlib.errors import PmdError
from pmdlib.games import broken, catalogue
from pmdlib.games.game import MarkovGame

#: Games of the catalogue that are no tables, or that break an assumption; with those of
#: `CATALOGUE` they are all that have a name.
_OTHERS = (
    catalogue.half_face_team,
    catalogue.one_or_two,
    catalogue.rider_team,
    catalogue.two_roads,
    catalogue.commute,
    broken.towards_pennies,
    broken.towards_rock_paper_scissors,
    broken.uneven_sides,
    broken.all_but_one_pair,
    broken.copied_row,
    broken.better_row,
)

_BUILT_IN: Mapping[str, Callable[..., MarkovGame]] = {
    **catalogue.CATALOGUE,
    **{function.__name__.replace("_", "-"): function for function in _OTHERS},
}


def game_names() -> Mapping[str, Callable[..., MarkovGame]]:
    """Return the functions that make the named games, by name."""
    return {**_BUILT_IN, **plugins.games(_BUILT_IN)}


def catalogue_game(name: str, **arguments: Any) -> MarkovGame:
    """Return a game by its name.

    Parameters
    ----------
    name : str
        As in `game_names`; underscores are as good as hyphens.
    **arguments
        Of its function, which has defaults for all of them.

    Returns
    -------
    MarkovGame

    Raises
    ------
    PmdError
        If no game has that name, with those that are nearest; or for arguments that it does not
        take.
    """
    own = name.replace("_", "-")
    make = _BUILT_IN.get(own) or game_names().get(own)
    if make is None:
        games = game_names()
        near = get_close_matches(own, games)
        hint = f"did you mean {' or '.join(near)}" if near else f"there are {', '.join(games)}"
        left_out = "".join(f"; left out: {text}" for text in plugins.problems(plugins.GAMES))
        raise PmdError(f"no game {name!r}; {hint}{left_out}")
    try:
        game = make(**arguments)
    except TypeError as error:
        raise PmdError(f"game {name!r} cannot be made: {error}") from error
    if not isinstance(game, MarkovGame):
        raise PmdError(f"game {name!r} is a {type(game).__name__}, must be a MarkovGame")
    return game
