"""Every constant of the theory, worked out by hand: a changed factor, power or root is caught."""

import math

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pmdlib.analysis import bounds
from pmdlib.arithmetic import Ball, is_exact, precision
from pmdlib.errors import PmdError

# γ = .75 and φmax = 2 throughout: 1-γ = 1/4, Qmax = 8, (1-γ)³ = 1/64.
GAME = {"phi_max": 2.0, "discount": 0.75}
ACTIONS = (2, 3, 4)  # N = 3, M = 9
REGRET = {**GAME, "mismatch": 3.0, "iterations": 100}


def test_largest_q():
    assert bounds.largest_q(**GAME) == 8


def test_steps():
    # (1/4)/(4·2·9) = 1/288, eight times that, (1/4)/(2·2·√3), (1/4)/2
    assert bounds.step_euclidean(**GAME, num_actions=ACTIONS) == pytest.approx(1 / 288)
    assert bounds.step_euclidean_large(**GAME, num_actions=ACTIONS) == pytest.approx(1 / 36)
    assert bounds.step_kl(**GAME, num_agents=3) == pytest.approx(1 / 16 / math.sqrt(3))
    assert bounds.step_kl(**GAME, num_agents=4) == pytest.approx(1 / 32)
    assert bounds.step_kl(**GAME, num_agents=16) == pytest.approx(1 / 64)  # √N, not N
    assert bounds.step_kl_constant(**GAME) == 1 / 8


def test_improvement_coefficients():
    # 1/(2η(1-γ)) at η = 1/8: 1/(2/8/4) = 16
    assert bounds.improvement_coefficient(step=1 / 8, discount=0.75) == 16
    # N = 2, m = 2: Λ = 2. (1/η - 8·2/4)/(1-γ) at η = 1/8: (8 - 4)·4 = 16
    sharp = bounds.improvement_coefficient_sharp
    assert sharp(step=1 / 8, **GAME, num_actions=(2, 2)) == pytest.approx(16)
    assert sharp(step=1 / 4, **GAME, num_actions=(2, 2)) == pytest.approx(0)  # η = 4/(Qmax Λ)
    # η(1 - ηQmax/2) at η = 1/16: (1/16)(1 - 1/4)
    assert bounds.variance_coefficient(step=1 / 16, **GAME) == pytest.approx(3 / 64)
    assert bounds.variance_coefficient(step=1 / 4, **GAME) == 0  # η Qmax = 2


def test_half_face_thresholds():
    for agents, actions, threshold in ((4, 2, 4 / 3), (4, 4, 2 / 3), (4, 8, 1 / 3), (8, 2, 4 / 7)):
        value = bounds.half_face_threshold(num_agents=agents, num_actions=actions)
        assert value == pytest.approx(threshold)
    assert bounds.half_face_threshold(num_agents=16, num_actions=2) == pytest.approx(4 / 15)


def test_euclidean_regret():
    # 2 √(32·3·9·64/100) = 2 √552.96
    assert bounds.regret_euclidean(**REGRET, num_actions=ACTIONS) == pytest.approx(
        2 * math.sqrt(552.96)
    )
    assert bounds.regret_euclidean_sharp(**REGRET, num_actions=ACTIONS) == pytest.approx(
        2 * math.sqrt(9.7 * 3 * 9 * 0.64)
    )
    # (√2 + 1/3)²·9 = (3√2 + 1)² = 19 + 6√2
    assert bounds.regret_euclidean_large_step(**REGRET, num_actions=ACTIONS) == pytest.approx(
        2 * math.sqrt((19 + 6 * math.sqrt(2)) * 3 * 0.64)
    )


def test_kl_regret():
    # N = 16 so that √N = 4: 2 √(12·3·4·64/(.5·100)) = 2 √184.32
    many = {**REGRET, "num_agents": 16, "c": 0.5}
    assert bounds.regret_kl(**many) == pytest.approx(2 * math.sqrt(184.32))
    assert bounds.regret_kl_sharp(**many) == pytest.approx(2 * math.sqrt(184.32 * 2 / 9))
    # 2 √(2·3·64/(.5·100)) = 2 √7.68
    assert bounds.regret_kl_constant_step(**REGRET, c=0.5) == pytest.approx(2 * math.sqrt(7.68))


