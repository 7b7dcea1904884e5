"""The adversary: its programs against a general solver, known values, and the stored instances."""

import json
from dataclasses import replace

import numpy as np
import pytest
from claims.published import NAMES
from flint import fmpq
from numpy.testing import assert_allclose
from scipy.optimize import linprog

from pmdlib.analysis import bounds
from pmdlib.analysis.policies import check_policy
from pmdlib.arithmetic import is_exact, join, to_float
from pmdlib.claims import claims
from pmdlib.claims.claim import Instance
from pmdlib.claims.ways.adversary import (
    LOG_FORM,
    PROGRESS,
    rare_start_attack,
    search,
    slack_attack,
    tensor_attack,
    tightness_table,
)
from pmdlib.claims.ways.arena import Arena, shorten
from pmdlib.claims.ways.attacks import (
    Population,
    exchangeable_euclidean_attack,
    exchangeable_kl_attack,
    first_fall,
    gain_and_move,
    largest_interaction,
    largest_losing_target,
    paper_step_attack,
    share,
    smallest_failing_step,
    worst_payoffs,
)
from pmdlib.claims.ways.worst import FIRST_FALLS, STORE, load_worst, save_worst, simple
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CountGame
from pmdlib.games.tabular import TabularGame

STORED = [attack for claim in json.loads(STORE.read_text()) for attack in load_worst(claim)]


def on_floats(attack):
    """The instance of an attack, rounded to float64."""
    instance = attack.instance()
    extra = {
        name: float(to_float(np.array(value))) if isinstance(value, fmpq) else value
        for name, value in instance.extra.items()
    }
    agent, own = extra.pop("deviation")
    policy = tuple(to_float(own) for own in attack.policy)
    extra["deviation"] = (agent, to_float(own))
    return Instance(attack.game.rounded(), policy, instance.source, extra)


# The linear program with one equation


def test_worst_payoffs_are_those_of_a_general_solver(rng):
    for _ in range(40):
        size = int(rng.integers(2, 9))
        slopes, gains = rng.normal(size=(2, size)) * rng.choice([0, 1, 1], size=(2, size))
        low, high = np.minimum(slopes, 0).sum(), np.maximum(slopes, 0).sum()
        target = rng.uniform(low, high)
        found = worst_payoffs(slopes, gains, np.array(target))
        expected = linprog(gains, A_eq=slopes[None], b_eq=[target], bounds=(0, 1))
        assert gains @ found == pytest.approx(expected.fun, abs=1e-9)
        assert slopes @ found == pytest.approx(target, abs=1e-12)
        assert ((found >= 0) & (found <= 1)).all()
        for beyond in (low - 1e-3, high + 1e-3):
            assert np.isnan(worst_payoffs(slopes, gains, np.array(beyond))).all()


def test_the_largest_losing_target_is_that_of_a_general_solver(rng):
    slopes, gains = rng.normal(size=(2, 40, 6))
    gains[:5] = 2 * slopes[:5]  # the gain is twice the target: none above 0 can lose
    found = largest_losing_target(slopes, gains)
    assert_allclose(found[:5], 0, atol=1e-12)
    for slope, gain, target in zip(slopes, gains, found, strict=True):
        expected = linprog(-slope, A_ub=gain[None], b_ub=[0], bounds=(0, 1))
        assert target == pytest.approx(-expected.fun, abs=1e-9)


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_no_payoffs_are_worse_than_payoffs_by_count(mirror_map):
    """Four agents: the linear program over all 16 payoffs has the same value."""
    population, q_step = Population(4, mirror_map), 1.0 if mirror_map == "kl" else 1 / 3
    place = population.minimise(lambda places: population.ratio(places, q_step))
    before, after, move = population.probabilities(place)
    old, new = ([np.array([1 - p, p])] * 4 for p in (before, after))
    joint = np.indices((2,) * 4).reshape(4, -1)
    rows = []
    for agent in range(4):
        others = np.prod([old[j][joint[j]] for j in range(4) if j != agent], axis=0)
        rows.append(np.where(joint[agent] == 1, others, -others))
    target = move if mirror_map == "kl" else 2 * move
    found = linprog(join(new) - join(old), A_eq=rows, b_eq=[target / q_step] * 4, bounds=(0, 1)).fun
    moved = move * (after - before) * 4 if mirror_map == "kl" else 8 * move**2
    assert q_step * found / moved == pytest.approx(float(population.ratio(place, q_step)), rel=1e-6)


# Symmetric populations


