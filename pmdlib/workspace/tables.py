"""Verdicts as people read them: in a notebook, in a terminal, in the README."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmdlib.workspace.files import WorkspaceError, write_atomically

BEGIN, END = "<!-- ledger:begin -->", "<!-- ledger:end -->"
"""The table in the README stands between these two lines."""

_HEADINGS = ("statement", "tag", "shown", "tightest", "controls refuted")

Entries = Mapping[str, Mapping[str, Any]]


def failures(name: str, entry: Mapping[str, Any]) -> list[str]:
    """Say what keeps an entry from being verified: nothing, if it is."""
    problems = [] if entry["verdict"] == "verified" else [f"{name} is {entry['verdict']}"]
    problems += [
        f"{name}: its control {control!r} was not refuted"
        for control, result in entry["controls"].items()
        if not result["refuted"]
    ]
    return problems


def _shown(entry: Mapping[str, Any]) -> str:
    """Say in which ways, on how many instances: "numeric, 2 400 instances"."""
    parts = []
    for way, result in entry["ways"].items():
        count = f"{result['instances']:,}".replace(",", "\N{NO-BREAK SPACE}")
        skipped = f" ({result['skipped']} skipped)" if result.get("skipped") else ""
        noun = "instance" if result["instances"] == 1 else "instances"
        parts.append(f"{way}, {count} {noun}{skipped}")
    return "; ".join(parts)


def _tightest(entry: Mapping[str, Any]) -> str:
    """Say how close to failing it came: the error of an equality, the slack of an inequality."""
    parts = []
    for result in entry["ways"].values():
        slack = result.get("worst_slack")
        if result.get("worst_ratio") is not None:
            parts.append(f"bound/measured ≥ ×{_short(result['worst_ratio'], 3)}")
        elif slack is not None and result.get("relation") == "==":
            parts.append(f"error {_short(slack, 1)}")
        elif slack is not None:
            parts.append(f"slack ≥ {_short(slack, 2)}")
    return "; ".join(parts) or "–"


def _short(value: float | str, digits: int) -> str:
    """Format a number with few digits; infinities and NaN come as text already."""
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def _controls(entry: Mapping[str, Any]) -> str:
    """Count the controls that were refuted: "3/3"."""
    results = entry["controls"].values()
    return f"{sum(bool(result['refuted']) for result in results)}/{len(results)}"


def _tag(entry: Mapping[str, Any]) -> str:
    """Give tag and label: "[paper] Section V.A"."""
    return f"[{entry['tag']}] {entry['label']}".strip()


def text_table(entries: Entries) -> str:
    """Lay out verdicts in columns, for a terminal or a notebook's plain text.

    Parameters
    ----------
    entries : mapping
        Claim name -> entry, as in verdicts.json.

    Returns
    -------
    str
        One line for each claim, one for each of its controls.
    """
    rows = [("", "claim", "tag", "shown", "tightest")]
    for name, entry in entries.items():
        mark = "✓" if not failures(name, entry) else "✗"
        verdict = "" if entry["verdict"] == "verified" else f" {entry['verdict'].upper()}"
        rows.append((mark, name + verdict, _tag(entry), _shown(entry), _tightest(entry)))
        for control, result in entry["controls"].items():
            outcome = "refuted" if result["refuted"] else "NOT REFUTED"
            value = _short(result["value"], 4) if result.get("value") is not None else ""
            rows.append(("", f"  control {control}", "", outcome, value))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def html_table(entries: Entries) -> str:
    """Lay out verdicts for the last cell of a notebook: the statement, then claim and controls.

    Parameters
    ----------
    entries : mapping
        Claim name -> entry, as in verdicts.json.

    Returns
    -------
    str
        An HTML table without ids or styles of its own, the same on every run.
    """
    lines = [
        "<table>",
        "<tr><th></th><th>claim</th><th>tag</th><th>shown</th><th>tightest</th></tr>",
    ]
    for name, entry in entries.items():
        mark = "✓" if not failures(name, entry) else "✗"
        cells = (mark, f"{name}: {entry['verdict']}", _tag(entry), _shown(entry), _tightest(entry))
        statement = str(entry["statement"])
        formula = statement if "$" in statement else f"${statement}$"
        lines.append(_html_row(cells))
        lines.append(f'<tr><td></td><td colspan="4">{html.escape(formula)}</td></tr>')
        for control, result in entry["controls"].items():
            outcome = "refuted" if result["refuted"] else "NOT REFUTED"
            value = _short(result["value"], 4) if result.get("value") is not None else ""
            description = result.get("description", "")
            lines.append(_html_row(("", f"control {control}", description, outcome, value)))
    return "\n".join([*lines, "</table>"])


def _html_row(cells: tuple[str, ...]) -> str:
    """Return one table row, escaped."""
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def readme_table(entries: Entries) -> str:
    """Return the ledger as a Markdown table; each claim links to its executed notebook.

    Parameters
    ----------
    entries : mapping
        Claim name -> entry, as in verdicts.json.

    Returns
    -------
    str
        The table, without the markers.
    """
    rows = [_HEADINGS, ("---",) * len(_HEADINGS)]
    for name, entry in entries.items():
        link = f"[{name}](notebooks/executed/{entry['notebook']}.ipynb)"
        if entry["verdict"] != "verified":
            link += f" **{entry['verdict']}**"
        rows.append((link, _tag(entry), _shown(entry), _tightest(entry), _controls(entry)))
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def update_readme(path: Path, entries: Entries) -> None:
    """Write the ledger's table into a README, between its two markers.

    Parameters
    ----------
    path : Path
        The README.
    entries : mapping
        Claim name -> entry, as in verdicts.json.

    Raises
    ------
    WorkspaceError
        If the README is missing, or does not hold each marker once and in order.
    """
    before, after = split_readme(path)
    write_atomically(path, f"{before}{BEGIN}\n{readme_table(entries)}\n{END}{after}")


def split_readme(path: Path) -> tuple[str, str]:
    """Return what stands before and after the table; see `update_readme` for the errors."""
    if not path.is_file():
        raise WorkspaceError(f"{path} is missing; it must hold the lines {BEGIN} and {END}")
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise WorkspaceError(f"{path} must hold {BEGIN} once and, after it, {END} once")
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
