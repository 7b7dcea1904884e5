"""README and CONTRIBUTING say what is so: snippets run, ledger in step, links exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from claims.published import NAMES
from workspace.fakes import copy_workspace

import pmdlib as pmd
from pmdlib.workspace.files import find_notebooks
from pmdlib.workspace.ledger import gather, read_ledger
from pmdlib.workspace.readme import readme_table

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "notebooks" / "executed" / "verdicts.json"
WALK = "finite_improvement"
"""The module that CONTRIBUTING adds, from start to end."""


def snippets(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def file_named_by(snippet):
    """The file that a snippet is the content of, if its first line says so."""
    found = re.match(r"# (\S+/\S+\.py)\n", snippet)
    return found[1] if found else None


def files_of(name):
    return {file_named_by(text): text for text in snippets(name) if file_named_by(text)}


@pytest.mark.parametrize(
    ("document", "number"),
    [
        (name, number)
        for name in ("README.md", "CONTRIBUTING.md")
        for number, snippet in enumerate(snippets(name))
        if not file_named_by(snippet)
    ],
)
def test_snippet_runs_and_prints_what_it_says(document, number, capsys):
    source = snippets(document)[number]
    exec(compile(source, f"{document}, snippet {number}", "exec"), {})
    promised = re.findall(r"^print\(.*\n# (.*)$", source, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == promised


def test_the_claim_of_the_walk_through_passes_its_own_test(monkeypatch):
    module, test = {}, {}
    sources = files_of("CONTRIBUTING.md")
    exec(compile(sources[f"pmdlib/claims/{WALK}.py"], "the claim", "exec"), module)
    for claim in module["CLAIMS"]:
        monkeypatch.setitem(pmd.claims._built_in, claim.name, claim)
    exec(compile(sources[f"tests/claims/test_{WALK}.py"], "its test", "exec"), test)
    checks = [value for name, value in test.items() if name.startswith("test_")]
    assert len(checks) == 3
    for run in checks:
        run()


@pytest.mark.slow
def test_the_walk_through_can_be_walked(tmp_path):
    """Its commands in order, in a copy of the workspace; a file that it shows is written."""
    root = copy_workspace(ROOT, tmp_path / "copy")
    (root / ".venv").symlink_to(sys.prefix)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walk = text.split("## Add a claim")[1].split("\n### ")[0]
    number = f"{len(find_notebooks(root)) + 1:02d}"  # there may be more notebooks than there were
    walk = walk.replace("14-finite", f"{number}-finite").replace("--only 14", f"--only {number}")
    environment = os.environ | {"PYTHONPATH": str(root)}
    printed = []
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", walk, flags=re.DOTALL):
        if kind == "python":
            path, content = re.fullmatch(r"# (\S+)\n(.*)", block, flags=re.DOTALL).groups()
            assert (root / path).is_file(), "pmdlib new has written it"
            (root / path).write_text(content, encoding="utf-8")
        for line in block.splitlines() if kind == "console" else ():
            run = subprocess.run(
                ["bash", "-c", line],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, (line, run.stdout, run.stderr)
            printed.append(run.stdout)
        if kind == "text":  # of what the last command says
            assert " ".join(block.split()) in " ".join(printed[-1].split())
    assert len(printed) == 7
    tests = ["test_notebooks.py", "workspace/test_theory_pages.py", "claims/test_claims.py"]
    some = "finite or ledger or published or contract or pinned or making"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-k", some]
    command += [f"tests/{name}" for name in tests]
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    style = [f"{sys.prefix}/bin/ruff", "check", *files_of("CONTRIBUTING.md")]
    for command in (style, [style[0], "format", "--check", *style[2:]]):
        assert subprocess.run(command, cwd=root, check=False).returncode == 0
    ledger = json.loads((root / "notebooks" / "executed" / "verdicts.json").read_text())
    assert set(ledger) == {*pmd.claims, "finite-improvement"}
    assert "[finite-improvement](notebooks/executed/" in (root / "README.md").read_text()


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
