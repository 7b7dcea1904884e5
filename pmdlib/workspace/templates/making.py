"""What `pmdlib new` makes: claims, notebooks and games with their tests, and whole workspaces."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pmdlib.workspace.files import WorkspaceError, find_notebooks
from pmdlib.workspace.templates.cells import (
    Stated,
    as_text,
    new_notebook,
    read_notebook,
    with_claim,
)
from pmdlib.workspace.templates.filling import fill, write_all
from pmdlib.workspace.templates.names import check_name, check_new, module_name, notebook_name
from pmdlib.workspace.templates.places import Places

FIRST_CLAIM, FIRST_GAME = "left-to-gain", "stag-hunt"
"""What a new workspace begins with: the templates, under the names of what they are."""


@dataclass(frozen=True)
class Draft:
    """Files that are to be written together.

    Attributes
    ----------
    new : dict
        File -> content; none may exist.
    changed : dict
        File -> new content; each exists.
    claim, notebook : str
        What is to be verified; empty if there is none.
    """

    new: dict[Path, str | bytes]
    changed: dict[Path, str] = field(default_factory=dict)
    claim: str = ""
    notebook: str = ""

    def write(self) -> None:
        """Write everything or nothing; WorkspaceError if a new file exists."""
        write_all(self.new, self.changed)


@dataclass(frozen=True)
class Planned:
    """The template's claim under its new name, before there is a module of it."""

    name: str
    tag: str = "derived"
    label: str = "what is left to gain"
    statement: str = r"\mathrm{gap}(\pi) \le \frac{\phi_{\max}}{1-\gamma} - \Phi^\pi(\rho)"


def new_claim(
    places: Places, name: str, known: Mapping[str, Any], notebook: str | None = None
) -> Draft:
    """Draft a claim, its test, and its notebook: a new one, or a section in one that is there.

    Parameters
    ----------
    places : Places
    name : str
    known : mapping
        The registry of claims.
    notebook : str, optional
        With or without its number; named after the claim by default.

    Raises
    ------
    WorkspaceError
        If a name will not do, or the notebook cannot take a claim.
    """
    check_new(name, "claim", known)
    shown = notebook_name(notebook or name, places.root)
    names = {"my-claim": name, "00-my-notebook": shown}
    modules: dict[Path, str | bytes] = {
        places.claim(name): fill("claim.py", names),
        places.test("claims", name): fill("test_claim.py", names),
    }
    path = places.notebook(shown)
    if path.exists():
        changed = as_text(with_claim(read_notebook(path), shown, Planned(name)))
        return Draft(modules, {path: changed}, claim=name, notebook=shown)
    modules[path] = new_notebook(shown, [Planned(name)])
    return Draft(modules, claim=name, notebook=shown)


def notebook_for(places: Places, name: str, known: Mapping[str, Any]) -> Draft:
    """Draft a notebook for the claims that name it; if none does, with a claim of its own.

    Raises
    ------
    WorkspaceError
        If the name will not do, or there is such a notebook.
    """
    waiting = {claim.notebook for claim in known.values() if claim.notebook[3:] == name}
    shown = notebook_name(min(waiting, default=name), places.root)
    path = places.notebook(shown)
    if path.exists():
        raise WorkspaceError(f"{path} exists: nothing was written")
    claims: list[Stated] = [claim for claim in known.values() if claim.notebook == shown]
    if not claims:
        return new_claim(places, shown[3:], known, shown)
    return Draft({path: new_notebook(shown, claims)}, claim=claims[0].name, notebook=shown)


def new_game(places: Places, name: str, known: Mapping[str, Any]) -> Draft:
    """Draft a named game and its test; ``known`` are the games that there are."""
    check_new(name, "game", known)
    names = {"my-game": name}
    test = fill("test_game.py", names)
    return Draft({places.game(name): fill("game.py", names), places.test("games", name): test})


def new_workspace(directory: Path, *, with_notebooks: bool = False) -> Draft:
    """Draft a workspace beside pmdlib: a package, its first claim and game, tests, a notebook.

    Parameters
    ----------
    directory : Path
        Its name is that of the distribution; it must not exist, or be empty.
    with_notebooks : bool
        Copy the notebooks of pmdlib too.

    Raises
    ------
    WorkspaceError
        If the directory holds something, or its name will not do or is taken by a package.
    """
    root = directory.resolve()
    name = check_name(root.name, "workspace")
    package = module_name(name)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WorkspaceError(f"{root} exists and is no empty directory: nothing was written")
    if find_spec(package) is not None:
        raise WorkspaceError(f"there is a package {package!r} already: choose another name")
    copies = shipped_notebooks() if with_notebooks else []
    places = Places(root, root / package / "claims", root / package / "games")
    shown = f"{len(copies) + 1:02d}-{FIRST_CLAIM}"
    names = {"my-workspace": name, "my_package": package, "my-claim": FIRST_CLAIM}
    new: dict[Path, str | bytes] = {
        root / "README.md": fill("workspace/README.md", names),
        root / "pyproject.toml": fill("workspace/pyproject.toml", names),
        root / ".gitignore": fill("workspace/gitignore", names),
        root / package / "__init__.py": f'"""The claims and games of {name}."""\n',
        places.claims / "__init__.py": fill("workspace/claims.py", names),
        places.games / "__init__.py": fill("workspace/games.py", names),
    }
    claim = new_claim(places, FIRST_CLAIM, {}, shown)
    new |= claim.new | new_game(places, FIRST_GAME, {}).new
    new |= {places.notebook(path.stem): path.read_bytes() for path in copies}
    return Draft(new, claim=FIRST_CLAIM, notebook=shown)


def shipped_notebooks() -> list[Path]:
    """List the notebooks that come with pmdlib, in order: installed, or those of a checkout.

    Raises
    ------
    WorkspaceError
        If neither is there.
    """
    package = Path(str(resources.files("pmdlib")))
    for root in (package / "workspace" / "templates", package.parent):
        if found := find_notebooks(root):
            return found
    raise WorkspaceError(f"no notebooks came with {package}")
