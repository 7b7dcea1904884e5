"""Killed at any moment, a run leaves whole files and no processes, and the next one goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workspace.fakes import conclude_cell, make_workspace, snapshot

SCRIPT = """
import sys, pmdlib
from workspace.fakes import Claim
pmdlib.claims = {f"c{i}": Claim(f"c{i}", f"0{i}-x") for i in range(1, 5)}
from pmdlib.workspace.cli import main
sys.exit(main(["verify", "--profile=quick", "--jobs=2"]))
"""

FIGURE = """
import time
import matplotlib.pyplot as plt
from pmdlib.workspace import save_figure, use_style
use_style()
figure, axes = plt.subplots()
axes.plot([1, 2], [3, 4])
save_figure(figure, "0{0}-x-line")
time.sleep(0.5)
"""

KILLS = 20


def make(root):
    cells = {f"0{i}-x": [FIGURE.format(i), conclude_cell(f"c{i}", f"0{i}-x")] for i in range(1, 5)}
    return make_workspace(root, cells)


def start(root):
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def whole(root):
    """Every file that a reader may open is whole; what belongs together agrees or is absent."""
    for path in root.rglob("*"):
        if path.is_dir() or path.name.endswith(".tmp"):
            continue
        if path.suffix in {".ipynb", ".json"}:
            json.loads(path.read_text())
        elif path.suffix == ".svg":
            assert path.read_text().endswith("</svg>\n"), path
        elif path.suffix == ".pdf":
            assert path.read_bytes().endswith(b"%%EOF\n"), path
        elif path.name == "README.md":
            assert path.read_text().endswith("The end.\n")


def at_work(root):
    """Processes whose directory lies in the workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(root):
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_killed_at_twenty_moments(tmp_path):
    never = make(tmp_path / "never")
    with start(never) as process:
        began = time.monotonic()
        out, _ = process.communicate(timeout=300)
        length = time.monotonic() - began
    assert process.returncode == 0, out
    expected = snapshot(never)
    rng = random.Random(1)
    finished = 0
    root = make(tmp_path / "killed")
    for turn in range(KILLS):
        if finished == 4:  # begin again, so that there is something to kill
            root = make(tmp_path / f"killed-{turn}")
        with start(root) as process:
            time.sleep(rng.uniform(0.1, 1.1 * length))
            if turn % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
        whole(root)
        deadline = time.monotonic() + 20
        while (left := at_work(root)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left
        before, finished = (
            finished if finished < 4 else 0,
            len(list((root / "notebooks").glob("executed/*.ipynb"))),
        )
        assert finished >= before, "what was done stays"
    with start(root) as process:
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    after = snapshot(root)
    for files in (after, expected):
        del files["notebooks/executed/provenance.json"]
    assert after == expected
