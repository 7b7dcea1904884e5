"""A claim cannot only succeed: what is false, vacuous or without controls is not verified."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from claims.examples import CLAIM, FALSE, TRUE, compare, exactly
from flint import fmpq

import pmdlib as pmd
from pmdlib.arithmetic import is_exact, to_exact
from pmdlib.claims.checking import WAYS, check
from pmdlib.claims.claim import Comparison, Hypothesis, value_rounding
from pmdlib.claims.ways.lemmas import CONTROLS, LEMMAS

ONE, TWO = fmpq(1), fmpq(2)


def test_a_true_claim_with_a_false_control_is_verified():
    verdict = check(CLAIM)
    assert verdict.verified
    assert verdict.ways["numeric"]["instances"] == 12  # whole batches of four
    assert verdict.ways["numeric"]["worst_slack"] == 2.0


@pytest.mark.parametrize(
    ("left", "right", "relation"),
    [(1, 2, ">="), (2, 1, "<="), (ONE, ONE + fmpq(1, 10**9), "==")],
)
def test_a_false_claim_is_refuted_in_floats_and_in_rationals(left, right, relation):
    verdict = check(replace(CLAIM, compare=compare(left, right, relation)))
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 12
    assert verdict.ways["numeric"]["first_failure"] == "isolated, policy 0"
    assert verdict.ways["exact"]["failures"] == 24


@pytest.mark.parametrize(
    ("left", "right", "relation"),
    [(np.nan, 1.0, ">="), (1.0, np.nan, "<="), (np.nan, np.nan, "==")],
)
def test_nan_is_no_pass(left, right, relation):
    def sides(instance):
        if is_exact(instance.game.initial):
            yield Comparison(exactly(instance, ONE), exactly(instance, ONE), 0, "==")
        else:
            yield Comparison(np.full(instance.count, left), np.array([right]), 1e-12, relation)

    verdict = check(replace(CLAIM, compare=sides))
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 12


def test_one_bad_policy_among_many_refutes():
    def sides(instance):
        yield Comparison(exactly(instance, ONE), exactly(instance, ONE), 1e-12, "==", "fine")
        left = exactly(instance, ONE)
        if instance.count > 2:
            left[2] = -1
        yield Comparison(left, exactly(instance, 0), 1e-12, ">=", "not fine")

    verdict = check(replace(CLAIM, compare=sides), instances=4)
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 1
    assert verdict.ways["numeric"]["first_failure"].endswith("policy 2")
    assert verdict.ways["exact"]["failures"] == 0


def test_the_ways_of_checking():
    """Numeric and exact always; the others where a claim has what they need."""
    assert len(WAYS) == 5
    assert set(check(CLAIM).ways) == {"numeric", "exact"}
    assert set(pmd.verify("mirror-step-kl", instances=1).ways) == {
        "numeric",
        "certified",
        "symbolic",
    }


@pytest.mark.parametrize("controls", [(), (TRUE,), (FALSE, TRUE)])
def test_a_surviving_or_missing_control_leaves_it_inconclusive(controls):
    verdict = check(replace(CLAIM, controls=controls))
    assert verdict.verdict == "inconclusive"
    assert not verdict.verified


def test_a_hypothesis_that_no_instance_meets_leaves_it_inconclusive():
    never = Hypothesis("never", lambda instance: False)
    verdict = check(replace(CLAIM, hypotheses=(never,)))
    assert verdict.verdict == "inconclusive"
    assert verdict.ways["numeric"]["instances"] == 0
    assert verdict.ways["numeric"]["unmet"] == {"never": verdict.ways["numeric"]["skipped"]}


def test_instances_that_fail_a_hypothesis_are_skipped_not_checked():
    first_only = Hypothesis("first", lambda instance: np.arange(instance.count) == 0)

    def sides(instance):
        zero = exactly(instance, fmpq(0))
        yield Comparison(zero + np.arange(instance.count), zero, 1e-12, "==")

    verdict = check(replace(CLAIM, hypotheses=(first_only,), compare=sides))
    assert verdict.verified
    assert verdict.ways["numeric"]["instances"] == 10
    assert verdict.ways["numeric"]["skipped"] == 30


def test_slack_of_each_relation():
    two, one = np.full(1, 2.0), np.ones(1)
    assert Comparison(two, one, 1e-12, ">=").slack == [2.0]
    assert Comparison(one, two, 1e-12, "<=").slack == [2.0]
    assert Comparison(one, two, 4.0, "==").slack == [0.25]
    assert Comparison(two, -one, 1e-12, ">=").slack == [np.inf]  # a negative bound is trivial
    assert Comparison(two, one * 1e-9, 1e-12, ">=").slack == [np.inf]  # lost in rounding


def test_rounding_covers_the_error_against_exact_arithmetic():
    """Float values differ from exact rational ones by less than the tolerance of every claim."""
    rng = np.random.default_rng(3)
    for discount in (0.5, 0.9, 0.99):
        rewards = rng.random((3, 2, 3))
        kernel = rng.dirichlet(np.ones(3), size=(3, 2, 3))
        game = pmd.TabularGame(rewards, kernel, discount=discount)
        exact = game.exact()
        policy = tuple(rng.integers(1, 5, size=(3, m)) / 8 for m in (2, 3))
        policy = tuple(own / own.sum(axis=-1, keepdims=True) for own in policy)
        rational = tuple(to_exact(own) for own in policy)
        rational = tuple(own / own.sum(axis=-1, keepdims=True) for own in rational)
        difference = pmd.values(game, policy) - pmd.values(exact, rational).astype(float)
        assert abs(difference).max() < value_rounding(game)
        assert value_rounding(exact) == 0


def test_a_part_is_counted_only_where_it_says_something():
    def sides(instance):
        even = np.arange(instance.count) % 2 == 0
        one, two = exactly(instance, ONE), exactly(instance, TWO)
        yield Comparison(one, one, 1e-12, "==", "everywhere")
        left = two if is_exact(two) else np.where(even, two, np.nan)
        yield Comparison(left, one, 1e-12, ">=", "even", even)

    verdict = check(replace(CLAIM, compare=sides))
    assert verdict.verified
    parts = verdict.ways["numeric"]["parts"]
    assert (parts["everywhere"]["compared"], parts["even"]["compared"]) == (12, 6)
    assert len(verdict.samples) == 18


def test_a_part_that_never_says_anything_leaves_it_inconclusive():
    def sides(instance):
        one = exactly(instance, ONE)
        yield Comparison(one, one, 1e-12, "==", "said")
        yield Comparison(one, one, 1e-12, "==", "unsaid", False)

    assert check(replace(CLAIM, compare=sides)).verdict == "inconclusive"


def test_a_wrong_identity_of_generic_games_leaves_it_inconclusive():
    def wrong():
        yield Comparison(np.array([sympy.Symbol("x")]), np.array([sympy.Symbol("y")]), 0, "==")

    def right():
        x = sympy.Symbol("x")
        yield Comparison(np.array([(x + 1) ** 2]), np.array([x**2 + 2 * x + 1]), 0, "==")

    verdict = check(replace(CLAIM, symbolic=wrong))
    assert verdict.verdict == "inconclusive"
    assert verdict.ways["symbolic"] == {"instances": 0, "failures": 0, "undecided": 1}
    verdict = check(replace(CLAIM, symbolic=right))
    assert verdict.verified
    assert verdict.ways["symbolic"]["instances"] == 1


def test_a_false_lemma_refutes(monkeypatch):
    """Give a claim a lemma that is one of the false variants."""
    lemma = next(iter(CONTROLS.values()))[0]
    monkeypatch.setitem(LEMMAS, lemma.name, lemma)
    monkeypatch.setitem(CONTROLS, lemma.name, ())
    verdict = check(replace(CLAIM, lemmas=(lemma,)))
    assert verdict.verdict == "refuted"
    assert verdict.ways["interval"]["failures"] == 1
