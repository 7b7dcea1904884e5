"""Policies: made, drawn and checked."""

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import (
    check_agent,
    check_policy,
    check_start,
    deterministic_policy,
    random_policy,
    random_rational_policy,
    replace,
    uniform_policy,
)
from pmdlib.arithmetic import Ball, enclose, to_exact
from pmdlib.errors import InvalidPolicyError, PmdError
from pmdlib.games.tabular import TabularGame


@pytest.fixture
def game():
    """Two agents with 2 and 3 actions, 2 states."""
    return TabularGame(np.zeros((2, 2, 3)), np.eye(2), discount=0.5)


def test_uniform_policy(game):
    first, second = uniform_policy(game)
    assert first.tolist() == [[0.5, 0.5]] * 2
    assert_allclose(second, np.full((2, 3), 1 / 3))


def test_random_policies_have_full_support_and_the_seed_decides(game):
    for concentration in (1.0, 0.05, 1e-3):
        policy = random_policy(
            game, np.random.default_rng(0), concentration=concentration, batch=(50,)
        )
        assert [part.shape for part in policy] == [(50, 2, 2), (50, 2, 3)]
        for part in policy:
            assert (part > 0).all()
            assert_allclose(part.sum(axis=-1), 1)
    first, second = (random_policy(game, np.random.default_rng(7)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert_array_equal(one, other)


def test_random_policies_follow_the_dirichlet_distribution(game):
    """Mean 1/A; variance (1/A)(1 - 1/A)/(A α + 1), here for A = 3."""
    for concentration in (0.1, 1.0, 5.0):
        _, drawn = random_policy(
            game, np.random.default_rng(1), concentration=concentration, batch=(20000,)
        )
        assert_allclose(drawn.mean(axis=(0, 1)), 1 / 3, atol=0.01)
        variance = (2 / 9) / (3 * concentration + 1)
        assert_allclose(drawn.var(axis=(0, 1)), variance, rtol=0.05)


@pytest.mark.parametrize("concentration", [0, -1.0, np.nan])
def test_concentration_must_be_positive(game, rng, concentration):
    with pytest.raises(
        InvalidPolicyError, match=f"concentration is {concentration}, must be positive"
    ):
        random_policy(game, rng, concentration=concentration)


def test_random_rational_policies_sum_to_exactly_one_and_differ_between_states(game, rng):
    policy = random_rational_policy(game, rng)
    for part in policy:
        assert all(isinstance(x, fmpq) for x in part.flat)
        assert (part.sum(axis=-1) == 1).all()
        assert (part > 0).all()
        assert (part[0] != part[1]).any()


def test_deterministic_policy(game):
    first, second = deterministic_policy(game, [[1, 0], [2, 1]])
    assert first.tolist() == [[0, 1], [1, 0]]
    assert second.tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([[0, 0]], "actions name 1 agents, the game has 2"),
        ([[0, 0], [0]], "actions[agent=1] names 1 states, the game has 2"),
        ([[0, 2], [0, 0]], "actions[agent=0][s=1] is 2, must be in 0..1"),
        ([[0, 1], [-1, 0]], "actions[agent=1][s=0] is -1, must be in 0..2"),
    ],
)
def test_deterministic_policy_names_the_bad_action(game, actions, message):
    with pytest.raises(InvalidPolicyError) as caught:
        deterministic_policy(game, actions)
    assert str(caught.value) == message


def test_replace_exchanges_one_agent():
    assert replace((1, 2, 3), 0, 9) == (9, 2, 3)
    assert replace((1, 2, 3), 1, 9) == (1, 9, 3)
    assert replace((1, 2, 3), 2, 9) == (1, 2, 9)


def test_check_policy_returns_arrays(game):
    policy = check_policy(game, [[[1, 0], [0, 1]], [[1, 0, 0], [0, 0.5, 0.5]]])
    assert isinstance(policy, tuple)
    assert all(part.dtype == np.float64 for part in policy)
    batch = random_policy(game, np.random.default_rng(0), batch=(3, 4))
    assert check_policy(game, batch)[0].shape == (3, 4, 2, 2)


HALF, THIRD = np.full((2, 2), 0.5), np.full((2, 3), 1 / 3)


