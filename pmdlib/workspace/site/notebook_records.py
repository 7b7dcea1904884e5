"""Notebooks as the workspace holds them: what was executed, what failed and where."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pmdlib.workspace.ledger import Entry, read_verdicts
from pmdlib.workspace.tables import failures

State = Literal["executed", "failed", "never run"]

_SAVED = re.compile(r"""save_figure\(.*?,\s*["']([0-9a-z-]+)["']""", re.DOTALL)
TITLE = re.compile(r"^#\s+(.+?)\s*$", re.MULTILINE)
"""The heading of a notebook."""


@dataclass(frozen=True)
class NotebookRecord:
    """A notebook as the workspace holds it.

    Attributes
    ----------
    name : str
    content : dict
        The notebook, as JSON reads it.
    state : "executed", "failed" or "never run"
    cause : str
        Why and where it failed; empty if it did not.
    failing : int or None
        Index of the cell at which it failed.
    """

    name: str
    content: dict[str, Any]
    state: State
    cause: str = ""
    failing: int | None = None

    @property
    def title(self) -> str:
        """The first heading, or the name."""
        texts = markdown_sources(self.content)
        return next((found[1] for text in texts if (found := TITLE.search(text))), self.name)

    @property
    def verdicts(self) -> dict[str, Entry]:
        """The verdicts that this run recorded; none if it failed before."""
        return read_verdicts(self.content)

    @property
    def figures(self) -> list[str]:
        """Names of the figures that this run has drawn, in order."""
        return [name for cell in self.content["cells"] for name in drawn_figures(cell)]


def read_notebook(root: Path, name: str) -> NotebookRecord:
    """Read the last run of a notebook: a failed one if it is kept, else what was executed.

    Parameters
    ----------
    root : Path
        The workspace.
    name : str
        The notebook's name, as in "05-policy-improvement-kl".
    """
    for folder in ("notebooks/executed/failed", "notebooks/executed", "notebooks"):
        path = root / folder / f"{name}.ipynb"
        if path.is_file():
            break
    content = json.loads(path.read_text(encoding="utf-8"))
    if folder == "notebooks":
        return NotebookRecord(name, content, "never run")
    cause, failing = _failure(content)
    if folder.endswith("failed"):
        cause = cause or "it ran to its end, but its results were refused"
    return NotebookRecord(name, content, "failed" if cause else "executed", cause, failing)


def _failure(content: Mapping[str, Any]) -> tuple[str, int | None]:
    """Say why a run failed, and at which cell; the cause is empty if it did not."""
    cells = content["cells"]
    code = [k for k, cell in enumerate(cells) if cell["cell_type"] == "code" and cell_source(cell)]
    for index in code:
        for output in cells[index]["outputs"]:
            if output["output_type"] == "error":
                message = " ".join(f"{output['ename']}: {output['evalue']}".split())
                return f"cell [{cells[index]['execution_count']}] raised {message}", index
    for index in code:
        if cells[index]["execution_count"] is None:
            return f"it stopped at cell {index + 1}, which has no result", index
    recorded = read_verdicts(content)
    problems = [text for name, entry in recorded.items() for text in failures(name, entry)]
    if not recorded:
        problems.append("it recorded no verdict")
    return "; ".join(problems), None


def claim_figures(record: NotebookRecord) -> dict[str, str]:
    """Name for each claim of a notebook the figure that shows it.

    That is the one drawn by `slack_plot` from the claim's verdict; else the first figure of a cell
    that uses the verdict.

    Returns
    -------
    dict
        Claim -> figure; without the claims that no figure is drawn from.
    """
    verdicts: dict[str, str] = {}
    plotted: dict[str, str] = {}
    used: dict[str, str] = {}
    for cell in record.content["cells"]:
        tree = _parsed(cell)
        verdicts.update(_verified(tree))
        figures = drawn_figures(cell)
        if not figures:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == "slack_plot":
                for name in _names(node) & verdicts.keys():
                    plotted.setdefault(verdicts[name], figures[0])
        for name in _names(tree) & verdicts.keys():
            used.setdefault(verdicts[name], figures[0])
    return used | plotted


def drawn_figures(cell: Mapping[str, Any]) -> list[str]:
    """Name the figures that a cell saves and shows, one for each of its pictures.

    Returns
    -------
    list of str
        Empty if there are more pictures than names, or fewer: then none can be told apart.
    """
    if cell["cell_type"] != "code":
        return []
    names: list[str] = _SAVED.findall(cell_source(cell))
    return names if len(names) == len(pictures(cell)) else []


def pictures(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs of a code cell that are pictures."""
    return [output for output in cell["outputs"] if "image/png" in output.get("data", {})]


def markdown_sources(content: Mapping[str, Any]) -> Iterator[str]:
    """Give the text of each Markdown cell."""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            yield cell_source(cell)


def cell_source(cell: Mapping[str, Any]) -> str:
    """Return the text of a cell, which a file keeps as lines or in one piece."""
    return "".join(cell["source"]).strip()


def _parsed(cell: Mapping[str, Any]) -> ast.AST:
    """Parse a cell of Python; a cell of another kind, or with magics, is an empty program."""
    try:
        return ast.parse(cell_source(cell) if cell["cell_type"] == "code" else "")
    except SyntaxError:
        return ast.parse("")


def _verified(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Find ``variable = pmd.verify("claim", ..)``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Call)
            and _called(node.value) == "verify"
            and node.value.args
            and isinstance(node.value.args[0], ast.Constant)
        ):
            yield node.targets[0].id, str(node.value.args[0].value)


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
