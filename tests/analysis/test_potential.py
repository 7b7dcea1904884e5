"""Markov potential games are recognised, and refuted with a witness that anyone can recompute."""

from fractions import Fraction

import fractions_only
import numpy as np
import pytest
from flint import fmpq

from pmdlib.analysis.potential import is_markov_potential_game, membership
from pmdlib.analysis.potential.membership import WEIGHTS
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.game import MarkovGame
from pmdlib.games.tabular import TabularGame


def rounded_shaping():
    """Identical interest, shaped in floating point, with a kernel of thirds."""
    rng = np.random.default_rng(4)
    team, kernel = rng.random((3, 2, 2)), rng.random((3, 2, 2, 3))
    kernel /= kernel.sum(axis=-1, keepdims=True)
    rewards = []
    for _ in range(2):
        bonus = rng.normal(size=3)
        rewards.append(team + bonus[:, None, None] - 0.99 * kernel @ bonus)
    return TabularGame(rewards, kernel, discount=0.99, potential=team)


REFUTED = {name: catalogue.CATALOGUE[name] for name in catalogue.NOT_POTENTIAL} | {
    "pollution-tax-2": lambda: catalogue.pollution_tax(2),
    "demand-response-3": lambda: catalogue.demand_response(3),
    "distancing-3": lambda: catalogue.distancing(3),
}


@pytest.mark.parametrize("name", REFUTED)
def test_refuted_with_a_witness(name):
    game = REFUTED[name]()
    result = is_markov_potential_game(game, np.random.default_rng(0))
    assert result.verdict is False
    assert not result
    assert not result.exact
    assert result.proved
    assert result.chance == 0
    assert result.potential is None
    assert result.stated is (False if game.has_potential else None)
    assert result.residual == result.witness.relative > 1e-2  # nothing faint
    stored = result.witness.to_dict()
    total, spread = fractions_only.recomputed(game, stored)
    assert total == Fraction(stored["total"]) != 0
    assert spread == Fraction(stored["spread"])
    assert result.witness.verify(game)


@pytest.mark.parametrize("name", REFUTED)
def test_witnesses_are_easy_to_read(name):
    """Pure policies, but where only mixed ones open a cycle; then even mixes."""
    witness = is_markov_potential_game(REFUTED[name](), np.random.default_rng(0)).witness
    seen = {str(p) for own in (*witness.start, *witness.moved) for p in own.ravel()}
    assert seen <= ({"0", "1", "1/2"} if name == "instalments" else {"0", "1"})


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("shape", [Shape((2, 3), 2, 0.9), Shape((2, 1, 2), 2, 0.5)], ids=str)
def test_families_are_supported_and_spoiled_families_are_not(family, shape, rng):
    game = random_game(rng, family, shape)
    result = is_markov_potential_game(game, rng, cycles=3)
    assert result.verdict is True
    assert result.stated is True
    assert result.witness is None
    assert result.residual < 1e-12
    assert result.cycles == 3
    if result.exact:
        assert result.proved
    rewards = np.array(game.rewards)
    rewards[0, 0, 0, ..., 0] += 0.5  # agent 0 now cares about what another plays
    spoiled = TabularGame(list(rewards), game.kernel, discount=game.discount)
    assert not is_markov_potential_game(spoiled, rng, cycles=3)


def test_a_wrong_stated_potential_is_found_out(rng):
    game = catalogue.routing_in_weather()
    assert is_markov_potential_game(game, rng).stated is True
    wrong = game.potential.copy()
    wrong[1, 0, 0, 0] += 1 / 64
    game = TabularGame(list(game.rewards), game.kernel, discount=game.discount, potential=wrong)
    result = is_markov_potential_game(game, rng)
    assert result.verdict
    assert result.proved
    assert result.stated is False


def test_other_routes_when_no_readable_witness_turns_up(rng, monkeypatch):
    """Random moves of all agents refute as well, and fall into cycles of two."""
    monkeypatch.setattr(membership, "_readable_witness", lambda game, rng: None)
    for make in (catalogue.instalments, catalogue.routing_with_wear, lambda: one_bad_pair(1, 3)):
        game = make()
        result = is_markov_potential_game(game, rng)
        assert not result
        assert result.witness.verify(game)
        total, _ = fractions_only.recomputed(game, result.witness.to_dict())
        assert total == Fraction(str(result.witness.total)) != 0
    assert set(result.witness.agents) == {1, 3}


