"""pmdlib: independent policy mirror descent in Markov potential games, and what is true of it.

Examples
--------
A team of two agents that choose once: it pays 1 and 0.6 to choose alike, 0.3 and 0.2 not to. From
the uniform policy mirror descent finds the better of the two equilibria.

>>> import numpy as np
>>> import pmdlib as pmd
>>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
>>> trace = pmd.run_pmd(game, "kl", step="constant", iterations=200)
>>> [own.round(4).tolist() for own in trace.policy]
[[[1.0, 0.0]], [[1.0, 0.0]]]
>>> trace.converged, trace.nash_regret[-1].round(4).item()
(True, 0.0045)
"""

from pmdlib.analysis.equilibrium import (
    best_response,
    constant_c,
    mismatch,
    nash_gap,
    nash_regret,
)
from pmdlib.analysis.fixed_points import find_fixed_points
from pmdlib.analysis.policies import deterministic_policy, random_policy, uniform_policy
from pmdlib.analysis.potential import is_markov_potential_game, potential_distance
from pmdlib.analysis.values import advantages, averaged_q, occupancy, potential_values, values
from pmdlib.claims import claims, verify
from pmdlib.errors import (
    InvalidGameError,
    InvalidPolicyError,
    NotConvergedError,
    NotPotentialError,
    PmdError,
)
from pmdlib.games.aggregative import CongestionGame, TeamGame
from pmdlib.games.exchange import load_game, save_game, stage_game, with_potential
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import MirrorMap
from pmdlib.learning.pmd import Trace, run_pmd

__all__ = [
    "CongestionGame",
    "InvalidGameError",
    "InvalidPolicyError",
    "MirrorMap",
    "NotConvergedError",
    "NotPotentialError",
    "PmdError",
    "TabularGame",
    "TeamGame",
    "Trace",
    "advantages",
    "averaged_q",
    "best_response",
    "claims",
    "constant_c",
    "deterministic_policy",
    "find_fixed_points",
    "is_markov_potential_game",
    "load_game",
    "mismatch",
    "nash_gap",
    "nash_regret",
    "occupancy",
    "potential_distance",
    "potential_values",
    "random_policy",
    "run_pmd",
    "save_game",
    "stage_game",
    "uniform_policy",
    "values",
    "verify",
    "with_potential",
]
