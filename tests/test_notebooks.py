"""The notebooks: clean sources, and the whole verification end to end on the quick profile."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from claims.published import NAMES

import pmdlib as pmd

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))
LONGEST_CELL = 15


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def lines(cell):
    return [line for line in "".join(cell["source"]).splitlines() if line.strip()]


def executed(path):
    return ROOT / "notebooks" / "executed" / path.name


def test_every_notebook_that_a_claim_names_exists():
    assert {claim.notebook for claim in pmd.claims.values()} <= {path.stem for path in SOURCES}


def test_the_published_notebooks_have_been_executed():
    published = {pmd.claims[name].notebook for name in NAMES}
    assert len(published) >= 13
    assert {path.stem for path in SOURCES if executed(path).is_file()} >= published


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_source_is_clean_and_has_the_parts_of_a_notebook(path):
    code = cells(path, "code")
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    names = {line.split("=")[0].strip() for line in lines(tagged[0]) if "=" in line}
    assert {"profile", "seed"} <= names
    assert lines(code[-1])[0].startswith("conclude(")
    assert all(len(lines(cell)) <= LONGEST_CELL for cell in code)
    identifiers = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_notebook_states_each_of_its_claims_and_its_tag(path):
    prose = "".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    code = "".join("".join(cell["source"]) for cell in cells(path, "code"))
    for claim in pmd.claims.values():
        if claim.notebook == path.stem:
            assert f"[{claim.tag}]" in prose
            assert claim.name in code
    assert "$$" in prose


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_committed_figures_belong_to_their_notebooks(path):
    drawn = {line for cell in cells(path, "code") for line in lines(cell) if "save_figure(" in line}
    saved = {figure.stem for figure in (ROOT / "figures").glob(f"{path.stem}-*")}
    assert drawn
    for name in saved:
        assert (ROOT / "figures" / f"{name}.svg").is_file()
        assert (ROOT / "figures" / f"{name}.pdf").is_file()
    if executed(path).is_file():
        assert executed(path).read_text(encoding="utf-8").count('"image/png"') >= len(saved) > 0
    else:  # a notebook in the making
        assert not saved


def test_the_whole_verification_runs_from_end_to_end(tmp_path):
    """Run `pmdlib verify --profile quick`: all claims verified, all controls refuted, status 0."""
    command = [sys.executable, "-m", "pmdlib", "verify", "--profile", "quick", "--jobs", "2"]
    run = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    ledger = json.loads((tmp_path / "executed" / "verdicts.json").read_text(encoding="utf-8"))
    assert list(ledger) == list(pmd.claims)
    for entry in ledger.values():
        assert entry["verdict"] == "verified"
        assert entry["profile"] == "quick"
        assert all(control["refuted"] for control in entry["controls"].values())
    assert {path.stem for path in (tmp_path / "executed").glob("*.ipynb")} == {
        path.stem for path in SOURCES
    }
    assert len(list((tmp_path / "figures").glob("*.svg"))) >= len(SOURCES)
