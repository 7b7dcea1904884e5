"""README and CONTRIBUTING say what is so: snippets run, ledger in step, links exist."""

import json
import re
from pathlib import Path

import pytest
from claims.published import NAMES

import pmdlib as pmd
from pmdlib.workspace.files import find_notebooks
from pmdlib.workspace.ledger import gather, read_ledger
from pmdlib.workspace.readme import readme_table

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "notebooks" / "executed" / "verdicts.json"


def snippets(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("document", "number"),
    [(name, k) for name in ("README.md", "CONTRIBUTING.md") for k in range(len(snippets(name)))],
)
def test_snippet_runs_and_prints_what_it_says(document, number, capsys):
    source = snippets(document)[number]
    exec(compile(source, f"{document}, snippet {number}", "exec"), {})
    promised = re.findall(r"^print\(.*\n# (.*)$", source, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == promised


def test_the_ledger_of_the_readme_is_the_one_of_verdicts_json():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("<!-- ledger:begin -->")[1].split("<!-- ledger:end -->")[0]
    assert table.strip() == readme_table(read_ledger(LEDGER)).strip()


def test_the_ledger_is_what_the_executed_notebooks_recorded():
    names = [path.stem for path in find_notebooks(ROOT)]
    assert gather(LEDGER.parent, names, pmd.claims) == read_ledger(LEDGER)


def test_every_claim_is_in_the_ledger_verified_on_the_full_profile():
    """A claim in the making is not there yet: its notebook has not been executed."""
    ledger = json.loads(LEDGER.read_text(encoding="utf-8"))
    executed = {path.stem for path in LEDGER.parent.glob("*.ipynb")}
    assert list(ledger) == [n for n, claim in pmd.claims.items() if claim.notebook in executed]
    assert set(ledger) >= NAMES
    for name, entry in ledger.items():
        claim = pmd.claims[name]
        assert entry["verdict"] == "verified"
        assert entry["profile"] == "full"
        assert (entry["tag"], entry["label"], entry["statement"], entry["notebook"]) == (
            claim.tag,
            claim.label,
            claim.statement,
            claim.notebook,
        )
        assert set(entry["controls"]) == {control.name for control in claim.controls}
        assert all(control["refuted"] for control in entry["controls"].values())
        assert entry["ways"]["numeric"]["instances"] >= claim.sizes["full"]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_of_documents_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert not missing
