"""Games go out and come back; what others wrote is read as they meant it; bad files are named."""

import io
import itertools
import pickle
import re
import zipfile
from fractions import Fraction

import numpy as np
import pytest
import quantecon.game_theory as qe
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

import pmdlib as pmd
from pmdlib.arithmetic import Ball, is_exact, to_float
from pmdlib.errors import InvalidGameError, NotPotentialError, PmdError
from pmdlib.games import affine
from pmdlib.games.aggregative import CountGame
from pmdlib.games.exchange import catalogue_game, game_names
from pmdlib.games.exchange.number_text import read_float, read_rational, write_number
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
    assert again.rewards.dtype == game.rewards.dtype
    assert_array_equal(again.rewards, game.rewards)
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


# Numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("-2", Fraction(-2)),
        ("+3", Fraction(3)),
        ("1/3", Fraction(1, 3)),
        ("-10/4", Fraction(-5, 2)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("-.25", Fraction(-1, 4)),
        ("5.", Fraction(5)),
        ("1e3", Fraction(1000)),
        ("1.25E-2", Fraction(1, 80)),
        ("007", Fraction(7)),
        ("1" * 5000 + "/" + "3" * 5000, Fraction(1, 3)),
    ],
)
def test_a_text_is_read_as_the_rational_that_it_says(text, value):
    assert read_rational(text) == fmpq(value.numerator, value.denominator)
    assert read_float(text) == float(value)


