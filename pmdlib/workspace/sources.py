"""Which modules a piece of code uses, so that it runs again when they change, and only then.

Imports are read, not executed. A package whose ``__init__`` only passes names on is looked through:
code that takes `save_figure` from `pmdlib.workspace` uses the module that defines it, and not what
else the package offers. Every other module that is imported is used whole, with all it imports.
"""

import ast
import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pmdlib.workspace.discovery import Texts, found_beside, parsed, texts_of

Use = tuple[str, str | None]
"""A module, and the name taken from it: `ALL` where any may be, `NONE` where it is only run."""

ALL, NONE = None, ""

LONGEST_NAME = 200
"""Characters of a text that may name a file."""

_MAGICS = {"run_line_magic", "run_cell_magic"}
_NO_DATA = {"executed", "__pycache__"}


@dataclass(frozen=True)
class Sources:
    """The modules that may change between two runs.

    Parameters
    ----------
    packages : tuple of Path
        Directories of importable packages, such as that of pmdlib.
    folder : Path
        Where loose modules are found: the directory of the notebooks.
    always : tuple of str
        Modules that every notebook uses, whatever it imports.
    """

    packages: tuple[Path, ...]
    folder: Path
    always: tuple[str, ...] = ()

    def used_by(self, cells: Iterable[str], values: Collection[object] = ()) -> dict[str, Path]:
        """Find the modules that the code cells of a notebook use, and those these use.

        Files beside the notebooks count as well if the code names them, or their directory.

        Parameters
        ----------
        cells : iterable of str
            Their sources; lines that only IPython understands are translated as it would.
        values : collection
            Parameters that the code is given; texts among them may name claims, too.

        Returns
        -------
        dict
            Name of a module, or of another file -> its path, by name.
        """
        tree = _with_magics(ast.parse("\n".join(_plain(cell) for cell in cells)))
        given = frozenset(value for value in values if isinstance(value, str))
        said = texts_of(tree) | Texts(given)
        while True:
            found = self._reached(tree, said)
            own = [path for module, path in found.items() if self._is_own(module)]
            more = functools.reduce(Texts.__or__, (texts_of(parsed(path)) for path in own), said)
            if more == said:
                return dict(sorted((found | self._files(said)).items()))
            said = more

    def _is_own(self, module: str) -> bool:
        """Say whether a module is loose, or of a package whose modules every notebook uses."""
        top = module.partition(".")[0]
        return top in {name.partition(".")[0] for name in self.always} or not any(
            package.name == top for package in self.packages
        )

    def _reached(self, tree: ast.Module, said: Texts) -> dict[str, Path]:
        """Follow the imports of code in which these texts are said."""
        found: dict[str, Path] = {}
        waiting = [*_imported(tree), *[(module, None) for module in self.always]]
        seen = set(waiting)
        while waiting:
            for module, path in self._modules(*waiting.pop()):
                if module not in found:
                    found[module] = path
                    inner = {(f"{module}.{name}", None) for name in found_beside(path, said)}
                    new = (_uses(path, module) | inner) - seen
                    seen |= new
                    waiting += new
        return found

    def _files(self, said: Texts) -> dict[str, Path]:
        """Find the files, other than modules and notebooks, that these texts name."""
        short = {text for text in said.whole if len(text) <= LONGEST_NAME and text.isprintable()}
        words = {word for text in short for word in re.split(r"[/\\\s]", text)}
        found = {text: self.folder / text for text in short if (self.folder / text).is_file()}
        for path in _data_below(self.folder):
            parts = path.relative_to(self.folder).parts
            if path not in found.values() and not words.isdisjoint(parts):
                found["/".join(parts)] = path
        return found

    def _modules(self, module: str, name: str | None) -> Iterator[tuple[str, Path]]:
        """Yield the modules that are meant by a name taken from a module."""
        path = self._file(module)
        if path is None:
            return
        if name and (inner := self._file(f"{module}.{name}")):
            yield from self._whole(f"{module}.{name}", inner)
        elif path.name != "__init__.py" or not _passes_on(path):
            yield module, path
        elif name != NONE:
            offered = _offered(path, module)
            for origin in [offered[name]] if name in offered else offered.values():
                yield from self._modules(*origin)

    def _whole(self, module: str, path: Path) -> Iterator[tuple[str, Path]]:
        """Yield a module that is itself taken from its package."""
        if path.name == "__init__.py" and _passes_on(path):
            yield from self._modules(module, ALL)
        else:
            yield module, path

    def _file(self, module: str) -> Path | None:
        """Return the file of a module, if it is one of those that may change."""
        top, *rest = module.split(".")
        places = [package for package in self.packages if package.name == top]
        for base in places or [self.folder / top]:
            place = base.joinpath(*rest)
            for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
                if path.is_file():
                    return path
        return None


