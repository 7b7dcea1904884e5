"""What is up to date does not run again, and whatever changes is noticed and named."""

import io
import json
import threading
from dataclasses import replace

import pytest
from workspace.fakes import Claim, conclude_cell, make_workspace, snapshot

from pmdlib.errors import PmdError
from pmdlib.files import alone, write_atomically
from pmdlib.workspace import freshness, notebooks
from pmdlib.workspace.notebooks import find_due, run_notebooks
from pmdlib.workspace.plan import Plan, make_tasks
from pmdlib.workspace.records import Records

FIGURE = """
import matplotlib.pyplot as plt
from pmdlib.workspace import save_figure
figure, axes = plt.subplots()
save_figure(figure, "01-one-line")
"""


@pytest.fixture
def plan(tmp_path):
    """A workspace of two notebooks whose run is up to date; one draws, one uses a helper."""
    cells = {
        "01-one": [FIGURE, conclude_cell("first", "01-one")],
        "02-two": ["import helper", conclude_cell("second", "02-two")],
    }
    root = make_workspace(tmp_path / "place", cells)
    (root / "notebooks" / "helper.py").write_text("x = 1\n")
    (root / "uv.lock").write_text("one")
    claims = {"first": Claim("first", "01-one"), "second": Claim("second", "02-two")}
    plan = Plan(root, claims, parameters={"profile": "quick"}, jobs=2)
    report = run_notebooks(plan, io.StringIO())
    assert report.verified
    assert set(report.succeeded) == {"01-one", "02-two"}
    return plan


def due(plan):
    found, _ = find_due(make_tasks(plan), plan, Records(plan))
    return {each.task.name: each.reason for each in found}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_up_to_date_does_not_run(plan, monkeypatch):
    before = snapshot(plan.root)
    monkeypatch.setattr(notebooks, "run_parallel", None)  # calling it would be an error
    report = run_notebooks(plan, io.StringIO())
    assert report.current == ("01-one", "02-two")
    assert report.succeeded == ()
    assert report.verified
    assert list(report.entries) == ["first", "second"]
    assert snapshot(plan.root) == before
    assert due(replace(plan, force=True)) == dict.fromkeys(report.current, "it is forced")


def test_every_kind_of_change_is_named(plan, monkeypatch):
    root = plan.root
    assert due(plan) == {}
    assert due(replace(plan, parameters={"profile": "full"})) == dict.fromkeys(
        ["01-one", "02-two"], "parameter profile was 'quick', is 'full'"
    )
    for seed, words in ((3, "3"), (None, "None"), (0.0, "0.0")):
        assert due(replace(plan, only=["2"], parameters={"profile": "quick", "seed": seed})) == {
            "02-two": f"parameter seed was its default, is {words}"
        }
    edit(root / "notebooks" / "helper.py", "x = 1", "x = 1  # the same")
    assert due(plan) == {}
    edit(root / "notebooks" / "helper.py", "x = 1", "x = 2")
    assert due(plan) == {"02-two": "helper changed"}
    edit(root / "notebooks" / "helper.py", "x = 2", "x = 1")
    source = root / "notebooks" / "01-one.ipynb"
    edit(source, "plt.subplots()", "plt.subplots( )")
    assert due(plan) == {"01-one": "its code cells changed"}
    edit(source, "plt.subplots( )", "plt.subplots()")
    (root / "uv.lock").write_text("two")
    assert set(due(plan).values()) == {"uv.lock changed"}
    (root / "uv.lock").write_text("one")
    figure = root / "figures" / "01-one-line.svg"
    content = figure.read_bytes()
    figure.unlink()
    assert due(plan) == {"01-one": "figures/01-one-line.svg was removed"}
    figure.write_bytes(content + b" ")
    assert due(plan) == {"01-one": "figures/01-one-line.svg was changed"}
    figure.write_bytes(content)
    (root / "figures" / "01-one-extra.svg").write_bytes(content)
    assert due(plan) == {"01-one": "figures/01-one-extra.svg is not of its last run"}
    (root / "figures" / "01-one-extra.svg").unlink()
    monkeypatch.setattr(freshness, "packages", lambda: {"numpy": "0.1"})
    reasons = due(plan)
    assert "numpy was 2." in reasons["01-one"]
    assert "is 0.1" in reasons["01-one"]


def test_a_change_of_prose_is_brought_over_without_a_run(plan, monkeypatch):
    source = plan.root / "notebooks" / "02-two.ipynb"
    document = json.loads(source.read_text())
    words = {"cell_type": "markdown", "id": "words", "metadata": {}, "source": "Some *words*."}
    document["cells"].insert(2, words)
    source.write_text(json.dumps(document))
    monkeypatch.setattr(notebooks, "run_parallel", None)
    before = json.loads((plan.executed / "02-two.ipynb").read_text())
    assert run_notebooks(plan, io.StringIO()).current == ("01-one", "02-two")
    after = json.loads((plan.executed / "02-two.ipynb").read_text())
    assert after["cells"][3]["source"] == ["Some *words*."]
    assert [cell for cell in after["cells"] if cell["cell_type"] == "code"] == before["cells"]
    assert due(plan) == {}
    renewed = (plan.executed / "02-two.ipynb").read_bytes()
    monkeypatch.undo()
    assert run_notebooks(replace(plan, force=True), io.StringIO()).verified
    assert (plan.executed / "02-two.ipynb").read_bytes() == renewed, "as a run would write it"


