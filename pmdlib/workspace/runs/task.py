"""One run of a sweep, as it travels to a process, and what the process does with it."""

import ctypes
import functools
import threading
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from pmdlib.workspace.parallel import Lost, Refused
from pmdlib.workspace.runs.grid import Point
from pmdlib.workspace.runs.rows import encode, encode_error
from pmdlib.workspace.runs.version import INSTALLED


@dataclass(frozen=True)
class Run:
    """A function, by value, and what it is to be called with.

    Parameters
    ----------
    key : str
        The name of its results.
    function : bytes
        Pickled with its code, so that a process needs no more than what is installed.
    point : dict
        Its parameters.
    seed : int
        Of its generator.
    installed : str
        The version of pmdlib and of what it stands on, where the sweep was called.
    """

    key: str
    function: bytes
    point: Point
    seed: int
    installed: str


Outcome = bytes | Refused | Lost
"""Rows or an error as a Parquet file; or none, because of all runs, or of this one."""

_alone = threading.Lock()
"""Held while a function runs: a cluster's worker may have threads, and precision is global."""


def execute(run: Run) -> bytes | Refused:
    """Run the function here, in a process made for such work.

    Parameters
    ----------
    run : Run

    Returns
    -------
    bytes or Refused
        The rows, or the function's error, as a Parquet file.
    """
    if run.installed != INSTALLED:
        return Refused(
            "a worker runs other code than this process (pmdlib, NumPy, SciPy or Python: version "
            f"{INSTALLED[:12]} there, {run.installed[:12]} here); install the same and restart both"
        )
    try:
        function = cloudpickle.loads(run.function)
    except Exception as error:  # noqa: BLE001 - loading can raise what any module raises
        return Refused(f"a worker cannot load the function: {type(error).__name__}: {error}")
    with _alone:
        use_one_blas_thread()
        try:
            result = function(np.random.default_rng(run.seed), **run.point)
            return encode(result, run.point, run.seed)
        except Exception as error:  # noqa: BLE001 - whatever a function raises is its result
            return encode_error(f"{type(error).__name__}: {error}", run.point, run.seed)


@functools.cache
def use_one_blas_thread() -> None:
    """Let the OpenBLAS that NumPy and SciPy brought use one thread: sums then keep their order.

    Environment variables do this too, if they are set before NumPy is imported; a worker of a
    cluster may have been started without.
    """
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.is_file() else []
    loaded = {line.split(maxsplit=5)[-1] for line in lines if "libscipy_openblas" in line}
    for library in map(ctypes.CDLL, sorted(loaded)):
        for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads"):
            if hasattr(library, name):
                getattr(library, name)(1)
