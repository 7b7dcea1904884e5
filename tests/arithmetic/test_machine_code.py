"""What is compiled computes what was recorded, bit for bit."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.arithmetic import (
    exp,
    largest,
    log,
    log_normalise,
    machine_code,
    maximum,
    smallest,
    solve,
    sort,
    sqrt,
)
from pmdlib.arithmetic.machine_code import HostFunction, compiled
from pmdlib.arithmetic.program_text import loop_text
from pmdlib.arithmetic.recording import Tape
from pmdlib.learning.mirror_maps import project_to_simplex


def next_rows(function, rows):
    """Record an array function of one row, compile it and apply it to each row."""
    tape = Tape()
    row = tape.inputs(rows.shape[1:])
    results = [tape.place(entry) for entry in np.asarray(function(row), dtype=object).flat]
    results += [0] * (row.size - len(results))
    table = np.concatenate([rows, np.full_like(rows, np.nan)])
    compiled(loop_text(tape, {0: results}))([table], len(rows), len(rows))
    return table[len(rows) :]


def same_bits(left, right):
    """Equal, zeros of equal sign; any NaN is as good as another."""
    both = np.isnan(left) & np.isnan(right)
    return (both | ((left == right) & (np.signbit(left) == np.signbit(right)))).all()


# Random expressions, against NumPy

ARITHMETIC = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x, _: -x,
    "abs": lambda x, _: abs(x),
    "square": lambda x, _: x**2,
    "sqrt": lambda x, _: np.sqrt(x),
}

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, sys.float_info.max]

numbers = st.sampled_from(SPECIAL) | st.floats()


def maximum_of(x, y):
    """The first in a tie; NaN if either is."""
    if not isinstance(x, float):
        return x.maximum(y) if hasattr(x, "maximum") else y.maximum(x)
    return y if y > x or np.isnan(y) else x


def minimum_of(x, y):
    if not isinstance(x, float):
        return x.minimum(y) if hasattr(x, "minimum") else y.minimum(x)
    return y if y < x or np.isnan(y) else x


@st.composite
def programs(draw):
    """Operations, each on earlier results or on a literal."""
    steps = []
    for place in range(4, 4 + draw(st.integers(1, 25))):
        name = draw(st.sampled_from([*ARITHMETIC, "max", "min"]))
        left = draw(st.integers(0, place - 1))
        right = draw(st.integers(0, place - 1) | numbers)
        steps.append((name, left, right, draw(st.booleans())))
    return steps


def run(steps, inputs):
    values = list(inputs)
    functions = ARITHMETIC | {"max": maximum_of, "min": minimum_of}
    for name, left, right, swapped in steps:
        x, y = values[left], right if isinstance(right, float) else values[right]
        if swapped and not (name in ("max", "min") and isinstance(y, float)):
            x, y = y, x
        if name in ("neg", "abs", "square", "sqrt"):
            x = values[left]
        values.append(functions[name](x, y))
    return values[-4:]


@given(programs(), st.lists(numbers, min_size=4, max_size=4))
def test_any_program_gives_the_bits_of_numpy(steps, inputs):
    with np.errstate(all="ignore"):
        expected = np.array(run(steps, [np.float64(x) for x in inputs]))
    (found,) = next_rows(lambda row: np.array(run(steps, row), dtype=object), np.array([inputs]))
    assert same_bits(found, expected)


@pytest.mark.parametrize("x", SPECIAL)
@pytest.mark.parametrize("y", SPECIAL)
def test_extremes_keep_nan_and_the_first_of_a_tie(x, y):
    def both(row):
        return [row[0].maximum(row[1]), row[0].minimum(row[1]), row[0].maximum(y)]

    ((larger, smaller, literal),) = next_rows(both, np.array([[x, y, 0.0]]))
    assert same_bits(np.array(larger), np.array(maximum_of(x, y)))
    assert same_bits(np.array(smaller), np.array(minimum_of(x, y)))
    assert same_bits(np.array(literal), np.array(larger))


@given(st.lists(numbers, min_size=3, max_size=3))
def test_exponentials_logarithms_and_powers_are_those_of_the_c_library(inputs):
    def functions(row):
        return [row[0].exp(), row[1].log(), row[2] ** 3]

    (found,) = next_rows(functions, np.array([inputs]))
    with np.errstate(all="ignore"):
        expected = [np.exp(inputs[0]), np.log(inputs[1]), np.float64(inputs[2]) ** 3]
    assert_allclose(found, expected, rtol=1e-15, atol=5e-324)


# The functions of this package


ROWS = np.array(
    [
        [0.3, 0.1, 0.2, 0.4],
        [1.0, 1.0, 0.0, 2.0],
        [1e300, -1e300, 5.0, 1e300],
        [-1000.0, -2000.0, -1000.5, -1e5],
        [5e-324, 0.0, -0.0, 3.0],
    ]
)


EXACT = {
    "sort": sort,
    "largest": largest,
    "smallest": smallest,
    "project": project_to_simplex,
    "maximum": lambda row: maximum(row, 0.25),
    "maximum-swapped": lambda row: maximum(0.25, row),
    "cumsum": lambda row: abs(row).cumsum(axis=-1),
    "sqrt": lambda row: sqrt(abs(row)),
}


@pytest.mark.parametrize("function", EXACT.values(), ids=EXACT)
def test_functions_of_exact_operations_agree_to_the_bit(function):
    found = next_rows(function, ROWS)
    expected = function(ROWS)
    expected = expected.reshape(len(ROWS), -1)
    assert_array_equal(found[:, : expected.shape[1]], expected)


@pytest.mark.parametrize("function", [log_normalise, exp, lambda row: log(abs(row) + 1)])
def test_transcendental_functions_agree_to_an_ulp_or_two(function):
    with np.errstate(over="ignore"):
        expected = function(ROWS)
    assert_allclose(next_rows(function, ROWS), expected, rtol=4e-16)


def test_logarithms_of_zero_stay_and_are_no_nan():
    rows = np.array([[-np.inf, -1e-80, -np.inf], [0.0, -1e5, -np.inf], [-1e-300, -800.0, -1e4]])
    found = next_rows(log_normalise, rows)
    assert_array_equal(np.isneginf(found), np.isneginf(rows))
    assert_allclose(found, log_normalise(rows), rtol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1 - 1e-6])
def test_systems_that_the_diagonal_dominates_are_solved(size, discount, rng):
    kernel = rng.dirichlet(np.full(size, 0.1), size)
    right = rng.normal(size=(size, 3))

    def solution(row):
        return solve(np.eye(size) - discount * row[:, :size], row[:, size:])

    (found,) = next_rows(solution, np.concatenate([kernel, right], axis=1)[None])
    solved = found.flat[: 3 * size].reshape(size, 3)
    matrix = np.eye(size) - discount * kernel
    scale = abs(matrix) @ abs(solved) + abs(right)
    assert (abs(matrix @ solved - right) <= 4 * size * np.finfo(float).eps * scale).all()


# The loop


def test_rows_follow_from_rows_and_fixed_arrays_stay():
    """Two interleaved sequences x' = a x + b y, y' = y - 1/a."""
    tape = Tape()
    a, b = tape.inputs((2,))
    (x,), (y,) = tape.inputs((1,)), tape.inputs((1,))
    text = loop_text(tape, {1: [tape.place(a * x + b * y)], 2: [tape.place(y - 1 / a)]})
    assert text.index("fdiv") < text.index("row:")  # once, before the loop
    numbers = np.array([2.0, 3.0])
    xs, ys = np.zeros((6, 2, 1)), np.zeros((6, 2, 1))
    xs[0], ys[0] = [[1.0], [10.0]], [[0.5], [4.0]]
    expected = [(xs[0].copy(), ys[0].copy())]
    for _ in range(5):
        x, y = expected[-1]
        expected.append((2 * x + 3 * y, y - 0.5))
    compiled(text)([numbers, xs, ys], 10, 2)
    assert_array_equal(numbers, [2.0, 3.0])
    assert_array_equal(xs, [x for x, _ in expected])
    assert_array_equal(ys, [y for _, y in expected])


def test_what_no_result_needs_is_not_written():
    tape = Tape()
    x, y = tape.inputs((2,))
    x.exp() * y
    text = loop_text(tape, {0: [tape.place(y), tape.place(x)]})
    assert "fmul" not in text
    assert "call" not in text
    table = np.array([[1.0, 2.0], [0.0, 0.0]])
    compiled(text)([table], 1, 1)
    assert_array_equal(table[1], [2.0, 1.0])


def test_no_rows_no_work():
    tape = Tape()
    (x,) = tape.inputs((1,))
    table = np.array([[1.0], [2.0]])
    compiled(loop_text(tape, {0: [tape.place(x + 1)]}))([table], 0, 1)
    assert_array_equal(table, [[1.0], [2.0]])


def test_a_text_is_compiled_once_whoever_asks(monkeypatch):
    made = []

    class Counted(machine_code.Loop):
        def __init__(self, text):
            made.append(text)
            super().__init__(text)

    monkeypatch.setattr(machine_code, "Loop", Counted)
    tape = Tape()
    (x,) = tape.inputs((1,))
    texts = [loop_text(tape, {0: [tape.place(x * k + 0.0123)]}) for k in range(2, 6)]
    barrier, wrong = threading.Barrier(8), []

    def work(seed):
        order = np.random.default_rng(seed).permutation(4)
        barrier.wait()
        for k in order:
            table = np.zeros((200, 1))
            compiled(texts[k])([table], 199, 1)
            expected = [0.0]
            for _ in range(199):
                expected.append(expected[-1] * (k + 2) + 0.0123)
            if not np.array_equal(table[:, 0], expected):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sorted(made) == sorted(texts)


# Functions for the processor that runs them

WEIGHTED_SUM = """
define void @add(ptr %result, ptr %left, ptr %right, i64 %size, i64 %weight) {
start:
  %factor = sitofp i64 %weight to double
  br label %next
next:
  %i = phi i64 [ 0, %start ], [ %i.next, %next ]
  %x.at = getelementptr double, ptr %left, i64 %i
  %x = load double, ptr %x.at
  %y.at = getelementptr double, ptr %right, i64 %i
  %y = load double, ptr %y.at
  %wy = fmul double %factor, %y
  %sum = fadd double %x, %wy
  %sum.at = getelementptr double, ptr %result, i64 %i
  store double %sum, ptr %sum.at
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %size
  br i1 %more, label %next, label %end
end:
  ret void
}
"""


def test_a_host_function_gets_arrays_and_then_integers(rng):
    add = HostFunction(WEIGHTED_SUM, "add", arrays=3, numbers=2)
    left, right = rng.normal(size=(2, 9))
    result = np.full(9, np.nan)
    add((result, left, right), 8, -3)
    assert_array_equal(result[:8], left[:8] - 3 * right[:8])
    assert np.isnan(result[8])


def test_a_host_function_needs_llvm_and_a_text_that_it_accepts(monkeypatch):
    with pytest.raises(RuntimeError, match="parsing"):
        HostFunction("define void @add( {", "add", arrays=0, numbers=0)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError):
        HostFunction(WEIGHTED_SUM, "add", arrays=3, numbers=2)
