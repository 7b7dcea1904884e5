"""What the tests of the workspace share."""

import signal

import pytest
from workspace.clusters import Cluster

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


@pytest.fixture
def cluster(tmp_path):
    """A Dask cluster without workers as yet."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with Cluster(folder) as made:
        yield made
