"""Where the workspace lies, and writing a file whole or not at all."""

import os
import tempfile
from pathlib import Path

from pmdlib.errors import PmdError


class WorkspaceError(PmdError):
    """The workspace, or what was asked of it, is not as it must be."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or an interruption, meets the old content or the new.

    The content goes to a temporary file beside the target, which then takes the target's name.

    Parameters
    ----------
    path : Path
        The target; its directory is made where missing.
    content : str or bytes
        Text is written as UTF-8.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the permissions that new files are denied (mkstemp denies more)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
