"""The scalar facts behind the KL theorems: lemmas are proved, controls fail, both forms agree."""

from itertools import combinations, pairwise
from math import prod

import mpmath
import pytest
import sympy
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from pmdlib.arithmetic import UndecidedError, precision
from pmdlib.arithmetic.branch_and_bound import prove_nonnegative
from pmdlib.arithmetic.intervals import Interval, exp, log, remainder
from pmdlib.claims.ways.lemmas import (
    BEST_ACTION,
    CONSTANT_STEP,
    CONTROLS,
    LEMMAS,
    LOG_FORM,
    PAPER_STEP,
    check_lemmas,
    prove,
)
from pmdlib.errors import PmdError

FALSE = {control.name: control for several in CONTROLS.values() for control in several}
EVERYTHING = LEMMAS | FALSE


def as_sympy(x):
    return sympy.Rational(int(x.numerator), int(x.denominator))


def as_mpf(x):
    return mpmath.mpf(int(x.numerator)) / int(x.denominator)


def variables(lemma):
    return sympy.symbols([name for name, *_ in lemma.ranges])


@pytest.mark.parametrize("name", LEMMAS)
def test_every_lemma_is_proved_and_its_cover_fills_the_box(name):
    lemma = LEMMAS[name]
    proof = prove(lemma)
    assert proof.proved is True
    word = "box" if proof.boxes == 1 else "boxes"
    assert proof.outcome == f"proved on {proof.boxes} {word}"
    assert proof.lower >= 0
    assert proof.counterexample is None
    assert proof.waiting == 0
    assert sum(prod(x.width for x in box) for box in proof.cover) == prod(
        x.width for x in lemma.box
    )
    for first, second in combinations(proof.cover, 2):  # no two share more than an edge
        assert any(
            min(a.upper, b.upper) <= max(a.lower, b.lower)
            for a, b in zip(first, second, strict=True)
        )


def test_the_proofs_need_few_boxes_and_any_precision():
    assert sum(prove(lemma).boxes for lemma in LEMMAS.values()) < 100
    assert all(prove(lemma, bits=200).proved for lemma in LEMMAS.values())
    assert all(prove(lemma, bits=32).proved for lemma in LEMMAS.values())


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_regular_form_is_the_stated_one(name):
    """An identity, for lemmas and for controls: the difference simplifies to zero."""
    lemma = EVERYTHING[name]
    symbols = variables(lemma)
    difference = lemma.stated(*symbols) - lemma.regular(*symbols)
    assert sympy.simplify(difference) == 0


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_two_forms_overlap_as_intervals(name, rng):
    lemma = EVERYTHING[name]
    for _ in range(10):
        point = [x.lower + x.width * fmpq(int(rng.integers(1, 1000)), 1001) for x in lemma.box]
        point = [Interval(x) for x in point]
        stated, regular = lemma.stated(*point), lemma.regular(*point)
        assert max(stated.lower, regular.lower) <= min(stated.upper, regular.upper)


#: The false inequalities once more, by hand: left less right side in mpmath.
BY_HAND = {
    "tangent-parabola": lambda x: mpmath.exp(x) - 1 - x - x**2 / 2,
    "secant-slope-half": lambda x: mpmath.diff(lambda t: mpmath.expm1(t) / t, x) - 0.5,
    "bennett-slope-sixth": lambda y: (
        mpmath.diff(lambda t: (mpmath.expm1(t) - t) / t**2, y) - mpmath.mpf(1) / 6
    ),
    "bracket-third": lambda u, c: c / 3 - (c - u) * (mpmath.expm1(u) - u) / u**2,
    "bracket-to-four": lambda u, c: c / 2 - (c - u) * (mpmath.expm1(u) - u) / u**2,
    "bernoulli-two-fifths": lambda u: mpmath.mpf(2) / 5 - 1 / u + 1 / mpmath.expm1(u),
    "share-quarter": lambda u, c: c / 4 - c * (1 / u - 1 / mpmath.expm1(u)),
    "half-share-eleven-twentieths": lambda u, c: (
        1 - c * (1 / u - 1 / mpmath.expm1(u)) - mpmath.mpf(11) / 20
    ),
    "half-share-to-three-halves": lambda u, c: 0.5 - c * (1 / u - 1 / mpmath.expm1(u)),
    "best-action-below-twice": lambda x: x * mpmath.expm1(x) - 2 * (mpmath.expm1(x) - x),
    "best-action-top-to-three-halves": lambda x, c: (x - c * x**2) * (mpmath.expm1(x) - x),
    "pinsker-eleven-fifths": lambda p, q: (
        p * mpmath.log(p / q)
        + (1 - p) * mpmath.log((1 - p) / (1 - q))
        - mpmath.mpf(11) / 5 * (p - q) ** 2
    ),
}


