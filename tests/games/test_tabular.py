"""Dense games: averages against loops over joint actions, and every kind of bad input."""

import itertools

import brute_force
import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

from pmdlib.analysis.equilibrium import nash_gap
from pmdlib.analysis.policies import uniform_policy
from pmdlib.arithmetic import is_exact, to_exact
from pmdlib.errors import InvalidGameError, NotPotentialError, PmdError
from pmdlib.games.checks import SUM_TOLERANCE
from pmdlib.games.contraction import average_over_others
from pmdlib.games.families import Shape, identical_interest
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def two_by_two(**changes):
    """Two agents, two states, two actions each; ``changes`` replace arguments."""
    rewards = [np.arange(8.0).reshape(2, 2, 2), -np.arange(8.0).reshape(2, 2, 2)]
    kernel = np.zeros((2, 2, 2, 2))
    kernel[..., 0], kernel[..., 1] = 0.25, 0.75
    arguments = {"rewards": rewards, "kernel": kernel, "discount": 0.5} | changes
    return TabularGame(arguments.pop("rewards"), arguments.pop("kernel"), **arguments)


# Averages


def test_averages_by_hand():
    rewards = [np.array([[[1.0, 2, 3], [4, 5, 6]]]), np.array([[[10.0, 20, 30], [40, 50, 60]]])]
    kernel = np.ones((1, 2, 3, 1))
    game = TabularGame(rewards, kernel, discount=0.0, potential=rewards[0] - 7)
    policy = (np.array([[0.25, 0.75]]), np.array([[0.5, 0.0, 0.5]]))
    first, second = game.average_rewards(policy)
    assert_allclose(first, [[2.0, 5.0]])  # (1 + 3)/2, (4 + 6)/2
    assert_allclose(second, [[32.5, 42.5, 52.5]])  # 10/4 + 3·40/4, ...
    first, second = game.average_potential(policy)  # shifted by 6
    assert_allclose(first, [[1.0, 4.0]])
    assert_allclose(second, [[2.25, 3.25, 4.25]])


@pytest.mark.parametrize("agents", range(1, 7))
def test_average_over_others_is_an_einsum_per_agent(agents, rng):
    actions = (3, 2, 1, 4, 2, 3)[:agents]
    policy = [rng.random((7, 2, m)) for m in actions]  # batch 7, S = 2; no need to sum to one
    letters = "abcdef"[:agents]
    for tensors in (1, agents):
        tensor = rng.random((tensors, 2, 5, *actions))
        (averages,) = average_over_others([tensor.reshape(tensors, 2, 5, -1)], policy)
        for agent, average in enumerate(averages):
            others = [j for j in range(agents) if j != agent]
            terms = ",".join(["sk" + letters, *["ts" + letters[j] for j in others]])
            out = ("tsk" if others else "sk") + letters[agent]
            table = tensor[agent if tensors > 1 else 0]
            expected = np.einsum(f"{terms}->{out}", table, *[policy[j] for j in others])
            assert_allclose(average, expected, rtol=1e-12)


@pytest.mark.parametrize("index", range(24))
def test_induced_mdps_are_loops_over_joint_actions(index, rng):
    game = brute_force.small_games(index + 1)[index]
    policy = brute_force.near_vertex_policy(game, rng)
    potentials = game.average_potential(policy)
    for agent, mdp in enumerate(game.induced_mdps(policy)):
        rewards, kernel = brute_force.induced(game, policy, agent, game.rewards[agent])
        assert_allclose(mdp.rewards, rewards, atol=1e-12)
        assert_allclose(mdp.kernel, kernel, atol=1e-12)
        assert_allclose(mdp.kernel.sum(axis=-1), 1, atol=1e-12)
        assert mdp.discount == game.discount
        shifted = brute_force.shifted_potential(game)
        potential, _ = brute_force.induced(game, policy, agent, shifted)
        assert_allclose(potentials[agent], potential, atol=1e-12)


def test_exogenous_kernel_is_the_joint_kernel_that_ignores_actions(rng):
    actions, moves = (2, 3), np.array([[0.9, 0.1], [0.3, 0.7]])
    rewards = rng.random((2, 2, *actions))
    spread = np.broadcast_to(moves[:, None, None, :], (2, *actions, 2))
    small = TabularGame(list(rewards), moves, discount=0.9)
    large = TabularGame(list(rewards), spread, discount=0.9)
    assert small.exogenous
    assert not large.exogenous
    assert small.kernel.shape == (2, 2)
    assert_allclose(large.kernel, spread)
    policy = brute_force.near_vertex_policy(small, rng)
    for one, other in zip(small.average_kernel(policy), large.average_kernel(policy), strict=True):
        assert_allclose(one, other, atol=1e-15)


