"""Filling templates with names, and writing what came out: everything or nothing."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from pmdlib.files import write_atomically
from pmdlib.workspace.files import WorkspaceError


def fill(template: str, names: Mapping[str, str]) -> str:
    """Return a template with names in the place of its own.

    Parameters
    ----------
    template : str
        Its file under ``data``, without the suffix ``.template``.
    names : mapping
        What stands in the template -> what shall stand there.

    Returns
    -------
    str
    """
    source = resources.files(__package__).joinpath("data", f"{template}.template")
    return replace_all(source.read_text(encoding="utf-8"), names)


def replace_all(text: str, names: Mapping[str, str]) -> str:
    """Return a text with each name exchanged."""
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def write_all(new: Mapping[Path, str | bytes], changed: Mapping[Path, str] | None = None) -> None:
    """Write new files, and change some that are there; on a failure leave all as it was.

    Parameters
    ----------
    new : mapping
        File -> content; none of them may exist.
    changed : mapping, optional
        File -> new content; each of them exists.

    Raises
    ------
    WorkspaceError
        If a new file exists, or one cannot be written; the message names it.
    """
    for path in new:
        if path.exists() or path.is_symlink():
            raise WorkspaceError(f"{path} exists: nothing was written")
    before = {path: path.read_bytes() for path in changed or {}}
    made: list[Path] = []
    try:
        for path, content in {**new, **(changed or {})}.items():
            made += [parent for parent in path.parents if not parent.exists()][::-1]
            write_atomically(path, content)
    except OSError as error:
        _undo(new, before, made)
        raise WorkspaceError(f"{path} cannot be written, so nothing was: {error}") from None
    except BaseException:
        _undo(new, before, made)
        raise


def _undo(new: Mapping[Path, str | bytes], before: Mapping[Path, bytes], made: list[Path]) -> None:
    """Take away what was written, and give back what was changed."""
    for path in new:
        if path.is_file():
            path.unlink()
    for path, content in before.items():
        if path.read_bytes() != content:
            write_atomically(path, content)
    for directory in reversed(made):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
