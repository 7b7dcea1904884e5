"""Verdicts as tables for a notebook: what each way showed, and what became of the controls."""

import pandas as pd

from pmdlib.claims.claim import Verdict
from pmdlib.workspace.tables import shown_by


def ways_table(*verdicts: Verdict) -> pd.DataFrame:
    """Tabulate what each way of checking showed: a row for each claim, a column for each way.

    Parameters
    ----------
    *verdicts : Verdict

    Returns
    -------
    DataFrame
    """
    rows = {verdict.name: shown_by(verdict.ways) for verdict in verdicts}
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–").rename_axis("claim")


def controls_table(*verdicts: Verdict) -> pd.DataFrame:
    """Tabulate the false variants of claims: what was measured, what they claim, how they fail.

    Parameters
    ----------
    *verdicts : Verdict

    Returns
    -------
    DataFrame
        One row for each claim and control.
    """
    signs = {"==": "=", ">=": "at least", "<=": "at most"}
    rows = {
        (verdict.name, name): {
            "what is claimed too much": result.description,
            "measured": f"{result.value:.4g}",
            "claimed": f"{signs[result.relation]} {result.claimed:.4g}",
            "refuted": result.how if result.refuted else "NO",
        }
        for verdict in verdicts
        for name, result in verdict.controls.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["claim", "control"])