def sooner_or_surely():
    """Agent 0 reaches state 1 at once with chance 1/2, or surely a step later: alike at γ = 1/2.

    There agent 1's action pays it. A potential game, for no policy of agent 0 matters; but the
    certificate does not see why.
    """
    reward = np.zeros((4, 2, 2))
    reward[1, :, 0] = 1.0
    kernel = np.zeros((4, 2, 2, 4))
    kernel[0, 0, :, 1] = kernel[0, 0, :, 3] = 0.5
    kernel[0, 1, :, 2] = kernel[2, ..., 1] = kernel[1, ..., 1] = kernel[3, ..., 3] = 1.0
    return TabularGame([reward, 0 * reward], kernel, discount=0.5, potential=0 * reward)


def test_the_chance_of_a_false_yes():
    """Two agents, four states: 2N²S = 32 zeros at most among 2^20 weights, twice."""
    result = is_markov_potential_game(sooner_or_surely(), np.random.default_rng(0))
    assert (result.verdict, result.exact, result.proved, result.stated) == (True, True, False, True)
    assert result.chance == pytest.approx((32 / WEIGHTS) ** 2)
    assert is_markov_potential_game(rounded_shaping(), np.random.default_rng(0)).chance == 1


def test_exact_games_close_every_cycle_exactly(rng):
    for game in (catalogue.isolated(), catalogue.three_agents_degenerate(), catalogue.rider(3)):
        result = is_markov_potential_game(game, rng, cycles=2)
        assert result.exact
        assert result.verdict
        assert result.proved
        assert result.stated
        assert result.residual == 0
        assert result.chance == 0


def test_one_agent_is_always_a_potential_game(rng):
    result = is_markov_potential_game(catalogue.rare_visit(), rng)
    assert (result.verdict, result.exact, result.cycles) == (True, True, 0)


def one_bad_pair(i, j):
    """Six agents: only agent i cares about agent j; every other pair closes all its cycles."""
    joint = np.indices((2,) * 6)
    rewards = np.zeros((6, 1, *(2,) * 6))
    rewards[i, 0] = (joint[i] == joint[j]) * 1.0
    return TabularGame(list(rewards), np.eye(1), discount=0.0)


@pytest.mark.parametrize("pair", [(0, 1), (2, 5), (4, 5)])
def test_one_bad_pair_among_six_agents_is_found(pair):
    game = one_bad_pair(*pair)
    for seed in range(3):
        result = is_markov_potential_game(game, np.random.default_rng(seed))
        assert not result
        assert set(result.witness.agents) == set(pair)


def test_rounded_entries_are_no_refutation():
    """A kernel of thirds and shaped rewards close their cycles only up to the last digit."""
    game = rounded_shaping()
    result = is_markov_potential_game(game, np.random.default_rng(0))
    assert result.verdict
    assert result.stated
    assert not result.exact
    assert 0 < result.residual < 1e-12


def test_exact_games_are_tested_as_they_are(rng):
    thirds = np.array([[fmpq(1, 3), fmpq(2, 3)]] * 2, dtype=object)
    pay = np.array([[[1, 0], [0, 2]], [[3, 1], [1, 0]]], dtype=object) * fmpq(1, 7)
    game = TabularGame([pay, pay + fmpq(1, 5)], thirds, discount=fmpq(99, 100))
    result = is_markov_potential_game(game, rng)
    assert (result.verdict, result.exact, result.proved) == (True, True, True)
    pay2 = pay.copy()
    pay2[0, 0, 0] += fmpq(1, 11)
    result = is_markov_potential_game(TabularGame([pay, pay2], thirds, discount=fmpq(99, 100)), rng)
    assert not result
    assert result.witness.total.q < 10**6


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


def test_the_witness_bounds_the_distance_from_below():
    pennies = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    game = TabularGame([pennies, -pennies], np.eye(1), discount=0.0)
    result = is_markov_potential_game(game, np.random.default_rng(0))
    assert result.distance == abs(result.witness.total) / 4 > 0
    assert (
        is_markov_potential_game(
            TabularGame(pennies, np.eye(1), discount=0.0), np.random.default_rng(0)
        ).distance
        == 0
    )
