"""The explorer's page: what it says, and that its packed numbers are those of live runs."""

import json
import re

import numpy as np
import pytest
from workspace.packed import decoded

from pmdlib.workspace.explorer.data import (
    AGENTS,
    LEVELS,
    MIRROR_MAPS,
    TIMES,
    gather,
    pack_fractions,
    pack_sizes,
    start_pairs,
    step_ladder,
    unpack_fractions,
    unpack_sizes,
)
from pmdlib.workspace.explorer.look import Look, run_numbers
from pmdlib.workspace.explorer.page import fragment, page
from pmdlib.workspace.explorer.runs import ITERATIONS
from pmdlib.workspace.explorer.scenes import GRID, SCENES
from pmdlib.workspace.explorer.theory import theory
from pmdlib.workspace.explorer.widget import GUARANTEED
from pmdlib.workspace.explorer.words import run_line, short, step_line


@pytest.fixture(scope="module")
def small():
    """What the page would hold of one game for two and four agents."""
    return gather([SCENES["half-face"]], [2, 4])


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        (0.0, 2, "0"),
        (1.0, 2, "1"),
        (0.126, 2, "0.13"),
        (0.0625, 3, "0.0625"),
        (130.4, 2, "130"),
        (0.00012, 2, "1.2×10⁻⁴"),
        (1e-5, 2, "10⁻⁵"),
        (250000.0, 2, "2.5×10⁵"),
        (0.0999, 2, "0.1"),
    ],
)
def test_numbers_are_written_shortly(number, digits, text):
    assert short(number, digits) == text


def test_the_line_says_how_much_of_the_guarantee_a_step_is():
    known = theory(SCENES["half-face"].game(16), "euclidean")
    below = step_line(known, 0.8 * known.limit)
    assert "no step up to 0.222 ever lowers" in below
    assert "This step is 80 % of that." in below
    assert "Step 0.0625, eight times the paper's:" in step_line(known, 0.0625)
    assert "this is 4.5 times 0.222, the largest step" in step_line(known, 1.0)


def test_the_line_says_what_happened():
    look = Look(SCENES["half-face"], "euclidean", 16, 1.0, (0.2, 0.4))
    falls, first = look.run.falls[0], look.run.first_fall[0]
    assert falls > 0
    assert look.run.improvement[first - 1, 0] < 0
    assert (look.run.improvement[: first - 1, 0] >= 0).all()
    assert f"falls at {falls} of 128 iterations, first at iteration {first}." in look.line
    assert f"Of the 49 starts on the grid, {(look.grid.falls > 0).sum()} lead" in look.line
    assert "no theorem here bounds it" in look.line
    calm = Look(SCENES["half-face"], "kl", 16, 1.0, (0.2, 0.4))
    assert "From this start the potential never falls in 128 iterations." in calm.line
    assert f"a theorem says at most {short(calm.run.regret_bound[-1, 0])}." in calm.line


def test_packing_keeps_two_digits():
    values = np.geomspace(1e-9, 9e3, 5000) * np.resize([1, -1], 5000)
    for levels in set(LEVELS.values()):
        back = unpack_sizes(pack_sizes(values, levels), levels)
        np.testing.assert_allclose(back, values, rtol=2e-3)
        shares = np.linspace(0, 1, 999)
        back = unpack_fractions(pack_fractions(shares, levels), levels)
        np.testing.assert_allclose(back, shares, atol=0.51 / levels)
    assert (pack_sizes(np.array([np.nan, 0.0, 1e-10, np.inf]), 8191) == 0).all()


@pytest.mark.parametrize("mirror_map", MIRROR_MAPS)
def test_what_is_packed_is_what_a_live_run_gives(small, mirror_map):
    """Some steps, and starts on both sides of the diagonal, against the widget's look."""
    scene, agents = SCENES["half-face"], 4
    setting = small["scenes"][0]["maps"][mirror_map][1]
    phi_max = small["scenes"][0]["pictures"][1]["phiMax"]
    for k, step in [*enumerate(setting["steps"])][::4]:
        for i, j in ((1, 5), (5, 1), (2, 2)):
            look = Look(scene, mirror_map, agents, step["value"], (GRID[i], GRID[j]))
            pair = small["pairs"].index((min(i, j), max(i, j)))
            row = decoded(small)[setting["first"] + k * len(small["pairs"]) + pair]
            check_packed(row, look.run, scene.place(look.run.points, agents), phi_max, i > j)
        assert step["line"] == step_line(look.theory, step["value"])
        assert step["falling"] == (look.grid.falls > 0).sum()


