"""Call a function on many items, each in a process of its own that can be ended."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK = 0.5
"""Seconds between two looks at the clock while processes run."""

_TOLD, _RESULT = "told", "result"
"""What a process sends: a word on its way, or its result."""

GRACE = 5.0
"""Seconds that an ended process has to end its own children, such as a kernel."""


@dataclass(frozen=True)
class Lost:
    """Stands for the result of a process that ended without one."""

    cause: str


@dataclass(frozen=True)
class Refused:
    """Stands for results that could not be had, for a reason that concerns all items."""

    cause: str


@dataclass(frozen=True)
class _Running:
    """One process at work."""

    process: BaseProcess
    item: Any
    deadline: float


def run_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    preload: Sequence[str],
    timeout: float = float("inf"),
    on_start: Callable[[Item], None] = lambda item: None,
    on_tick: Callable[[], None] = lambda: None,
    on_told: Callable[[Item, Any], None] = lambda item, message: None,
) -> Generator[tuple[Item, Result | Lost], None, None]:
    """Yield each item with its result, as they finish.

    Every call has a fresh process: what it does to its working directory and environment stays
    there, and when it dies nothing else does. When the caller stops, by an exception or an
    interrupt, the processes at work are ended.

    Parameters
    ----------
    function : callable
        A top-level function; its exceptions are the caller's to avoid, they count as lost.
    items : sequence
        The arguments, which must pickle, like the results.
    jobs : int
        How many processes at a time.
    preload : sequence of str
        Modules with the costly imports, made once where processes can be forked.
    timeout : float, optional
        Seconds after which a process is ended.
    on_start, on_tick : callable, optional
        Called as an item starts, and every half second.
    on_told : callable, optional
        Called with an item and what its process said by `tell`.
    """
    context = _context(preload)
    waiting = deque(items)
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                item = waiting.popleft()
                on_start(item)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(function, item, sender), daemon=True)
                process.start()
                sender.close()
                running[receiver] = _Running(process, item, time.monotonic() + timeout)
            for ready in wait(list(running), timeout=TICK):
                worker = running[ready]  # type: ignore[index]
                kind, content = _receive(ready, worker.process)  # type: ignore[arg-type]
                if kind == _TOLD:
                    on_told(worker.item, content)
                else:
                    del running[ready]  # type: ignore[arg-type]
                    yield worker.item, content
            late = [key for key, worker in running.items() if time.monotonic() > worker.deadline]
            for key in late:
                worker = running.pop(key)
                _stop([worker.process])
                yield worker.item, Lost(f"timed out after {timeout:g} s")
            on_tick()
    finally:
        _stop([worker.process for worker in running.values()])


def _context(preload: Sequence[str]) -> Any:
    """Return how processes start: forked from a clean server that has imported, or spawned."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


def tell(message: Any) -> None:
    """Send a word to the process that waits for this one; elsewhere nothing happens."""
    for sender in _to_parent:
        with contextlib.suppress(BrokenPipeError):
            sender.send((_TOLD, message))


_to_parent: list[Connection] = []
"""In a process made here: how to speak to the process that made it."""


def _work(function: Callable[[Any], Any], item: Any, sender: Connection) -> None:
    """Call the function in the new process and send its result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary files go
    threading.Thread(target=_follow_parent, daemon=True).start()
    _to_parent.append(sender)
    result = function(item)
    _to_parent.clear()
    with contextlib.suppress(BrokenPipeError):
        sender.send((_RESULT, result))
    sender.close()


def _follow_parent() -> None:
    """End this process when its parent has gone without a word."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _receive(connection: Connection, process: BaseProcess) -> tuple[str, Any]:
    """Return what the process sent, or how it ended without a result."""
    try:
        kind, content = connection.recv()
    except (EOFError, OSError):
        process.join()
        return _RESULT, Lost(f"its process ended with exit code {process.exitcode}")
    if kind == _RESULT:
        process.join()
    return kind, content


def _stop(processes: list[BaseProcess]) -> None:
    """End processes, politely first: a notebook's process then ends its kernel."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
