"""Where the runs of a sweep are executed: in processes here, or on an existing Dask cluster."""

import contextlib
import itertools
import logging
import queue
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from pmdlib.errors import PmdError
from pmdlib.workspace.environment import SINGLE_THREAD, environment
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.runs.task import Outcome, Refused, Run, execute

NO_THREADS = SINGLE_THREAD | {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Under this the server from which processes are forked has one thread, as forking demands."""

TRIES = 3
"""How often a run may end its process without a result before that is recorded as its result."""

IN_FLIGHT = 1000
"""Runs that a scheduler is given at a time: more than any cluster here has threads."""

PATIENCE = 10.0
"""Seconds to reach a scheduler."""

TICK = 30.0
"""Seconds without a result after which one looks whether there are workers at all."""

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
            results = run_parallel(execute, runs, jobs=workers, preload=execute.__module__)
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
    with _connect(address) as client:
        for window in (IN_FLIGHT, 1):
            lost = []
            with closing(_stream(client, runs, window)) as results:
                for run, outcome in results:
                    if isinstance(outcome, Lost) and window > 1:
                        lost.append(run)
                    else:
                        yield run, outcome
            runs = lost


@contextlib.contextmanager
def _connect(address: str) -> Iterator[Any]:
    """Connect to the scheduler at an address."""
    from distributed import Client
    from distributed.comm.addressing import parse_address, parse_host_port

    try:
        _, place = parse_address(address, strict=True)
        with socket.create_connection(parse_host_port(place), timeout=PATIENCE):
            pass  # a client would go on trying, and complain when Python ends
        client = Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise PmdError(f"no Dask scheduler can be reached at {address!r}: {error}") from None
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it tells of a lost scheduler in several tracebacks
    try:
        with client:
            yield client
    finally:
        logger.setLevel(level)


def _stream(client: Any, runs: Sequence[Run], window: int) -> Outcomes:
    """Keep a number of runs on the cluster, and yield each as it finishes."""
    waiting = iter(runs)
    running: dict[Any, Run] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    count = window
    while True:
        for run in itertools.islice(waiting, count):
            future = client.submit(execute, run, pure=False)
            running[future] = run
            future.add_done_callback(finished.put)
        if not running:
            return
        future = _next(finished, client)
        yield running.pop(future), _outcome(future)
        count = 1


def _next(finished: "queue.SimpleQueue[Any]", client: Any) -> Any:
    """Wait for a future; say so if there is nobody to work on it."""
    told = False
    while True:
        try:
            return finished.get(timeout=TICK)
        except queue.Empty:
            if not told and not client.nthreads():
                told = True
                address = client.scheduler.address
                logging.getLogger(__name__).warning("%s has no workers yet: waiting", address)


def _outcome(future: Any) -> Outcome:
    """Return what became of a run."""
    from distributed import CancelledError, KilledWorker

    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        return Lost("every Dask worker that ran it died")
    except CancelledError:
        return Refused("the connection to the Dask scheduler was lost")
    except Exception as error:  # noqa: BLE001 - of the cluster: `execute` raises nothing
        return Refused(
            f"the Dask cluster could not run the function: {type(error).__name__}: {error} "
            "(its workers need this version of pmdlib)"
        )
    return outcome
