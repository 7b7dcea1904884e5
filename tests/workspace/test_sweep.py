"""Sweeps: the same rows however they are computed, nothing computed twice, nothing lost."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flint import fmpq
from pyarrow import parquet
from workspace.clusters import PACKAGES, Cluster, wait_until
from workspace.fakes import make_workspace, notebook_json

import pmdlib as pmd
from pmdlib.workspace.execution import Task, execute_one
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.runs.task import execute
from pmdlib.workspace.runs.version import Version
from pmdlib.workspace.sweep import SCHEDULER_VARIABLE, sweep

GRID = {"size": [3, 40], "name": ["kl", "euclidean"]}


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch):
    monkeypatch.delenv(SCHEDULER_VARIABLE, raising=False)


def measure(rng, size, name):
    """Every kind of column, and sums whose bits would show another order of additions."""
    if (size, name) == (3, "euclidean"):
        raise RuntimeError(f"{name} does not go with {size}")
    matrix = rng.normal(size=(size, size))
    return {
        "log": np.log(np.abs(np.linalg.det(matrix))),
        "product": float((matrix @ matrix).sum()),
        "count": size + 1,
        "large": size > 5,
        "label": f"{name}!",
        "nothing": None,
        "zero": -0.0,
    }


def counted(log, fails=None, kills=None):
    """A function that writes a line at each call; it fails or dies while a file exists."""

    def run(rng, x):
        with Path(log).open("a") as stream:
            stream.write(f"{x}\n")
        if fails is not None and x == 2 and Path(fails).exists():
            raise KeyError("x")
        if kills is not None and x == 2 and Path(kills).exists():
            if Path(kills).read_text() == "once":
                Path(kills).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": x + rng.random()}

    return run


def calls(log):
    return sorted(log.read_text().split()) if log.exists() else []


def same(one, other):
    """Whether two frames agree in names, order, types, gaps and every bit."""
    bits = [
        column.to_numpy().tobytes()
        for frame in (one, other)
        for _, column in frame.select_dtypes("float64").items()
    ]
    half = len(bits) // 2
    return (
        list(one.columns) == list(other.columns)
        and (one.dtypes == other.dtypes).all()
        and one.equals(other)
        and bits[:half] == bits[half:]
    )


def test_the_rows_are_those_of_a_plain_loop(tmp_path):
    frame = sweep(measure, GRID, 2, folder=tmp_path, workers=2)
    points = [(size, name, seed) for size in (3, 40) for name in GRID["name"] for seed in (0, 1)]
    assert list(zip(frame["size"], frame["name"], frame["seed"], strict=True)) == points
    for index, (size, name, seed) in enumerate(points):
        row = frame.iloc[index]
        if name == "euclidean" and size == 3:
            assert row["error"] == "RuntimeError: euclidean does not go with 3"
            assert row[["log", "product", "count", "large", "label", "nothing"]].isna().all()
        else:
            expected = measure(np.random.default_rng(seed), size, name)
            assert pd.isna(row["error"])
            assert {key: row[key] for key in expected if key != "nothing"} == {
                key: value for key, value in expected.items() if key != "nothing"
            }
            assert np.signbit(row["zero"])
    kinds = ["int64", "str", "int64", *2 * ["float64"], "Int64", "boolean", "str", *2 * ["float64"]]
    assert [str(kind) for kind in frame.dtypes] == [*kinds, "str"]


def test_the_rows_do_not_depend_on_the_workers_or_on_what_was_stored(tmp_path):
    frames = [sweep(measure, GRID, 3, folder=tmp_path / str(n), workers=n) for n in (1, 2, 3)]
    stored = sorted((tmp_path / "1").rglob("*.parquet"))
    assert len(stored) == 12
    for path in stored[::3]:
        path.unlink()
    frames.append(sweep(measure, GRID, 3, folder=tmp_path / "1"))
    turned = {name: GRID[name] for name in reversed(GRID)}
    sweep(measure, turned, [2, 0], folder=tmp_path / "other")
    frames.append(sweep(measure, GRID, 3, folder=tmp_path / "other"))
    assert all(same(frame, frames[0]) for frame in frames)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "1").rglob("*.parquet")}
    for folder in ("2", "3", "other"):
        assert {p.name: p.read_bytes() for p in (tmp_path / folder).rglob("*.parquet")} == contents


def test_what_is_stored_is_not_run_again(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "results"
    run = counted(log)
    first = sweep(run, {"x": [1, 2]}, 2, folder=folder)
    assert calls(log) == ["1", "1", "2", "2"]
    log.unlink()
    again = sweep(run, {"x": [1, 2, 3]}, [1, 0], folder=folder)
    assert calls(log) == ["3", "3"]
    log.unlink()
    assert list(again["y"][:4]) == list(first["y"][[1, 0, 3, 2]])
    kept = sorted(folder.rglob("*.parquet"))
    metadata = parquet.read_schema(kept[0]).metadata[b"pmdlib"]
    assert set(json.loads(metadata)) == {"parameters", "seed"}
    kept[0].write_bytes(kept[0].read_bytes()[:-20])
    kept[1].write_bytes(b"")
    (kept[0].parent / ".unfinished.tmp").write_bytes(b"PAR1")
    assert same(sweep(run, {"x": [1, 2, 3]}, [1, 0], folder=folder), again)
    assert len(calls(log)) == 2


def test_a_failure_is_recorded_and_tried_again(tmp_path):
    log, broken, folder = tmp_path / "log", tmp_path / "broken", tmp_path / "results"
    run = counted(log, fails=broken)
    broken.touch()
    frame = sweep(run, {"x": [1, 2, 3]}, folder=folder)
    assert list(frame["error"].fillna("")) == ["", "KeyError: 'x'", ""]
    assert list(frame["y"].isna()) == [False, True, False]
    broken.unlink()
    mended = sweep(run, {"x": [1, 2, 3]}, folder=folder)
    assert mended["error"].isna().all()
    assert calls(log) == ["1", "2", "2", "3"]
    assert (mended.dtypes == frame.dtypes).all()
    broken.touch()
    assert same(sweep(run, {"x": [1, 2, 3]}, folder=folder), mended)


@pytest.mark.parametrize("how", ["once", "always"])
def test_a_killed_process_costs_no_other_run(tmp_path, how):
    log, kills = tmp_path / "log", tmp_path / "kills"
    kills.write_text(how)
    frame = sweep(
        counted(log, kills=kills), {"x": [1, 2, 3, 4]}, folder=tmp_path / "results", workers=3
    )
    lost = "" if how == "once" else "Lost: its process ended with exit code -9"
    assert list(frame["error"].fillna("")) == ["", lost, "", ""]
    assert calls(log) == ["1", *(["2"] * (2 if how == "once" else 3)), "3", "4"]


def test_a_run_may_give_several_rows_or_none(tmp_path):
    def several(rng, how, exact):
        rows = [{"t": t, "value": rng.random()} for t in range(3)]
        if how == "frame":
            return pd.DataFrame(rows).assign(kind=pd.Categorical(["a", "b", "a"]))
        return {"list": rows, "none": [], "one": rows[0], "empty": {}}[how]

    grid = [{"how": how, "exact": None} for how in ("list", "none", "one", "frame", "empty")]
    frame = sweep(several, grid, folder=tmp_path)
    assert list(frame["how"]) == ["list"] * 3 + ["one"] + ["frame"] * 3 + ["empty"]
    assert list(frame["t"].fillna(-1)) == [0, 1, 2, 0, 0, 1, 2, -1]
    assert list(frame["kind"].fillna("")) == ["", "", "", "", "a", "b", "a", ""]
    assert list(frame.columns) == ["how", "exact", "seed", "t", "value", "kind", "error"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (3.0, "PmdError: it returned float, must be a mapping"),
        ([1, 2], "PmdError: it returned list, must be a mapping"),
        ({"x": 1}, "PmdError: it returned a column 'x', which the results have already"),
        ({"seed": 1}, "PmdError: it returned a column 'seed'"),
        ({"error": ""}, "PmdError: it returned a column 'error'"),
        ({1: 1}, "PmdError: it returned the columns [1], must be distinct texts"),
        ({"y": [1, 2]}, "PmdError: it returned list<item: int64> in the column 'y'"),
        ([{"y": 1}, {"y": "one"}], "ArrowInvalid: "),
        ({"y": 2**64}, "OverflowError: "),
        ({"y": object()}, "ArrowInvalid: "),
    ],
)
def test_what_is_no_row_is_an_error_of_its_run(result, message):
    from pmdlib.workspace.runs.rows import decode
    from pmdlib.workspace.runs.task import Run
    from pmdlib.workspace.runs.version import INSTALLED

    function = Version(lambda rng, x: result).pickle() if message else b""
    table = decode(execute(Run("key", function, {"x": 1}, 0, INSTALLED)))
    assert table.num_rows == 1
    assert table["error"][0].as_py().startswith(message)


def test_rows_that_fit_into_no_table_are_kept(tmp_path):
    def odd(rng, x):
        return {"y": "text" if x else 1.0}

    with pytest.raises(
        pmd.PmdError, match=r"do not fit into one table: .* y has incompatible types"
    ):
        sweep(odd, {"x": [False, True]}, folder=tmp_path)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, {"x": [1]}), "function is of type int, must be a function"),
        ((lambda rng, y: {}, {"x": [1]}), r"cannot be called as .*\(rng, x=..\): missing a req"),
        ((lambda rng: {}, {"x": [1]}), "got an unexpected keyword argument 'x'"),
        ((lambda rng, x, y: {}, {"x": [1]}), "missing a required argument: 'y'"),
        ((lambda rng, **point: {}, {"rng": [1]}), "multiple values for argument 'rng'"),
        ((measure, {}), "grid is empty"),
        ((measure, []), "grid is empty"),
        ((measure, {"size": [], "name": ["kl"]}), "grid is empty"),
        ((measure, "size"), "grid is of type str, must be name -> values"),
        ((measure, [1, 2]), "grid is of type list, must be name -> values"),
        ((measure, {"name": "kl"}), r"grid\['name'\] is 'kl', must be a list of values"),
        ((measure, {"size": 3}), r"grid\['size'\] is 3, must be a list of values"),
        ((measure, {"size": [[3]]}), r"grid\['size'\] has \[3\], of type list; must be None, bool"),
        ((measure, {"size": [2**63]}), r"grid\['size'\] has 9223372036854775808, must be within"),
        ((measure, {"seed": [1]}), "grid has the name 'seed', which the results use"),
        ((measure, {"a b": [1]}), "grid has the name 'a b', must be that of a parameter"),
        ((measure, {"size": [3, 3]}), "grid has the point {'size': 3} twice"),
        ((measure, [{"size": 3}, {"name": "kl"}]), "grid has points with other names"),
        ((measure, GRID, 0), "seeds is 0, must be at least 1"),
        ((measure, GRID, []), "seeds is .*must hold at least one"),
        ((measure, GRID, [1, 1]), "seeds is .*none twice"),
        ((measure, GRID, [0, -1]), r"seeds\[1\] is -1, must be a whole number >= 0"),
        ((measure, GRID, [0.5]), r"seeds\[0\] is 0.5, must be a whole number"),
        ((measure, GRID, "12"), "seeds is '12', must be a number of seeds or a list"),
    ],
)
def test_bad_arguments_are_explained_before_anything_runs(tmp_path, arguments, message):
    with pytest.raises(pmd.PmdError, match=message):
        sweep(*arguments, folder=tmp_path / "results")
    with pytest.raises(pmd.PmdError, match="workers is 0"):
        sweep(measure, GRID, folder=tmp_path / "results", workers=0)
    assert not (tmp_path / "results").exists()


def test_grids_may_hold_numpy_values_and_tuples(tmp_path):
    grid = {"size": np.arange(2, 4), "name": [("kl", 0.5), None]}
    frame = sweep(lambda rng, size, name: {"y": str(name)}, grid, np.arange(1), folder=tmp_path)
    assert list(frame["y"]) == ["('kl', 0.5)", "None"] * 2
    assert list(frame["size"]) == [2, 2, 3, 3]
    assert frame["name"][0] == ("kl", 0.5)
    assert str(frame["size"].dtype) == "int64"


def test_results_are_kept_in_the_workspace(tmp_path, monkeypatch, capfd):
    root = make_workspace(tmp_path / "place", {})
    monkeypatch.chdir(root / "notebooks")
    sweep(functools.partial(measure, name="kl"), {"size": [2]})
    (result,) = (root / ".pmdlib" / "sweeps").glob("measure-*/*.parquet")
    assert result.is_file()
    assert capfd.readouterr() == ("", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="say where results are to be kept: folder="):
        sweep(measure, GRID)


# The version of code

BASE = """
import functools
import math
import enum
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pmdlib as pmd

