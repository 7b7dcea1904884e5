"""The front page: the ledger on one screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmdlib.workspace.ledger import ClaimLike
from pmdlib.workspace.site.notebook_records import NotebookRecord, claim_figures
from pmdlib.workspace.tables import failures, shown_by, summary

TEMPLATES = Path(__file__).parent / "templates"

COLUMNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("numeric",), "evidence: float instances"),
    (("exact", "certified"), "proved, one by one: instances"),
    (("symbolic",), "proved for all of a shape: identities"),
    (("interval",), "proved by machine: lemmas"),
    (("adversarial",), "survived: attacks"),
)
"""Ways of checking that share a column, and what its numbers count."""


@dataclass(frozen=True)
class Way:
    """One cell of the ledger: a number, and the whole of what is to be said."""

    number: str = ""
    words: str = ""


@dataclass(frozen=True)
class Row:
    """One claim in the ledger.

    Attributes
    ----------
    name, label, tag : str
    notebook, title : str
        The notebook that shows it, and its heading.
    page, figure, code : str
        Addresses, relative to the front page; empty where there is none.
    status : str
        "verified", or what keeps it from being so, in few words.
    note : str
        The same in full; empty if it is verified.
    ways : tuple of Way
        One for each of `COLUMNS`.
    tightest, slack : str
        How close it came to failing: a number, and the whole of it.
    controls : str
        As in "2/2".
    """

    name: str
    label: str
    tag: str
    notebook: str
    title: str
    page: str
    figure: str
    code: str
    status: str
    note: str = ""
    ways: tuple[Way, ...] = field(default=(Way(),) * len(COLUMNS))
    tightest: str = ""
    slack: str = ""
    controls: str = ""

    @property
    def verified(self) -> bool:
        """Whether the claim holds and all its controls are refuted."""
        return self.status == "verified"


def ledger_rows(
    claims: Mapping[str, ClaimLike],
    records: Mapping[str, NotebookRecord],
    code: Mapping[str, str],
) -> list[Row]:
    """Say of each claim what its notebook recorded, or why there is no record.

    Parameters
    ----------
    claims : mapping
        The registry: name -> claim.
    records : mapping
        Notebook -> its last run.
    code : mapping
        Claim -> address of its code on the site.
    """
    figures = {name: claim_figures(record) for name, record in records.items()}
    rows = []
    for name, claim in claims.items():
        record = records.get(claim.notebook)
        page = "" if record is None else f"notebooks/{record.name}.html"
        figure = figures.get(claim.notebook, {}).get(name, "")
        if record and not figure:
            slack = (name for name in record.figures if "-slack" in name)
            figure = next(slack, "".join(record.figures[:1]))
        rows.append(
            Row(
                name=name,
                label=claim.label,
                tag=claim.tag,
                notebook=claim.notebook,
                title="" if record is None else record.title,
                page=page,
                figure=f"{page}#{figure}" if figure else "",
                code=code.get(name, ""),
                **_found(name, record),
            )
        )
    return rows


def _found(name: str, record: NotebookRecord | None) -> dict[str, Any]:
    """Return what a row says of the check itself."""
    if record is None:
        return {"status": "no notebook", "note": "no notebook of this workspace shows it"}
    if record.state == "never run":
        return {"status": "not run", "note": "its notebook has never been run"}
    entry = record.verdicts.get(name)
    if entry is None:
        if record.state == "failed":
            return {"status": "notebook failed", "note": record.cause}
        return {"status": "no verdict", "note": "its notebook recorded no verdict on it"}
    ((_, _, _, slack, controls),) = summary({name: entry})
    problems = failures(name, entry)
    status = "verified"
    if problems:
        status = "control survived" if entry["verdict"] == "verified" else str(entry["verdict"])
    elif record.state == "failed":
        status, problems = "notebook failed", [record.cause]
    shown = shown_by(entry["ways"])
    return {
        "status": status,
        "note": "; ".join(problems),
        "ways": tuple(_way(shown, names) for names, _ in COLUMNS),
        "tightest": slack.rsplit("≥ ", 1)[-1].removeprefix("error "),
        "slack": slack,
        "controls": controls,
    }


def _way(shown: Mapping[str, str], names: tuple[str, ...]) -> Way:
    """Say what the ways of one column showed; a mark stands for what is told in brackets."""
    found = {name: shown[name] for name in names if name in shown}
    numbers = [
        (text.split(" ")[0] or "✓") + ("°" if "(" in text else "") for text in found.values()
    ]
    words = "; ".join(f"{name}: {text}" for name, text in found.items())
    return Way(" + ".join(numbers), words)


def front_page(rows: list[Row]) -> str:
    """Return the front page in Markdown: the ledger, and how to read it.

    Parameters
    ----------
    rows : list of Row
        In the order of the registry; neighbours of the same notebook share its number.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.notebook, []).append(row)
    refuted = [row.controls.split("/") for row in rows if row.controls]
    return environment.get_template("index.md").render(
        groups=groups,
        columns=COLUMNS,
        rows=rows,
        verified=sum(row.verified for row in rows),
        refuted=sum(int(done) for done, _ in refuted),
        controls=sum(int(all_of_them) for _, all_of_them in refuted),
    )