def test_a_source_with_cells_that_papermill_wrote_keeps_its_outputs(plan, monkeypatch):
    """Whoever saves an executed copy as a notebook has the parameters of that run in it."""
    source = plan.root / "notebooks" / "02-two.ipynb"
    document = json.loads(source.read_text())
    first, *rest = document["cells"]
    tags = {"tags": ["injected-parameters"]}
    injected = first | {"id": "injected", "metadata": tags, "source": "seed = 4"}
    again = first | {"id": "again", "source": "other = 1"}
    document["cells"] = [first, injected, again, *rest]
    source.write_text(json.dumps(document))
    assert run_notebooks(plan, io.StringIO()).succeeded == ("02-two",)
    before = snapshot(plan.executed)
    monkeypatch.setattr(notebooks, "run_parallel", None)
    assert run_notebooks(plan, io.StringIO()).current == ("01-one", "02-two")
    assert snapshot(plan.executed) == before


def test_a_plug_in_that_lies_elsewhere_counts_where_it_is_imported(tmp_path, monkeypatch):
    package, record = tmp_path / "lib" / "lab_x", tmp_path / "lib" / "lab_x-0.1.dist-info"
    for folder in (package, record, tmp_path / "root"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("CLAIMS = ()\n")
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-x\nVersion: 0.1\n")
    (record / "entry_points.txt").write_text("[pmdlib.claims]\nmine = lab_x\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    sources = freshness.sources_of(tmp_path / "root")
    assert sources.used_by(["import lab_x\nlab_x.CLAIMS"]) == {"lab_x": package / "__init__.py"}
    assert sources.used_by(["1"]) == {}


def test_a_failure_is_tried_again_until_the_code_is_back(plan):
    helper = plan.root / "notebooks" / "helper.py"
    helper.write_text("1 / 0\n")
    for _ in range(2):
        report = run_notebooks(plan, io.StringIO())
        assert list(report.failed) == ["02-two"]
        assert report.current == ("01-one",)
        assert not report.verified
    assert (plan.executed / "failed" / "02-two.ipynb").is_file()
    helper.write_text("x = 1\n")
    assert run_notebooks(plan, io.StringIO()).current == ("01-one", "02-two")
    assert not (plan.executed / "failed" / "02-two.ipynb").exists(), "of code that is gone"


def test_the_record_tells_where_results_come_from(plan):
    record = json.loads((plan.executed / "provenance.json").read_text())
    assert list(record) == ["01-one", "02-two"]
    provenance = record["01-one"]["provenance"]
    assert provenance["parameters"] == {"profile": "quick", "seed": 0}
    assert provenance["seconds"] > 0
    assert provenance["finished"].endswith("+00:00")
    assert provenance["machine"]["kernel"] == "forked"
    assert provenance["commit"] is None, "no repository here"
    assert record["01-one"]["inputs"]["packages"]["numpy"].startswith("2.")
    assert {"python", "lock", "modules", "code"} <= record["01-one"]["inputs"].keys()
    executed = (plan.executed / "01-one.ipynb").read_text()
    assert provenance["finished"] not in executed


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"01-one": 3}', '{"01-one": {"inputs": {}}}'])
def test_a_damaged_record_counts_as_none(plan, damage):
    (plan.executed / "provenance.json").write_text(damage)
    assert set(due(plan).values()) == {"it has not run here yet"}


def test_a_record_of_another_version_counts_as_none(plan):
    path = plan.executed / "provenance.json"
    record = json.loads(path.read_text())
    del record["02-two"]["inputs"]["python"]
    path.write_text(json.dumps(record))
    assert set(due(plan).values()) == {"it has not run here yet"}


def test_the_longest_goes_first(plan):
    path = plan.executed / "provenance.json"
    record = json.loads(path.read_text())
    record["02-two"]["provenance"]["seconds"] = 1e6
    path.write_text(json.dumps(record))
    found, _ = find_due(make_tasks(plan), replace(plan, force=True), Records(plan))
    assert [each.task.name for each in found] == ["02-two", "01-one"]


def test_two_runs_do_not_mix(plan):
    with alone(plan.executed), pytest.raises(PmdError, match="another process is writing to"):
        run_notebooks(plan, io.StringIO())
    assert run_notebooks(plan, io.StringIO()).verified


def test_files_of_a_write_cut_short_are_swept_up(plan):
    left = [plan.figures / ".a1b2c3.tmp", plan.executed / ".x.tmp", plan.root / ".y.tmp"]
    for path in left:
        path.write_text("half")
    run_notebooks(plan, io.StringIO())
    assert not any(path.exists() for path in left)


def test_a_reader_never_meets_half_a_file(tmp_path):
    path = tmp_path / "file"
    texts = {letter * 200_000 for letter in "ab"}
    write_atomically(path, "a" * 200_000)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for text in sorted(texts):
                write_atomically(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    seen = {path.read_text() for _ in range(300)}
    stop.set()
    writer.join()
    assert seen <= texts
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_publishing_comes_before_recording(plan, monkeypatch):
    """A run that is killed between the two does the notebook again, and nothing is lost."""

    def cut(*_):
        raise KeyboardInterrupt

    (plan.root / "notebooks" / "helper.py").write_text("x = 7\n")
    monkeypatch.setattr(Records, "success", cut)
    with pytest.raises(KeyboardInterrupt):
        run_notebooks(plan, io.StringIO())
    monkeypatch.undo()
    assert due(plan) == {"02-two": "helper changed"}
    assert run_notebooks(plan, io.StringIO()).succeeded == ("02-two",)