WEIGHTS = {"a": [1.0, 2.0], "b": np.arange(3)}
GAME = pmd.TabularGame(np.ones((1, 2, 2)), np.eye(1), discount=0.5)

class Way(enum.Enum):
    FAST = 1

class Pair(NamedTuple):
    first: int
    second: int = 2

class Steep(pmd.MirrorMap):
    name = "steep"

    def divergence(self, new, old):
        return 2 * new

    coordinates = policy = divergence

@dataclass
class Start:
    x: float = 1.0
    more: list = field(default_factory=list)

    def value(self):
        return self.x

@functools.lru_cache
def cached(x):
    return x + 1

def helper(x):
    # nothing
    return cached(x) if x < 3 else run

def run(rng, x, scale=2.0):
    def inner(y):
        return [helper(y) for _ in {"p", "q"}] + [math.pi]
    return {"y": inner(x), "z": Start().value() * scale, "w": WEIGHTS["a"],
            "g": pmd.values(GAME, Steep()), "h": Way.FAST, "p": Pair(1)}
"""


def version(source, directory=None):
    """The version of `run` of a source; as a notebook's, or as that of a module in a file."""
    names = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), names)
    return Version(names["run"]).text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# nothing", "# a comment"),
        ("\n@dataclass", "\n\n\n@dataclass"),
        ("import math", "import math\nUNUSED = object()"),
    ],
)
def test_what_changes_nothing_keeps_the_version(old, new):
    assert old in BASE
    assert version(BASE.replace(old, new)) == version(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[1.0, 2.0]", "[1.0, 2.5]"),
        ("arange(3)", "arange(3.0)"),
        ("x: float = 1.0", "x: float = 3.0"),
        ("return self.x", "return -self.x"),
        ("x + 1", "x + 2"),
        ("x < 3", "x < 4"),
        ('"p", "q"', '"p", "r"'),
        ("math.pi", "math.e"),
        ("scale=2.0", "scale=3.0"),
        ("pmd.values", "pmd.occupancy"),
        ("import math", "import cmath as math"),
        ("discount=0.5", "discount=0.6"),
        ("FAST = 1", "FAST = 2"),
        ("second: int = 2", "second: int = 3"),
        ("2 * new", "3 * new"),
        ('"steep"', '"deep"'),
    ],
)
def test_what_changes_the_result_changes_the_version(old, new):
    assert old in BASE
    assert version(BASE.replace(old, new)) != version(BASE)


