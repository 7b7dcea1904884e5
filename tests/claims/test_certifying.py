"""Exact and certified checks: proved, agreeing, undecided and disproved are told apart."""

from dataclasses import replace

import numpy as np
import pytest
from arithmetic.enclosures import objects
from claims.examples import CLAIM, FALSE, TRUE, compare, exactly
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st

import pmdlib as pmd
from pmdlib.arithmetic import (
    FIRST_BITS,
    Ball,
    UndecidedError,
    is_exact,
    log,
    precision,
    sqrt,
    to_exact,
    to_float,
    working_bits,
)
from pmdlib.claims.checking import check
from pmdlib.claims.claim import SHORT_BITS, SMALL, Comparison, Control, Hypothesis, Instance
from pmdlib.claims.identities import _deviation_sides
from pmdlib.claims.instances import FULL_SUPPORT, exact_policy, games
from pmdlib.claims.ways.certifying import (
    AGREEMENT,
    AGREES,
    CERTIFIED,
    DISPROVED,
    PROVED,
    UNDECIDED,
    Account,
    certify_control,
    check_rigorously,
    decide,
    exact_instances,
)
from pmdlib.errors import NotConvergedError
from pmdlib.games import catalogue

ONE, TWO, TINY = fmpq(1), fmpq(2), fmpq(1, 10**30)
RELATIONS = ("==", ">=", "<=")


def decided(left, right, relation):
    return decide(Comparison(objects(left), objects(right), 0, relation)).tolist()


def exact_instance(number=0):
    game = catalogue.isolated().exact()
    start = (np.full((1, 1, 2), fmpq(1, 2)),) * 2
    return Instance(game, start, f"isolated:{number}")


# One relation


@pytest.mark.parametrize("kind", [fmpq, Ball, int], ids=["rationals", "balls", "integers"])
@pytest.mark.parametrize(
    ("left", "right", "holding"),
    [(1, 1, {"==", ">=", "<="}), (1, 2, {"<="}), (2, 1, {">="})],
)
def test_exact_sides_are_decided(kind, left, right, holding):
    for relation in RELATIONS:
        expected = PROVED if relation in holding else DISPROVED
        assert decided(kind(left), kind(right), relation) == [expected]
        assert decided(kind(left), fmpq(right), relation) == [expected]
        assert decided(fmpq(left), kind(right), relation) == [expected]


@given(st.fractions(-3, 3), st.fractions(-3, 3))
def test_decisions_on_rationals_are_those_of_fractions(p, q):
    left, right = (fmpq(x.numerator, x.denominator) for x in (p, q))
    holds = {"==": p == q, ">=": p >= q, "<=": p <= q}
    for relation in RELATIONS:
        assert decided(left, right, relation) == [PROVED if holds[relation] else DISPROVED]
        enclosed = decided(Ball(left), Ball(right), relation)[0]
        assert enclosed != (DISPROVED if holds[relation] else PROVED)


def test_overlapping_balls_decide_nothing():
    wide = Ball(0).union(2)
    for relation in RELATIONS:
        assert decided(wide, ONE, relation) == [UNDECIDED]
        assert decided(wide, wide, relation) == [UNDECIDED]
        assert decided(Ball(arb("nan")), ONE, relation) == [UNDECIDED]
    assert decided(wide, fmpq(3), "<=") == [PROVED]
    assert decided(wide, fmpq(3), ">=") == [DISPROVED]
    assert decided(wide, fmpq(3), "==") == [DISPROVED]


def test_an_equality_of_balls_agrees_at_most_and_is_never_proved():
    third = Ball(fmpq(1, 3))
    assert third.width > AGREEMENT
    assert decided(third, fmpq(1, 3), "==") == [UNDECIDED]
    with precision(128):
        sharp = Ball(fmpq(1, 3))
        assert decided(sharp, fmpq(1, 3), "==") == [AGREES]
        assert decided(sharp, fmpq(1, 3) + TINY, "==") == [DISPROVED]
        # Of equal numbers an inequality stays open: no precision proves it.
        assert decided(sharp, fmpq(1, 3), ">=") == [UNDECIDED]
    # Width is measured beside the sides: 1e20 may be off by 1.
    large = Ball(10**20 * arb(1) + arb(0, 0.25))
    assert decided(large, fmpq(10**20), "==") == [AGREES]


