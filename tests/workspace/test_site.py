"""The site: from the data of a workspace to pages, and what is said of what cannot be built."""

import json
import sys

import matplotlib.pyplot as plt
import pytest
from claims.published import NAMES
from workspace.fakes import Claim, make_workspace, notebook_json, record, snapshot

import pmdlib as pmd
from pmdlib.workspace.figures import save_figure
from pmdlib.workspace.files import WorkspaceError, find_root
from pmdlib.workspace.ledger import MIME_TYPE
from pmdlib.workspace.site import build, content
from pmdlib.workspace.site.alternatives import describe_figure, plain
from pmdlib.workspace.site.content import write_pages
from pmdlib.workspace.site.extension import escape_plain
from pmdlib.workspace.site.ledger_page import front_page, ledger_rows
from pmdlib.workspace.site.links import Links
from pmdlib.workspace.site.notebook_pages import notebook_page
from pmdlib.workspace.site.notebook_records import claim_figures, read_notebook
from pmdlib.workspace.site.source_files import claim_code
from pmdlib.workspace.site.theory_pages import statements_page, theory_index, theory_sources

PIXEL = "iVBORw0KGgo="
CLAIMS = {"first": Claim("first", "01-good", "paper"), "second": Claim("second", "02-bad")}


def code(source, *outputs, count=1):
    return {
        "cell_type": "code",
        "execution_count": count,
        "id": "x",
        "metadata": {},
        "outputs": list(outputs),
        "source": source,
    }


def text(source):
    return {"cell_type": "markdown", "id": "x", "metadata": {}, "source": source}


def output(**data):
    return {"output_type": "display_data", "data": data, "metadata": {}}


def verdicts(*records):
    entries = {entry["name"]: entry for entry in records}
    return output(**{MIME_TYPE: entries, "text/html": "<table>all</table>", "text/plain": "all"})


def raised(name="ValueError", value="no <such> thing"):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [value]}


@pytest.fixture
def workspace(tmp_path):
    """Lay out a workspace: README and notebooks of two names, of which runs are put by hand."""
    root = make_workspace(tmp_path / "place", {"01-good": [], "02-bad": []})

    def put(folder, name, *cells):
        path = root / "notebooks" / folder / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook_json([]) | {"cells": list(cells)}))

    return root, put


def good_run(put):
    put(
        "executed",
        "01-good",
        text("# All is *well*\n\nSee [the other](02-bad.ipynb)."),
        code('one = pmd.verify("first", profile)'),
        code(
            'save_figure(slack_plot(one), "01-good-slack")', output(**{"image/png": PIXEL}), count=2
        ),
        code("conclude(one)", verdicts(record("first", "01-good")), count=3),
    )


def rows_of(root, claims=CLAIMS):
    records = {name: read_notebook(root, name) for name in ("01-good", "02-bad")}
    return {row.name: row for row in ledger_rows(claims, records, {"first": "source/a.html#L-3"})}


def test_a_row_says_what_its_notebook_recorded(workspace):
    root, put = workspace
    good_run(put)
    row = rows_of(root)["first"]
    assert row.verified
    assert (row.tag, row.label, row.title) == ("paper", "a | label", "All is *well*")
    assert row.page == "notebooks/01-good.html"
    assert row.figure == "notebooks/01-good.html#01-good-slack"
    assert row.code == "source/a.html#L-3"
    assert [way.number for way in row.ways] == ["2\N{NO-BREAK SPACE}400°", "", "", "", ""]
    assert row.ways[0].words == "numeric: 2\N{NO-BREAK SPACE}400 instances (3 skipped)"
    assert (row.tightest, row.slack, row.controls) == ("×1.23", "measured/bound ≥ ×1.23", "1/1")


def test_a_row_of_a_notebook_that_never_ran_says_so(workspace):
    row = rows_of(workspace[0])["second"]
    assert (row.status, row.figure, row.controls) == ("not run", "", "")
    assert row.page == "notebooks/02-bad.html"
    assert rows_of(workspace[0], {"lost": Claim("lost", "77-nowhere")})["lost"].status == (
        "no notebook"
    )


