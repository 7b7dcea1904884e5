"""Notebooks on the workers of a Dask cluster."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from pmdlib.files import write_atomically
from pmdlib.workspace.cluster import connect, stream
from pmdlib.workspace.execution import Outcome, Task, execute_one
from pmdlib.workspace.parallel import Lost, Refused, run_parallel
from pmdlib.workspace.progress import Progress
from pmdlib.workspace.runs.version import INSTALLED

Parcel = tuple[Task, str]
"""A notebook, and the version of the code that it is to run with."""


def run_remotely(
    tasks: Sequence[Task], address: str, jobs: int, progress: Progress
) -> Generator[tuple[Task, Outcome | Lost], None, None]:
    """Yield each notebook with its outcome, as they finish on a Dask cluster.

    Dask runs again what was on a worker that died.

    Parameters
    ----------
    tasks : sequence of Task
        Each carries its notebook, so that workers need no common disk.
    address : str
        Of the scheduler.
    jobs : int
        How many notebooks at a time.
    progress : Progress
        Told of each that starts and of the time.

    Raises
    ------
    PmdError
        If there is no scheduler at that address.
    """
    parcels = [(task, INSTALLED) for task in tasks]
    with connect(address) as client:
        results = stream(
            client,
            execute_there,
            parcels,
            window=jobs,
            on_start=lambda parcel: progress.start(parcel[0].name),
            on_tick=progress.tick,
        )
        with closing(results):
            for (task, _), outcome in results:
                yield task, Lost(outcome.cause) if isinstance(outcome, Refused) else outcome


def execute_there(parcel: Parcel) -> Outcome:
    """Execute a notebook in a process beside this worker, which goes on serving others.

    A notebook may send a sweep to the same cluster and wait for it, so it must hold no thread of a
    worker; and it changes directory and environment, so it cannot run in one.
    """
    from distributed import secede

    task, installed = parcel
    if installed != INSTALLED:
        return Outcome(task.name, "a worker has another version of pmdlib, NumPy, SciPy or Python")
    secede()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="pmdlib-") as folder:
        question, answer = Path(folder, "task"), Path(folder, "outcome")
        question.write_bytes(pickle.dumps(task))
        command = [sys.executable, "-m", __name__, str(question), str(answer)]
        # It ends when this pipe does: with the worker, however that ends.
        with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE) as process:
            code = process.wait()
        if answer.is_file():
            outcome: Outcome = pickle.loads(answer.read_bytes())
            return outcome
    return Outcome(task.name, f"its process ended with exit code {code}")


def main(question: str, answer: str) -> None:
    """Execute the task in one file, in a process of its own, and leave the outcome in another."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the notebook's process ends
    threading.Thread(target=_follow_worker, daemon=True).start()
    task = pickle.loads(Path(question).read_bytes())
    results = run_parallel(execute_one, [task], jobs=1, preload=[execute_one.__module__])
    for _, result in results:
        outcome = Outcome(task.name, result.cause) if isinstance(result, Lost) else result
        write_atomically(Path(answer), pickle.dumps(outcome))


def _follow_worker() -> None:
    """End this process when the worker that wants its outcome has gone."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
