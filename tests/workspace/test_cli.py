"""The command line: what it prints, its exit status, and what it says of bad requests."""

import io
import json
import os
import subprocess
import sys
import time

import pytest
from workspace.fakes import (
    Claim,
    conclude_cell,
    fake_verify,
    make_workspace,
    notebook_json,
    snapshot,
)

from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.single import check_names, verify_claims

CLAIMS = {
    name: Claim(name, "01-good") for name in ("improvement-kl", "improvement-euclidean", "regret")
}


def test_claims_are_listed(command, tmp_path, capsys):
    assert command(CLAIMS, tmp_path, "claims") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["claim", "tag", "label", "notebook", "controls"]
    assert lines[1].split() == ["improvement-kl", "derived", "a", "|", "label", "01-good", "1"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["prove"], "invalid choice: 'prove'"),
        (["verify", "--jobs=0"], "'0' is not a positive int"),
        (["verify", "--timeout=soon"], "'soon' is not a positive float"),
        (["verify", "--profile=huge"], "invalid choice: 'huge'"),
        (["verify", "-p", "instances"], "'instances' is not NAME=VALUE"),
        (["verify", "-p", "profile=quick"], "use --profile for profile"),
        (["verify", "--scheduler=here"], "'here' is not an address such as tcp://HOST:PORT"),
        (["verify", "regret", "--scheduler=tcp://a:1"], "--scheduler goes with notebooks"),
        (["verify", "improvement-lk"], "no claim 'improvement-lk'; did you mean improvement-kl"),
        (["verify", "zzz"], "no claim 'zzz'; see `pmdlib claims`"),
        (["verify", "regret", "--only=01-good"], "--only goes with notebooks"),
        (["verify", "regret", "--force"], "--force goes with notebooks"),
        (["verify", "regret", "--dry-run"], "--dry-run goes with notebooks"),
        (["verify", "regret", "-p", "size=1"], "-p goes with notebooks"),
        (["verify", "--kernel=fast"], "invalid choice: 'fast'"),
        (["verify"], "no workspace at or above"),
    ],
)
def test_bad_usage_is_explained_and_exits_with_2(command, tmp_path, capsys, arguments, message):
    assert command(CLAIMS, tmp_path, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_verified_notebooks_exit_with_0_and_output_goes_elsewhere(command, tmp_path, capsys):
    cells = [conclude_cell("regret", "01-good"), "size = size * 2\nprint(size)"]
    root = make_workspace(tmp_path / "place", {})
    document = notebook_json([("parameters", 'profile = "full"\nsize: int = 1'), *cells])
    (root / "notebooks" / "01-good.ipynb").write_text(json.dumps(document))
    before = snapshot(root)
    arguments = ("verify", "--profile=quick", "-p", "size=21", f"--output={tmp_path / 'out'}")
    assert command({"regret": CLAIMS["regret"]}, root / "notebooks", *arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "notebooks verified: 1, failed: 0"
    assert snapshot(root) == before
    out = snapshot(tmp_path / "out")
    kept = {"executed/.lock", "executed/provenance.json"}
    assert set(out) == {"executed/01-good.ipynb", "executed/verdicts.json"} | kept
    assert b"42" in out["executed/01-good.ipynb"]


def test_claims_are_verified_in_their_own_processes():
    told = io.StringIO()
    told.isatty = lambda: True
    entries, failed = verify_claims(
        ["fine", "lost", "survivor"],
        profile="full",
        seed=1,
        jobs=2,
        timeout=60,
        verify=fake_verify,
        stream=told,
    )
    assert list(entries) == ["fine", "survivor"]
    assert entries["fine"]["profile"] == "full"
    assert failed == {
        "lost": "PmdError: no such thing",
        "survivor": "survivor: its control 'mutant' was not refuted",
    }
    assert "fine: verified (" in told.getvalue()
    assert "lost: FAILED, PmdError: no such thing (" in told.getvalue()


def test_a_claim_is_named_once():
    assert check_names(["b", "a", "b"], ["a", "b"]) == ["b", "a"]
    with pytest.raises(WorkspaceError, match="did you mean ab"):
        check_names(["abb"], ["ab"])


def test_a_process_that_dies_or_hangs_is_one_lost_result():
    items = [("exit", 7), ("sleep", 60), ("value", 3)]
    results = dict(run_parallel(misbehave, items, jobs=3, preload=["json"], timeout=20.0))
    assert results == {
        items[0]: Lost("its process ended with exit code 7"),
        items[1]: Lost("timed out after 20 s"),
        items[2]: 3,
    }


def misbehave(item):
    kind, number = item
    if kind == "exit":
        os._exit(number)
    if kind == "sleep":
        time.sleep(number)
    return number


def test_help_and_version_need_nothing_heavy():
    code = (
        "import sys\n"
        "from pmdlib.workspace.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as e: status = e.code\n"
        "assert not {'papermill', 'matplotlib', 'seaborn', 'IPython'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("pmdlib ")
