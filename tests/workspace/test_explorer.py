"""The explorer's numbers: those of run_pmd, of the bounds, and of the search for fixed points."""

from itertools import product

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis import bounds
from pmdlib.analysis.coupling import coupling, coupling_euclidean
from pmdlib.analysis.values import evaluate
from pmdlib.claims.claim import value_rounding
from pmdlib.claims.one_step import Step
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL, get_mirror_map
from pmdlib.workspace.explorer.data import AGENTS, MIRROR_MAPS
from pmdlib.workspace.explorer.look import Look
from pmdlib.workspace.explorer.rest_points import rest_points
from pmdlib.workspace.explorer.runs import explore
from pmdlib.workspace.explorer.scenes import GRID, SCENES, get_scene, group_policy
from pmdlib.workspace.explorer.theory import theory

EVERY = [
    pytest.param(scene, name, id=f"{scene.name}-{name}")
    for scene in SCENES.values()
    for name in MIRROR_MAPS
]
START = np.array([0.3, 0.45])


@pytest.mark.parametrize(("scene", "mirror_map"), EVERY)
@pytest.mark.parametrize("agents", [2, 5])
def test_a_run_is_that_of_run_pmd(scene, mirror_map, agents):
    """One number for the step, a tuple of N policies: the plain way to run it."""
    game, step = scene.game(agents), 0.7
    policy = tuple(group_policy(START, agents))
    trace = pmd.run_pmd(game, mirror_map, step, 30, policy, record_policies=True)
    runs = explore(scene, mirror_map, agents, step, START, iterations=30)
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(runs.nash_gap[:, 0], trace.nash_gap, **close)
    np.testing.assert_allclose(runs.potential[:, 0], trace.potential[:-1], **close)
    np.testing.assert_allclose(runs.c[:, 0], trace.c, **close)
    np.testing.assert_allclose(runs.regret[:, 0], np.cumsum(trace.nash_gap) / (runs.times + 1))
    np.testing.assert_allclose(runs.improvement[:, 0], np.diff(trace.potential), **close)
    for group, agent in ((0, 0), (1, agents - 1)):
        path = trace.policies[agent][:-1, 0, 1]
        np.testing.assert_allclose(runs.points[:, 0, group], path, **close)
    later = tuple(own[7] for own in trace.policies)
    assert runs.nash_gap[7, 0] == pytest.approx(pmd.nash_gap(game, later))
    assert runs.c[7, 0] == pytest.approx(pmd.constant_c(game, later))


def test_runs_of_a_batch_are_those_of_each_alone():
    scene, steps, starts = SCENES["two-roads"], [0.5, 9.0], [[0.2, 0.7], [0.6, 0.1]]
    together = explore(scene, "kl", 4, steps, starts, iterations=20, times=[0, 3, 19])
    for k, (step, start) in enumerate(zip(steps, starts, strict=True)):
        alone = explore(scene, "kl", 4, step, start, iterations=20)
        for name in ("potential", "nash_gap", "regret", "improvement", "guarantee", "c"):
            expected = getattr(alone, name)[[0, 3, 19], 0]
            np.testing.assert_allclose(getattr(together, name)[:, k], expected, rtol=1e-9)
        assert together.falls[k] == alone.falls[0]


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
def test_named_steps_and_the_limit_are_those_of_the_theory(scene):
    game = scene.game(6)
    kl, euclidean = theory(game, "kl"), theory(game, "euclidean")
    total = 2 * 6
    assert [named.value for named in kl.steps] == pytest.approx(
        [1 / (2 * game.phi_max * 6**0.5), 1 / game.phi_max, 4 / coupling(game)]
    )
    assert [named.value for named in euclidean.steps] == pytest.approx(
        [1 / (4 * game.phi_max * total), 2 / (game.phi_max * total), 4 / coupling_euclidean(game)]
    )
    assert kl.limit == pytest.approx(max(2 / game.phi_max, 8 / coupling(game)))
    widest = 4 / (game.phi_max * bounds.interaction_norm((2,) * 6))
    assert euclidean.limit == pytest.approx(max(widest, 8 / coupling_euclidean(game)))
    assert kl.names(kl.steps[0].value) == ["the paper's step"]
    assert kl.names(1.01 * kl.steps[0].value) == []