@pytest.mark.parametrize(
    "text",
    [
        "empty",
        "-",
        ".",
        "/",
        "1/",
        "/2",
        "1/0",
        "1/00",
        "1/-2",
        "e5",
        "1e",
        "1e+",
        "1e1000",
        "1.5/2",
        "inf",
        "nan",
        "0x1",
        "1_000",
        "１",
        "--1",
        "1,5",
    ],
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(InvalidGameError, match="is no number"):
        read_rational(text.replace("empty", ""))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_so_that_it_is_read_back(value):
    text = write_number(value)
    assert "e" not in text
    assert read_float(text) == value
    assert read_float(repr(value)) == value


# Gambit's format, as others write it


RPS = """NFG 1 R "OpenSpiel export of matrix_rps()"
{ "Player 0" "Player 1" } { 3 3 }

0 0
1 -1
-1 1
-1 1
0 0
1 -1
1 -1
-1 1
0 0
"""

#: McKelvey and McLennan's game of three players, in the outcome body; profiles in Gambit's order.
OUTCOMES = """NFG 1 R "three \\"players\\", \\\\ and {braces}"
{ "A" "B" "C" }
{ { "1" "2" }
  { "left" "right" }
  { "" "" } }
"a comment, 1 2 3"
{ { "all first" 9, 8, 12 }
  { "third is alone" 9 8 2 }
  { "others" 3,4,6 } }
1 0 0 2 0 3 3 0
"""


def read(tmp_path, text, **options):
    path = tmp_path / "given.nfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return pmd.load_game(path, **options)


def test_payoffs_are_read_with_the_first_player_fastest(tmp_path):
    row, column = read(tmp_path, RPS).rewards[:, 0]
    beats = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # paper, action 1, beats rock, 0
    assert_array_equal(row, beats)
    assert_array_equal(column, -beats)


def test_three_players_of_different_sizes_in_the_order_of_the_format(tmp_path):
    counts = (2, 3, 4)
    text = 'NFG 1 D "" { "" "" "" } { 2 3 4 } ""\n'
    for third, second, first in itertools.product(*map(range, counts[::-1])):
        code = 100 * first + 10 * second + third
        text += f"{code} {code + 0.5} {-code}/3\n"
    rewards = read(tmp_path, text, exact=True).rewards[:, 0]
    for profile in itertools.product(*map(range, counts)):
        code = 100 * profile[0] + 10 * profile[1] + profile[2]
        paid = [own[profile] for own in rewards]
        assert paid == [fmpq(code), fmpq(2 * code + 1, 2), fmpq(-code, 3)]


def test_outcomes_names_quotes_and_comments(tmp_path):
    rewards = read(tmp_path, OUTCOMES).rewards[:, 0]
    table = np.zeros((3, 2, 2, 2))
    table[:, 0, 0, 0] = 9, 8, 12
    table[:, 1, 1, 0] = 9, 8, 2
    table[:, 1, 0, 1] = table[:, 0, 1, 1] = 3, 4, 6
    assert_array_equal(rewards, table)


def test_white_space_byte_order_mark_and_other_encodings_do_not_matter(tmp_path):
    squeezed = 'NFG 1 R"t"{"é""b"}{{"x""y"}{"u""v"}}"c"1 2,3 4 5 6 7 8'
    game = read(tmp_path, squeezed.encode("latin-1"))
    assert_array_equal(game.rewards[:, 0], [[[1, 5], [3, 7]], [[2, 6], [4, 8]]])
    spread = b"\xef\xbb\xbf" + RPS.replace(" ", "\r\n\t").replace("1\r\n\tR", "1 R").encode()
    assert_array_equal(read(tmp_path, spread).rewards, read(tmp_path, RPS).rewards)


def test_rationals_and_decimals_are_exact_or_the_nearest_floats(tmp_path):
    text = 'NFG 1 R "" { "a" "b" } { 1 2 } 1/3 0.1 2e-1 -7/2'
    exact = read(tmp_path, text, exact=True)
    assert exact.rewards[:, 0, 0].tolist() == [
        [fmpq(1, 3), fmpq(1, 5)],
        [fmpq(1, 10), fmpq(-7, 2)],
    ]
    assert read(tmp_path, text).rewards[:, 0, 0].tolist() == [[1 / 3, 0.2], [0.1, -3.5]]
    assert read(tmp_path, text, discount=0.5).discount == 0.5


def test_equal_payoffs_are_identical_interest_and_others_are_not(tmp_path):
    alike = read(tmp_path, 'NFG 1 R "" { "a" "b" } { 1 2 } 1 1 2 2')
    assert alike.identical_interest
    assert alike.potential.tolist() == [[[1, 2]]]
    assert not read(tmp_path, 'NFG 1 R "" { "a" "b" } { 1 2 } 1 1 2 3').has_potential


def test_the_order_is_that_of_quantecons_gam_files(tmp_path, rng):
    payoffs = [rng.integers(-9, 9, size=(2, 3, 4)).astype(float) for _ in range(3)]
    game = pmd.stage_game(payoffs)
    players = [
        qe.Player(np.moveaxis(own, range(3), range(-i, 3 - i))) for i, own in enumerate(payoffs)
    ]
    peer = qe.NormalFormGame(players)
    for profile in itertools.product(range(2), range(3), range(4)):  # it means the same game
        assert peer[profile].tolist() == [own[profile] for own in payoffs]
    number, *counts = (written := qe.to_gam(peer).split())[:4]
    assert (number, counts) == ("3", ["2", "3", "4"])
    theirs = np.array(written[4:], dtype=float).reshape(3, -1)  # player by player
    pmd.save_game(game, tmp_path / "game.nfg")
    body = (tmp_path / "game.nfg").read_text().split("\n\n")[1]
    assert_array_equal(np.array(body.split(), dtype=float).reshape(-1, 3).T, theirs)
    outcomes = " ".join(f'{{ "" {" ".join(map(str, paid))} }}' for paid in theirs.T)
    listed = " ".join(map(str, range(1, 25)))
    again = read(tmp_path, f'NFG 1 R "" {{ "" "" "" }} {{ 2 3 4 }} {{ {outcomes} }} {listed}')
    assert_array_equal(again.rewards[:, 0], payoffs)


HEAD = 'NFG 1 R "t" { "a" "b" } { 2 2 }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 'NFG' at the start of the file, found the end of the file"),
        ("EFG 2 R", "line 1: expected 'NFG' at the start of the file, found EFG"),
        ("NFG 2 R", "line 1: expected version 1, found 2"),
        ("NFG 1 X", "line 1: expected 'R' or 'D', found X"),
        ("NFG 1 R { ", "line 1: expected a quoted title, found {"),
        ('NFG\n1\nR\n"t\n', "line 4: the quoted text that begins here is not closed"),
        ('NFG 1 R "t" { 2', "expected the quoted name of a player, or '}', found 2"),
        ('NFG 1 R "t" { } { }', "expected at least one player, found }"),
        ('NFG 1 R "t" { "a" } 2', "expected '{' before the strategies, found 2"),
        ('NFG 1 R "t" { "a" "b" }\n{ 2 }', "line 2: expected the strategies of player 2 of 2"),
        ('NFG 1 R "t" { "a" } { 0 } ', "their number >= 1 or '{', found 0"),
        ('NFG 1 R "t" { "a" } { 1.5 } ', "their number >= 1 or '{', found 1.5"),
        ('NFG 1 R "t" { "a" } { 2 2 } ', "expected '}' after the strategies of 1 players, found 2"),
        ('NFG 1 R "t" { "a" } { { } }', "at least one strategy of player 1 of 1, found }"),
        ('NFG 1 R "t" { "a" } { { 3 } }', "quoted name of a strategy of player 1 of 1, or '}'"),
        (
            HEAD + "1 2 3 4 5 6\n7",
            "line 3: expected 8 payoffs, for 2 players at 4 profiles, found 7",
        ),
        (HEAD + "1 2 3 4 5 6 7 8\n9 10", "line 3: expected 8 payoffs"),
        (HEAD + "1 2 3 4\n5 six 7 8", "line 3: 'six' is no number"),
        (HEAD + "1 2 3 4 5 6 7 nan", "line 2: 'nan' is no number"),
        (HEAD + "1 2 3 4 5 6 7 1e999", "line 2: '1e999' is too large for a float"),
        (HEAD + "1 2 3 4 5 6 7 1e308", "rewards reach 1e\\+308"),
        (HEAD + '"c" "d" 1 2 3 4 5 6 7 8', "is no number"),
        (HEAD + "{ { 1 2 } } 1 1 1 1", "expected the quoted name of an outcome, found 1"),
        (HEAD + '{ { "" 1 } } 1 1 1 1', "expected the payoff of player 2, found }"),
        (HEAD + '{ { "" 1 2 3 } } 1 1 1 1', "expected '}' after the payoffs of 2 players, found 3"),
        (HEAD + '{ { "" 1 x } } 1 1 1 1', "line 2: 'x' is no number"),
        (HEAD + '{ { "" 1 2 }\n1 1 1 1', "line 3: expected '{' of another outcome, or '}'"),
        (HEAD + '{ { "" 1 2 } }\n1 2 1 1', "line 3: '2' is no outcome, must be 0 or the number of"),
        (HEAD + '{ { "" 1 2 } }\n1 1 1', "expected 4 numbers of outcomes"),
        ('NFG 1 R "t" { "a" "b" } { 999999999 999999999 } 1 2', "expected 1999999996000000002 pay"),
        ('NFG 1 R "t" { "a" } { 9999999999 } 1 2', "found 9999999999"),
        ('NFG 1 R "t" {' + 61 * '""' + "}", "61 agents are too many for a table"),
    ],
)
def test_what_is_wrong_in_a_gambit_file_is_said_with_its_line(text, message, tmp_path):
    with pytest.raises(InvalidGameError, match=f"given.nfg: .*{_literal(message)}"):
        read(tmp_path, text)


