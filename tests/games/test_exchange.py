"""Games go out and come back the same; damaged files raise nothing but errors of the library."""

import io
import re
import zipfile

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

import pmdlib as pmd
from pmdlib.arithmetic import is_exact, to_float
from pmdlib.errors import InvalidGameError, NotPotentialError, PmdError
from pmdlib.games import affine
from pmdlib.games.aggregative import CountGame
from pmdlib.games.exchange import catalogue_game, game_names
from pmdlib.games.families import FAMILIES, Shape

ONE_STATE = [
    name
    for name in game_names()
    if isinstance(game := catalogue_game(name), pmd.TabularGame) and game.num_states == 1
]


def numbers(table):
    """What is compared: the bits of floats, or rationals one by one."""
    table = np.asarray(table)
    if is_exact(table):
        return table.shape, [str(entry) for entry in table.flat]
    return table.shape, table.dtype, table.tobytes()


def held(game):
    """Everything that a game was given."""
    names = ["initial", "num_actions", "discount", "populations", "exogenous_kernel"]
    if isinstance(game, pmd.TabularGame):
        names += ["rewards", "kernel", "identical_interest", "has_potential"]
        names += ["potential"] if game.has_potential else []
    else:
        names += ["payoffs", "bundles", *(["facility_kernel"] if hasattr(game, "_moved") else [])]
    plain = ("bundles", "num_actions", "populations", "identical_interest", "has_potential")
    parts = {name: getattr(game, name) for name in names}
    if "bundles" in parts:  # sets of facilities: their order means nothing
        parts["bundles"] = [(size, [*map(set, own)]) for size, own in parts["bundles"]]
    return {
        name: part if name in plain or part is None else numbers(part)
        for name, part in parts.items()
    }


def assert_same(game, again, rng):
    assert type(again) is type(game)
    assert held(again) == held(game)
    policy = pmd.random_policy(game.rounded(), rng)
    game, again = game.rounded(), again.rounded()
    assert numbers(pmd.values(again, policy)) == numbers(pmd.values(game, policy))
    assert pmd.nash_gap(again, policy) == pmd.nash_gap(game, policy)
    for ours, theirs in zip(
        pmd.averaged_q(again, policy), pmd.averaged_q(game, policy), strict=True
    ):
        assert numbers(ours) == numbers(theirs)


# Round trips


@pytest.mark.parametrize("name", game_names())
def test_every_named_game_comes_back_from_an_archive_bit_for_bit(name, tmp_path, rng):
    game = catalogue_game(name)
    pmd.save_game(game, tmp_path / "game.npz")
    assert_same(game, pmd.load_game(tmp_path / "game.npz"), rng)


@pytest.mark.parametrize("name", sorted(set(game_names()) - {"distancing"}))
def test_exact_games_come_back_as_the_same_rationals(name, tmp_path, rng):
    game = catalogue_game(name).exact()
    pmd.save_game(game, tmp_path / "game.npz")
    again = pmd.load_game(tmp_path / "game.npz")
    assert is_exact(again.initial)
    assert_same(game, again, rng)


def test_an_archive_of_floats_is_read_as_the_rationals_that_they_are(tmp_path):
    game = catalogue_game("perturbed-team")
    pmd.save_game(game, tmp_path / "game.npz")
    assert held(pmd.load_game(tmp_path / "game.npz", exact=True)) == held(game.exact())


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_random_games_come_back(family, tmp_path, rng):
    game = family(rng, Shape((2, 3, 2), num_states=3, discount=0.875))
    pmd.save_game(game, tmp_path / "game.npz")
    assert_same(game, pmd.load_game(tmp_path / "game.npz"), rng)


