"""Verdicts as people read them, in a notebook or a terminal."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

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


def shown(entry: Mapping[str, Any]) -> str:
    """Say in which ways, on how many instances: "numeric, 2 400 instances"."""
    parts = []
    for way, result in entry["ways"].items():
        number = result.get("instances")
        if number is None:
            parts.append(way)
            continue
        count = f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")
        skipped = f" ({result['skipped']} skipped)" if result.get("skipped") else ""
        parts.append(f"{way}, {count} {'instance' if number == 1 else 'instances'}{skipped}")
    return "; ".join(parts)


def tightest(entry: Mapping[str, Any]) -> str:
    """Say how close to failing the statement itself came: the first part of the claim, all ways.

    The largest error of an equality; the smallest ratio of the larger side of an inequality to the
    smaller, where the left side is what was measured and the right side the bound.
    """
    said = [_slack(result) for result in entry["ways"].values()]
    return "; ".join(text for text in said if text) or "–"


def _slack(part: Mapping[str, Any]) -> str:
    """Say the slack of one part: "bound/measured ≥ ×1.32", "error 3e-15"; nothing if none."""
    if part.get("relation") == "==":
        error = part.get("worst_error")
        return "" if error is None else f"error {_short(error, 1)}"
    slack = part.get("worst_slack")
    ratio = {">=": "measured/bound", "<=": "bound/measured"}.get(part.get("relation", ""), "ratio")
    return "" if slack is None else f"{ratio} ≥ ×{_ratio(slack)}"


def _parts(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the parts of a claim that has several, each with its slack."""
    return [
        (name, _slack(part) or "holds; no ratio to show")
        for result in entry["ways"].values()
        for name, part in result.get("parts", {}).items()
        if len(result["parts"]) > 1
    ]


def _control(result: Mapping[str, Any]) -> str:
    """Say what a control gave: "9 = 90 fails", or the value alone."""
    if result.get("value") is None:
        return ""
    value = _short(result["value"], 4)
    if result.get("claimed") is None:
        return value
    sign = {"==": "=", ">=": "≥", "<=": "≤"}.get(result.get("relation", ""), "?")
    return (
        f"{value} {sign} {_short(result['claimed'], 4)} {'fails' if result['refuted'] else 'holds'}"
    )


def _ratio(value: float | str) -> str:
    """Format a ratio: two decimals where they matter, so that 1.00 is told from 1.04."""
    return f"{value:.2f}" if isinstance(value, int | float) and value < 10 else _short(value, 3)


def _short(value: float | str, digits: int) -> str:
    """Format a number with few digits; infinities and NaN come as text already."""
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def tag(entry: Mapping[str, Any]) -> str:
    """Give tag and label: "[paper] Section V.A"."""
    return f"[{entry['tag']}] {entry['label']}".strip()


def summary(entries: Entries) -> list[tuple[str, ...]]:
    """Give one row for each claim: name, tag, what was shown, tightest, controls refuted."""
    rows: list[tuple[str, ...]] = []
    for name, entry in entries.items():
        results = entry["controls"].values()
        refuted = f"{sum(bool(result['refuted']) for result in results)}/{len(results)}"
        rows.append((name, tag(entry), shown(entry), tightest(entry), refuted))
    return rows


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
        rows.append((mark, name + verdict, tag(entry), shown(entry), tightest(entry)))
        rows += [("", f"  part {part}", "", "", slack) for part, slack in _parts(entry)]
        for control, result in entry["controls"].items():
            outcome = "refuted" if result["refuted"] else "NOT REFUTED"
            rows.append(("", f"  control {control}", "", outcome, _control(result)))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of cells in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
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
        cells = (mark, f"{name}: {entry['verdict']}", tag(entry), shown(entry), tightest(entry))
        statement = str(entry["statement"])
        formula = statement if "$" in statement else f"${statement}$"
        lines.append(_html_row(cells))
        lines.append(f'<tr><td></td><td colspan="4">{html.escape(formula)}</td></tr>')
        for part, slack in _parts(entry):
            lines.append(_html_row(("", f"part: {part}", "", "", slack)))
        for control, result in entry["controls"].items():
            outcome = "refuted" if result["refuted"] else "NOT REFUTED"
            description = result.get("description", "")
            cells = ("", f"control {control}", description, outcome, _control(result))
            lines.append(_html_row(cells))
    return "\n".join([*lines, "</table>"])


def _html_row(cells: tuple[str, ...]) -> str:
    """Return one table row, escaped."""
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
