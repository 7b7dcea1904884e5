"""The named games hold the numbers of their sources, recomputed here one joint action at a time."""

import itertools
from collections import Counter

import brute_force
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import check_policy
from pmdlib.errors import InvalidGameError
from pmdlib.games import catalogue
from pmdlib.games.catalogue import CATALOGUE, payoff


def sampled(game, count=200, seed=0):
    """Pairs (state, joint action)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield (
            int(rng.integers(game.num_states)),
            tuple(int(rng.integers(m)) for m in game.num_actions),
        )


def test_names():
    assert set(CATALOGUE) >= {
        "stay-or-leave",
        "stage-potential-only",
        "anti-coordination",
        "isolated",
        "slow-switch",
        "slow-switch-from-uniform",
        "three-agents-degenerate",
        "half-face",
        "crowd",
        "rider",
        "rare-best-action",
        "needle",
        "rare-visit",
        "distancing",
        "pollution-tax",
        "demand-response",
        "instalments",
        "perturbed-team",
        "routing-in-weather",
        "routing-with-wear",
        "separate-worlds",
    }
    assert set(catalogue.NOT_POTENTIAL) < set(CATALOGUE)


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"distancing"}))
def test_every_game_can_be_built_by_name(name):
    game = CATALOGUE[name]()
    assert game.num_agents >= 1
    assert_allclose(game.kernel.sum(axis=-1), 1)


def test_starts_fit_their_games():
    for game, start in (
        (catalogue.anti_coordination(), catalogue.anti_coordination_start()),
        (catalogue.slow_switch(), catalogue.slow_switch_start()),
        (catalogue.half_face(3, 6), catalogue.half_face_start(3, 6)),
        (catalogue.crowd(), catalogue.crowd_start()),
        (catalogue.rider(5), catalogue.rider_start(5)),
        (catalogue.rare_best_action(), catalogue.rare_best_action_start()),
        (catalogue.needle(9), catalogue.needle_start(9)),
        (catalogue.rare_visit(), catalogue.rare_visit_start()),
    ):
        check_policy(game, start)


# Examples that decide a claim


def test_one_state_games_by_hand():
    assert payoff(catalogue.anti_coordination()).tolist() == [[0, 1], [1, 0]]
    assert payoff(catalogue.isolated()).tolist() == [[1, 0.3], [0.2, 0.6]]
    assert_allclose(payoff(catalogue.slow_switch(0.125)), [[0.5, 0.625], [0, 0.875]])
    assert_allclose(payoff(catalogue.slow_switch(0.0)), [[0.5, 0.5], [0, 0.75]])
    split = payoff(catalogue.slow_switch_from_uniform(0.01))  # three near-copies of the left
    assert_allclose(split[:, 0], [0.5, 0], atol=1e-15)
    assert_allclose(split[:, -1], [0.51, 0.56])
    assert_allclose(split[0, 1:3], [0.49999, 0.499977])
    assert (abs(split[:, :3] - [[0.5], [0.0]]) <= 2.4e-5).all()
    degenerate = [[[0.8, 0.0], [0.0, 0.8]], [[1.0, 0.12], [0.04, 0.44]]]
    assert payoff(catalogue.three_agents_degenerate()).tolist() == degenerate
    assert payoff(catalogue.rare_best_action()).tolist() == [1, 0]
    assert payoff(catalogue.needle(4)).tolist() == [1, 0, 0, 0]
    assert payoff(catalogue.needle()).shape == (64,)


def test_starts_by_hand():
    assert_allclose(np.concatenate(catalogue.anti_coordination_start()), [[0.55, 0.45]] * 2)
    row, column = catalogue.slow_switch_start()
    assert row.tolist() == [[0.5, 0.5]]
    assert column[0, 1] / column[0, 0] == pytest.approx(np.exp(-4))
    assert catalogue.rare_best_action_start()[0].tolist() == [[1e-6, 1 - 1e-6]]
    assert catalogue.needle_start(5)[0].tolist() == [[0, 0.25, 0.25, 0.25, 0.25]]
    assert catalogue.half_face_start(2, 6)[1].tolist() == [[2 / 6] * 3 + [0] * 3]
    assert catalogue.half_face_start(3, 2)[2].tolist() == [[1, 0]]
    member, *_, last = catalogue.rider_start(5)
    assert_allclose(member, [[0.9, 0.1]])
    assert_allclose(last, [[0.99, 0.01]])
    assert len(catalogue.rider_start(5)) == 6


@pytest.mark.parametrize(("agents", "actions"), [(2, 2), (4, 4), (3, 6)])
def test_half_face(agents, actions):
    table = payoff(catalogue.half_face(agents, actions, delta=0.01))
    for joint in itertools.product(range(actions), repeat=agents):
        across = sum(a >= actions // 2 for a in joint)
        assert table[joint] == {0: 0.99, 1: 1.0}.get(across, 0.0)


@pytest.mark.parametrize(("agents", "actions"), [(1, 2), (4, 3), (4, 0)])
def test_half_face_needs_two_agents_and_an_even_number_of_actions(agents, actions):
    with pytest.raises(InvalidGameError) as caught:
        catalogue.half_face(agents, actions)
    assert str(caught.value) == (
        f"half_face has {agents} agents with {actions} actions, must have at least 2 agents and "
        "an even number of actions"
    )


def test_rider():
    table = payoff(catalogue.rider(4))
    assert table.shape == (2,) * 5
    for joint in itertools.product(range(2), repeat=5):
        crowd = {0: 0.8, 1: 1.0}.get(sum(joint[:4]), 0.0)
        assert table[joint] == pytest.approx(crowd / 2 + joint[4] / 2)


def test_crowd_counts_the_agents_that_play_one():
    counts = (0.25, 1.0, 0.5, 0.125)
    table = payoff(catalogue.crowd(counts))
    for joint in itertools.product(range(2), repeat=3):
        assert table[joint] == counts[sum(joint)]
    assert payoff(catalogue.crowd()).shape == (2,) * 10
    assert_allclose(np.concatenate(catalogue.crowd_start(4, 0.2)), [[0.8, 0.2]] * 4)
    with pytest.raises(InvalidGameError, match="by_count has 1 entries, must have at least 2"):
        catalogue.crowd([1.0])


def test_stay_or_leave_is_worth_nine():
    game = catalogue.stay_or_leave()
    stay, leave = np.array([[1.0, 0], [1, 0]]), np.array([[0.0, 1], [1, 0]])
    assert_allclose(brute_force.values(game, (leave,))[0], [9, 10])
    assert_allclose(brute_force.values(game, (stay,))[0], [0, 10])
    assert game.initial.tolist() == [1, 0]


def test_stage_potential_only():
    game = catalogue.stage_potential_only()
    assert not game.potential.any()
    assert not game.rewards[1].any()
    assert np.argwhere(game.rewards[0]).tolist() == [[1, 0, 0], [1, 1, 0]]
    for first, second in itertools.product(range(2), repeat=2):
        assert game.kernel[0, first, second].tolist() == ([0, 1, 0] if first == 0 else [0, 0, 1])
        assert game.kernel[1, first, second].tolist() == [0, 1, 0]
        assert game.kernel[2, first, second].tolist() == [0, 0, 1]


def test_rare_visit_pays_more_for_going():
    game = catalogue.rare_visit()
    good = np.array([[0.0, 1], [1, 0], [1, 0], [1, 0]])
    stay = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    assert_allclose(brute_force.values(game, (good,))[0], [0.9, 1, 0.51, 0])
    assert_allclose(brute_force.values(game, (stay,))[0], [0.459, 1, 0.51, 0])
    assert_allclose(catalogue.rare_visit_start(0.25)[0][:2], [[0.75, 0.25], [0.5, 0.5]])


# Games of the literature


@pytest.mark.parametrize("agents", [4, 5, 8])
def test_distancing(agents):
    game = catalogue.distancing(agents)
    assert game.num_actions == (4,) * agents
    assert game.discount == 0.99
    assert not game.has_potential
    tensors, kernel = game.rewards, game.kernel
    crowded = ((0,) * agents, tuple(k % 4 for k in range(agents)))
    for state, joint in [*sampled(game), *itertools.product(range(2), crowded)]:
        load = Counter(joint)
        for agent, facility in enumerate(joint):
            expected = (1, 2, 4, 6)[facility] * load[facility] - 100 * (state == 1)
            assert tensors[(agent, state, *joint)] == expected
        fullest = max(load.values())
        closed = fullest > agents / 2 if state == 0 else not fullest <= agents / 4
        assert kernel[(state, *joint)].tolist() == ([0, 1] if closed else [1, 0])


def test_distancing_has_four_facilities():
    with pytest.raises(InvalidGameError, match="distancing has 3 facilities, must have 4"):
        catalogue.distancing(4, 3)


@pytest.mark.parametrize(("agents", "tax"), [(2, 4), (4, 8), (8, 32)])
def test_pollution_tax(agents, tax):
    game = catalogue.pollution_tax(agents)
    assert game.discount == 0.99
    assert not game.has_potential
    tensors, kernel = game.rewards, game.kernel
    for state, joint in [*sampled(game, 100), (0, (0,) * agents), (1, (0,) * agents)]:
        for agent, dirty in enumerate(joint):
            assert tensors[(agent, state, *joint)] == (4 if dirty else 2) - tax * state
        assert kernel[(state, *joint)].tolist() == ([0, 1] if any(joint) else [1, 0])


def test_pollution_tax_is_given_for_two_four_and_eight_agents():
    with pytest.raises(InvalidGameError) as caught:
        catalogue.pollution_tax(3)
    assert str(caught.value) == "pollution_tax has 3 agents, must have one of [2, 4, 8]"


@pytest.mark.parametrize("agents", [2, 3, 4])
def test_demand_response(agents):
    game = catalogue.demand_response(agents)
    assert game.discount == 0.99
    assert game.num_states == 5
    assert not game.has_potential
    tensors, kernel = game.rewards, game.kernel
    for state, joint in sampled(game, 100):
        total = sum(joint)
        for agent, own in enumerate(joint):
            expected = 2 * own - own * total / 4 - own * 1.25**state
            assert tensors[(agent, state, *joint)] == pytest.approx(expected, abs=1e-12)
        moves = np.zeros(5)
        for shock in range(5):
            moves[min(max(round(2 * total / agents) + shock, 0), 4)] += 0.9 / 5
            moves[shock] += 0.1 / 5
        assert_allclose(kernel[(state, *joint)], moves, atol=1e-15)


def test_payoff_reads_one_state_identical_interest_games_only():
    assert_array_equal(payoff(catalogue.one_state([1.0, 2.0])), [1, 2])
    for game in (catalogue.stay_or_leave(), catalogue.pollution_tax(2)):
        with pytest.raises(InvalidGameError, match="identical-interest game of one state"):
            payoff(game)


def test_instalments_by_hand():
    """Against a payer with probability q: q at once, q / (2 - q) in instalments."""
    game = catalogue.instalments()
    for q in (0.0, 0.25, 0.5, 1.0):
        other = np.array([[1 - q, q], [0.5, 0.5]])
        for action, worth in enumerate((q, q / (2 - q))):
            policy = (np.eye(2)[[action, 0]], other)
            assert_allclose(brute_force.values(game, policy), [[worth, 0], [0, 0]], atol=1e-12)


def test_perturbed_team():
    game = catalogue.perturbed_team(0.125)
    first, second = game.rewards
    assert first.tolist() == [[[0.375, 0], [0, 1.125]], [[0.625, 0], [0, 0.125]]]
    assert second.tolist() == [[[0.25, 0.125], [0.125, 1]], [[0.5, 0.125], [0.125, 0]]]
    for joint in itertools.product(range(2), repeat=2):
        assert game.kernel[(0, *joint)].tolist() == ([0, 1] if joint == (1, 1) else [1, 0])
        assert game.kernel[(1, *joint)].tolist() == [0.5, 0.5]
    team = catalogue.perturbed_team(0.0).rewards
    assert_array_equal(team[0], team[1])


@pytest.mark.parametrize("agents", [2, 3, 5])
def test_routing(agents):
    weather, wear = catalogue.routing_in_weather(agents), catalogue.routing_with_wear(agents)
    assert_array_equal(weather.rewards, wear.rewards)
    assert_array_equal(weather.potential, wear.potential)
    assert weather.kernel.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    pay = {(0, 0): lambda k: 8 - k, (1, 0): lambda k: 6 - 3 * k}
    for state, joint in sampled(weather, 60):
        load = (joint.count(0), joint.count(1))
        each = [
            [pay.get((state, road), lambda k: 6 - k)(k) for k in range(1, load[road] + 1)]
            for road in range(2)
        ]
        for agent, road in enumerate(joint):
            assert weather.rewards[(agent, state, *joint)] == each[road][-1]
        assert weather.potential[(state, *joint)] == sum(map(sum, each))
        worn = load[0] / (2 * agents) + state / 2
        assert_allclose(wear.kernel[(state, *joint)], [1 - worn, worn])


def test_routing_needs_two_agents():
    for make in (catalogue.routing_in_weather, catalogue.routing_with_wear):
        with pytest.raises(InvalidGameError, match="routing has 1 agents, must have at least 2"):
            make(1)


def test_separate_worlds():
    game = catalogue.separate_worlds()
    for state, joint in itertools.product(range(4), itertools.product(range(2), repeat=2)):
        x, y = divmod(state, 2)
        assert game.rewards[(0, state, *joint)] == x * y + y
        assert game.rewards[(1, state, *joint)] == game.potential[(state, *joint)] == x * y
        assert game.kernel[(state, *joint)].tolist() == np.eye(4)[2 * joint[0] + joint[1]].tolist()
