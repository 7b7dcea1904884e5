"""The theory: pages written by hand, and every statement with its formula from the registry."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = HERE / "pages" / "theory"
BIBLIOGRAPHY = HERE / "references.bib"

_INTRODUCTION = """\
# Theory

What is claimed, and why it is true. [The statements](statements.md) lists every claim with its
formula; the arguments are in the notebooks that it names.
"""


def theory_sources(folder: Path = PAGES) -> dict[str, str]:
    """Read the pages written by hand: name on the site -> Markdown, in order of their names."""
    return {
        f"theory/{path.stem}": path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*.md"))
    }


def theory_index(sources: Mapping[str, str]) -> str:
    """Return the page that lists the theory; one called "index" among the sources is kept.

    Parameters
    ----------
    sources : mapping
        As `theory_sources` returns them.
    """
    text = sources.get("theory/index", _INTRODUCTION)
    if "{toctree}" in text:
        return text
    names = [name.removeprefix("theory/") for name in sources if name != "theory/index"]
    contents = "\n".join([*names, "statements"])
    return f"{text.rstrip()}\n\n```{{toctree}}\n:maxdepth: 1\n\n{contents}\n```\n"


def statements_page(claims: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the page of all statements, grouped by notebook.

    Parameters
    ----------
    claims : mapping
        The registry.
    titles : mapping
        Notebook -> its heading.
    """
    text = [
        "# The statements",
        "",
        "As the code checks them; symbols are explained in the notebook.",
    ]
    notebook = ""
    for name, claim in claims.items():
        if claim.notebook != notebook:
            notebook = claim.notebook
            title = titles.get(notebook)
            link = f"[{title}](/notebooks/{notebook}.ipynb)" if title else notebook
            text += ["", f"## {notebook[:2]} {link}"]
        text += ["", f"({name})=", "", f"### {_escaped(claim.label)}", ""]
        text += [f"**[{claim.tag}]**, claim `{name}`"]
        text += ["", formula(claim.statement)]
        controls = [
            f"- {control.name}: {control.description}"
            for control in claim.controls
            if getattr(control, "description", "")
        ]
        if controls:
            text += ["", "False variants that must be refuted:", "", *map(_escaped, controls)]
    return "\n".join(text) + "\n"


def formula(statement: str) -> str:
    """Return a statement as displayed mathematics; one that mixes in words has its own dollars."""
    return statement if "$" in statement else f"$$\n{statement}\n$$"


def _escaped(text: str) -> str:
    """Return text that Markdown must take as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", text)
