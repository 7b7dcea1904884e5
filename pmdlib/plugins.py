"""What other distributions add: games, mirror maps and claims, found through entry points.

A distribution names what it offers in one of three groups:

- "pmdlib.games": a function that needs no arguments and returns a game;
- "pmdlib.mirror_maps": a mirror map, or a class that makes one without arguments;
- "pmdlib.claims": a claim, or several in a tuple.

In place of one of these an entry point may name a module, which holds several: ``GAMES`` and
``MIRROR_MAPS`` are dictionaries by name, ``CLAIMS`` is a tuple.

Nothing is imported before a name is asked for that is not built in. What is broken is left out,
with a `PluginWarning` and an entry in `problems`; it never keeps the rest from being found.
"""

import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from inspect import isclass, signature
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pmdlib.errors import PmdError

GAMES, MIRROR_MAPS, CLAIMS = "pmdlib.games", "pmdlib.mirror_maps", "pmdlib.claims"
"""The groups of entry points."""


class PluginWarning(UserWarning):
    """A distribution offers something that cannot be used."""


class Offer(NamedTuple):
    """One thing that a distribution offers, under its name."""

    name: str
    value: Any
    origin: str


_problems: dict[str, list[str]] = {}


def games(built_in: Container[str] = ()) -> dict[str, Callable[[], Any]]:
    """Return the functions that make the games of other distributions, by name.

    Parameters
    ----------
    built_in : container of str
        Names that are taken: an offer under one of them is refused.

    Returns
    -------
    dict
        Name -> function; what it returns has not been looked at.
    """
    return {offer.name: offer.value for offer in _accepted(GAMES, built_in)}


def mirror_maps(kind: type, built_in: Container[str] = ()) -> dict[str, Any]:
    """Return the mirror maps of other distributions, by name.

    Parameters
    ----------
    kind : type
        What each must be an instance of.
    built_in : container of str
        Names that are taken: an offer under one of them is refused.

    Returns
    -------
    dict
        Name -> mirror map.
    """
    return {offer.name: offer.value for offer in _accepted(MIRROR_MAPS, built_in, kind)}


def claims(kind: type, built_in: Container[str] = ()) -> dict[str, Offer]:
    """Return the claims of other distributions, by name, with their origins.

    Parameters
    ----------
    kind : type
        What each must be an instance of.
    built_in : container of str
        Names that are taken: an offer under one of them is refused.

    Returns
    -------
    dict
        Name -> `Offer`.
    """
    return {offer.name: offer for offer in _accepted(CLAIMS, built_in, kind)}


def origin(claim: str) -> str | None:
    """Return the distribution that a claim comes from, as in "my-lab 0.1"; None if built in."""
    registry = import_module("pmdlib.claims").claims
    found: str | None = registry.origin(claim)
    return found


def problems(group: str) -> tuple[str, ...]:
    """Return what could not be used of the distributions' offers, as far as they were looked at."""
    return tuple(_problems.get(group, ()))


def distributions() -> dict[str, str]:
    """Return the versions of the distributions that offer something, by name; none is imported."""
    dists = [point.dist for point in _points() if point.dist is not None]
    return {dist.name: dist.version for dist in dists}


def modules() -> dict[str, Path]:
    """Return the modules that entry points name; none is imported.

    Returns
    -------
    dict
        Name -> directory of the package that it belongs to, or would be if it were one.
    """
    found: dict[str, Path] = {}
    for point in _points():
        spec = find_spec(point.module.partition(".")[0])
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin).resolve()
            package = origin.name == "__init__.py"
            found[point.module] = origin.parent if package else origin.with_suffix("")
    return dict(sorted(found.items()))


def _points() -> list[EntryPoint]:
    """Return the entry points of all groups."""
    return [point for group in (CLAIMS, GAMES, MIRROR_MAPS) for point in entry_points(group=group)]


def forget() -> None:
    """Look afresh at what is installed when it is next asked for."""
    _offers.cache_clear()
    _problems.clear()


def _accepted(group: str, taken: Container[str], kind: type = object) -> list[Offer]:
    """Return the offers that can be used; tell of each other one, once."""
    accepted: dict[str, Offer] = {}
    for label, offer in _offers(group):
        if not isinstance(offer.value, kind):
            _tell(group, f"{label}: {offer.value!r} is no {kind.__name__}")
        elif offer.name in taken:
            _tell(group, f"{label}: the name {offer.name!r} is taken by pmdlib itself")
        elif offer.name in accepted:
            other = accepted[offer.name].origin
            _tell(group, f"{label}: the name {offer.name!r} is taken by {other}")
        else:
            accepted[offer.name] = offer
    return list(accepted.values())


@cache
def _offers(group: str) -> tuple[tuple[str, Offer], ...]:
    """Load what all distributions offer; each with words that say where it stands."""
    found: list[tuple[str, Offer]] = []
    points = [(_describe(point.dist), point) for point in entry_points(group=group)]
    for source, point in sorted(points, key=lambda pair: (pair[0], pair[1].name)):
        label = f"{source}, entry point {point.name!r} of {group} ({point.value})"
        try:
            named = dict(_read(group, point))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever its code may do)
            _tell(group, f"{label}: {type(error).__name__}: {error}")
        else:
            found += [(label, Offer(name, value, source)) for name, value in named.items()]
    return tuple(found)


def _describe(distribution: Distribution | None) -> str:
    if distribution is None:
        return "an unknown distribution"
    return f"{distribution.name} {distribution.version}"


def _read(group: str, point: EntryPoint) -> Iterable[tuple[str, Any]]:
    """Load an entry point; return what it offers with the names.

    Raises
    ------
    PmdError
        If it is not what its group asks for. Its own code may raise anything.
    """
    value = point.load()
    attribute = group.removeprefix("pmdlib.").upper()
    if isinstance(value, ModuleType):
        if not hasattr(value, attribute):
            raise PmdError(f"the module has no {attribute}")
        value = getattr(value, attribute)
    if group == CLAIMS:
        several = value if isinstance(value, tuple | list) else (value,)
        return [(getattr(claim, "name", point.name), claim) for claim in several]
    named = value if isinstance(value, Mapping) else {point.name: value}
    if group == GAMES:
        return [(name, _maker(name, make)) for name, make in named.items()]
    return [(name, _mirror_map(name, made)) for name, made in named.items()]


def _maker(name: str, make: Any) -> Any:
    """Check that a game can be made without arguments."""
    if not callable(make):
        raise PmdError(f"{name!r} is {make!r}, must be a function that returns a game")
    try:
        signature(make).bind()
    except TypeError as error:
        raise PmdError(f"{name!r} must need no arguments: {error}") from None
    return make


def _mirror_map(name: str, value: Any) -> Any:
    """Make the map where its class is given, and check that it goes by its name."""
    mirror_map = value() if isclass(value) else value
    own = getattr(mirror_map, "name", None)
    if own != name:
        raise PmdError(f"the mirror map offered as {name!r} calls itself {own!r}")
    return mirror_map


def _tell(group: str, problem: str) -> None:
    known = _problems.setdefault(group, [])
    if problem not in known:
        known.append(problem)
        warnings.warn(f"left out: {problem}", PluginWarning, stacklevel=2)
