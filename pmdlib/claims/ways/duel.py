"""Adversarial checks: the worst instances known, and a new search, each decided for certain."""

import numpy as np

from pmdlib.claims.claim import Claim
from pmdlib.claims.ways.adversary import slack_attack
from pmdlib.claims.ways.arena import Arena
from pmdlib.claims.ways.certifying import Account
from pmdlib.claims.ways.evidence import Evidence
from pmdlib.claims.ways.worst import load_worst

#: Starts of the new search for each profile: seconds, whatever the claim.
STARTS = {"quick": 1, "full": 4}


def check_attacks(
    claim: Claim, rng: np.random.Generator, profile: str, count: int | None = None
) -> Evidence | None:
    """Certify a claim on the worst instances known of it, and on those of a new search.

    Parameters
    ----------
    claim : Claim
    rng : numpy.random.Generator
    profile : "quick" or "full"
        How long to search.
    count : int, optional
        Not used: the number of stored instances decides.

    Returns
    -------
    Evidence, or None if nobody attacks this claim
        ``worst_slack`` is the smallest ratio of the larger side to the smaller over all attacks,
        ``search`` what the new search ended at; ``found`` is the least value known of what was
        minimised, in ``worst_case``, and ``theory`` what it is proved to be at least.
    """
    if claim.attack is None:
        return None
    fresh = slack_attack(claim, Arena((2, 2)), rng, starts=STARTS[profile], **claim.attack)
    stored = load_worst(claim.name)
    account = Account()
    for attack in [*stored, fresh]:
        account.check(claim, attack.instance())
    report = account.report() | {"search": fresh.ratio}
    if stored:
        worst = min(stored, key=lambda attack: attack.slack)
        report |= {"worst_case": worst.case, "measure": worst.measure}
        report |= {"found": worst.ratio, "theory": worst.proved}
    return Evidence("adversarial", account.decided, account.failures, report)
