"""Real runs of tiny notebooks: what succeeds is published, what fails leaves everything alone."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from workspace.fakes import (
    Claim,
    conclude_cell,
    make_workspace,
    notebook_json,
    record,
    snapshot,
)

from pmdlib.workspace import execution
from pmdlib.workspace.execution import Outcome
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.ledger import MIME_TYPE, read_ledger
from pmdlib.workspace.notebooks import judge, publish, run_notebooks
from pmdlib.workspace.plan import Plan

NOISY = r"""
import os, sys, time, warnings
import numpy as np
print(object(), os.getcwd(), sys.prefix, time.__name__)
print("one"); print("two", file=sys.stderr); print("three")
print("10%|#\r50%|##\rdone")
warnings.warn("look here")
"""
WIDE = """
import pandas as pd
display(pd.DataFrame(np.arange(44).reshape(2, 22) / 7))
print(pd.options.display.max_columns, sys.path)
"""
FIGURE = """
import matplotlib.pyplot as plt
from pmdlib.workspace import save_figure, use_style
use_style()
figure, axes = plt.subplots()
axes.plot([1, 2], [3, 4], label=r"$\\eta^2$")
axes.legend()
save_figure(figure, "01-good-line")
"""


class Terminal(io.StringIO):
    """A stream on which a live line makes sense."""

    def isatty(self):
        return True


def claims_of(*pairs):
    return {name: Claim(name, notebook) for name, notebook in pairs}


def test_published_results_are_whole_and_the_same_on_every_run(tmp_path):
    root = make_workspace(
        tmp_path / "place",
        {
            "01-good": [NOISY, FIGURE, WIDE, conclude_cell("first", "01-good")],
            "02-also": [conclude_cell("second", "02-also", profile="full", relation="==")],
        },
    )
    (root / "figures").mkdir()
    (root / "figures" / "01-good-old.svg").write_text("of an earlier run")
    claims = claims_of(("second", "02-also"), ("first", "01-good"))
    told = Terminal()
    only_first = Plan(root, claims, only=["01"], parameters={"profile": "quick"})
    assert run_notebooks(only_first, told).verified
    assert re.search(r"\[1/1\] 01-good: verified first \([0-9.]+ s\)\n", told.getvalue())
    assert "01-good cell 3 of 6 " in told.getvalue()
    assert list(read_ledger(only_first.ledger)) == ["first"]
    before = snapshot(root)
    assert {name for name in before if not name.endswith("-also.ipynb")} == {
        "README.md",
        "pyproject.toml",
        "notebooks/01-good.ipynb",
        "notebooks/executed/01-good.ipynb",
        "notebooks/executed/.lock",
        "notebooks/executed/provenance.json",
        "notebooks/executed/verdicts.json",
        "figures/01-good-line.svg",
        "figures/01-good-line.pdf",
    }

    quiet = io.StringIO()
    again = run_notebooks(replace(only_first, force=True, fork=False), quiet)
    assert again.succeeded == ("01-good",), "a plain kernel, too"
    assert quiet.getvalue() == "", "nothing is told where nobody looks"
    volatile = "notebooks/executed/provenance.json"
    after = snapshot(root)
    assert after.pop(volatile) != before.pop(volatile)
    assert after == before, "the same bytes"

    only_second = Plan(root, claims, only=["02-also"], parameters={"seed": 5})
    assert run_notebooks(only_second, io.StringIO()).verified
    ledger = read_ledger(only_first.ledger)
    assert list(ledger) == ["second", "first"], "the registry's order"
    expected = record("first", "01-good")
    del expected["name"]
    expected["ways"]["numeric"]["worst_slack"] = 1.23457
    expected["controls"]["mutant"]["value"] = -0.666667
    assert ledger["first"] == expected
    assert "[second](notebooks/executed/02-also.ipynb)" in (root / "README.md").read_text()

    executed = nbformat.read(root / "notebooks/executed/01-good.ipynb", as_version=4)
    assert [cell["id"] for cell in executed["cells"]] == [
        "own-0",
        "injected-parameters",
        "own-1",
        "own-2",
        "own-3",
        "own-4",
    ]
    assert 'profile = "quick"' in executed["cells"][1]["source"]
    streams = {o["name"]: o["text"] for o in executed["cells"][2]["outputs"]}
    assert streams["stdout"] == (
        "<object object at 0x0> ./notebooks <environment> time\none\nthree\ndone\n"
    )
    assert streams["stderr"].startswith("two\n<cell>:")
    assert any("image/png" in o.get("data", {}) for o in executed["cells"][3]["outputs"])
    for name, content in snapshot(root).items():
        paths = (str(tmp_path), sys.prefix, str(Path.home()) + "/")
        for path in () if name == volatile else paths:
            assert path.encode() not in content, f"{path} in {name}"


DIE = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"

FAILURES = {
    "01-raises": (["1 + 1", "1 / 0"], r"cell \[4\] raised ZeroDivisionError: division by zero"),
    "02-leaves": (["import sys", "sys.exit(0)", "1"], r"left with sys\.exit"),
    "03-dies": ([DIE], r"the kernel died in cell 3 of 3"),
    "04-silent": (["print('nothing to say')"], r"recorded no verdict"),
    "05-refuted": (
        [conclude_cell("c5", "05-refuted", verdict="refuted")],
        r"cell \[3\] raised NotVerifiedError: c5 is refuted",
    ),
    "06-survivor": (
        [("raises-exception", conclude_cell("c6", "06-survivor", refuted=False))],
        r"control 'mutant' was not refuted",
    ),
    "07-slow": (["import time", "time.sleep(60)"], r"timed out after 8 s in cell 4 of 4"),
    "08-astray": ([conclude_cell("c1", "01-raises")], r"'c1', which belongs to 01-raises"),
    "09-profile": (
        [conclude_cell("c9", "09-profile", profile="full")],
        r"'c9' with profile 'full', not 'quick'",
    ),
}


def good_copy(claim, notebook):
    """An executed notebook of an earlier, successful run."""
    entry = record(claim, notebook)
    del entry["name"]
    document = notebook_json(["1"])
    document["cells"][0]["outputs"] = [
        {"output_type": "display_data", "metadata": {}, "data": {MIME_TYPE: {claim: entry}}}
    ]
    return document


def test_each_way_to_fail_is_named_and_leaves_earlier_results_alone(
    tmp_path, monkeypatch, capsys, command
):
    root = make_workspace(tmp_path, {name: cells for name, (cells, _) in FAILURES.items()})
    claims = claims_of(*((f"c{int(name[:2])}", name) for name in FAILURES), ("lone", "10-none"))
    (root / "notebooks" / "executed").mkdir()
    (root / "figures").mkdir()
    (root / "pmdlib").mkdir()
    (root / "pmdlib" / "__init__.py").touch()  # the claims are at home here
    for name in FAILURES:
        earlier = json.dumps(good_copy(f"c{int(name[:2])}", name))
        (root / "notebooks" / "executed" / f"{name}.ipynb").write_text(earlier)
        (root / "figures" / f"{name}-plot.svg").write_text("earlier")
    before = snapshot(root)
    status = command(claims, root, "verify", "--profile=quick", "--jobs=3", "--timeout=8")
    assert status == 1
    printed = capsys.readouterr().out
    for name, (_, cause) in FAILURES.items():
        assert re.search(f"FAILED {name}: .*{cause}", printed), f"{name}\n{printed}"
    assert "MISSING lone: no notebook recorded a verdict on it" in printed
    last = printed.rstrip().splitlines()[-1]
    assert last == "notebooks verified: 0, failed: 9, claims without a verdict: 1"
    after = snapshot(root)
    assert {name: after[name] for name in before if name != "README.md"} == {
        name: content for name, content in before.items() if name != "README.md"
    }
    new = {name for name in after.keys() - before.keys() if "failed" not in name}
    assert new == {"notebooks/executed/verdicts.json", "notebooks/executed/.lock"}
    assert list(json.loads(after["notebooks/executed/verdicts.json"])) == list(claims)[:-1]
    failed = {name for name in after if name.startswith("notebooks/executed/failed/")}
    assert failed == {f"notebooks/executed/failed/{name}.ipynb" for name in FAILURES}
    assert b"ZeroDivisionError" in after["notebooks/executed/failed/01-raises.ipynb"]
    for name in failed:
        assert str(tmp_path).encode() not in after[name]


def test_only_what_belongs_to_the_workspace_is_owed(tmp_path):
    root = make_workspace(tmp_path, {"01-good": [conclude_cell("first", "01-good")]})
    claims = claims_of(("first", "01-good"), ("second", "01-good"), ("other", "07-elsewhere"))
    plan = Plan(root, claims, parameters={"profile": "quick"})
    for only in ([], ["1"]):
        report = run_notebooks(replace(plan, only=only), io.StringIO())
        assert report.missing == ("second",), "also when nothing had to run"
        assert not report.verified


def test_a_success_removes_the_failed_copy(tmp_path):
    root = make_workspace(tmp_path, {"01-good": []})
    failed = root / "notebooks" / "executed" / "failed" / "01-good.ipynb"
    failed.parent.mkdir(parents=True)
    failed.write_text("{}")
    plan = Plan(root, claims_of(("first", "01-good")))
    publish(Outcome("01-good", None, json.dumps(good_copy("first", "01-good"))), plan)
    assert not failed.exists()
    assert list(read_ledger(plan.ledger)) == ["first"]


def test_interruption_ends_the_kernels_and_writes_nothing(tmp_path):
    cell = (
        "import os, time\nfrom pathlib import Path\n"
        f"Path({str(tmp_path)!r}, f'{{os.getpid()}}.pid').touch()\ntime.sleep(600)"
    )
    root = make_workspace(tmp_path / "place", {"01-long": [cell], "02-long": [cell]})
    before = snapshot(root)
    script = (
        "import signal, sys, pmdlib\n"
        "from workspace.fakes import Claim\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs ignore it
        "pmdlib.claims = {'first': Claim('first', '01-long')}\n"
        "from pmdlib.workspace.cli import main\n"
        "sys.exit(main(['verify', '--profile=quick', '--jobs=2']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        kernels = [int(path.stem) for path in tmp_path.glob("*.pid")]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert len(kernels) == 2, err
    assert process.returncode == 130, err
    assert out == ""
    assert err.strip() == "interrupted: what had finished is kept, the rest is as it was before"
    (root / "notebooks" / "executed" / ".lock").unlink()
    assert snapshot(root) == before
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in kernels) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in kernels:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_figure_of_another_notebook_is_a_failure():
    entry = record("first", "01-good")
    del entry["name"]
    outcome = Outcome("01-good", None, "{}", {"first": entry}, {"02-other-plot.svg": b""})
    cause = judge(outcome, claims_of(("first", "01-good")), "quick")
    assert cause == "it wrote the figure '02-other-plot.svg', which must begin with '01-good'"
    assert judge(outcome, {}, "quick") == "it recorded 'first', which is not a claim"
    within = replace(outcome, figures={"01-good-folder/plot.svg": b""})
    assert "must begin with" in judge(within, claims_of(("first", "01-good")), "quick")


def test_bad_requests_are_refused_before_anything_runs(tmp_path):
    root = make_workspace(tmp_path, {"01-good": []})
    with pytest.raises(WorkspaceError, match="'02-x' is no notebook; there are: 01-good"):
        run_notebooks(Plan(root, {}, only=["02-x"]))
    with pytest.raises(WorkspaceError, match=r"no parameter 'sise' in the cell .*: 01-good"):
        run_notebooks(Plan(root, {}, parameters={"sise": 3}))
    (root / "README.md").write_text("no table here")
    with pytest.raises(WorkspaceError, match="must hold <!-- ledger:begin --> once"):
        run_notebooks(Plan(root, {}))
    (root / "README.md").unlink()
    with pytest.raises(WorkspaceError, match="'' is no notebook"):
        run_notebooks(Plan(root, {}, only=[""]))
    with pytest.raises(WorkspaceError, match=r"results cannot be put into .*pyproject\.toml"):
        run_notebooks(Plan(root, {}, output=root / "pyproject.toml"))
    notebook = root / "notebooks" / "01-good.ipynb"
    broken = notebook_json([("parameters", 'profile = "quick"\n%time seed = 0')])
    notebook.write_text(json.dumps(broken))
    with pytest.raises(WorkspaceError, match="01-good: the cell tagged 'parameters' is not Python"):
        run_notebooks(Plan(root, {}))
    for content in (b"{", b"[]", b'"\xff"'):
        notebook.write_bytes(content)
        with pytest.raises(WorkspaceError, match=r"01-good\.ipynb (cannot be read|is no notebook)"):
            run_notebooks(Plan(root, {}))
    (root / "notebooks" / "01-good.ipynb").unlink()
    with pytest.raises(WorkspaceError, match="holds no notebook named NN-name"):
        run_notebooks(Plan(root, {}))


def test_kernels_are_reached_through_private_files_where_names_are_short(tmp_path):
    """Ports of kernels that start together can clash; files in their own directories cannot."""
    short = tmp_path / "r"
    config = execution._connection(short)
    if len(str(short / "kernel")) <= execution.LONGEST_ADDRESS and os.name == "posix":
        assert config.ConnectionFileMixin.transport == "ipc"
        assert config.ConnectionFileMixin.ip == str(short / "kernel")
    long = tmp_path / ("r" * 120)
    assert "ConnectionFileMixin" not in execution._connection(long)