@pytest.mark.parametrize("number", [1.0, np.float64(1.0), np.float32(1.0)], ids=repr)
@pytest.mark.parametrize("relation", RELATIONS)
def test_a_float_is_refused(number, relation):
    for left, right in ((number, ONE), (ONE, number), (Ball(1), number), (number, number)):
        with pytest.raises(TypeError, match="cannot be certified: a side is a float"):
            decided(left, right, relation)
    with pytest.raises(TypeError, match="a side is a float"):
        decide(Comparison(np.ones(2), np.ones(2), 0, relation))


def test_sides_broadcast_and_every_entry_counts():
    table = decide(Comparison(objects(ONE, TWO, Ball(0).union(4)), TWO, 0, ">="))
    assert table.tolist() == [DISPROVED, PROVED, UNDECIDED]
    assert decide(Comparison(np.stack([objects(ONE)] * 2), ONE, 0, "==")).shape == (2, 1)


# One instance


def account_of(sides, *, claim=CLAIM, instance=None):
    account = Account()
    account.check(replace(claim, compare=sides), instance or exact_instance())
    return account


def test_a_proved_instance_is_counted_and_described():
    account = account_of(compare(TWO, ONE, ">="))
    assert (account.instances, account.decided, account.failures, account.undecided) == (1, 1, 0, 0)
    assert account.bits == 0
    assert account.report() == {
        "instances": 1,
        "skipped": 0,
        "failures": 0,
        "undecided": 0,
        "parts": {"statement": {"relation": ">=", "compared": 1, "proved": 1, "worst_slack": 2.0}},
        "relation": ">=",
        "compared": 1,
        "proved": 1,
        "worst_slack": 2.0,
    }


def test_a_false_inequality_by_1e_30_is_disproved():
    """In rationals at once; with irrational sides at the first precision that sees it."""
    assert account_of(compare(ONE - TINY, ONE, ">=")).failures == 1

    def sides(instance):
        root = sqrt(2, like=ONE)
        yield Comparison(objects(root - TINY), objects(root), 0, ">=")

    account = account_of(sides)
    assert (account.failures, account.undecided) == (1, 0)
    assert account.first_failure == "isolated:0"
    assert account.bits == FIRST_BITS


@pytest.mark.parametrize(("gap", "bits"), [(100, 128), (300, 512), (1000, 1024)])
def test_precision_is_raised_until_the_sides_are_told_apart(gap, bits):
    """√2 against √2 ± 2^-gap: 100 bits are enough at 128, 300 need 512, 1000 need 1024."""
    seen = []

    def sides(instance):
        seen.append(working_bits())
        root = sqrt(2, like=ONE)
        yield Comparison(objects(root + fmpq(1, 2**gap)), objects(root), 0, ">=")

    account = account_of(sides)
    assert account.parts["statement"].counts[PROVED] == 1
    assert account.bits == bits
    assert seen == [b for b in (128, 256, 512, 1024) if b <= bits]
    false = account_of(compare_balls(lambda: sqrt(2, like=ONE) - fmpq(1, 2**gap), ">="))
    assert (false.failures, false.bits) == (1, bits)


def compare_balls(left, relation, right=lambda: sqrt(2, like=ONE)):
    def sides(instance):
        yield Comparison(objects(left()), objects(right()), 0, relation)

    return sides


def test_what_no_precision_decides_is_reported_and_does_not_count():
    account = account_of(compare_balls(lambda: sqrt(8, like=ONE) / 2, ">="))
    assert (account.instances, account.decided, account.undecided) == (1, 0, 1)
    assert account.failures == 0
    assert account.report()["undecided"] == 1
    assert account.parts["statement"].counts[PROVED] == 0
    assert "isolated:0: two sides are too close at 1024 bits" in account.first_undecided
    # The same two sides as an equality: they agree, which is less than a proof.
    account = account_of(compare_balls(lambda: sqrt(8, like=ONE) / 2, "=="))
    assert account.report()["parts"]["statement"]["agree"] == 1
    assert "proved" not in account.report()["parts"]["statement"]


