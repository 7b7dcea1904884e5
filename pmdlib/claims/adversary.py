"""The adversary: it looks for the instances that come closest to refuting a claim.

``python -m pmdlib.claims.adversary`` searches again and keeps what is worse than the stored
instances.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from pmdlib.claims.attacks import (
    exchangeable_euclidean_attack,
    exchangeable_kl_attack,
    first_fall,
    paper_step_attack,
)
from pmdlib.claims.worst import Attack, save_worst
from pmdlib.errors import PmdError

#: Attacks on symmetric populations: for each claim, the steps and how to attack N agents there.
SYMMETRIC: dict[str, dict[str, Callable[[int], Attack]]] = {
    "improvement-euclidean": {"paper": lambda n: paper_step_attack(n, "euclidean")},
    "improvement-euclidean-sharp": {
        "ηQmaxΛ = 1": lambda n: exchangeable_euclidean_attack(n, 1),
        "ηQmaxΛ = 2": lambda n: exchangeable_euclidean_attack(n, 2),
        "ηQmaxΛ = 4": lambda n: exchangeable_euclidean_attack(n, 4),
    },
    "improvement-kl": {"paper": lambda n: paper_step_attack(n, "kl")},
    "improvement-kl-constant-step": {
        "ηQmax = 1": lambda n: exchangeable_kl_attack(n, 1),
        "ηQmax = 2": lambda n: exchangeable_kl_attack(n, 2),
    },
    "first-fall-euclidean": {"smallest": lambda n: first_fall(n, "euclidean")},
    "first-fall-kl": {"smallest": lambda n: first_fall(n, "kl")},
}


def tightness_table(claim: str, agents: Sequence[int] = (2, 4, 8, 16, 32, 64)) -> pd.DataFrame:
    """Set what is proved beside what an adversary finds, against the number of agents.

    Parameters
    ----------
    claim : str
        An improvement claim, or "first-fall-kl", "first-fall-euclidean": the smallest ηQmax at
        which the potential falls, beside the largest that is proved safe.
    agents : sequence of int

    Returns
    -------
    DataFrame
        One row for each number of agents and step: ``agents``, ``step``, ``proved``, ``attack``
        (smallest ratio found in symmetric populations) and ``gap``, the difference.

    Raises
    ------
    PmdError
        If no attack on that claim is known.
    """
    if claim not in SYMMETRIC:
        raise PmdError(f"no attack on {claim!r} scales with N; there is one on {[*SYMMETRIC]}")
    rows = [
        {"agents": count, "step": step, "proved": found.proved, "attack": found.ratio}
        for step, attack in SYMMETRIC[claim].items()
        for count in agents
        for found in [attack(count)]
    ]
    return pd.DataFrame(rows).assign(gap=lambda table: table["attack"] - table["proved"])


def search(profile: str, rng: np.random.Generator) -> Iterator[Attack]:
    """Search for bad instances of every claim that an adversary knows how to attack.

    Parameters
    ----------
    profile : "quick" or "full"
        How many starts each search has.
    rng : numpy.random.Generator

    Yields
    ------
    Attack
    """
    for steps in SYMMETRIC.values():
        for attack in steps.values():
            for count in (2, 8, 32, 64) if profile == "full" else (2, 8):
                yield attack(count)


if __name__ == "__main__":
    save_worst(search("full", np.random.default_rng(0)))
