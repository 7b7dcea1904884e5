"""What a run of the notebooks is to do, and how it ended."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmdlib.workspace.execution import Task
from pmdlib.workspace.files import WorkspaceError, find_notebooks
from pmdlib.workspace.ledger import ClaimLike, Entry


@dataclass(frozen=True)
class Plan:
    """What to run, and where its results go.

    Parameters
    ----------
    root : Path
        The workspace.
    claims : mapping
        The registry: name -> claim, of which `notebook` is used.
    output : Path, optional
        Directory for executed/ and figures/ in place of the workspace's own; the README is then
        left alone.
    only : sequence of str
        Names of the notebooks to run; all by default.
    parameters : mapping
        Values for the cells tagged ``parameters``; each goes to the notebooks that have it, but
        ``profile`` every notebook must have.
    jobs : int
        How many notebooks at a time.
    timeout : float
        Seconds for each notebook.
    """

    root: Path
    claims: Mapping[str, ClaimLike]
    output: Path | None = None
    only: Sequence[str] = ()
    parameters: Mapping[str, Any] | None = None
    jobs: int = 1
    timeout: float = 1800.0

    @property
    def in_place(self) -> bool:
        """Whether results go to the workspace itself."""
        return self.output is None or self.output.resolve() == self.root.resolve()

    @property
    def executed(self) -> Path:
        """The directory of the executed notebooks."""
        return self.root / "notebooks" / "executed" if self.in_place else self._out / "executed"

    @property
    def figures(self) -> Path:
        """The directory of the figures."""
        return self._out / "figures"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.executed / "verdicts.json"

    @property
    def _out(self) -> Path:
        return self.root if self.output is None else self.output.resolve()

    @property
    def names(self) -> list[str]:
        """All notebooks of the workspace."""
        return [path.stem for path in find_notebooks(self.root)]


@dataclass(frozen=True)
class Report:
    """How a run ended.

    Parameters
    ----------
    succeeded : tuple of str
        Notebooks that ran to their end with every claim verified.
    failed : dict
        Notebook -> cause.
    missing : tuple of str
        Claims that should have been recorded in this run and were not.
    entries : dict
        The ledger after the run.
    """

    succeeded: tuple[str, ...]
    failed: dict[str, str]
    missing: tuple[str, ...]
    entries: dict[str, Entry]

    @property
    def verified(self) -> bool:
        """Whether nothing failed and nothing is missing."""
        return not self.failed and not self.missing


def make_tasks(plan: Plan) -> list[Task]:
    """Choose the notebooks and give each its parameters.

    Raises
    ------
    WorkspaceError
        If there are no notebooks, a name is unknown, or no notebook has a parameter.
    """
    names = plan.names
    if not names:
        raise WorkspaceError(f"{plan.root / 'notebooks'} holds no notebook named NN-name.ipynb")
    unknown = [name for name in plan.only if name not in names]
    if unknown:
        raise WorkspaceError(f"no notebook {unknown[0]!r}; there are: {', '.join(names)}")
    paths = [path for path in find_notebooks(plan.root) if not plan.only or path.stem in plan.only]
    known = {path: parameter_names(path) for path in paths}
    parameters = {"profile": "full"} | dict(plan.parameters or {})
    for name in parameters:
        without = [path.stem for path in paths if name not in known[path]]
        if len(without) == len(paths) or (name == "profile" and without):
            raise WorkspaceError(
                f"no parameter {name!r} in the cell tagged 'parameters' of: {', '.join(without)}"
            )
    return [
        Task(
            path.resolve(),
            {name: value for name, value in parameters.items() if name in known[path]},
            plan.timeout,
            plan.root.resolve(),
        )
        for path in paths
    ]


def parameter_names(path: Path) -> list[str]:
    """List the names that a notebook's cell tagged ``parameters`` assigns; empty without one."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    names: list[str] = []
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            for statement in ast.parse("".join(cell["source"])).body:
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                if isinstance(statement, ast.AnnAssign):
                    targets = [statement.target]
                names += [target.id for target in targets if isinstance(target, ast.Name)]
            break  # papermill looks at the first only
    return names