def test_closures_and_arguments_of_partials_count():
    assert Version(counted("a")).text == Version(counted("a")).text
    assert Version(counted("a")).text != Version(counted("b")).text
    one, other = (functools.partial(measure, size=size) for size in (1, 2))
    assert Version(one).text != Version(other).text


def test_values_count_but_not_what_they_have_put_aside():
    def using(value):
        return Version(lambda rng: value).text

    game, same_game, other = (
        pmd.TabularGame(np.full((1, 2, 2), x), np.eye(1), discount=0.5) for x in (1.0, 1.0, 2.0)
    )
    assert using(game) == using(same_game) != using(other)
    pmd.run_pmd(same_game, step=0.1, iterations=3)
    assert using(game) == using(same_game)
    values = [None, 1, True, 1.0, "1", (1,), [1], {1}, {1: 1}, np.ones(1), np.ones((1, 1))]
    values += [range(1), Path("1"), fmpq(1, 2), fmpq(1, 3), np.float32(1), pd.Series([1])]
    values += [np.random.default_rng(0), np.random.default_rng(1), np.exp, np.linspace, len]
    values += [np.array([None]), np.array([1], dtype=object), Cluster, Cluster("a"), Cluster("b")]
    assert len({using(value) for value in values}) == len(values)
    with pytest.raises(pmd.PmdError, match=r"'value', which .* uses, cannot be sent to a process"):
        using(threading.Lock())


