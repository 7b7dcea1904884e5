"""Imports that notebooks make: done once in the server from which their processes are forked.

None of these may start a thread or open a file when it is imported; matplotlib's backend is left
to the kernel, which sets it up for its notebook.
"""

import threading
from importlib import import_module

import pandas as pd
from tqdm import tqdm

MODULES = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "pandas",
    "pmdlib.workspace",
    "pmdlib.workspace.sweep",
    "scipy.stats",
    "seaborn",
    "sympy",
)

for _module in MODULES:
    import_module(_module)

# pandas asks, when it is imported, whether it is in a kernel: these are its defaults in one.
pd.set_option("display.max_columns", 20)
pd.set_option("display.encoding", "UTF-8")

# The lock of progress bars would be a file of the system's, which a kernel that is ended at once
# leaves behind.
tqdm.set_lock(threading.RLock())
