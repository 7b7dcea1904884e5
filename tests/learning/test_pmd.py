"""Runs against a reference PMD in plain loops, and the announced improvement along them."""

import math

import brute_force
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis import bounds
from pmdlib.analysis.equilibrium import constant_c, mismatch, nash_gap
from pmdlib.analysis.policies import deterministic_policy, random_policy, uniform_policy
from pmdlib.arithmetic import to_float
from pmdlib.errors import InvalidPolicyError, NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.tabular import TabularGame
from pmdlib.learning import iteration
from pmdlib.learning.feedback import ExactFeedback
from pmdlib.learning.iteration import LEAST_COMPILED, TOGETHER, Iteration
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL, Tsallis
from pmdlib.learning.pmd import CONVERGED_TOLERANCE, run_pmd

GAMES = brute_force.small_games(12, seed=3, max_joint=30, discounts=(0.0, 0.5, 0.9))


# A second implementation: loops, roll-outs, bisection


def kl_step(row, gradient):
    weights = [p * math.exp(g - max(gradient)) for p, g in zip(row, gradient, strict=True)]
    return [w / sum(weights) for w in weights]


def euclidean_step(row, gradient):
    """Projection by bisection on the threshold."""
    point = [p + g for p, g in zip(row, gradient, strict=True)]
    low, high = min(point) - 1, max(point)
    for _ in range(200):
        middle = (low + high) / 2
        if sum(max(x - middle, 0) for x in point) > 1:
            low = middle
        else:
            high = middle
    return [max(x - low, 0) for x in point]


STEPS = {"kl": kl_step, "euclidean": euclidean_step}


