"""`pmdlib new`: what it writes works as it stands, and nothing is overwritten."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from workspace.fakes import (
    Claim,
    conclude_cell,
    copy_workspace,
    make_workspace,
    notebook_json,
    snapshot,
)

import pmdlib as pmd
from pmdlib.claims.checking import check
from pmdlib.errors import PmdError
from pmdlib.files import write_atomically
from pmdlib.workspace.files import find_notebooks
from pmdlib.workspace.templates import filling
from pmdlib.workspace.templates.making import Planned, new_workspace, shipped_notebooks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A directory that looks like the workspace of pmdlib: two notebooks and a README."""
    cells = [conclude_cell("regret", "01-good")]
    root = make_workspace(tmp_path / "place", {"01-good": cells})
    shutil.copy(ROOT / "notebooks" / "03-performance-difference.ipynb", root / "notebooks")
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in (
        "__init__.py",
        "claims/registry.py",
        "claims/checking.py",
        "games/named/__init__.py",
    ):
        (root / "pmdlib" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "pmdlib" / name, root / "pmdlib" / name)
    return root


@pytest.fixture
def new(command, capsys):
    """Run `pmdlib new`; return its status and what it printed."""

    def run(root, *arguments, claims=None):
        status = command(pmd.claims if claims is None else claims, root, "new", *arguments)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def written(root, before):
    return {name for name, content in snapshot(root).items() if before.get(name) != content}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(path):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


