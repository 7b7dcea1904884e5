"""What one way of checking a claim found."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Evidence:
    """What one way of checking found.

    Attributes
    ----------
    way : str
        What the ledger calls it: "numeric", "exact", "certified", "symbolic", "interval" or
        "adversarial".
    instances : int
        How many were checked; those that failed a hypothesis are not among them.
    failures : int
        How many of them violate the claim.
    report : dict
        What the ledger says of this way.
    vacuous : tuple of str
        Parts of the claim that said nothing about any instance.
    samples : DataFrame
    """

    way: str
    instances: int
    failures: int
    report: dict[str, Any]
    vacuous: tuple[str, ...] = ()
    samples: pd.DataFrame = field(default_factory=pd.DataFrame)