@pytest.mark.parametrize("name", FALSE)
def test_every_control_is_refuted_at_a_point_of_its_range(name):
    control = FALSE[name]
    proof = prove(control)
    assert proof.proved is False
    assert proof.outcome.startswith("refuted at (")
    point = proof.counterexample
    assert all(x.lower <= value <= x.upper for x, value in zip(control.box, point, strict=True))
    assert control.constraint is None or control.constraint(*point) >= 0
    with mpmath.workdps(40):
        by_hand = BY_HAND[name](*map(as_mpf, point))
        stated = control.stated(*map(as_sympy, point)).evalf(40)
        assert by_hand < -1e-6
        assert by_hand == pytest.approx(float(stated), rel=1e-12)


def test_every_lemma_has_a_control():
    assert set(CONTROLS) == set(LEMMAS)
    assert all(CONTROLS.values())
    assert set(BY_HAND) == set(FALSE)
    assert not set(FALSE) & set(LEMMAS)


def test_each_lemma_means_what_the_proof_says():
    """The steps between a lemma and the line of the proof that uses it, as identities."""
    x, y, p, q = sympy.symbols("x y p q")
    u, c = sympy.symbols("u c_0")
    for name, function in (
        ("secant-slope", (sympy.exp(y) - 1) / y),
        ("bennett", (sympy.exp(y) - 1 - y) / y**2),
    ):
        assert sympy.simplify(sympy.diff(function, y) - LEMMAS[name].stated(y)) == 0
    kl = p * sympy.log(p / q) + (1 - p) * sympy.log((1 - p) / (1 - q))
    slope = sympy.diff(kl - 2 * (p - q) ** 2, q)
    assert sympy.simplify(q * (1 - q) * (q - p) * slope - LEMMAS["pinsker"].stated(p, q)) == 0
    # V' - V >= ηΣVar - VΣψ with V = Qmax - b, u = ηb: the price of normalising, per ηVar.
    step, b = sympy.symbols("eta b", positive=True)
    price = (c / step - b) * (sympy.exp(u) - 1 - u) / b**2 / step
    bracket = 1 - (c - u) * (sympy.exp(u) - 1 - u) / u**2
    assert sympy.simplify((1 - price).subs(u, step * b) - bracket.subs(u, step * b)) == 0
    bernoulli = 1 / u - 1 / (sympy.exp(u) - 1)
    assert sympy.simplify(bracket - (sympy.exp(u) - 1) / u * (1 - c * bernoulli)) == 0
    assert sympy.simplify(remainder(2, u) / remainder(1, u) - bernoulli) == 0
    # On the maximum: what is left after x², and below it for all x after division by e^x.
    left = x * (sympy.exp(x) - 1) - x**2
    assert sympy.expand(left - x * (sympy.exp(x) - 1 - x)) == 0
    tangent = LEMMAS["tangent"].stated(-x) * sympy.exp(x)
    assert sympy.simplify(LEMMAS["best-action-below"].stated(x) - tangent) == 0


def test_remainders_by_their_recurrence_and_slope():
    x = sympy.symbols("x")
    for k in range(5):
        here, after = remainder(k, x), remainder(k + 1, x)
        assert sympy.simplify(here - sympy.Rational(1, sympy.factorial(k)) - x * after) == 0
        assert sympy.simplify(sympy.diff(here, x) - here + k * after) == 0


def integral(k, x):
    """E_k by quadrature of its integral, another route than the series."""
    if k == 0:
        return mpmath.exp(x)
    weight = mpmath.factorial(k - 1)
    return mpmath.quad(lambda s: mpmath.exp(s * x) * (1 - s) ** (k - 1) / weight, [0, 1])


small = st.fractions(-4, 4, max_denominator=64).map(lambda x: fmpq(x.numerator, x.denominator))


@given(st.integers(0, 5), small, small, st.fractions(0, 1, max_denominator=9))
def test_remainders_contain_the_truth(order, first, second, where):
    x = Interval(min(first, second), max(first, second))
    point = x.lower + x.width * fmpq(where.numerator, where.denominator)
    with mpmath.workdps(30):
        truth = integral(order, as_mpf(point))
        for bits in (24, 64):
            with precision(bits):
                wide, tight = remainder(order, x), remainder(order, Interval(point))
            for enclosure in (wide, tight):
                assert as_mpf(enclosure.lower) <= truth + mpmath.mpf(10) ** -25
                assert as_mpf(enclosure.upper) >= truth - mpmath.mpf(10) ** -25
            assert tight.width < fmpq(1, 2 ** (bits - 14))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_remainders_account_for_what_is_cut_off(order):
    """Eight terms of the series at ±4: the tail is larger than all rounding at eight bits."""
    for x in (4, -4):
        with precision(8):
            enclosure = remainder(order, Interval(x))
        truth = integral(order, mpmath.mpf(x))
        assert as_mpf(enclosure.lower) <= truth <= as_mpf(enclosure.upper)
        cut = truth - sum(mpmath.mpf(x) ** j / mpmath.factorial(j + order) for j in range(8))
        assert as_mpf(enclosure.width) > 2 * abs(cut)


