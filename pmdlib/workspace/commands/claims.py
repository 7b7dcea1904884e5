"""`pmdlib claims`: list the claims."""

import argparse
import sys
import warnings
from typing import Any

from pmdlib.workspace.commands.options import FAILED, OK, registry


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("claims", help="list the claims")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the claims, one to a line, and what of other distributions cannot be used."""
    from pmdlib import plugins
    from pmdlib.workspace.tables import columns

    claims = registry()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", plugins.PluginWarning)  # told below, in one place
        origins = {name: plugins.origin(name) for name in claims}
    rows: list[tuple[str, ...]] = [("claim", "tag", "label", "notebook", "controls")]
    for name, claim in claims.items():
        rows.append((name, claim.tag, claim.label, claim.notebook, str(len(claim.controls))))
    if any(origins.values()):
        rows = [(*row, origins.get(row[0], "from") or "") for row in rows]
    print(columns(rows))
    problems = plugins.problems(plugins.CLAIMS)
    for problem in problems:
        print(f"LEFT OUT {problem}", file=sys.stderr)
    return FAILED if problems else OK
