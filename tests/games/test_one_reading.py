"""Products of tables with one reading are those of NumPy."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.games import one_reading
from pmdlib.games.one_reading import LANES, STREAMS, TURN, WIDEST, products


def drawn(shape, seed=0, vectors=()):
    """Tables, and vectors for each; ``vectors`` are leading axes of theirs, if they differ."""
    rng, lead = np.random.default_rng(seed), vectors or shape[:-2]
    return (
        rng.normal(size=shape),
        rng.normal(size=(*lead, shape[-1])),
        rng.normal(size=(*lead, shape[-2])),
    )


def assert_products(tables, across, down):
    """Compare with sums over whole arrays, in which every term is at most one of these.

    A product by itself is the same, to the last bit, as when both are asked for.
    """
    right, left = products(tables, across, down)
    (right_alone,) = products(tables, across=across)
    (left_alone,) = products(tables, down=down)
    assert_array_equal(right_alone, right)
    assert_array_equal(left_alone, left)
    over_right, over_left = tables * across[..., None, :], down[..., :, None] * tables
    for found, terms, axis in ((right, over_right, -1), (left, over_left, -2)):
        expected = terms.sum(axis=axis)
        assert found.shape == expected.shape
        assert (abs(found - expected) <= 1e-14 * abs(terms).sum(axis=axis)).all()


@pytest.fixture
def no_llvm(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    one_reading._compiled.cache_clear()
    yield
    one_reading._compiled.cache_clear()


def test_a_product_by_hand():
    table = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    right, left = products(table, np.array([1.0, 0.0, -1.0]), np.array([10.0, 1.0]))
    assert_array_equal(right, [-2, -2])
    assert_array_equal(left, [14, 25, 36])


def test_code_is_compiled_here():
    """Where it is not, the other tests look at NumPy only."""
    for sides in ((True, False), (False, True), (True, True)):
        assert one_reading._compiled(LANES, *sides) is not None


@given(
    lead=st.lists(st.integers(1, 3), max_size=2),
    height=st.integers(1, 400),
    width=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_random_shapes(lead, height, width, seed):
    assert_products(*drawn((*lead, height, width), seed))


@pytest.mark.parametrize("width", [LANES - 1, LANES, LANES + 1, 300, WIDEST, WIDEST + 1])
def test_widths_up_to_and_beyond_the_registers(width):
    assert_products(*drawn((2, 5, width)))


@pytest.mark.parametrize("width", [1, 48, 128, TURN, 2 * TURN])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("rounds", [1, 3])
def test_every_row_is_read_once(width, more, rounds):
    """In full rounds of the streams, and where they leave some rows."""
    height = rounds * STREAMS * max(TURN // width, 1) + more
    table = np.arange(2.0 * height * width).reshape(2, height, width)
    across, down = np.arange(1.0, width + 1), np.arange(1.0, height + 1)
    right, left = products(table, across, down)
    assert_array_equal(right, table @ across)  # whole numbers: no sum is rounded
    assert_array_equal(left, down @ table)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 2, 3), (2, 0, 0)])
def test_empty_tables(shape):
    assert_products(*drawn(shape))


@pytest.mark.parametrize("vectors", [(), (1, 1), (3, 1), (1, 4)])
def test_vectors_are_broadcast_to_the_tables(vectors):
    assert_products(*drawn((3, 4, 6, 10), vectors=vectors or (1,)))


def test_vectors_need_not_be_contiguous():
    table, across, down = drawn((20, 30))
    assert_products(table, across[::-1], np.repeat(down, 2)[::2])
    assert_products(table, np.broadcast_to(across[:1], 30), down)


def test_tables_need_not_be_contiguous():
    tables, across, down = drawn((2, 20, 40))
    assert_products(tables[:, ::2, ::2], across[:, ::2], down[:, ::2])
    assert_products(tables.swapaxes(-1, -2), down, across)


@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (7, 16), (2, 18)])
def test_what_is_not_finite_spreads(entry, place):
    """0 times infinity included: a zero weight does not hide it."""
    table, across, down = drawn((8, 19))
    table[place], across[18], down[2] = entry, 0.0, 0.0
    with np.errstate(invalid="ignore"):
        expected = (table * across).sum(axis=1), (down[:, None] * table).sum(axis=0)
    for found, one in zip(products(table, across, down), expected, strict=True):
        assert_allclose(found, one, rtol=1e-12)


def test_a_repetition_gives_the_same_bits():
    table, across, down = drawn((500, 83))
    first = products(table, across, down)
    for again in (products(table, across, down), products(table.copy(), across, down)):
        for one, other in zip(first, again, strict=True):
            assert one.tobytes() == other.tobytes()


def test_a_table_does_not_depend_on_those_beside_it():
    tables, across, down = drawn((4, 50, 21))
    right, left = products(tables, across, down)
    for k in range(4):
        alone = products(tables[k], across[k], down[k])
        assert_array_equal(right[k], alone[0])
        assert_array_equal(left[k], alone[1])


def test_threads_at_the_same_time():
    widths = [64, 65, 66, 67] * 8
    one_reading._compiled.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda width: assert_products(*drawn((300, width), width)), widths))


@pytest.mark.usefixtures("no_llvm")
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 64, 9)])
def test_without_llvm(shape):
    assert one_reading._compiled(shape[-1], True, True) is None
    assert_products(*drawn(shape))
