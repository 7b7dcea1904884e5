"""Affine congestion games: costs by hand, and the dense form as a second route."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.errors import InvalidGameError
from pmdlib.games.affine import affine_congestion, joint_loads, random_affine, tabular, triangle


def test_costs_are_affine_in_the_load():
    game = affine_congestion([1.0, 0.0], [0.5, 3.0], 2)
    both = pmd.deterministic_policy(game, [[0], [0]])
    assert pmd.values(game, both)[:, 0].tolist() == [-2.5, -2.5]
    apart = pmd.deterministic_policy(game, [[0], [1]])
    assert pmd.values(game, apart)[:, 0].tolist() == [-1.5, -3]


@pytest.mark.parametrize("bundles", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_dense_form_is_the_same_game(seed, bundles):
    rng = np.random.default_rng(seed)
    game = random_affine(
        rng, agents=3, facilities=4, actions=3, states=2, discount=0.5, bundles=bundles
    )
    dense = tabular(game)
    policy = pmd.random_policy(game, rng)
    for one, other in zip(
        pmd.averaged_q(game, policy), pmd.averaged_q(dense, tuple(policy)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-10)
    np.testing.assert_allclose(
        pmd.potential_values(game, policy) - pmd.potential_values(dense, tuple(policy)),
        np.ptp([game.potential_shift, dense.potential_shift])
        / (1 - game.discount)
        * np.sign(game.potential_shift - dense.potential_shift),
        atol=1e-10,
    )
    assert pmd.is_markov_potential_game(dense, rng).verdict


def test_the_dense_form_of_an_exact_game_is_exact():
    dense = tabular(triangle().exact())
    assert dense.rewards[0, 0, 1, 1, 1] == -5
    assert dense.potential[0, 0, 0, 0] == -6


def test_joint_loads_of_the_triangle():
    loads = joint_loads(triangle())
    assert loads[0, 0, 0].tolist() == [1] * 6
    assert loads[1, 1, 1].tolist() == [2, 2, 2, 1, 1, 1]


def test_with_something_extra_everybody_loses_that_by_leaving():
    game = triangle(extra=0.25)
    bad = pmd.deterministic_policy(game, [[1]] * 3)
    assert pmd.nash_gap(game, bad) == 0
    q = pmd.averaged_q(game, bad)[0][0]
    assert q[1] - q[0] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("slopes", "constants", "message"),
    [
        ([1.0, -1.0], [0.0, 0.0], r"slopes\[0, 1\] is -1.0, must be >= 0"),
        ([1.0, 1.0], [0.0, -2.0], r"constants\[0, 1\] is -2.0, must be >= 0"),
        ([1.0], [0.0, 0.0], "must be the same"),
    ],
)
def test_bad_coefficients_are_named(slopes, constants, message):
    with pytest.raises(InvalidGameError, match=message):
        affine_congestion(slopes, constants, 2)
