"""Averages over a load: against rationals, SciPy, and convolutions in extended precision."""

import time
import tracemalloc

import numpy as np
import pytest
import sympy
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import fft, stats

from pmdlib.arithmetic import Ball, enclose, precision, rationals, to_exact, to_float
from pmdlib.games import loads
from pmdlib.games.loads import average_over_load, expect_load
from pmdlib.games.spectral_loads import average_by_frequencies

#: Relative to the largest entry of a table. What is promised for a million agents is 1e-12.
OBSERVED = 1e-14


def tables(agents):
    """A jump, signs, a slope as long as the table, noise: each at most 1 in size."""
    load = np.arange(agents)
    noise = np.random.default_rng(agents).uniform(-1, 1, agents)
    return np.stack([load > agents // 2, (-1.0) ** load, load / agents, noise])


def jump(agents, probabilities, counts):
    """An indicator that jumps in the middle of the distribution."""
    return (np.arange(agents) > int(counts @ probabilities)).astype(float)[None]


def binomial(agents, probability):
    """Probabilities of all loads of a binomial, in extended precision."""
    p = np.longdouble(probability)
    if p in (0, 1):
        return np.eye(1, agents + 1, agents * int(p), dtype=np.longdouble)[0]
    k = np.arange(1, agents + 1, dtype=np.longdouble)
    ratios = (agents + 1 - k) / k * (p / (1 - p))
    mode = int(agents * probability)
    upwards = np.cumprod(ratios[mode:])
    downwards = np.cumprod(1 / ratios[:mode][::-1])[::-1]
    weights = np.concatenate([downwards, [np.longdouble(1)], upwards])
    return weights / weights.sum()


def by_convolution(table, probabilities, counts):
    """Averages (K, G) for few groups of many agents, each a sum over windows of two binomials."""
    columns = []
    for group in range(len(counts)):
        total, shift = np.ones(1, dtype=np.longdouble), 0
        for other, (agents, p) in enumerate(zip(counts, probabilities, strict=True)):
            weights = binomial(agents - (other == group), p)
            inside = np.flatnonzero(weights > 1e-25)
            total = np.convolve(total, weights[inside[0] : inside[-1] + 1])
            shift += inside[0]
        window = table[:, shift : shift + len(total)]
        columns.append(window @ total[: window.shape[1]])
    return np.stack(columns, axis=-1)


def by_product_tree(table, probabilities, agent):
    """Average (K,) for one agent, multiplying generating functions pairwise, in extended.

    Short ones are multiplied term by term, for an error of a transform in a million factors would
    be seen; and each is divided by its sum, 1, so that the rounding of 1 - p does not add up.
    """
    others = probabilities.copy()
    others[agent] = 0  # uses nothing
    size = 1 << max(len(others) - 1, 1).bit_length()
    p = np.zeros(size, dtype=np.longdouble)
    p[: len(others)] = others
    weights = np.stack([1 - p, p], axis=-1)
    while len(weights) > 1:
        left, right = weights[::2], weights[1::2]
        short = weights.shape[-1]
        length = 2 * short - 1
        if short <= 33:
            weights = np.zeros((len(left), length), dtype=np.longdouble)
            for k in range(short):
                weights[:, k : k + short] += left[:, k, None] * right
        else:
            padded = fft.next_fast_len(length, real=True)
            spectra = fft.rfft(left, padded) * fft.rfft(right, padded)
            weights = fft.irfft(spectra, padded)[:, :length]
        weights /= weights.sum(axis=-1, keepdims=True)
    return table @ weights[0][: table.shape[1]]


def exactly(table, probabilities, counts):
    return to_float(average_over_load(to_exact(table), to_exact(probabilities), counts))


# Divide and conquer


def test_averages_by_hand():
    table = np.array([[1.0, 2.0, 4.0]])
    counts = np.array([1, 1, 1])
    average = average_over_load(table, np.array([0.25, 0.5, 0.0]), counts)
    # the others' loads: 1/2 of one; 1/4 of one; 3/8, 1/2, 1/8
    assert_allclose(average, [[1.5, 1.25, 0.375 + 1.0 + 0.5]])
    assert_array_equal(
        average_over_load(np.array([[7.0], [8.0]]), np.array([0.3]), np.array([1])), [[7.0], [8.0]]
    )


def test_exact_entries_stay_exact():
    a, b = sympy.symbols("a b")
    t = np.array([[*sympy.symbols("t0:3")]])
    average = average_over_load(t, np.array([a, b]), np.array([2, 1]))
    by_hand = [
        t[0, 0] * (1 - a) * (1 - b) + t[0, 1] * (a * (1 - b) + b * (1 - a)) + t[0, 2] * a * b,
        t[0, 0] * (1 - a) ** 2 + 2 * t[0, 1] * a * (1 - a) + t[0, 2] * a**2,
    ]
    assert average.shape == (1, 2)
    assert [sympy.expand(x - y) for x, y in zip(average[0], by_hand, strict=True)] == [0, 0]

    rng = np.random.default_rng(1)
    counts = np.array([2, 1, 3])
    probability = rationals(rng.integers(0, 6, 3), np.full(3, 5))
    table = rationals(rng.integers(-9, 9, (2, 6)), rng.integers(1, 9, (2, 6)))
    exact = average_over_load(table, probability, counts)
    single = average_over_load(table, np.repeat(probability, counts), np.ones(6, dtype=int))
    assert (np.repeat(exact, counts, axis=-1) == single).all()
    assert all(isinstance(entry, fmpq) for entry in exact.flat)
    with precision(128):
        balls = average_over_load(enclose(table), enclose(probability), counts)
        for ball, number in zip(balls.flat, exact.flat, strict=True):
            assert Ball(ball).lower <= number <= Ball(ball).upper


def test_pure_policies_are_exact():
    table = np.array([[0.1, 0.2, 0.3, 0.7]])
    average = average_over_load(table, np.array([0.0, 1.0, 1.0, 0.0]), np.ones(4, dtype=int))
    assert_array_equal(average, [[0.3, 0.2, 0.2, 0.3]])


@pytest.mark.parametrize("few", [0, 10**6])
def test_leading_axes_are_broadcast(few, monkeypatch, rng):
    monkeypatch.setattr(loads, "FEW_AGENTS", few)
    monkeypatch.setattr(loads, "PER_COLUMN", few)
    table, probability = rng.normal(size=(4, 1, 3, 6)), rng.random((2, 3))
    counts = np.array([1, 2, 3])
    averages = average_over_load(table, probability, counts)
    assert averages.shape == (4, 2, 3, 3)
    for row in range(4):
        for column in range(2):
            one = average_over_load(table[row, 0], probability[column], counts)
            assert_allclose(averages[row, column], one, atol=1e-15)
            assert_allclose(one, exactly(table[row, 0], probability[column], counts), atol=3e-15)
    shared = average_over_load(table[0, 0], probability, counts)
    assert_allclose(shared, averages[0], atol=1e-15)


# By frequencies


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.floats(0, 1),
                st.sampled_from([0.0, 1e-300, 1e-17, 1e-9, 0.125, 0.5, 0.875, 1 - 1e-9, 1.0]),
                st.sampled_from([np.nextafter(x, y) for x in (0.125, 0.5, 0.875) for y in (0, 1)]),
            ),
            st.integers(1, 12),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_few_agents_against_rationals(groups):
    probabilities, counts = (np.array(column) for column in zip(*groups, strict=True))
    table = tables(counts.sum())
    average = average_by_frequencies(table, probabilities, counts)
    assert_allclose(average, exactly(table, probabilities, counts), rtol=0, atol=OBSERVED)


@pytest.mark.parametrize("agents", [100, 161, 162, 300, 1000])
@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3, 1, 10])
def test_different_agents_against_scipy(agents, spread):
    """The variance passes the change of method (40) at about 160 agents, if half are mixed."""
    rng = np.random.default_rng(agents)
    probabilities = rng.beta(spread, spread, agents)
    table = tables(agents)
    average = average_over_load(table, probabilities, np.ones(agents, dtype=int))
    for agent in (probabilities.argmin(), probabilities.argmax(), agents // 2):
        law = stats.poisson_binom(np.delete(probabilities, agent))
        expected = table @ law.pmf(np.arange(agents))
        assert_allclose(average[:, agent], expected, rtol=0, atol=OBSERVED)


MILLION = 10**6
POPULATIONS = {
    "all one half": ([0.5], [MILLION]),
    "equal in different groups": ([0.3, 0.3], [400_000, 600_000]),
    "two groups": ([0.2, 0.7], [300_000, 700_000]),
    "three groups": ([1e-3, 0.5, 0.999], [400_000, 200_000, 400_000]),
    "rare": ([1e-6, 2e-5], [500_000, 500_000]),
    "rare and common": ([1e-9, 1 - 1e-9], [500_000, 500_000]),
    "variance 40": ([4e-5, 0.5], [999_999, 1]),
    "variance 39 with mixed": ([1e-6, 0.5], [999_850, 150]),
    "variance 40 with mixed": ([1e-6, 0.5], [999_842, 158]),
    "variance 41 with mixed": ([1e-6, 0.5], [999_838, 162]),
    "nearly mixed": ([1e-6, 0.1251, 0.8749], [999_640, 180, 180]),
    "one mixed among pure": ([0.0, 0.5, 1.0], [499_999, 1, 500_000]),
    "pure": ([0.0, 1.0], [1, MILLION - 1]),
    "at the change of side": ([0.5, np.nextafter(0.5, 1)], [500_000, 500_000]),
    "a hundred thousand": ([0.01, 0.6], [60_000, 40_000]),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_many_agents_in_groups_against_convolutions(name):
    probabilities, counts = (np.array(column) for column in POPULATIONS[name])
    table = np.concatenate([tables(counts.sum()), jump(counts.sum(), probabilities, counts)])
    average = average_over_load(table, probabilities, counts)
    expected = by_convolution(table, probabilities, counts)
    assert_allclose(average, expected.astype(float), rtol=0, atol=OBSERVED)


KINDS = {
    "uniform": lambda rng, agents: rng.random(agents),
    "near one half": lambda rng, agents: 0.5 + 1e-3 * rng.normal(size=agents),
    "near 0": lambda rng, agents: rng.random(agents) * 40 / agents,
    "near 0 and 1": lambda rng, agents: rng.beta(10 / agents, 10 / agents, agents),
    "bimodal": lambda rng, agents: np.where(rng.random(agents) < 0.5, 1e-9, 1 - 1e-9),
    "logarithmic": lambda rng, agents: 10 ** rng.uniform(-12, 0, agents),
}


def compare_with_product_tree(kind, agents):
    rng = np.random.default_rng(5)
    probabilities, counts = KINDS[kind](rng, agents), np.ones(agents, dtype=int)
    table = np.concatenate([tables(agents), jump(agents, probabilities, counts)])
    average = average_over_load(table, probabilities, counts)
    errors = []
    for agent in (int(probabilities.argmin()), int(abs(probabilities - 0.5).argmin())):
        expected = by_product_tree(table, probabilities, agent).astype(float)
        errors.append(abs(average[:, agent] - expected).max())
    return max(errors)


@pytest.mark.parametrize("kind", KINDS)
def test_different_agents_against_a_product_tree(kind):
    assert compare_with_product_tree(kind, 10_000) < OBSERVED


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_different_agents_against_a_product_tree(kind):
    assert compare_with_product_tree(kind, MILLION) < OBSERVED


def test_only_a_window_of_the_table_is_read():
    table = np.full((1, MILLION), np.nan)
    table[:, 495_000:505_000] = 1
    average = average_over_load(table, np.array([0.5]), np.array([MILLION]))
    assert_allclose(average, [[1]], rtol=1e-15)


def test_errors_scale_with_the_range_over_the_window():
    """A table that is as large as the number of agents, and whose exact average is known."""
    probabilities = np.random.default_rng(3).random(MILLION)
    average = average_over_load(
        np.arange(MILLION)[None], probabilities, np.ones(MILLION, dtype=int)
    )
    assert_allclose(average[0], probabilities.sum() - probabilities, rtol=0, atol=1e-9)


def test_groups_are_what_their_agents_are(rng):
    counts, probabilities = rng.integers(1, 40, 50), rng.random(50)
    table = tables(counts.sum())
    single = average_over_load(
        table, np.repeat(probabilities, counts), np.ones(counts.sum(), dtype=int)
    )
    grouped = average_over_load(table, probabilities, counts)
    assert_allclose(np.repeat(grouped, counts, axis=-1), single, rtol=0, atol=OBSERVED)


def seconds(agents):
    rng = np.random.default_rng(7)
    case = rng.normal(size=(2, agents)), rng.random(agents), np.ones(agents, dtype=int)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        average_over_load(*case)
        times.append(time.perf_counter() - start)
    return min(times)


def test_cost_is_linear_in_the_number_of_agents():
    """Exponent 1 with room for a busy machine; quadratic would be 10^4 times as long."""
    assert seconds(MILLION) < 500 * seconds(MILLION // 100)


def test_memory_is_linear_in_the_number_of_agents():
    case = np.ones((2, MILLION)), np.full(MILLION, 0.3), np.ones(MILLION, dtype=int)
    tracemalloc.start()
    average_over_load(*case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8 * MILLION


# The load of all agents


@pytest.mark.parametrize("agents", [1, 2, 7, 60, 300, 4000])
def test_the_load_of_all_follows_from_that_of_the_others(agents, rng):
    """E t(L) = (1 - p_i) E t(L_{-i}) + p_i E t(1 + L_{-i}), whichever agent i is."""
    groups = min(agents, 5)
    counts = np.full(groups, agents // groups)
    counts[0] += agents - counts.sum()
    probabilities, tables = rng.random((3, groups)), rng.normal(size=(2, agents + 1))
    mean = expect_load(tables, probabilities, counts)
    assert mean.shape == (3, 2)
    others = average_over_load(
        np.concatenate([tables[:, :-1], tables[:, 1:]]), probabilities, counts
    )
    passed, used = others[:, :2], others[:, 2:]
    p = probabilities[:, None, :]
    for agent in range(groups):
        assert_allclose(((1 - p) * passed + p * used)[..., agent], mean, atol=1e-13)


def test_the_load_of_all_is_exact_for_rationals():
    third = fmpq(1, 3)
    tables = np.array([[fmpq(k**2) for k in range(5)]])
    mean = expect_load(tables, np.array([third, fmpq(1, 2)]), np.array([3, 1]))
    # Var + mean²: 3 (1/3)(2/3) + 1/4 + (3/2)²
    assert mean[0] == fmpq(2, 3) + fmpq(1, 4) + fmpq(9, 4)
