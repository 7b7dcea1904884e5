"""The registry of claims: those of this package, and those that other distributions offer."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules

from pmdlib import plugins
from pmdlib.claims.claim import Claim
from pmdlib.errors import PmdError


def collect(package: str, directories: Iterable[str]) -> list[Claim]:
    """Return the claims of all modules of a package that have ``CLAIMS``.

    Parameters
    ----------
    package : str
        Its full name.
    directories : iterable of str
        Its ``__path__``.

    Returns
    -------
    list of Claim
        In the order of the notebooks that show them, then of the modules' names.

    Raises
    ------
    PmdError
        If two claims have one name.
    """
    found: dict[str, Claim] = {}
    homes: dict[str, str] = {}
    for name in sorted(module.name for module in iter_modules(directories)):
        for claim in getattr(import_module(f"{package}.{name}"), "CLAIMS", ()):
            if claim.name in found:
                raise PmdError(
                    f"the claim {claim.name!r} is defined twice, in {homes[claim.name]} and {name}"
                )
            found[claim.name], homes[claim.name] = claim, name
    return sorted(found.values(), key=lambda claim: claim.notebook)


class Registry(Mapping[str, Claim]):
    """Claims by name. A claim that is built in is found without a look at other distributions.

    Parameters
    ----------
    built_in : iterable of Claim
        They come first; then what other distributions offer, in the order of their notebooks.
    """

    def __init__(self, built_in: Iterable[Claim]) -> None:
        self._built_in = {claim.name: claim for claim in built_in}

    def __getitem__(self, name: str) -> Claim:
        if name in self._built_in:
            return self._built_in[name]
        claim: Claim = self._offered()[name].value
        return claim

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        offers = self._offered()
        yield from sorted(offers, key=lambda name: offers[name].value.notebook)

    def __len__(self) -> int:
        return len(self._built_in) + len(self._offered())

    def __repr__(self) -> str:
        return f"Registry({list(self)})"

    def origin(self, name: str) -> str | None:
        """Return the distribution that a claim comes from; None if built in, or unknown."""
        if name in self._built_in:
            return None
        offer = self._offered().get(name)
        return None if offer is None else offer.origin

    def _offered(self) -> dict[str, plugins.Offer]:
        return plugins.claims(Claim, self._built_in)
