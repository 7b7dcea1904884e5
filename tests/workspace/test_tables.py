"""What the tables say of each way of checking, and of controls: counted, proved, how surely."""

from dataclasses import replace

import numpy as np
import pytest
from workspace.fakes import record

import pmdlib as pmd
from pmdlib.claims.claim import ControlResult
from pmdlib.workspace.frames import controls_table, ways_table
from pmdlib.workspace.ledger import entry_of
from pmdlib.workspace.tables import html_table, shown, shown_by, text_table, tightest

SPACE = "\N{NO-BREAK SPACE}"


def entry(**ways):
    made = record("claim", "01-good")
    made["ways"] = ways
    return dict([entry_of(made)])


def only(entries):
    return next(iter(entries.values()))


@pytest.mark.parametrize(
    ("way", "result", "text"),
    [
        ("numeric", {"instances": 2400, "skipped": 3}, f"2{SPACE}400 instances (3 skipped)"),
        ("exact", {"instances": 1, "skipped": 0}, "1 instance"),
        ("certified", {"instances": 198, "undecided": 2}, "198 instances (2 undecided)"),
        (
            "certified",
            {"instances": 9, "skipped": 4, "undecided": 2},
            "9 instances (4 skipped, 2 undecided)",
        ),
        ("symbolic", {"instances": 8}, "8 identities"),
        ("symbolic", {"instances": 1, "undecided": 1}, "1 identity (1 undecided)"),
        ("interval", {"instances": 1}, "1 lemma"),
        ("interval", {"instances": 6}, "6 lemmas"),
        ("adversarial", {"instances": 15}, "15 attacks"),
        ("adversarial", {"instances": 0}, "0 attacks"),
    ],
)
def test_every_way_counts_its_own_kind(way, result, text):
    assert shown_by({way: result}) == {way: text}
    assert shown(only(entry(**{way: result}))) == f"{way}, {text}"


def test_the_tightest_slack_is_over_all_ways():
    ways = {
        "numeric": {"instances": 5, "relation": ">=", "worst_slack": 3.0},
        "certified": {"instances": 5, "relation": ">=", "worst_slack": 2.0},
        "adversarial": {"instances": 5, "relation": ">=", "worst_slack": 1.25},
        "symbolic": {"instances": 5},
    }
    assert tightest(only(entry(**ways))) == "measured/bound ≥ ×1.25"
    ways["numeric"]["worst_slack"] = 1.125
    assert tightest(only(entry(**ways))) == "measured/bound ≥ ×1.12"
    assert tightest(only(entry(symbolic={"instances": 2}))) == "–"


def test_an_error_is_that_of_floats():
    ways = {
        "numeric": {"instances": 5, "relation": "==", "worst_error": 3e-15, "worst_slack": 0.5},
        "exact": {"instances": 5, "relation": "==", "worst_error": 0.0},
    }
    assert tightest(only(entry(**ways))) == "error 3e-15"


def test_parts_say_what_was_proved_of_each():
    part = {"relation": ">=", "compared": 12}
    ways = {
        "numeric": {
            "instances": 12,
            "parts": {"a": part | {"worst_slack": 1.5}, "b": {"relation": "==", "compared": 12}},
        },
        "certified": {
            "instances": 12,
            "parts": {
                "a": part | {"proved": 11, "disproved": 1, "worst_slack": 1.25},
                "b": {"relation": "==", "compared": 12, "agree": 7, "undecided": 5},
            },
        },
    }
    for table in (text_table(entry(**ways)), html_table(entry(**ways))):
        assert "certified: 11 proved, 1 disproved" in table
        assert "certified: 7 agree, 5 undecided" in table
        assert "measured/bound ≥ ×1.25" in table
        assert "numeric: " not in table


def test_a_control_says_how_surely_it_was_refuted():
    made = record("claim", "01-good")
    made["controls"]["mutant"]["how"] = "certified at 256 bits"
    for table in (text_table, html_table):
        assert "refuted, certified at 256 bits" in table(dict([entry_of(made)]))
    made["controls"]["mutant"] |= {"how": "not refuted, exact", "refuted": False}
    assert "NOT REFUTED, not refuted, exact" in text_table(dict([entry_of(made)]))


def test_frames_of_a_verdict():
    verdict = pmd.verify("mirror-step-kl", instances=4)
    ways = ways_table(verdict)
    assert list(ways.index) == ["mirror-step-kl"]
    assert set(ways.columns) == set(verdict.ways) == {"numeric", "certified", "symbolic"}
    assert ways.loc["mirror-step-kl", "symbolic"] == "4 identities"
    other = pmd.verify("performance-difference", instances=1)
    both = ways_table(verdict, other)
    assert both.loc["performance-difference", "certified"] == "–"
    assert both.loc["mirror-step-kl", "certified"] == "4 instances (4 agreeing)"
    controls = controls_table(verdict, other)
    assert len(controls) == len(verdict.controls) + len(other.controls)
    assert list(controls.columns) == ["what is claimed too much", "measured", "claimed", "refuted"]
    row = controls.loc[("performance-difference", "old-occupancy")]
    assert (row["measured"], row["claimed"], row["refuted"]) == ("9", "= 90", "exact")


def test_a_control_that_survives_is_shouted():

    verdict = pmd.verify("mirror-step-kl", instances=1)
    lost = ControlResult(False, "nobody knows", np.nan, np.nan, "<=", "what")
    table = controls_table(replace(verdict, controls={"lost": lost}))
    assert table.loc[("mirror-step-kl", "lost"), "refuted"] == "NO"
    assert table.loc[("mirror-step-kl", "lost"), "claimed"] == "at most nan"
