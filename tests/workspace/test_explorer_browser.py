"""The explorer's page in a browser: keys, dragging, both themes, narrow screens, no requests."""

import json
from itertools import pairwise

import numpy as np
import pytest
from workspace.packed import decoded

from pmdlib.workspace.explorer.data import LEVELS, gather, unpack_fractions, unpack_sizes
from pmdlib.workspace.explorer.page import fragment
from pmdlib.workspace.explorer.scenes import GRID, SCENES
from pmdlib.workspace.explorer.words import run_line

pytestmark = pytest.mark.slow

AGENTS = (2, 8)


@pytest.fixture(scope="module")
def data():
    return gather([SCENES["half-face"], SCENES["stag-hunt"]], AGENTS)


@pytest.fixture
def view(browser, data, tmp_path):
    """Open the page at a width and in a theme; at the end nothing was logged or asked for."""
    complaints, requests, pages = [], [], []

    def visit(width=1280, theme="light", scheme="light"):
        file = tmp_path / f"{theme}.html"
        attribute = f' data-theme="{theme}"' if theme else ""
        file.write_text(
            f'<!doctype html><html lang="en"{attribute}><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><title>Explorer</title>'
            f"<body>{fragment(data)}</body></html>",
            encoding="utf-8",
        )
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("#pmdx-status", state="detached", timeout=20_000)
        pages.append(page)
        return page

    yield visit
    assert pages
    assert not complaints
    assert all(url.startswith("file:") for url in requests)
    for page in pages:
        page.close()


def state(page):
    """What the controls say: scene, map, agents, step, x and y, by number."""
    read = """() => [
        Number(document.getElementById('pmdx-scene').value),
        document.querySelector('[name=pmdx-map]:checked').value,
        ...['agents', 'step', 'x', 'y'].map(n => Number(document.getElementById('pmdx-' + n).value))
    ]"""
    return page.evaluate(read)


def expected_line(data, state):
    """The paragraph of a setting, in Python's words, from the numbers that the page holds."""
    number, mirror_map, agents, step, i, j = state
    described, scene = data["scenes"][number], [*SCENES.values()][[0, 3][number]]
    setting = described["maps"][mirror_map][agents]
    pair = data["pairs"].index((min(i, j), max(i, j)))
    row = decoded(data)[setting["first"] + step * len(data["pairs"]) + pair]
    last = dict(zip(LEVELS, row[:-2].reshape(len(LEVELS), -1)[:, -1:], strict=True))
    ends = [unpack_fractions(last[axis], LEVELS[axis])[0] for axis in ("x", "y")]
    ends = ends[::-1] if i > j else ends
    sizes = {name: float(unpack_sizes(last[name], LEVELS[name])[0]) for name in [*LEVELS][3:]}
    count = AGENTS[agents]
    x, y = scene.probability([GRID[i], GRID[j]], count)
    end_x, end_y = scene.probability(ends, count)
    numbers = {
        "iterations": data["iterations"],
        "falls": int(row[-2]),
        "first": int(row[-1]),
        "falling": setting["steps"][step]["falling"],
        "starts": len(GRID) ** 2,
        "x": x,
        "y": y,
        "end_x": end_x,
        "end_y": end_y,
        "gap": sizes["nash_gap"],
        "c": sizes["c"],
        "regret": sizes["regret"],
        "bound": sizes["regret_bound"],
    }
    return f"{setting['steps'][step]['line']} {run_line(numbers)}"


def check(page, data):
    assert page.inner_text("#pmdx-line") == expected_line(data, state(page))


def test_the_keyboard_moves_every_control(view, data):
    page = view()
    check(page, data)
    for name, key, number in (
        ("agents", "ArrowLeft", 2),
        ("step", "ArrowRight", 3),
        ("step", "End", 3),
        ("x", "ArrowRight", 4),
        ("y", "Home", 5),
    ):
        before, seen = state(page), page.inner_html("#pmdx-portrait")
        page.focus(f"#pmdx-{name}")
        page.keyboard.press(key)
        assert state(page)[number] != before[number], name
        assert page.inner_html("#pmdx-portrait") != seen
        check(page, data)
    assert page.get_attribute("#pmdx-line", "aria-live") == "polite"
    for name in ("agents", "step", "x", "y"):
        assert page.get_attribute(f"#pmdx-{name}", "aria-valuetext")
        label = f"document.getElementById('pmdx-{name}').labels[0].textContent.trim()"
        assert page.evaluate(label)


