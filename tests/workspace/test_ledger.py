"""The record in the notebook, the ledger in its file, the tables that people read."""

import json
import math

import numpy as np
import pytest
from workspace.fakes import README, Claim, Verdict, notebook_json, record

from pmdlib.workspace import conclude
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.ledger import (
    FIELDS,
    MIME_TYPE,
    NotVerifiedError,
    entry_of,
    gather,
    read_ledger,
    read_verdicts,
    write_ledger,
)
from pmdlib.workspace.readme import readme_table, update_readme
from pmdlib.workspace.tables import html_table, text_table


def test_conclude_prints_the_table_outside_notebooks(capsys):
    conclude(Verdict(record("first", "01-good")))
    assert capsys.readouterr().out == (
        "   claim             tag                  shown                                 "
        "tightest\n"
        "✓  first             [derived] a | label  numeric, 2\N{NO-BREAK SPACE}400 instances"
        " (3 skipped)  measured/bound ≥ ×1.23\n"
        "     control mutant                       refuted                               "
        "-0.6667 ≥ 0.5 fails\n"
    )


def test_conclude_names_every_claim_and_control_that_fails():
    verdicts = [
        Verdict(record("fine", "01-good")),
        Verdict(record("wrong", "01-good", verdict="refuted")),
        Verdict(record("weak", "01-good", verdict="inconclusive", refuted=False)),
    ]
    message = "^wrong is refuted; weak is inconclusive; weak: its control 'mutant' was not refuted$"
    with pytest.raises(NotVerifiedError, match=message):
        conclude(*verdicts)


def test_conclude_refuses_what_records_nothing_or_too_much():
    with pytest.raises(WorkspaceError, match="at least one verdict"):
        conclude()
    once = Verdict(record("first", "01-good"))
    with pytest.raises(WorkspaceError, match="two verdicts on 'first'"):
        conclude(once, once)
    part = record("first", "01-good")
    del part["seed"], part["ways"]
    with pytest.raises(WorkspaceError, match="verdict 'first' lacks seed, ways"):
        conclude(Verdict(part))


def test_entries_are_rounded_and_always_json():
    full = record("first", "01-good")
    full["ways"]["numeric"] |= {"a": 1 / 3, "b": -0.0, "c": math.inf, "d": 1.2345678e-80}
    full["ways"]["numeric"] |= {"e": np.float64(2 / 3), "f": np.int64(3), "g": (True, None)}
    name, entry = entry_of(full)
    assert (name, tuple(entry)) == ("first", FIELDS)
    way = entry["ways"]["numeric"]
    assert [way[key] for key in "abcd"] == [0.333333, 0.0, "inf", 1.23457e-80]
    assert math.copysign(1, way["b"]) == 1
    assert json.loads(json.dumps([way["e"], way["f"], way["g"]])) == [0.666667, 3, [True, None]]
    assert "×1.23" in text_table({"first": entry})


def executed(path, *entries):
    """Write an executed notebook that recorded these verdicts, one output each."""
    document = notebook_json(["1" for _ in entries])
    for cell, entry in zip(document["cells"], entries, strict=True):
        data = {MIME_TYPE: dict([entry_of(entry)]), "text/plain": "a table"}
        cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": data}]
    path.write_text(json.dumps(document))
    return document


def test_the_ledger_is_what_the_executed_notebooks_recorded(tmp_path):
    stale = record("first", "01-good", verdict="refuted")
    document = executed(
        tmp_path / "01-good.ipynb",
        stale,
        record("first", "01-good"),
        record("gone", "01-good"),
        record("second", "01-good"),
    )
    executed(tmp_path / "02-also.ipynb", record("second", "02-also"))
    assert list(read_verdicts(document)) == ["first", "gone", "second"]
    assert read_verdicts(document)["first"]["verdict"] == "verified", "the last one holds"
    claims = {"second": Claim("second", "02-also"), "first": Claim("first", "01-good")}
    entries = gather(tmp_path, ["01-good", "02-also", "03-not-run"], claims)
    assert list(entries) == ["second", "first"]
    assert entries["second"]["notebook"] == "02-also", "not what another notebook said"
    path = tmp_path / "verdicts.json"
    assert read_ledger(path) == {}
    write_ledger(path, entries)
    assert read_ledger(path) == entries
    assert set(tmp_path.iterdir()) == {path, *tmp_path.glob("*.ipynb")}, "no temporary file"