def _literal(message):
    return message if "\\" in message else re.escape(message)


def test_numbers_too_large_for_a_float_are_fine_as_rationals(tmp_path):
    game = read(tmp_path, HEAD + "1 2 3 4 5 6 7 1e999", exact=True)
    assert game.rewards[1, 0, 1, 1] == fmpq(10) ** 999


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (catalogue_game("rare-visit"), "has 4 states, but .nfg holds games of one state"),
        (catalogue_game("two-roads"), "a CongestionGame has no table of joint actions"),
        (pmd.stage_game(np.array([Ball(fmpq(1, 3))])), "is no rational"),
    ],
)
def test_what_gambits_format_cannot_hold_is_refused_and_nothing_written(game, message, tmp_path):
    with pytest.raises(InvalidGameError, match=message):
        pmd.save_game(game, tmp_path / "game.nfg")
    assert not any(tmp_path.iterdir())


# Archives


def archive(tmp_path, **tables):
    path = tmp_path / "mine.npz"
    np.savez(path, **tables)
    return path


def test_an_archive_that_people_write(tmp_path):
    r, q, p = np.zeros((2, 2, 3)), np.ones((2, 2, 3), dtype=int), np.full((2, 2, 3, 2), 0.5)
    game = pmd.load_game(
        archive(tmp_path, rewards_0=r, rewards_1=q, kernel=p, discount=0.9, potential=r)
    )
    assert (game.num_states, game.num_actions, game.discount) == (2, (2, 3), 0.9)
    assert_array_equal(game.rewards, [r, q])
    assert game.initial.tolist() == [0.5, 0.5]
    assert game.has_potential
    np.savez_compressed(tmp_path / "small.npz", rewards=q[:1])  # one state: no more is needed
    shared = pmd.load_game(tmp_path / "small.npz")
    assert shared.identical_interest
    assert (shared.num_states, shared.discount) == (1, 0)
    roads = pmd.load_game(
        archive(tmp_path, kind="congestion", payoffs=np.ones((1, 3, 5)), agents=5)
    )
    assert roads.num_actions == (3,) * 5