def lint(root, *paths):
    """What ruff has to say of files, with the settings of the project and where pmdlib is."""
    found = []
    for command in (["check", f"--config=src=['{ROOT}']"], ["format", "--check", "--diff"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *map(str, paths)],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        found += [run.stdout + run.stderr] if run.returncode else []
    return "".join(found)


def test_a_claim_comes_with_its_test_and_its_notebook(checkout, new):
    before = snapshot(checkout)
    status, told = new(checkout, "claim", "my-first")
    files = ["pmdlib/claims/my_first.py", "tests/claims/test_my_first.py"]
    files.append("notebooks/04-my-first.ipynb")
    assert (status, written(checkout, before)) == (0, set(files))
    assert told.splitlines() == [
        f"wrote {', '.join(files)}",
        "make it yours: follow the words there, and see:  pmdlib verify my-first",
        "then:          pmdlib verify --only 04-my-first --profile quick --output build/trial",
    ]
    (claim,) = load(checkout / files[0]).CLAIMS
    assert (claim.name, claim.notebook) == ("my-first", "04-my-first")
    planned = Planned("my-first")
    for field in ("name", "tag", "label", "statement"):  # the notebook states the claim
        assert getattr(claim, field) == getattr(planned, field)
    assert claim.statement in sources(checkout / files[2])[0]
    verdict = check(claim, instances=40)
    assert verdict.verified
    assert verdict.ways["exact"]["instances"] >= 10
    half = replace(
        claim, compare=lambda i: (replace(s, right=s.right / 2) for s in sides(claim, i))
    )
    assert check(half, instances=40).verdict == "refuted"


def sides(claim, instance):
    yield from claim.compare(instance)


def test_a_notebook_has_the_parts_of_one(checkout, new):
    assert new(checkout, "claim", "my-first", "--notebook", "07-why-not")[0] == 0
    path = checkout / "notebooks" / "07-why-not.ipynb"
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", ())]
    assert len(tagged) == 1
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert code[-1]["source"] == ["conclude(verdict)"]
    text = "".join(sources(path))
    assert '"07-why-not-sides"' in text
    assert '"07-why-not-slack"' in text
    assert 'pmd.verify("my-first", profile, seed=seed, instances=instances)' in text
    for left in ("my-claim", "00-", "TITLE", "STATEMENT", "TAG", "LABEL"):
        assert left not in text


@pytest.mark.parametrize("name", ["a", "a-claim-with-a-name-of-32-letters"[:32]])
def test_what_is_written_is_in_the_style_of_the_project(checkout, new, name):
    before = snapshot(checkout)
    assert new(checkout, "claim", name, "--notebook", name)[0] == 0
    assert new(checkout, "game", name)[0] == 0
    claims = {"b" * 32: Claim("b" * 32, f"01-{name}")}
    assert new(checkout, "claim", "c" * 32, "--notebook", "03", claims=claims)[0] == 2
    where = "03-performance-difference"
    assert new(checkout, "claim", "c" * 32, "--notebook", where)[0] == 0
    assert new(checkout, "claim", "d" * 32, "--notebook", where)[0] == 0
    files = written(checkout, before)
    assert len(files) == 3 + 2 + 2 * 2 + 1
    assert lint(checkout, *files) == ""


def test_a_claim_goes_into_a_notebook_that_is_there(checkout, new):
    path = checkout / "notebooks" / "03-performance-difference.ipynb"
    old, before = json.loads(path.read_text()), snapshot(checkout)
    status, told = new(checkout, "claim", "my-second", "--notebook", "performance-difference")
    assert status == 0
    assert told.splitlines()[0].endswith("; changed notebooks/03-performance-difference.ipynb")
    assert told.splitlines()[2].endswith("pmdlib verify --only 03-performance-difference")
    files = {"pmdlib/claims/my_second.py", "tests/claims/test_my_second.py"}
    assert written(checkout, before) == files | {"notebooks/03-performance-difference.ipynb"}
    now = json.loads(path.read_text())
    assert now["cells"][: len(old["cells"]) - 1] == old["cells"][:-1]
    assert now["cells"][-1] == old["cells"][-1] | {
        "source": ["conclude(verdict, joint, verdict_3)"]
    }
    assert {key: now[key] for key in now if key != "cells"} == {
        key: old[key] for key in old if key != "cells"
    }
    added = sources(path)[len(old["cells"]) - 1 : -1]
    assert added[0].startswith("## My second\n")
    assert "**[derived]**" in added[0]
    assert 'verdict_3 = pmd.verify("my-second", profile, seed=seed)' in added[1]
    assert added[2] == "controls_table(verdict_3)"
    assert '"03-performance-difference-my-second"' in added[3]
    (claim,) = load(checkout / "pmdlib" / "claims" / "my_second.py").CLAIMS
    assert claim.notebook == "03-performance-difference"


def test_a_notebook_is_written_for_the_claims_that_name_it(checkout, new):
    claims = {name: Claim(name, "09-waiting", label="no. 1") for name in ("one", "two", "three")}
    before = snapshot(checkout)
    status, told = new(checkout, "notebook", "waiting", claims=claims)
    assert (status, written(checkout, before)) == (0, {"notebooks/09-waiting.ipynb"})
    assert "pmdlib verify one" in told
    text = sources(checkout / "notebooks" / "09-waiting.ipynb")
    assert text[-1] == "conclude(verdict, verdict_2, verdict_3)"
    assert all(any(f'pmd.verify("{name}"' in cell for cell in text) for name in claims)
    assert lint(checkout, "notebooks/09-waiting.ipynb") == ""


@pytest.mark.parametrize("name", ["fresh", "05-fresh"])
def test_a_notebook_that_no_claim_names_brings_one(checkout, new, name):
    before = snapshot(checkout)
    assert new(checkout, "notebook", name)[0] == 0
    number = name[:2] if name[0] == "0" else "04"
    files = {"pmdlib/claims/fresh.py", "tests/claims/test_fresh.py"}
    assert written(checkout, before) == files | {f"notebooks/{number}-fresh.ipynb"}


def test_a_game_comes_with_its_test(checkout, new):
    before = snapshot(checkout)
    status, told = new(checkout, "game", "my-game")
    files = {"pmdlib/games/named/my_game.py", "tests/games/test_my_game.py"}
    assert (status, written(checkout, before)) == (0, files)
    assert told.splitlines()[2] == "then:          python -m pytest tests/games/test_my_game.py"
    ((name, make),) = load(checkout / "pmdlib" / "games" / "named" / "my_game.py").GAMES.items()
    assert name == "my-game"
    game, test = make(), load(checkout / "tests" / "games" / "test_my_game.py")
    test.test_values_by_hand(game)
    test.test_the_best_response_by_hand(game)
    test.test_the_stated_potential_is_proved(game)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["claim", "My-Claim"], "'My-Claim' cannot name a claim: give lower-case words"),
        (["claim", "my_claim"], "'my_claim' cannot name a claim"),
        (["claim", "../claim"], "'../claim' cannot name a claim"),
        (["claim", "x" * 33], "of at most 32 characters"),
        (["claim", "class"], "no word of Python"),
        (["claim", "regret-kl"], "there is a claim 'regret-kl' already"),
        (["claim", "checking"], "claims/checking.py exists: nothing was written"),
        (["claim", "own-one", "--notebook", "03-other"], "is taken by '03-performance-difference'"),
        (["claim", "own-one", "--notebook", "3-other"], "'3-other' cannot name a notebook"),
        (["claim", "own-one", "--notebook", "02-bare"], "notebook 02-bare is no call of conclude"),
        (["claim", "own-one", "--notebook", "05-no"], "05-no.ipynb is no notebook"),
        (["notebook", "performance-difference"], "03-performance-difference.ipynb exists"),
        (["notebook", "regret-kl"], "there is a claim 'regret-kl' already"),
        (["game", "isolated"], "there is a game 'isolated' already"),
        (["game"], "the following arguments are required: NAME"),
        (["story", "x"], "invalid choice: 'story'"),
    ],
)
def test_a_bad_request_writes_nothing_and_says_why(checkout, new, arguments, message):
    bare = notebook_json(["x = 1"])
    (checkout / "notebooks" / "02-bare.ipynb").write_text(json.dumps(bare))
    (checkout / "notebooks" / "05-no.ipynb").write_text("[1]")
    before = snapshot(checkout)
    status, told = new(checkout, *arguments)
    assert status == 2
    assert message in told
    assert snapshot(checkout) == before