def test_bundles_populations_and_kernels_moved_by_loads_come_back(tmp_path, rng):
    moved = np.zeros((2, 1, 4, 2))
    moved[..., 1] = np.arange(4) / 3
    moved[..., 0] = 1 - moved[..., 1]
    for game in (
        affine.triangle(2),
        pmd.CongestionGame(
            rng.random((2, 3, 5)),
            [(3, [(0,), (1, 2)]), (2, [(), (2,), (0, 1)])],
            [[0.5, 0.5], [0.25, 0.75]],
            discount=0.5,
            initial=[1.0, 0.0],
        ),
        pmd.TeamGame(rng.random((2, 1, 4)), [(3, [(), (0,)])], moved, discount=0.75),
        CountGame(rng.random(6)),
    ):
        pmd.save_game(game, tmp_path / "game.npz")
        assert_same(game, pmd.load_game(tmp_path / "game.npz"), rng)


@pytest.mark.parametrize("agents", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_crowd_comes_back_without_a_joint_table(agents, tmp_path):
    game = catalogue_game("two-roads", num_agents=agents)
    pmd.save_game(game, tmp_path / "game.npz")
    assert (tmp_path / "game.npz").stat().st_size < 17 * agents + 4000
    again = pmd.load_game(tmp_path / "game.npz")
    assert type(again) is pmd.CongestionGame
    assert numbers(again.payoffs) == numbers(game.payoffs)
    assert again.num_agents == agents
    uniform = pmd.uniform_policy(game)
    assert pmd.nash_gap(again, uniform) == pmd.nash_gap(game, uniform)


@pytest.mark.parametrize("name", ONE_STATE)
@pytest.mark.parametrize("exact", [False, True])
def test_every_one_state_game_comes_back_from_gambits_format(name, exact, tmp_path):
    game = catalogue_game(name).exact() if exact else catalogue_game(name)
    pmd.save_game(game, tmp_path / "game.nfg")
    again = pmd.load_game(tmp_path / "game.nfg", exact=exact)
    assert numbers(again.rewards) == numbers(game.rewards)
    assert again.identical_interest == game.identical_interest
    if game.identical_interest:
        assert_array_equal(again.potential, game.potential)
    assert again.discount == 0
    uniform = pmd.uniform_policy(game)
    assert pmd.nash_gap(again, uniform) == pmd.nash_gap(game, uniform)


def test_the_same_game_gives_the_same_bytes(tmp_path):
    for suffix in ("npz", "nfg"):
        for number in range(2):
            pmd.save_game(catalogue_game("isolated"), tmp_path / str(number) / f"game.{suffix}")
        first, second = (tmp_path / str(n) / f"game.{suffix}" for n in range(2))
        assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(tmp_path / "0" / "game.npz") as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


@st.composite
def payoff_tables(draw, elements):
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple))
    own = arrays(np.float64, shape, elements=elements)
    return [draw(own) for _ in shape]


@given(payoffs=payoff_tables(st.floats(-1e300, 1e300)), discount=st.sampled_from([0.0, 0.5, 0.99]))
def test_any_floats_survive_both_formats(tmp_path_factory, payoffs, discount):
    folder = tmp_path_factory.getbasetemp()
    game = pmd.stage_game(payoffs, discount=discount)
    pmd.save_game(game, folder / "any.npz")
    assert held(pmd.load_game(folder / "any.npz")) == held(game)
    pmd.save_game(game, folder / "any.nfg")
    for exact in (False, True):  # the digits that are written may be those of another rational
        again = pmd.load_game(folder / "any.nfg", exact=exact, discount=discount)
        assert_array_equal(again.rounded().rewards, game.rewards)
        assert float(to_float(again.discount)) == discount
    text = (folder / "any.nfg").read_text()
    assert not re.search(r"[0-9]e", text.split("\n\n")[1])


@given(payoffs=payoff_tables(st.integers(-(10**6), 10**6)), scale=st.fractions(min_value=0.1))
def test_any_rationals_survive_both_formats(tmp_path_factory, payoffs, scale):
    folder = tmp_path_factory.getbasetemp()
    factor = fmpq(scale.numerator, scale.denominator)
    exact = pmd.stage_game(payoffs).exact()
    game = pmd.stage_game([own[0] * factor for own in exact.rewards])
    for name in ("any.npz", "any.nfg"):
        pmd.save_game(game, folder / name)
        assert_array_equal(pmd.load_game(folder / name, exact=True).rewards, game.rewards)


