"""The whole site, built and read in Chromium from file://: no server, no network.

It is built once, from a copy of this workspace in which one notebook has failed and another has
never run. Each page is visited once; what was seen there is what the tests look at.
"""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from workspace.fakes import notebook_json

import pmdlib as pmd
from pmdlib.workspace.site.build import build_site

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FAILED, NEVER_RUN = "12-broken-assumptions", "99-never-run"
LEAST_CONTRAST = 4.5
"""What WCAG 2 asks of text of ordinary size (level AA)."""

FACTS = """() => ({
  equations: document.querySelectorAll('mjx-container svg').length,
  wrong: [...document.querySelectorAll(
    'mjx-merror, [data-mjx-error], .MathJax_Error, [data-mml-node=merror]'
  )].map(e => e.textContent),
  raw: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))
    .map(e => e.textContent),
  dollars: [...document.querySelectorAll('.cell_output td, .cell_output th')]
    .map(e => e.textContent).filter(text => text.includes('$')),
  mute: [...document.querySelectorAll('img, svg[role=img]')].filter(e =>
    !e.closest('mjx-container') && e.getAttribute('aria-hidden') !== 'true'
    && !(e.getAttribute('alt') || '').trim()
    && !(e.getAttribute('aria-label') || '').trim()
    && !e.querySelector('title')
  ).map(e => e.outerHTML.slice(0, 120)),
  silent: [...document.querySelectorAll('mjx-container')].filter(e =>
    !e.querySelector('mjx-assistive-mml')).length,
  figures: [...document.querySelectorAll('.figure img')].length,
})"""

WIDTH = "() => document.documentElement.scrollWidth"

