"""All pages of the site, as Markdown and notebooks in one folder."""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pmdlib.files import write_atomically
from pmdlib.workspace.files import find_notebooks
from pmdlib.workspace.site.alternatives import plain
from pmdlib.workspace.site.api_pages import api_pages
from pmdlib.workspace.site.ledger_page import front_page, ledger_rows
from pmdlib.workspace.site.links import Links
from pmdlib.workspace.site.notebook_pages import notebook_page
from pmdlib.workspace.site.notebook_records import NotebookRecord, read_notebook
from pmdlib.workspace.site.source_files import claim_code
from pmdlib.workspace.site.theory_pages import statements_page, theory_index, theory_sources

DOCUMENTS: Mapping[str, str] = {
    "README.md": "workspace",
    "CONTRIBUTING.md": "extend",
    "CHANGELOG.md": "changes",
    "figures/bench.md": "benchmarks",
}
"""Documents of a workspace and their pages; those that are not there are left out."""

MENU: Mapping[str, str] = {
    "notebooks/index": "Notebooks",
    "theory/index": "Theory",
    "explore": "Explore",
    "workspace": "Workspace",
    "extend": "Extend",
    "api/index": "Library",
    "benchmarks": "Benchmarks",
    "changes": "Changes",
}
"""The pages in the bar at the top, in this order, as far as there are any."""


def write_pages(root: Path, claims: Mapping[str, Any], folder: Path) -> set[str]:
    """Write the sources of all pages.

    Parameters
    ----------
    root : Path
        The workspace.
    claims : mapping
        The registry: name -> claim.
    folder : Path
        Where to, empty.

    Returns
    -------
    set of str
        Files of the workspace that pages link to and that must be copied to files/.

    Raises
    ------
    WorkspaceError
        If a document links to a file that does not exist.
    """
    records = {path.stem: read_notebook(root, path.stem) for path in find_notebooks(root)}
    documents = {file: page for file, page in DOCUMENTS.items() if (root / file).is_file()}
    theory = _theory(claims, records)
    own = {f"{page}.md": page for page in theory}
    links = Links(root, documents | _notebook_files(records) | own)
    code, files = claim_code(claims)
    pages = {"index": front_page(ledger_rows(claims, records, code))}
    pages |= _documents(links, documents)
    pages |= {
        page: links.rewrite(text, f"{page}.md", page, strict=False) for page, text in theory.items()
    }
    pages |= api_pages()
    for name, record in records.items():
        page = json.dumps(notebook_page(record, links), ensure_ascii=False)
        write_atomically(folder / "notebooks" / f"{name}.ipynb", page)
    pages["notebooks/index"] = _notebook_index(records)
    explorer = _explorer()
    if explorer is not None:
        write_atomically(folder / "explorer.html", explorer)
        pages["explore"] = _EXPLORE
    menu = {page: title for page, title in MENU.items() if page in pages}
    pages["index"] += _toctree(menu, hidden=True)
    for name, text in pages.items():
        write_atomically(folder / f"{name}.md", text)
    shown = {page: str(path) for page, path in files.items()}
    write_atomically(folder / "sources.json", json.dumps(shown))
    return links.copied


def _notebook_files(records: Mapping[str, NotebookRecord]) -> dict[str, str]:
    """Name the page of every notebook: README links to what was executed, notebooks to sources."""
    folders = ("notebooks", "notebooks/executed")
    return {f"{folder}/{name}.ipynb": f"notebooks/{name}" for folder in folders for name in records}


def _documents(links: Links, documents: Mapping[str, str]) -> dict[str, str]:
    """Return the documents of the workspace as pages."""
    pages = {}
    for file, page in documents.items():
        text = (links.root / file).read_text(encoding="utf-8")
        if page == "benchmarks":
            picture = "![Each benchmark over its goal](bench.svg)\n\n"
            exists = (links.root / "figures" / "bench.svg").is_file()
            text = f"# Benchmarks\n\n{picture if exists else ''}{text}"
        pages[page] = links.rewrite(text, file, page)
    return pages


def _theory(claims: Mapping[str, Any], records: Mapping[str, NotebookRecord]) -> dict[str, str]:
    """Return the pages of the theory; they may link as if they lay in theory/ of the workspace."""
    sources = theory_sources()
    titles = {name: record.title for name, record in records.items()}
    pages = sources | {"theory/index": theory_index(sources)}
    pages["theory/statements"] = statements_page(claims, titles)
    return pages


def _notebook_index(records: Mapping[str, NotebookRecord]) -> str:
    lines = ["# Notebooks", "", "Each shows a few claims: statement, argument, check, controls."]
    titles = {name: f"{name[:2]} {plain(record.title)}" for name, record in records.items()}
    return "\n".join(lines) + _toctree(titles)


_EXPLORE = """\
---
html_theme.sidebar_secondary.remove: true
---

# Explore

```{raw} html
:file: explorer.html
```
"""


def _explorer() -> str | None:
    """Return the explorer's fragment of HTML, if this version of pmdlib has one."""
    if find_spec("pmdlib.workspace.explorer") is None:
        return None
    fragment: str = import_module("pmdlib.workspace.explorer").page()
    return fragment


def _toctree(pages: Mapping[str, str], *, hidden: bool = False) -> str:
    """Return a list of pages for Sphinx: page -> how it is called there."""
    options = ":hidden:\n" if hidden else ":maxdepth: 1\n"
    lines = "\n".join(f"{title} <{page}>" for page, title in pages.items())
    return f"\n\n```{{toctree}}\n{options}\n{lines}\n```\n"