# Paths


def test_paths_that_lead_nowhere(tmp_path):
    game = catalogue_game("isolated")
    for name in ("game.csv", "game", "game.npz.gz"):
        for call in (pmd.load_game, lambda path: pmd.save_game(game, path)):
            with pytest.raises(PmdError, match=f"{name} must end in .npz or .nfg"):
                call(tmp_path / name)
    for suffix in (".npz", ".nfg"):
        with pytest.raises(PmdError, match="cannot be read: No such file"):
            pmd.load_game(tmp_path / f"absent{suffix}")
        folder = tmp_path / f"folder{suffix}"
        folder.mkdir()
        with pytest.raises(PmdError, match="cannot be read: Is a directory"):
            pmd.load_game(folder)
        with pytest.raises(PmdError, match="cannot be written: Is a directory"):
            pmd.save_game(game, folder)
    pmd.save_game(game, str(tmp_path / "new" / "UPPER.NPZ"))
    assert pmd.load_game(str(tmp_path / "new" / "UPPER.NPZ")).num_agents == 2
    with pytest.raises(PmdError, match=r"a discount is for \.nfg files only"):
        pmd.load_game(tmp_path / "new" / "UPPER.NPZ", discount=0.5)


# Damage

OUTCOMES = b'NFG 1 R "a\\"b" { "" "" } { { "" "x" } { "y" } } "" { { "" 1/3, -2 } { "" 3 4 } } 2 1'