@pytest.mark.parametrize(
    ("agents", "q_step", "known"),
    [(2, 1, 0.75), (10, 1, 0.729), (12, 1, 0.7256), (64, 1, 0.732), (2, 2, 0.5), (64, 2, 0.442)],
)
def test_known_values_of_the_kl_step_are_reached_or_beaten(agents, q_step, known):
    found = exchangeable_kl_attack(agents, q_step)
    assert found.proved <= found.ratio <= known + 2e-5
    assert found.ratio == share(found.game, found.policy, "kl", q_step)
    assert found.extra == {"units": q_step}


def test_a_dense_game_gives_the_same_ratio():
    found = exchangeable_kl_attack(8, 1)
    counts = np.indices((2,) * 8).sum(axis=0)
    dense = TabularGame(to_float(found.game.payoffs)[counts][None], np.eye(1), discount=0.0)
    gain, moved = gain_and_move(dense, found.policy, "kl", 1.0)
    assert gain / moved == pytest.approx(found.ratio, abs=1e-9)


def test_two_agents_attain_the_euclidean_coefficient():
    """1 - ηQmaxΛ/4 is exact for two agents, at steps where one more would lose."""
    for units in (1, 2, 4):
        assert exchangeable_euclidean_attack(2, units).ratio == 1 - units / 4


@pytest.mark.parametrize("agents", [4, 16, 64])
def test_the_worst_symmetric_euclidean_step_has_a_closed_form(agents):
    """All at action 0, c = (0, 1, 0, ..): the ratio is (1 - η/2)^(N-1), steeper than half-face."""
    for units in (0.5, 1, 2):
        step = units / largest_interaction(agents)
        found = exchangeable_euclidean_attack(agents, units)
        assert found.ratio == pytest.approx((1 - step / 2) ** (agents - 1), abs=1e-6)
        assert found.proved <= found.ratio < 1 - units / 8  # half-face
        assert largest_interaction(agents) == pytest.approx(bounds.interaction_norm((2,) * agents))


def test_the_steps_of_the_paper_keep_far_more_than_one_half():
    for mirror_map in ("kl", "euclidean"):
        for agents in (2, 16):
            found = paper_step_attack(agents, mirror_map)
            assert 0.9 < found.ratio < 1
            assert found.proved == 0.5


@pytest.mark.parametrize(("agents", "known"), [(2, 4.0), (8, 3.79), (32, 3.61), (64, 3.57)])
def test_steps_that_fail_are_no_larger_than_known(agents, known):
    assert 2 < smallest_failing_step(agents) <= known + 1e-3


@pytest.mark.parametrize("mirror_map", ["kl", "euclidean"])
def test_the_first_fall_is_one(mirror_map):
    found = first_fall(4, mirror_map)
    gain, moved = gain_and_move(found.game, found.policy, mirror_map, found.ratio)
    assert gain < 0 < moved
    assert found.ratio >= found.proved
    assert int(found.extra["step"].p) / int(found.extra["step"].q) == found.ratio
    assert gain_and_move(found.game, found.policy, mirror_map, 0.9 * found.ratio)[0] > 0


@pytest.mark.parametrize(("agents", "q_step"), [(1, 1.0), (2, 0.0), (2, -1.0)])
def test_an_attack_says_what_it_needs(agents, q_step):
    with pytest.raises(PmdError, match="at least two agents, whose steps can interfere"):
        exchangeable_kl_attack(agents, q_step)


def test_tightness_table():
    table = tightness_table("improvement-kl-constant-step", (2, 4))
    assert list(table.columns) == ["agents", "step", "proved", "found", "difference"]
    assert list(table["agents"]) == [2, 4, 2, 4]
    assert (table["difference"] > 0).all()
    assert_allclose(table["found"], [0.75, 0.73847, 0.5, 0.47142], atol=2e-5)
    with pytest.raises(PmdError, match="no attack on 'regret-kl' scales with N"):
        tightness_table("regret-kl")


# Descents


def test_descent_over_all_games_finds_the_worst_of_two_agents(rng):
    found = tensor_attack("kl", (2, 2), 1, rng, starts=2)
    assert found.ratio == pytest.approx(0.75, abs=1e-4)
    assert found.game.phi_max == 1
    found = tensor_attack("euclidean", (2, 3), 1, rng, starts=2)
    assert found.ratio == pytest.approx(0.75, abs=1e-6)


def test_descent_on_the_slack_of_a_claim(rng):
    found = slack_attack(PROGRESS, Arena((2,)), rng, starts=2, units=1.0)
    assert 1 <= found.ratio < 1.01
    assert found.slack == found.ratio
    two_states = slack_attack(LOG_FORM, Arena((2,), num_states=2), rng, starts=1, iterations=1)
    assert two_states.ratio >= 1
    assert two_states.game.num_states == 2
    assert two_states.extra == {"iterations": 1}


def test_the_log_form_is_sharp_for_a_rare_best_action():
    ratios = [rare_start_attack(bits).ratio for bits in (20, 80, 320)]
    assert ratios == sorted(ratios, reverse=True)
    assert 1 < ratios[-1] < 1.01


