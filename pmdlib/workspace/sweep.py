"""Many runs: one function over a grid of parameters and seeds, here or on a Dask cluster."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from pmdlib.errors import PmdError
from pmdlib.files import write_atomically
from pmdlib.learning.pmd import PROGRESS_DELAY
from pmdlib.whole import whole_number
from pmdlib.workspace.files import WorkspaceError, find_root
from pmdlib.workspace.parallel import Lost, Refused
from pmdlib.workspace.runs.grid import check_call, key_of, make_points, make_seeds
from pmdlib.workspace.runs.rows import Table, decode, encode_error, failed, gather
from pmdlib.workspace.runs.runners import run_here, run_on_cluster
from pmdlib.workspace.runs.task import Run
from pmdlib.workspace.runs.version import INSTALLED, Version

SCHEDULER_VARIABLE = "PMDLIB_SCHEDULER"
"""Holds the address of the Dask scheduler that sweeps use."""

FOLDER = Path(".pmdlib", "sweeps")
"""Where a workspace keeps results; git ignores it."""


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]],
    seeds: int | Iterable[int] = 1,
    *,
    folder: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run a function at every point of a grid with every seed, and return the rows.

    Each result is stored when it is there. The same call later, after an interruption or in
    another session, runs only what is missing; what had failed is tried again. The rows are the
    same, bit for bit, wherever and in whatever order they were computed.

    Parameters
    ----------
    function : callable
        Called as ``function(rng, **point)``, with ``rng = np.random.default_rng(seed)``: the same
        numbers at every point, so that points are compared in pairs. It returns one row (a mapping:
        column -> None, bool, int, float or str) or several (a list of mappings, a DataFrame), and
        draws on nothing but its arguments. It may be a notebook's own.
    grid : mapping, or sequence of mappings
        Name -> values, of which the product is taken, the last name fastest; or the points
        themselves. Values are None, bool, int, float, str, or tuples of these.
    seeds : int or iterable of int
        How many, from 0 on; or which.
    folder : str or Path, optional
        Where results are kept; by default ``.pmdlib/sweeps`` in the workspace. There is a directory
        for each function and version of its code, with a file for each point and seed. The code is
        all of pmdlib, the function and what it uses outside of installed packages, and the
        versions of Python, NumPy and SciPy.
    workers : int, optional
        Processes at a time on this machine; by default one for each core.
    scheduler : str, optional
        Address of a Dask scheduler, ``tcp://HOST:PORT``, whose workers are to be used instead; by
        default what ``PMDLIB_SCHEDULER`` says. An empty text means this machine.
    progress : bool, optional
        Show a progress bar; by default on a terminal only, once the sweep takes some seconds.

    Returns
    -------
    DataFrame
        A column for each parameter, ``seed``, the columns of the function, and ``error``: the
        rows in the order of the grid, then of the seeds. Where the function raised, there is one
        row with ``error`` "kind: message", and gaps in its columns; elsewhere ``error`` is a gap.
        Whole numbers and truth values of the function have the types ``Int64`` and ``boolean``,
        which have room for gaps.

    Raises
    ------
    PmdError
        Before anything runs: for a bad grid, a function that does not take the parameters, or one
        that uses what the version of its code cannot contain. Later: if the cluster is lost or runs
        other code, with the results so far stored; or if the rows do not fit into one table.

    Examples
    --------
    The same seed draws the same game at every point of the grid, so the two maps are compared on
    it.

    >>> from tempfile import TemporaryDirectory
    >>> from pmdlib.workspace.sweep import sweep
    >>> def last_gap(rng, mirror_map):
    ...     game = pmd.TabularGame(rng.random((1, 2, 2)), np.eye(1), discount=0.0)
    ...     return {"gap": pmd.run_pmd(game, mirror_map, "paper", 20).nash_gap[-1]}
    >>> with TemporaryDirectory() as folder:
    ...     frame = sweep(last_gap, {"mirror_map": ["kl", "euclidean"]}, seeds=2, folder=folder)
    >>> list(frame.columns), len(frame)
    (['mirror_map', 'seed', 'gap', 'error'], 4)
    >>> bool(frame["error"].isna().all())
    True
    """
    points = make_points(grid)
    numbers = make_seeds(seeds)
    count = _check_workers(workers)
    check_call(function, points[0])
    version = Version(function)
    name = re.sub(r"\W+", "_", _name(function)).strip("_")
    place = _folder(folder) / f"{name}-{version.text[:16]}"
    pickled = version.pickle()
    runs = [
        Run(key_of(point, seed), pickled, point, seed, INSTALLED)
        for point in points
        for seed in numbers
    ]
    tables = _stored(place, runs)
    missing = [run for run in runs if run.key not in tables]
    with tqdm(
        total=len(runs),
        initial=len(tables),
        desc=f"sweep ({name})",
        disable=None if progress is None else not progress,
        delay=PROGRESS_DELAY,
        leave=False,
    ) as bar:
        address = os.environ.get(SCHEDULER_VARIABLE) if scheduler is None else scheduler
        results = run_on_cluster(missing, address) if address else run_here(missing, count)
        with closing(results):
            for run, outcome in results:
                if isinstance(outcome, Refused):
                    raise PmdError(
                        f"{outcome.cause}; {len(tables)} of {len(runs)} results are stored in "
                        f"{place}, and the same call goes on from there"
                    )
                tables[run.key] = _store(place, run, outcome)
                bar.update()
    return gather([(run.point, run.seed) for run in runs], [tables[run.key] for run in runs])


def _name(function: Callable[..., Any]) -> str:
    """Return the name of a function; that of a partial is its function's."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _check_workers(workers: int | None) -> int:
    """Return how many processes to use at a time."""
    if workers is None:
        usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        return len(usable(0))
    return whole_number("workers", workers)


def _folder(folder: str | Path | None) -> Path:
    """Return where results are kept."""
    if folder is not None:
        return Path(folder).absolute()
    try:
        return find_root() / FOLDER
    except WorkspaceError as error:
        raise WorkspaceError(f"{error}; say where results are to be kept: folder=..") from None


def _stored(place: Path, runs: Sequence[Run]) -> dict[str, Table]:
    """Read the results that are there, but for errors and damaged files."""
    names = {path.name for path in place.iterdir()} if place.is_dir() else set()
    found = {}
    for run in runs:
        if f"{run.key}.parquet" in names:
            table = decode((place / f"{run.key}.parquet").read_bytes())
            if table is not None and not failed(table):
                found[run.key] = table
    return found


def _store(place: Path, run: Run, outcome: bytes | Lost) -> Table:
    """Store a result, and return what a later call would read."""
    if isinstance(outcome, Lost):
        outcome = encode_error(f"Lost: {outcome.cause}", run.point, run.seed)
    write_atomically(place / f"{run.key}.parquet", outcome)
    return decode(outcome)