def test_nothing_is_overwritten(checkout, new):
    for kind in ("claim", "game"):
        assert new(checkout, kind, "twice")[0] == 0
    before = snapshot(checkout)
    for kind in ("claim", "game"):
        status, told = new(checkout, kind, "twice")
        assert status == 2
        assert "twice.py exists: nothing was written" in told
    (checkout / "tests" / "claims" / "test_once.py").write_text("mine")
    before = snapshot(checkout)
    status, told = new(checkout, "claim", "once")
    assert status == 2
    assert f"{Path('tests', 'claims', 'test_once.py')} exists: nothing was written" in told
    assert snapshot(checkout) == before


def test_a_module_that_a_package_would_hide_is_refused(checkout, new):
    (checkout / "pmdlib" / "claims" / "ways").mkdir()
    status, told = new(checkout, "claim", "ways")
    assert status == 2
    assert "claims/ways exists: choose another name" in told


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_failure_while_writing_leaves_everything_as_it_was(checkout, new, monkeypatch, kept):
    before, directories = snapshot(checkout), {*checkout.rglob("*")}
    count = 0

    def full(path, content):
        nonlocal count
        count += 1
        if count == kept + 1:
            raise OSError(28, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr(filling, "write_atomically", full)
    where = "03-performance-difference"
    status, told = new(checkout, "claim", "my-third", "--notebook", where)
    assert status == 2
    assert "cannot be written, so nothing was: [Errno 28] No space left on device" in told
    assert snapshot(checkout) == before
    assert {*checkout.rglob("*")} == directories


def test_a_hundredth_notebook_has_no_number(checkout, new):
    (checkout / "notebooks" / "99-last.ipynb").write_text("{}")
    status, told = new(checkout, "claim", "one-more")
    assert status == 2
    assert "has no number left for 'one-more'" in told


# A workspace of one's own


def test_a_workspace_is_whole(tmp_path, new):
    status, told = new(tmp_path, "workspace", "my-lab")
    assert status == 0
    assert len(told.splitlines()) == 3
    assert "cd my-lab && python -m pip install -e ." in told
    root = tmp_path / "my-lab"
    assert set(snapshot(root)) == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "my_lab/__init__.py",
        "my_lab/claims/__init__.py",
        "my_lab/claims/left_to_gain.py",
        "my_lab/games/__init__.py",
        "my_lab/games/stag_hunt.py",
        "notebooks/01-left-to-gain.ipynb",
        "tests/claims/test_left_to_gain.py",
        "tests/games/test_stag_hunt.py",
    }
    for content in snapshot(root).values():
        assert b"my-workspace" not in content
        assert b"my_package" not in content
    readme = (root / "README.md").read_text()
    assert readme.index("<!-- ledger:begin -->") < readme.index("<!-- ledger:end -->")