def test_parts_of_a_claim_have_their_own_rows():
    several = record("ratio", "01-good")
    several["ways"]["numeric"]["parts"] = {
        "first": {"relation": "<=", "worst_slack": 1.3249},
        "second": {"relation": ">="},
        "third": {"relation": "==", "worst_slack": 0.5, "worst_error": 2e-16},
    }
    entries = dict([entry_of(several)])
    for table in (text_table(entries), html_table(entries)):
        assert table.index("first") < table.index("second") < table.index("third")
        assert "bound/measured ≥ ×1.32" in table
        assert "holds; no ratio to show" in table
        assert "error 2e-16" in table


def test_readme_table(tmp_path):
    equal = record("equal", "01-good", relation="==")
    equal["ways"]["numeric"] |= {"worst_error": 3.3e-15, "instances": 1, "skipped": 0}
    ratio = record("ratio", "02-also", refuted=False)
    ratio["ways"]["numeric"]["parts"] = {
        "a": {"relation": "<=", "worst_slack": 7.0},
        "b": {"relation": "<=", "worst_slack": 1.3249},
        "c": {"relation": "<=", "worst_slack": "inf"},
        "d": {"relation": "==", "worst_slack": 0.5, "worst_error": 0.0},
    }
    ratio["ways"]["symbolic"] = {}
    entries = dict([entry_of(equal), entry_of(ratio)])
    space = "\N{NO-BREAK SPACE}"
    assert [row.split(" | ") for row in readme_table(entries).splitlines()[2:]] == [
        [
            "| [equal](notebooks/executed/01-good.ipynb)",
            "[derived] a \\| label",
            "numeric, 1 instance",
            "error 3e-15",
            "1/1 |",
        ],
        [
            "| [ratio](notebooks/executed/02-also.ipynb)",
            "[derived] a \\| label",
            f"numeric, 2{space}400 instances (3 skipped); symbolic",
            "measured/bound ≥ ×1.23",
            "0/1 |",
        ],
    ]
    path = tmp_path / "README.md"
    path.write_text(README)
    update_readme(path, entries)
    once = path.read_text()
    assert once.startswith("# A project\n\n<!-- ledger:begin -->\n| statement |")
    assert once.endswith("| 0/1 |\n<!-- ledger:end -->\n\nThe end.\n")
    update_readme(path, entries)
    assert path.read_text() == once


@pytest.mark.parametrize(
    "text",
    ["", "<!-- ledger:begin -->", "<!-- ledger:end --><!-- ledger:begin -->", README + README],
)
def test_readme_without_its_markers_is_refused(tmp_path, text):
    path = tmp_path / "README.md"
    with pytest.raises(WorkspaceError, match="is missing; it must hold"):
        update_readme(path, {})
    path.write_text(text)
    with pytest.raises(WorkspaceError, match="must hold <!-- ledger:begin --> once and, after it"):
        update_readme(path, {})
    assert path.read_text() == text


def test_html_table_escapes_and_typesets():
    table = html_table(dict([entry_of(record("first", "01-good"))]))
    assert "<td>✓</td><td>first: verified</td>" in table
    assert '<td colspan="4">$a &lt; b$</td>' in table
    assert "<td>control mutant</td><td>a sign is flipped</td><td>refuted</td>" in table
    assert "<td>-0.6667 ≥ 0.5 fails</td>" in table
