"""What the tests of the workspace share."""

import shutil
import signal

import pytest
from workspace.clusters import Cluster

import pmdlib
from pmdlib.workspace.cli import main

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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


@pytest.fixture(scope="module")
def browser():
    """Start a browser of this machine; without one the tests fail, for then nothing was seen."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail(
            f"pages are tested in a real browser, and there is none of {', '.join(BROWSERS)}: "
            "install one, such as with `apt-get install chromium`",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()
