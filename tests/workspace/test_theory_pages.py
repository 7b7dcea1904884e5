"""The theory pages: claims where they are proved, with controls; labels, links, references."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from claims.published import NAMES

import pmdlib as pmd

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "pmdlib" / "workspace" / "site" / "pages" / "theory"
REFERENCES = ROOT / "pmdlib" / "workspace" / "site" / "references.bib"

#: On which page each claim is stated and proved.
PROVED_ON = {
    "performance-difference": "02-identities",
    "performance-difference-joint": "02-identities",
    "potential-advantage": "02-identities",
    "mirror-step-euclidean": "03-mirror-steps",
    "mirror-step-kl": "03-mirror-steps",
    "natural-gradient": "03-mirror-steps",
    "improvement-euclidean": "04-improvement-euclidean",
    "improvement-euclidean-sharp": "04-improvement-euclidean",
    "improvement-kl": "05-improvement-kl",
    "improvement-kl-constant-step": "05-improvement-kl",
    "improvement-kl-own-steps": "06-own-steps-and-coupling",
    "improvement-kl-coupling": "06-own-steps-and-coupling",
    "player-scaling": "07-scaling",
    "action-independence": "07-scaling",
    "fixed-points-kl": "08-fixed-points",
    "isolated-fixed-points": "08-fixed-points",
    "best-action-progress": "09-constant-c",
    "constant-c": "09-constant-c",
    "regret-euclidean": "10-regret",
    "regret-kl": "10-regret",
    "regret-kl-constant-step": "10-regret",
    "regret-kl-log": "10-regret",
    "estimator-unbiased": "11-noise",
    "noise-floor": "11-noise",
    "last-iterate-strict": "12-last-iterate",
    "anarchy-affine": "13-social-cost",
}

#: Labels of the paper that are known here; all others would be inventions.
LABELS = {"V.4", "V.5", "V.6", "V.A", "V.B", "IV"}

TEXTS = {page.stem: page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md"))}
NUMBERED = {name: text for name, text in TEXTS.items() if name[:2].isdigit()}
ALL = "\n".join(TEXTS.values())


def section(name: str) -> str:
    """Return the section of a claim: from its target to the target of the next claim."""
    text = NUMBERED[PROVED_ON[name]]
    start = text.index(f"(theory-{name})=\n")
    others = [text.find(f"(theory-{other})=\n", start + 1) for other in PROVED_ON]
    return text[start : min((place for place in others if place > 0), default=len(text))]


def without_code(text: str) -> str:
    """Remove fenced blocks and inline code."""
    return re.sub(
        r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )


def test_every_published_claim_has_a_page():
    assert NAMES <= set(PROVED_ON) <= set(pmd.claims)
    assert set(PROVED_ON.values()) <= set(NUMBERED)


@pytest.mark.parametrize("name", PROVED_ON)
def test_a_claim_is_named_on_the_page_where_it_is_proved_and_on_no_other(name):
    named = {page for page, text in NUMBERED.items() if f"`{name}`" in text}
    assert named == {PROVED_ON[name]}
    assert f"`{name}`" in TEXTS["how-surely"]


@pytest.mark.parametrize("name", PROVED_ON)
def test_a_claim_is_introduced_as_the_registry_has_it(name):
    claim = pmd.claims[name]
    line = re.search(rf"^\*\*Claim\*\* `{re.escape(name)}` .*$", section(name), flags=re.MULTILINE)
    assert line is not None
    assert line[0].startswith(f"**Claim** `{name}` **[{claim.tag}]**: {claim.label}. Shown in ")
    assert line[0].endswith(f"](/notebooks/{claim.notebook}.ipynb).")


@pytest.mark.parametrize("name", PROVED_ON)
def test_a_claim_has_a_proof_and_all_its_controls(name):
    text = section(name)
    assert "∎" in text
    proof, _, controls = text.partition("**Controls")
    assert proof
    listed = re.findall(r"^- ((?:`[^`]+`(?:, )?)+)", controls, flags=re.MULTILINE)
    found = [control for group in listed for control in re.findall(r"`([^`]+)`", group)]
    assert Counter(control.name for control in pmd.claims[name].controls) == Counter(found)


def test_the_ways_are_those_of_the_ledger():
    ledger = json.loads((ROOT / "notebooks" / "executed" / "verdicts.json").read_text("utf-8"))
    rows = re.findall(
        r"^\| \[`([^`]+)`\]\(#theory-([^)]+)\) \| \[(\w+)\] \| ([^|]+) \|$",
        TEXTS["how-surely"],
        flags=re.MULTILINE,
    )
    assert [row[0] for row in rows] == [name for name in pmd.claims if name in PROVED_ON]
    for name, target, tag, ways in rows:
        assert target == name
        assert tag == pmd.claims[name].tag
        assert set(ways.split(", ")) == set(ledger[name]["ways"])


def test_every_display_equation_has_a_label_of_its_own():
    labels = []
    for name, text in TEXTS.items():
        marks = re.findall(r"^\$\$(.*)$", without_code(text), flags=re.MULTILINE)
        assert len(marks) % 2 == 0, name
        assert "$$" not in re.sub(r"^\$\$", "", without_code(text), flags=re.MULTILINE), name
        for opening, closing in zip(marks[::2], marks[1::2], strict=True):
            assert opening == "", name
            label = re.fullmatch(r" \((eq-[a-z0-9-]+)\)", closing)
            assert label is not None, (name, closing)
            labels.append(label[1])
        assert "\\begin{equation" not in text
        assert "\\begin{align}" not in text
    assert [label for label, count in Counter(labels).items() if count > 1] == []
    assert set(re.findall(r"\{eq\}`([^`]+)`", ALL)) <= set(labels)
    assert len(labels) > 80


def test_headings_have_targets_and_links_lead_somewhere():
    targets = re.findall(r"^\(([a-z0-9-]+)\)=$", ALL, flags=re.MULTILINE)
    assert [target for target, count in Counter(targets).items() if count > 1] == []
    assert all(target.startswith("theory-") for target in targets)
    assert set(re.findall(r"\]\(#([^)]+)\)", ALL)) <= set(targets)
    for name, text in TEXTS.items():
        for match in re.finditer(r"^#+ .*$", text, flags=re.MULTILINE):
            before = text[: match.start()].rstrip("\n").rpartition("\n")[2]
            assert re.fullmatch(r"\([a-z0-9-]+\)=", before), (name, match[0])


def test_notebook_links_point_at_notebooks():
    linked = set(re.findall(r"\]\(/([^)]+)\)", ALL))
    sources = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert linked
    assert linked <= sources
    assert not re.findall(r"\]\((?!/notebooks/|#)[^)]*\)", without_code(ALL))


def test_every_reference_is_cited_and_every_citation_is_a_reference():
    entries = re.findall(r"^@\w+\{([^,\s]+),$", REFERENCES.read_text("utf-8"), flags=re.MULTILINE)
    cited = {
        key.strip()
        for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", ALL)
        for key in keys.split(",")
    }
    assert [entry for entry, count in Counter(entries).items() if count > 1] == []
    assert set(entries) == cited
    assert "```{bibliography}" in TEXTS["references"]


def test_only_known_labels_of_the_paper_occur():
    named = re.findall(
        r"(?:Section|Assumption|Proposition|Theorem|Lemma|Corollary) ([IVX]+(?:\.\w+)?)", ALL
    )
    assert named
    assert set(named) <= LABELS


def test_the_contents_list_every_page():
    toc = re.findall(r"^```\{toctree\}\n(.*?)^```", TEXTS["index"], flags=re.DOTALL | re.MULTILINE)
    listed = [line for part in toc for line in part.splitlines() if line and line[0] != ":"]
    made_by_the_site = ["statements"]
    assert sorted([*listed, "index"]) == sorted([*TEXTS, *made_by_the_site])


def test_every_scalar_lemma_is_proved_on_its_page():
    from pmdlib.claims.ways.lemmas import LEMMAS

    rows = re.findall(r"^\| ([a-z-]+) \| \$", TEXTS["15-scalar-lemmas"], flags=re.MULTILINE)
    prose = re.findall(r"^\| ([a-z-]+) \|", TEXTS["15-scalar-lemmas"], flags=re.MULTILINE)[1:]
    assert set(rows) <= set(LEMMAS)
    assert sorted(prose) == sorted(LEMMAS)