def reference_run(game, mirror_map, step, iterations, policy):
    """All iterates; every agent steps on the averaged Q of the same, old policy."""
    iterates = [policy]
    for _ in range(iterations):
        tables = brute_force.averaged_q(game, iterates[-1])
        following = []
        for own, q in zip(iterates[-1], tables, strict=True):
            rows = [STEPS[mirror_map](p, step * g) for p, g in zip(own, q, strict=True)]
            following.append(np.array(rows))
        iterates.append(tuple(following))
    return iterates


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
@pytest.mark.parametrize("index", range(len(GAMES)))
def test_trajectories_agree_with_plain_loops(mirror_map, index, rng):
    game = GAMES[index]
    start = brute_force.near_vertex_policy(game, rng)
    step = 0.7 * (1 - game.discount)
    trace = run_pmd(game, mirror_map, step, 4, start, record_policies=True)
    expected = reference_run(game, mirror_map, step, 4, start)
    assert trace.step == step
    assert trace.mirror_map == mirror_map
    for time, policy in enumerate(expected):
        for recorded, own in zip(trace.policies, policy, strict=True):
            assert_allclose(recorded[time], own, atol=1e-9)
        value = brute_force.potential_values(game, policy) @ game.initial
        assert trace.potential[time] == pytest.approx(value, abs=1e-8)
        if time < 4:
            assert trace.nash_gap[time] == pytest.approx(nash_gap(game, policy), abs=1e-7)
            assert trace.c[time] == pytest.approx(constant_c(game, policy), abs=1e-8)
    for own, last in zip(trace.policy, expected[-1], strict=True):
        assert_allclose(own, last, atol=1e-9)


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_agents_follow_their_own_q_also_where_the_stated_potential_is_wrong(mirror_map, rng):
    game = catalogue.stage_potential_only()
    start = brute_force.near_vertex_policy(game, rng)
    trace = run_pmd(game, mirror_map, 0.1, 5, start)
    expected = reference_run(game, mirror_map, 0.1, 5, start)[-1]
    for own, last in zip(trace.policy, expected, strict=True):
        assert_allclose(own, last, atol=1e-9)
    assert abs(trace.policy[0][0] - start[0][0]).max() > 1e-4  # though φ = 0 gives it no reason


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
@pytest.mark.parametrize("step", ["paper", "constant"])
def test_named_steps_are_those_of_the_theory(mirror_map, step):
    game = random_game(np.random.default_rng(0), "dummy", Shape((2, 3, 4), 2, 0.75))
    if (mirror_map, step) == ("euclidean", "constant"):
        with pytest.raises(PmdError, match="the theory gives no step 'constant' for the mirror"):
            run_pmd(game, mirror_map, step, 1)
        return
    expected = {
        ("kl", "paper"): 0.25 / (2 * game.phi_max * math.sqrt(3)),
        ("kl", "constant"): 0.25 / game.phi_max,
        ("euclidean", "paper"): 0.25 / (4 * game.phi_max * 9),
    }
    trace = run_pmd(game, mirror_map, step, 3, record_policies=True)
    assert trace.step == pytest.approx(expected[mirror_map, step])
    own = run_pmd(game, mirror_map, expected[mirror_map, step], 3)
    for one, other in zip(trace.policy, own.policy, strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_one_kl_step_by_hand():
    """η = 1 from uniform on [[1, .3], [.2, .6]]: agent 1 sees (.65, .4), agent 2 (.6, .45)."""
    trace = run_pmd(catalogue.isolated(), "kl", 1.0, 1)
    odds = trace.policy[0][0, 0] / trace.policy[0][0, 1]
    assert odds == pytest.approx(math.exp(0.25))
    odds = trace.policy[1][0, 0] / trace.policy[1][0, 1]
    assert odds == pytest.approx(math.exp(0.15))
    assert trace.potential[0] == pytest.approx(0.525)
    assert trace.nash_gap.tolist() == pytest.approx([0.125])
    assert trace.c.tolist() == [0.5]


def test_a_negative_potential_sets_the_step_by_its_range():
    reward = np.array([[[-1.0, 0], [0, -3]]])
    game = TabularGame(reward, np.eye(1), discount=0.0)
    trace = run_pmd(game, "kl", "constant", 2)
    assert trace.step == pytest.approx(1 / 3)
    assert trace.potential[0] == pytest.approx(-1 + 3)
    shifted = run_pmd(TabularGame(reward + 3, np.eye(1), discount=0.0), "kl", "constant", 2)
    assert_allclose(trace.potential, shifted.potential)
    assert_allclose(trace.nash_gap, shifted.nash_gap)


# Along a run


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(
    ("mirror_map", "step"), [("kl", "paper"), ("kl", "constant"), ("euclidean", "paper")]
)
def test_every_step_improves_the_potential_as_proved(family, mirror_map, step):
    """Φ' - Φ >= Σ d'(s) (ΣJ_i or Σ||D_i||²)/(2η(1-γ)), d' of the NEW policy."""
    rng = np.random.default_rng(8)
    game = random_game(rng, family, Shape((2, 3, 2), 3, 0.9))
    start = random_policy(game, rng)
    trace = run_pmd(game, mirror_map, step, 30, start, record_policies=True)
    for time in range(0, 30, 3):
        old, new = (tuple(p[t] for p in trace.policies) for t in (time, time + 1))
        moved = 0.0
        for p, q in zip(old, new, strict=True):
            if mirror_map == "kl":
                moved = moved + ((q - p) * np.log(q / p)).sum(axis=-1)
            else:
                moved = moved + ((q - p) ** 2).sum(axis=-1)
        visits = brute_force.occupancy(game, new, game.initial)
        proved = visits @ moved / (2 * trace.step * (1 - game.discount))
        assert trace.potential[time + 1] - trace.potential[time] >= proved - 1e-12
    assert trace.potential[-1] > trace.potential[0]
    regret = trace.nash_regret
    assert_allclose(regret, [trace.nash_gap[: t + 1].mean() for t in range(30)])
    at = {"phi_max": game.phi_max, "discount": 0.9, "iterations": np.arange(1, 31)}
    kappa = np.maximum.accumulate(mismatch(game, trace.policies))
    if mirror_map == "euclidean":
        bound = bounds.regret_euclidean(**at, mismatch=kappa, num_actions=game.num_actions)
    else:
        worst = np.minimum.accumulate(trace.c)
        bound = bounds.regret_kl(**at, mismatch=kappa, c=worst, num_agents=3)
    assert (regret <= bound).all()


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean", "tsallis"])
def test_runs_end_at_equilibria(mirror_map):
    game = catalogue.isolated()
    for start, end in (((0.6, 0.6), 1.0), ((0.1, 0.1), 0.6)):
        policy = tuple(np.array([[p, 1 - p]]) for p in start)
        trace = run_pmd(game, mirror_map, 1.0, 1000, policy, tolerance=1e-4)
        assert trace.converged
        assert trace.potential[-1] == pytest.approx(end, abs=1e-3)


# Batches


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean", "tsallis"])
@pytest.mark.parametrize("index", range(0, len(GAMES), 2))
def test_a_batch_is_the_runs_one_by_one(mirror_map, index, rng):
    game = GAMES[index]
    batch = random_policy(game, rng, batch=(2, 2))
    together = run_pmd(game, mirror_map, 0.3, 6, batch, record_policies=True)
    assert together.nash_gap.shape == together.c.shape == (6, 2, 2)
    assert together.potential.shape == (7, 2, 2)
    for where in np.ndindex(2, 2):
        start = tuple(part[where] for part in batch)
        alone = run_pmd(game, mirror_map, 0.3, 6, start, record_policies=True)
        here = (slice(None), *where)
        assert_allclose(together.nash_gap[here], alone.nash_gap, atol=1e-11)
        assert_allclose(together.c[here], alone.c, atol=1e-11)
        assert_allclose(together.potential[here], alone.potential, atol=1e-11)
        for one, other in zip(together.policies, alone.policies, strict=True):
            assert_allclose(one[here], other, atol=1e-11)
        for one, other in zip(together.policy, alone.policy, strict=True):
            assert_allclose(one[where], other, atol=1e-11)


def test_a_frame_has_one_row_an_iteration_and_run(rng):
    game = catalogue.isolated()
    batch = random_policy(game, rng, batch=(3,))
    trace = run_pmd(game, "kl", 0.5, 4, batch)
    frame = trace.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 12
    names = ["iteration", "run", "nash_gap", "nash_regret", "c", "potential", "mirror_map", "step"]
    assert list(frame.columns) == names
    for (time, run), row in frame.set_index(["iteration", "run"]).iterrows():
        assert row["nash_gap"] == trace.nash_gap[time, run]
        assert row["nash_regret"] == trace.nash_regret[time, run]
        assert row["c"] == trace.c[time, run]
        assert row["potential"] == trace.potential[time, run]
    assert set(frame["mirror_map"]) == {"kl"}
    assert set(frame["step"]) == {0.5}
    single = run_pmd(game, "kl", 0.5, 4).to_frame()
    assert single["iteration"].tolist() == [0, 1, 2, 3]
    assert single["run"].tolist() == [0] * 4


# What a trace says


def test_a_trace_of_a_game_without_potential():
    trace = run_pmd(catalogue.pollution_tax(2), "kl", 0.01, 5)
    assert trace.potential is None
    assert "potential" not in trace.to_frame()
    assert trace.nash_gap.shape == (5,)


def test_policies_are_kept_only_when_asked_for():
    game = catalogue.isolated()
    assert not run_pmd(game, iterations=3).policies
    trace = run_pmd(game, iterations=3, record_policies=True)
    assert [part.shape for part in trace.policies] == [(4, 1, 2)] * 2
    assert_array_equal(trace.policies[0][0], uniform_policy(game)[0])
    assert_array_equal(trace.policies[0][-1], trace.policy[0])
    assert trace.iterations == 3
    assert trace.mirror_map == "kl"


def test_the_default_tolerance_scales_with_rewards_and_horizon():
    game = catalogue.stay_or_leave()
    trace = run_pmd(game, "kl", 1.0, 2)
    assert trace.tolerance == pytest.approx(CONVERGED_TOLERANCE * 10)
    assert not trace.converged
    assert run_pmd(game, "kl", 1.0, 100).converged
    assert run_pmd(game, "kl", 1.0, 100).iterations == 100  # judged, but not stopped by it


def test_a_run_stops_once_every_run_of_the_batch_is_within_tolerance():
    game = catalogue.isolated()
    full = run_pmd(game, "kl", 1.0, 200)
    trace = run_pmd(game, "kl", 1.0, 200, tolerance=1e-3)
    assert trace.converged
    assert trace.tolerance == 1e-3
    expected = int(np.flatnonzero(full.nash_gap <= 1e-3)[0]) + 1
    assert trace.iterations == expected
    assert len(trace.potential) == expected + 1
    slow, quick = (np.array([[p, 1 - p], [p, 1 - p]]) for p in (0.37, 0.999))
    batch = (np.array([slow[:1], quick[:1]]), np.array([slow[:1], quick[:1]]))
    both = run_pmd(game, "kl", 1.0, 200, batch, tolerance=1e-3)
    alone = [
        run_pmd(game, "kl", 1.0, 200, (p[:1], p[:1]), tolerance=1e-3).iterations
        for p in (slow, quick)
    ]
    assert alone[0] > alone[1]
    assert both.iterations == max(alone)
    assert not run_pmd(game, "kl", 1.0, 2, tolerance=0.0).converged
    pure = deterministic_policy(game, [[0], [0]])
    assert run_pmd(game, "euclidean", 1.0, 50, pure, tolerance=0.0).iterations == 1


def test_the_start_is_left_alone(rng):
    game = catalogue.isolated()
    for mirror_map in ("kl", "euclidean", "tsallis"):
        start = random_policy(game, rng)
        before = [part.copy() for part in start]
        run_pmd(game, mirror_map, 0.5, 5, start)
        for part, kept in zip(start, before, strict=True):
            assert_array_equal(part, kept)


def test_maps_by_name_and_by_object_are_the_same_run():
    game = catalogue.isolated()
    for name, mirror_map in (("kl", KL()), ("tsallis", Tsallis())):
        named, given = (run_pmd(game, which, 0.5, 5) for which in (name, mirror_map))
        assert_array_equal(named.nash_gap, given.nash_gap)
        assert given.mirror_map == name


def test_a_single_agent_in_a_single_state_learns_its_best_action():
    trace = run_pmd(catalogue.rare_best_action(), "kl", 1.0, 10, record_policies=True)
    odds = trace.policies[0][:, 0, 0] / trace.policies[0][:, 0, 1]
    assert_allclose(odds, np.exp(np.arange(11)))


def test_one_action_agents_have_nothing_to_learn():
    game = TabularGame(np.ones((2, 1, 1)), np.eye(2), discount=0.9)
    for mirror_map in ("kl", "euclidean", "tsallis"):
        trace = run_pmd(game, mirror_map, 1.0, 3)
        assert trace.nash_gap.tolist() == [0, 0, 0]
        assert trace.c.tolist() == [1, 1, 1]
        assert trace.converged


def test_an_enormous_step_stays_on_the_simplex():
    for mirror_map in ("kl", "euclidean", "tsallis"):
        trace = run_pmd(catalogue.isolated(), mirror_map, 1e18, 3, record_policies=True)
        for part in trace.policies:
            assert_allclose(part.sum(axis=-1), 1)


@pytest.mark.parametrize(
    "game", [catalogue.pollution_tax(4), catalogue.isolated()], ids=["moved", "fixed"]
)
@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_a_run_is_the_same_however_many_iterates_are_observed_together(
    game, mirror_map, monkeypatch
):
    def run():
        return run_pmd(game, mirror_map, 0.01, 23, record_policies=True)

    together = run()
    monkeypatch.setattr(
        iteration, "NUMBERS", 5 * game.num_states * sum(map(np.size, uniform_policy(game)))
    )
    in_fives = run()
    monkeypatch.setattr(iteration, "NUMBERS", 1)
    one_by_one = run()
    for trace in (together, in_fives):
        for own, other in zip(trace.policies, one_by_one.policies, strict=True):
            assert_array_equal(own, other)
        assert_array_equal(trace.log_c, one_by_one.log_c)
        assert_allclose(trace.nash_gap, one_by_one.nash_gap, rtol=1e-9, atol=1e-12)
        if game.has_potential:
            assert_allclose(trace.potential, one_by_one.potential, rtol=1e-12)


def test_with_a_tolerance_no_iteration_is_made_ahead():
    class Counted(ExactFeedback):
        asked = 0

        def averaged_q(self, evaluation):
            self.asked += 1
            return super().averaged_q(evaluation)

    feedback = Counted()
    trace = run_pmd(catalogue.isolated(), "kl", 1.0, 200, feedback=feedback, tolerance=1e-3)
    assert 2 < trace.iterations == feedback.asked < 200


@pytest.mark.parametrize("iterations", [3, TOGETHER + 1, LEAST_COMPILED + 1])
def test_progress_is_told_of_all_iterations(iterations):
    done = []
    start = uniform_policy(catalogue.isolated())
    run = Iteration(catalogue.isolated(), MirrorDescent(KL()), ExactFeedback(), 0.1, start)
    stretches = list(run.stretches(iterations, advance=done.append))
    assert sum(done) == iterations == sum(len(part.nash_gap) for part in stretches)


def test_a_progress_bar_can_be_shown_and_hidden(capsys, monkeypatch):
    monkeypatch.setattr("pmdlib.learning.pmd.PROGRESS_DELAY", 0.0)
    run_pmd(catalogue.isolated(), iterations=3, progress=True)
    assert "PMD (kl)" in capsys.readouterr().err
    for progress in (False, None):
        run_pmd(catalogue.isolated(), iterations=3, progress=progress)
        assert capsys.readouterr().err == ""


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mirror_map": "entropy"}, "mirror_map is 'entropy', must be one of"),
        ({"step": "fast"}, "the theory gives no step 'fast' for the mirror map 'kl'"),
        ({"step": 0}, 'step is 0, must be "paper", "constant" or a positive number'),
        ({"step": -1.0}, 'step is -1.0, must be "paper", "constant" or a positive number'),
        ({"step": math.nan}, "step is nan, must be"),
        ({"step": math.inf}, "step is inf, must be"),
        ({"step": None}, "step is None, must be"),
        ({"step": True}, "step is True, must be"),
        ({"iterations": 0}, "iterations is 0, must be a whole number >= 1"),
        ({"iterations": -3}, "iterations is -3, must be a whole number >= 1"),
        ({"iterations": 2.5}, "iterations is 2.5, must be a whole number >= 1"),
        ({"iterations": math.nan}, "iterations is nan, must be a whole number >= 1"),
        ({"iterations": "ten"}, "iterations is 'ten', must be a whole number >= 1"),
        ({"iterations": None}, "iterations is None, must be a whole number >= 1"),
        ({"tolerance": -1e-9}, "tolerance is -1e-09, must be >= 0"),
        ({"tolerance": math.nan}, "tolerance is nan, must be >= 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(PmdError) as caught:
        run_pmd(catalogue.isolated(), **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("mirror_map", ["kl", "tsallis"])
def test_a_start_with_a_zero_that_the_map_would_keep(mirror_map):
    start = (np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    with pytest.raises(InvalidPolicyError) as caught:
        run_pmd(catalogue.isolated(), mirror_map, 1.0, 3, start)
    assert str(caught.value) == (
        "initial_policy[agent=1][s=0, a=1] is 0, must be positive: "
        f"the {mirror_map!r} step never revives an action of probability zero"
    )
    assert run_pmd(catalogue.isolated(), "euclidean", 1.0, 3, start).policy[1][0, 1] >= 0


def test_a_bad_start_is_named():
    with pytest.raises(InvalidPolicyError, match=r"initial_policy\[agent=0\]\[s=0\] sums to 1.5"):
        run_pmd(catalogue.isolated(), initial_policy=(np.array([[1, 0.5]]), np.array([[1, 0.0]])))
    with pytest.raises(InvalidPolicyError, match="initial_policy must be a sequence of N = 2"):
        run_pmd(catalogue.isolated(), initial_policy=uniform_policy(catalogue.needle()))


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_named_steps_need_a_potential_that_varies(mirror_map):
    with pytest.raises(NotPotentialError, match="the game states no potential: pass potential"):
        run_pmd(catalogue.pollution_tax(2), mirror_map, "paper", 3)
    for level in (0.0, -2.0):
        constant = TabularGame(np.full((1, 2, 2), level), np.eye(1), discount=0.5)
        with pytest.raises(PmdError, match=r"phi_max is 0\.0: a constant potential"):
            run_pmd(constant, mirror_map, "paper", 3)
        assert run_pmd(constant, mirror_map, 0.1, 3).nash_gap.tolist() == [0, 0, 0]


def test_a_step_that_leaves_the_finite_numbers_is_an_error():
    class Broken(KL):
        name = "broken"

        def policy(self, coordinates):
            return super().policy(coordinates) * math.nan

    with pytest.raises(PmdError) as caught:
        run_pmd(catalogue.isolated(), Broken(), 0.5, 3)
    assert str(caught.value) == (
        "the policy of agent 0 is not finite after iteration 1 with step 0.5"
    )


def test_log_c_is_the_logarithm_of_c_and_outlives_it():
    game, start = catalogue.slow_switch(0.1), catalogue.slow_switch_start()
    for mirror_map in ("kl", "euclidean", "tsallis"):
        trace = run_pmd(game, mirror_map, 0.5, 30, start, record_policies=True)
        before = tuple(own[:-1] for own in trace.policies)
        np.testing.assert_allclose(trace.c, constant_c(game, before), rtol=1e-12)
        np.testing.assert_allclose(np.exp(trace.log_c), trace.c, rtol=1e-15)
    tiny = run_pmd(catalogue.slow_switch(1e-3), "kl", 1.0, 4000, start)
    assert -1020 < tiny.log_c.min() < -800
    assert np.isfinite(tiny.log_c).all()
    assert tiny.c.min() == 0


def test_a_schedule_is_checked_recorded_and_taken_in_the_arithmetic_of_the_game():
    game = TabularGame(np.array([[[0.0, 1.0], [2.0, 1.0]]]), np.eye(1), discount=0.0)
    trace = run_pmd(game, "euclidean", lambda t: 0.5 / (t + 1), 3)
    assert trace.to_frame()["step"].tolist() == [0.5, 0.25, 0.5 / 3]
    exact = run_pmd(game.exact(), "euclidean", lambda t: 0.5 / (t + 1), 3)
    np.testing.assert_allclose(to_float(exact.nash_gap), trace.nash_gap, atol=1e-12)
    with pytest.raises(PmdError, match=r"step is 0\.0, must be a positive number at iteration 1$"):
        run_pmd(game, "kl", lambda t: 1.0 - t, 5)
