"""Whatever documents, notebooks and docstrings point at is there; addresses elsewhere are listed.

No network is used: `EXTERNAL` says which addresses are there to be tried by hand.
"""

import ast
import builtins
import importlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).resolve().parents[1]

# Every address elsewhere that is written down here, once.
EXTERNAL = (
    "https://arxiv.org/abs/2408.08075",
    "https://keepachangelog.com/en/1.1.0/",
    "https://semver.org/spec/v2.0.0.html",
    "https://www.gambit-project.org",
)

# Parts of addresses that stand for what a user puts there.
EXAMPLES = ("HOST:PORT", "REGISTRY")

PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)


@dataclass(frozen=True)
class Text:
    """A piece of text with the file that it stands in; links start from that file's folder."""

    path: Path
    text: str
    markdown: bool

    @property
    def tokens(self):
        if not self.markdown:
            return []
        found = PARSER.parse(self.text)
        return [*found, *(child for token in found for child in token.children or ())]

    @property
    def links(self):
        """Targets of links and pictures, also of those in HTML."""
        for token in self.tokens:
            yield from (str(token.attrs[key]) for key in ("href", "src") if key in token.attrs)
            if token.type.startswith("html"):
                yield from re.findall(r"""\b(?:href|src)=["']([^"']+)""", token.content)

    @property
    def code(self):
        """What stands in backticks: one in documents, one or two in docstrings."""
        if self.markdown:
            return [token.content for token in self.tokens if token.type == "code_inline"]
        return re.findall(r"(?<!`)`{1,2}([^`\n]+)`{1,2}(?!`)", self.text)


def documents():
    """Texts of the documents, the notebooks and the docstrings."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("figures/*.md"), *ROOT.glob("tests/**/*.md")]:
        yield Text(path, path.read_text(encoding="utf-8"), markdown=True)
    for path in [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/executed/*.ipynb")]:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "markdown":
                yield Text(path, "".join(cell["source"]), markdown=True)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in ROOT.glob("pmdlib/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and ast.get_docstring(node):
                yield Text(path, ast.get_docstring(node), markdown=False)


TEXTS = [*documents()]


@cache
def anchors(path):
    """Names of the headings of a document or notebook, as GitHub and Jupyter make them."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(source)["cells"]
        source = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    tokens = PARSER.parse(source)
    names, seen = set(), Counter()
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            title = following.content.strip()
            names.add(title.replace(" ", "-"))
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return names


def broken(text):
    """Relative links of a text that lead nowhere, in words."""
    for link in text.links:
        if urlsplit(link).scheme:
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (text.path.parent / target).resolve() if target else text.path
        if not path.exists() or not path.is_relative_to(ROOT):
            yield f"{text.path.relative_to(ROOT)}: {link} is not there"
        elif anchor and anchor not in anchors(path):
            yield f"{text.path.relative_to(ROOT)}: {link}: no such heading"


def test_relative_links_lead_to_a_file_and_a_heading():
    assert [line for text in TEXTS for line in broken(text)] == []
    assert sum(len([*text.links]) for text in TEXTS) > 40


# Written by a run, and kept out of git.
WRITTEN = {"notebooks/executed/provenance.json"}

PATH = re.compile(r"(pmdlib|tests|notebooks|figures)/[\w./-]*\w\.[a-z]+")


def missing_files(text):
    """Files of the project that a text names, and that are not there."""
    named = (word for word in text.code if PATH.fullmatch(word) and "NN-" not in word)
    return [
        f"{text.path.relative_to(ROOT)}: {name}"
        for name in named
        if name not in WRITTEN and not (ROOT / name).exists()
    ]


def test_files_that_are_named_are_there():
    assert [line for text in TEXTS for line in missing_files(text)] == []


@cache
def names():
    """Every name in the code of the package, defined or used; a name may also be a text."""
    found = set(dir(builtins))
    for path in ROOT.glob("pmdlib/**/*.py"):
        found |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for field in ("name", "arg", "id", "attr", "value"):
                name = getattr(node, field, None)
                if isinstance(name, str):
                    found.add(name)
    return found


