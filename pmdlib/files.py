"""Writing a file whole or not at all, by one process at a time."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pmdlib.errors import PmdError

_PREFIX, _SUFFIX = ".", ".tmp"
"""Of temporary files; .gitignore names them."""

_LOCK = ".lock"


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
    handle, temporary = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep_up(*directories: Path) -> None:
    """Remove temporary files that a killed process left; call it while nobody else writes."""
    for directory in directories:
        for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a directory to this process for a while; the system lets go when the process ends.

    Raises
    ------
    PmdError
        If another process has it.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # not a POSIX system: nothing keeps two runs apart
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as stream:
        try:
            flock(stream, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise PmdError(f"another process is writing to {directory}; wait for its end") from None
        yield


def _umask() -> int:
    """Return the permissions that new files are denied (mkstemp denies more)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
