"""Games that people have: from arrays, from files, and back.

`files` reads and writes by the suffix of a path: `.npz` (`npz`) holds any game of the library, bit
for bit, `.nfg` (`nfg`) the payoffs of one stage as Gambit writes them. `stage` makes games from
payoff arrays, and `lookup` finds those that have a name.
"""

from pmdlib.games.exchange.files import load_game, save_game
from pmdlib.games.exchange.lookup import catalogue_game, game_names
from pmdlib.games.exchange.stage import stage_game, with_potential

__all__ = [
    "catalogue_game",
    "game_names",
    "load_game",
    "save_game",
    "stage_game",
    "with_potential",
]
