"""Named games with a module of their own; `pmdlib new game` writes one.

A module has ``GAMES``, a dictionary: name -> function that needs no arguments and returns a
`TabularGame`. Those that are no Markov potential games it also lists in ``NOT_POTENTIAL``. The
catalogue finds every module by itself.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from pkgutil import iter_modules

from pmdlib.errors import InvalidGameError
from pmdlib.games.tabular import TabularGame


def collect(
    package: str, directories: Iterable[str]
) -> tuple[dict[str, Callable[[], TabularGame]], tuple[str, ...]]:
    """Return the games of all modules of a package, and the names of those without a potential.

    Parameters
    ----------
    package : str
        Its full name.
    directories : iterable of str
        Its ``__path__``.

    Returns
    -------
    dict
        Name -> function.
    tuple of str

    Raises
    ------
    InvalidGameError
        If a name is given twice.
    """
    games: dict[str, Callable[[], TabularGame]] = {}
    without: list[str] = []
    for home in sorted(module.name for module in iter_modules(directories)):
        module = import_module(f"{package}.{home}")
        for name, make in getattr(module, "GAMES", {}).items():
            if name in games:
                raise InvalidGameError(f"the game {name!r} is defined twice in {package}")
            games[name] = make
        without += getattr(module, "NOT_POTENTIAL", ())
    return games, tuple(without)


GAMES, NOT_POTENTIAL = collect(__name__, __path__)
