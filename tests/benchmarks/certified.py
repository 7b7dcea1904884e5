"""What exact checks cost: certified instances, and every way of checking each claim."""

from time import process_time

import numpy as np
from benchmarks.measuring import Row, seconds

import pmdlib as pmd
from pmdlib.analysis import policies
from pmdlib.claims.checking import WAYS
from pmdlib.claims.claim import Claim, Instance
from pmdlib.claims.instances import mixed_policies
from pmdlib.claims.ways.certifying import Account
from pmdlib.games.families import FAMILIES, Shape

#: What is asked for: seconds for so many instances.
GOAL, COUNT = 60.0, 200


def certified(count: int = COUNT) -> tuple[float, float]:
    """Seconds to certify improvement-kl on instances, and to check as many in floats.

    The games have 3 agents, 3 actions each, 3 states. In floats all policies that are drawn for a
    game are checked at once, as everywhere in this library; certified is one of them.
    """
    rng, claim, account = np.random.default_rng(0), pmd.claims["improvement-kl"], Account()
    discounts = (0.0, 1 / 2, 29 / 32, 63 / 64)
    exact = floats = 0.0
    for number in range(count):
        make = list(FAMILIES.values())[number % len(FAMILIES)]
        game = make(rng, Shape((3, 3, 3), 3, discounts[number // len(FAMILIES) % 4]))
        deviation = (0, policies.random_policy(game, rng)[0])
        drawn = Instance(game, mixed_policies(game, rng), "bench", {"deviation": deviation})
        chosen = number % drawn.count
        exact += seconds(
            lambda drawn=drawn, chosen=chosen: account.check(claim, drawn.exact(chosen))
        )
        floats += seconds(lambda drawn=drawn: check_in_floats(claim, drawn)) / drawn.count
    if account.decided != count or account.failures:
        raise SystemExit(f"the benchmark is no check: {account.report()}")
    return exact, floats


def check_in_floats(claim: Claim, instance: Instance) -> None:
    if all(np.all(hypothesis.holds(instance)) for hypothesis in claim.hypotheses):
        for comparison in claim.compare(instance):
            np.all(comparison.left <= comparison.right)


def rows() -> list[Row]:
    exact, floats = certified()
    return [
        Row(
            f"{COUNT} certified instances, improvement-kl, N = S = A = 3",
            f"{exact:.1f} s",
            f"{GOAL:.0f} s",
            exact / GOAL,
        ),
        Row("— certified over floats, a policy", f"×{exact / floats:.0f}"),
    ]


def ways() -> list[list[str]]:
    """Seconds that each way of checking takes, a row for each claim."""
    found, names = [], ["numeric", "exact", "symbolic", "interval", "adversarial"]
    for name, claim in pmd.claims.items():
        row = [name]
        for way in WAYS:
            begin = process_time()
            evidence = way(claim, np.random.default_rng(0), "quick", None)
            row.append("–" if evidence is None else f"{process_time() - begin:.2f}")
        found.append(row)
    return [["claim, quick profile", *(f"{name} [s]" for name in names)], *found]