def test_bounds_scale_as_announced():
    at = {"phi_max": 1.0, "discount": 0.5, "mismatch": 2.0, "iterations": 50}
    for function, extra in (
        (bounds.regret_euclidean, {"num_actions": (2, 2)}),
        (bounds.regret_euclidean_sharp, {"num_actions": (2, 2)}),
        (bounds.regret_euclidean_large_step, {"num_actions": (2, 2)}),
        (bounds.regret_kl, {"num_agents": 4, "c": 0.25}),
        (bounds.regret_kl_sharp, {"num_agents": 4, "c": 0.25}),
        (bounds.regret_kl_constant_step, {"c": 0.25}),
    ):
        base = function(**at, **extra)
        assert function(**{**at, "phi_max": 3.0}, **extra) == pytest.approx(3 * base)
        assert function(**{**at, "mismatch": 8.0}, **extra) == pytest.approx(2 * base)
        assert function(**{**at, "iterations": 200}, **extra) == pytest.approx(base / 2)
        # (1-γ) from 1/2 to 1/8: a factor 4³ below the root
        assert function(**{**at, "discount": 0.875}, **extra) == pytest.approx(8 * base)
        if "c" in extra:
            assert function(**at, **(extra | {"c": 1.0})) == pytest.approx(base / 2)
        series = function(**{**at, "iterations": np.array([50, 200])}, **extra)
        assert_allclose(series, [base, base / 2])


# Λ


def spread(actions):
    """Largest ||D||_1² / ||D||_2² over vectors of m entries that sum to zero.

    For a sign pattern with k positive entries the best D is +1/k and -1/(m-k).
    """
    ratios = [0.0]
    for positive in range(1, actions):
        change = np.append(
            np.full(positive, 1 / positive),
            np.full(actions - positive, -1 / (actions - positive)),
        )
        assert change.sum() == pytest.approx(0)
        ratios.append(abs(change).sum() ** 2 / (change**2).sum())
    return max(ratios)


def test_spread_is_not_beaten_by_random_changes(rng):
    for actions in range(2, 8):
        change = rng.normal(size=(20000, actions))
        change -= change.mean(axis=-1, keepdims=True)
        ratios = abs(change).sum(axis=-1) ** 2 / (change**2).sum(axis=-1)
        assert ratios.max() <= spread(actions) + 1e-12


@pytest.mark.parametrize("actions", [(2, 2), (2, 3), (5, 7), (1, 4)])
def test_interaction_norm_of_two_agents_is_the_product(actions):
    expected = math.sqrt(spread(actions[0]) * spread(actions[1]))
    assert bounds.interaction_norm(actions) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("agents", "actions"), [(2, 2), (3, 3), (5, 4), (6, 5)])
def test_interaction_norm_of_equals(agents, actions):
    expected = (agents - 1) * spread(actions)
    assert bounds.interaction_norm((actions,) * agents) == pytest.approx(expected)


def test_interaction_norm_by_hand():
    # w² = 2, 8/3, 4 for m = 2, 3, 4
    assert [spread(m) for m in (2, 3, 4, 5)] == pytest.approx([2, 8 / 3, 4, 24 / 5])
    assert bounds.interaction_norm((2, 2)) == pytest.approx(2)
    assert bounds.interaction_norm((3, 3, 3)) == pytest.approx(16 / 3)
    assert bounds.interaction_norm((5,)) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6))
