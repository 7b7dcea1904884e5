"""Random Markov potential games are what they say they are."""

import math

import brute_force
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.potential import is_markov_potential_game
from pmdlib.errors import InvalidGameError
from pmdlib.games.families import FAMILIES, Shape, random_game, random_shape

SHAPES = [
    Shape((3, 2), 3, 0.9),
    Shape((2, 4, 3), 2, 0.5, kernel_concentration=0.02),
    Shape((2, 3, 2, 2), 3, 0.99, zero_one=True, point_start=True),
    Shape((3,), 4, 0.9),
    Shape((2, 1, 3, 2, 2, 2), 2, 0.0),
    Shape((2, 2, 2, 2, 2, 2), 3, 0.9, zero_one=True),
]


def test_there_are_four_families():
    assert set(FAMILIES) == {"identical-interest", "congestion", "shaped", "dummy"}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_definition_at_random_state_dependent_deviations(family, shape):
    """V_i(π_i', π_-i) - V_i(π) = Φ(π_i', π_-i) - Φ(π), in every state, by roll-outs."""
    rng = np.random.default_rng(3)
    game = random_game(rng, family, shape)
    assert game.num_actions == shape.num_actions
    assert game.num_states == shape.num_states
    assert game.discount == shape.discount
    policy = brute_force.near_vertex_policy(game, rng)
    other = brute_force.near_vertex_policy(game, rng)
    value, potential = brute_force.values(game, policy), brute_force.potential_values(game, policy)
    scale = game.reward_bound / (1 - game.discount)
    moved = 0.0
    for agent in range(game.num_agents):
        deviation = (*policy[:agent], other[agent], *policy[agent + 1 :])
        gain = brute_force.values(game, deviation)[agent] - value[agent]
        lift = brute_force.potential_values(game, deviation) - potential
        assert_allclose(gain, lift, atol=1e-12 * scale)
        moved = max(moved, abs(gain).max())
    assert moved > 1e-6  # the deviations meant something


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_exact_test_agrees(family):
    for seed, shape in enumerate(SHAPES[:2]):
        rng = np.random.default_rng(seed)
        result = is_markov_potential_game(random_game(rng, family, shape), rng, cycles=2)
        assert result.verdict
        assert result.residual < 1e-12


def test_identical_interest_without_shaping_is_exact(rng):
    result = is_markov_potential_game(random_game(rng, "identical-interest", SHAPES[0]), rng)
    assert result.exact
    assert result.residual == 0.0


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rewards_of_a_family_differ_from_its_potential_as_announced(family, rng):
    shape = Shape((2, 3, 2), 3, 0.8)
    game = random_game(rng, family, shape)
    assert game.exogenous == (family in {"congestion", "dummy"})
    assert game.identical_interest == (family == "identical-interest")
    difference = game.rewards - game.potential
    if family == "identical-interest":
        assert_array_equal(difference, 0)
    if family == "dummy":  # u_i does not see a_i
        for agent in range(3):
            assert_allclose(np.ptp(difference[agent], axis=1 + agent), 0, atol=1e-12)
            assert np.ptp(difference[agent]) > 0.1
    if family == "congestion":  # one stage deviation: own gain = potential gain
        for agent in range(3):
            own, shared = np.diff(game.rewards[agent], axis=1 + agent), game.potential
            assert_allclose(own, np.diff(shared, axis=1 + agent), atol=1e-12)
    if family == "shaped":  # h_i(s) - γ E h_i(s'), so V_i = Φ + h_i for one h_i(s)
        gaps = []
        for _ in range(2):
            policy = brute_force.near_vertex_policy(game, rng)
            gaps.append(
                brute_force.values(game, policy) - brute_force.potential_values(game, policy)
            )
        assert_allclose(gaps[0], gaps[1], atol=1e-10)
        assert np.ptp(gaps[0]) > 0.1


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_potentials_lie_in_the_unit_interval_and_are_not_all_zero(family):
    rng = np.random.default_rng(11)
    for _ in range(60):
        shape = random_shape(rng, max_joint_actions=60)
        game = random_game(rng, family, shape)
        assert game.potential.min() >= 0
        assert 0 < game.phi_max <= 1 + 1e-12
        if shape.zero_one and family != "congestion":
            assert set(np.unique(game.potential)) <= {0.0, 1.0}
            assert game.phi_max == 1.0


def test_zero_one_congestion_pays_even_in_the_smallest_game():
    for seed in range(40):
        game = random_game(
            np.random.default_rng(seed), "congestion", Shape((1,), 1, 0.0, zero_one=True)
        )
        assert game.phi_max > 0


def test_the_same_seed_gives_the_same_game():
    for family in FAMILIES:
        first, second, third = (
            random_game(np.random.default_rng(seed), family, SHAPES[0]) for seed in (5, 5, 6)
        )
        for name in ("rewards", "kernel", "potential", "initial"):
            assert_array_equal(getattr(first, name), getattr(second, name))
        assert (first.potential != third.potential).any()


def test_shapes_are_ragged_within_bounds_and_hard_cases_occur():
    rng = np.random.default_rng(0)
    shapes = [random_shape(rng) for _ in range(400)]
    agents = [len(shape.num_actions) for shape in shapes]
    assert set(agents) == set(range(1, 7))
    assert {shape.num_states for shape in shapes} == set(range(1, 7))
    assert {shape.discount for shape in shapes} == {0.0, 1 / 2, 29 / 32, 63 / 64}
    assert {m for shape in shapes for m in shape.num_actions} == {2, 3, 4, 5}
    assert all(math.prod(shape.num_actions) <= 1500 for shape in shapes)
    ragged = [len(set(shape.num_actions)) > 1 for shape in shapes]
    assert sum(ragged) > 200
    for hard in (
        [shape.kernel_concentration < 0.1 for shape in shapes],
        [shape.zero_one for shape in shapes],
        [shape.point_start for shape in shapes],
    ):
        assert 60 < sum(hard) < 200


def test_a_small_concentration_makes_kernels_nearly_deterministic(rng):
    for family in FAMILIES:
        sharp = random_game(rng, family, Shape((2, 2), 5, 0.9, kernel_concentration=0.02))
        soft = random_game(rng, family, Shape((2, 2), 5, 0.9))
        assert np.median(sharp.kernel.max(axis=-1)) > 0.99
        assert np.median(soft.kernel.max(axis=-1)) < 0.8
        tiny = random_game(rng, family, Shape((2, 2), 5, 0.9, kernel_concentration=1e-4))
        assert_allclose(tiny.kernel.sum(axis=-1), 1)


def test_a_point_start_is_state_zero(rng):
    game = random_game(rng, "dummy", Shape((2, 2), 3, 0.9, point_start=True))
    assert game.initial.tolist() == [1, 0, 0]


def test_random_game_draws_family_and_shape(rng):
    names = {random_game(rng, shape=Shape((2, 2), 2, 0.5)).exogenous for _ in range(20)}
    assert names == {True, False}
    assert random_game(rng, "shaped").has_potential


def test_an_unknown_family_is_an_error(rng):
    with pytest.raises(InvalidGameError) as caught:
        random_game(rng, "zero-sum")
    assert str(caught.value) == (
        "family is 'zero-sum', must be one of "
        "['congestion', 'dummy', 'identical-interest', 'shaped']"
    )
