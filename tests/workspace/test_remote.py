"""Notebooks on a Dask cluster: the same bytes, and a worker that dies costs its time only."""

import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from workspace.clusters import wait_until
from workspace.fakes import Claim, conclude_cell, make_workspace, snapshot

from pmdlib.errors import PmdError
from pmdlib.workspace import remote
from pmdlib.workspace.notebooks import run_notebooks
from pmdlib.workspace.plan import Plan

FIGURE = """
import matplotlib.pyplot as plt
from pmdlib.workspace import save_figure, use_style
use_style()
figure, axes = plt.subplots()
axes.plot([1, 2], [3, 4])
save_figure(figure, "01-one-line")
"""

# The notebook waits for a sweep on the cluster whose only worker runs the notebook.
SWEEP = """
from pmdlib.workspace.sweep import sweep

def square(rng, x):
    return {"y": x * x}

print(list(sweep(square, {"x": [2, 3]})["y"]))
"""


def ignoring(files, *names):
    return {name: content for name, content in files.items() if not name.endswith(names)}


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_and_may_be_used_from_within(cluster, tmp_path, monkeypatch):
    cells = {
        "01-one": [FIGURE, SWEEP, conclude_cell("first", "01-one")],
        "02-two": ["1 / 0"],
    }
    root = make_workspace(tmp_path / "place", cells)
    claims = {"first": Claim("first", "01-one"), "second": Claim("second", "02-two")}
    plan = Plan(root, claims, parameters={"profile": "quick"}, jobs=2)
    here = run_notebooks(plan, io.StringIO())
    before = snapshot(root)
    cluster.add_workers(1)
    monkeypatch.setenv("PMDLIB_SCHEDULER", cluster.address)  # as the command line sets it
    there = run_notebooks(replace(plan, scheduler=cluster.address, force=True), io.StringIO())
    assert there.failed == here.failed
    assert "ZeroDivisionError" in there.failed["02-two"]
    assert there.succeeded == here.succeeded == ("01-one",)
    assert ignoring(snapshot(root), "provenance.json", ".parquet") == ignoring(
        before, "provenance.json", ".parquet"
    )
    record = json.loads((plan.executed / "provenance.json").read_text())
    assert record["01-one"]["provenance"]["machine"]["kernel"] == "plain"


@pytest.mark.slow
def test_a_worker_killed_in_mid_notebook(cluster, tmp_path):
    mark = tmp_path / "marks"
    mark.mkdir()
    cell = (
        "import os, time\nfrom pathlib import Path\n"
        f"Path({str(mark)!r}, str(os.getpid())).touch()\n"
        f"time.sleep(2 if len(os.listdir({str(mark)!r})) > 1 else 600)"
    )
    root = make_workspace(tmp_path / "place", {"01-one": [cell, conclude_cell("first", "01-one")]})
    plan = Plan(
        root,
        {"first": Claim("first", "01-one")},
        parameters={"profile": "quick"},
        scheduler=cluster.address,
    )
    cluster.add_workers(2)

    class Killer(io.StringIO):
        """A terminal on which every tick looks whether the kernel is at work, and then kills."""

        def isatty(self):
            return True

        def write(self, text):
            (kernel, *_) = [*(int(path.name) for path in mark.iterdir()), None]
            if kernel is not None and not self.getvalue():
                super().write("killed")
                worker = ancestors(kernel) & {each.pid for each in cluster.workers}
                assert len(worker) == 1
                os.kill(worker.pop(), 9)
                self.kernel = kernel
            return len(text)

    stream = Killer()
    started = time.monotonic()
    report = run_notebooks(plan, stream)
    assert report.verified
    assert stream.getvalue() == "killed"
    assert len(list(mark.iterdir())) == 2
    assert time.monotonic() - started < 300
    wait_until(lambda: not Path(f"/proc/{stream.kernel}").exists(), 30)


def ancestors(pid):
    """The processes above one."""
    found = set()
    while pid > 1:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


@pytest.mark.slow
def test_other_code_is_refused_and_a_lost_scheduler_told(cluster, tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "place", {"01-one": [conclude_cell("first", "01-one")]})
    claims = {"first": Claim("first", "01-one")}
    plan = Plan(root, claims, parameters={"profile": "quick"}, scheduler=cluster.address)
    cluster.add_workers(1)
    monkeypatch.setattr(remote, "INSTALLED", "other")
    report = run_notebooks(plan, io.StringIO())
    assert report.failed == {
        "01-one": "a worker has another version of pmdlib, NumPy, SciPy or Python"
    }
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    with pytest.raises(PmdError, match="no Dask scheduler can be reached"):
        run_notebooks(plan, io.StringIO())