def test_exact_averages_are_the_float_ones_without_rounding(rng):
    for game in brute_force.small_games(12, max_joint=30):
        exact = game.exact()
        policy = brute_force.near_vertex_policy(game, rng)
        sums = [to_exact(own).sum(axis=-1, keepdims=True) for own in policy]
        rational = tuple(to_exact(own) / s for own, s in zip(policy, sums, strict=True))
        for one, other in zip(exact.induced_mdps(rational), game.induced_mdps(policy), strict=True):
            assert is_exact(one.rewards)
            assert is_exact(one.kernel)
            assert_allclose(one.rewards.astype(float), other.rewards, atol=1e-12)
            assert (one.kernel.sum(axis=-1) == 1).all()


# What a game says about itself


def test_attributes():
    game = two_by_two(initial=[0.25, 0.75])
    assert isinstance(game, MarkovGame)
    assert (game.num_agents, game.num_states, game.num_actions) == (2, 2, (2, 2))
    assert game.discount == 0.5
    assert_allclose(game.initial, [0.25, 0.75])
    assert_allclose(game.rewards[1], -np.arange(8.0).reshape(2, 2, 2))
    assert game.kernel[1, 0, 1].tolist() == [0.25, 0.75]
    assert game.reward_bound == 7.0
    assert not game.identical_interest
    assert not game.has_potential


def test_the_initial_distribution_is_uniform_unless_given():
    assert two_by_two().initial.tolist() == [0.5, 0.5]
    assert two_by_two().exact().initial.tolist() == [fmpq(1, 2), fmpq(1, 2)]


def test_one_array_is_identical_interest_and_its_own_potential():
    reward = np.arange(8.0).reshape(2, 2, 2)
    game = two_by_two(rewards=reward)
    assert game.identical_interest
    assert game.has_potential
    assert game.rewards.shape == (2, 2, 2, 2)
    assert_allclose(game.rewards[1], reward)
    assert_allclose(game.potential, reward)
    assert game.phi_max == 7.0


@pytest.mark.parametrize(
    ("lowest", "highest", "phi_max"), [(0, 2, 2), (1, 3, 3), (-1, 3, 4), (-3, -1, 2), (-2, -2, 0)]
)
def test_only_a_negative_potential_is_shifted(lowest, highest, phi_max):
    potential = np.full((2, 2, 2), float(lowest))
    potential[1, 0, 1] = highest
    game = two_by_two(potential=potential)
    assert game.phi_max == phi_max
    assert_allclose(game.potential, potential)  # as given
    certain = (np.array([[1.0, 0], [1, 0]]), np.array([[1.0, 0], [0, 1]]))
    shift = phi_max - highest
    assert_allclose(game.average_potential(certain)[0][1], [highest + shift, lowest + shift])


def test_a_game_does_not_change_when_its_arrays_do():
    rewards, moves = np.ones((2, 2, 2)), np.array([[0.5, 0.5], [0.5, 0.5]])
    initial, potential = np.array([0.5, 0.5]), np.ones((2, 2, 2))
    game = TabularGame(rewards, moves, discount=0.5, initial=initial, potential=potential)
    for array in (rewards, moves, initial, potential):
        array[:] = np.nan
    for array in (game.rewards, game.kernel, game.initial, game.potential):
        assert np.isfinite(array).all()


def test_exact_takes_floats_as_they_are_and_keeps_the_kind_of_game():
    game = two_by_two(rewards=np.full((2, 2, 2), 0.1), discount=0.9)
    exact = game.exact()
    tenth = fmpq(*(0.1).as_integer_ratio())
    assert exact.rewards[1, 1, 1, 1] == tenth
    assert exact.discount == fmpq(*(0.9).as_integer_ratio())
    assert exact.identical_interest
    assert exact.potential[0, 0, 0] == tenth
    assert not two_by_two().exact().has_potential
    thirds = two_by_two(kernel=np.array([[1 / 3, 2 / 3], [0.1, 0.9]])).exact()
    assert thirds.exogenous
    assert (thirds.kernel.sum(axis=-1) == 1).all()