def digest(path: Path, *, text: bool = False) -> str:
    """Digest what a module does, with the data files beside it if it belongs to a package.

    Comments, docstrings and layout do not count, unless the text is asked for (some code shows it).
    """
    total = hashlib.sha256(_said(path, text, path.stat().st_mtime_ns))
    in_package = path.with_name("__init__.py").is_file()
    for data in _data_below(path.parent) if in_package else ():
        name = data.relative_to(path.parent).as_posix()
        total.update(name.encode() + _said(data, True, data.stat().st_mtime_ns))
    return total.hexdigest()


def _data_below(folder: Path) -> list[Path]:
    """List the files in a directory, and in those below that are no packages, but no code."""
    found: list[Path] = []
    for place, inner, names in os.walk(folder):
        inner[:] = [
            name
            for name in inner
            if name[0] != "."
            and name not in _NO_DATA
            and not Path(place, name, "__init__.py").exists()
        ]
        files = (Path(place, name) for name in names if name[0] != ".")
        found += [file for file in files if file.suffix not in {".py", ".pyc", ".ipynb"}]
    return sorted(path for path in found if path.is_file())


@functools.lru_cache(maxsize=4096)
def _said(path: Path, text: bool, _: int) -> bytes:
    """Digest one file as it is now: its text, or what Python makes of it."""
    said = path.read_bytes()
    if not text and path.suffix == ".py":
        with contextlib.suppress(SyntaxError, ValueError):  # what Python cannot read is its text
            said = ast.dump(_without_docstrings(ast.parse(said))).encode()
    return hashlib.sha256(said).digest()


def _plain(cell: str) -> str:
    """Return a cell as Python; what even IPython cannot read is kept as a text."""
    try:
        ast.parse(cell)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        cell = TransformerManager().transform_cell(cell)  # type: ignore[no-untyped-call]
        try:
            ast.parse(cell)
        except SyntaxError:
            return repr(cell)
    return cell


def _with_magics(tree: ast.Module) -> ast.Module:
    """Add the code that magics such as ``%%time`` are given as a text."""
    inner: list[ast.stmt] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            text = node.args[-1] if node.args else None
            if name in _MAGICS and isinstance(text, ast.Constant) and isinstance(text.value, str):
                inner += _with_magics(ast.parse(_plain(text.value))).body
    return ast.Module([*tree.body, *inner], tree.type_ignores)


def _uses(path: Path, module: str) -> frozenset[Use]:
    """Return what a module's file imports."""
    return _read_uses(path, module, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _read_uses(path: Path, module: str, _: int) -> frozenset[Use]:
    is_package = path.name == "__init__.py"
    return frozenset(_imported(parsed(path), module, is_package=is_package))


def _imported(tree: ast.Module, module: str = "", *, is_package: bool = False) -> Iterator[Use]:
    """Yield what code imports, wherever in it, except for type checkers only."""
    whole: dict[str, str] = {}
    for node in _run(tree):
        if isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package=is_package)
            for alias in node.names:
                yield origin, ALL if alias.name == "*" else alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                yield alias.name, ALL if "." in alias.name else NONE
        elif isinstance(node, ast.Call) and (target := _imported_by_call(node)):
            yield target, ALL
    yield from _taken(tree, whole)


def _taken(tree: ast.Module, whole: dict[str, str]) -> Iterator[Use]:
    """Yield what is taken, as attributes, from modules that were imported whole."""
    chained = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chained.add(id(node.value))
            names = _chain(node)
            if names and names[0] in whole:
                module = ".".join([whole[names[0]], *names[1:-1]])
                if not names[-1].startswith("__"):
                    yield module, names[-1]
        elif isinstance(node, ast.Name) and node.id in whole and id(node) not in chained:
            yield whole[node.id], ALL  # handed on: anything of it may be used


def _chain(node: ast.expr) -> list[str]:
    """Return the names in ``a.b.c``; nothing for other expressions."""
    if isinstance(node, ast.Name):
        return [node.id]
    inner = _chain(node.value) if isinstance(node, ast.Attribute) else []
    return [*inner, node.attr] if inner and isinstance(node, ast.Attribute) else []


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _chain(node.test) == ["TYPE_CHECKING"]:
            yield from _run(ast.Module(node.orelse, []))
            continue
        yield node
        yield from _run(node)


def _origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Return the absolute name of the module that an import takes from."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _imported_by_call(node: ast.Call) -> str | None:
    """Return the module in ``import_module("...")`` or ``__import__("...")``."""
    if _chain(node.func)[-1:] not in (["import_module"], ["__import__"]) or not node.args:
        return None
    value = node.args[0]
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _passes_on(path: Path) -> bool:
    """Say whether an ``__init__`` holds nothing but a docstring, imports and ``__all__``."""
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (
            isinstance(node, ast.Assign)
            and all(isinstance(each, ast.Name) and each.id == "__all__" for each in node.targets)
        )
        for node in parsed(path).body
    )


def _offered(path: Path, module: str) -> dict[str, Use]:
    """Return what a package passes on: name -> where it comes from."""
    found: dict[str, Use] = {}
    for node in parsed(path).body:
        if isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package=True)
            found |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove docstrings, also those under assignments: text that does nothing."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                kept = [each for each in block if not _is_text(each)]
                setattr(node, field, kept)
    return tree


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
