"""The command line `pmdlib`; each command has a module in `commands`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pmdlib.workspace.commands import claims, export, inspect, new, site, verify
from pmdlib.workspace.commands.options import INTERRUPTED

COMMANDS = (verify, claims, new, inspect, export, site)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 if all went well (for `verify`: every claim is verified and every control refuted), 1 if
        not, 130 if interrupted; bad usage exits with 2.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from pmdlib.errors import PmdError

    try:
        status: int = options.run(options)
    except PmdError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(
            "\ninterrupted: what had finished is kept, the rest is as it was before",
            file=sys.stderr,
        )
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    """Gather the commands."""
    parser = argparse.ArgumentParser(
        prog="pmdlib", description="Check the theory of policy mirror descent in potential games."
    )
    parser.add_argument("--version", action="version", version=f"pmdlib {version('pmdlib')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
