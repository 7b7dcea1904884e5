"""Mirror steps against generic solvers, definitions and high-precision arithmetic."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from pmdlib.arithmetic import to_exact
from pmdlib.errors import NotConvergedError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import (
    KL,
    MIRROR_MAPS,
    Euclidean,
    MirrorMap,
    Tsallis,
    get_mirror_map,
    project_to_simplex,
)

MAPS = [KL(), Euclidean(), Tsallis()]
POTENTIALS = {
    "kl": lambda p: (p * np.log(p)).sum(),
    "euclidean": lambda p: (p**2).sum() / 2,
    "tsallis": lambda p: -4 * np.sqrt(p).sum(),
}
SLOPES = {
    "kl": lambda p: np.log(p) + 1,
    "euclidean": lambda p: p,
    "tsallis": lambda p: -2 / np.sqrt(p),
}


def bregman(name, new, old):
    """D_ψ(new, old) = ψ(new) - ψ(old) - <∇ψ(old), new - old>, by the definition."""
    potential = POTENTIALS[name]
    return potential(new) - potential(old) - SLOPES[name](old) @ (new - old)


def solved(name, policy, gradient):
    """argmax_p <gradient, p> - D_ψ(p, policy) by a general solver on the simplex."""
    answer = minimize(
        lambda p: -(gradient @ p) + bregman(name, p, policy),
        np.full(len(policy), 1 / len(policy)),
        jac=lambda p: -gradient + SLOPES[name](p) - SLOPES[name](policy),
        bounds=[(1e-12, 1)] * len(policy),
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return answer.x


def interior(rng, *shape):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]) * 0.9 + 0.1 / shape[-1]


# The step


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
@pytest.mark.parametrize("actions", [1, 2, 3, 6])
def test_step_solves_the_mirror_problem(mirror_map, actions):
    rng = np.random.default_rng(actions)
    for size in (0.1, 1.0, 3.0):
        policy, gradient = interior(rng, actions), size * rng.normal(size=actions)
        new = mirror_map.update(policy, gradient)
        assert_allclose(new, solved(mirror_map.name, policy, gradient), atol=2e-5)

        # The closed form is at least as good as any nearby point, to the last digits.
        def worth(p, policy=policy, gradient=gradient):
            return gradient @ p - bregman(mirror_map.name, p, policy)

        for _ in range(20):
            near = new + 1e-3 * (interior(rng, actions) - new)
            assert worth(np.maximum(new, 1e-300)) >= worth(near) - 1e-14


def test_kl_step_by_hand():
    # π exp(ηQ) = (1/4·2, 3/4·1) ~ (2/5, 3/5)
    new = KL().update(np.array([0.25, 0.75]), np.array([math.log(2), 0]))
    assert_allclose(new, [0.4, 0.6])


def test_euclidean_step_by_hand():
    assert_allclose(Euclidean().update(np.array([0.25, 0.75]), np.array([0.5, 0])), [0.5, 0.5])
    assert_allclose(Euclidean().update(np.array([0.25, 0.75]), np.array([2.0, 0])), [1, 0])
    # From a vertex it comes back: the projection of (1, .5) is (.75, .25).
    assert_allclose(Euclidean().update(np.array([1.0, 0]), np.array([0, 0.5])), [0.75, 0.25])


def test_tsallis_step_by_hand():
    # -2/√π = (-4, -4/√3); choose ηQ so that θ + ηQ = (-2/√.64, -2/√.36) + const
    old = np.array([0.25, 0.75])
    gradient = np.array([-2 / 0.8 + 4, -2 / 0.6 + 4 / math.sqrt(3)])
    assert_allclose(Tsallis().update(old, gradient), [0.64, 0.36], rtol=1e-12)


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
@given(
    gradient=arrays(np.float64, 4, elements=st.floats(-20, 20)),
    shift=st.floats(-50, 50),
    seed=st.integers(0, 10**6),
)
def test_step_stays_on_the_simplex_and_ignores_a_common_shift(mirror_map, gradient, shift, seed):
    policy = interior(np.random.default_rng(seed), 4)
    new = mirror_map.update(policy, gradient)
    assert (new >= 0).all()
    assert new.sum() == pytest.approx(1, abs=1e-13)
    assert_allclose(mirror_map.update(policy, gradient + shift), new, atol=1e-12)
    order = np.array([2, 0, 3, 1])
    assert_allclose(mirror_map.update(policy[order], gradient[order]), new[order], atol=1e-12)
    if np.ptp(gradient) > 1e-3:  # better than standing still
        assert gradient @ new > gradient @ policy


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
def test_batches_are_rows_one_by_one(mirror_map, rng):
    policy, gradient = interior(rng, 2, 3, 4), rng.normal(size=(2, 3, 4))
    together = mirror_map.update(policy, gradient)
    gaps = mirror_map.divergence(together, policy)
    assert gaps.shape == (2, 3)
    for where in np.ndindex(2, 3):
        alone = mirror_map.update(policy[where], gradient[where])
        assert_allclose(together[where], alone, rtol=1e-12, atol=1e-15)
        assert gaps[where] == pytest.approx(mirror_map.divergence(alone, policy[where]))


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
def test_coordinates_and_policy_are_inverse(mirror_map, rng):
    policy = interior(rng, 5, 3)
    assert_allclose(mirror_map.policy(mirror_map.coordinates(policy)), policy, rtol=1e-12)
    slope, expected = mirror_map.coordinates(policy), SLOPES[mirror_map.name](policy)
    assert_allclose(slope - slope[..., :1], expected - expected[..., :1], atol=1e-12)


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
def test_many_steps_at_once_are_one_step_of_their_sum(mirror_map, rng):
    """Coordinates add up (on the boundary-free path): what makes mirror descent mirror descent."""
    policy, first, second = interior(rng, 3), *(0.05 * rng.normal(size=(2, 3)))
    stepped = mirror_map.step(mirror_map.step(mirror_map.coordinates(policy), first), second)
    assert_allclose(
        mirror_map.policy(stepped), mirror_map.update(policy, first + second), rtol=1e-12
    )


# Zeros and tiny probabilities


def test_kl_and_tsallis_keep_zeros_and_euclid_revives_them():
    old, gradient = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.1, 5.0])
    for mirror_map in (KL(), Tsallis()):
        assert mirror_map.keeps_zeros
        new = mirror_map.update(old, gradient)
        assert new[2] == 0
        assert_allclose(new[:2], mirror_map.update(old[:2], gradient[:2]))
    assert not Euclidean().keeps_zeros
    assert Euclidean().update(old, gradient)[2] > 0


def test_kl_keeps_tiny_probabilities_apart():
    coordinates = KL().coordinates(np.array([0.5, 0.5]))
    for _ in range(1000):
        coordinates = KL().step(coordinates, np.array([0.0, 5.0]))
    assert coordinates[0] == pytest.approx(-5000, rel=1e-12)
    for _ in range(1000):
        coordinates = KL().step(coordinates, np.array([5.0, 0.0]))
    assert_allclose(KL().policy(coordinates), [0.5, 0.5], rtol=1e-9)


# Divergences


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
def test_divergence_is_the_bregman_divergence(mirror_map, rng):
    for actions in (2, 5):
        for _ in range(20):
            new, old = interior(rng, actions), interior(rng, actions)
            expected = bregman(mirror_map.name, new, old)
            assert mirror_map.divergence(new, old) == pytest.approx(expected, rel=1e-9)
            assert mirror_map.divergence(old, old) == 0


def decimal_kl(new, old):
    """Σ p log(p/q) - Σ p + Σ q in 60 digits, of the floats as they are."""
    with localcontext() as context:
        context.prec = 60
        total = Decimal(0)
        for p, q in zip(map(Decimal, new.tolist()), map(Decimal, old.tolist()), strict=True):
            total += (p * (p / q).ln() if p else 0) - p + q
        return float(total)


@pytest.mark.parametrize("size", [1e-12, 1e-8, 1e-4, 1e-2, 0.029, 0.031, 0.1, 0.5])
def test_kl_divergence_does_not_cancel(size, rng):
    for _ in range(10):
        old = interior(rng, 4)
        change = rng.normal(size=4)
        change -= change.mean()
        new = old * (1 + size * change / abs(change / old).max() / old)
        assert KL().divergence(new, old) == pytest.approx(decimal_kl(new, old), rel=1e-10, abs=0)


def test_kl_divergence_over_many_magnitudes():
    rows = np.array([[1e-80, 1 - 1e-3, 1e-3], [0.5, 1e-80, 0.5], [1e-310, 0.25, 0.75]])
    for p, q in itertools.permutations(rows, 2):
        assert KL().divergence(p, q) == pytest.approx(decimal_kl(p, q), rel=1e-12)


@pytest.mark.parametrize("mirror_map", [KL(), Tsallis()], ids=lambda m: m.name)
def test_divergence_off_the_support_is_infinite_and_at_common_zeros_nothing(mirror_map):
    with_zero, without = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert mirror_map.divergence(without, with_zero) == math.inf
    assert mirror_map.divergence(with_zero, with_zero) == 0
    assert np.isfinite(mirror_map.divergence(with_zero, without))
    if mirror_map.name == "kl":
        assert mirror_map.divergence(with_zero, without) == pytest.approx(math.log(2))


@pytest.mark.parametrize("mirror_map", MAPS, ids=lambda m: m.name)
def test_three_point_identity(mirror_map, rng):
    """<ηQ, D> = D(new, old) + D(old, new) for an interior step."""
    old, gradient = interior(rng, 4), 0.02 * rng.normal(size=4)
    new = mirror_map.update(old, gradient)
    both = mirror_map.divergence(new, old) + mirror_map.divergence(old, new)
    assert gradient @ (new - old) == pytest.approx(both, rel=1e-9, abs=0)


# Projection


def projection(point):
    """Projection on the simplex: the feasible support with the smallest distance."""
    best, distance = None, math.inf
    for size in range(1, len(point) + 1):
        for support in itertools.combinations(range(len(point)), size):
            candidate = np.zeros(len(point))
            inside = list(support)
            candidate[inside] = point[inside] - (point[inside].sum() - 1) / size
            far = ((candidate - point) ** 2).sum()
            if (candidate >= 0).all() and far < distance:
                best, distance = candidate, far
    return best


@given(arrays(np.float64, st.integers(1, 6), elements=st.floats(-3, 3)))
def test_projection_is_the_nearest_point(point):
    nearest = project_to_simplex(point)
    assert (nearest >= 0).all()
    assert nearest.sum() == pytest.approx(1, abs=1e-14)
    assert_allclose(nearest, projection(point), atol=1e-12)
    assert_allclose(project_to_simplex(nearest), nearest, atol=1e-15)
    assert_allclose(project_to_simplex(point + 7.5), nearest, atol=1e-14)


@given(
    arrays(np.int64, st.integers(1, 6), elements=st.integers(-20, 20)).map(
        lambda p: (p, to_exact(p / 8))
    )
)
def test_projection_of_rationals_is_exact(points):
    eighths, exact = points
    nearest = project_to_simplex(exact)
    assert all(isinstance(x, (fmpq, int)) for x in nearest)
    assert nearest.sum() == 1
    assert (project_to_simplex(nearest) == nearest).all()
    assert_allclose(nearest.astype(float), projection(eighths / 8), atol=1e-13)


def test_projection_by_hand():
    assert project_to_simplex(np.array([0.5, 0.5])).tolist() == [0.5, 0.5]
    assert_allclose(project_to_simplex(np.array([1.0, 0.5, -1])), [0.75, 0.25, 0])
    assert_allclose(project_to_simplex(np.array([[0.0, 0], [9, 1]])), [[0.5, 0.5], [1, 0]])
    third = project_to_simplex(to_exact(np.array([1.0, 1.0, 1.0])))
    assert third.tolist() == [fmpq(1, 3)] * 3


def test_projection_of_points_far_from_the_simplex_still_sums_to_one():
    assert project_to_simplex(np.array([1e17, 0.0])).tolist() == [1, 0]
    assert project_to_simplex(np.array([1e20, 1e20, -1e20])).tolist() == [0.5, 0.5, 0]
    assert_allclose(project_to_simplex(np.array([1e9, 1e9 - 0.5])), [0.75, 0.25], rtol=1e-12)


# Names, steps, new maps


def test_maps_by_name():
    assert set(MIRROR_MAPS) == {"kl", "euclidean", "tsallis"}
    for name, mirror_map in MIRROR_MAPS.items():
        assert get_mirror_map(name) is mirror_map
        assert get_mirror_map(mirror_map) is mirror_map
        assert mirror_map.name == name


@pytest.mark.parametrize("unknown", ["entropy", None, 3, ["kl"]])
def test_unknown_maps(unknown):
    with pytest.raises(PmdError) as caught:
        get_mirror_map(unknown)
    assert str(caught.value) == (
        f"mirror_map is {unknown!r}, must be one of ['euclidean', 'kl', 'tsallis'] or a MirrorMap"
    )


def test_theory_steps_by_hand():
    """φmax = 2, γ = .75, N = 2, M = 5: 1/(4·4·2·5), 1/(4·2·2·√2), 1/8."""
    reward = np.zeros((1, 2, 3))
    reward[0, 0, 0] = 2
    game = TabularGame(reward, np.eye(1), discount=0.75)
    assert Euclidean().theory_step(game, "paper") == pytest.approx(1 / 160)
    assert KL().theory_step(game, "paper") == pytest.approx(1 / 16 / math.sqrt(2))
    assert KL().theory_step(game, "constant") == pytest.approx(1 / 8)


@pytest.mark.parametrize(
    ("mirror_map", "rule"),
    [(KL(), "fast"), (Euclidean(), "constant"), (Euclidean(), ""), (Tsallis(), "paper")],
)
def test_rules_without_a_theory(mirror_map, rule):
    with pytest.raises(PmdError) as caught:
        mirror_map.theory_step(catalogue.isolated(), rule)
    assert str(caught.value) == (
        f"the theory gives no step {rule!r} for the mirror map {mirror_map.name!r}: give a number"
    )


def test_a_new_map_needs_three_short_methods(rng):
    """ψ = -Σ log p, the logarithmic barrier, by the default step."""

    class Barrier(MirrorMap):
        name = "barrier"

        def divergence(self, new, old):
            return (new / old - np.log(new / old) - 1).sum(axis=-1)

        def coordinates(self, policy):
            return -1 / policy

        def policy(self, coordinates):
            theta = coordinates - coordinates.max(axis=-1, keepdims=True)
            level = np.full((*theta.shape[:-1], 1), 1.0)
            for _ in range(100):
                inverse = 1 / (level - theta)
                excess = inverse.sum(axis=-1, keepdims=True) - 1
                level = level + excess / (inverse**2).sum(axis=-1, keepdims=True)
            return inverse

    policy, gradient = interior(rng, 4), rng.normal(size=4)
    new = Barrier().update(policy, gradient)
    slack = gradient + 1 / new - 1 / policy  # the multiplier: the same for all actions
    assert_allclose(slack, slack[0], rtol=1e-9)
    assert new.sum() == pytest.approx(1)


def test_the_maps_are_told_when_a_normalisation_fails():
    with pytest.raises(NotConvergedError, match="normalisation of a Tsallis step"):
        Tsallis().policy(np.array([np.nan, -1.0]))


def test_a_linear_function_is_no_mirror_map():
    """ψ = ||p||_1 is constant on the simplex: its divergence vanishes, the argmax is a vertex."""
    gradient = np.array([0.1, 0.2, 0.15])
    vertices = [gradient @ row for row in np.eye(3)]
    assert int(np.argmax(vertices)) == 1
    assert_array_equal(project_to_simplex(1e6 * gradient), [0, 1, 0])  # η -> ∞ of any step
