"""`python -m pmdlib` is the command line."""

import sys

from pmdlib.workspace.cli import main

if __name__ == "__main__":
    sys.exit(main())
