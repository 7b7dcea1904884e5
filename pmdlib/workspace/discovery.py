"""Which modules a package finds by itself, and which of them a piece of code can mean.

A package whose ``__init__`` looks into its ``__path__`` takes in the modules beside it that have
``CLAIMS`` or ``GAMES``. Of a claim nothing is used before it is asked for by its name: a module of
claims counts only for code that says one of their names. Sources are read, not executed.
"""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 3
"""Characters that a piece of a longer text must have to be taken for a piece of a name."""

_FIELD = re.compile(r"%[sd]|\{\w*\}")
"""Where a text leaves room for another."""


@dataclass(frozen=True)
class Texts:
    """The texts in a piece of code.

    Parameters
    ----------
    whole : frozenset of str
        As they stand.
    pieces : frozenset of str
        Of which longer ones are made.
    goes_through : bool
        Whether the code goes through all claims, and so names each.
    """

    whole: frozenset[str] = frozenset()
    pieces: frozenset[str] = frozenset()
    goes_through: bool = False

    def __or__(self, other: "Texts") -> "Texts":
        """Return the texts of both."""
        return Texts(
            self.whole | other.whole,
            self.pieces | other.pieces,
            self.goes_through or other.goes_through,
        )

    def may_say(self, name: str) -> bool:
        """Say whether the code can name this."""
        return (
            self.goes_through
            or any(name in text for text in self.whole)
            or any(piece in name for piece in self.pieces)
        )


def texts_of(tree: ast.AST) -> Texts:
    """Gather the texts in a piece of code."""
    pieces = {
        piece.strip()
        for node in ast.walk(tree)
        for text in _constants(_joined(node))
        for piece in _FIELD.split(text)
        if len(piece.strip()) >= SHORTEST
    }
    return Texts(
        frozenset(_constants(ast.walk(tree))), frozenset(pieces), _goes_through_claims(tree)
    )


def _joined(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of which an expression makes a text."""
    if isinstance(node, ast.JoinedStr):
        yield from node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        yield from (node.left, node.right)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "format":
            yield node.func.value
        elif node.func.attr == "join":
            yield from (inner for each in node.args for inner in ast.walk(each))


def _goes_through_claims(tree: ast.AST) -> bool:
    """Say whether code takes the registry of claims as a whole, not one claim by its name."""
    one_by_one: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            one_by_one |= set(map(id, node.comparators))
        elif isinstance(node, ast.Subscript | ast.Attribute) and (
            getattr(node, "attr", None) not in {"keys", "values", "items"}
        ):
            one_by_one.add(id(node.value))
        elif isinstance(node, ast.alias) and node.name == "claims" and node.asname:
            return True  # it may be meant wherever the other name stands
    return any(
        _last_name(node) == "claims" and id(node) not in one_by_one
        for node in ast.walk(tree)
        if isinstance(getattr(node, "ctx", None), ast.Load)
    )


def _last_name(node: ast.AST) -> str | None:
    """Return the name, or the attribute, that a node is."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def parsed(path: Path) -> ast.Module:
    """Read a module; of one that Python cannot read nothing is found, and its importer is told."""
    return _parse(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _parse(path: Path, _: int) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


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
    inside = [*path.parent.glob("*.py"), *path.parent.glob("*/__init__.py")]
    for inner in sorted(set(inside) - {path}):
        offer = _offer(inner, inner.stat().st_mtime_ns)
        if offer is not None and (not offer or any(map(said.may_say, offer))):
            found.append(inner.stem if inner.parent == path.parent else inner.parent.name)
    return found


@functools.lru_cache(maxsize=1024)
def _looks_around(path: Path, _: int) -> bool:
    tree = parsed(path)
    return any(isinstance(node, ast.Name) and node.id == "__path__" for node in ast.walk(tree))


@functools.lru_cache(maxsize=1024)
def _offer(path: Path, _: int) -> frozenset[str] | None:
    """Return the names of a module's claims; none if they cannot be read, or it has games.

    None in place of a set if it offers nothing.
    """
    tree = parsed(path)
    kinds = {name for node in tree.body for name in (*_assigned(node), *_imported(node))}
    kinds &= {"CLAIMS", "GAMES"}
    if not kinds:
        return None
    passed_on = {name for node in tree.body for name in _imported(node)}
    if "GAMES" in kinds or "CLAIMS" in passed_on:  # what goes through all games means these as well
        return frozenset()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        k.value
        for call in calls
        for k in call.keywords
        if k.arg == "name" or (k.arg is None and _last_name(call.func) == "Claim")
    ]
    literal = all(isinstance(value, ast.Constant) for value in named)
    return frozenset(_constants(named)) if literal else frozenset()


def _imported(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement takes from another module."""
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)


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
