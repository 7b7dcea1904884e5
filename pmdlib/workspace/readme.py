"""The ledger as a table in the README."""

from pathlib import Path

from pmdlib.files import write_atomically
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.tables import Entries, summary

BEGIN, END = "<!-- ledger:begin -->", "<!-- ledger:end -->"
"""The table in the README stands between these two lines."""

_HEADINGS = ("statement", "tag", "shown", "tightest", "controls refuted")


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
    rows: list[tuple[str, ...]] = [_HEADINGS, ("---",) * len(_HEADINGS)]
    for name, *cells in summary(entries):
        link = f"[{name}](notebooks/executed/{entries[name]['notebook']}.ipynb)"
        if entries[name]["verdict"] != "verified":
            link += f" **{entries[name]['verdict']}**"
        rows.append((link, *cells))
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