@pytest.mark.parametrize(
    ("cells", "status", "note"),
    [
        (
            [code("x", raised(), count=4)],
            "notebook failed",
            "cell [4] raised ValueError: no <such>",
        ),
        ([code("x"), code("y", count=None)], "notebook failed", "it stopped at cell 2"),
        ([code("x")], "notebook failed", "it recorded no verdict"),
        ([code("x", verdicts(record("second", "02-bad")))], "notebook failed", "were refused"),
        (
            [code("x", verdicts(record("second", "02-bad", verdict="refuted")))],
            "refuted",
            "second is refuted",
        ),
        (
            [code("x", verdicts(record("second", "02-bad", refuted=False)))],
            "control survived",
            "its control 'mutant' was not refuted",
        ),
    ],
)
def test_a_row_of_a_failed_notebook_says_why(workspace, cells, status, note):
    root, put = workspace
    put("executed", "02-bad", code("x", verdicts(record("second", "02-bad"))))  # an earlier run
    assert rows_of(root)["second"].verified
    put("executed/failed", "02-bad", *cells)
    row = rows_of(root)["second"]
    assert not row.verified
    assert row.status == status
    assert note in row.note


def test_an_executed_notebook_with_a_recorded_error_has_failed(workspace):
    root, put = workspace
    put("executed", "02-bad", code("x", verdicts(record("second", "02-bad")), raised()))
    assert read_notebook(root, "02-bad").state == "failed"
    assert rows_of(root)["second"].status == "notebook failed"


def test_the_front_page_counts_and_escapes(workspace):
    root, put = workspace
    good_run(put)
    put("executed/failed", "02-bad", code("x", raised()))
    page = front_page(list(rows_of(root).values()))
    assert '<strong class="bad">1 of 2 statements verified, 1 of 1 false variants' in page
    assert "✗ notebook failed" in page
    assert "no &lt;such&gt; thing" in page
    assert "<such>" not in page
    assert page.count("<tr") == 3


def test_the_page_of_a_failed_notebook_begins_with_the_cause(workspace):
    root, put = workspace
    put("executed/failed", "02-bad", text("# Title"), code("fine"), code("x", raised()))
    cells = notebook_page(read_notebook(root, "02-bad"), Links(root, {}))["cells"]
    assert 'id="failed"' in cells[0]["source"]
    assert "raised ValueError: no &lt;such&gt; thing" in cells[0]["source"]
    assert 'href="#failing-cell"' in cells[0]["source"]
    assert 'id="failing-cell"' in cells[3]["source"]
    assert cells[4]["source"] == "x"


def test_a_notebook_that_never_ran_is_a_page_from_its_source(workspace):
    root, _ = workspace
    cells = notebook_page(read_notebook(root, "02-bad"), Links(root, {}))["cells"]
    assert "never been run" in cells[0]["source"]
    assert cells[1]["source"] == "# 02-bad"  # it has no heading of its own
    assert 'profile = "quick"' in cells[2]["source"]


def test_pictures_get_words_and_verdicts_a_name(workspace):
    root, put = workspace
    good_run(put)
    record = read_notebook(root, "01-good")
    pages = {"notebooks/02-bad.ipynb": "notebooks/02-bad"}
    cells = notebook_page(record, Links(root, pages))["cells"]
    assert "[the other](/notebooks/02-bad.ipynb)" in cells[0]["source"]
    picture = cells[2]["outputs"][0]["data"]["text/html"]
    assert f'src="data:image/png;base64,{PIXEL}"' in picture  # figures/ holds no such file
    assert 'alt="All is *well*. Chart."' in picture
    assert 'id="01-good-slack"' in picture
    assert 'id="verdicts"' in cells[3]["outputs"][0]["data"]["text/html"]
    assert record.content["cells"][2]["outputs"][0]["data"] == {"image/png": PIXEL}


