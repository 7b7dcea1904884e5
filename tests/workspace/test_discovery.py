"""A module of claims counts for the code that says one of their names."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import pmdlib as pmd
from pmdlib.workspace.discovery import Texts, found_beside, texts_of
from pmdlib.workspace.freshness import sources_of

ROOT = Path(__file__).parents[2]

ALL_READ = {"first", "second", "_own"}


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__": "CLAIMS = collect(__name__, __path__)",
        "helper": "x = 1",
        "first": 'CLAIMS = (Claim(name="one-claim"), Claim(name="two"))',
        "second": 'CLAIMS: tuple = (Claim(name="other"),)',
        "unread": "CLAIMS = tuple(Claim(name=n) for n in NAMES)",
        "_own": 'CLAIMS = (Claim(name="third-claim"),)',
        "packed": 'CLAIMS = (Claim(name="packed-claim"), Claim(**fields))',
        "passed": 'from elsewhere import CLAIMS\nf(name="nothing")',
        "games": 'GAMES = {"a-game": game}',
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path / "__init__.py"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("pmd.verify('one-claim')", {"first"}),
        ("NAMES = ['other', 'two']", {"first", "second"}),
        ("pmd.verify(f'one-{what}')", {"first"}),
        ("pmd.verify(f'{what}-x')", set()),
        ("pmd.verify('elsewhere')", set()),
        ("pmd.verify('third-claim')", {"_own"}),
        ("pmd.verify('one-' + what)", {"first"}),
        ("pmd.verify('%s-claim' % what)", {"first", "_own"}),
        ("pmd.verify('third-{}'.format(what))", {"_own"}),
        ("pmd.verify('-'.join(['third', what]))", {"_own"}),
        ("for name in pmd.claims:\n    pmd.verify(name)", ALL_READ),
        ("check(*pmd.claims.values())", ALL_READ),
        ("from pmdlib import claims as known", ALL_READ),
        ("pmd.claims[name]\nname in pmd.claims\nfrom pmdlib.claims import claim", set()),
    ],
)
def test_claims_are_used_by_name(package, code, found):
    said = texts_of(ast.parse(code))
    assert set(found_beside(package, said)) == found | {"unread", "games", "packed", "passed"}


def test_a_module_that_python_cannot_read_offers_nothing(package):
    package.with_name("broken.py").write_text("CLAIMS = (")
    assert "broken" not in found_beside(package, Texts(goes_through=True))
    package.write_text("__path__ = (")
    assert found_beside(package, Texts(goes_through=True)) == []


def test_other_packages_find_nothing(package):
    package.write_text("from . import first")
    assert found_beside(package, texts_of(ast.parse("'one-claim'"))) == []
    assert found_beside(package.with_name("first.py"), texts_of(ast.parse("'two'"))) == []


@pytest.mark.parametrize("name", sorted(pmd.claims))
def test_a_notebook_depends_on_the_module_of_its_claim_and_not_on_all(name):
    used = sources_of(ROOT).used_by([f"import pmdlib as pmd\npmd.verify({name!r})"])
    homes = {
        module: {claim.name for claim in getattr(import_module(module), "CLAIMS", ())}
        for module in sorted(used)
        if module.startswith("pmdlib.claims.")
    }
    assert any(name in claims for claims in homes.values())
    unread = set(pmd.claims) - set().union(*homes.values())
    assert len(unread) >= 5  # claims whose modules may change without a new run
