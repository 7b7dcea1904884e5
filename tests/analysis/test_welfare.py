"""Social welfare, optima and prices: by hand, by loops, and three routes against each other."""

import itertools

import brute_force
import numpy as np
import pytest
from flint import fmpq

import pmdlib as pmd
from pmdlib.analysis.welfare import (
    inefficiency,
    social_optimum,
    social_welfare,
    stage_welfare,
    welfare_ratio,
)
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.affine import pigou, random_affine, tabular, triangle
from pmdlib.games.families import Shape, identical_interest, random_game


def test_the_triangle_attains_five_halves():
    found = inefficiency(triangle().exact())
    assert found.anarchy == fmpq(5, 2)
    assert found.stability == 1
    assert sorted(map(int, found.welfare)) == [-15, -6]
    assert sorted(map(list, found.equilibria.tolist())) == [[0, 0, 0], [1, 1, 1]]
    assert inefficiency(triangle(2)).anarchy == pytest.approx(27 / 6)


def test_two_roads_lose_a_third():
    found = inefficiency(pigou(2.01))
    assert found.equilibria.tolist() == [[0, 0]]
    assert found.anarchy == found.stability == pytest.approx(4 / 3.01)


def test_identical_interest_is_stable_and_may_be_anarchic():
    found = inefficiency(catalogue.one_state([[1.0, 0.0], [0.0, 0.125]]))
    assert (found.stability, found.anarchy) == (1, 8)
    nothing = inefficiency(catalogue.one_state([[1.0, 0.0], [0.0, 0.0]]))
    assert nothing.anarchy == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_welfare_is_the_sum_of_values_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    game = random_game(rng, None, Shape((2, 3), 2, 0.5))
    policy = pmd.random_policy(game, rng)
    expected = brute_force.values(game, policy).sum(axis=0) @ game.initial
    assert social_welfare(game, policy) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_the_best_of_all_deterministic_policies(seed):
    """Also where actions move the state: a loop over joint actions in each of two states."""
    rng = np.random.default_rng(seed)
    family = ("identical-interest", "shaped", "dummy", "congestion")[seed]
    game = random_game(rng, family, Shape((2, 2), 2, 0.5))
    best = social_welfare(game, social_optimum(game))
    everything = [
        social_welfare(game, pmd.deterministic_policy(game, [row[:2], row[2:]]))
        for row in itertools.product(range(2), repeat=4)
    ]
    assert best == pytest.approx(max(everything))


@pytest.mark.parametrize("seed", range(5))
def test_optimum_by_loads_is_the_one_by_enumeration(seed):
    rng = np.random.default_rng(seed)
    game = random_affine(rng, agents=4, facilities=3, states=2, discount=0.5, bundles=False)
    by_loads = social_welfare(game, social_optimum(game))
    dense = tabular(game)
    assert by_loads == pytest.approx(social_welfare(dense, social_optimum(dense)))
    np.testing.assert_allclose(stage_welfare(game), stage_welfare(dense))
    exact = game.exact()
    assert float(social_welfare(exact, social_optimum(exact))) == pytest.approx(by_loads)


def test_optimum_of_hundreds_of_agents_splits_as_marginal_costs_say():
    """Costs n and 2 n: 2 n_1 - 1 = 4 n_2 - 2 up to one agent, 200 and 100 of 300."""
    game = pmd.CongestionGame(-np.outer([1.0, 2.0], np.arange(1, 301))[None], 300)
    assert social_welfare(game, social_optimum(game)) == -(200**2 + 2 * 100**2)


def test_teams_by_counts_are_the_dense_ones():
    team, dense = catalogue.half_face_team(4, 2), catalogue.half_face(4, 2)
    np.testing.assert_allclose(stage_welfare(team), 4 * dense.potential, atol=1e-15)
    assert social_welfare(team, social_optimum(team)) == pytest.approx(4)
    crowd = catalogue.one_or_two(3)
    assert stage_welfare(crowd).max() == 3


def test_ratios_of_costs_and_of_welfares_are_at_least_one():
    game = pigou(2.01)
    poor = pmd.deterministic_policy(game, [[0], [0]])
    assert welfare_ratio(game, poor, social_optimum(game)) == pytest.approx(4 / 3.01)
    rich = catalogue.isolated()
    poor = pmd.deterministic_policy(rich, [[1], [1]])
    assert welfare_ratio(rich, poor, social_optimum(rich)) == pytest.approx(1 / 0.6)


def test_what_is_out_of_reach_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(PmdError, match="needs a game of one state, this one has 2"):
        inefficiency(identical_interest(rng, Shape((2, 2), 2, 0.5)))
    with pytest.raises(PmdError, match="more than 262144 joint actions"):
        stage_welfare(catalogue.two_roads(30))
    cyclic = [np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[0.0, 1.0], [1.0, 0.0]]])]
    with pytest.raises(PmdError, match="no pure equilibrium"):
        inefficiency(pmd.TabularGame(cyclic, np.eye(1), discount=0.0))