def test_a_picture_says_what_its_figure_says(workspace, monkeypatch):
    root, put = workspace
    good_run(put)
    monkeypatch.chdir(root)
    figure, (left, right) = plt.subplots(1, 2, figsize=(3, 3))
    left.plot([1, 2], label=r"bound, $\eta Q_{\max}\leq 1$")
    left.set(xlabel=r"iterations $T$", ylabel="Nash regret", title="KL")
    left.legend()
    right.bar(["dry", "wet"], [1, 2])
    save_figure(figure, "01-good-slack")
    plt.close(figure)
    words = (
        "Chart of 2 panels. Panel 1. Horizontal axis: iterations T. Vertical axis: Nash regret. "
        "Legend: bound, η Q_max≤ 1. Written in it: KL. Panel 2. Horizontal axis: dry, wet."
    )
    assert describe_figure(root / "figures" / "01-good-slack.svg") == words
    links = Links(root, {"notebooks/02-bad.ipynb": "notebooks/02-bad"})
    cells = notebook_page(read_notebook(root, "01-good"), links)["cells"]
    picture = cells[2]["outputs"][0]["data"]["text/html"]
    assert f'alt="All is *well*. {words}" width="288" height="288"' in picture
    assert 'src="../figures/01-good-slack.svg"' in picture


@pytest.mark.parametrize(
    ("mathtext", "said"),
    [
        (r"$\gamma$", "γ"),
        (r"$\Lambda^{-1}$ and $\frac12$", "Λ^-1 and 1/2"),
        (r"$\bar A_{\phi,i}^\pi(s,a)$", "mean A_φ,i^π(s,a)"),
        (r"slope $2 \pm 1$", "slope 2 ± 1"),
        ("plain", "plain"),
    ],
)
def test_mathtext_is_read_as_words(mathtext, said):
    assert plain(mathtext) == said


def test_the_figure_of_a_claim_is_drawn_from_its_verdict(workspace):
    root, put = workspace
    shown = output(**{"image/png": PIXEL})
    put(
        "executed",
        "01-good",
        code('a = pmd.verify("first")\nb = pmd.verify("second")\nc = pmd.verify("third")'),
        code('plot(a, b)\nsave_figure(f, "01-good-both")', shown),
        code('save_figure(slack_plot(b, color="red"), "01-good-b")', shown),
        code('save_figure(slack_plot(c), "01-good-c")'),  # not shown
        code("%magic"),
    )
    record = read_notebook(root, "01-good")
    assert claim_figures(record) == {"first": "01-good-both", "second": "01-good-b"}
    assert record.figures == ["01-good-both", "01-good-b"]