def test_a_game_without_potential_says_so():
    game = two_by_two()
    for ask in (
        lambda: game.phi_max,
        lambda: game.potential,
        lambda: game.average_potential((np.ones((2, 2)) / 2,) * 2),
    ):
        with pytest.raises(NotPotentialError, match="the game states no potential: pass potential"):
            ask()


def test_odd_sizes_are_games():
    single = TabularGame([[[1.0, 2.0]]], [[1.0]], discount=0)  # N = 1, S = 1
    assert (single.num_agents, single.num_states) == (1, 1)
    idle = TabularGame(np.ones((1, 1, 1, 1)), np.eye(1), discount=0.99)  # nobody has a choice
    assert idle.num_actions == (1, 1, 1)
    assert TabularGame([[[1, 2]]], [[1]], discount=0).rewards.dtype == np.float64


# Bad input


def kernel_with(index, row):
    kernel = np.full((3, 2, 2, 3), 1 / 3)
    kernel[index] = row
    return kernel


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.25, 0.22], r"kernel[s=2, a=(0, 1)] sums to 0.97, must be 1 within 1e-09"),
        ([0.5, 0.5, 0.5], r"kernel[s=2, a=(0, 1)] sums to 1.5, must be 1 within 1e-09"),
        ([1.5, -0.5, 0], r"kernel[s=2, a=(0, 1)] has a probability -0.5, must be >= 0"),
        ([np.nan, 0.5, 0.5], r"kernel[s=2, a=(0, 1)] has a probability nan, must be finite"),
        ([np.inf, 0.5, 0.5], r"kernel[s=2, a=(0, 1)] has a probability inf, must be finite"),
    ],
)
def test_bad_kernel_rows_are_named(row, message):
    with pytest.raises(InvalidGameError) as caught:
        TabularGame(np.zeros((3, 2, 2)), kernel_with((2, 0, 1), row), discount=0.5)
    assert str(caught.value) == message


def test_bad_rows_of_an_exogenous_kernel_and_a_start_are_named():
    for moves, message in (
        ([[1.0, 0], [0.5, 0.75]], "kernel[s=1] sums to 1.25, must be 1 within 1e-09"),
        ([[2.0, -1], [0, 1]], "kernel[s=0] has a probability -1.0, must be >= 0"),
    ):
        with pytest.raises(InvalidGameError) as caught:
            two_by_two(kernel=moves)
        assert str(caught.value) == message
    for start, message in (
        ([0.5, 0.25], "initial sums to 0.75, must be 1 within 1e-09"),
        ([1.5, -0.5], "initial has a probability -0.5, must be >= 0"),
        ([np.nan, 1], "initial has a probability nan, must be finite"),
        ([1.0], "initial has shape (1,), must be (S,) = (2,)"),
        ([[0.5, 0.5]], "initial has shape (1, 2), must be (S,) = (2,)"),
    ):
        with pytest.raises(InvalidGameError) as caught:
            two_by_two(initial=start)
        assert str(caught.value) == message


def test_the_first_bad_row_is_the_one_that_is_named():
    kernel = kernel_with((1, 1, 0), [0.5, 0.25, 0])
    kernel[2, 0, 0] = 7
    with pytest.raises(InvalidGameError, match=r"kernel\[s=1, a=\(1, 0\)\] sums to 0.75"):
        TabularGame(np.zeros((3, 2, 2)), kernel, discount=0.5)


def test_rows_may_be_off_by_rounding_only():
    off = 0.9 * SUM_TOLERANCE
    two_by_two(kernel=[[0.5, 0.5 + off], [1, 0]])
    with pytest.raises(InvalidGameError, match=r"kernel\[s=0\] sums to 1.0000000"):
        two_by_two(kernel=[[0.5, 0.5 + 2 * SUM_TOLERANCE], [1, 0]])
    almost = to_exact(np.array([[0.5, 0.5 + off], [1, 0]]))
    with pytest.raises(InvalidGameError, match=r"kernel\[s=0\] sums to .*, must be 1 within 0"):
        TabularGame(to_exact(np.zeros((2, 2, 2))), almost, discount=fmpq(1, 2))