# NumPy warns of headers that Python 2 may have written, Python of odd literals in them.
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("rounds", [300, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", [".npz", ".nfg"])
def test_damaged_files_raise_nothing_but_errors_of_ours(suffix, rounds, tmp_path, rng):
    names = (
        ("isolated", "rider") if suffix == ".nfg" else ("perturbed-team", "commute", "rider-team")
    )
    whole = []
    for name in names:
        pmd.save_game(catalogue_game(name), tmp_path / f"whole{suffix}")
        whole.append((tmp_path / f"whole{suffix}").read_bytes())
    whole += [OUTCOMES] * (suffix == ".nfg")
    path, refused = tmp_path / f"damaged{suffix}", 0
    for _ in range(rounds):
        content = whole[rng.integers(len(whole))]
        inside = suffix == ".npz" and rng.integers(2)
        path.write_bytes((_damage_inside if inside else _damage)(content, rng))
        message = _refusal(path, exact=bool(rng.integers(2)))
        refused += bool(message)
        assert not message or str(path) in message
    assert rounds / 4 < refused < rounds


def _refusal(path, **options):
    """Say why a file is refused; nothing if it is not."""
    try:
        pmd.load_game(path, **options)
    except PmdError as error:
        return str(error)
    return ""


def _damage_inside(content, rng):
    """Damage one array of an archive, and zip it again: the sums of the archive are right."""
    damaged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(damaged, "w") as new:
        chosen = rng.integers(len(old.namelist()))
        for number, name in enumerate(old.namelist()):
            data = old.read(name)
            start = data[: rng.choice([140, len(data)])]  # the header, or all
            rest = data[len(start) :]
            new.writestr(name, _damage(start, rng) + rest if number == chosen else data)
    return damaged.getvalue()


def _damage(content, rng):
    """Change, cut, repeat or exchange a few pieces."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(len(damaged))), int(rng.geometric(0.2))
        piece = bytes(damaged[place : place + length])
        match rng.integers(5):
            case 0:
                damaged[place : place + length] = rng.bytes(length)
            case 1:
                del damaged[place : place + length]
            case 2:
                damaged[place:place] = piece * int(rng.integers(1, 5))
            case 3:
                damaged[place : place + 1] = rng.choice([b'"', b"{", b"}", b"-", b"9", b"\0", b"("])
            case 4:
                other = int(rng.integers(len(damaged)))
                damaged[other : other + length] = piece
        damaged = damaged or bytearray(b"\0")
    return bytes(damaged)


# From arrays


def test_a_bimatrix_game_and_one_of_identical_interest():
    a, b = np.array([[2.0, 0], [3, 1]]), np.array([[2.0, 3], [0, 1]])
    game = pmd.stage_game([a, b], potential=[[0, 1], [1, 2]])
    assert_array_equal(game.rewards[:, 0], [a, b])
    assert game.potential.tolist() == [[[0, 1], [1, 2]]]
    assert (game.num_states, game.discount) == (1, 0)
    assert pmd.nash_gap(game, pmd.deterministic_policy(game, [[1], [1]])) == 0
    shared = pmd.stage_game(a, discount=0.5)
    assert shared.identical_interest
    assert shared.discount == 0.5
    assert is_exact(pmd.stage_game([game.exact().rewards[0][0]] * 2).rewards)


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        ([[1, 2], [3, 4]], r"payoffs\[0\] has shape \(2,\), must have one axis for each of the 2"),
        ([np.eye(2), np.ones((2, 3))], r"payoffs\[1\] has shape \(2, 3\), must have one axis"),
        ([np.eye(2)] * 3, "one axis for each of the 3 agents"),
        ([], "rewards are empty"),
        ("ab", "payoffs are a str, must be a sequence of N arrays"),
        (3.0, "payoffs are a float"),
        ([np.eye(2), [["a", "b"], ["c", "d"]]], r"payoffs\[1\] must hold real numbers"),
        ([np.eye(2), np.full((2, 2), np.inf)], r"rewards\[agent=1, s=0, a=\(0, 0\)\] is inf"),
        (np.zeros((2, 0)), "no empty axis"),
        (np.zeros((1,) * 61), "61 agents are too many for a table"),
        ([np.zeros(1)] * 61, "61 agents are too many for a table"),
    ],
)
def test_payoffs_that_form_no_game(payoffs, message):
    with pytest.raises(InvalidGameError, match=message):
        pmd.stage_game(payoffs)


def test_a_potential_that_was_found_is_stated(rng):
    dilemma = pmd.stage_game([np.array([[2.0, 0], [3, 1]]), np.array([[2.0, 3], [0, 1]])])
    with pytest.raises(NotPotentialError):
        pmd.run_pmd(dilemma, "kl", step="paper")
    test = pmd.is_markov_potential_game(dilemma, rng)
    game = pmd.with_potential(dilemma, test.potential)
    assert game.potential.tolist() == [[[0, 1], [1, 2]]]  # by hand: both earn 1 more by defecting
    assert not is_exact(game.potential)
    assert_array_equal(game.rewards, dilemma.rewards)
    assert pmd.is_markov_potential_game(game, rng).stated
    assert is_exact(pmd.with_potential(dilemma.exact(), test.potential).potential)
    assert pmd.run_pmd(game, "kl", step="paper", iterations=50).potential[-1] > 1.5
    pennies = pmd.stage_game([np.eye(2), -np.eye(2)])
    none = pmd.is_markov_potential_game(pennies, rng).potential
    with pytest.raises(NotPotentialError, match="was found to have none"):
        pmd.with_potential(pennies, none)
    assert pmd.with_potential(catalogue_game("isolated"), np.zeros((1, 2, 2))).identical_interest


# Names


def test_named_games():
    assert set(game_names()) >= {"isolated", "commute", "towards-pennies", "half-face-team"}
    assert type(catalogue_game("two_roads", num_agents=3)) is pmd.CongestionGame
    assert catalogue_game("two-roads", num_agents=3).num_agents == 3
    with pytest.raises(PmdError, match="no game 'isolatd'; did you mean isolated"):
        catalogue_game("isolatd")
    with pytest.raises(PmdError, match="no game 'zzz'; there are stay-or-leave, "):
        catalogue_game("zzz")
    with pytest.raises(PmdError, match=r"'isolated' cannot be made: .* unexpected keyword"):
        catalogue_game("isolated", epsilon=1)
