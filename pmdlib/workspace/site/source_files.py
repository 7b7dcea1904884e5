"""Which source files the site shows, and the line at which each claim is stated."""

import ast
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pmdlib
from pmdlib.workspace.site.links import source_page

PACKAGE = Path(pmdlib.__file__).parent


def library_files() -> dict[str, Path]:
    """Name the page of every module of the library, and its file."""
    return {
        source_page(path.relative_to(PACKAGE.parent).as_posix()): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def claim_code(claims: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Path]]:
    """Find where each claim is stated.

    Parameters
    ----------
    claims : mapping
        The registry: name -> claim.

    Returns
    -------
    dict
        Claim -> address on the site, page and line; without those whose file is not found.
    dict
        Page -> file, of all these files and of the library.
    """
    files = library_files()
    pages = {path: page for page, path in files.items()}
    stated = {
        name: (path, line)
        for path in sorted((PACKAGE / "claims").glob("*.py"))
        for name, line in stated_claims(path).items()
    }
    addresses = {}
    for name, claim in claims.items():
        if name not in stated:
            path = _file_of(getattr(claim, "compare", None))
            if path is None:
                continue
            stated[name] = (path, stated_claims(path).get(name, 1))
        path, line = stated[name]
        page = pages.setdefault(path, source_page(f"elsewhere/{path.stem}"))
        files[page] = path
        addresses[name] = f"{page}.html#L-{line}"
    return addresses, files


def stated_claims(path: Path) -> dict[str, int]:
    """Find each ``Claim(name="..", ..)`` in a file, and its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        str(word.value.value): call.lineno
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "Claim"
        for word in call.keywords
        if word.arg == "name" and isinstance(word.value, ast.Constant)
    }


def _file_of(function: Any) -> Path | None:
    """Return the file that a function is written in, if it is known."""
    try:
        return Path(inspect.getfile(inspect.unwrap(function)))
    except TypeError:
        return None
