"""What the tests of the workspace share."""

import signal

import pytest

import pmdlib
from pmdlib.workspace.cli import main


@pytest.fixture
def command(monkeypatch):
    """Run the command line on a registry of fakes, in a directory; return the exit status."""

    def run(claims, directory, *arguments):
        monkeypatch.setattr(pmdlib, "claims", claims, raising=False)
        monkeypatch.chdir(directory)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            return main(list(arguments))
        except SystemExit as error:
            return error.code
        finally:
            signal.signal(signal.SIGTERM, handler)

    return run
