"""Every hypothesis fails on an instance that does not meet it, and holds on one that does."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.claims.claim import Instance
from pmdlib.claims.instances import FULL_SUPPORT, IS_POTENTIAL, POSITIVE
from pmdlib.claims.regret import Run, _finite_mismatch, record
from pmdlib.games import catalogue


def instance(game, policy=None, **extra):
    policy = pmd.uniform_policy(game) if policy is None else policy
    return Instance(game, tuple(own[None] for own in policy), "test", extra)


def test_a_false_potential_is_noticed():
    leave = np.array([[0.9, 0.1]] * 3)
    false = instance(catalogue.stage_potential_only(), deviation=(0, leave))
    assert not IS_POTENTIAL.holds(false).any()
    true = instance(catalogue.isolated(), deviation=(0, leave[:1]))
    assert IS_POTENTIAL.holds(true).all()


def test_a_potential_that_is_zero_everywhere_gives_no_step():
    assert not POSITIVE.holds(instance(catalogue.one_state(np.zeros((2, 2)))))
    assert POSITIVE.holds(instance(catalogue.isolated()))


def test_a_missing_action_is_noticed():
    pure = (np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    assert not FULL_SUPPORT.holds(instance(catalogue.isolated(), pure)).any()
    assert FULL_SUPPORT.holds(instance(catalogue.isolated())).all()


def test_an_unreachable_state_is_noticed():
    table = np.array([[0.0, 1.0], [1.0, 0.0]])
    apart = pmd.TabularGame(table, np.eye(2), discount=0.5, initial=[1.0, 0.0])
    assert not _finite_mismatch(instance(apart)).any()
    assert _finite_mismatch(instance(pmd.TabularGame(table, np.eye(2), discount=0.5))).all()


@pytest.mark.parametrize("seed", range(3))
def test_run_takes_kappa_from_rho_and_kappa_mu_from_the_uniform_distribution(seed):
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.ones(3), size=(3, 2, 2))
    rho = np.array([0.9, 0.08, 0.02])
    game = pmd.TabularGame(rng.random((3, 2, 2)), kernel, discount=0.8, initial=rho)
    run: Run = record(game, pmd.random_policy(game, rng, batch=(2,)), 6, "kl", "paper")
    policies = run.trace.policies
    uniform = np.full(3, 1 / 3)
    for below, found in ((rho, run.kappa), (uniform, run.kappa_uniform)):
        worst = np.zeros(2)
        for t in range(6):
            for b in range(2):
                now = tuple(own[t, b] for own in policies)
                later = tuple(own[t + 1, b] for own in policies)
                for agent in range(2):
                    best = pmd.best_response(game, now, agent)
                    deviating = (*now[:agent], best, *now[agent + 1 :])
                    ratio = pmd.occupancy(game, deviating) / pmd.occupancy(game, later, below)
                    worst[b] = max(worst[b], ratio.max())
            np.testing.assert_allclose(found[t], worst, rtol=1e-9)
    assert (run.kappa_uniform <= 3 / (1 - 0.8) + 1e-9).all()
    assert not np.allclose(run.kappa, run.kappa_uniform)
