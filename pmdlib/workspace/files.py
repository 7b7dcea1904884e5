"""Where the workspace lies, and what belongs to it."""

from pathlib import Path

from pmdlib.errors import PmdError


class WorkspaceError(PmdError):
    """The workspace, or what was asked of it, is not as it must be."""


def find_root(start: Path | None = None) -> Path:
    """Find the workspace: the nearest directory with notebooks/ and pyproject.toml.

    Parameters
    ----------
    start : Path, optional
        Where to begin, upwards; the current directory by default.

    Returns
    -------
    Path
        The root, absolute.

    Raises
    ------
    WorkspaceError
        If no such directory lies above.
    """
    origin = (start or Path.cwd()).resolve()
    for directory in (origin, *origin.parents):
        if (directory / "notebooks").is_dir() and (directory / "pyproject.toml").is_file():
            return directory
    raise WorkspaceError(
        f"no workspace at or above {origin}: a workspace holds notebooks/ and pyproject.toml"
    )


def find_notebooks(root: Path) -> list[Path]:
    """List the notebooks of a workspace, notebooks/NN-name.ipynb, in order."""
    found = (root / "notebooks").glob("[0-9][0-9]-*.ipynb")
    return sorted(found, key=lambda path: path.stem)


def owner(figure: str, notebooks: list[str]) -> str | None:
    """Return the notebook that a figure's name begins with; of several, the longest."""
    return max((name for name in notebooks if figure.startswith(f"{name}-")), key=len, default=None)
