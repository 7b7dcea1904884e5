"""Markov potential games are recognised, and refuted with a witness that anyone can recompute."""

from fractions import Fraction

import brute_force
import numpy as np
import pytest

from pmdlib.analysis.policies import random_policy, replace
from pmdlib.analysis.potential import cycle_sum, is_markov_potential_game
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def fraction(x):
    return Fraction(int(x.p), int(x.q))


def as_fractions(table):
    return [[fraction(x) for x in row] for row in table]


def exact_values(game, policy, agent):
    """V_agent(s) by Gauss elimination over fractions.Fraction, from the floats of the game."""
    states, discount = range(game.num_states), Fraction(game.discount)
    rewards = [Fraction(0) for _ in states]
    system = [[Fraction(int(s == t)) for t in states] for s in states]
    tensor, kernel = game.rewards[agent], game.kernel
    for state in states:
        for joint in brute_force.joint_actions(game):
            weight = Fraction(1)
            for own, action in zip(policy, joint, strict=True):
                weight *= own[state][action]
            rewards[state] += weight * Fraction(float(tensor[(state, *joint)]))
            row = kernel[state] if kernel.ndim == 2 else kernel[(state, *joint)]
            chances = [Fraction(float(p)) for p in row]
            for target in states:
                chance = chances[target] / sum(chances)  # rows sum to one exactly
                system[state][target] -= discount * weight * chance
    for pivot in states:  # diagonally dominant: no pivot vanishes
        for row in states:
            if row != pivot:
                factor = system[row][pivot] / system[pivot][pivot]
                system[row] = [
                    x - factor * y for x, y in zip(system[row], system[pivot], strict=True)
                ]
                rewards[row] -= factor * rewards[pivot]
    return [rewards[s] / system[s][s] for s in states]


def recomputed(game, witness):
    """Sum of the four value changes at the witness's state, without pmdlib."""
    (i, j), state = witness.agents, witness.state
    corners = [[as_fractions(own) for own in witness.start]]
    for agent, target in ((i, witness.moved[0]), (j, witness.moved[1]), (i, witness.start[i])):
        corners.append(list(corners[-1]))
        corners[-1][agent] = as_fractions(target)
    corners.append(corners[0])
    total = Fraction(0)
    for step, mover in enumerate((i, j, i, j)):
        before, after = corners[step], corners[step + 1]
        total += exact_values(game, after, mover)[state]
        total -= exact_values(game, before, mover)[state]
    return total


@pytest.mark.parametrize(
    ("make", "cycles"),
    [
        (catalogue.stage_potential_only, 8),
        (lambda: catalogue.pollution_tax(2), 8),
        (lambda: catalogue.pollution_tax(4), 2),
        (lambda: catalogue.demand_response(2), 2),
        (lambda: catalogue.distancing(3), 2),
    ],
    ids=["stage-potential-only", "pollution-tax-2", "pollution-tax-4", "demand", "distancing-3"],
)
def test_refuted_with_a_witness(make, cycles):
    game = make()
    result = is_markov_potential_game(game, np.random.default_rng(0), cycles=cycles)
    assert result.verdict is False
    assert not result
    assert not result.exact
    assert result.residual > 1e-5  # of the first open cycle; the witness below is exact
    witness = result.witness
    assert witness.agents[0] != witness.agents[1]
    assert fraction(witness.total) != 0
    assert recomputed(game, witness) == fraction(witness.total)


@pytest.mark.slow
def test_the_distancing_game_of_the_paper_is_refuted():
    game = catalogue.distancing()
    result = is_markov_potential_game(game, np.random.default_rng(0), cycles=1)
    assert not result
    assert result.residual > 1e-5  # of the first open cycle; the witness below is exact


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("shape", [Shape((2, 3), 2, 0.9), Shape((2, 1, 2), 2, 0.5)], ids=str)
def test_families_are_supported_and_spoiled_families_are_not(family, shape, rng):
    game = random_game(rng, family, shape)
    result = is_markov_potential_game(game, rng, cycles=3)
    assert result.verdict is True
    assert result.witness is None
    assert result.residual < 1e-12
    assert result.cycles == 3 * {2: 1, 3: 3}[game.num_agents]
    rewards = np.array(game.rewards)
    rewards[0, 0, 0, ..., 0] += 0.5  # agent 0 now cares about what another plays
    spoiled = TabularGame(list(rewards), game.kernel, discount=game.discount)
    assert not is_markov_potential_game(spoiled, rng, cycles=3)


