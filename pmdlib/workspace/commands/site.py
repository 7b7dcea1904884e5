"""`pmdlib site`: build the static site."""

import argparse
from pathlib import Path
from typing import Any

from pmdlib.workspace.commands.options import OK, registry


def add_parser(commands: Any) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "site",
        help="build the static site",
        description="Make pages of README, executed notebooks, figures, theory and docstrings. "
        "They need no server and no network.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to (build/site of the workspace)"
    )


def run(options: argparse.Namespace) -> int:
    """Build the site and print the path of its front page."""
    from pmdlib.workspace.files import find_root
    from pmdlib.workspace.site.build import build_site

    root = find_root()
    print(build_site(root, registry(), options.output or root / "build" / "site"))
    return OK
