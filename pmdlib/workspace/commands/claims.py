"""`pmdlib claims`: list the claims."""

import argparse
from typing import Any

from pmdlib.workspace.commands.options import OK, registry


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("claims", help="list the claims")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the claims, one to a line."""
    from pmdlib.workspace.tables import columns

    rows = [("claim", "tag", "label", "notebook", "controls")]
    for name, claim in registry().items():
        rows.append((name, claim.tag, claim.label, claim.notebook, str(len(claim.controls))))
    print(columns(rows))
    return OK