@pytest.mark.parametrize("error", [UndecidedError("open"), NotConvergedError("singular")])
def test_a_branch_that_cannot_be_taken_raises_the_precision(error):
    seen = []

    def sides(instance):
        seen.append(working_bits())
        if working_bits() < 500:
            raise error
        yield Comparison(objects(Ball(2)), objects(ONE), 0, ">=")

    account = account_of(sides)
    assert seen == [128, 256, 512]
    assert (account.decided, account.bits) == (1, 512)

    def never(instance):
        raise error
        yield

    account = account_of(never)
    assert (account.instances, account.decided, account.undecided) == (1, 0, 1)
    assert str(error) in account.first_undecided


def test_a_failure_counts_although_another_part_stays_open():
    def sides(instance):
        wide = Ball(0).union(2)
        yield Comparison(objects(wide), objects(ONE), 0, ">=", "open")
        yield Comparison(objects(ONE), objects(TWO), 0, ">=", "false")

    account = account_of(sides)
    assert (account.failures, account.undecided) == (1, 0)
    assert account.parts["false"].counts[DISPROVED] == 1


def test_one_false_entry_among_many_is_a_failure():
    def sides(instance):
        yield Comparison(objects(*[TWO] * 5, ONE - TINY), objects(ONE), 0, ">=")

    assert account_of(sides).failures == 1


def test_instances_that_fail_a_hypothesis_are_skipped():
    never = replace(CLAIM, hypotheses=(Hypothesis("never", lambda i: False),))
    account = account_of(compare(ONE, TWO, ">="), claim=never)
    assert (account.skipped, account.instances, account.failures) == (1, 0, 0)


def test_parts_that_do_not_apply_are_not_decided():
    def sides(instance):
        yield Comparison(objects(ONE), objects(TWO), 0, ">=", "elsewhere", np.array([False]))
        yield Comparison(objects(TWO), objects(TWO), 0, ">=", "here", np.array([True]))

    account = account_of(sides)
    assert (account.decided, account.failures) == (1, 0)
    assert list(account.parts) == ["here"]


# Many instances


@pytest.mark.parametrize(("profile", "wanted"), [("quick", 24), ("full", 200)])
def test_the_profile_says_how_many_instances_are_decided(profile, wanted):
    assert CERTIFIED[profile] == wanted
    claim = replace(CLAIM, compare=_deviation_sides, instances=with_targets)
    evidence = check_rigorously(claim, np.random.default_rng(0), profile)
    assert evidence.way == "exact"
    assert (evidence.instances, evidence.failures) == (wanted, 0)
    part = evidence.report["parts"]["statement"]
    assert part == {"relation": "==", "compared": wanted, "proved": wanted, "worst_error": 0.0}


def with_targets(rng, sizes):
    """Small games of every kind, with a deviating agent."""
    for source, game in games(rng, replace(sizes, agents=2, states=2, actions=2)):
        policy, target = (
            tuple(own[None] for own in pmd.random_policy(game, rng)) for _ in range(2)
        )
        yield Instance(game, policy, source, {"agent": 0, "target": target})


@pytest.mark.slow
def test_a_full_check_decides_two_hundred_instances_of_a_claim_in_balls():
    claim = pmd.claims["improvement-kl-constant-step"]
    evidence = check_rigorously(claim, np.random.default_rng(0), "full")
    assert evidence.way == "certified"
    assert (evidence.instances, evidence.failures) == (200, 0)
    assert evidence.report["bits"] >= FIRST_BITS


def test_undecided_instances_are_not_counted_towards_the_number_wanted():
    def sides(instance):
        left = Ball(0).union(2) if instance.source.endswith("1") else Ball(2)
        yield Comparison(objects(left), objects(ONE), 0, ">=")

    evidence = check_rigorously(replace(CLAIM, compare=sides), np.random.default_rng(0), "quick")
    assert evidence.instances == 24
    assert evidence.report["undecided"] == 8  # of thirty-two, every fourth


