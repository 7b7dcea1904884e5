"""Verdicts on the catalogue, and the stored witnesses: complete, true, and easy to make again."""

import json
from fractions import Fraction

import fractions_only
import pytest

from pmdlib.analysis.potential.verdicts import (
    WITNESSES,
    find_witnesses,
    load_witnesses,
    verdict_table,
    write_witnesses,
)
from pmdlib.errors import PmdError
from pmdlib.games.catalogue import CATALOGUE, NOT_POTENTIAL, isolated, perturbed_team

STORED = json.loads(WITNESSES.read_text(encoding="utf-8"))


def test_stored_witnesses_are_complete_and_verified():
    witnesses = load_witnesses()
    assert set(witnesses) == set(NOT_POTENTIAL)
    assert all(cycle.relative > 1e-2 for cycle in witnesses.values())


@pytest.mark.parametrize("name", sorted(STORED))
def test_stored_witnesses_recomputed_in_plain_fractions(name):
    total, spread = fractions_only.recomputed(CATALOGUE[name](), STORED[name])
    assert total == Fraction(STORED[name]["total"]) != 0
    assert spread == Fraction(STORED[name]["spread"])


def test_the_file_is_up_to_date(tmp_path):
    path = tmp_path / "witnesses.json"
    path.write_text("old")
    write_witnesses(path)
    assert path.read_text(encoding="utf-8") == WITNESSES.read_text(encoding="utf-8")
    assert [*tmp_path.iterdir()] == [path]


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "witnesses.json"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", _refuse)
    with pytest.raises(OSError, match="full"):
        write_witnesses(path)
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def _refuse(*_):
    raise OSError("full")


def test_false_witnesses_are_refused(tmp_path):
    path = tmp_path / "witnesses.json"
    path.write_text(json.dumps({"separate-worlds": {**STORED["separate-worlds"], "total": "1"}}))
    with pytest.raises(PmdError, match="witness of 'separate-worlds' does not open: its sum"):
        load_witnesses(path)
    path.write_text(json.dumps({"chess": STORED["separate-worlds"]}))
    with pytest.raises(PmdError, match="witness of 'chess': the catalogue has no such game"):
        load_witnesses(path)
    with pytest.raises(PmdError, match="isolated is not refuted: all 2 cycles tried are closed"):
        find_witnesses(["isolated"])


def test_table():
    table = verdict_table({"isolated": isolated(), "perturbed-team": perturbed_team()})
    assert table.index.name == "game"
    yes, no = table.loc["isolated"], table.loc["perturbed-team"]
    assert (yes.verdict, yes.proved, yes.stated, yes.movers) == (True, True, True, None)
    assert (yes.alpha_lower, yes.alpha_upper) == (0, 0)
    assert yes.phi_max == pytest.approx(0.8)  # 1 less .2
    assert (no.verdict, no.proved, no.stated, no.movers) == (False, True, None, (0, 1))
    assert no.phi_max != no.phi_max
    assert no.total == pytest.approx(-2)
    assert 0 < no.alpha_lower <= no.alpha_upper


@pytest.mark.slow
def test_verdicts_on_the_whole_catalogue():
    table = verdict_table()
    assert set(table.index[~table.verdict]) == set(NOT_POTENTIAL)
    assert table.proved.all()
    assert (table.alpha_lower <= table.alpha_upper).all()
    assert ((table.alpha_lower > 0) == ~table.verdict).all()