def test_interaction_norm_is_the_largest_cross_term(actions):
    """Λ = max of Σ_{i≠j} w_i w_j x_i x_j over unit vectors x >= 0, by power iteration."""
    weights = np.sqrt([spread(m) for m in actions])
    shift = 1.0 + (weights**2).max()  # keeps the iteration away from negative eigenvalues
    x = np.ones(len(actions))
    for _ in range(5000):
        x = shift * x + weights * (weights @ x) - weights**2 * x
        x /= np.linalg.norm(x)
    largest = (weights @ x) ** 2 - (weights**2 * x**2).sum()
    value = bounds.interaction_norm(actions)
    assert value == pytest.approx(largest, abs=1e-6)
    assert value <= sum(actions) - min(actions) + 1e-12


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_interaction_norm_is_enclosed_and_is_the_largest_eigenvalue(actions):
    """Against NumPy's eigenvalues of w wᵀ - diag w², for floats and at 200 bits."""
    weights = np.sqrt([4 * (m // 2) * ((m + 1) // 2) / m for m in actions])
    expected = np.linalg.eigvalsh(np.outer(weights, weights) - np.diag(weights**2)).max()
    assert bounds.interaction_norm(actions) == pytest.approx(expected, abs=1e-12)
    with precision(200):
        ball = Ball(bounds.interaction_norm(actions, like=fmpq(1)))
    assert float(ball) == pytest.approx(expected, abs=1e-12)
    assert ball.width < 1e-55
    # Σ w²/(Λ + w²) falls through 1 at Λ: its sign at both ends, in rationals.
    if expected > 1e-9:
        squares = [fmpq(4 * (m // 2) * ((m + 1) // 2), m) for m in actions if m > 1]
        with precision(400):
            ends = ball.lower, ball.upper
        excess = [sum((w / (end + w) for w in squares), fmpq(-1)) for end in ends]
        assert excess[0] >= 0 >= excess[1]


@pytest.mark.parametrize(
    ("actions", "norm"),
    [((5,), 0), ((1,), 0), ((1, 4), 0), ((2, 2), 2), ((3, 3, 3), fmpq(16, 3)), ((2, 1, 2, 2), 4)],
)
def test_interaction_norms_that_are_rational_are_exact(actions, norm):
    found = bounds.interaction_norm(actions, like=fmpq(1))
    assert not isinstance(found, Ball)
    assert found == norm


def test_interaction_norm_where_nobody_has_a_choice():
    assert bounds.interaction_norm((1, 1, 1)) == pytest.approx(0, abs=1e-15)
    assert Ball(bounds.interaction_norm((1, 1, 1), like=fmpq(1))).overlaps(0)


def test_bounds_of_exact_numbers_enclose_those_of_floats():
    """The same formulas, once in floats and once in rationals and balls."""
    phi, discount, kappa, c = fmpq(3, 2), fmpq(1, 2), fmpq(7, 3), fmpq(1, 5)
    exact = {"phi_max": phi, "discount": discount}
    floats = {"phi_max": 1.5, "discount": 0.5}
    runs = {"mismatch": (kappa, 7 / 3), "iterations": (fmpq(10), 10)}
    sizes = {"num_actions": ((2, 3), (2, 3))}
    for name, keywords in {
        "step_euclidean": sizes,
        "step_euclidean_large": sizes,
        "step_kl": {"num_agents": (3, 3)},
        "step_kl_constant": {},
        "regret_euclidean": sizes | runs,
        "regret_euclidean_sharp": sizes | runs,
        "regret_euclidean_large_step": sizes | runs,
        "regret_kl": {"num_agents": (3, 3), "c": (c, 0.2)} | runs,
        "regret_kl_sharp": {"num_agents": (3, 3), "c": (c, 0.2)} | runs,
        "regret_kl_constant_step": {"c": (c, 0.2)} | runs,
        "improvement_coefficient_sharp": sizes | {"step": (fmpq(1, 4), 0.25)},
        "variance_coefficient": {"step": (fmpq(1, 4), 0.25)},
    }.items():
        formula = getattr(bounds, name)
        mine = formula(**exact, **{key: pair[0] for key, pair in keywords.items()})
        other = formula(**floats, **{key: pair[1] for key, pair in keywords.items()})
        assert is_exact(mine), name
        assert float(Ball(mine)) == pytest.approx(float(other), rel=1e-14), name
        assert Ball(mine).width < 1e-13, name


# Bad input


@pytest.mark.parametrize("phi_max", [0.0, -1.0, math.nan])
def test_a_constant_potential_has_no_step(phi_max):
    for step in (
        lambda: bounds.step_euclidean(phi_max=phi_max, discount=0.5, num_actions=(2, 2)),
        lambda: bounds.step_euclidean_large(phi_max=phi_max, discount=0.5, num_actions=(2, 2)),
        lambda: bounds.step_kl(phi_max=phi_max, discount=0.5, num_agents=2),
        lambda: bounds.step_kl_constant(phi_max=phi_max, discount=0.5),
    ):
        with pytest.raises(PmdError) as caught:
            step()
        assert str(caught.value) == (
            f"phi_max is {phi_max}: a constant potential has no theory step; give one"
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: bounds.largest_q(phi_max=1.0, discount=1.0),
            r"discount is 1.0, must be in \[0, 1\)",
        ),
        (lambda: bounds.step_kl(phi_max=np.nan, discount=0.5, num_agents=2), "phi_max is nan"),
        (lambda: bounds.step_kl(phi_max=1.0, discount=0.5, num_agents=0), "num_agents is 0"),
        (lambda: bounds.improvement_coefficient(step=0.0, discount=0.5), "step is 0.0"),
        (lambda: bounds.half_face_threshold(num_agents=1, num_actions=2), "others is 0"),
        (
            lambda: bounds.regret_euclidean(
                phi_max=1.0, discount=0.5, num_actions=(2,), mismatch=-1.0, iterations=3
            ),
            "mismatch is -1.0, must be positive",
        ),
    ],
)
def test_formulas_outside_their_range_are_errors(call, message):
    with pytest.raises(PmdError, match=message):
        call()
