"""New notebooks, and new claims in old ones."""

import ast
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.templates.filling import fill, replace_all
from pmdlib.workspace.templates.names import title

Notebook = dict[str, Any]

REPEATED = ("statement", "verify", "controls-table", "slack")
"""The cells of the template that a further claim needs once more."""

IMPORTS = """import matplotlib.pyplot as plt

import pmdlib as pmd
from pmdlib.workspace import controls_table, save_figure, slack_plot, ways_table

"""
"""What they need, whatever their notebook has imported."""


class Stated(Protocol):
    """What a notebook says of a claim."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def tag(self) -> str:
        """Where the statement stands."""

    @property
    def label(self) -> str:
        """Where it comes from."""

    @property
    def statement(self) -> str:
        """LaTeX without dollar signs."""


def new_notebook(name: str, claims: Sequence[Stated]) -> str:
    """Return the source of a notebook that shows these claims.

    Parameters
    ----------
    name : str
        NN-name.
    claims : sequence of Claim
        At least one.
    """
    first, *others = claims
    notebook = json.loads(fill("notebook.ipynb", {"00-my-notebook": name}))
    _name_claim(notebook["cells"], first, title(name[3:]))
    for claim in others:
        notebook = with_claim(notebook, name, claim)
    return as_text(notebook)


def read_notebook(path: Path) -> Notebook:
    """Read a notebook's source.

    Raises
    ------
    WorkspaceError
        If it is no notebook.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkspaceError(f"{path} is no notebook: {error}") from None
    if not isinstance(read, dict) or not read.get("cells"):
        raise WorkspaceError(f"{path} is no notebook: it has no cells")
    return read


def as_text(notebook: Notebook) -> str:
    """Return the JSON text of a notebook, laid out as Jupyter does."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def with_claim(notebook: Notebook, name: str, claim: Stated) -> Notebook:
    """Return a notebook that shows one more claim, before its last cell and in it.

    Parameters
    ----------
    notebook : dict
        Its last cell calls ``conclude(verdict, ..)``.
    name : str
        NN-name.
    claim : Claim

    Raises
    ------
    WorkspaceError
        If the last cell is another one, or a cell of the claim is there already.
    """
    changed: Notebook = copy.deepcopy(notebook)
    last = changed["cells"][-1]
    shown = _concluded("".join(last["source"]), name)
    variable = f"verdict_{len(shown) + 1}"
    added = _section(name, claim, variable)
    taken = {cell.get("id") for cell in changed["cells"]} & {cell["id"] for cell in added}
    if taken:
        raise WorkspaceError(f"notebook {name} has a cell {min(taken)!r} already")
    last["source"] = _lines(_call([*shown, variable]))
    changed["cells"][-1:] = [*added, last]
    return changed


def _section(name: str, claim: Stated, variable: str) -> list[dict[str, Any]]:
    """Return the cells of the template that speak of its claim, for another one."""
    names = {"00-my-notebook-slack": f"{name}-{claim.name}", "verdict": variable}
    names |= {", instances=instances": ""}  # not every notebook has this parameter
    template = json.loads(fill("notebook.ipynb", {}))
    cells = [cell for cell in template["cells"] if cell["id"] in REPEATED]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            text = replace_all(text, names)
        else:
            text = text.replace("# ", "## ", 1).replace("this notebook yours", "this section yours")
        cell["source"] = _lines(f"{IMPORTS}{text}" if cell["id"] == "verify" else text)
    _name_claim(cells, claim, title(claim.name))
    for cell in cells:
        cell["id"] = f"{claim.name}-{cell['id']}"
    return cells


def _name_claim(cells: list[dict[str, Any]], claim: Stated, heading: str) -> None:
    """Put a claim into cells of the template."""
    names = {"TITLE": heading, "STATEMENT": claim.statement, "TAG": claim.tag}
    names |= {"LABEL": claim.label, "my-claim": claim.name}
    for cell in cells:
        if cell["cell_type"] == "code" or cell["id"] == "statement":
            cell["source"] = _lines(replace_all("".join(cell["source"]), names))


def _concluded(source: str, name: str) -> list[str]:
    """Return what the last cell of a notebook passes to ``conclude``."""
    try:
        (statement,) = ast.parse(source).body
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "conclude":
            raise ValueError
    except (SyntaxError, ValueError):
        raise WorkspaceError(
            f"the last cell of notebook {name} is no call of conclude alone: add the claim by hand"
        ) from None
    return [ast.unparse(argument) for argument in call.args]


def _call(verdicts: list[str]) -> str:
    """Write the last cell, as ruff would."""
    passed = ", ".join(verdicts)
    return f"conclude({passed})" if len(passed) < 90 else f"conclude(\n    {passed}\n)"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