def test_points_are_games(rng):
    arena = Arena((2, 3), num_states=2)
    low, high = np.array(arena.limits).T
    point = arena.draw(rng)
    assert ((point >= low) & (point <= high)).all()
    game, policy = arena.read(point)
    check_policy(game, policy)
    assert game.num_actions == (2, 3)
    exact, rounded = shorten(game, policy, 4)
    check_policy(exact, rounded)
    assert_allclose(to_float(exact.kernel), game.kernel, atol=1e-3)
    assert_allclose(to_float(rounded[1]), policy[1], atol=1e-3)


@pytest.mark.slow
def test_a_quick_search_attacks_every_claim(rng):
    found = list(search("quick", rng))
    assert {attack.claim for attack in found} >= {claim for claim in NAMES if "regret" in claim}
    for attack in found:
        assert attack.ratio >= attack.proved


# What is stored


def test_rounding_to_decimals():
    assert simple([0.1, 1 / 3, 1], 3).tolist() == [fmpq(1, 10), fmpq(333, 1000), fmpq(1)]


@pytest.mark.parametrize("attack", STORED, ids=lambda attack: f"{attack.claim}, {attack.case}")
def test_stored_instances_replay(attack):
    """Exact, valid, and as bad as they say; every claim holds on them."""
    assert all(is_exact(own) and own.ndim == 3 for own in attack.policy)
    assert all((own.sum(axis=-1) == 1).all() for own in attack.policy)
    assert attack.ratio >= attack.proved
    if attack.claim in FIRST_FALLS.values():
        mirror_map = attack.claim.removeprefix("first-fall-")
        assert gain_and_move(attack.game, attack.policy, mirror_map, attack.ratio)[0] < 0
        return
    claim, instance = claims[attack.claim], on_floats(attack)
    assert all(np.all(hypothesis.holds(instance)) for hypothesis in claim.hypotheses)
    sides = list(claim.compare(instance))
    assert all(side.holds.all() for side in sides)
    if attack.measure.startswith("larger"):
        slack = min(float(side.slack.min()) for side in sides if side.relation != "==")
        assert slack == pytest.approx(attack.ratio, rel=1e-6)


def test_every_attacked_claim_has_stored_instances():
    assert {attack.claim for attack in STORED} >= {
        *FIRST_FALLS.values(),
        *[name for name in NAMES if name.startswith(("improvement", "regret", "best-action"))],
    }
    assert load_worst("mirror-step") == []


def test_saving_keeps_the_worse_of_two(tmp_path):
    path = tmp_path / "worst.json"
    found = exchangeable_kl_attack(3, 1)
    assert save_worst([found], path) == 1
    assert save_worst([replace(found, ratio=0.9)], path) == 0
    (kept,) = load_worst(found.claim, path)
    assert kept.ratio == found.ratio
    assert (kept.game.payoffs == found.game.payoffs).all()
    assert all((a == b).all() for a, b in zip(kept.policy, found.policy, strict=True))
    assert kept.extra == found.extra
    assert save_worst([replace(found, ratio=0.6), replace(found, case="other")], path) == 2
    assert [attack.ratio for attack in load_worst(found.claim, path)] == [0.6, found.ratio]
    assert [entry.name for entry in tmp_path.iterdir()] == ["worst.json"]


def test_games_of_several_states_are_stored_whole(tmp_path):
    path = tmp_path / "worst.json"
    game = catalogue.stay_or_leave().exact()
    policy = (simple([[[0.25, 0.75], [0.5, 0.5]]], 2),)
    attack = replace(
        STORED[0], claim="regret-kl", game=game, policy=policy, extra={"iterations": 3}
    )
    save_worst([attack], path)
    (kept,) = load_worst("regret-kl", path)
    for name in ("potential", "kernel", "initial"):
        assert (getattr(kept.game, name) == getattr(game, name)).all()
    assert kept.game.discount == game.discount
    assert (kept.policy[0] == policy[0]).all()
    assert kept.extra == {"iterations": 3}


def test_a_broken_store_says_so(tmp_path):
    path = tmp_path / "worst.json"
    path.write_text("{")
    with pytest.raises(PmdError, match=r"worst\.json cannot be read as JSON"):
        load_worst("regret-kl", path)
    save_worst([replace(STORED[0], claim="x", game=CountGame([fmpq(0), fmpq(1)]))], tmp_path / "w")
    text = (tmp_path / "w").read_text().replace('"payoffs": "0 1"', '"payoffs": "0"')
    (tmp_path / "w").write_text(text)
    with pytest.raises(PmdError, match="has 1 entries, must have 2"):
        load_worst("x", tmp_path / "w")
