"""Which modules a package finds by itself, and which of them a piece of code can mean.

A package whose ``__init__`` looks into its ``__path__`` takes in the modules beside it that have
``CLAIMS`` or ``GAMES``. Of a claim nothing is used before it is asked for by its name: a module of
claims counts only for code that says one of their names. Sources are read, not executed.
"""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SHORTEST = 3
"""Characters that a piece of an f-string must have to be taken for a piece of a name."""


class Texts(NamedTuple):
    """The texts in a piece of code: whole ones, and pieces of f-strings."""

    whole: frozenset[str]
    pieces: frozenset[str]

    def may_say(self, name: str) -> bool:
        """Say whether the code can name this."""
        return any(name in text for text in self.whole) or any(
            piece in name for piece in self.pieces
        )


def texts_of(tree: ast.AST) -> Texts:
    """Gather the texts in a piece of code."""
    pieces = {
        text
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for text in _constants(node.values)
        if len(text) >= SHORTEST
    }
    return Texts(frozenset(_constants(ast.walk(tree))), frozenset(pieces))


def found_beside(path: Path, said: Texts) -> list[str]:
    """List the modules that a package finds by itself and that code with these texts may use.

    Parameters
    ----------
    path : Path
        A module's file; only an ``__init__`` that mentions ``__path__`` finds others.
    said : Texts
        What the code says.
    """
    if path.name != "__init__.py" or not _looks_around(path, path.stat().st_mtime_ns):
        return []
    found = []
    for inner in sorted([*path.parent.glob("[!_]*.py"), *path.parent.glob("*/__init__.py")]):
        offer = _offer(inner, inner.stat().st_mtime_ns)
        if offer is not None and (not offer or any(map(said.may_say, offer))):
            found.append(inner.stem if inner.parent == path.parent else inner.parent.name)
    return found


@functools.lru_cache(maxsize=1024)
def _looks_around(path: Path, _: int) -> bool:
    tree = ast.parse(path.read_bytes())
    return any(isinstance(node, ast.Name) and node.id == "__path__" for node in ast.walk(tree))


@functools.lru_cache(maxsize=1024)
def _offer(path: Path, _: int) -> frozenset[str] | None:
    """Return the names of a module's claims; none if they cannot be read, or it has games.

    None in place of a set if it offers nothing.
    """
    tree = ast.parse(path.read_bytes())
    kinds = {name for node in tree.body for name in _assigned(node)} & {"CLAIMS", "GAMES"}
    if not kinds:
        return None
    if "GAMES" in kinds:  # what goes through all games means these as well
        return frozenset()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [k.value for call in calls for k in call.keywords if k.arg == "name"]
    literal = all(isinstance(value, ast.Constant) for value in named)
    return frozenset(_constants(named)) if literal else frozenset()


def _assigned(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _constants(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the texts among some nodes."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