@given(small, small, small, small, st.fractions(0, 1), st.fractions(0, 1))
def test_interval_operations_contain_those_of_their_points(a, b, c, d, s, t):
    left, right = Interval(min(a, b), max(a, b)), Interval(min(c, d), max(c, d))
    x = left.lower + left.width * fmpq(s.numerator, s.denominator)
    y = right.lower + right.width * fmpq(t.numerator, t.denominator)
    pairs = [(left + right, x + y), (left - right, x - y), (left * right, x * y)]
    pairs += [(left**n, x**n) for n in range(5)] + [(2 - left, 2 - x), (3 * left, 3 * x)]
    if not right.lower <= 0 <= right.upper:
        pairs += [(left / right, x / y), (1 / right, 1 / y), (right**-2, y**-2)]
    for enclosure, value in pairs:
        assert enclosure.lower <= value <= enclosure.upper


def test_intervals_keep_their_exact_ends():
    x = Interval(0, fmpq(1, 3))
    assert (x * Interval(1, 2)).lower == 0
    assert str(Interval(-1, 2) ** 2) == "[0, 4]"
    assert exp(x).lower <= 1 < exp(x).upper
    assert log(Interval(1, 2)).upper < fmpq(7, 10)
    assert x.halves()[0].upper == x.halves()[1].lower == x.middle


def test_intervals_refuse_what_is_not_exact_or_not_defined():
    with pytest.raises(TypeError, match=r"cannot end at 0\.5: it is no exact number"):
        Interval(0, 0.5)
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        Interval(1, 0)
    with pytest.raises(UndecidedError, match=r"divisor \[-1, 1\] may be zero"):
        1 / Interval(-1, 1)
    with pytest.raises(UndecidedError, match="logarithm"):
        log(Interval(0, 1))


def test_an_interior_zero_is_left_undecided():
    """(3x - 1)² multiplied out: no enclosure sees its sign at 1/3, which is no dyadic point."""
    proof = prove_nonnegative(lambda x: 9 * x * x - 6 * x + 1, [Interval(0, 1)], boxes=200)
    assert proof.proved is None
    assert proof.counterexample is None
    assert proof.waiting > 0
    assert proof.outcome == "undecided after 201 boxes"
    done = sum(box[0].width for box in proof.cover)
    assert 0 < done < 1


def test_the_search_gives_up_when_the_boxes_run_out():
    proof = prove(LEMMAS["bennett"], boxes=3)
    assert proof.proved is None
    assert proof.lower is None or proof.lower >= 0
    assert check_lemmas(["bennett"], boxes=3)["proved"] == 0


def test_the_constraint_excludes_and_allows():
    """x + y >= 1 on the square where x + y >= 1; not where the constraint is dropped or moved."""

    def above(x, y):
        return x + y - 1

    square = [Interval(0, 1), Interval(0, 1)]
    assert prove_nonnegative(lambda x, y: x + y - fmpq(3, 4), square, above).proved
    proof = prove_nonnegative(lambda x, y: x + y - fmpq(3, 2), square, above)
    assert proof.proved is False
    assert 1 <= sum(proof.counterexample) < fmpq(3, 2)
    assert prove_nonnegative(above, square).proved is False


def test_boxes_are_cut_across_the_longest_side():
    proof = prove_nonnegative(lambda x, y: x - y, [Interval(8, 9), Interval(0, 8)])
    assert [str(box) for box in proof.cover] == ["([8, 9], [0, 8])"]
    proof = prove_nonnegative(lambda x, y: y * y - y + 1 + 0 * x, [Interval(0, 1), Interval(0, 4)])
    ends = sorted({box[1].lower for box in proof.cover} | {fmpq(4)})
    assert all(low < high for low, high in pairwise(ends))
    assert all(box[0].width == 1 for box in proof.cover)


def test_groups_and_summary():
    groups = (CONSTANT_STEP, BEST_ACTION, PAPER_STEP, LOG_FORM)
    assert {lemma.name for group in groups for lemma in group} == set(LEMMAS)
    assert all(LEMMAS[lemma.name] is lemma for group in groups for lemma in group)
    summary = check_lemmas()
    assert summary["lemmas"] == summary["proved"] == len(LEMMAS)
    assert summary["controls"] == summary["controls refuted"] == len(FALSE)
    assert summary["lemma names"] == list(LEMMAS)
    assert summary["bits"] == 64
    two = check_lemmas(["pinsker", "bracket"], bits=96)
    assert (two["lemmas"], two["controls"], two["bits"]) == (2, 3, 96)
    with pytest.raises(PmdError, match=r"no lemma is called 'jensen', must be one of tangent, "):
        check_lemmas(["jensen"])
