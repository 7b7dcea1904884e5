"""Where the runs of a sweep are executed: in processes here, or on an existing Dask cluster."""

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from pmdlib.workspace.cluster import connect, stream
from pmdlib.workspace.environment import NO_THREADS, environment
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.runs.task import Outcome, Run, execute

TRIES = 3
"""How often a run may end its process without a result before that is recorded as its result."""

IN_FLIGHT = 1000
"""Runs that a scheduler is given at a time: more than any cluster here has threads."""

Outcomes = Generator[tuple[Run, Outcome], None, None]


def run_here(runs: Sequence[Run], workers: int) -> Outcomes:
    """Yield each run with its outcome, as they finish in processes of this machine.

    Every run has a process of its own, forked from a clean server that has imported pmdlib and
    has no threads; BLAS has one thread in it. A run whose process is killed is tried again.

    Parameters
    ----------
    runs : sequence of Run
    workers : int
        How many processes at a time.
    """
    with environment(NO_THREADS), _no_script():
        for left in reversed(range(TRIES)):
            lost = []
            results = run_parallel(execute, runs, jobs=workers, preload=[execute.__module__])
            with closing(results):
                for run, outcome in results:
                    if isinstance(outcome, Lost) and left:
                        lost.append(run)
                    else:
                        yield run, outcome
            runs = lost


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Keep new processes from running the user's script again: functions come by value."""
    script = sys.modules["__main__"]
    names = {name: vars(script)[name] for name in ("__file__", "__spec__") if name in vars(script)}
    for name in names:
        setattr(script, name, None)
    try:
        yield
    finally:
        for name, value in names.items():
            setattr(script, name, value)


def run_on_cluster(runs: Sequence[Run], address: str) -> Outcomes:
    """Yield each run with its outcome, as they finish on a Dask cluster.

    Dask runs again what was on a worker that died. A run that ends several workers is set aside
    and tried once more at the end, alone, so that it is not blamed for a neighbour.

    Parameters
    ----------
    runs : sequence of Run
    address : str
        Of the scheduler.

    Raises
    ------
    PmdError
        If there is no scheduler at that address.
    """
    with connect(address) as client:
        for window in (IN_FLIGHT, 1):
            lost = []
            with closing(stream(client, execute, runs, window=window)) as results:
                for run, outcome in results:
                    if isinstance(outcome, Lost) and window > 1:
                        lost.append(run)
                    else:
                        yield run, outcome
            runs = lost
