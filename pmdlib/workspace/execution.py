"""Execute one notebook in a private place and hand back everything it made."""

import json
import logging
import os
import platform
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pmdlib.workspace import parallel
from pmdlib.workspace.cleaning import clean_notebook
from pmdlib.workspace.environment import KERNEL, environment
from pmdlib.workspace.figures import DIRECTORY_VARIABLE
from pmdlib.workspace.kernels import variables_for
from pmdlib.workspace.ledger import Entry, read_verdicts

CELL = "cell"
"""What is told while a notebook runs: (CELL, number of the cell, number of cells)."""

LONGEST_ADDRESS = 100
"""Characters of a socket file's name, less its number; the system's limit is 104 or more."""

_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Task:
    """One notebook to execute.

    Parameters
    ----------
    name : str
        The notebook's name.
    source : str
        The notebook, as text: what is executed is what the record of its inputs is about.
    parameters : mapping
        Values for its cell tagged ``parameters``.
    timeout : float
        Seconds that its cells may take together.
    root : Path
        The workspace, absolute; its path does not belong in outputs. Where it does not exist, on
        another machine, an empty one stands for it.
    """

    name: str
    source: str
    parameters: Mapping[str, Any]
    timeout: float
    root: Path


@dataclass(frozen=True)
class Outcome:
    """What executing a notebook gave; nothing of it has been written yet.

    Parameters
    ----------
    name : str
        The notebook.
    cause : str or None
        Why the execution failed; None if every cell ran.
    notebook : str or None
        The executed copy, clean, as JSON text; None if nothing ran.
    verdicts : dict
        Claim name -> entry, as the notebook recorded them.
    figures : dict
        File name -> content.
    seconds : float
        How long it took.
    finished : str
        When it ended, UTC.
    machine : dict
        Where it ran, and with which kind of kernel.
    """

    name: str
    cause: str | None
    notebook: str | None = None
    verdicts: dict[str, Entry] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    finished: str = ""
    machine: dict[str, Any] = field(default_factory=dict)


def execute_one(task: Task, kernels: str | None = None) -> Outcome:
    """Execute a notebook; whatever goes wrong is told in the outcome, not raised.

    Depends on the task only and leaves nothing behind, so it may run on any machine. It sets the
    working directory and environment of its process while it runs: give each call a process of its
    own.

    Parameters
    ----------
    task : Task
        What to execute.
    kernels : str, optional
        Address of a server of kernels; by default the kernel starts by itself.

    Returns
    -------
    Outcome
        The clean executed copy, the verdicts and figures, or the cause of failure.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pmdlib-", ignore_cleanup_errors=True) as name:
        private = Path(name)
        for folder in ("figures", "runtime", "notebooks"):
            (private / folder).mkdir()
        (private / "pyproject.toml").touch()  # so that it can stand for the workspace
        there = (task.root / "notebooks").is_dir()
        variables = KERNEL | {
            DIRECTORY_VARIABLE: str(private / "figures"),
            "IPYTHONDIR": str(private / "ipython"),  # no personal start-up files
            "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        }
        with environment(variables | variables_for(kernels)):
            cause = _run_papermill(task, private, (task.root if there else private) / "notebooks")
        outcome = _outcome(task, private, cause)
    return replace(
        outcome,
        seconds=time.monotonic() - start,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine={
            "kernel": "plain" if kernels is None else "forked",
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
    )


def _outcome(task: Task, private: Path, cause: str | None) -> Outcome:
    """Gather what an execution left in its private place."""
    import nbformat

    executed = private / f"{task.name}.ipynb"
    if not executed.is_file():
        return Outcome(task.name, cause)
    notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    identities = {cell["id"] for cell in json.loads(task.source)["cells"] if "id" in cell}
    clean = clean_notebook(notebook, identities, {private: "<tmp>", task.root: "."})
    text = nbformat.writes(nbformat.from_dict(clean))  # type: ignore[no-untyped-call]
    folder = private / "figures"
    figures = sorted(path for path in folder.rglob("*") if path.is_file())
    return Outcome(
        task.name,
        cause or _unfinished(notebook),
        f"{text}\n",
        read_verdicts(clean),
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in figures},
    )


def _run_papermill(task: Task, private: Path, directory: Path) -> str | None:
    """Execute into a file, which is saved after each cell; return the cause of a failure."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for logger in ("papermill", "traitlets"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    source, executed = private / "source.ipynb", private / f"{task.name}.ipynb"
    source.write_text(task.source, encoding="utf-8")
    count = len(json.loads(task.source)["cells"]) + bool(task.parameters)
    started: list[float] = []

    def left(cell: object) -> float:
        """Return the seconds left for this cell; the first one starts the clock."""
        now = time.monotonic()
        started.append(now)
        return max(0.01, started[0] + task.timeout - now)

    try:
        papermill.execute_notebook(
            str(source),
            str(executed),
            parameters=dict(task.parameters),
            cwd=str(directory),
            progress_bar=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=50"],  # or kernels tell of their ports and addresses
            shutdown_kernel="immediate",
            config=_connection(private / "runtime"),
            timeout_func=left,
            on_cell_start=lambda cell, cell_index: parallel.tell((CELL, cell_index + 1, count)),
        )
    except PapermillExecutionError as error:
        message = " ".join(_COLOR.sub("", f"{error.ename}: {error.evalue}").split())
        return f"cell [{error.exec_count}] raised {message}"
    except CellTimeoutError:
        return f"timed out after {task.timeout:g} s in {_last_started(executed)}"
    except DeadKernelError:
        return f"the kernel died in {_last_started(executed)}"
    except Exception as error:  # noqa: BLE001 - the tools raise many kinds; each fails this notebook
        return f"could not be executed: {type(error).__name__}: {error}"
    return None


def _connection(runtime: Path) -> Any:
    """Configure how kernels are talked to: through socket files in a directory of their own.

    TCP ports are chosen first and bound later, so that kernels which start together sometimes
    take each other's. Where there are no socket files, or their names would be too long, TCP has
    to do.
    """
    from traitlets.config import Config

    address = str(runtime / "kernel")
    if os.name != "posix" or len(address) > LONGEST_ADDRESS:
        return Config()
    return Config(ConnectionFileMixin={"transport": "ipc", "ip": address})


def _last_started(executed: Path) -> str:
    """Name the cell at which the execution ended, from what papermill saved."""
    if not executed.is_file():
        return "its first cell"
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    started = [
        i for i, cell in enumerate(cells) if cell["metadata"].get("papermill", {}).get("start_time")
    ]
    return f"cell {started[-1] + 1} of {len(cells)}" if started else "its first cell"


def _unfinished(notebook: Mapping[str, Any]) -> str | None:
    """Say why a notebook that raised nothing did not run to its end (sys.exit raises nothing)."""
    for index, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error" and output["ename"] == "SystemExit":
                return f"cell {index + 1} left with sys.exit"
        code = cell["cell_type"] == "code" and cell["source"].strip()
        if code and cell["execution_count"] is None:
            return f"cell {index + 1} was not run"
    return None
