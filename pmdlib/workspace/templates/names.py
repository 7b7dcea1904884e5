"""What new claims, games, notebooks and workspaces may be called."""

import keyword
import re
from collections.abc import Iterable
from pathlib import Path

from pmdlib.workspace.files import WorkspaceError, find_notebooks

LONGEST = 32
"""Characters of a name: lines of the templates stay within their length."""

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NUMBERED = re.compile(r"([0-9]{2})-(.+)")


def check_name(name: str, what: str) -> str:
    """Return the name of a claim, game, notebook or workspace if it is one.

    Raises
    ------
    WorkspaceError
        Unless it consists of lower-case words and digits joined by hyphens, begins with a letter,
        is not too long, and is no word of Python.
    """
    if not _KEBAB.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise WorkspaceError(
            f"{name!r} cannot name a {what}: give lower-case words and digits joined by hyphens, "
            f"such as 'my-{what}', of at most {LONGEST} characters and no word of Python"
        )
    return name


def check_new(name: str, what: str, known: Iterable[str]) -> str:
    """Return a name that `check_name` allows and nothing else has.

    Raises
    ------
    WorkspaceError
        If it cannot be a name, or is taken.
    """
    if check_name(name, what) in known:
        raise WorkspaceError(f"there is a {what} {name!r} already: choose another name")
    return name


def module_name(name: str) -> str:
    """Return the name of the module for a claim or game."""
    return name.replace("-", "_")


def title(name: str) -> str:
    """Return a heading: words, the first with a capital."""
    return name.replace("-", " ").capitalize()


def notebook_name(name: str, root: Path) -> str:
    """Return the full name, NN-name, of a notebook that may be there already.

    Parameters
    ----------
    name : str
        With its number, or without: then that of the notebook of this name, or else the next.
    root : Path
        The workspace.

    Raises
    ------
    WorkspaceError
        If it cannot be a name, its number is taken by another notebook, or there are 99.
    """
    numbered = _NUMBERED.fullmatch(name)
    words = check_name(numbered[2] if numbered else name, "notebook")
    there = {path.stem[:2]: path.stem for path in find_notebooks(root)}
    if numbered is None:
        same = [stem for stem in there.values() if stem[3:] == words]
        if same:
            return same[0]
        number = max(map(int, there), default=0) + 1
        if number > 99:
            raise WorkspaceError(f"{root / 'notebooks'} has no number left for {name!r}")
        return f"{number:02d}-{words}"
    if there.get(numbered[1], name) != name:
        raise WorkspaceError(f"the number of {name!r} is taken by {there[numbered[1]]!r}")
    return name
