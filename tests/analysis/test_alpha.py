"""The distance α: exact where it is known, an interval that holds elsewhere."""

from fractions import Fraction

import brute_force
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pmdlib.analysis.policies import random_policy, replace
from pmdlib.analysis.potential import alpha_upper, is_markov_potential_game
from pmdlib.analysis.potential.alpha import potential_distance
from pmdlib.analysis.potential.alpha_upper import best_potential, interchangeable
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def one_state(first, second, discount=0.0):
    tables = [np.asarray(pay, dtype=float)[None] for pay in (first, second)]
    return TabularGame(tables, np.eye(1), discount=discount)


def test_matching_pennies(rng):
    """The only cycle of two actions each gains 2 at each of its four moves: α = 2."""
    found = potential_distance(one_state([[1, -1], [-1, 1]], [[-1, 1], [1, -1]]), rng)
    assert found.lower == 2
    assert found.cycle.length == 4
    assert 2 <= found.upper < 2 + 1e-9


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.875])
def test_two_by_two_is_a_quarter_of_the_cycle(discount, rng):
    """With one state the interval is a point, |cycle| / 4, and values are 1 / (1 - γ) of pay."""
    first, second = rng.integers(-8, 9, size=(2, 2, 2)) / 8
    gains = [
        first[1, 0] - first[0, 0],
        second[1, 1] - second[1, 0],
        first[0, 1] - first[1, 1],
        second[0, 0] - second[0, 1],
    ]
    known = abs(sum(gains)) / 4 / (1 - discount)
    found = potential_distance(one_state(first, second, discount), rng)
    assert float(found.lower) == pytest.approx(known)
    assert known <= found.upper <= known + 1e-8 / (1 - discount)


def test_rock_paper_scissors_needs_a_longer_cycle(rng):
    """Two of the three actions give 4-cycles of sum 6 at most; six winning moves of 2 give 12."""
    pay = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    game = one_state(pay, -pay)
    short = potential_distance(game, rng, lengths=(4,))
    found = potential_distance(game, rng, restarts=20)
    assert found.lower >= short.lower > 0
    assert found.lower <= found.upper
    assert found.upper == pytest.approx(float(found.lower), abs=1e-8)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_families_are_at_distance_zero(family, rng):
    """The program finds it without being told; rewards here are about 1, values 1 / (1 - γ)."""
    game = random_game(rng, family, Shape((2, 3), 3, 0.9))
    assert best_potential(game)[1] < 1e-7
    found = potential_distance(game, rng, restarts=1)
    assert found.lower <= found.upper < 1e-7
    if is_markov_potential_game(game, rng).proved:
        assert (found.lower, found.upper, found.cycle) == (0, 0.0, None)


@pytest.mark.parametrize("name", catalogue.NOT_POTENTIAL)
def test_named_games_lie_in_their_interval(name, rng):
    game = catalogue.CATALOGUE[name]()
    found = potential_distance(game, rng, restarts=2)
    assert 0 < float(found.lower) <= found.upper
    assert found.lower == abs(Fraction(str(found.cycle.total))) / found.cycle.length
    assert found.cycle.verify(game)
    assert found.upper <= np.ptp(game.rewards) / (1 - game.discount)
    assert found.potential.shape == (game.num_states, *game.num_actions)
    assert found.potential.min() == 0


def test_tight_with_several_states(rng):
    found = potential_distance(catalogue.perturbed_team(1 / 16), rng)
    assert found.lower == Fraction(1, 2)
    assert found.upper == pytest.approx(0.5, abs=1e-8)


def test_no_deviation_beats_the_upper_bound(rng):
    """Pure and mixed deviations by roll-outs, against the potential that the bound is about."""
    for game in (catalogue.pollution_tax(2), catalogue.routing_with_wear(2)):
        potential, upper = best_potential(game)
        team = TabularGame(potential, game.kernel, discount=game.discount)
        worst = 0.0
        for _ in range(30):
            concentration = rng.choice([1.0, 0.01])
            policy, aim = (random_policy(game, rng, concentration=concentration) for _ in range(2))
            agent = int(rng.integers(2))
            other = replace(policy, agent, aim[agent])
            gain = brute_force.values(game, other)[agent] - brute_force.values(game, policy)[agent]
            change = brute_force.values(team, other)[0] - brute_force.values(team, policy)[0]
            worst = max(worst, abs(gain - change).max())
        assert upper / 10 < worst <= upper


def test_a_small_perturbation_is_a_small_distance(rng):
    """Rewards off by ε move values by ε / (1 - γ), and differences by twice that."""
    game = random_game(rng, "shaped", Shape((2, 2), 3, 0.9))
    noise = rng.uniform(-1, 1, size=game.rewards.shape)
    bounds = []
    for epsilon in (1e-2, 1e-3, 1e-4):
        moved = list(game.rewards + epsilon * noise)
        bounds.append(best_potential(TabularGame(moved, game.kernel, discount=0.9))[1])
        assert 0 < bounds[-1] <= 2 * epsilon / (1 - 0.9) + 1e-6
    assert_allclose(np.divide(bounds[:-1], bounds[1:]), 10, rtol=0.02)


def test_interchangeable_agents_are_treated_as_one(monkeypatch):
    assert interchangeable(catalogue.distancing(4))
    assert interchangeable(catalogue.pollution_tax(4))
    assert not interchangeable(catalogue.separate_worlds())
    assert not interchangeable(catalogue.perturbed_team())
    assert not interchangeable(catalogue.slow_switch_from_uniform())
    game = catalogue.routing_with_wear(4)
    assert interchangeable(game)
    alike = best_potential(game)[1]
    monkeypatch.setattr(alpha_upper, "interchangeable", lambda game: False)
    assert best_potential(game)[1] == pytest.approx(alike, abs=1e-7)


def test_units(rng):
    """Rewards times 1000, distance times 1000."""
    game = catalogue.perturbed_team()
    thousand = [1000 * table for table in game.rewards]
    scaled = TabularGame(thousand, game.kernel, discount=game.discount)
    assert best_potential(scaled)[1] == pytest.approx(1000 * best_potential(game)[1])


def test_too_large_or_no_tensors(rng, monkeypatch):
    monkeypatch.setattr(alpha_upper, "LARGEST_PROGRAM", 50)
    with pytest.raises(PmdError, match=r"too large for bounds on its distance: .* than 50 "):
        potential_distance(catalogue.demand_response(), rng)

    class Other(MarkovGame):
        average_rewards = average_kernel = average_potential = None
        has_potential = phi_max = reward_bound = None

    with pytest.raises(NotPotentialError, match="the distance needs a TabularGame, not Other"):
        potential_distance(Other(), rng)
