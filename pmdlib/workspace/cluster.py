"""Call a function on many items on an existing Dask cluster."""

import contextlib
import itertools
import logging
import queue
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

from pmdlib.errors import PmdError
from pmdlib.workspace.parallel import TICK, Lost, Refused

Item = TypeVar("Item")

PATIENCE = 10.0
"""Seconds to reach a scheduler."""

SILENCE = 30.0
"""Seconds without a result after which one looks whether there are workers at all."""


@contextlib.contextmanager
def connect(address: str) -> Iterator[Any]:
    """Connect to the scheduler at an address, and give the client.

    Raises
    ------
    PmdError
        If there is no scheduler at that address.
    """
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


def stream(
    client: Any,
    function: Callable[[Item], Any],
    items: Sequence[Item],
    *,
    window: int,
    on_start: Callable[[Item], None] = lambda item: None,
    on_tick: Callable[[], None] = lambda: None,
) -> Generator[tuple[Item, Any], None, None]:
    """Yield each item with its result, `Lost` or `Refused`, as they finish.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        A top-level function.
    items : sequence
        The arguments.
    window : int
        How many items the cluster has at a time.
    on_start, on_tick : callable, optional
        Called as an item is handed over, and every half second.
    """
    waiting = iter(items)
    running: dict[Any, Item] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    count = window
    while True:
        for item in itertools.islice(waiting, count):
            on_start(item)
            future = client.submit(function, item, pure=False)
            running[future] = item
            future.add_done_callback(finished.put)
        if not running:
            return
        future = _next(finished, client, on_tick)
        yield running.pop(future), _result(future)
        count = 1


def _next(finished: "queue.SimpleQueue[Any]", client: Any, on_tick: Callable[[], None]) -> Any:
    """Wait for a future; say so if there is nobody to work on it."""
    look = time.monotonic() + SILENCE
    while True:
        try:
            return finished.get(timeout=TICK)
        except queue.Empty:
            on_tick()
            if time.monotonic() > look:
                look = float("inf")
                if not client.nthreads():
                    address = client.scheduler.address
                    logging.getLogger(__name__).warning("%s has no workers yet: waiting", address)


def _result(future: Any) -> Any:
    """Return what became of an item."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Lost("every Dask worker that ran it died")
    except CancelledError:
        return Refused("the connection to the Dask scheduler was lost")
    except Exception as error:  # noqa: BLE001 - of the cluster: functions here raise nothing
        return Refused(
            f"the Dask cluster could not run the function: {type(error).__name__}: {error} "
            "(its workers need this version of pmdlib)"
        )
