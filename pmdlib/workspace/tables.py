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


#: The order in which ways of checking are told; a notebook's record keeps none.
ORDER = ("numeric", "exact", "certified", "symbolic", "interval", "adversarial")

#: What a way of checking counts, one and many.
COUNTED = {
    "symbolic": ("identity", "identities"),
    "interval": ("lemma", "lemmas"),
    "adversarial": ("attack", "attacks"),
}


def shown(entry: Mapping[str, Any]) -> str:
    """Say in which ways, on how many instances: "numeric, 2 400 instances; symbolic, 8 identities".

    "exact" and "certified" instances are proved, but for those named as agreeing: their statement
    is an equality of irrational numbers. Those that no precision decided do not count.
    """
    said = shown_by(entry["ways"]).items()
    return "; ".join(f"{way}, {number}" if number else way for way, number in said)


def shown_by(ways: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Say for each way how much it showed: {"numeric": "2 400 instances", ..}."""
    return {way: _number(way, result) for way, result in _ordered(ways)}


def _ordered(ways: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    known = [way for way in ORDER if way in ways]
    return [(way, ways[way]) for way in (*known, *(way for way in ways if way not in ORDER))]


def _number(way: str, result: Mapping[str, Any]) -> str:
    number = result.get("instances")
    if number is None:
        return ""
    one, many = COUNTED.get(way, ("instance", "instances"))
    count = f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")
    words = ("skipped", "agreeing", "undecided")
    notes = [f"{result[word]} {word}" for word in words if result.get(word)]
    return f"{count} {one if number == 1 else many}" + (f" ({', '.join(notes)})" if notes else "")


def tightest(entry: Mapping[str, Any]) -> str:
    """Say how close to failing the statement itself came: the first part of the claim, all ways.

    The largest error of an equality in floats; the smallest ratio of the larger side of an
    inequality to the smaller, where the left side is what was measured and the right side the
    bound. Attacks count too.
    """
    return _slack([result for _, result in _ordered(entry["ways"])]) or "–"


def _slack(results: Sequence[Mapping[str, Any]]) -> str:
    """Say the slack of one part, all ways together: "bound/measured ≥ ×1.32", "error 3e-15"."""
    said = [result for result in results if "relation" in result]
    if not said:
        return ""
    relation = said[0]["relation"]
    if relation == "==":
        errors = [result["worst_error"] for result in said if "worst_error" in result]
        return f"error {_short(errors[0], 1)}" if errors else ""
    slacks = [result["worst_slack"] for result in said if "worst_slack" in result]
    ratio = {">=": "measured/bound", "<=": "bound/measured"}.get(relation, "ratio")
    numbers = [slack for slack in slacks if not isinstance(slack, str)]
    return f"{ratio} ≥ ×{_ratio(min(numbers))}" if numbers else ""


def _parts(entry: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name the parts of a claim that has several: what was proved of each, and its slack."""
    names = dict.fromkeys(
        name
        for _, result in _ordered(entry["ways"])
        if len(result.get("parts", {})) > 1
        for name in result["parts"]
    )
    rows = []
    for name in names:
        found = {
            way: result["parts"][name]
            for way, result in _ordered(entry["ways"])
            if name in result.get("parts", {})
        }
        proved = [_proved(way, part) for way, part in found.items()]
        slack = _slack(list(found.values())) or "holds; no ratio to show"
        rows.append((name, "; ".join(text for text in proved if text), slack))
    return rows


def _proved(way: str, part: Mapping[str, Any]) -> str:
    """Say of one part how many comparisons were proved: "exact: 200 proved"; nothing for floats."""
    words = ("proved", "agree", "undecided", "disproved")
    counts = [f"{part[word]} {word}" for word in words if part.get(word)]
    return f"{way}: {', '.join(counts)}" if counts else ""


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


def _outcome(result: Mapping[str, Any]) -> str:
    """Say whether a control was refuted, and how surely."""
    how = f", {result['how']}" if result.get("how") else ""
    return f"refuted{how}" if result["refuted"] else f"NOT REFUTED{how}"


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
        rows += [("", f"  part {part}", "", proved, slack) for part, proved, slack in _parts(entry)]
        for control, result in entry["controls"].items():
            outcome = _outcome(result)
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
        for part, proved, slack in _parts(entry):
            lines.append(_html_row(("", f"part: {part}", "", proved, slack)))
        for control, result in entry["controls"].items():
            outcome = _outcome(result)
            description = result.get("description", "")
            cells = ("", f"control {control}", description, outcome, _control(result))
            lines.append(_html_row(cells))
    return "\n".join([*lines, "</table>"])


def _html_row(cells: tuple[str, ...]) -> str:
    """Return one table row, escaped."""
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