def test_games_maps_and_named_steps_can_be_chosen(view, data):
    page = view()
    for mirror_map in ("kl", "euclidean"):
        page.check(f"[name=pmdx-map][value={mirror_map}]")
        for scene in ("1", "0"):
            page.select_option("#pmdx-scene", scene)
            for number, mark in enumerate(
                data["scenes"][int(scene)]["maps"][mirror_map][1]["marks"]
            ):
                page.click(f"#pmdx-rules button >> nth={number}")
                assert state(page)[3] == mark["at"]
                check(page, data)
    page.click("#pmdx-rules button >> nth=1")
    page.focus("#pmdx-agents")
    page.keyboard.press("Home")  # a named step is kept when N changes ..
    assert state(page)[3] == data["scenes"][0]["maps"]["euclidean"][0]["marks"][1]["at"]
    page.focus("#pmdx-step")
    page.keyboard.press("ArrowRight")  # .. and a number once the slider was moved
    steps = [data["scenes"][0]["maps"]["euclidean"][k]["steps"] for k in (0, 1)]
    value = steps[0][state(page)[3]]["value"]
    page.focus("#pmdx-agents")
    page.keyboard.press("End")
    assert steps[1][state(page)[3]]["value"] == pytest.approx(value, rel=0.5)


def test_the_start_can_be_dragged(view, data):
    page = view()
    spot = page.locator("#pmdx-portrait").bounding_box()

    def at(i, j):
        x, y = (54 + GRID[i] * 356) / 420, (366 - GRID[j] * 356) / 420
        return spot["x"] + x * spot["width"], spot["y"] + y * spot["height"]

    page.mouse.move(*at(*state(page)[4:]))
    page.mouse.down()
    page.mouse.move(*at(3, 3), steps=4)
    assert state(page)[4:] == [3, 3]
    page.mouse.move(*at(6, 1), steps=4)
    page.mouse.up()
    assert state(page)[4:] == [6, 1]
    check(page, data)
    page.mouse.move(*at(0, 6))
    assert state(page)[4:] == [6, 1]  # let go
    page.mouse.click(*at(0, 6))
    assert state(page)[4:] == [0, 6]
    check(page, data)


def test_curves_are_where_the_numbers_are(view, data):
    """Dots of the potential against the packed numbers, through the labels of the axis."""
    page = view()
    page.check("[name=pmdx-map][value=kl]")
    number, mirror_map, agents, step, i, j = state(page)
    setting = data["scenes"][number]["maps"][mirror_map][agents]
    pair = data["pairs"].index((min(i, j), max(i, j)))
    row = decoded(data)[setting["first"] + step * len(data["pairs"]) + pair]
    codes = row[:-2].reshape(len(LEVELS), -1)[[*LEVELS].index("potential")]
    phi_max = data["scenes"][number]["pictures"][agents]["phiMax"]
    values = unpack_fractions(codes, LEVELS["potential"]) * phi_max
    read = """() => [...document.querySelectorAll('#pmdx-potential text[text-anchor=end]')]
        .map(t => [Number(t.textContent), Number(t.getAttribute('y')) - 4])"""
    labels = [pair for pair in page.evaluate(read) if not np.isnan(pair[0] or np.nan)]
    (low, bottom), (high, top) = labels[0], labels[-1]
    dots = "[...document.querySelectorAll('#pmdx-potential circle')]"
    heights = np.array(page.evaluate(f"() => {dots}.map(c => c.cy.baseVal.value)"))
    shown = low + (bottom - heights) / (bottom - top) * (high - low)
    np.testing.assert_allclose(shown, values, atol=0.01 * (high - low) + 1e-3)
    assert len(page.query_selector_all("#pmdx-potential circle")) == len(data["times"])


@pytest.mark.parametrize(
    ("theme", "scheme", "dark"),
    [("light", "dark", False), ("dark", "light", True), ("", "dark", True), ("", "light", False)],
)
def test_the_theme_follows_the_site_and_else_the_reader(view, theme, scheme, dark):
    page = view(theme=theme, scheme=scheme)
    ink = page.evaluate("() => getComputedStyle(document.getElementById('pmdx')).color")
    brightness = sum(json.loads(ink.replace("rgb(", "[").replace(")", "]"))) / 3
    assert (brightness > 128) is dark


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_sticks_out_on_any_screen(view, width):
    page = view(width=width)
    for scene in ("0", "1"):
        page.select_option("#pmdx-scene", scene)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        marks = page.locator("#pmdx-marks span").all()
        boxes = sorted((mark.bounding_box() for mark in marks), key=lambda box: box["x"])
        assert all(a["x"] + a["width"] <= b["x"] for a, b in pairwise(boxes))
        assert boxes[-1]["x"] + boxes[-1]["width"] <= width