def test_a_claim_that_is_always_undecided_ends_and_is_inconclusive():
    """Floats are happy; no ball ever decides."""

    def sides(instance):
        if is_exact(instance.game.initial):
            yield Comparison(objects(Ball(0).union(2)), objects(ONE), 0, ">=")
        else:
            yield Comparison(np.full(instance.count, 2.0), np.ones(1), 1e-12, ">=")

    claim = replace(CLAIM, compare=sides)
    assert check(claim, instances=2).verdict == "inconclusive"


def test_a_violation_too_small_for_floats_refutes():
    """2 >= 2 + 1e-30: floats hold within tolerance, rationals do not."""

    def sides(instance):
        exact = is_exact(instance.game.initial)
        two = exactly(instance, TWO)
        yield Comparison(two, two + (TINY if exact else 1e-30), 1e-12 * (not exact), ">=")

    verdict = check(replace(CLAIM, compare=sides))
    assert verdict.verdict == "refuted"
    assert verdict.ways["numeric"]["failures"] == 0
    assert verdict.ways["exact"]["failures"] == 24
    assert verdict.ways["exact"]["first_failure"].startswith("isolated")


def test_a_float_that_slips_into_an_exact_side_is_an_error_not_a_pass():
    def sides(instance):
        yield Comparison(np.full(instance.count, 2.0), np.ones(1), 1e-12, ">=")

    with pytest.raises(TypeError, match="a side is a float"):
        check(replace(CLAIM, compare=sides))


# Controls


def control(left, right, relation):
    return Control("c", "what", lambda: Comparison(objects(left()), objects(right()), 0, relation))


def test_a_false_control_is_refuted_and_says_how():
    result = certify_control(FALSE)
    assert result.refuted
    assert (result.how, result.value, result.claimed, result.relation) == ("exact", 1, 2, "==")
    result = certify_control(control(lambda: Ball(2).log(), lambda: ONE, ">="))
    assert result.refuted
    assert result.how == f"certified at {FIRST_BITS} bits"
    assert result.value == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("left", "right", "relation"),
    [
        (lambda: ONE, lambda: ONE, "=="),
        (lambda: TWO, lambda: ONE, ">="),
        (lambda: Ball(2).sqrt(), lambda: ONE, ">="),
    ],
    ids=["equal", "larger", "root"],
)
def test_a_control_that_is_true_is_not_refuted(left, right, relation):
    result = certify_control(control(left, right, relation))
    assert not result.refuted
    assert result.how.startswith("not refuted")
    assert not certify_control(TRUE).refuted


def test_a_control_that_cannot_be_decided_is_not_refuted():
    root = lambda: sqrt(8, like=ONE) / 2  # noqa: E731
    for relation in RELATIONS:
        result = certify_control(control(root, lambda: sqrt(2, like=ONE), relation))
        assert not result.refuted
        assert "not refuted" in result.how

    def undecided():
        raise UndecidedError("nobody knows")

    result = certify_control(Control("c", "what", undecided))
    assert (result.refuted, result.how) == (False, "nobody knows")
    assert np.isnan(result.value)


def test_a_control_that_fails_barely_is_refuted_at_a_higher_precision():
    close = control(lambda: sqrt(2, like=ONE) - fmpq(1, 2**300), lambda: sqrt(2, like=ONE), ">=")
    result = certify_control(close)
    assert result.refuted
    assert result.how == "certified at 512 bits"


def test_a_control_reports_the_place_where_it_fails_most():
    sides = objects(fmpq(3), fmpq(1), fmpq(2)), objects(fmpq(2), fmpq(5), fmpq(2))
    result = certify_control(Control("c", "what", lambda: Comparison(*sides, 0, ">=")))
    assert (result.value, result.claimed) == (1, 5)
    result = certify_control(Control("c", "what", lambda: Comparison(*sides, 0, "<=")))
    assert (result.value, result.claimed) == (3, 2)


def test_a_control_in_floats_is_an_error():
    floats = Control("c", "what", lambda: Comparison(np.ones(1), np.full(1, 2.0), 0, "=="))
    with pytest.raises(TypeError, match="a side is a float"):
        certify_control(floats)


