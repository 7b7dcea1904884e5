"""The games of the notebook on broken assumptions: what their docstrings say of them."""

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

import pmdlib as pmd
from pmdlib.errors import InvalidGameError
from pmdlib.games import broken, catalogue


def rewards(game):
    return [np.asarray(own[0]) for own in game.rewards]


def test_pennies_by_hand():
    first, second = rewards(broken.towards_pennies(0.25))
    assert_allclose(first, [[1, 0], [0, 1]])
    assert_allclose(second, [[0.75, 0.25], [0.25, 0.75]])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_the_advantages_of_agent_2_are_in_proportion_to_the_common_payoff(share, rng):
    game, team = broken.towards_pennies(share), broken.towards_pennies(0.0)
    policy = pmd.random_policy(game, rng)
    own, common = (pmd.advantages(g, policy)[1] for g in (game, team))
    assert_allclose(own, (1 - 2 * share) * common, atol=1e-14)


@pytest.mark.parametrize("make", [broken.towards_pennies, broken.towards_rock_paper_scissors])
def test_the_distance_from_potential_games_is_the_share(make, rng):
    assert pmd.is_markov_potential_game(make(0.0), rng).verdict
    for share in (0.25, 0.625, 1.0):
        assert not pmd.is_markov_potential_game(make(share), rng).verdict
        distance = pmd.potential_distance(make(share), rng)
        assert float(distance.lower) == pytest.approx(share, abs=1e-12)
        assert distance.upper == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(("share", "strict"), [(0.66, True), (0.67, False)])
def test_agreements_in_rock_paper_scissors_are_equilibria_below_two_thirds(share, strict):
    game = broken.towards_rock_paper_scissors(share)
    for action in range(3):
        agree = pmd.deterministic_policy(game, [[action], [action]])
        assert (pmd.nash_gap(game, agree) == 0) is strict
    first, second = rewards(broken.towards_rock_paper_scissors(1.0))
    assert_allclose(first + second, 1)
    assert first[1, 0] == first[2, 1] == first[0, 2] == 1  # paper beats rock, and so on


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_of_0_to_1_is_named(share):
    with pytest.raises(InvalidGameError, match=r"share is -?[\d.]+, must be in \[0, 1\]"):
        broken.towards_pennies(share)


def test_small_games_by_hand():
    equal = broken.uneven_sides(0.0), catalogue.anti_coordination()
    assert_allclose(*(catalogue.payoff(game) for game in equal))
    table = catalogue.payoff(broken.all_but_one_pair())
    ones = {tuple(map(int, place)) for place in np.argwhere(table == 1)}
    assert ones == {(0, 0, 0), (0, 1, 1), (1, 0, 1)}
    assert table.sum() == 3
    assert pmd.find_fixed_points(broken.copied_row()).holds is False


def test_without_the_better_row_a_quarter_is_missed():
    game = broken.better_row().exact()
    left = pmd.deterministic_policy(game, [[1], [1]])
    assert pmd.nash_gap(game, left) == fmpq(1, 4)
    best = pmd.deterministic_policy(game, [[0], [1]])
    assert pmd.nash_gap(game, best) == 0
    first, second = broken.better_row_start(0.25)
    assert_allclose(first, [[0.25, 0.75]])
    assert_allclose(second, [[0.5, 0.5]])


def test_pairs_of_mixtures():
    first, second = broken.pair_of_mixtures(np.array([0.2, 0.7]))
    assert first.shape == (2, 1, 2)
    assert_allclose(first[:, 0], [[0.8, 0.2], [0.3, 0.7]])
    assert_allclose(second, first)
    assert_allclose(broken.pair_of_mixtures(0.2, 0.4)[1], [[0.6, 0.4]])
