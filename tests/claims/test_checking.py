"""A claim cannot only succeed: what is false, vacuous or without controls is not verified."""

from dataclasses import replace

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.claims.checking import check, check_control
from pmdlib.claims.claim import Claim, Comparison, Control, Hypothesis, Instance, value_rounding
from pmdlib.games import catalogue


def instances(rng):
    game = catalogue.isolated()
    while True:
        yield Instance(game, pmd.random_policy(game, rng, batch=(4,)), "isolated")


def compare(left, right, relation, tolerance=1e-12):
    def sides(instance):
        yield Comparison(np.full(instance.count, left), np.array([right]), tolerance, relation)

    return sides


FALSE = Control("false", "1 = 2", lambda: Comparison(np.ones(1), np.full(1, 2.0), 1e-12, "=="))
TRUE = Control("true", "1 = 1", lambda: Comparison(np.ones(1), np.ones(1), 1e-12, "=="))
CLAIM = Claim(
    name="example",
    tag="derived",
    label="none",
    statement="2 \\ge 1",
    notebook="00-example",
    hypotheses=(),
    instances=instances,
    compare=compare(2.0, 1.0, ">="),
    controls=(FALSE,),
    sizes={"quick": 10, "full": 20},
)


def test_a_true_claim_with_a_false_control_is_verified():
    verdict = check(CLAIM)
    assert verdict.verified
    assert verdict.ways["numeric"]["instances"] == 12  # whole batches of four
    assert verdict.ways["numeric"]["worst_slack"] == 2.0


@pytest.mark.parametrize(
    ("left", "right", "relation"),
    [(1.0, 2.0, ">="), (2.0, 1.0, "<="), (1.0, 1.0 + 1e-9, "=="), (np.nan, 1.0, ">="),
     (1.0, np.nan, "<="), (np.nan, np.nan, "==")],
)  # fmt: skip
def test_a_false_claim_is_refuted(left, right, relation):
    verdict = check(replace(CLAIM, compare=compare(left, right, relation)))
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 12
    assert verdict.ways["numeric"]["first_failure"] == "isolated, policy 0"


def test_one_bad_policy_among_many_refutes():
    def sides(instance):
        left = np.ones(instance.count)
        left[2] = -1.0
        yield Comparison(np.ones(instance.count), np.ones(1), 1e-12, "==", "fine")
        yield Comparison(left, np.zeros(1), 1e-12, ">=", "not fine")

    verdict = check(replace(CLAIM, compare=sides), instances=4)
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 1
    assert verdict.ways["numeric"]["first_failure"].endswith("policy 2")


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
        yield Comparison(np.arange(instance.count), np.zeros(1), 1e-12, "==")

    verdict = check(replace(CLAIM, hypotheses=(first_only,), compare=sides))
    assert verdict.verified
    assert verdict.ways["numeric"]["instances"] == 10
    assert verdict.ways["numeric"]["skipped"] == 30


def test_a_control_must_fail_by_far_more_than_rounding():
    barely = Control("barely", "", lambda: Comparison(np.zeros(1), np.full(1, 1e-9), 1e-11, "=="))
    clearly = Control("clearly", "", lambda: Comparison(np.zeros(1), np.full(1, 1e-7), 1e-11, "=="))
    assert not check_control(barely).refuted
    assert check_control(clearly).refuted
    lost = Control("nan", "", lambda: Comparison(np.full(1, np.nan), np.ones(1), 1e-11, "=="))
    assert not check_control(lost).refuted


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
        from pmdlib.arithmetic import to_exact

        rational = tuple(to_exact(own) for own in policy)
        rational = tuple(own / own.sum(axis=-1, keepdims=True) for own in rational)
        difference = pmd.values(game, policy) - pmd.values(exact, rational).astype(float)
        assert abs(difference).max() < value_rounding(game)


def test_a_part_is_counted_only_where_it_says_something():
    def sides(instance):
        even = np.arange(instance.count) % 2 == 0
        yield Comparison(np.ones(instance.count), np.ones(1), 1e-12, "==", "everywhere")
        left = np.where(even, 2.0, np.nan)
        yield Comparison(left, np.ones(1), 1e-12, ">=", "even", even)

    verdict = check(replace(CLAIM, compare=sides))
    assert verdict.verified
    parts = verdict.ways["numeric"]["parts"]
    assert (parts["everywhere"]["compared"], parts["even"]["compared"]) == (12, 6)
    assert len(verdict.samples) == 18


def test_a_part_that_never_says_anything_leaves_it_inconclusive():
    def sides(instance):
        yield Comparison(np.ones(instance.count), np.ones(1), 1e-12, "==", "said")
        yield Comparison(np.ones(instance.count), np.ones(1), 1e-12, "==", "unsaid", False)

    assert check(replace(CLAIM, compare=sides)).verdict == "inconclusive"
