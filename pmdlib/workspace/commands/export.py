"""`pmdlib export`: write a game to a file."""

import argparse
from pathlib import Path
from typing import Any

from pmdlib.workspace.commands.options import OK, assignment


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "export",
        help="write a game to a file",
        description="Write a game by name, or from another file, as .npz (any game, bit for bit) "
        "or .nfg (the payoffs of a game of one state, as Gambit reads them).",
    )
    parser.set_defaults(run=run)
    parser.add_argument("game", metavar="GAME", help="a name of the catalogue, or a file")
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write, .npz or .nfg")
    add_arguments(parser)


def add_arguments(parser: Any) -> None:
    """Describe the arguments of a named game."""
    parser.add_argument(
        "-p",
        dest="arguments",
        action="append",
        default=[],
        type=assignment,
        metavar="NAME=VALUE",
        help="an argument of the named game, such as num_agents=100; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Write the game, and say what the file does not keep."""
    from pmdlib.workspace.games import find_game, write_game

    lost = write_game(find_game(options.game, dict(options.arguments)), options.file)
    print(f"wrote {options.file}" + (f", without its {lost}" if lost else ""))
    return OK
