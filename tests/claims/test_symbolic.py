"""Generic identities: the right ones are proved, and a mutated one never is."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

import pmdlib as pmd
from pmdlib.analysis import values
from pmdlib.analysis.policies import replace
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.claims import identities
from pmdlib.claims.claim import Comparison
from pmdlib.claims.ways.symbolic import (
    check_symbolically,
    distributions,
    generic_game,
    generic_instance,
    generic_step,
    is_zero,
    symbols,
)
from pmdlib.errors import PmdError
from pmdlib.learning.mirror_maps import KL

SYMBOLIC = sorted(name for name, claim in pmd.claims.items() if claim.symbolic is not None)
x, y, z = sympy.symbols("x y z", positive=True)


def differences(comparisons):
    for comparison in comparisons:
        left, right = np.broadcast_arrays(comparison.left, comparison.right)
        yield from (one - other for one, other in zip(left.flat, right.flat, strict=True))


# Zero, or not


def unevaluated(text):
    """An expression that SymPy leaves as it stands."""
    return sympy.parse_expr(text, {"x": x, "y": y, "z": z}, evaluate=False)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "(x + y)**2 - x**2 - 2*x*y - y**2",
        "1/x + 1/y - (x + y)/(x*y)",
        "(x**2 - y**2)/(x - y) - x - y",
        "x**(-2)*x**3 - x",
        "x*Rational(1, 3) - x/3",
        "log(x*y) - log(x) - log(y)",
        "log(x/y) + log(y/x)",
        "2*log(x) - log(x**2)",
        "exp(z)*x - x*exp(z)",
        "(1 + exp(z))**2 - 1 - 2*exp(z) - exp(z)**2",
        "x*log(x)*exp(y) - exp(y)*log(x)*x",
    ],
)
def test_zeros_are_found(text):
    assert is_zero(unevaluated(text))


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "x - y",
        "(x + y)**2 - x**2 - y**2",
        "1/x + 1/y - 1/(x + y)",
        "x - x*Rational(99999999999999999999, 100000000000000000000)",
        "log(x + y) - log(x) - log(y)",
        "log(x) - exp(x)",
        "log(x)*log(y) - log(x*y)",
        "exp(x) - 1 - x",
    ],
)
def test_what_is_not_zero_is_not_found_to_be(text):
    assert not is_zero(unevaluated(text))
    assert is_zero(unevaluated(f"{text} - ({text})"))


@pytest.mark.parametrize("name", ["x0", "x1", "x_", "x2"])
def test_no_symbol_is_taken_for_a_logarithm_by_its_name(name):
    other = sympy.Symbol(name, positive=True)
    for function in (sympy.log, sympy.exp):
        assert not is_zero(function(y) - other)
        assert not is_zero(function(y) * other - other**2)
        assert is_zero(function(y) * other - other * function(y))


@pytest.mark.parametrize("expression", [sympy.sqrt(x), sympy.sin(x), x**y, x + 0.25], ids=str)
def test_what_is_no_rational_function_is_refused(expression):
    with pytest.raises(PmdError, match="is no rational function of symbols"):
        is_zero(expression)


rational = st.fractions(-3, 3, max_denominator=5)


@given(st.lists(rational, min_size=4, max_size=4), st.lists(rational, min_size=2, max_size=2))
def test_zero_agrees_with_evaluation(numbers, point):
    """(a x + b)(c y + d) expanded with one coefficient moved: zero only if the move is."""
    a, b, c, d = (sympy.Rational(n.numerator, n.denominator) for n in numbers)
    product = (a * x + b) * (c * y + d)
    assert is_zero(product - (a * c * x * y + a * d * x + b * c * y + b * d))
    shift = sympy.Rational(point[0].numerator, point[0].denominator)
    moved = product - (a * c * x * y + (a * d + shift) * x + b * c * y + b * d)
    assert is_zero(moved) == (shift == 0)
    assert is_zero(moved / (1 + x**2)) == (shift == 0)


# What is generic


def test_generic_distributions_sum_to_one_and_every_entry_is_its_own():
    table = distributions("p", (2, 2), 3)
    assert table.shape == (2, 2, 3)
    assert all(is_zero(row.sum() - 1) for row in table.reshape(-1, 3))
    assert len({symbol for entry in table.flat for symbol in entry.free_symbols}) == 8
    assert len(set(symbols("g", (3, 2)).flat)) == 6
    own, gradient = generic_step()
    assert own.shape == gradient.shape == (1, 3)


def test_the_generic_game_is_one():
    """Numbers put in for the symbols give the same game as floats: values agree."""
    instance = generic_instance(potential=True)
    game = instance.game
    evaluation = instance.evaluation
    rng = np.random.default_rng(0)
    names = sorted(evaluation.values[0, 0, 0].free_symbols, key=str)
    numbers = {name: sympy.Rational(int(rng.integers(1, 5)), 11) for name in names}

    def put(table):
        exact = np.empty(np.shape(table), dtype=object)
        exact.reshape(-1)[:] = [
            fmpq(int(value.p), int(value.q))
            for value in (sympy.sympify(entry).subs(numbers) for entry in np.ravel(table))
        ]
        return exact

    everything = {
        symbol
        for table in (*game.rewards, game.kernel, game.initial, game.potential, *instance.policy)
        for entry in np.ravel(table)
        for symbol in sympy.sympify(entry).free_symbols
    } | {game.discount}
    for name in sorted(everything, key=str):
        numbers.setdefault(name, sympy.Rational(int(rng.integers(1, 5)), 11))
    here = pmd.TabularGame(
        [put(table) for table in game.rewards],
        put(game.kernel),
        discount=put(game.discount).item(),
        initial=put(game.initial),
        potential=put(game.potential),
    )
    found = pmd.values(here, tuple(put(own) for own in instance.policy))
    assert (found == put(evaluation.values)).all()
    assert pmd.is_markov_potential_game(here, rng).verdict


# The identities of the paper


@pytest.mark.parametrize("name", SYMBOLIC)
def test_generic_identities_are_proved(name):
    evidence = check_symbolically(pmd.claims[name], np.random.default_rng(0), "quick")
    assert evidence.way == "symbolic"
    assert evidence.instances >= 1
    assert evidence.report["undecided"] == evidence.failures == 0
    assert evidence.vacuous == ()


def test_claims_without_a_symbolic_form_have_no_symbolic_evidence():
    assert check_symbolically(pmd.claims["regret-kl"], np.random.default_rng(0), "quick") is None
    assert {"performance-difference", "performance-difference-joint", "potential-advantage"} <= set(
        SYMBOLIC
    )


def deviation(*, old_occupancy=False, factor=True, sign=1, new_q=False):
    """Both sides of the performance difference of agent 0 from state 0, mutated as asked."""
    instance = generic_instance(potential=False)
    own, target = instance.policy[0], instance.extra["target"][0]
    before = instance.evaluation
    after = Evaluation(instance.game, replace(instance.policy, 0, target))
    visits = (before if old_occupancy else after).occupancy(instance.game.initial)
    gain = expectation(target - own, (after if new_q else before).averaged_q[0])
    scale = 1 / (1 - instance.game.discount) if factor else 1
    change = (after.values[:, 0] - before.values[:, 0]) @ instance.game.initial
    return Comparison(change, sign * scale * (visits * gain).sum(axis=-1), 0, "==")


def test_the_identity_by_hand_is_the_one_of_the_claim():
    assert all(map(is_zero, differences([deviation()])))


@pytest.mark.parametrize(
    "mutation", [{"old_occupancy": True}, {"factor": False}, {"sign": -1}, {"new_q": True}], ids=str
)
def test_a_mutated_performance_difference_is_not_proved(mutation):
    assert not any(map(is_zero, differences([deviation(**mutation)])))


@pytest.mark.parametrize("name", ["performance-difference", "performance-difference-joint"])
def test_a_library_that_drops_the_discount_is_found_out(name, monkeypatch):
    """γ dropped from the look-ahead: every identity that uses it fails."""

    def undiscounted(mdp, next_values):
        return mdp.rewards + (mdp.kernel @ next_values[..., None, :, None])[..., 0]

    def undiscounted_gain(before, after):
        game = pmd.TabularGame(
            list(before.game.rewards),
            before.game.kernel,
            discount=sympy.Symbol("g", positive=True),
            initial=before.game.initial,
            potential=before.game.potential,
        )
        return right(Evaluation(game, before.policy), Evaluation(game, after.policy))

    right = identities.joint_gain
    monkeypatch.setattr(values, "action_values", undiscounted)
    monkeypatch.setattr(identities, "joint_gain", undiscounted_gain)
    evidence = check_symbolically(pmd.claims[name], np.random.default_rng(0), "quick")
    assert evidence.instances == 0
    assert evidence.vacuous


def test_occupancies_of_the_old_policy_are_found_out(monkeypatch):
    right = identities.all_starts
    target = generic_instance(potential=False).policy
    monkeypatch.setattr(
        identities, "all_starts", lambda after: right(Evaluation(after.game, target))
    )
    evidence = check_symbolically(
        pmd.claims["performance-difference"], np.random.default_rng(0), "quick"
    )
    assert evidence.report["undecided"] > 0


def test_the_potential_advantage_needs_the_potential():
    """Rewards of their own in place of φ plus shaping: advantages differ."""
    sides = identities._advantage_sides(generic_instance(potential=False))
    assert not any(map(is_zero, differences(sides)))
    assert not generic_game(potential=False).identical_interest


def test_a_kl_step_with_the_wrong_sign_or_divergence_is_not_proved():
    own, gradient = generic_step()
    kl = KL()
    moved = kl.update(own, gradient)
    rise = np.array([[sympy.log(entry) for entry in row] for row in moved / own])
    mean = expectation(own, gradient)
    right = gradient - kl.divergence(own, moved)[..., None] - mean[..., None]
    wrong = [
        -gradient - kl.divergence(own, moved)[..., None] - mean[..., None],
        gradient - kl.divergence(moved, own)[..., None] - mean[..., None],
        gradient - kl.divergence(own, moved)[..., None],
        2 * gradient - kl.divergence(own, moved)[..., None] - mean[..., None],
    ]
    assert all(map(is_zero, (rise - right).flat))
    for sides in wrong:
        assert not any(map(is_zero, (rise - sides).flat))


def test_fractions_and_symbols_agree_on_a_number():
    assert is_zero(sympy.Rational(Fraction(1, 3)) * 3 - 1)