def changed(index, value):
    table = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    table[index] = value
    return table


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ((HALF, changed((1, 2), np.nan)), "policy[agent=1][s=1, a=2] is nan, must be finite"),
        ((HALF, changed((0, 1), np.inf)), "policy[agent=1][s=0, a=1] is inf, must be finite"),
        ((HALF, changed((1, 0), -0.5)), "policy[agent=1][s=1, a=0] is -0.5, must be >= 0"),
        (
            (HALF, changed((1, 0), 0.25)),
            "policy[agent=1][s=1] sums to 0.75, must be 1 within 1e-09",
        ),
        (
            (HALF,),
            "policy must be a sequence of N = 2 arrays (S, A_i), one per agent, not tuple of",
        ),
        ([HALF, THIRD, HALF], "not list of length 3"),
        (np.full((2, 2, 2), 0.5), "policy must be a sequence of N = 2 arrays"),
        (None, "policy must be a sequence of N = 2 arrays (S, A_i), one per agent, not NoneType"),
        ((THIRD, HALF), "policy[agent=0] has shape (2, 3), must be (.., S, A_i) = (.., 2, 2)"),
        ((HALF, THIRD[:1]), "policy[agent=1] has shape (1, 3), must be (.., S, A_i) = (.., 2, 3)"),
        ((HALF, THIRD[0]), "policy[agent=1] has shape (3,), must be (.., S, A_i) = (.., 2, 3)"),
        (
            (np.stack([HALF] * 4), THIRD),
            "policy[agent=1] has batch axes (), must be those of agent 0, (4,)",
        ),
        (([["a", "b"]] * 2, THIRD), "policy[agent=0] must be an array of real numbers"),
        ((HALF, np.full((2, 3), None)), "policy[agent=1] must be an array of real numbers"),
        (
            (np.stack([HALF, HALF]), np.stack([THIRD, changed((1, 2), -1)])),
            "policy[agent=1][batch=(1,), s=1, a=2] is -1.0, must be >= 0",
        ),
        (
            (HALF, np.array([[np.nan, 0.5, 0.5]] * 2, dtype=object)),
            "policy[agent=1][s=0, a=0] is nan, must be finite",
        ),
    ],
)
def test_bad_policies_are_named(game, policy, message):
    with pytest.raises(InvalidPolicyError) as caught:
        check_policy(game, policy)
    assert message in str(caught.value)
    assert isinstance(caught.value, PmdError)


def test_exact_policies_must_sum_to_exactly_one(game):
    third = np.full((2, 3), fmpq(1, 3))
    check_policy(game, (np.full((2, 2), fmpq(1, 2)), third))
    third[1, 1] += fmpq(1, 10**30)
    with pytest.raises(InvalidPolicyError, match=r"policy\[agent=1\]\[s=1\] sums to .* within 0"):
        check_policy(game, (np.full((2, 2), fmpq(1, 2)), third))


def test_policies_come_out_in_the_arithmetic_of_the_game(game):
    """Floats become the rationals that they are, scaled to sum to 1; exact numbers are rounded."""
    thirds = (np.full((2, 2), 0.5), np.full((2, 3), 1 / 3))
    exact = check_policy(game.exact(), thirds)
    assert all(isinstance(x, fmpq) for own in exact for x in own.flat)
    assert all((own.sum(axis=-1) == 1).all() for own in exact)
    assert (exact[1] == fmpq(1, 3)).all()
    rounded = check_policy(game, exact)
    assert all(own.dtype == np.float64 for own in rounded)
    assert all((a == b).all() for a, b in zip(rounded, thirds, strict=True))
    balls = tuple(map(enclose, exact))
    kept = check_policy(game.exact(), balls)
    assert all(isinstance(x, Ball) for own in kept for x in own.flat)
    assert all((a == b).all() for a, b in zip(check_policy(game, balls), thirds, strict=True))
    tenths = check_start(game.exact(), [0.1, 0.9])  # 0.1 + 0.9 is 1 only after rounding
    assert tenths.sum() == 1
    assert tenths[0] == to_exact(0.1) / (to_exact(0.1) + to_exact(0.9))


def test_balls_that_cannot_sum_to_one_are_refused(game):
    wide = np.full((2, 2), Ball(fmpq(1, 2)).union(fmpq(3, 5)), dtype=object)
    third = np.full((2, 3), Ball(fmpq(1, 3)), dtype=object)
    check_policy(game.exact(), (wide, third))  # [1, 1.2] may be 1
    with pytest.raises(InvalidPolicyError, match="must be 1 within 0"):
        check_policy(game.exact(), (wide + Ball(fmpq(1, 10)), third))


def test_the_name_in_errors_can_be_chosen(game):
    with pytest.raises(InvalidPolicyError, match="initial_policy must be a sequence"):
        check_policy(game, (), name="initial_policy")


@pytest.mark.parametrize("agent", [2, -1, 0.5, "0", None])
def test_unknown_agents(game, agent):
    with pytest.raises(InvalidPolicyError) as caught:
        check_agent(game, agent)
    assert str(caught.value) == f"agent is {agent}, must be in 0..1"
    assert check_agent(game, 1) == 1


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([0.5, 0.25], "initial sums to 0.75, must be 1 within 1e-09"),
        ([[1.0, 0], [0.5, 0.25]], "initial sums to 0.75, must be 1 within 1e-09"),
        ([1.5, -0.5], "initial[s=1] is -0.5, must be >= 0"),
        ([np.nan, 1], "initial[s=0] is nan, must be finite"),
        ([1.0, 0, 0], "initial has shape (3,), must be (.., S) = (.., 2)"),
        (1.0, "initial has shape (), must be (.., S) = (.., 2)"),
        (["a", "b"], "initial must be an array of real numbers"),
    ],
)
def test_bad_starts_are_named(game, start, message):
    with pytest.raises(InvalidPolicyError) as caught:
        check_start(game, start)
    assert message in str(caught.value)
