"""Which modules code uses: imports are followed, through packages that only pass names on."""

import shutil
from pathlib import Path

import pytest

import pmdlib
from pmdlib.workspace.sources import Sources, digest

PACKAGE = {
    "__init__.py": """'Passes on.'
from pack.a import alpha
from .b import beta as renamed

__all__ = ["alpha", "renamed"]
""",
    "a.py": "from pack.deep.inner import x\n\ndef alpha():\n    pass\n",
    "b.py": "def beta():\n    from pack import c\n    return c\n",
    "c.py": "import numpy\n",
    "d.py": """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import pack.c
from pack import a
""",
    "deep/__init__.py": "from pack.deep import inner\nREGISTRY = [inner]\n",
    "deep/inner.py": "x = 1\n",
    "deep/data.json": "{}",
    "alone.py": "y = 2\n",
}


@pytest.fixture
def place(tmp_path):
    for name, content in PACKAGE.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "helper.py").write_text("from pack import b\n")
    for name in ("notebooks/table.csv", "notebooks/data/one.txt", "beside.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n")
    (tmp_path / "notebooks" / "executed").mkdir()
    (tmp_path / "notebooks" / "executed" / "01-x.txt").write_text("1\n")
    return tmp_path


def used(place, *cells):
    return set(Sources((place / "pack",), place / "notebooks").used_by(cells))


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("1 + 1", set()),
        ("import numpy, os.path", set()),
        ("from pack import alpha", {"pack.a", "pack.deep.inner"}),
        ("from pack import renamed", {"pack.b", "pack.c"}),
        ("import pack as p\np.renamed()", {"pack.b", "pack.c"}),
        ("import pack as p\np.c.value", {"pack.c"}),
        ("import pack\nf(pack)", {"pack.a", "pack.b", "pack.c", "pack.deep.inner"}),
        ("import pack\npack.__file__", set()),
        ("from pack import *", {"pack.a", "pack.b", "pack.c", "pack.deep.inner"}),
        ("import pack.alone", {"pack.alone"}),
        ("from pack import d", {"pack.d", "pack.a", "pack.deep.inner"}),
        ("from pack.deep import inner", {"pack.deep.inner"}),
        ("from pack.deep import REGISTRY", {"pack.deep", "pack.deep.inner"}),
        ("from importlib import import_module\nimport_module('pack.alone')", {"pack.alone"}),
        ("import helper", {"helper", "pack.b", "pack.c"}),
        ("%matplotlib inline\nfrom pack import c", {"pack.c"}),
        ("%%time\nfrom pack import c", {"pack.c"}),
        ("%%capture out\n%time import pack.alone", {"pack.alone"}),
        ("%%bash\necho 'from pack import c' (", set()),
        ("__import__('pack.alone')", {"pack.alone"}),
        ("if TYPE_CHECKING:\n    import pack.c\nelse:\n    import pack.alone", {"pack.alone"}),
        ("%run helper.py", {"helper.py"}),
        ("open('table.csv')", {"table.csv"}),
        ("(Path('data') / name).read_text()", {"data/one.txt"}),
        ("open('../beside.txt')", {"../beside.txt"}),
        ("open('executed/01-x.txt')", {"executed/01-x.txt"}),
        ("'executed', 'nothing.csv', 'a\\0b'", set()),
        ("if True:\n    def f():\n        from pack.alone import y", {"pack.alone"}),
    ],
)
def test_uses_are_found(place, code, modules):
    assert used(place, "x = 0", code) == modules


def test_a_cell_that_is_no_python_hides_no_other(place):
    assert used(place, "this is not code (", "from pack import c") == {"pack.c"}


def test_a_claim_may_be_named_by_a_helper_or_a_parameter(place):
    (place / "pack" / "many").mkdir()
    (place / "pack" / "many" / "__init__.py").write_text("CLAIMS = collect(__path__)\n")
    (place / "pack" / "many" / "one.py").write_text('CLAIMS = (Claim(name="a-claim"),)\n')
    code = "from pack.many import CLAIMS\nimport second"
    (place / "notebooks" / "second.py").write_text("import helper\n")
    helper = place / "notebooks" / "helper.py"
    assert "pack.many.one" not in used(place, code)
    sources = Sources((place / "pack",), place / "notebooks")
    assert "pack.many.one" in sources.used_by([code], ["a-claim", 3, None])
    helper.write_text("def f():\n    return verify('a-claim')\n")
    assert "pack.many.one" in used(place, code)


def test_a_module_that_python_cannot_read_is_its_text(place):
    helper = place / "notebooks" / "helper.py"
    seen = set()
    for content in (b"x = (", b"x = ((", b"x = '\xff'", b"\0"):
        helper.write_bytes(content)
        assert used(place, "import helper") == {"helper"}
        seen.add(digest(helper))
    assert len(seen) == 4


def test_what_the_interpreter_imports_is_what_is_found():
    """An outside route: the modules that Python itself loads for the same line."""
    import subprocess
    import sys

    line = "from pmdlib.workspace.runs.grid import key_of"
    code = f"import sys\n{line}\nprint(*sorted(m for m in sys.modules if m.startswith('pmdlib')))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    package = Path(pmdlib.__file__).parent
    found = Sources((package,), package).used_by([line])
    assert set(found) <= set(loaded.stdout.split())
    assert {"pmdlib.workspace.runs.grid", "pmdlib.errors"} <= set(found)


def test_comments_and_docstrings_do_not_count_but_code_and_data_do(place):
    path = place / "pack" / "deep" / "inner.py"
    before, text = digest(path), digest(path, text=True)
    path.write_text('"""New words."""\n\n# a remark\nx  =  1\n')
    assert digest(path) == before
    assert digest(path, text=True) != text
    (place / "pack" / "deep" / "data.json").write_text("{ }")
    changed = digest(path)
    assert changed != before
    path.write_text("x = 2\n")
    assert digest(path) != changed
    (path.parent / "tables").mkdir()
    (path.parent / "tables" / "one.csv").write_text("1")
    with_table = digest(path)
    (path.parent / "tables" / "one.csv").write_text("2")
    assert digest(path) != with_table


def test_after_a_change_of_the_figures_only_what_draws_has_changed(tmp_path):
    package = tmp_path / "pmdlib"
    shutil.copytree(Path(pmdlib.__file__).parent, package)
    sources = Sources((package,), tmp_path)

    def digests(cell):
        return {name: digest(path) for name, path in sources.used_by([cell]).items()}

    draws = "from pmdlib.workspace import conclude, save_figure\nimport pmdlib as pmd\npmd.verify"
    plain = "from pmdlib.workspace import conclude\nimport pmdlib as pmd\npmd.verify"
    before = digests(draws), digests(plain)
    figures = package / "workspace" / "figures.py"
    figures.write_text(figures.read_text() + "\nSIZE = 2\n")
    after = digests(draws), digests(plain)
    assert before[0] != after[0]
    assert before[1] == after[1]
    assert {"pmdlib.claims.regret", "pmdlib.analysis.values", "pmdlib.claims"} <= set(after[1])
