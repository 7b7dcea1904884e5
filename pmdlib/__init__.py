"""pmdlib: independent policy mirror descent in Markov potential games, and what is true of it."""

from pmdlib.analysis.equilibrium import (
    best_response,
    constant_c,
    mismatch,
    nash_gap,
    nash_regret,
)
from pmdlib.analysis.policies import deterministic_policy, random_policy, uniform_policy
from pmdlib.analysis.potential import is_markov_potential_game
from pmdlib.analysis.values import advantages, averaged_q, occupancy, potential_values, values
from pmdlib.errors import (
    InvalidGameError,
    InvalidPolicyError,
    NotConvergedError,
    NotPotentialError,
    PmdError,
)
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import MirrorMap
from pmdlib.learning.pmd import Trace, run_pmd
