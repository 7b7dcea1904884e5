"""What other distributions add: found when asked for, and refused by name where it is broken."""

import subprocess
import sys
import textwrap
from argparse import Namespace

import pytest

import pmdlib as pmd
from pmdlib import plugins
from pmdlib.games.catalogue import CATALOGUE
from pmdlib.games.exchange import catalogue_game, game_names
from pmdlib.learning.mirror_maps import get_mirror_map
from pmdlib.workspace.commands.claims import run as list_claims
from pmdlib.workspace.freshness import packages

GOOD = """
from dataclasses import replace

import numpy as np
import pmdlib as pmd
from pmdlib.learning.mirror_maps import KL


def dilemma():
    return pmd.TabularGame(np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.eye(1), discount=0.0)


class Slow(KL):
    name = "slow-kl"

    def step(self, coordinates, gradient):
        return super().step(coordinates, gradient / 2)


claim = replace(pmd.claims["performance-difference"], name="lab-identity", notebook="01-lab")
attacked = replace(pmd.claims["improvement-kl-constant-step"], name="lab-step", notebook="02-lab")
GAMES = {"lab-dilemma": dilemma}
CLAIMS = (attacked, claim)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path: its modules, and its entry points by group."""
    paths = []

    def add(name, modules, **groups):
        place = tmp_path / name
        metadata = place / f"{name.replace('-', '_')}-0.1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[pmdlib.{group}]", *points]
        (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, text in modules.items():
            (place / f"{module}.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(place)
        paths.append((place, modules))
        plugins.forget()
        return place

    yield add
    plugins.forget()
    for _, modules in paths:
        for module in modules:
            sys.modules.pop(module, None)


def the_warnings(recorded):
    assert all(warning.category is plugins.PluginWarning for warning in recorded)
    return [str(warning.message) for warning in recorded]


def test_without_plugins_everything_is_built_in():
    assert all(plugins.origin(name) is None for name in pmd.claims)
    assert plugins.origin("no-such-claim") is None
    assert plugins.games() == {}
    assert len(pmd.claims) == len([*pmd.claims])


def test_claims_are_found_and_verified_like_any_other(install):
    install("my-lab", {"lab_one": GOOD}, claims=["lab = lab_one"])
    assert [*pmd.claims][-2:] == ["lab-identity", "lab-step"]  # by notebook
    assert plugins.origin("lab-identity") == "my-lab 0.1"
    assert plugins.origin("regret-kl") is None
    verdict = pmd.verify("lab-identity", instances=12)
    assert verdict.verified
    assert verdict.name == "lab-identity"
    attacked = pmd.verify("lab-step", instances=12)
    assert attacked.verified
    assert attacked.ways["adversarial"]["instances"] >= 1


def test_a_version_of_a_distribution_that_offers_something_is_an_input_of_results(install):
    packages.cache_clear()
    before = packages()
    assert plugins.distributions() == {}
    install("my-lab", {"lab_four": "raise RuntimeError"}, claims=["lab = lab_four"])
    packages.cache_clear()
    assert packages() == before | {"my-lab": "0.1"}
    packages.cache_clear()


def test_a_single_claim_is_offered_by_itself(install):
    install("my-lab", {"lab_two": GOOD}, claims=["whatever = lab_two:claim"])
    assert [*pmd.claims][-1] == "lab-identity"
    assert len(pmd.claims) == len([*pmd.claims])


def test_games_and_mirror_maps(install):
    install(
        "my-lab",
        {"lab_three": GOOD},
        games=["dilemma = lab_three:dilemma", "several = lab_three"],
        mirror_maps=["slow-kl = lab_three:Slow"],
    )
    games = plugins.games(CATALOGUE)
    assert set(games) == {"dilemma", "lab-dilemma"}
    assert set(game_names()) > {"dilemma", "lab-dilemma", "isolated"}
    assert catalogue_game("lab_dilemma").num_agents == 2
    slow = pmd.run_pmd(games["dilemma"](), "slow-kl", step=1.0, iterations=3)
    half = pmd.run_pmd(games["dilemma"](), "kl", step=0.5, iterations=3)
    assert slow.mirror_map == "slow-kl"
    assert slow.nash_gap == pytest.approx(half.nash_gap)
    assert get_mirror_map("slow-kl") is get_mirror_map("slow-kl")


def test_nothing_is_imported_for_what_is_built_in(install):
    install("my-lab", {"lab_four": GOOD}, claims=["a = lab_four"], games=["b = lab_four"])
    assert pmd.claims["regret-kl"].name == "regret-kl"
    assert catalogue_game("isolated").num_agents == 2
    assert get_mirror_map("kl").name == "kl"
    assert "lab_four" not in sys.modules


def test_a_broken_plugin_is_named_and_breaks_nothing_else(install):
    install("bad-lab", {"lab_bad": "import no_such_package"}, claims=["bad = lab_bad:claim"])
    install("rude-lab", {"lab_rude": "raise SystemExit(3)"}, claims=["rude = lab_rude"])
    install("my-lab", {"lab_five": GOOD}, claims=["good = lab_five"])
    with pytest.warns(plugins.PluginWarning) as recorded:
        names = [*pmd.claims]
    assert names[-2:] == ["lab-identity", "lab-step"]
    cause = "ModuleNotFoundError: No module named 'no_such_package'"
    messages = [
        f"bad-lab 0.1, entry point 'bad' of pmdlib.claims (lab_bad:claim): {cause}",
        "rude-lab 0.1, entry point 'rude' of pmdlib.claims (lab_rude): SystemExit: 3",
    ]
    assert the_warnings(recorded) == [f"left out: {text}" for text in messages]
    assert list(plugins.problems(plugins.CLAIMS)) == messages
    assert pmd.verify("lab-identity", instances=6).verified
    assert pmd.verify("performance-difference", instances=6).verified
    with pytest.raises(pmd.PmdError, match=r"no claim 'bad'; .*left out: bad-lab 0\.1, entry"):
        pmd.verify("bad")


@pytest.mark.parametrize(
    ("code", "point", "cause"),
    [
        ("x = 1", "lab_bits", "the module has no CLAIMS"),
        ("x = 1", "lab_bits:x", "1 is no Claim"),
        ("x = 1", "lab_bits:y", "AttributeError: module 'lab_bits' has no attribute 'y'"),
        ("CLAIMS = (1,)", "lab_bits", "1 is no Claim"),
        ("x: int = 'a' +", "lab_bits", "SyntaxError"),
    ],
)
def test_what_is_no_claim_is_refused(install, code, point, cause):
    install("bad-lab", {"lab_bits": code}, claims=[f"bad = {point}"])
    with pytest.warns(plugins.PluginWarning) as recorded:
        assert len(pmd.claims) > 0
    (message,) = the_warnings(recorded)
    assert message.startswith("left out: bad-lab 0.1, entry point 'bad' of pmdlib.claims (")
    assert cause in message


def test_names_that_are_taken_are_refused(install):
    taken = GOOD.replace("lab-identity", "regret-kl").replace("slow-kl", "kl")
    install("a-lab", {"lab_a": taken}, claims=["a = lab_a"], mirror_maps=["kl = lab_a:Slow"])
    install("b-lab", {"lab_b": GOOD}, claims=["b = lab_b"], games=["isolated = lab_b:dilemma"])
    with pytest.warns(plugins.PluginWarning) as recorded:
        assert len(pmd.claims) == len([*pmd.claims])
    first, second = the_warnings(recorded)
    assert first.startswith("left out: a-lab 0.1, entry point 'a' of pmdlib.claims (lab_a): ")
    assert first.endswith("the name 'regret-kl' is taken by pmdlib itself")
    assert second.startswith("left out: b-lab 0.1, entry point 'b' of pmdlib.claims (lab_b): ")
    assert second.endswith("the name 'lab-step' is taken by a-lab 0.1")
    assert pmd.claims["regret-kl"].notebook == "08-nash-regret"
    assert plugins.origin("regret-kl") is None
    with pytest.warns(plugins.PluginWarning, match="'isolated' is taken by pmdlib itself"):
        assert plugins.games(CATALOGUE) == {}
    message = "must be one of .'euclidean', 'kl', 'tsallis'. or a MirrorMap; left out: a-lab 0.1"
    with (
        pytest.warns(plugins.PluginWarning, match="'kl' is taken by pmdlib itself"),
        pytest.raises(pmd.PmdError, match=message),
    ):
        get_mirror_map("no-such-map")


def test_games_and_maps_that_cannot_be_made_are_refused(install):
    code = GOOD + "\ndef sized(n): pass\n\n\nclass Needy(Slow):\n    def __init__(self, x): pass\n"
    install(
        "my-lab",
        {"lab_six": code},
        games=["number = lab_six:np.pi", "sized = lab_six:sized"],
        mirror_maps=["needy = lab_six:Needy", "other = lab_six:Slow", "game = lab_six:dilemma"],
    )
    with pytest.warns(plugins.PluginWarning) as games:
        assert plugins.games() == {}
    with pytest.warns(plugins.PluginWarning) as maps:
        assert plugins.mirror_maps(pmd.MirrorMap) == {}
    told = [*the_warnings(games), *the_warnings(maps)]
    causes = [message.split("): ", 1)[1] for message in told]
    assert causes[0].endswith("must be a function that returns a game")
    assert causes[1] == "PmdError: 'sized' must need no arguments: missing a required argument: 'n'"
    assert causes[2].startswith("PmdError: the mirror map offered as 'game' calls itself None")
    assert causes[3].startswith("TypeError: ")
    assert causes[4] == "PmdError: the mirror map offered as 'other' calls itself 'slow-kl'"


def test_the_command_says_where_a_claim_comes_from_and_what_is_broken(install, capsys):
    install("my-lab", {"lab_seven": GOOD}, claims=["good = lab_seven"])
    assert list_claims(Namespace()) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["claim", "tag", "label", "notebook", "controls", "from"]
    assert lines[-1].split()[0] == "lab-step"
    assert lines[-1].endswith("my-lab 0.1")
    assert not lines[0].endswith("my-lab 0.1")
    install("bad-lab", {"lab_eight": "import no_such_package"}, claims=["bad = lab_eight"])
    assert list_claims(Namespace()) == 1
    assert "bad-lab 0.1, entry point 'bad' of pmdlib.claims" in capsys.readouterr().err


@pytest.mark.slow
def test_a_claim_of_another_distribution_is_verified_by_name(install):
    """In the real command line, whose processes each find the distribution for themselves."""
    place = install("my-lab", {"lab_nine": GOOD}, claims=["good = lab_nine"])
    install("bad-lab", {"lab_ten": "import no_such_package"}, claims=["bad = lab_ten"])
    paths = ":".join([str(place), str(place.parent / "bad-lab")])
    run = subprocess.run(
        [sys.executable, "-m", "pmdlib", "verify", "lab-identity", "--profile=quick"],
        env={"PYTHONPATH": paths, "PATH": ""},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "claims verified: 1, failed: 0" in run.stdout
    assert "bad-lab 0.1, entry point 'bad'" in run.stderr
