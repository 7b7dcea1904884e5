"""Gambit's files, as Gambit, OpenSpiel and people write them; what is wrong has a line."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
import quantecon.game_theory as qe
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import pmdlib as pmd
from pmdlib.arithmetic import Ball, to_float
from pmdlib.errors import InvalidGameError
from pmdlib.games.exchange import catalogue_game
from pmdlib.games.exchange.number_text import read_float, read_rational, write_number

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
        (HEAD + "1 2 3 4 5 6 7 " + "9" * 400 + "/2", "9...' is too large for a float"),
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
    assert read_float(repr(value)) == float(to_float(read_rational(repr(value))))
