"""The record of what was verified: carried by the notebooks themselves, gathered in one file."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pmdlib.files import write_atomically
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.tables import failures, html_table, text_table

MIME_TYPE = "application/vnd.pmdlib.verdicts+json"
"""Under this type a notebook's last output carries its verdicts, beside what people read."""

FIELDS = (
    "tag",
    "label",
    "statement",
    "notebook",
    "verdict",
    "profile",
    "seed",
    "ways",
    "controls",
)

DIGITS = 6
"""Significant digits kept of a recorded number: enough to read, few enough to stay the same."""

Entry = dict[str, Any]


class VerdictLike(Protocol):
    """What the ledger needs of a verdict."""

    def to_dict(self) -> Mapping[str, Any]:
        """Return name, tag, label, statement, notebook, verdict, profile, seed, ways, controls."""


class ClaimLike(Protocol):
    """What the workspace needs of a claim."""

    @property
    def tag(self) -> str:
        """Where the statement stands: "paper", "derived" or "beyond"."""

    @property
    def label(self) -> str:
        """The statement's label as printed, or its name."""

    @property
    def notebook(self) -> str:
        """The notebook that shows it."""

    @property
    def controls(self) -> Sequence[Any]:
        """The false variants that must be refuted."""


class NotVerifiedError(WorkspaceError):
    """A claim was not verified, or one of its controls was not refuted."""


def conclude(*verdicts: VerdictLike) -> None:
    """Show the verdicts, record them in the notebook, and raise unless all are verified.

    The last cell of every notebook calls this.

    Parameters
    ----------
    *verdicts : Verdict
        What `pmdlib.verify` returned, one for each claim that the notebook shows.

    Raises
    ------
    NotVerifiedError
        If a claim is not verified or a control survived; the message names each.
    WorkspaceError
        If no verdict is given, one is given twice, or one lacks a field.
    """
    if not verdicts:
        raise WorkspaceError("conclude() needs at least one verdict")
    entries: dict[str, Entry] = {}
    for verdict in verdicts:
        name, entry = entry_of(verdict.to_dict())
        if name in entries:
            raise WorkspaceError(f"conclude() was given two verdicts on {name!r}")
        entries[name] = entry
    _show(entries)
    problems = [problem for name, entry in entries.items() for problem in failures(name, entry)]
    if problems:
        raise NotVerifiedError("; ".join(problems))


def _show(entries: dict[str, Entry]) -> None:
    """Display the table and the record as one output; as text where there is no notebook."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    text = text_table(entries)
    if get_ipython() is None:
        sys.stdout.write(text + "\n")
        return
    bundle = {"text/html": html_table(entries), "text/plain": text, MIME_TYPE: entries}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]


def entry_of(record: Mapping[str, Any]) -> tuple[str, Entry]:
    """Return the name and the ledger entry of a verdict's dictionary."""
    missing = [field for field in ("name", *FIELDS) if field not in record]
    if missing:
        raise WorkspaceError(f"verdict {record.get('name')!r} lacks {', '.join(missing)}")
    return str(record["name"]), {field: _rounded(record[field]) for field in FIELDS}


def _rounded(value: Any) -> Any:
    """Copy a JSON value with every float rounded; infinities and NaN, unknown to JSON, as text."""
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else str(value)
    return _rounded(value.item()) if hasattr(value, "item") else value


def read_verdicts(notebook: Mapping[str, Any]) -> dict[str, Entry]:
    """Read the verdicts that an executed notebook recorded.

    Parameters
    ----------
    notebook : mapping
        A notebook as nbformat or json reads it.

    Returns
    -------
    dict
        Claim name -> entry; empty if the notebook recorded none. The last record of a claim holds.
    """
    found: dict[str, Entry] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            found.update(output.get("data", {}).get(MIME_TYPE, {}))
    return found


def gather(
    executed: Path, notebooks: Iterable[str], claims: Mapping[str, ClaimLike]
) -> dict[str, Entry]:
    """Gather the ledger from the executed notebooks, which are the record.

    Parameters
    ----------
    executed : Path
        The directory of the executed notebooks.
    notebooks : iterable of str
        Their names; those not executed yet are passed over.
    claims : mapping
        The registry: it gives the order, and says which notebook speaks for which claim.

    Returns
    -------
    dict
        Claim name -> entry, in the order of the registry.
    """
    found: dict[str, Entry] = {}
    for name in notebooks:
        path = executed / f"{name}.ipynb"
        if path.is_file():
            recorded = read_verdicts(json.loads(path.read_text(encoding="utf-8")))
            found |= {
                claim: entry for claim, entry in recorded.items() if _speaks(name, claim, claims)
            }
    return {
        claim: {field: found[claim][field] for field in FIELDS if field in found[claim]}
        for claim in claims
        if claim in found
    }


def _speaks(notebook: str, claim: str, claims: Mapping[str, ClaimLike]) -> bool:
    """Say whether the registry gives this claim to this notebook."""
    return claim in claims and claims[claim].notebook == notebook


def write_ledger(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write verdicts.json: an object keyed by claim name, whole or not at all."""
    text = json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def read_ledger(path: Path) -> dict[str, Entry]:
    """Read verdicts.json; empty if there is none yet."""
    if not path.is_file():
        return {}
    entries: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))
    return entries
