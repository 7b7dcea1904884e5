"""Notebooks as pages: with pictures that have words, links that lead somewhere, failures first."""

import copy
import html
import re
from pathlib import Path
from typing import Any

from pmdlib.workspace.ledger import MIME_TYPE
from pmdlib.workspace.site.alternatives import describe_figure, plain
from pmdlib.workspace.site.links import Links, relative
from pmdlib.workspace.site.notebook_records import (
    TITLE,
    NotebookRecord,
    cell_source,
    drawn_figures,
    markdown_sources,
    pictures,
)

Cell = dict[str, Any]

PAPERMILL_ERROR = "papermill-error-cell-tag"
"""Cells with this tag were put in by papermill to say what the banner here says."""


def notebook_page(record: NotebookRecord, links: Links) -> dict[str, Any]:
    """Return a notebook ready for the site.

    Its figures are the SVG files with words for who cannot see them, its links lead to pages, its
    verdicts can be linked to as #verdicts, and a failure is said first, and shown where it was.

    Parameters
    ----------
    record : NotebookRecord
    links : Links

    Returns
    -------
    dict
        A notebook of Jupyter's format; the record is not changed.
    """
    page = f"notebooks/{record.name}"
    notebook = copy.deepcopy(record.content)
    cells: list[Cell] = []
    heading = record.title
    for index, cell in enumerate(notebook["cells"]):
        if PAPERMILL_ERROR in cell["metadata"].get("tags", ()):
            continue
        if index == record.failing:
            cells.append(_banner("failing-cell", "danger", "Here it failed", record.cause))
        if cell["cell_type"] == "markdown":
            source = cell_source(cell)
            heading = (re.findall(r"^#+\s+(.+?)\s*$", source, re.MULTILINE) or [heading])[-1]
            cell["source"] = links.rewrite(source, f"{page}.ipynb", page)  # as its author wrote it
        elif cell["cell_type"] == "code":
            _typeset_tables(cell)
            _show_figures(cell, heading, links, page)
        cells.append(cell)
    if not any(TITLE.search(text) for text in markdown_sources(notebook)):
        cells.insert(0, _cell(f"# {record.name}"))
    if record.state == "failed":
        where = "" if record.failing is None else ' <a href="#failing-cell">Go to the cell.</a>'
        text = f"{html.escape(record.cause)}.{where}"
        cells.insert(0, _banner("failed", "danger", "This notebook failed", text, escaped=True))
    elif record.state == "never run":
        text = (
            "This page shows its source, without results. Run it with "
            f"pmdlib verify --only {record.name}"
        )
        cells.insert(0, _banner("never-run", "warning", "This notebook has never been run", text))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return notebook | {"cells": cells, "nbformat": 4, "nbformat_minor": 5}


def _show_figures(cell: Cell, heading: str, links: Links, page: str) -> None:
    """Replace each bitmap by the SVG file that the cell saved with it, and say what it shows."""
    known = drawn_figures(cell)
    for number, output in enumerate(pictures(cell)):
        data = output["data"]
        name = known[number] if known else ""
        file = links.root / "figures" / f"{name}.svg"
        about = alternative("", heading)
        source = "data:image/png;base64," + "".join(data["image/png"]).replace("\n", "")
        link, size = source, ""
        if name and file.is_file():
            about = alternative(describe_figure(file), heading)
            link = source = relative(f"figures/{name}.svg", page)
            size = _size(file)
        identity = f' id="{name}"' if name else ""
        picture = f'<img src="{source}" alt="{html.escape(about)}"{size} loading="lazy">'
        opened = f'<a href="{link}">{picture}</a>' if name else picture
        output["data"] = {"text/html": f'<figure class="figure"{identity}>{opened}</figure>'}


def alternative(description: str, heading: str) -> str:
    """Return the alternative text of a figure: the heading that it stands under, and its words."""
    return f"{plain(heading.replace('`', '')).rstrip('.')}. {description or 'Chart.'}"


def _size(file: Path) -> str:
    """Return width and height of an SVG file as attributes, so that text does not jump."""
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', file.read_text("utf-8")[:2000])
    if found is None:
        return ""
    width, height = (round(float(number) * 4 / 3) for number in found.groups())
    return f' width="{width}" height="{height}"'


def _typeset_tables(cell: Cell) -> None:
    """Let mathematics in tables be set, and make that of the verdicts a place to link to."""
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/html" in data:
            table = "".join(data["text/html"])
            verdicts = ' verdicts" id="verdicts' if MIME_TYPE in data else ""
            page = f'<div class="mathjax_process{verdicts}">{table}</div>'
            output["data"] = {"text/html": page}


def _banner(identity: str, kind: str, title: str, text: str, *, escaped: bool = False) -> Cell:
    """Return a Markdown cell with a note that cannot be overlooked."""
    body = text if escaped else html.escape(text)
    return _cell(
        f'<div class="admonition {kind}" id="{identity}">'
        f'<p class="admonition-title">{title}</p><p>{body}</p></div>'
    )


def _cell(source: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source}