def test_links_to_files_lead_to_pages(tmp_path):
    for name in ("pmdlib/games/a.py", "figures/f.svg", "data.json", "notebooks/01-a.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    links = Links(tmp_path, {"README.md": "workspace", "notebooks/01-a.ipynb": "notebooks/01-a"})

    def rewritten(source):
        return links.rewrite(source, "notebooks/01-a.ipynb", "notebooks/01-a")

    assert rewritten("[a](01-a.ipynb)") == "[a](/notebooks/01-a.ipynb)"
    assert rewritten("[a `b`](../README.md#x)") == "[a `b`](/workspace.md#x)"
    assert rewritten("`pmdlib/games/a.py`") == (
        '<a href="../source/pmdlib/games/a.html"><code>pmdlib/games/a.py</code></a>'
    )
    assert rewritten("[c](/pmdlib/games/a.py)") == '<a href="../source/pmdlib/games/a.html">c</a>'
    assert rewritten("![Its words](../figures/f.svg)") == (
        '<a class="figure" href="../figures/f.svg">'
        '<img src="../figures/f.svg" alt="Its words" loading="lazy"></a>'
    )
    assert rewritten("[d](../data.json)") == '<a href="../files/data.json">d</a>'
    assert links.copied == {"data.json"}
    same = "[w](https://x.org/a) [h](#here) `pmdlib/none.py`\n```\n[q](gone.md)\n```\n"
    assert rewritten(same) == same
    for gone in ("[x](gone.md)", "[x](../../outside)", "[x](../figures)"):
        with pytest.raises(WorkspaceError, match=r"01-a.ipynb links to .*, which is no file"):
            rewritten(gone)
        assert links.rewrite(f"A {gone}.", "theory/x.md", "theory/x", strict=False) == "A x."


def test_docstrings_are_text_but_for_their_markup():
    assert escape_plain("V_i^π(s), E_π [|A_i|]") == r"V_i^π(s), E_π [\|A_i\|]"
    assert escape_plain("the mean E_ [x]") == r"the mean E\_ [x]"
    assert escape_plain("π(a*|s) of a*") == r"π(a\*\|s) of a\*"
    kept = "*so*, **very\nmuch**, `a|b`, :math:`x_ |y|`, ``*args``"
    assert escape_plain(kept) == kept
    assert escape_plain("*verdicts : Verdict") == "*verdicts : Verdict"
    directive = ".. math::\n\n   |x| a_\n\nand"
    assert escape_plain(directive + " |x|") == directive + r" \|x\|"
    assert escape_plain("``by``[k]") == r"``by``\ [k]"


def test_the_theory_is_what_lies_in_the_folder(tmp_path):
    (tmp_path / "02-next.md").write_text("# Next")
    (tmp_path / "01-first.md").write_text("# First")
    sources = theory_sources(tmp_path)
    assert [*sources] == ["theory/01-first", "theory/02-next"]
    index = theory_index(sources)
    assert index.split(":maxdepth: 1\n\n")[1] == "01-first\n02-next\nstatements\n```\n"
    assert theory_index({"theory/index": "# Own"}).startswith("# Own\n\n```{toctree}")


def test_every_statement_has_its_formula():
    page = statements_page(pmd.claims, {})
    for name, claim in pmd.claims.items():
        assert f"({name})=\n" in page
        assert claim.statement in page
        assert all(control.name in page for control in claim.controls)


def test_every_claim_is_stated_where_its_link_leads():
    addresses, files = claim_code(pmd.claims)
    assert [*addresses] == [*pmd.claims]
    for name, address in addresses.items():
        page, line = address.split(".html#L-")
        lines = files[page].read_text(encoding="utf-8").split("\n")[int(line) - 1 :]
        assert lines[0].strip() == "Claim("
        assert lines[1].strip() == f'name="{name}",'


def test_every_published_claim_has_a_figure_of_its_own_notebook():
    root = find_root()
    names = dict.fromkeys(claim.notebook for claim in pmd.claims.values())
    rows = ledger_rows(pmd.claims, {name: read_notebook(root, name) for name in names}, {})
    assert {row.name for row in rows} >= NAMES
    for row in rows:
        if row.name in NAMES:
            assert row.verified
            assert row.figure.startswith(f"notebooks/{row.notebook}.html#{row.notebook}-")


@pytest.mark.slow
def test_pages_are_the_same_at_every_build(tmp_path):
    for name in ("one", "two"):
        write_pages(find_root(), pmd.claims, tmp_path / name)
    made = snapshot(tmp_path / "one")
    assert made == snapshot(tmp_path / "two")
    assert {"index.md", "workspace.md", "extend.md", "theory/statements.md"} <= set(made)
    assert {f"api/{room}.md" for room in ("arithmetic", "games", "learning")} <= set(made)


@pytest.fixture
def explorer(tmp_path, monkeypatch):
    """Put an explorer into the package, of this text."""

    def put(fragment):
        (tmp_path / "parts").mkdir()
        source = f"def page():\n    return {fragment!r}\n"
        (tmp_path / "parts" / "explorer.py").write_text(source)
        package = sys.modules["pmdlib.workspace"]
        monkeypatch.delitem(sys.modules, "pmdlib.workspace.explorer", raising=False)
        monkeypatch.delattr(package, "explorer", raising=False)
        monkeypatch.setattr(package, "__path__", [str(tmp_path / "parts")])

    return put


def test_the_explorer_is_a_page_where_there_is_one(workspace, tmp_path, explorer):
    fragment = '<section id="explorer">``` | $x$</section>'
    explorer(fragment)
    write_pages(workspace[0], {}, tmp_path / "pages")
    assert (tmp_path / "pages" / "explorer.html").read_text() == fragment
    assert ":file: explorer.html" in (tmp_path / "pages" / "explore.md").read_text()
    assert "Explore <explore>" in (tmp_path / "pages" / "index.md").read_text()


@pytest.fixture
def quick(monkeypatch):
    """Spare the command the explorer, which takes long to compute, and Sphinx."""
    monkeypatch.setattr(content, "_explorer", lambda: None)
    monkeypatch.setattr(build, "_run_sphinx", fake_sphinx)


def fake_sphinx(sources, made, doctrees):
    (made / ".buildinfo").write_text("")
    (made / "index.html").write_text("new")


@pytest.mark.usefixtures("quick")
def test_the_site_is_put_in_place_in_whole(command, workspace, capsys):
    root, _ = workspace
    site = root / "build" / "site"
    assert command(CLAIMS, root / "notebooks", "site") == 0
    assert capsys.readouterr().out == f"{site / 'index.html'}\n"
    (site / "index.html").write_text("old")
    (site / "left-over.html").write_text("")
    assert command(CLAIMS, root, "site") == 0
    assert (site / "index.html").read_text() == "new"
    assert not (site / "left-over.html").exists()
    assert (site / "_static" / "mathjax" / "tex-svg.js").stat().st_size > 1_000_000
    assert [path.name for path in (root / "build").iterdir()] == ["site"]
    assert command(CLAIMS, root, "site", f"--output={root / 'else' / 'where'}") == 0
    assert (root / "else" / "where" / "index.html").is_file()


@pytest.mark.usefixtures("quick")
def test_a_failed_build_leaves_the_earlier_site(command, workspace, capsys):
    root, _ = workspace
    assert command(CLAIMS, root, "site") == 0
    (root / "README.md").write_text("# A\n\n[b](gone.md)\n")
    assert command(CLAIMS, root, "site") == 2
    assert "README.md links to gone.md, which is no file" in capsys.readouterr().err
    assert (root / "build" / "site" / "index.html").is_file()
    assert [path.name for path in (root / "build").iterdir()] == ["site"]


@pytest.mark.slow
def test_a_warning_of_sphinx_is_an_error(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "sources.json").write_text("{}")
    (pages / "index.md").write_text("# Title\n\n{doc}`gone`\n")
    with pytest.raises(WorkspaceError, match=r"index.md:3: WARNING: unknown document: 'gone'"):
        build._run_sphinx(pages, tmp_path / "made", tmp_path / "doctrees")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["site"], "no workspace at or above"),
        (["site", "--output"], "expected one argument"),
    ],
)
def test_bad_requests_are_explained(command, tmp_path, capsys, arguments, message):
    assert command(CLAIMS, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named_with_its_remedy(command, workspace, monkeypatch, capsys):
    monkeypatch.setattr(build, "REQUIRED", ("json", "no_such_package", "no_such.part"))
    assert command(CLAIMS, workspace[0], "site") == 2
    said = "the site needs no_such_package, no_such.part: pip install 'pmdlib[site]'"
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(command, workspace, capsys):
    root, _ = workspace
    assert command(CLAIMS, root, "site", f"--output={root / 'README.md' / 'site'}") == 2
    assert f"cannot write the site to {root / 'README.md' / 'site'}" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["notebooks", "README.md"])
def test_what_is_no_site_is_not_replaced(command, workspace, capsys, place):
    root, _ = workspace
    before = snapshot(root)
    assert command(CLAIMS, root, "site", f"--output={root / place}") == 2
    assert "holds something else than a site" in capsys.readouterr().err
    assert snapshot(root) == before