def test_git_ignores_in_a_workspace_what_differs_from_run_to_run(tmp_path, new):
    assert new(tmp_path, "workspace", "my-lab")[0] == 0
    root = tmp_path / "my-lab"
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    kept = ["notebooks/executed/verdicts.json", "notebooks/executed/01-left-to-gain.ipynb"]
    volatile = [
        "notebooks/executed/provenance.json",
        "notebooks/executed/.lock",
        "notebooks/executed/failed/01-left-to-gain.ipynb",
        "figures/.a1b2.tmp",
        ".pmdlib/sweeps/x.parquet",
        "build/trial/executed/verdicts.json",
    ]
    asked = ["git", "check-ignore", *kept, *volatile]
    told = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.split() == volatile


def test_a_workspace_grows(tmp_path, new):
    assert new(tmp_path, "workspace", "my-lab")[0] == 0
    root = tmp_path / "my-lab"
    before = snapshot(root)
    assert new(root, "claim", "second")[0] == 0
    assert new(root / "notebooks", "game", "third")[0] == 0
    files = {"my_lab/claims/second.py", "tests/claims/test_second.py", "notebooks/02-second.ipynb"}
    files |= {"my_lab/games/third.py", "tests/games/test_third.py"}
    assert written(root, before) == files
    assert 'catalogue_game("third")' in (root / "tests" / "games" / "test_third.py").read_text()
    status, told = new(root, "claim", "left-to-gain")
    assert status == 2
    assert "my_lab/claims/left_to_gain.py exists" in told


def test_the_notebooks_of_pmdlib_can_be_had(tmp_path, new):
    names = [path.stem for path in find_notebooks(ROOT)]
    assert [path.stem for path in shipped_notebooks()] == names
    assert new(tmp_path, "workspace", "my-lab", "--with-notebooks")[0] == 0
    number = f"{len(names) + 1:02d}"
    copies = [path.stem for path in find_notebooks(tmp_path / "my-lab")]
    assert copies == [*names, f"{number}-left-to-gain"]
    for name in names:
        copy = tmp_path / "my-lab" / "notebooks" / f"{name}.ipynb"
        assert copy.read_bytes() == (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("full", "full exists and is no empty directory: nothing was written"),
        ("My Lab", "'My Lab' cannot name a workspace"),
        ("numpy", "there is a package 'numpy' already: choose another name"),
    ],
)
def test_a_workspace_needs_a_place_and_a_name(tmp_path, new, directory, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = snapshot(tmp_path)
    status, told = new(tmp_path, "workspace", directory)
    assert status == 2
    assert message in told
    assert snapshot(tmp_path) == before
    with pytest.raises(PmdError):
        new_workspace(tmp_path / directory)


def test_a_workspace_must_say_where_its_claims_are(tmp_path, new):
    root = make_workspace(tmp_path / "place", {})
    status, told = new(root, "claim", "my-first")
    assert status == 2
    assert 'names no package of this workspace under [project.entry-points."pmdlib.claims"]' in told
    (root / "pyproject.toml").write_text("[")
    status, told = new(root, "claim", "my-first")
    assert status == 2
    assert "pyproject.toml is no TOML" in told


# For real


def call(*command, **options):
    run = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def scratch_environment(place):
    """A virtual environment that sees the packages of this one, and can have more."""
    call(sys.executable, "-m", "venv", place)
    (packages,) = (place / "lib").glob("python*/site-packages")
    own = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in own]
    (packages / "others.pth").write_text("\n".join(lines) + "\n")
    return place / "bin" / "python"