@pytest.mark.parametrize("discount", [1, 1.0, -0.1, 1.5, np.nan, np.inf, "0.9", None, True, [0.5]])
def test_discount_outside_its_range(discount):
    with pytest.raises(InvalidGameError) as caught:
        two_by_two(discount=discount)
    assert str(caught.value) == f"discount is {discount!r}, must be a number in [0, 1)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rewards_and_potential_must_be_finite(value):
    bad = np.zeros((2, 2, 2))
    bad[1, 0, 1] = value
    for changes, name in (
        ({"rewards": bad}, "rewards[s=1, a=(0, 1)]"),
        ({"rewards": [np.zeros((2, 2, 2)), bad]}, "rewards[agent=1, s=1, a=(0, 1)]"),
        ({"potential": bad}, "potential[s=1, a=(0, 1)]"),
        ({"rewards": bad.astype(object)}, "rewards[s=1, a=(0, 1)]"),
    ):
        with pytest.raises(InvalidGameError) as caught:
            two_by_two(**changes)
        assert str(caught.value) == f"{name} is {value}, must be finite"


def test_floats_that_hide_among_objects_must_be_finite_too():
    moves = np.array([[np.nan, 1.0], [0.5, 0.5]], dtype=object)
    with pytest.raises(InvalidGameError, match=r"kernel\[s=0\] has a probability nan"):
        two_by_two(kernel=moves)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": []}, "rewards are empty: a game needs at least one agent"),
        ({"rewards": np.zeros(2)}, "rewards have shape (2,), must be (S, A_1, .., A_N)"),
        ({"rewards": np.zeros((2, 0, 2))}, "rewards have shape (2, 0, 2), must be (S, A_1"),
        (
            {"rewards": [np.zeros((2, 2, 2))]},
            "rewards hold 1 tensors of shape (2, 2, 2), but that shape has 2 action axes",
        ),
        (
            {"rewards": [np.zeros((2, 2, 2))] * 3},
            "rewards hold 3 tensors of shape (2, 2, 2), but that shape has 2 action axes",
        ),
        (
            {"rewards": [np.zeros((2, 2, 2)), np.zeros((2, 2, 3))]},
            "rewards[agent=1] has shape (2, 2, 3), must be that of agent 0, (2, 2, 2)",
        ),
        ({"rewards": [[[1, 2], [3]], [[1]]]}, "rewards[agent=0] cannot be read as an array"),
        ({"rewards": np.full((2, 2, 2), "x")}, "rewards must hold real numbers, not <U1"),
        ({"rewards": np.full((2, 2, 2), 1j)}, "rewards must hold real numbers, not complex128"),
        ({"rewards": np.full((2, 2, 2), None)}, "rewards must hold real numbers"),
        (
            {"kernel": np.ones((2, 2, 2))},
            "must be (S, A_1, .., A_N, S) = (2, 2, 2, 2), or (S, S) = (2, 2) if no action moves",
        ),
        ({"kernel": np.eye(3)}, "kernel has shape (3, 3), must be"),
        (
            {"potential": np.zeros((2, 2))},
            "potential has shape (2, 2), must be that of the rewards, (2, 2, 2)",
        ),
    ],
)
def test_wrong_shapes_and_kinds(changes, message):
    with pytest.raises(InvalidGameError) as caught:
        two_by_two(**changes)
    assert message in str(caught.value)
    assert isinstance(caught.value, PmdError)
    assert isinstance(caught.value, ValueError)


def test_the_next_state_is_the_last_axis(rng):
    game = identical_interest(rng, Shape((2, 2), 3, 0.9))
    for state, first, second in itertools.product(range(3), range(2), range(2)):
        certain = tuple(np.tile(np.eye(2)[a], (3, 1)) for a in (first, second))
        row = game.average_kernel(certain)[0][state, first]
        assert_allclose(row, game.kernel[state, first, second])


def test_rewards_whose_values_overflow_are_refused():
    with pytest.raises(InvalidGameError, match=r"rewards reach 1e\+308: values of up to that"):
        TabularGame(np.full((1, 2), 1e308), np.eye(1), discount=0.9)
    large = TabularGame(np.array([[1e300, 0.0]]), np.eye(1), discount=0.9)
    assert np.isfinite(nash_gap(large, uniform_policy(large)))


@pytest.mark.parametrize("rewards", [None, 3, "abc"])
def test_rewards_that_are_no_sequence_are_refused(rewards):
    with pytest.raises(InvalidGameError, match="must be a sequence of N arrays, or one ndarray"):
        TabularGame(rewards, np.eye(1), discount=0.5)