@pytest.mark.parametrize(("scene", "mirror_map"), EVERY)
def test_regret_bounds_are_those_of_the_theorems_and_hold(scene, mirror_map):
    agents = 4
    game, known = scene.game(agents), theory(scene.game(agents), mirror_map)
    phi = {"phi_max": game.phi_max, "discount": 0.0, "mismatch": 1.0}
    actions = {"num_actions": game.num_actions}
    for number, named in enumerate(known.steps):
        runs = explore(scene, mirror_map, agents, named.value, START, iterations=60)
        c, t = np.minimum.accumulate(runs.c[:, 0]), np.arange(1, 61)
        if number == 2:  # the coupling step: no theorem on regret
            assert np.isnan(runs.regret_bound).all()
            continue
        if mirror_map == "kl" and number == 0:
            expected = bounds.regret_kl_sharp(**phi, num_agents=4, c=c, iterations=t)
        elif mirror_map == "kl":
            expected = bounds.regret_kl_constant_step(**phi, c=c, iterations=t)
        elif number == 0:
            expected = bounds.regret_euclidean_sharp(**phi, **actions, iterations=t)
        else:
            expected = bounds.regret_euclidean_large_step(**phi, **actions, iterations=t)
        np.testing.assert_allclose(runs.regret_bound[:, 0], expected)
        assert (runs.regret <= runs.regret_bound).all()
    assert np.isnan(explore(scene, mirror_map, agents, 0.777, START).regret_bound).all()


@pytest.mark.parametrize("mirror_map", MIRROR_MAPS)
@pytest.mark.parametrize("units", [0.3, 1.0, 1.9, 7.0])
def test_the_guarantee_is_the_best_bound_agent_by_agent(mirror_map, units):
    """Against the sums over all agents that the claims use."""
    scene, agents = SCENES["one-or-two"], 5
    game = scene.game(agents)
    free = bounds.step_kl_constant(phi_max=game.phi_max, discount=0.0)
    step = units * (free if mirror_map == "kl" else theory(game, "euclidean").limit / 2)
    runs = explore(scene, mirror_map, agents, step, START, iterations=1)
    policy = tuple(own[None] for own in group_policy(START, agents))
    taken = Step(evaluate(game, policy), get_mirror_map(mirror_map), step)
    if mirror_map == "kl":
        found = [(1 / step - coupling(game) / 8) * taken.divergences]
        found += [taken.divergences / (2 * step)] if units <= 1 else []
        found += [step * (1 - step / free / 2) * taken.variances] if units <= 2 else []
    else:
        norm = bounds.interaction_norm(game.num_actions)
        found = [(1 / step - game.phi_max * norm / 4) * taken.squares]
        found += [(1 / step - coupling_euclidean(game) / 8) * taken.squares]
    best = float(np.max(found))
    assert np.isnan(runs.guarantee[0, 0]) == (best <= 0) == (units == 7.0)
    if best > 0:
        assert runs.guarantee[0, 0] == pytest.approx(best)
    assert runs.improvement[0, 0] == pytest.approx(taken.change[0, -1])


@pytest.mark.parametrize(("scene", "mirror_map"), EVERY)
def test_no_step_up_to_the_limit_falls_or_improves_less_than_guaranteed(scene, mirror_map):
    for agents in (2, 3, 16):
        game = scene.game(agents)
        known = theory(game, mirror_map)
        steps = [*(named.value for named in known.steps), 0.6 * known.limit, known.limit]
        starts = scene.probability([(x, y) for x in GRID[::3] for y in GRID[::3]], agents)
        many, sizes = np.tile(starts, (len(steps), 1)), np.repeat(steps, len(starts))
        runs = explore(scene, mirror_map, agents, sizes, many, iterations=40)
        assert not runs.falls.any()
        assert not runs.first_fall.any()
        known_bound = np.isfinite(runs.guarantee)
        slack = runs.improvement - runs.guarantee + value_rounding(game)
        assert known_bound.any()
        assert (slack[known_bound] >= 0).all()


def falling(name, mirror_map, agents, step):
    look = Look(SCENES[name], mirror_map, agents, step, (0.5, 0.5))
    return int((look.grid.falls > 0).sum())


def test_what_the_lessons_say_is_so():
    assert all(falling("half-face", "euclidean", n, 1.0) > 0 for n in (8, 16, 64))
    for agents in AGENTS:
        game = SCENES["half-face"].game(agents)
        limit = theory(game, "euclidean").limit
        assert limit == pytest.approx(10 / 3 / (agents - 1))
        assert falling("half-face", "euclidean", agents, 2 * limit) > 0
        assert theory(game, "kl").limit >= 2
        assert theory(SCENES["one-or-two"].game(agents), "kl").limit >= 2
        assert falling("one-or-two", "kl", agents, 2.0) == 0
        assert (falling("one-or-two", "kl", agents, 4.0) > 0) == (agents >= 4)
    roads = [SCENES["two-roads"].game(n) for n in (16, 64)]
    assert roads[1].phi_max > 3.9 * roads[0].phi_max
    assert theory(roads[1], "kl").limit == pytest.approx(theory(roads[0], "kl").limit, rel=0.1)
    assert falling("two-roads", "kl", 64, 32.0) == len(GRID) ** 2
    assert falling("stag-hunt", "kl", 16, 32.0) == 0  # four times the guarantee