def test_text_makes_an_exact_game(tmp_path):
    thirds = np.array([["1/3", "2/3"], ["0.5", "1/2"]])
    game = pmd.load_game(
        archive(tmp_path, rewards=np.eye(2), kernel=thirds, discount=np.array("9/10"))
    )
    assert game.discount == fmpq(9, 10)
    assert game.kernel[0].tolist() == [fmpq(1, 3), fmpq(2, 3)]
    assert is_exact(game.rewards)


TWO = {"rewards": np.zeros((2, 2)), "kernel": np.eye(2), "discount": 0.5}
ROADS = {"kind": "congestion", "payoffs": np.ones((1, 2, 4)), "agents": 4}
CROWDS = ROADS | {"agents": [3, 1], "actions": [1, 2], "uses": np.eye(3, 2)}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "there are neither rewards, for all agents, nor rewards_0"),
        (
            {"reward": np.zeros((1, 2))},
            "there is no key 'reward' of such a game; did you mean rewards",
        ),
        (TWO | {"x": 1}, "no key 'x' of such a game; there may be rewards, rewards_0, kernel"),
        (TWO | {"rewards_0": np.zeros((2, 2))}, "both rewards, for all agents, and rewards_0"),
        (
            {"rewards_1": np.zeros((1, 2, 2)), "rewards_0": np.zeros((1, 2, 3))},
            "rewards[agent=1] has",
        ),
        (
            {"rewards_0": np.zeros((1, 2, 2)), "rewards_2": np.zeros((1, 2, 2))},
            "key rewards_1 is missing",
        ),
        ({"rewards_0": np.zeros((1, 2, 2))}, "rewards hold 1 tensors"),
        ({"rewards": np.zeros(3)}, "the key kernel is missing: it may only be left out"),
        ({"rewards": np.zeros(())}, "the key kernel is missing"),
        ({"rewards": np.zeros((1,))}, "rewards have shape (1,)"),
        ({"rewards": np.zeros((0, 2))}, "the key kernel is missing"),
        ({"rewards": np.zeros((1,) * 62)}, "61 agents are too many"),
        ({key: TWO[key] for key in ("rewards", "kernel")}, "the key discount is missing"),
        (TWO | {"kernel": np.ones((2, 2))}, "kernel[s=0] sums to 2.0"),
        (TWO | {"rewards": np.array([[0, np.nan], [0, 0]])}, "rewards[s=0, a=(1,)] is nan"),
        (TWO | {"discount": 1.0}, "discount is 1.0, must be a number in [0, 1)"),
        (TWO | {"discount": np.nan}, "discount is nan"),
        (TWO | {"discount": [0.5, 0.5]}, "discount is"),
        (TWO | {"potential": np.zeros(2)}, "potential has shape (2,)"),
        (TWO | {"initial": [1, 1]}, "initial sums to 2"),
        (TWO | {"rewards": np.zeros((2, 2)) * 1j}, "rewards holds complex128, must hold numbers"),
        (TWO | {"rewards": np.array([["a", "b"]])}, "rewards[0, 0]: 'a' is no number"),
        (TWO | {"discount": "half"}, "discount: 'half' is no number"),
        (TWO | {"rewards": np.array([b"1", b"2"])}, "rewards holds |S1"),
        (
            TWO | {"kind": "poker"},
            "kind is 'poker', must be one of tabular, congestion, team, count",
        ),
        (TWO | {"kind": [1, 2]}, "kind is"),
        ({"kind": "count"}, "the key payoffs is missing"),
        ({"kind": "count", "payoffs": [1.0]}, "payoffs have shape (1,), must be (N + 1,)"),
        ({"kind": "team", "payoffs": np.ones((1, 2, 4)), "agents": 4}, "agents are 4 in all, but"),
        (ROADS | {"payoffs": np.ones((2, 4))}, "payoffs have shape (2, 4), must be (S, F, loads)"),
        (ROADS | {"payoffs": 1}, "payoffs have shape ()"),
        (ROADS | {"agents": 10**15}, "agents are 1000000000000000 in all, but payoffs are for 4"),
        (ROADS | {"agents": [2**62] * 4}, "agents are 18446744073709551616 in all"),
        (ROADS | {"agents": 4.0}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": [4, 0]}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": "4"}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": [2, 2]}, "the key actions is missing"),
        (ROADS | {"payoffs": np.ones((2, 2, 4))}, "the key discount is missing"),
        (CROWDS | {"uses": np.eye(2)}, "uses have shape (2, 2), must be (all actions, F) = (3, 2)"),
        (CROWDS | {"uses": 2 * np.eye(3, 2)}, "uses must be 1 where an action uses a facility"),
        (CROWDS | {"actions": [3]}, "actions are for 1 populations, must be for the 2 of agents"),
        (CROWDS | {"potential": np.ones(3)}, "no key 'potential' of such a game"),
    ],
)
def test_what_is_wrong_in_an_archive_is_said_with_its_key(tables, message, tmp_path):
    with pytest.raises(InvalidGameError, match=f"mine.npz: .*{re.escape(message)}"):
        pmd.load_game(archive(tmp_path, **tables))


