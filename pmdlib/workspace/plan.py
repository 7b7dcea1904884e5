"""What a run of the notebooks is to do, and how it ended."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pmdlib.workspace.execution import Task
from pmdlib.workspace.files import WorkspaceError, find_notebooks, owner
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
        The notebooks to run, by name, number or beginning of the name; all by default.
    parameters : mapping
        Values for the cells tagged ``parameters``; each goes to the notebooks that have it, but
        ``profile`` every notebook must have.
    jobs : int
        How many notebooks at a time.
    timeout : float
        Seconds for each notebook.
    fork : bool
        Fork kernels from a server where that can be done; see `pmdlib.workspace.kernels`.
    scheduler : str, optional
        Address of a Dask scheduler whose workers run the notebooks.
    force : bool
        Run what is up to date as well.
    """

    root: Path
    claims: Mapping[str, ClaimLike]
    output: Path | None = None
    only: Sequence[str] = ()
    parameters: Mapping[str, Any] | None = None
    jobs: int = 1
    timeout: float = 1800.0
    fork: bool = True
    scheduler: str | None = None
    force: bool = False

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

    def failed_copy(self, name: str) -> Path:
        """Say where what a failed notebook did is kept."""
        return self.executed / "failed" / f"{name}.ipynb"

    def figures_of(self, name: str) -> list[Path]:
        """List the figures that are there of a notebook."""
        found = self.figures.glob(f"{name}-*")
        return sorted(path for path in found if owner(path.name, self.names) == name)

    @property
    def _out(self) -> Path:
        return self.root if self.output is None else self.output.resolve()

    @cached_property
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
    current : tuple of str
        Notebooks that did not run: their results are up to date.
    failed : dict
        Notebook -> cause.
    missing : tuple of str
        Claims on which a verdict is owed, and the ledger has none.
    entries : dict
        The ledger after the run.
    """

    succeeded: tuple[str, ...]
    current: tuple[str, ...]
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
        If there are no notebooks, a name is unknown or means several, or no notebook has a
        parameter.
    """
    names = plan.names
    if not names:
        raise WorkspaceError(f"{plan.root / 'notebooks'} holds no notebook named NN-name.ipynb")
    chosen = [one_of(names, text) for text in plan.only] or names
    sources = {path.stem: _read(path) for path in find_notebooks(plan.root) if path.stem in chosen}
    known = {name: _parameters(name, source) for name, source in sources.items()}
    parameters = {"profile": "full"} | dict(plan.parameters or {})
    for parameter in parameters:
        without = [name for name in sources if parameter not in known[name]]
        if len(without) == len(sources) or (parameter == "profile" and without):
            raise WorkspaceError(
                f"no parameter {parameter!r} in the cell tagged 'parameters' of: "
                f"{', '.join(without)}"
            )
    return [
        Task(
            name,
            source,
            {key: value for key, value in parameters.items() if key in known[name]},
            plan.timeout,
            plan.root.resolve(),
        )
        for name, source in sources.items()
    ]


def _read(path: Path) -> str:
    """Read a notebook, and make sure that it is one."""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict) or "cells" not in document:
        raise WorkspaceError(f"{path} is no notebook of format 4: it has no cells")
    return text


def _parameters(name: str, source: str) -> dict[str, Any]:
    """Read the parameters of a notebook.

    Raises
    ------
    WorkspaceError
        If their cell is not Python.
    """
    try:
        return parameters_of(source)
    except SyntaxError as error:
        raise WorkspaceError(
            f"{name}: the cell tagged 'parameters' is not Python, line {error.lineno}: {error.msg}"
        ) from None


def one_of(names: Sequence[str], text: str) -> str:
    """Return the notebook that is meant: by its name, its number or the beginning of its name."""
    found = [name for name in names if name == text] or [
        name for name in names if text and name.startswith((text, f"{text.zfill(2)}-"))
    ]
    if len(found) == 1:
        return found[0]
    wrong = "means several notebooks" if found else "is no notebook"
    raise WorkspaceError(f"{text!r} {wrong}; there are: {', '.join(found or names)}")


def parameters_of(source: str) -> dict[str, Any]:
    """Read the cell tagged ``parameters``: name -> value, or its text where it is no constant.

    Parameters
    ----------
    source : str
        The notebook as text; without such a cell the result is empty.
    """
    found: dict[str, Any] = {}
    for cell in json.loads(source)["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            for statement in ast.parse("".join(cell["source"])).body:
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                if isinstance(statement, ast.AnnAssign):
                    targets = [statement.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                found |= {name: _constant(statement) for name in names}
            break  # papermill looks at the first only
    return found


def _constant(statement: ast.stmt) -> Any:
    """Return the value that an assignment gives, or its text."""
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)