@pytest.mark.slow
def test_a_workspace_is_installed_found_and_verified(tmp_path):
    """From the wheel, which brings templates and notebooks; new files need no new install."""
    python = scratch_environment(tmp_path / "scratch")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    call(*install, "--no-index", "--force-reinstall", wheel)
    pmdlib, lab = [python, "-m", "pmdlib"], tmp_path / "my-lab"
    call(*pmdlib, "new", "workspace", "my-lab", "--with-notebooks", cwd=tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        packed = [Path(name).stem for name in archive.namelist() if name.endswith(".ipynb")]
    assert packed == [path.stem for path in find_notebooks(ROOT)]
    assert {path.stem for path in find_notebooks(lab)} > set(packed)
    for path in find_notebooks(lab)[:-1]:
        path.unlink()
    call(*install, "--no-index", "-e", lab)
    assert "site-packages" in call(python, "-c", "print(__import__('pmdlib').__file__)", cwd=lab)
    call(*pmdlib, "new", "claim", "second", cwd=lab)
    call(*pmdlib, "new", "game", "third", cwd=lab)
    listed = call(*pmdlib, "claims", cwd=lab).splitlines()
    assert [line.split()[0] for line in listed if line.endswith("my-lab 0.1.0")] == [
        "left-to-gain",
        "second",
    ]
    told = call(*pmdlib, "verify", "second", "--profile=quick", cwd=lab)
    assert "claims verified: 1, failed: 0" in told
    tests = call(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=lab)
    assert "16 passed" in tests
    call(*pmdlib, "verify", "--profile=quick", "--only=14", "--only=15", cwd=lab)
    ledger = json.loads((lab / "notebooks" / "executed" / "verdicts.json").read_text())
    assert list(ledger) == ["left-to-gain", "second"]
    assert "[second](notebooks/executed/15-second.ipynb)" in (lab / "README.md").read_text()


@pytest.mark.slow
def test_new_files_in_a_copy_of_this_workspace_pass_its_tests(tmp_path):
    root = copy_workspace(ROOT, tmp_path / "copy")
    environment = {"env": os.environ | {"PYTHONPATH": str(root)}, "cwd": root}
    pmdlib = [sys.executable, "-m", "pmdlib"]
    for kind, name in (("claim", "my-first"), ("notebook", "my-second"), ("game", "my-game")):
        call(*pmdlib, "new", kind, name, **environment)
    call(sys.executable, "-m", "mypy", **environment)
    files = ["claims/test_my_first.py", "claims/test_my_second.py", "games/test_my_game.py"]
    files += ["test_notebooks.py", "test_documents.py", "games/test_catalogue.py"]
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    some = ["-m", "not slow", "-k", "not end_to_end", *[f"tests/{name}" for name in files]]
    call(*test, *some, **environment)
    some = ["-k", "contract or pinned or making or my-first", "-m", "not slow"]
    call(
        *test, *some, "tests/claims/test_claims.py", "tests/claims/test_adversary.py", **environment
    )
    told = call(
        *pmdlib,
        "verify",
        "--only=15",
        "--profile=quick",
        f"--output={tmp_path / 'out'}",
        **environment,
    )
    assert "notebooks verified: 1, failed: 0" in told
