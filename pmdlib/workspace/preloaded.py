"""Imports that notebooks make: done once in the server from which their processes are forked.

None of these may start a thread or open a file when it is imported; matplotlib's backend is left
to the kernel, which sets it up for its notebook.
"""

import threading
from importlib import import_module

from tqdm import tqdm

MODULES = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "nbclient",
    "nbformat",
    "pandas",
    "papermill",
    "pmdlib.workspace.execution",
    "pmdlib.workspace.sweep",
    "scipy.stats",
    "seaborn",
    "sympy",
)

for _module in MODULES:
    import_module(_module)

# By default it would be one for all processes: a file of the system's, which a kernel that is ended
# at once would leave behind.
tqdm.set_lock(threading.RLock())