CONTRASTS = """(theme) => {
  document.documentElement.dataset.theme = theme;
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const seen = new Map();
  const rgba = text => {
    if (!seen.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      seen.set(text, [r, g, b, a / 255]);
    }
    return seen.get(text);
  };
  const over = (top, below) => [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3]));
  const known = new Map([[null, [255, 255, 255]]]);
  const behind = e => {
    if (!known.has(e))
      known.set(e, over(rgba(getComputedStyle(e).backgroundColor), behind(e.parentElement)));
    return known.get(e);
  };
  const light = color => {
    const [r, g, b] = color.map(v => v / 255).map(v =>
      v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  const said = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const texts = 'table *, p, li, pre span, h1, h2, h3, mjx-container';
  for (const e of document.querySelectorAll(texts)) {
    if (!said(e) && e.tagName !== 'MJX-CONTAINER') continue;
    const below = behind(e), text = over(rgba(getComputedStyle(e).color), below);
    const [a, b] = [light(text), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const where = e.closest('table') ? 'table' : 'text';
    if (!(where in found) || ratio < found[where][0])
      found[where] = [ratio, e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60)];
  }
  return found;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site of a copy of this workspace, and return its folder."""
    root = tmp_path_factory.mktemp("workspace")
    for name in ("notebooks", "figures"):
        shutil.copytree(ROOT / name, root / name)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copyfile(path, root / path.name)
    (root / "pmdlib").symlink_to(ROOT / "pmdlib")
    executed = root / "notebooks" / "executed"
    notebook = json.loads((executed / f"{FAILED}.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    trouble = {"output_type": "error", "ename": "PlantedError", "evalue": "so <it> goes"}
    code[6]["outputs"] = [trouble | {"traceback": ["\x1b[31mPlantedError\x1b[0m: so <it> goes"]}]
    for cell in code[7:]:
        cell["outputs"], cell["execution_count"] = [], None
    (executed / "failed").mkdir(exist_ok=True)
    (executed / "failed" / f"{FAILED}.ipynb").write_text(json.dumps(notebook))
    never = json.dumps(notebook_json([("parameters", 'profile = "quick"'), "print(1)"]))
    (root / "notebooks" / f"{NEVER_RUN}.ipynb").write_text(never)
    return build_site(root, pmd.claims, root / "site").parent


@pytest.fixture(scope="module")
def visits(site, browser):
    """Visit every page, of the source code only some: page -> what was seen."""
    sources = sorted((site / "source").rglob("*.html"))
    pages = sorted({*site.rglob("*.html")} - {*sources}) + sources[::40]
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    seen = {}
    for path in pages:
        told, asked = [], []
        tab.on("console", lambda message, told=told: told.append((message.type, message.text)))
        tab.on("pageerror", lambda error, told=told: told.append(("error", str(error))))
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_function("!window.MathJax || MathJax.startup?.promise")
        tab.evaluate("() => window.MathJax?.startup?.promise")
        tab.add_style_tag(content="*, *::before, *::after { transition: none !important }")
        facts = tab.evaluate(FACTS)
        facts |= {theme: tab.evaluate(CONTRASTS, theme) for theme in ("light", "dark")}
        tab.set_viewport_size({"width": 360, "height": 800})
        facts["phone"] = tab.evaluate(WIDTH)
        tab.set_viewport_size({"width": 1280, "height": 900})
        facts |= {"told": told, "asked": asked, "desk": tab.evaluate(WIDTH)}
        for event in ("console", "pageerror", "request"):
            for listener in tab.listeners(event) if hasattr(tab, "listeners") else ():
                tab.remove_listener(event, listener)
        seen[path.relative_to(site).as_posix()] = facts
    context.close()
    return seen


def faults(visits, found):
    """Name the pages on which something was found, and what."""
    return {page: fault for page, facts in visits.items() if (fault := found(facts))}


def test_no_page_has_an_error_in_the_console(visits):
    assert len(visits) > 30
    assert not faults(visits, lambda facts: [t for t in facts["told"] if t[0] == "error"])


def test_nothing_is_asked_of_the_network(visits):
    own = ("file:", "data:", "blob:")
    assert all(facts["asked"] for facts in visits.values())
    assert not faults(visits, lambda facts: [u for u in facts["asked"] if not u.startswith(own)])


def test_equations_are_drawn_and_none_is_wrong(visits):
    notebooks = [page for page in visits if page.startswith("notebooks/0")]
    assert len(notebooks) == 9
    assert all(visits[page]["equations"] > 10 for page in notebooks)
    assert visits["theory/statements.html"]["equations"] >= len(pmd.claims)
    assert not faults(visits, lambda facts: facts["wrong"])
    assert not faults(visits, lambda facts: facts["raw"] + facts["dollars"])


def test_every_picture_and_equation_has_words(visits):
    assert sum(facts["figures"] for facts in visits.values()) > 80
    assert not faults(visits, lambda facts: facts["mute"])
    assert not faults(visits, lambda facts: facts["silent"])


@pytest.mark.parametrize(("screen", "width"), [("phone", 360), ("desk", 1280)])
def test_no_page_is_wider_than_the_screen(visits, screen, width):
    assert not faults(visits, lambda facts: facts[screen] if facts[screen] > width else None)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background(visits, theme):
    assert all("table" in visits[f"{page}.html"][theme] for page in ("index", "workspace"))

    def pale(facts):
        return [found for found in facts[theme].values() if found[0] < LEAST_CONTRAST]

    assert not faults(visits, pale)


def test_the_ledger_fits_on_one_screen(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / "index.html").as_uri())
    assert page.locator(".ledger tbody tr").count() == len(pmd.claims)
    bottom = page.locator(".ledger tbody tr").last.evaluate("e => e.getBoundingClientRect().bottom")
    assert bottom <= 900
    right = page.locator(".ledger table").evaluate("e => e.getBoundingClientRect().right")
    assert right <= 1280
    page.close()


def test_search_finds_the_proposition(site, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("Proposition V.5")
    page.keyboard.press("Enter")
    first = page.locator("#search-results li a").first
    first.wait_for(timeout=20_000)
    first.click()
    page.wait_for_load_state()
    assert page.url.startswith((site / "theory" / "statements.html").as_uri())
    assert page.locator("h3", has_text="Proposition V.5").first.is_visible()
    page.close()


class Anchors(HTMLParser):
    """Collect where a page links to, and what can be linked to on it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        self.links += [given[key] for key in ("href", "src") if given.get(key)]


def test_every_link_leads_somewhere(site):
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    lost = []
    for path, page in pages.items():
        for link in page.links:
            if link.startswith(("https:", "http:", "mailto:", "data:")):
                continue
            address, fragment = urldefrag(link)
            target = (path.parent / unquote(address.split("?")[0])).resolve() if address else path
            if not target.is_file():
                lost.append(f"{path.relative_to(site)}: {link}")
            elif fragment and target in pages and unquote(fragment) not in pages[target].names:
                lost.append(f"{path.relative_to(site)}: {link} (no such place)")
    assert not lost


def test_each_claim_links_to_notebook_formula_figure_and_code(site):
    rows = (site / "index.html").read_text(encoding="utf-8").split("<tr")[2:]
    for name, row in zip(pmd.claims, rows, strict=True):
        links = Anchors(f"<tr{row}").links
        notebook = f"notebooks/{pmd.claims[name].notebook}.html"
        assert notebook in links
        assert f"theory/statements.html#{name}" in links
        drawn = any(link.startswith(f"{notebook}#{notebook[10:12]}-") for link in links)
        assert drawn == (FAILED not in notebook)  # which did not come to its figure
        assert any(link.startswith("source/pmdlib/claims/") and "#L-" in link for link in links)


def test_a_failed_notebook_is_a_page_that_says_where(site, browser):
    page = browser.new_page()
    page.goto((site / "notebooks" / f"{FAILED}.html").as_uri())
    banner = page.locator("#failed")
    assert "raised PlantedError: so <it> goes" in banner.inner_text()
    banner.locator("a").click()
    following = page.locator("#failing-cell").locator("xpath=following::div[1]")
    assert page.url.endswith("#failing-cell")
    assert following.count() == 1
    page.goto((site / "index.html").as_uri())
    row = page.locator("tr.failed")
    assert row.count() == 1
    assert "notebook failed" in row.inner_text()
    assert "PlantedError" in row.locator(".verdict").get_attribute("title")
    page.close()


def test_a_notebook_that_has_never_run_is_shown_from_its_source(site):
    text = (site / "notebooks" / f"{NEVER_RUN}.html").read_text(encoding="utf-8")
    assert "This notebook has never been run" in text
    assert "print" in text