class Trap:
    """An object that says so when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_no_pickle_is_ever_loaded(tmp_path):
    path = archive(tmp_path, rewards=np.array([Trap()], dtype=object))
    with pytest.raises(InvalidGameError, match=r"rewards.npy holds Python objects \(a pickle\)"):
        pmd.load_game(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InvalidGameError, match=r"this is no \.npz archive"):
        pmd.load_game(path)
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("rewards.npy", pickle.dumps(Trap()))
    with pytest.raises(InvalidGameError, match=r"rewards.npy cannot be read"):
        pmd.load_game(path)
    assert not Trap.sprung


@pytest.mark.parametrize("shape", [(10**9,), (10**9, 10**9), (2**62, 4), (3,), (-1,), (-2, -1)])
def test_an_archive_that_claims_more_than_it_holds_is_refused_before_it_is_read(shape, tmp_path):
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("rewards.npy", content.getvalue() + bytes(16))
    with pytest.raises(InvalidGameError, match=r"rewards.npy claims shape .* but holds 16"):
        pmd.load_game(path)


class OtherGame(pmd.TabularGame):
    """A class that an archive has no name for."""


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (pmd.stage_game(np.array([Ball(fmpq(1, 3))])), "rewards: .* is no rational"),
        (OtherGame(np.zeros((1, 2)), np.eye(1), discount=0), "a OtherGame cannot be written"),
        ("isolated", "a str cannot be written, must be one of TabularGame, CongestionGame"),
    ],
)
def test_what_an_archive_cannot_hold_is_refused(game, message, tmp_path):
    with pytest.raises(InvalidGameError, match=message):
        pmd.save_game(game, tmp_path / "game.npz")
    assert not any(tmp_path.iterdir())


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


# NumPy warns of headers that Python 2 may have written, Python of odd literals in them.
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("rounds", [300, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", [".npz", ".nfg"])
def test_damaged_files_raise_nothing_but_errors_of_ours(suffix, rounds, tmp_path, rng):
    names = (
        ("isolated", "rider") if suffix == ".nfg" else ("perturbed-team", "commute", "rider-team")
    )
    whole = []
    for name in names:
        pmd.save_game(catalogue_game(name), tmp_path / f"whole{suffix}")
        whole.append((tmp_path / f"whole{suffix}").read_bytes())
    whole += [OUTCOMES.encode()] * (suffix == ".nfg")
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
