"""Check a claim in every way that it allows, and its controls.

A way is a function (claim, generator, profile, count) -> Evidence, or None where it does not apply:

- ``numeric``: float64 on many instances, tolerances from conditioning;
- ``exact`` or ``certified``: rationals, and balls where a side is irrational; a proof on each;
- ``symbolic``: an identity of generic games;
- ``interval``: the scalar lemmas that the proof rests on, by branch and bound;
- ``adversarial``: the worst instances known and a new search, each certified.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from pmdlib.claims.claim import Claim, Outcome, Verdict
from pmdlib.claims.ways.certifying import certify_control, check_rigorously
from pmdlib.claims.ways.duel import check_attacks
from pmdlib.claims.ways.evidence import Evidence
from pmdlib.claims.ways.lemmas import check_lemmas
from pmdlib.claims.ways.numeric import check_numerically
from pmdlib.claims.ways.symbolic import check_symbolically
from pmdlib.errors import PmdError

PROFILES = ("quick", "full")


def check_lemmas_of(
    claim: Claim, rng: np.random.Generator, profile: str, count: int | None = None
) -> Evidence | None:
    """Prove the scalar lemmas of a claim, and refute their false variants, by branch and bound.

    Returns
    -------
    Evidence, or None if the claim rests on none
        One instance for each lemma. A lemma that is not proved, or a false variant that is not
        refuted, is a failure.
    """
    if not claim.lemmas:
        return None
    report = check_lemmas(lemma.name for lemma in claim.lemmas)
    open_lemmas = report["lemmas"] - report["proved"]
    survivors = report["controls"] - report["controls refuted"]
    failures = open_lemmas + survivors
    said = {"instances": report["proved"], "failures": failures} | report
    return Evidence("interval", report["proved"], failures, said)


#: The ways of checking, in the order of the ledger.
WAYS = (
    check_numerically,
    check_rigorously,
    check_symbolically,
    check_lemmas_of,
    check_attacks,
)


def check(
    claim: Claim, profile: str = "quick", *, seed: int = 0, instances: int | None = None
) -> Verdict:
    """Check a claim in every way, and its controls.

    Parameters
    ----------
    claim : Claim
    profile : "quick" or "full"
    seed : int
        The same seed gives the same instances and the same verdict.
    instances : int, optional
        Number of instances, in place of what the profile says.

    Returns
    -------
    Verdict

    Raises
    ------
    PmdError
        If the profile or the number of instances makes no sense.
    """
    if profile not in PROFILES:
        raise PmdError(f"profile is {profile!r}, must be one of {PROFILES}")
    if instances is not None and instances < 1:
        raise PmdError(f"instances is {instances}, must be at least 1")
    if seed < 0:
        raise PmdError(f"seed is {seed}, must not be negative")
    said = [way(claim, np.random.default_rng(seed), profile, instances) for way in WAYS]
    found = [evidence for evidence in said if evidence is not None]
    controls = {control.name: certify_control(control) for control in claim.controls}
    outcome: Outcome = "verified"
    if any(evidence.failures for evidence in found):
        outcome = "refuted"
    elif (
        not controls
        or not all(result.refuted for result in controls.values())
        or any(evidence.instances == 0 or evidence.vacuous for evidence in found)
    ):
        outcome = "inconclusive"
    return Verdict(
        name=claim.name,
        tag=claim.tag,
        label=claim.label,
        statement=claim.statement,
        notebook=claim.notebook,
        verdict=outcome,
        profile=profile,
        seed=seed,
        ways={evidence.way: evidence.report for evidence in found},
        controls=controls,
        samples=pd.concat([evidence.samples for evidence in found], ignore_index=True),
    )


def unknown_claim(name: str, known: list[str], problems: Sequence[str] = ()) -> PmdError:
    """Build the error for a claim that is not registered, with the nearest names.

    ``problems`` are what could not be loaded: the claim may have been meant to be there.
    """
    close = get_close_matches(name, known)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"
    left_out = "".join(f"; left out: {problem}" for problem in problems)
    return PmdError(f"there is no claim {name!r}{hint}{left_out}")
