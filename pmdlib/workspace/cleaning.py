"""Executed notebooks without traces of when and where they ran, so that re-runs do not differ."""

import re
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+")
_CELL_FILE = re.compile(r"\S*ipykernel_[0-9]+[/\\][0-9]+\.py")
_CHATTER = re.compile(r"^.*building the font cache.*\n?", re.MULTILINE)
"""What matplotlib prints the first time it runs on a machine, and never again."""
_TEXTUAL = ("text/", "image/svg", "application/javascript")
Replacements = list[tuple[re.Pattern[str], str]]
_VOLATILE = {"execution", "papermill", "widgets"}
_KERNEL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
"""The same on every machine: no version of Python."""


def clean_notebook(
    notebook: Mapping[str, Any],
    source_ids: Collection[str] = (),
    paths: Mapping[Path, str] | None = None,
) -> dict[str, Any]:
    """Return an executed notebook with all that varies between runs and machines taken out.

    Timestamps, papermill's and the kernel's metadata, random cell ids, memory addresses, process
    ids, progress bars and absolute paths go; sources, results and tags stay.

    Parameters
    ----------
    notebook : mapping
        The executed notebook as nbformat reads it; it is not changed.
    source_ids : collection of str
        The cell ids of the notebook before execution, which are kept.
    paths : mapping, optional
        Directory -> what to print in its place, besides those of Python and of the user.

    Returns
    -------
    dict
        The clean notebook, of format 4.5.
    """
    names = _machine_paths() | {str(path): word for path, word in (paths or {}).items()}
    longest_first = sorted(names.items(), key=lambda pair: -len(pair[0]))
    pairs = [
        (re.compile(rf"(?<![\w.+/=]){re.escape(path)}(?!\w)"), to) for path, to in longest_first
    ]
    kept = {key: value for key, value in notebook["metadata"].items() if key not in _VOLATILE}
    cells = [_clean_cell(cell, i, source_ids, pairs) for i, cell in enumerate(notebook["cells"])]
    return {
        "cells": cells,
        "metadata": kept | _KERNEL,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _machine_paths() -> dict[str, str]:
    """Name the directories of this machine that appear in warnings and tracebacks."""
    temporary = tempfile.gettempdir()
    names = {
        str(Path.home()): "~",
        temporary: "<tmp>",
        str(Path(temporary).resolve()): "<tmp>",
        sys.base_prefix: "<python>",
        sys.prefix: "<environment>",
    }
    return {path: word for path, word in names.items() if len(path) > 1}


def _clean_cell(
    cell: Mapping[str, Any], index: int, source_ids: Collection[str], pairs: Replacements
) -> dict[str, Any]:
    """Return one cell with a fixed id, its tags and its scrubbed outputs."""
    metadata = {key: value for key, value in cell["metadata"].items() if key not in _VOLATILE}
    identity = cell.get("id")
    if identity not in source_ids:
        injected = "injected-parameters" in metadata.get("tags", ())
        identity = "injected-parameters" if injected else f"cell-{index}"
    clean = {"cell_type": cell["cell_type"], "id": identity, "metadata": metadata}
    if cell["cell_type"] == "code":
        outputs = (_clean_output(output, pairs) for output in cell["outputs"])
        clean["execution_count"] = cell["execution_count"]
        clean["outputs"] = [output for output in outputs if output.get("text") != ""]
    clean["source"] = cell["source"]
    if "attachments" in cell:
        clean["attachments"] = cell["attachments"]
    return clean


def _clean_output(output: Mapping[str, Any], pairs: Replacements) -> dict[str, Any]:
    """Return one output, its text scrubbed; images and numbers as they are."""
    clean = dict(output)
    if "text" in clean:
        text = _CHATTER.sub("", _without_rewrites(clean["text"]))
        clean["text"] = _scrub(text, pairs)
    if "data" in clean:
        clean["data"] = {
            kind: _scrub(value, pairs) if kind.startswith(_TEXTUAL) else value
            for kind, value in clean["data"].items()
        }
    if "traceback" in clean:
        clean["traceback"] = [_scrub(line, pairs) for line in clean["traceback"]]
        clean["evalue"] = _scrub(clean["evalue"], pairs)
    return clean


def _without_rewrites(text: str) -> str:
    """Keep of each line what stays on a terminal after the last carriage return."""
    lines = text.split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


def _scrub(text: str, pairs: Replacements) -> str:
    """Replace memory addresses, cell files with their process ids, and known directories."""
    text = _CELL_FILE.sub("<cell>", _ADDRESS.sub("at 0x0", text))
    for path, word in pairs:
        text = path.sub(word, text)
    return text


def with_prose(source: Mapping[str, Any], executed: Mapping[str, Any]) -> str:
    """Return an executed notebook with the prose of a source whose code is the same.

    Parameters
    ----------
    source : mapping
        The notebook.
    executed : mapping
        Its clean executed copy, of which code cells and outputs are kept.

    Returns
    -------
    str
        The notebook of format 4.5, as text.
    """
    import nbformat

    ran = iter([cell for cell in executed["cells"] if cell["cell_type"] == "code"])
    given = False
    cells: list[dict[str, Any]] = []
    for index, cell in enumerate(source["cells"]):
        if cell["cell_type"] != "code":
            tagged = {**cell, "metadata": {"tags": []} | cell["metadata"]}  # as papermill does
            cells.append(_clean_cell(tagged, index, {cell.get("id")}, []))
            continue
        tags = cell["metadata"].get("tags", ())
        if "injected-parameters" in tags:
            continue  # of an earlier run: papermill replaced it
        cells.append(next(ran))
        if "parameters" in tags and not given:
            given = True
            cells.append(next(ran))  # papermill put the values given after their defaults
    clean = {**executed, "cells": cells}
    return f"{nbformat.writes(nbformat.from_dict(clean))}\n"  # type: ignore[no-untyped-call]
