"""The tape: what is written on it, and what is refused."""

from itertools import product

import numpy as np
import pytest
from flint import fmpq

from pmdlib.arithmetic import Ball, is_exact, order, rounds
from pmdlib.arithmetic.program_text import loop_text
from pmdlib.arithmetic.recording import Recorded, RecordingError, Tape, is_recorded


@pytest.fixture
def tape():
    return Tape()


def assert_failed(tape, why):
    with pytest.raises(RecordingError, match=why):
        loop_text(tape, {0: [0] * tape.sizes[0]})


@pytest.fixture
def x(tape):
    return tape.inputs((2, 3))


def test_the_tape_of_a_small_program(tape):
    x, y = tape.inputs((2,))
    z = (x + y) * (2 - x)
    assert tape.sizes == [2]
    assert tape.operations == [
        ("input", 0, 0),
        ("input", 0, 1),
        ("add", 0, 1),
        ("constant", "0x1.0000000000000p+1"),
        ("sub", 3, 0),
        ("mul", 2, 4),
    ]
    assert z.place == 5


def test_a_repeated_operation_is_recorded_once(x, tape):
    first = (x @ x.T).sum()
    length = len(tape.operations)
    assert (x @ x.T).sum().place == first.place
    assert len(tape.operations) == length


def test_products_and_sums_commute(x):
    a, b = x[0, :2]
    assert (a * b).place == (b * a).place
    assert (a + b).place == (b + a).place
    assert (a - b).place != (b - a).place
    assert (a / b).place != (b / a).place


@pytest.mark.parametrize("one", [1, 1.0, True, np.float64(1), np.int64(1)], ids=repr)
def test_a_factor_of_one_leaves_no_trace(one, x, tape):
    length = len(tape.operations)
    for same in (one * x, x * one, x / one):
        assert [entry.place for entry in same.flat] == [entry.place for entry in x.flat]
    assert len(tape.operations) == length + 1  # the constant


def test_zero_is_neutral_only_where_its_sign_is(x):
    a = x[0, 0]
    assert (a - 0).place == a.place
    assert (a + -0.0).place == a.place
    for other in (a + 0, 0 + a, a - -0.0, 0 - a, 0 * a):  # -0 + 0 = 0, and 0 NaN = NaN
        assert other.place != a.place


def test_constants_of_equal_value_and_different_sign_are_two(x):
    a = x[0, 0]
    assert (a * 0.0).place != (a * -0.0).place
    assert (a * 1).place != (a * 3).place


def test_arrays_combine_from_both_sides(x):
    scalar = x[0, 0]
    floats = np.arange(6.0).reshape(2, 3)
    for array in (scalar * floats, floats * scalar, floats - x, x / floats, x @ floats.T):
        assert array.dtype == object
        assert all(isinstance(entry, Recorded) for entry in array.flat)


def test_numpy_functions_reach_the_entries(x, tape):
    for function in (np.exp, np.log, np.sqrt, np.abs, np.negative):
        result = function(x)
        assert all(isinstance(entry, Recorded) for entry in result.flat)
    assert {operation[0] for operation in tape.operations} == {
        *("input", "exp", "log", "sqrt", "abs", "neg")
    }


ASK = {
    "bool": lambda x: bool(x[0, 0]),
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "equal": lambda x: x[0, 0] == x[0, 0],
    "unequal": lambda x: x[0, 0] != 0,
    "greater": lambda x: x > 0,
    "equal-array": lambda x: x == 0,
    "max": lambda x: x.max(),
    "argmax": lambda x: x.argmax(),
    "maximum": lambda x: np.maximum(x, 0),
    "clip": lambda x: np.clip(x, 0, 1),
    "sort": lambda x: np.sort(x),
    "sign": lambda x: np.sign(x),
    "where": lambda x: np.where(x, 1, 2),
    "any": lambda x: np.any(x),
    "isfinite": lambda x: np.isfinite(x),
    "log1p": lambda x: np.log1p(x),
    "rint": lambda x: np.rint(x),
    "logaddexp": lambda x: np.logaddexp(x, x),
    "inv": lambda x: np.linalg.inv(x[:, :2]),
    "astype": lambda x: x.astype(float),
    "builtin-max": lambda x: max(x[0]),
    "hash": lambda x: hash(x[0, 0]),
    "index": lambda x: [1, 2][x[0, 0]],
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_value_is_never_given(ask, x):
    with pytest.raises(TypeError):
        ask(x)


@pytest.mark.parametrize("other", [fmpq(1, 3), Ball(1), 1j, "1"])
def test_other_kinds_of_number_do_not_mix(other, x, tape):
    for operate in (lambda: x[0, 0] * other, lambda: other - x[0, 0]):
        tape.failure = ""
        operate()
        assert_failed(tape, "no literal")


def test_two_tapes_do_not_mix(x):
    (other,) = Tape().inputs((1,))
    x[0, 0] + other
    assert_failed(x[0, 0].tape, "another")


def test_a_full_tape_gives_up():
    tape = Tape(most=3)
    x, y = tape.inputs((2,))
    x + y
    y + x
    assert not tape.failure
    x * y
    assert_failed(tape, "more than 3")
    with pytest.raises(RecordingError, match="more than 3"):
        tape.inputs((2,))


def test_matrix_products_go_on_when_the_tape_is_full():
    """NumPy would go on after an exception too, and crash."""
    tape = Tape(most=60)
    left, right = tape.inputs((3, 2, 4)), tape.inputs((3, 4, 2))
    for product_of in (lambda: left @ right, lambda: np.einsum("sij,sjk->sik", left, right)):
        assert product_of().shape == (3, 2, 2)
    assert_failed(tape, "more than 60")
    assert len(tape.operations) == 60


def test_recorded_numbers_are_objects_that_round(x):
    assert is_exact(x)
    assert is_exact(x[0, 0])
    assert is_recorded(x)
    assert is_recorded(x[0, 0])
    assert rounds(x)
    assert rounds(np.ones(2))
    assert rounds(1.0)
    assert not rounds(np.array([fmpq(1)]))
    assert not is_recorded(np.array([fmpq(1)]))


@pytest.mark.parametrize("size", range(1, 11))
def test_the_sorting_network_sorts_every_row_of_zeros_and_ones(size):
    """So it sorts everything: the zero-one principle (Knuth, 5.3.4, Theorem Z)."""
    rows = np.array(list(product([0, 1], repeat=size)), dtype=object)
    assert np.array_equal(order._network(rows), np.sort(rows, axis=-1))
