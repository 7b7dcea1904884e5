"""Plant an error in the library: some claim must notice."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis import bounds, values
from pmdlib.learning.mirror_maps import KL, Euclidean, project_to_simplex


def refuted(name: str) -> bool:
    return pmd.verify(name, instances=60).verdict == "refuted"


@pytest.mark.parametrize("name", ["mirror-step-kl", "improvement-kl", "natural-gradient"])
def test_flipped_sign_in_the_kl_step(name, monkeypatch):
    right = KL.step
    monkeypatch.setattr(KL, "step", lambda self, own, gradient: right(self, own, -gradient))
    assert refuted(name)


@pytest.mark.parametrize("name", ["mirror-step-euclidean", "improvement-euclidean"])
def test_flipped_sign_in_the_euclidean_step(name, monkeypatch):
    monkeypatch.setattr(
        Euclidean, "step", lambda self, own, gradient: project_to_simplex(own - gradient)
    )
    assert refuted(name)


@pytest.mark.parametrize(
    ("function", "factor", "name"),
    [
        ("step_euclidean", 8.0, "improvement-euclidean"),
        ("step_kl", 8.0, "improvement-kl"),
        ("step_kl_constant", 8.0, "improvement-kl-constant-step"),
        ("improvement_coefficient", 2.5, "improvement-euclidean"),
        ("improvement_coefficient", 2.5, "improvement-kl"),
        ("interaction_norm", 0.5, "improvement-euclidean-sharp"),
        ("variance_coefficient", 1.5, "improvement-kl-constant-step"),
    ],
)
def test_wrong_constant(function, factor, name, monkeypatch):
    right = getattr(bounds, function)
    monkeypatch.setattr(
        bounds, function, lambda *args, **keywords: factor * right(*args, **keywords)
    )
    assert refuted(name)


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
        uniform = tuple(np.full(own.shape, 1 / own.shape[-1]) for own in evaluation.policy)
        return right(values.Evaluation(evaluation.game, uniform))

    monkeypatch.setattr(identities, "all_starts", old)
    assert refuted("performance-difference")
    assert seen