# Exact instances


@pytest.mark.parametrize("name", ["improvement-kl", "regret-kl", "performance-difference"])
def test_exact_instances_are_the_float_games_with_short_policies(name):
    claim = pmd.claims[name]
    pairs = zip(
        claim.instances(np.random.default_rng(4), SMALL),
        exact_instances(claim, np.random.default_rng(4)),
        strict=False,
    )
    for (number, (float_one, exact)), _ in zip(enumerate(pairs), range(14), strict=False):
        which = number % float_one.count
        game, same = float_one.game, exact.game
        assert exact.count == 1
        assert exact.source == f"{float_one.source}, policy {which}"
        for table in ("rewards", "kernel", "initial", "potential"):
            if table == "potential" and not game.has_potential:
                continue
            mine, other = getattr(same, table), to_exact(getattr(game, table))
            if table in {"kernel", "initial"}:
                other = other / other.sum(axis=-1, keepdims=True)
            assert (mine == other).all(), (exact.source, table)
        assert same.discount == to_exact(game.discount)
        for own, rounded in zip(float_one.policy, exact.policy, strict=True):
            assert rounded.shape == (1, *own.shape[1:])
            assert (rounded.sum(axis=-1) == 1).all()
            assert ((rounded > 0) == (own[which] > 0)).all()
            assert all(0 <= x <= 1 for x in rounded.flat)
            error = abs(to_float(rounded[0]) - own[which]).max()
            assert error <= own.shape[-1] * 2.0**-SHORT_BITS
            assert max(int(x.denominator) for x in rounded.flat) <= 2**SHORT_BITS + own.shape[-1]
        if name != "performance-difference":
            assert all(np.all(h.holds(exact)) for h in (FULL_SUPPORT,))


def test_random_games_are_exactly_what_their_floats_are():
    """Rows of the families are multiples of a power of two: nothing has to be scaled."""
    rng = np.random.default_rng(9)
    for (source, game), _ in zip(games(rng, SMALL, names=()), range(12), strict=False):
        exact = game.exact()
        assert (exact.kernel == to_exact(game.kernel)).all(), source
        assert (exact.initial == to_exact(game.initial)).all(), source


def test_extras_of_an_instance_become_exact_too():
    game = catalogue.isolated()
    policy = tuple(np.stack([own] * 3) for own in pmd.uniform_policy(game))
    own = np.array([[0.3, 0.7]])
    extra = {"units": 0.1, "deviation": (1, own), "iterations": 5, "fixed": True, "list": "abc"}
    extra |= {"target": tuple(own[None] * np.ones((3, 1, 1)) for _ in range(2)), "each": [1, 2, 3]}
    exact = Instance(game, policy, "here", extra).exact(2)
    assert exact.extra["units"] == to_exact(np.float32(0.1))
    agent, deviation = exact.extra["deviation"]
    assert agent == 1
    assert (deviation.sum(axis=-1) == 1).all()
    assert is_exact(deviation)
    assert exact.extra["iterations"] == 5
    assert exact.extra["fixed"] is True
    assert exact.extra["each"] == [3]
    assert exact.extra["target"][0].shape == (1, 1, 2)
    assert exact.exact(0).policy[0].tolist() == exact.policy[0].tolist()


def test_a_policy_next_to_a_vertex_keeps_its_support():
    game = catalogue.isolated()
    own = np.array([[[1 - 1e-9, 1e-9]], [[1.0, 0.0]]])
    instance = Instance(game, (own, own), "vertex")
    assert (instance.exact(0).policy[0] > 0).all()
    assert (instance.exact(1).policy[0] > 0).tolist() == [[[True, False]]]


def test_logarithms_of_exact_policies_are_enclosed():
    """The route of every KL claim: log of a rational, compared with certainty."""
    start = exact_policy(pmd.uniform_policy(catalogue.isolated()))
    assert decided(log(start[0])[0, 0, 0], fmpq(-69, 100), "<=") == [PROVED]
    assert decided(log(start[0])[0, 0, 0], fmpq(-70, 100), "<=") == [DISPROVED]