@pytest.mark.parametrize(
    ("step", "start", "message"),
    [
        (0.0, START, "must be positive"),
        (np.nan, START, "must be positive"),
        (1.0, [0.0, 0.5], r"must be inside \(0, 1\)"),
        (1.0, [0.1, 0.2, 0.3], r"must be \(K, 2\)"),
    ],
)
def test_a_bad_setting_is_refused(step, start, message):
    with pytest.raises(PmdError, match=message):
        explore(SCENES["half-face"], "kl", 4, step, start)


def test_unknown_games_maps_and_sizes_are_refused():
    with pytest.raises(PmdError, match="game is 'chess', must be one of"):
        get_scene("chess")
    with pytest.raises(PmdError, match="mirror_map is 'tsallis'"):
        theory(SCENES["two-roads"].game(4), "tsallis")
    with pytest.raises(PmdError, match="agents is 1, must be at least 2"):
        group_policy(START, 1)
    with pytest.raises(PmdError, match="games of one state"):
        theory(catalogue.commute(4), "kl")


# Fixed points


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
@pytest.mark.parametrize("agents", [2, 3, 4, 16])
def test_rest_points_are_fixed_by_kl_and_named_by_their_gap(scene, agents):
    game = scene.game(agents)
    for point in rest_points(scene, agents):
        ends = np.array(point.ends)
        for at in (ends.mean(axis=0), *ends):
            policy = group_policy(at, agents)
            moved = KL().update(policy.stacks[0], pmd.averaged_q(game, policy).stacks[0])
            np.testing.assert_allclose(moved, policy.stacks[0], atol=1e-9)
        gap = pmd.nash_gap(game, group_policy(ends.mean(axis=0), agents))
        assert point.nash == (gap < 1e-6)


@pytest.mark.parametrize("name", ["half-face", "one-or-two", "stag-hunt"])
def test_two_agents_have_the_fixed_points_that_the_certified_search_finds(name):
    scene = SCENES[name]
    game = scene.game(2)
    pure = (np.eye(2)[[i]] for i in (0, 1))
    first, second = [], []
    for own, other in product(tuple(pure), repeat=2):
        rewards = game.average_rewards((own, other))
        first.append(float((own * rewards[0]).sum()))
        second.append(float((other * rewards[1]).sum()))
    tables = [np.array(table).reshape(1, 2, 2) for table in (first, second)]
    found = pmd.find_fixed_points(pmd.TabularGame(tables, np.eye(1), discount=0.0))
    assert found.complete
    expected = sorted(
        tuple(np.round([float(own[0, 1]) for own in p.policy], 9)) for p in found.points
    )
    listed = sorted(tuple(np.round(point.ends[0], 9)) for point in rest_points(scene, 2))
    assert listed == expected


def test_the_stag_hunt_has_its_saddle_at_two_fifths_for_every_n():
    for agents in (2, 3, 16, 64):
        inner = [p for p in rest_points(SCENES["stag-hunt"], agents) if p.kind == "mixed Nash"]
        assert np.array(inner[0].ends) == pytest.approx(0.4)
        pure = {
            p.ends[0] for p in rest_points(SCENES["stag-hunt"], agents) if p.kind == "pure Nash"
        }
        assert pure == {(0.0, 0.0), (1.0, 1.0)}


def test_where_many_have_crossed_whole_edges_are_equilibria():
    lines = {p.ends: p.kind for p in rest_points(SCENES["half-face"], 16) if len(p.ends) == 2}
    assert lines == {
        ((0.0, 1.0), (1.0, 1.0)): "line, Nash",
        ((1.0, 0.0), (1.0, 1.0)): "line, Nash",
    }
    kinds = {p.ends: p.kind for p in rest_points(SCENES["half-face"], 4)}
    assert kinds[(0.0, 1.0), (1.0, 1.0)] == "line, not Nash"  # one alone would rather go back
    assert kinds[((1.0, 1.0),)] == "pure Nash"
