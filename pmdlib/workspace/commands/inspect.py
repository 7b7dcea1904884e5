"""`pmdlib inspect`: what can be said of a game in a screen."""

import argparse
from typing import Any

from pmdlib.workspace.commands.export import add_arguments
from pmdlib.workspace.commands.options import OK, positive


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "inspect",
        help="say of a game: sizes, potential, equilibrium",
        description="Say of a game, by name or from a file, how large it is, whether it is a "
        "Markov potential game, and how far from equilibrium a run of KL mirror descent ends.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "game", metavar="GAME", help="a name of the catalogue, or a .npz, .nfg file"
    )
    parser.add_argument(
        "--iterations", type=positive(int), default=1000, help="of the run (%(default)s)"
    )
    add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the description."""
    from pmdlib.workspace.games import describe, find_game
    from pmdlib.workspace.tables import columns

    game = find_game(options.game, dict(options.arguments))
    print(columns([("game", options.game), *describe(game, options.iterations)]))
    return OK
