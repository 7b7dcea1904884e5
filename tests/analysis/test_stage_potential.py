"""The stage potential: by hand, against least squares, its gauge, and the certificate."""

import brute_force
import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import random_policy, random_rational_policy
from pmdlib.analysis.potential.stage_potential import (
    excess_game,
    flat_tensors,
    is_certainly_potential,
    smallest_range,
    stage_potential,
)
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import to_float
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.tabular import TabularGame

SHAPES = [Shape((2, 3), 3, 0.9), Shape((3, 1, 2), 2, 0.5), Shape((2, 2, 2), 1, 0.0)]


def gauge_free(game, potential):
    """Distance of a table from those of the form h(s) - γ Σ P(s'|s, a) h(s')."""
    _, kernel = flat_tensors(game)
    states = game.num_states
    shaping = (np.eye(states)[:, None] - game.discount * kernel).reshape(-1, states)
    flat = potential.ravel()
    best = np.linalg.lstsq(shaping, flat)[0]
    return abs(flat - shaping @ best).max()


def by_least_squares(game, rng, policies=40):
    """Fit φ to gains from deviations at random policies: linear in φ, one column for each entry."""
    size = game.num_states * int(np.prod(game.num_actions))
    before, after = [], []
    for _ in range(policies):
        start, aim = random_policy(game, rng), random_policy(game, rng)
        agent = int(rng.integers(game.num_agents))
        before.append((start, agent))
        after.append((*start[:agent], aim[agent], *start[agent + 1 :]))
    gains = [
        brute_force.values(game, b)[i] - brute_force.values(game, a)[i]
        for (a, i), b in zip(before, after, strict=True)
    ]
    columns = []
    for entry in range(size):
        team = np.eye(size)[entry].reshape(game.num_states, *game.num_actions)
        paid = TabularGame(team, game.kernel, discount=game.discount)
        columns.append(
            [
                Evaluation(paid, b).values[0] - Evaluation(paid, a).values[0]
                for (a, _), b in zip(before, after, strict=True)
            ]
        )
    system = np.array(columns).reshape(size, -1).T
    fitted, *_ = np.linalg.lstsq(system, np.ravel(gains), rcond=1e-11)
    residual = abs(system @ fitted - np.ravel(gains)).max()
    return fitted.reshape(game.num_states, *game.num_actions), residual


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_families(family, shape, rng):
    """The formula finds the potential by which a game was made, but for the gauge."""
    game = random_game(rng, family, shape)
    found = stage_potential(game)
    assert_allclose(found[(slice(None), *[0] * game.num_agents)], 0, atol=1e-14)
    assert gauge_free(game, found - game.potential) < 1e-12
    excess = Evaluation(excess_game(game, found), random_policy(game, rng))
    assert max(abs(own).max() for own in excess.advantages) < 1e-12


def test_least_squares_agrees(rng):
    game = random_game(rng, "shaped", Shape((2, 2), 2, 0.75))
    fitted, residual = by_least_squares(game, rng)
    assert residual < 1e-8
    assert gauge_free(game, stage_potential(game) - fitted) < 1e-7


def test_no_stage_potential_fits_games_that_have_none(rng):
    """As the theorem has it: an open cycle, so least squares leaves a residual as well."""
    for game in (catalogue.pollution_tax(2), catalogue.instalments(), catalogue.separate_worlds()):
        scale = np.ptp(game.rewards) / (1 - game.discount)
        assert by_least_squares(game, rng)[1] > 1e-3 * scale
        excess = Evaluation(excess_game(game, stage_potential(game)), random_policy(game, rng))
        assert max(abs(own).max() for own in excess.advantages) > 1e-3 * abs(game.rewards).max()


def test_one_state_is_the_path_sum_of_monderer_and_shapley():
    """Prisoner's dilemma: what agent 1 gains against 0, then agent 2 against agent 1's action."""
    first, second = np.array([[[3.0, 0.0], [5.0, 1.0]]]), np.array([[[3.0, 5.0], [0.0, 1.0]]])
    game = TabularGame([first, second], np.eye(1), discount=0.0)
    assert stage_potential(game).tolist() == [[[0, 2], [2, 3]]]


def test_one_agent_keeps_its_reward_up_to_the_gauge():
    """Stay or leave: V(stay) = (0, 10), so φ = r + γ P V - V: leaving has advantage 9."""
    found = stage_potential(catalogue.stay_or_leave())
    assert_allclose(found, [[0, 9], [0, 0]], atol=1e-12)


def test_exact_in_exact_out(rng):
    game = random_game(rng, "shaped", Shape((2, 2, 2), 2, 0.5))
    exact = game.exact()
    found = stage_potential(exact)
    assert all(isinstance(x, fmpq) for x in found.ravel())
    assert_allclose(to_float(found), stage_potential(game), atol=1e-12)
    if not is_certainly_potential(exact, found):  # rounded entries
        return
    advantages = Evaluation(
        excess_game(exact, found), random_rational_policy(exact, rng)
    ).advantages
    assert not any(own.any() for own in advantages)


def test_the_certificate():
    """It proves what holds for all policies, and nothing else."""
    for make in (catalogue.isolated, catalogue.rare_visit, catalogue.routing_in_weather):
        game = make()
        assert is_certainly_potential(game, game.potential)
        wrong = game.potential.copy()
        wrong.flat[0] += 2.0**-40
        assert not is_certainly_potential(game, wrong) or game.num_states == 1 == game.num_agents
    for make in (catalogue.routing_with_wear, catalogue.separate_worlds, catalogue.instalments):
        game = make()
        assert not is_certainly_potential(game, stage_potential(game.exact()))
        assert not is_certainly_potential(game, np.zeros((game.num_states, *game.num_actions)))


def test_the_certificate_knows_when_copies_part():
    """Agent 0's action leads to states that differ in a term which agent 1 controls, or do not."""
    reward = np.zeros((3, 2, 2))
    kernel = np.zeros((3, 2, 2, 3))
    kernel[0, 0, :, 1] = kernel[0, 1, :, 2] = kernel[1, ..., 1] = kernel[2, ..., 2] = 1.0
    zero = np.zeros_like(reward)
    reward[0, :, 1] = 1.0  # before the copies part: a dummy term
    assert is_certainly_potential(TabularGame([reward, zero], kernel, discount=0.5), zero)
    reward[2, :, 1] = 1.0  # after
    assert not is_certainly_potential(TabularGame([reward, zero], kernel, discount=0.5), zero)


def test_the_smallest_range_by_hand():
    """Shaping that pays 4 in state 0 and takes it back: φ is 0 or 1, once it is undone."""
    team = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    kernel = np.full((2, 2), 0.5)
    bonus = np.array([4.0, 0.0])
    potential = team + (bonus - 0.5 * kernel @ bonus)[:, None, None]
    game = TabularGame([potential] * 2, kernel, discount=0.5)
    assert np.ptp(potential) > 3
    best = smallest_range(game, potential)
    assert best.min() == 0
    assert best.max() == pytest.approx(1)
    assert gauge_free(game, best - team) < 1e-12


def test_the_smallest_range_stays_an_exact_potential(rng):
    game = catalogue.routing_in_weather().exact()
    found = stage_potential(game)
    best = smallest_range(game, found)
    assert is_certainly_potential(game, best)
    assert best.min() == 0
    assert best.max() <= found.max() - found.min()
    flat = np.zeros((2, 2, 2))
    assert_array_equal(smallest_range(catalogue.pollution_tax(2), flat), flat)
