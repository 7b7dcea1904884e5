"""Plant an error in the library: some claim must notice."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis import bounds, values
from pmdlib.claims.ways.certifying import Account
from pmdlib.claims.ways.worst import load_worst
from pmdlib.learning.mirror_maps import KL, Euclidean, project_to_simplex


def refuted(name: str) -> bool:
    return pmd.verify(name, instances=60).verdict == "refuted"


@pytest.mark.parametrize("name", ["mirror-step-kl", "improvement-kl", "natural-gradient"])
def test_flipped_sign_in_the_kl_step(name, monkeypatch):
    for method in ("step", "update"):
        right = getattr(KL, method)
        monkeypatch.setattr(KL, method, lambda self, own, g, right=right: right(self, own, -g))
    assert refuted(name)


@pytest.mark.parametrize("name", ["mirror-step-euclidean", "improvement-euclidean"])
def test_flipped_sign_in_the_euclidean_step(name, monkeypatch):
    monkeypatch.setattr(
        Euclidean, "step", lambda self, own, gradient: project_to_simplex(own - gradient)
    )
    assert refuted(name)


def plant(monkeypatch, function, top, bottom):
    """Multiply what a function of `bounds` returns by top/bottom, in every arithmetic."""
    right = getattr(bounds, function)
    monkeypatch.setattr(
        bounds, function, lambda *args, **keywords: right(*args, **keywords) * top / bottom
    )


@pytest.mark.parametrize(
    ("function", "top", "bottom", "name"),
    [
        ("step_euclidean", 100, 1, "improvement-euclidean"),
        ("step_kl", 8, 1, "improvement-kl"),
        ("step_kl_constant", 4, 1, "improvement-kl-constant-step"),
        ("improvement_coefficient", 5, 2, "improvement-euclidean"),
        ("improvement_coefficient", 5, 2, "improvement-kl"),
        ("improvement_coefficient", 145, 100, "improvement-kl-constant-step"),
        ("interaction_norm", 1, 2, "improvement-euclidean-sharp"),
        ("variance_coefficient", 3, 2, "improvement-kl-constant-step"),
        ("regret_euclidean", 1, 10, "regret-euclidean"),
        ("regret_kl", 1, 10, "regret-kl"),
        ("regret_kl_constant_step", 1, 10, "regret-kl-constant-step"),
    ],
)
def test_a_wrong_constant_is_refuted_with_a_certified_counterexample(
    function, top, bottom, name, monkeypatch
):
    """In rationals or balls, on random instances or on an attack: no rounding to blame."""
    plant(monkeypatch, function, top, bottom)
    verdict = pmd.verify(name, instances=20)
    assert verdict.verdict == "refuted"
    certain = [verdict.ways[way] for way in ("exact", "certified") if way in verdict.ways]
    certain.append(verdict.ways["adversarial"])
    assert sum(way["failures"] for way in certain) > 0
    assert any("first_failure" in way for way in certain)
    assert verdict.ways["adversarial"]["failures"] > 0


STEP = "step size as stated"

#: How small an error of each bound the stored attacks still catch: the factor on the bound, just
#: beyond the least slack known. A step is also compared with the stated one, apart from `bounds`.
PLANTED = [
    # function, factor, claim, part of the claim that fails
    ("improvement_coefficient", (19, 10), "improvement-euclidean", "improvement"),
    ("step_euclidean", (101, 100), "improvement-euclidean", STEP),
    ("step_euclidean", (16, 1), "improvement-euclidean", "improvement"),
    ("improvement_coefficient_sharp", (1001, 1000), "improvement-euclidean-sharp", "any step"),
    ("interaction_norm", (999, 1000), "improvement-euclidean-sharp", "any step"),
    (
        "improvement_coefficient",
        (124, 100),
        "improvement-euclidean-sharp",
        "the paper's inequality at eight times its step",
    ),
    ("step_euclidean_large", (101, 100), "improvement-euclidean-sharp", STEP),
    (
        "step_euclidean_large",
        (3, 2),
        "improvement-euclidean-sharp",
        "the paper's inequality at eight times its step",
    ),
    ("improvement_coefficient", (185, 100), "improvement-kl", "symmetric divergence"),
    ("step_kl", (101, 100), "improvement-kl", STEP),
    ("step_kl", (8, 1), "improvement-kl", "symmetric divergence"),
    (
        "improvement_coefficient",
        (144, 100),
        "improvement-kl-constant-step",
        "inequality of Proposition V.5 at (1-γ)/φmax",
    ),
    ("step_kl_constant", (101, 100), "improvement-kl-constant-step", STEP),
    (
        "step_kl_constant",
        (2, 1),
        "improvement-kl-constant-step",
        "inequality of Proposition V.5 at (1-γ)/φmax",
    ),
    (
        "variance_coefficient",
        (151, 100),
        "improvement-kl-constant-step",
        "variance bound per state, ηQmax <= 2",
    ),
    (
        "variance_coefficient",
        (144, 100),
        "improvement-kl-constant-step",
        "divergence bound per state, ηQmax <= 2",
    ),
    ("regret_euclidean", (10, 36), "regret-euclidean", "constant 32, κ_T"),
    ("regret_euclidean_sharp", (1, 2), "regret-euclidean", "constant 9.7 [beyond]"),
    (
        "regret_euclidean_large_step",
        (10, 29),
        "regret-euclidean",
        "constant 4.5, eight times the step [beyond]",
    ),
    ("regret_kl", (1, 6), "regret-kl", "constant 12, κ_T"),
    ("regret_kl", (1, 6), "regret-kl", "constant 12, κ_μ"),
    ("regret_kl_sharp", (10, 28), "regret-kl", "constant 8/3 [beyond]"),
    ("regret_kl_constant_step", (10, 32), "regret-kl-constant-step", "constant 2, κ_T"),
]


@pytest.mark.parametrize(("function", "factor", "name", "part"), PLANTED)
def test_the_stored_attacks_catch_a_bound_that_is_wrong_by_little(
    function, factor, name, part, monkeypatch
):
    plant(monkeypatch, function, *factor)
    account = attacked(name)
    assert account.parts[part].report().get("disproved", 0) > 0
    assert account.failures > 0


@pytest.mark.parametrize("name", sorted({name for _, _, name, _ in PLANTED}))
def test_the_stored_attacks_disprove_nothing_that_is_right(name):
    account = attacked(name)
    assert account.instances >= 4
    assert (account.failures, account.undecided, account.skipped) == (0, 0, 0)


def attacked(name):
    account = Account()
    for attack in load_worst(name):
        account.check(pmd.claims[name], attack.instance())
    return account


def test_n_for_its_root_in_the_kl_step(monkeypatch):
    def wrong(*, phi_max, discount, num_agents):
        return (1 - discount) / (2 * phi_max * num_agents)

    monkeypatch.setattr(bounds, "step_kl", wrong)
    assert refuted("improvement-kl")


@pytest.mark.parametrize("name", ["performance-difference", "natural-gradient"])
def test_dropped_discount(name, monkeypatch):
    def undiscounted(mdp, next_values):
        return mdp.rewards + (mdp.kernel @ next_values[..., None, :, None])[..., 0]

    monkeypatch.setattr(values, "action_values", undiscounted)
    assert refuted(name)


def test_occupancy_of_the_transposed_chain(monkeypatch):
    right = values.discounted_occupancy
    monkeypatch.setattr(
        values,
        "discounted_occupancy",
        lambda kernel, initial, discount: right(np.swapaxes(kernel, -1, -2), initial, discount),
    )
    assert refuted("performance-difference")


def test_unnormalised_occupancy(monkeypatch):
    right = values.discounted_occupancy
    monkeypatch.setattr(
        values,
        "discounted_occupancy",
        lambda kernel, initial, discount: right(kernel, initial, discount) / (1 - discount),
    )
    assert refuted("performance-difference-joint")


def test_occupancy_of_the_old_policy(monkeypatch):
    from pmdlib.claims import identities

    right = identities.all_starts
    seen: list = []

    def old(evaluation):
        seen.append(evaluation)
        uniform = tuple((0 * own + 1) / own.shape[-1] for own in evaluation.policy)
        return right(values.Evaluation(evaluation.game, uniform))

    monkeypatch.setattr(identities, "all_starts", old)
    assert refuted("performance-difference")
    assert seen
