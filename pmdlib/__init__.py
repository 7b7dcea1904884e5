"""pmdlib: independent policy mirror descent in Markov potential games, and what is true of it."""

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
