"""Pages of the library: one for each room, written by Sphinx from the docstrings."""

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pmdlib
from pmdlib.workspace.site.source_files import PACKAGE

ROOMS = ("arithmetic", "games", "analysis", "learning", "claims", "workspace")
"""From the bottom to the top: imports run downwards only."""


def api_pages() -> dict[str, str]:
    """Return the pages of the library: name -> Markdown."""
    rooms = {f"api/{room}": _room(room) for room in ROOMS}
    return {"api/index": _index()} | rooms


def _index() -> str:
    """Return the page of the public names."""
    rows = []
    for name in sorted(pmdlib.__all__, key=str.lower):
        value = getattr(pmdlib, name)
        path = f"{value.__module__}.{name}" if hasattr(value, "__name__") else ""
        about = _first_line(value) if path else "Every claim by name, a dictionary."
        link = f"{{py:obj}}`{name} <{path}>`" if path else f"`{name}`"
        rows.append(f"| {link} | {about} |")
    contents = "\n".join(ROOMS)
    return (
        "# Library\n\n`import pmdlib as pmd` gives the names below. Everything else is imported "
        "from its room; rooms use those above them in the list, never those below.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{contents}\n```\n\n"
        "| name | what it is or does |\n| --- | --- |\n" + "\n".join(rows) + "\n"
    )


def _first_line(value: Any) -> str:
    return inspect.cleandoc(value.__doc__ or "").split("\n")[0].replace("|", "\\|")


def _room(room: str) -> str:
    """Return the page of one room: its modules in the order of their names."""
    text = [f"# pmdlib.{room}", "", "```{eval-rst}", *_automodule(f"pmdlib.{room}"), "```", ""]
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        module = ".".join(parts)
        if module == f"pmdlib.{room}" or not _has_content(path):
            continue
        text += [f"## {module.removeprefix(f'pmdlib.{room}.')}", "", "```{eval-rst}"]
        text += [*_automodule(module), "```", ""]
    return "\n".join(text)


def _has_content(path: Path) -> bool:
    """Say whether a module says or does anything."""
    return bool(ast.parse(path.read_text(encoding="utf-8")).body)


def _automodule(module: str) -> list[str]:
    """Return the directive for a module: what it defines itself, in its own order."""
    directive = f"""\
        .. automodule:: {module}
           :members:
           :ignore-module-all:
           :member-order: bysource"""
    return textwrap.dedent(directive).split("\n")