def test_modules_count_with_what_they_import(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    sources = {
        "sweep_study": "from sweep_helper import double\nimport sweep_other\nGAME = object()\n"
        "def run(rng, x):\n    import sweep_late\n"
        "    return {'y': double(x), 'z': sweep_other.three(), 'w': GAME is None}\n",
        "sweep_helper": "def double(x):\n    return 2 * x\n",
        "sweep_other": "from sweep_deep import THREE\nimport sweep_deep\n"
        "def three():\n    return THREE\n",
        "sweep_deep": "THREE = 3\n",
        "sweep_late": "FOUR = 4\n",
    }

    def load():
        for name, source in sources.items():
            sys.modules.pop(name, None)
            shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
            (tmp_path / f"{name}.py").write_text(source)
        import sweep_study

        return sweep_study.run

    frame = sweep(load(), {"x": [1]}, folder=tmp_path / "results")
    assert (frame["y"][0], frame["z"][0], frame["error"].isna()[0]) == (2, 3, True)
    seen = {Version(load()).text}
    for name, old, new in [
        ("sweep_helper", "2 * x", "4 * x"),
        ("sweep_other", "return THREE", "return -THREE"),
        ("sweep_deep", "3", "5"),
        ("sweep_late", "4", "5"),
        ("sweep_study", "object()", "dict()"),
    ]:
        sources[name] = sources[name].replace(old, new)
        seen.add(Version(load()).text)
    assert len(seen) == 6
    for name in sources:
        sys.modules.pop(name)


# A Dask cluster


def test_a_cluster_gives_the_same_rows(cluster, tmp_path, monkeypatch):
    cluster.add_workers(2)
    here = sweep(measure, GRID, 2, folder=tmp_path / "here")
    there = sweep(measure, GRID, 2, folder=tmp_path / "there", scheduler=cluster.address)
    assert same(here, there)
    monkeypatch.setenv(SCHEDULER_VARIABLE, cluster.address)
    frame = sweep(where, {"x": [0]}, folder=tmp_path / "named")
    assert frame["pid"][0] in [worker.pid for worker in cluster.workers]
    assert frame["threads"][0] == 1
    frame = sweep(where, {"x": [0]}, folder=tmp_path / "unnamed", scheduler="")
    assert frame["pid"][0] not in [worker.pid for worker in cluster.workers]


def where(rng, x):
    """Which process this is, and how many threads its BLAS has."""
    import ctypes

    maps = Path("/proc/self/maps").read_text().split()
    library = ctypes.CDLL(next(name for name in maps if "numpy.libs/libscipy_openblas" in name))
    return {"pid": os.getpid(), "threads": library.scipy_openblas_get_num_threads64_()}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "tcp://127.0.0.1"])
