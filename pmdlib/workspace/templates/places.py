"""Where claims, games and their tests belong in a workspace."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.templates.names import module_name


@dataclass(frozen=True)
class Places:
    """The directories of a workspace that new modules go to.

    Attributes
    ----------
    root : Path
        The workspace.
    claims, games : Path
        The packages whose modules are found by themselves.
    """

    root: Path
    claims: Path
    games: Path

    def claim(self, name: str) -> Path:
        """Return the module of a claim."""
        return self._free(self.claims, name)

    def game(self, name: str) -> Path:
        """Return the module of a game."""
        return self._free(self.games, name)

    def test(self, kind: str, name: str) -> Path:
        """Return the test of a claim or game; ``kind`` is "claims" or "games"."""
        return self.root / "tests" / kind / f"test_{module_name(name)}.py"

    def notebook(self, name: str) -> Path:
        """Return the source of a notebook."""
        return self.root / "notebooks" / f"{name}.ipynb"

    def _free(self, package: Path, name: str) -> Path:
        """Return the path of a module that no package of the same name hides."""
        path = package / f"{module_name(name)}.py"
        if path.with_suffix("").exists():
            raise WorkspaceError(f"{path.with_suffix('')} exists: choose another name")
        return path


def find_places(root: Path) -> Places:
    """Find where new modules of a workspace belong.

    In the workspace of pmdlib itself that is known; another says it with its entry points.

    Raises
    ------
    WorkspaceError
        If pyproject.toml names no package for claims or games, or one that is not there.
    """
    if (root / "pmdlib" / "claims" / "registry.py").is_file():
        package = root / "pmdlib"
        return Places(root, package / "claims", package / "games" / "named")
    project = root / "pyproject.toml"
    try:
        offered = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise WorkspaceError(f"{project} is no TOML: {error}") from None
    groups = offered.get("entry-points", {})
    claims, games = (_package(root, groups, f"pmdlib.{kind}") for kind in ("claims", "games"))
    return Places(root, claims, games)


def _package(root: Path, groups: dict[str, dict[str, str]], group: str) -> Path:
    """Return the directory of the package that a group of entry points names first."""
    for value in groups.get(group, {}).values():
        for base in (root, root / "src"):
            found = base.joinpath(*value.split("."))
            if (found / "__init__.py").is_file():
                return found
    raise WorkspaceError(
        f"{root / 'pyproject.toml'} names no package of this workspace under "
        f'[project.entry-points."{group}"]; `pmdlib new workspace DIR` makes a workspace that does'
    )
