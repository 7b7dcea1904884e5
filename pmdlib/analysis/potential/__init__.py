"""Is it a Markov potential game? Witnesses, stage potentials, and the distance from being one."""

from pmdlib.analysis.potential.alpha import PotentialDistance, potential_distance
from pmdlib.analysis.potential.cycles import Cycle, cycle_sum
from pmdlib.analysis.potential.membership import (
    DATA_ROUNDING,
    PotentialTest,
    is_markov_potential_game,
)

__all__ = [
    "DATA_ROUNDING",
    "Cycle",
    "PotentialDistance",
    "PotentialTest",
    "cycle_sum",
    "is_markov_potential_game",
    "potential_distance",
]
