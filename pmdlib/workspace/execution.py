"""Execute one notebook in a private place and hand back everything it made."""

import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmdlib.workspace.cleaning import clean_notebook
from pmdlib.workspace.environment import KERNEL, environment
from pmdlib.workspace.figures import DIRECTORY_VARIABLE
from pmdlib.workspace.ledger import Entry, read_verdicts

LONGEST_ADDRESS = 100
"""Characters of a socket file's name, less its number; the system's limit is 104 or more."""

_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Task:
    """One notebook to execute.

    Parameters
    ----------
    path : Path
        The notebook, absolute; it runs in its own directory.
    parameters : mapping
        Values for its cell tagged ``parameters``.
    timeout : float
        Seconds that its cells may take together.
    root : Path
        The workspace, whose path does not belong in outputs.
    """

    path: Path
    parameters: Mapping[str, Any]
    timeout: float
    root: Path

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.path.stem


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
    """

    name: str
    cause: str | None
    notebook: str | None = None
    verdicts: dict[str, Entry] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0


def execute_one(task: Task) -> Outcome:
    """Execute a notebook; whatever goes wrong is told in the outcome, not raised.

    Depends on the task only and leaves nothing behind, so it may run on any machine that has the
    workspace. It sets the working directory and environment of its process while it runs: give
    each call a process of its own.

    Parameters
    ----------
    task : Task
        What to execute.

    Returns
    -------
    Outcome
        The clean executed copy, the verdicts and figures, or the cause of failure.
    """
    import nbformat

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pmdlib-", ignore_cleanup_errors=True) as name:
        private = Path(name)
        figures = private / "figures"
        figures.mkdir()
        variables = KERNEL | {
            DIRECTORY_VARIABLE: str(figures),
            "IPYTHONDIR": str(private / "ipython"),  # no personal start-up files
            "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        }
        executed = private / task.path.name
        with environment(variables):
            cause = _run_papermill(task, executed, private / "runtime")
        source = json.loads(task.path.read_text(encoding="utf-8"))
        if not executed.is_file():
            return Outcome(task.name, cause, seconds=time.monotonic() - start)
        notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
        cause = cause or _unfinished(notebook)
        identities = {cell["id"] for cell in source["cells"] if "id" in cell}
        clean = clean_notebook(notebook, identities, {private: "<tmp>", task.root: "."})
        text = nbformat.writes(nbformat.from_dict(clean))  # type: ignore[no-untyped-call]
        return Outcome(
            task.name,
            cause,
            f"{text}\n",
            read_verdicts(clean),
            {path.name: path.read_bytes() for path in sorted(figures.iterdir())},
            time.monotonic() - start,
        )


def _run_papermill(task: Task, executed: Path, runtime: Path) -> str | None:
    """Execute into a file, which is saved after each cell; return the cause of a failure."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for logger in ("papermill", "traitlets"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    started: list[float] = []

    def left(cell: object) -> float:
        """Return the seconds left for this cell; the first one starts the clock."""
        now = time.monotonic()
        started.append(now)
        return max(0.01, started[0] + task.timeout - now)

    try:
        papermill.execute_notebook(
            str(task.path),
            str(executed),
            parameters=dict(task.parameters),
            cwd=str(task.path.parent),
            progress_bar=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=40"],  # or each kernel warns of its TCP ports
            shutdown_kernel="immediate",
            config=_connection(runtime),
            timeout_func=left,
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

    runtime.mkdir(exist_ok=True)
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