def test_no_scheduler_at_an_address(tmp_path, address):
    with pytest.raises(pmd.PmdError, match=f"no Dask scheduler can be reached at '{address}'"):
        sweep(measure, GRID, folder=tmp_path, scheduler=address)


def slow(log):
    """A function that notes its process, and takes a while."""

    def run(rng, x):
        with Path(log).open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return {"y": rng.random() + x}

    return run


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {tests!r})
from workspace.test_sweep import slow
from pmdlib.workspace.sweep import sweep

frame = sweep(slow({log!r}), {{"x": [1, 2]}}, 8, folder={folder!r}, {how})
frame.to_parquet({folder!r} + "/frame.parquet")
"""


def script(tmp_path, how):
    """A process that sweeps; it has no `if __name__ == "__main__"`."""
    tests = str(Path(__file__).parents[1])
    path = tmp_path / "script.py"
    names = {"log": str(tmp_path / "log"), "folder": str(tmp_path / "results")}
    path.write_text(SCRIPT.format(tests=tests, how=how, **names))
    environment = os.environ | {"PYTHONPATH": str(PACKAGES)}
    with (tmp_path / "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, path], env=environment, stdout=output, stderr=output
        )


def stored(tmp_path):
    return len(list((tmp_path / "results").glob("*/*.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_ended_goes_on_where_it_was(tmp_path, how):
    log = tmp_path / "log"
    process = script(tmp_path, "workers=2")
    wait_until(lambda: stored(tmp_path) >= 4)
    process.send_signal(how)
    assert process.wait() != 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in calls(log)))
    kept, begun = stored(tmp_path), len(calls(log))
    assert 4 <= kept < 16
    assert begun <= kept + 2
    assert script(tmp_path, "workers=2").wait() == 0
    assert len(calls(log)) == begun + 16 - kept
    resumed = pd.read_parquet(tmp_path / "results" / "frame.parquet")
    expected = [np.random.default_rng(seed).random() + x for x in (1, 2) for seed in range(8)]
    assert list(resumed["y"]) == expected


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_loses_nothing(cluster, tmp_path):
    log = tmp_path / "log"
    cluster.add_workers(2)
    process = script(tmp_path, f"scheduler={cluster.address!r}")
    victim = cluster.workers[0]
    wait_until(lambda: stored(tmp_path) >= 3 and calls(log).count(str(victim.pid)) >= 2)
    victim.kill()  # one moment in half a second is not in mid-task, and costs nothing either
    assert process.wait() == 0
    assert len(calls(log)) in (16, 17)
    frame = pd.read_parquet(tmp_path / "results" / "frame.parquet")
    here = sweep(slow(str(tmp_path / "log")), {"x": [1, 2]}, 8, folder=tmp_path / "here")
    assert frame["error"].isna().all()
    assert same(frame, here)


@pytest.mark.slow
def test_a_lost_scheduler_is_told_and_the_sweep_goes_on_elsewhere(cluster, tmp_path):
    cluster.add_workers(2)
    process = script(tmp_path, f"scheduler={cluster.address!r}")
    wait_until(lambda: stored(tmp_path) >= 4)
    cluster.scheduler.kill()
    assert process.wait() == 1
    kept = stored(tmp_path)
    told = (tmp_path / "output").read_text()
    assert f"the connection to the Dask scheduler was lost; {kept} of 16 results are" in told
    begun = len(calls(tmp_path / "log"))
    assert script(tmp_path, "workers=2").wait() == 0
    assert len(calls(tmp_path / "log")) <= begun + 16 - kept


@pytest.mark.slow
def test_a_run_that_kills_workers_is_recorded(cluster, tmp_path):
    cluster.add_workers(5)

    def deadly(rng, x):
        if x == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"y": x}

    frame = sweep(deadly, {"x": [1, 2, 3]}, folder=tmp_path / "r", scheduler=cluster.address)
    lost = "Lost: every Dask worker that ran it died"
    assert list(frame["error"].fillna("")) == ["", lost, ""]


@pytest.mark.slow
def test_a_worker_with_other_code_is_refused(cluster, tmp_path):
    shutil.copytree(PACKAGES / "pmdlib", tmp_path / "other" / "pmdlib")
    with (tmp_path / "other" / "pmdlib" / "errors.py").open("a") as stream:
        stream.write("# changed\n")
    cluster.add_workers(1, packages=tmp_path / "other")
    with pytest.raises(
        pmd.PmdError, match=r"a worker runs other code.*; 0 of 4 results are stored"
    ):
        sweep(measure, GRID, folder=tmp_path / "results", scheduler=cluster.address)


@pytest.mark.slow
def test_a_notebook_may_sweep_its_own_functions(tmp_path):
    root = make_workspace(tmp_path / "place", {})
    cell = textwrap.dedent("""
        from pathlib import Path

        from pmdlib.workspace.sweep import sweep

        FACTOR = 3

        def helper(x):
            return FACTOR * x

        def run(rng, x):
            with Path(LOG).open("a") as stream:
                stream.write("called ")
            return {"y": helper(x) + rng.integers(10)}

        sweep(run, {"x": [1, 2]}, 2)
        """)
    log = tmp_path / "log"
    path = root / "notebooks" / "01-own.ipynb"
    texts = []
    for change in ("", "", "FACTOR = 5", "# a comment"):
        source = cell.replace("FACTOR = 3", change) if change.startswith("F") else change + cell
        cells = [("parameters", 'profile = "quick"'), f"LOG = {str(log)!r}", source]
        path.write_text(json.dumps(notebook_json(cells)))
        outcome = execute_one(Task(path.stem, path.read_text(), {}, 120.0, root))
        assert outcome.cause is None
        texts.append(json.loads(outcome.notebook)["cells"][-1]["outputs"])
    assert log.read_text().split() == ["called"] * 8
    assert [len(outputs) for outputs in texts] == [1, 1, 1, 1]
    assert texts[0] == texts[1] == texts[3] != texts[2]