def check_packed(row, run, places, phi_max, mirrored):
    """Compare a row of the page with a live run, to the precision of the packing."""
    x, y = places[[*TIMES], 0].T
    fractions = {"x": x, "y": y, "potential": run.potential[[*TIMES], 0] / phi_max}
    for name, codes in zip(LEVELS, row[:-2].reshape(len(LEVELS), -1), strict=True):
        twin = {"x": "y", "y": "x"}.get(name, name) if mirrored else name
        if twin in fractions:
            back = unpack_fractions(codes, LEVELS[name])
            np.testing.assert_allclose(back, fractions[twin], atol=0.51 / LEVELS[name])
        else:
            true = getattr(run, name)[[*TIMES], 0]
            back, size = unpack_sizes(codes, LEVELS[name]), abs(np.nan_to_num(true))
            np.testing.assert_allclose(back[size > 2e-9], true[size > 2e-9], rtol=2e-3)
            assert np.isnan(back[size < 5e-10]).all()
    assert tuple(row[-2:]) == (run.falls[0], run.first_fall[0])


def test_the_page_has_the_steps_of_the_theory_on_its_slider(small):
    for number, agents in enumerate((2, 4)):
        for name in MIRROR_MAPS:
            known = theory(SCENES["half-face"].game(agents), name)
            setting = small["scenes"][0]["maps"][name][number]
            values = [step["value"] for step in setting["steps"]]
            assert values == step_ladder(known) == sorted(values)
            marked = {mark["name"]: values[mark["at"]] for mark in setting["marks"]}
            wanted = {step.name: step.value for step in known.steps} | {GUARANTEED: known.limit}
            assert marked == pytest.approx(wanted)
            assert values[0] <= known.limit / 15
            assert values[-1] >= 4 * known.limit
    assert len(small["pairs"]) == len(set(start_pairs())) == 28


def test_the_fragment_stands_by_itself(small):
    html = fragment(small)
    assert "\n\n" not in html
    urls = set(re.findall(r"https?://[^\"'\s]+", html))
    assert urls == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|<link|@import|url\(| src=", html)
    identifiers = re.findall(r'\bid="([^"]*)"', html)
    assert len(set(identifiers)) == len(identifiers) > 20
    assert all(name.startswith("pmdx") for name in identifiers)
    assert html.count("<script") == html.count("</script>") == 2
    text = re.search(r'id="pmdx-data">(.*)</script>', html)[1]
    assert json.loads(text) == json.loads(json.dumps(small))
    for name in set(re.findall(r'byId\("([a-z-]+)"\)', html)):
        assert f'id="pmdx-{name}"' in html
    assert "precomputed by pmdlib" in html


@pytest.mark.slow
def test_the_whole_page_is_small_enough():
    html = page()
    assert 500_000 < len(html.encode()) < 3_000_000
    data = json.loads(re.search(r'id="pmdx-data">(.*)</script>', html)[1])
    assert [scene["name"] for scene in data["scenes"]] == [*SCENES]
    assert data["agents"] == [*AGENTS]
    runs = sum(
        len(setting["steps"]) * len(data["pairs"])
        for scene in data["scenes"]
        for settings in scene["maps"].values()
        for setting in settings
    )
    assert len(decoded(data)) == runs


def test_the_numbers_of_a_run_are_those_that_the_line_speaks_of():
    look = Look(SCENES["stag-hunt"], "kl", 3, 0.4, (0.25, 0.75))
    numbers = run_numbers(look.run, 0)
    assert (numbers["x"], numbers["y"]) == (0.25, 0.75)
    assert numbers["iterations"] == ITERATIONS == len(look.run.times)
    assert numbers["regret"] == pytest.approx(look.run.nash_gap[:, 0].mean())
    assert run_line(numbers | {"falling": 0, "starts": 49}) in look.line
