"""What differs between the ledger of a re-run and the committed one, and by how much."""

import copy
import json
import math
import subprocess

import pytest
from workspace.fakes import Claim, conclude_cell, make_workspace, record

from pmdlib.workspace.compare import committed_ledger, differences
from pmdlib.workspace.plan import Plan


def ledger():
    entry = record("first", "01-good")
    del entry["name"]
    entry["ways"]["numeric"]["worst_error"] = 3e-15
    return {"first": entry}


def test_equal_ledgers_have_no_differences():
    assert differences(ledger(), copy.deepcopy(ledger())) == []


@pytest.mark.parametrize(
    ("field", "value", "relative", "within"),
    [
        ("worst_slack", 1.2346, 2.60084e-5, True),
        ("worst_slack", 1.25, 0.0123457, False),
        ("worst_slack", "inf", math.inf, False),
        ("worst_error", 9e-15, 2 / 3, True),
        ("instances", 2399, 1 / 2400, True),
        ("instances", 1200, 0.5, False),
        ("relation", "<=", math.inf, False),
    ],
)
def test_numbers_are_compared_to_three_digits_and_rounding_errors_not(
    field, value, relative, within
):
    new = ledger()
    new["first"]["ways"]["numeric"][field] = value
    (found,) = differences(ledger(), new)
    assert found.claim == "first"
    assert found.what == f"ways.numeric.{field}"
    assert found.new == value
    assert found.relative == pytest.approx(relative, rel=1e-3)
    assert found.within is within


def test_a_truth_value_is_no_number_and_what_is_worst_comes_first():
    new = ledger()
    new["first"]["controls"]["mutant"]["refuted"] = False
    new["first"]["controls"]["mutant"]["value"] = -0.66667
    found = differences(ledger(), new)
    assert [each.what for each in found] == ["controls.mutant.refuted", "controls.mutant.value"]
    assert [each.within for each in found] == [False, True]


def test_claims_of_one_side_only_differ():
    assert [(each.claim, each.old, each.new) for each in differences(ledger(), {})] == [
        ("first", "recorded", "–")
    ]
    assert differences({}, ledger())[0].old == "–"


def test_the_command_tells_what_differs_from_the_commit(tmp_path, command, capsys):
    root = make_workspace(tmp_path / "place", {"01-good": [conclude_cell("first", "01-good")]})
    claims = {"first": Claim("first", "01-good")}
    arguments = ("verify", "--profile=quick", "--compare")
    assert command(claims, root, *arguments) == 2
    assert "needs a ledger that is committed to git" in capsys.readouterr().err
    git = ["git", "-c", "user.name=a", "-c", "user.email=b"]
    subprocess.run([*git, "init", "-q"], cwd=root, check=True)
    subprocess.run([*git, "add", "-A"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-qm", "all"], cwd=root, check=True)
    assert committed_ledger(Plan(root, claims))["first"]["verdict"] == "verified"
    assert command(claims, root, *arguments) == 0
    assert "0 values differ, 0 of them beyond 3 digits" in capsys.readouterr().out
    source = root / "notebooks" / "01-good.ipynb"
    source.write_text(source.read_text().replace("1.23456789", "1.5"))
    assert command(claims, root, *arguments) == 1
    out = capsys.readouterr().out
    assert "1 values differ, 1 of them beyond 3 digits" in out
    row = next(line for line in out.splitlines() if "ways.numeric.worst_slack" in line)
    assert row.split() == ["✗", "first", "ways.numeric.worst_slack", "1.23457", "1.5", "1.8e-01"]
    assert json.loads((root / "notebooks/executed/verdicts.json").read_text())