def unknown_names(text):
    """References of a docstring, in single backticks, that are no names, or no longer."""
    if text.markdown:
        return
    for word in re.findall(r"(?<![`:])`([A-Za-z_][\w.]*\w)`(?!`)", text.text):
        if not PATH.fullmatch(f"pmdlib/{word}") and not {*word.split(".")} <= names():
            yield f"{text.path.relative_to(ROOT)}: {word}"


def test_names_that_docstrings_refer_to_are_there():
    assert [line for text in TEXTS for line in unknown_names(text)] == []


def is_there(name):
    """Whether a dotted name is a module, or something in one."""
    parts, thing, number = name.split("."), None, 0
    for number in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:number]))
            break
        except ModuleNotFoundError:
            continue
    for part in parts[number:]:
        if part in getattr(thing, "__annotations__", {}):
            return True  # a field: its type says what else there is
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


DOTTED = sorted({w for text in TEXTS for w in text.code if re.fullmatch(r"pmdlib(\.\w+)+", w)})


@pytest.mark.parametrize("name", DOTTED)
def test_dotted_names_are_there(name):
    assert is_there(name)


# Addresses elsewhere


def addresses(text):
    """Addresses with a scheme and two slashes, but for those that a user completes."""
    found = re.findall(r"\b[a-z][a-z+]*://[^\s<>\"'`]+", text)
    trimmed = (address.rstrip(".,;:!?)]}*|\\") for address in found)
    return {each for each in trimmed if not any(example in each for example in EXAMPLES)}


def ill_formed(address):
    """What is wrong with an address of the web, or nothing."""
    parts = urlsplit(address)
    if parts.scheme != "https":
        return "its scheme is not https"
    if not re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", parts.netloc):
        return "its host is none"
    if (
        not re.fullmatch(r"[\w.~!$&'()*+,;=:@%/-]*", parts.path, flags=re.ASCII)
        or "//" in parts.path
    ):
        return "its path has characters that must be escaped, or is empty in parts"
    return None


def test_addresses_are_well_formed_and_listed_once():
    texts = [text.text for text in TEXTS]
    texts += [
        (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "pyproject.toml")
    ]
    found = {address for text in texts for address in addresses(text)}
    assert sorted(found) == list(EXTERNAL)
    assert {address: ill_formed(address) for address in found if ill_formed(address)} == {}


@pytest.mark.parametrize(
    "address",
    [
        "http://arxiv.org/abs/1",
        "https://arxiv/abs/1",
        "https://arxiv.org/a b",
        "https://-a.org",
        "ftp://a.org",
    ],
)
def test_an_ill_formed_address_is_found(address):
    assert ill_formed(address)


def test_what_leads_nowhere_is_found():
    here = ROOT / "README.md"
    lines = (
        "[a](nowhere.md) ![b](figures/none.svg) [c](LICENSE#part) [d](README.md#extend)",
        '[e](#no-such-part) [f](../outside) <img src="none.png"> $[x](y)$ `[g](code)`',
        "`pmdlib/none.py`",
        "[h](#extend) [i](https://a.org) [j](notebooks/executed/02-mirror-maps.ipynb#none)",
    )
    text = Text(here, "\n\n".join(lines), markdown=True)
    found = [line.removeprefix("README.md: ") for line in broken(text)]
    assert found == [
        "nowhere.md is not there",
        "figures/none.svg is not there",
        "LICENSE#part: no such heading",
        "#no-such-part: no such heading",
        "../outside is not there",
        "none.png is not there",
        "notebooks/executed/02-mirror-maps.ipynb#none: no such heading",
    ]
    assert missing_files(text) == ["README.md: pmdlib/none.py"]
    docstring = Text(here, "See `no_such_name`, `run_pmd` and ``anything``.", markdown=False)
    assert [*unknown_names(docstring)] == ["README.md: no_such_name"]
    assert not is_there("pmdlib.analysis.values.no_such_name")
    assert addresses("(https://a.org/b). `tcp://HOST:PORT`") == {"https://a.org/b"}