def test_exact_games_close_every_cycle_exactly(rng):
    for game in (catalogue.isolated(), catalogue.three_agents_degenerate(), catalogue.rider(3)):
        result = is_markov_potential_game(game, rng, cycles=2)
        assert result.exact
        assert result.verdict
        assert result.residual == 0


def test_one_agent_is_always_a_potential_game(rng):
    result = is_markov_potential_game(catalogue.rare_visit(), rng)
    assert (result.verdict, result.exact, result.cycles) == (True, True, 0)


@pytest.mark.parametrize("pair", [(0, 1), (2, 5), (4, 5)])
def test_one_bad_pair_among_six_agents_is_found(pair):
    """Only agent i cares about agent j; every other pair closes all its cycles."""
    i, j = pair
    joint = np.indices((2,) * 6)
    rewards = np.zeros((6, 1, *(2,) * 6))
    rewards[i, 0] = (joint[i] == joint[j]) * 1.0
    game = TabularGame(list(rewards), np.eye(1), discount=0.0)
    for seed in range(3):
        result = is_markov_potential_game(game, np.random.default_rng(seed))
        assert not result
        assert set(result.witness.agents) == set(pair)


@pytest.mark.parametrize("make", [catalogue.stage_potential_only, catalogue.isolated])
def test_cycle_sum_by_roll_outs(make, rng):
    game = make()
    start, target = random_policy(game, rng), random_policy(game, rng)
    total, corners = cycle_sum(game, start, (0, 1), target)
    around = [start, replace(start, 0, target[0]), target, replace(start, 1, target[1])]
    worth = [brute_force.values(game, policy) for policy in around]
    expected = (
        (worth[1][0] - worth[0][0])
        + (worth[2][1] - worth[1][1])
        + (worth[3][0] - worth[2][0])
        + (worth[0][1] - worth[3][1])
    )
    np.testing.assert_allclose(total, expected, atol=1e-12)
    np.testing.assert_allclose(corners, worth, atol=1e-12)
    opposite, _ = cycle_sum(game, start, (1, 0), target[::-1])
    np.testing.assert_allclose(opposite, -total, atol=1e-12)


def test_stage_potential_only_by_hand():
    """Agent 1 moves from state 2's side to state 1's, where agent 2's mix q(0) pays it γ q/(1-γ).

    Round the cycle, only agent 1's value moves: 9 (q - q') from state 0, times its own change.
    """
    game = catalogue.stage_potential_only()
    start = (np.tile([0.25, 0.75], (3, 1)), np.tile([0.5, 0.5], (3, 1)))
    moved = (np.tile([0.75, 0.25], (3, 1)), np.tile([0.875, 0.125], (3, 1)))
    total, _ = cycle_sum(game, start, (0, 1), moved)
    np.testing.assert_allclose(total, [9 * 0.5 * (0.5 - 0.875), 0, 0], atol=1e-12)


def test_rounded_entries_are_no_refutation():
    """A kernel of thirds and shaped rewards close their cycles only up to the last digit."""
    rng = np.random.default_rng(4)
    game = random_game(rng, "shaped", Shape((2, 2), 3, 0.99))
    result = is_markov_potential_game(game, rng)
    assert result.verdict
    assert not result.exact
    assert 0 < result.residual < 1e-12


def test_the_seed_decides():
    first, second = (
        is_markov_potential_game(catalogue.pollution_tax(2), np.random.default_rng(5))
        for _ in range(2)
    )
    assert first.residual == second.residual
    assert first.witness.total == second.witness.total


def test_bad_arguments(rng):
    with pytest.raises(PmdError, match="cycles is 0, must be at least 1"):
        is_markov_potential_game(catalogue.isolated(), rng, cycles=0)

    class Other(MarkovGame):
        average_rewards = average_kernel = average_potential = None
        has_potential = phi_max = reward_bound = None

    with pytest.raises(NotPotentialError, match="the exact test needs a TabularGame, not Other"):
        is_markov_potential_game(Other(), rng)
