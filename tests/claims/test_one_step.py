"""One step and runs of steps: what the figures of the improvement notebooks are drawn from."""

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

from pmdlib.analysis.policies import random_policy
from pmdlib.analysis.values import Evaluation, occupancy
from pmdlib.arithmetic import to_exact, to_float
from pmdlib.claims.one_step import Step, along_run, anti_coordination, largest_improving_step
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import Shape, shaped
from pmdlib.learning.mirror_maps import KL, Euclidean
from pmdlib.learning.pmd import run_pmd


@pytest.fixture
def game(rng):
    return shaped(rng, Shape((2, 3, 2), 3, 0.9))


def test_along_a_euclidean_run_by_its_definition(game):
    """Every iteration worked out by itself: ΔΦ from the trace, the sum over states in a loop."""
    trace = run_pmd(game, "euclidean", "paper", 12, record_policies=True)
    frame = along_run(game, trace)
    assert list(frame["iteration"]) == list(range(12))
    assert_allclose(frame["improvement"], np.diff(trace.potential), atol=1e-13)
    for t, bound in enumerate(frame["bound"]):
        old, new = (tuple(own[k] for own in trace.policies) for k in (t, t + 1))
        visits = occupancy(game, new)
        total = sum(
            visits[s] * sum(np.sum((b[s] - a[s]) ** 2) for a, b in zip(old, new, strict=True))
            for s in range(3)
        )
        assert bound == pytest.approx(total / (2 * trace.step * 0.1), rel=1e-9)
    assert (frame["improvement"] >= frame["bound"]).all()


def test_along_a_kl_run_by_its_definition(game):
    trace = run_pmd(game, "kl", "constant", 8, record_policies=True)
    frame = along_run(game, trace)
    old, new = (tuple(own[k] for own in trace.policies) for k in (5, 6))
    # J = Σ (p - q) log(p/q)
    per_state = sum(((b - a) * np.log(b / a)).sum(axis=-1) for a, b in zip(old, new, strict=True))
    bound = occupancy(game, new) @ per_state / (2 * trace.step * 0.1)
    assert frame["bound"][5] == pytest.approx(bound, rel=1e-9)
    assert_allclose(frame["improvement"], np.diff(trace.potential), atol=1e-13)


def test_along_run_says_what_it_needs(game):
    with pytest.raises(PmdError, match="record_policies=True"):
        along_run(game, run_pmd(game, "kl", "paper", 2))
    with pytest.raises(PmdError, match="'tsallis', must be one of"):
        along_run(game, run_pmd(game, "tsallis", 0.1, 2, record_policies=True))


def test_the_share_of_the_first_order(rng):
    """Two agents, Euclidean, anti-coordination: 1 - ηQmaxΛ/4 = 1 - η/2 exactly; KL at 1: .7515."""
    for step in (fmpq(1, 10), fmpq(1), fmpq(19, 10)):
        taken = anti_coordination(Euclidean(), step)
        assert (step * taken.one_state_gain / taken.squares).item() == 1 - step / 2
    taken = anti_coordination(KL(), 1)
    share = (taken.one_state_gain / taken.divergences).item()
    assert fmpq(75145, 10**5) < share < fmpq(75155, 10**5)
    game, start = catalogue.anti_coordination(), catalogue.anti_coordination_start()
    taken = Step(Evaluation(game, tuple(own[None] for own in start)), KL(), 1.0)
    assert taken.share(taken.divergences).item() == pytest.approx(float(share), rel=1e-9)
    game = catalogue.isolated()
    start = random_policy(game, rng, batch=(5,))
    small = Step(Evaluation(game, start), KL(), 1e-3)
    assert_allclose(small.share(small.divergences), 1, atol=2e-3)
    assert np.isnan(Step(small.before, KL(), 1e-9).share(np.zeros((5, 1)))).all()


@pytest.mark.parametrize("mirror_map", [KL(), Euclidean()], ids=["kl", "euclidean"])
def test_a_step_in_floats_is_the_step_in_rationals(game, mirror_map, rng):
    """Every quantity of the improvement claims, by both arithmetics."""
    start = random_policy(game, rng, batch=(2,))
    exact = tuple(to_exact(own) for own in start)
    exact = tuple(own / own.sum(axis=-1, keepdims=True) for own in exact)
    here = Step(Evaluation(game, start), mirror_map, 0.25)
    there = Step(Evaluation(game.exact(), exact), mirror_map, fmpq(1, 4))
    for name in ("change", "squares", "divergences", "variances", "one_state_gain"):
        if name == "divergences" and mirror_map.name == "euclidean":
            continue  # the step may leave the interior
        assert_allclose(
            to_float(getattr(there, name)), getattr(here, name), rtol=1e-9, atol=1e-12, err_msg=name
        )
    visited = there.visited(there.squares)
    assert_allclose(to_float(visited), here.visited(here.squares), rtol=1e-9)


def test_a_step_does_not_move_exact_ties():
    """Equal averaged Q in rationals: the policy comes back as it is, entry by entry."""
    game = catalogue.anti_coordination().exact()
    half = np.full((1, 1, 2), fmpq(1, 2))
    for mirror_map in (KL(), Euclidean()):
        taken = Step(Evaluation(game, (half, half)), mirror_map, fmpq(3))
        assert all((own == half).all() for own in taken.after.policy)
        assert (taken.change == 0).all()


def test_largest_improving_steps_of_anti_coordination():
    game, start = catalogue.anti_coordination(), catalogue.anti_coordination_start()
    between = {"low": 1.0, "high": 5.0}
    euclidean = largest_improving_step(game, start, Euclidean(), **between)
    assert euclidean == pytest.approx(2, rel=1e-6)
    kl = to_exact(largest_improving_step(game, start, KL(), **between))
    assert anti_coordination(KL(), kl * fmpq(999999, 10**6)).change[0, -1] > 0
    assert anti_coordination(KL(), kl * fmpq(1000001, 10**6)).change[0, -1] < 0
    with pytest.raises(PmdError, match="must rise at the step low=3 and fall at high=5"):
        largest_improving_step(game, start, Euclidean(), low=3, high=5)
