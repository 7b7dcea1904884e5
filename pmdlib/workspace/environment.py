"""The environment variables under which the same code gives the same bytes."""

import contextlib
import os
from collections.abc import Iterator, Mapping

SINGLE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""One thread to a process: the jobs share the cores, and sums keep their order."""

NO_THREADS = SINGLE_THREAD | {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Under this the server from which processes are forked has one thread, as forking demands."""

KERNEL = NO_THREADS | {
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # or every kernel warns about frozen modules
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",
    "TQDM_DISABLE": "1",
    "TZ": "UTC",
}
"""What every kernel runs under."""


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
