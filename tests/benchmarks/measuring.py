"""How the benchmarks measure: processor time, and what is compared in turn.

Other work on the machine then disturbs both sides alike, and the median of the ratios little.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time

#: Seconds that one side of a comparison takes at least, repeated if it is shorter.
SHORTEST = 0.005


@dataclass(frozen=True)
class Row:
    """One line of the table: ``ratio`` is measured over goal, good up to 1; None without a goal."""

    name: str
    measured: str
    goal: str = "–"
    ratio: float | None = None


def seconds(action: Callable[[], object], repeats: int = 1) -> float:
    """Processor time of one call, the mean of some."""
    begin = process_time()
    for _ in range(repeats):
        action()
    return (process_time() - begin) / repeats


def repeats(action: Callable[[], object]) -> int:
    """Calls that together take long enough to be timed; the first of all warms up."""
    action()
    return max(1, round(SHORTEST / max(seconds(action), 1e-9)))


def compared(
    action: Callable[[], object], reference: Callable[[], object], pairs: int = 15
) -> tuple[float, float]:
    """Median seconds of an action, and median ratio to a reference measured beside it."""
    many, reference_many = repeats(action), repeats(reference)
    times, ratios = [], []
    for pair in range(pairs):
        if pair % 2:
            base = seconds(reference, reference_many)
            times.append(seconds(action, many))
        else:
            times.append(seconds(action, many))
            base = seconds(reference, reference_many)
        ratios.append(times[-1] / base)
    return median(times), median(ratios)


def afresh(expression: str) -> float:
    """Evaluate a number such as "dense.peak(22)" in a process of its own, BLAS on one thread.

    Raises
    ------
    RuntimeError
        With what the process wrote, if it fails.
    """
    (number,) = _numbers_afresh(expression)
    return number


def compared_afresh(expression: str) -> tuple[float, float]:
    """Seconds and ratio of a comparison, as of `compared`: the middle ratio of three processes.

    Where a large table lies in memory, and so in the caches, is another matter in each process.
    """
    found = sorted((_numbers_afresh(expression) for _ in range(3)), key=lambda pair: pair[1])
    time, ratio = found[1]
    return time, ratio


def _numbers_afresh(expression: str) -> list[float]:
    module, _, _ = expression.partition(".")
    code = f"import numpy; from benchmarks import {module}; print(*numpy.ravel({expression}))"
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{expression} failed:\n{done.stderr}")
    return [float(number) for number in done.stdout.split()]


def peak_memory() -> int:
    """Peak resident memory of this process in bytes.

    Linux lets ``getrusage`` begin with that of the process which started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def duration(time: float) -> str:
    """Three digits of a time, in a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if time >= size:
            return f"{time / size:.3g} {unit}"
    return f"{time / 1e-9:.3g} ns"
