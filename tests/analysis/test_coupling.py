"""The coupling λ: by hand, against brute force over all changes, and against dense tensors."""

import itertools
import time

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

import pmdlib as pmd
from pmdlib.analysis import bounds
from pmdlib.analysis.coupling import (
    coupling,
    coupling_euclidean,
    largest_eigenvalue,
    no_action_moves_the_state,
)
from pmdlib.arithmetic import rationals, to_exact
from pmdlib.claims import improvement_coupling
from pmdlib.errors import NotPotentialError, PmdError
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CongestionGame, CountGame, TeamGame
from pmdlib.games.families import FAMILIES, Shape, random_shape
from pmdlib.games.tabular import TabularGame


def brute_force(game):
    """B by going through all pairs of agents, changes of both, and joint actions."""
    table = game.potential
    agents = game.num_agents
    entries = np.zeros((agents, agents))
    for i, j in itertools.permutations(range(agents), 2):
        for state in range(game.num_states):
            for joint in np.ndindex(*game.num_actions):
                for a, b in itertools.product(range(table.shape[1 + i]), range(table.shape[1 + j])):
                    corners = [list(joint) for _ in range(4)]
                    corners[1][i] = corners[3][i] = a
                    corners[2][j] = corners[3][j] = b
                    values = [table[(state, *corner)] for corner in corners]
                    mixed = abs(values[0] - values[1] - values[2] + values[3])
                    entries[i, j] = max(entries[i, j], mixed)
    return entries


def dense_team(game):
    """The potential of a game of loads as a tensor of identical interest."""
    joint = np.indices(game.num_actions).reshape(game.num_agents, -1)
    bundles = [own for size, own in game.bundles for _ in range(size)]
    facilities = game.payoffs.shape[1]
    uses = [np.array([[f in b for f in range(facilities)] for b in own]) for own in bundles]
    load = sum(table[own].astype(int) for table, own in zip(uses, joint, strict=True))  # (J, F)
    terms = game.payoffs
    if isinstance(game, CongestionGame):
        terms = np.concatenate([0 * terms[..., :1], terms.cumsum(axis=-1)], axis=-1)
    potential = terms[:, np.arange(facilities), load].sum(axis=-1)
    shape = (game.num_states, *game.num_actions)
    return TabularGame(potential.reshape(shape), game.exogenous_kernel, discount=game.discount)


# By hand


def test_two_agents_by_hand():
    # 0 - 1 - 1 + 0 = -2, and w² = 2 for two actions
    game = catalogue.anti_coordination()
    assert coupling(game) == 2
    assert coupling_euclidean(game) == 4
    # 1 - .3 - .2 + .6 = 1.1
    assert coupling(catalogue.isolated()) == pytest.approx(1.1, abs=1e-15)


def test_a_chain_of_three_has_a_root_two():
    """Agents 1-2 and 2-3 anti-coordinate: B = 2·path, eigenvalue 2√2; rows sum to 4 at most."""
    a, b, c = np.indices((2, 2, 2))
    game = catalogue.one_state((a != b) * 1.0 + (b != c))
    assert 2 * np.sqrt(2) <= coupling(game) <= 2 * np.sqrt(2) * (1 + 1e-9)


def test_actions_weigh_the_euclidean_coupling():
    """Agents of 2 and 4 actions: w² = 2 and 4, so λmax(WBW) = √8 B_12."""
    payoff = np.zeros((2, 4))
    payoff[0, 0] = 1.0
    assert coupling(catalogue.one_state(payoff)) == 1
    assert coupling_euclidean(catalogue.one_state(payoff)) == pytest.approx(np.sqrt(8))


def test_without_interaction_it_is_zero():
    a, b = np.indices((3, 2))
    game = catalogue.one_state(a / 4 + b / 2)
    assert coupling(game) == 0
    assert coupling_euclidean(game) == 0
    assert coupling(catalogue.needle()) == 0  # one agent
    assert coupling(CongestionGame([[[1.0], [2.0]]], 1)) == 0
    apart = CongestionGame(-np.ones((1, 4, 2)).cumsum(-1), [(1, [(0,), (1,)]), (1, [(2,), (3,)])])
    assert coupling(apart) == 0
    with pytest.raises(PmdError, match=r"coupling is 0\.0: without interaction every step"):
        bounds.step_kl_coupling(coupling(game))


def test_two_roads_by_hand():
    """Pay -load/N: whoever moves changes both loads, B = 2/N, λ = 2(N - 1)/N; exactly."""
    for agents in (2, 3, 10):
        paid = rationals(-np.arange(1, agents + 1), np.full(agents, agents))
        game = CongestionGame(np.stack([paid, paid])[None], agents)
        assert coupling(game) == fmpq(2 * (agents - 1), agents)
        assert coupling_euclidean(game) == fmpq(4 * (agents - 1), agents)


def test_populations_by_hand():
    """Two agents on roads 0, 1 and three on 1, 2, second differences 1, 2, 4: B = 3, 2, 6."""
    pay = np.arange(5.0) * np.array([1.0, 2.0, 4.0])[:, None]
    game = CongestionGame(pay[None], [(2, [(0,), (1,)]), (3, [(1,), (2,)])])
    entries = np.full((5, 5), 2.0)
    entries[:2, :2], entries[2:, 2:] = 3.0, 6.0
    np.fill_diagonal(entries, 0.0)
    expected = np.linalg.eigvalsh(entries).max()
    assert expected <= coupling(game) <= expected * (1 + 1e-9)
    assert coupling_euclidean(game) == pytest.approx(2 * expected, rel=1e-8)


def test_counts_by_hand():
    # second differences of 0, 1, 1, 0: -1, -1; three agents
    assert coupling(CountGame([0.0, 1.0, 1.0, 0.0])) == 2


# Against brute force


@pytest.mark.parametrize("family", ["congestion", "dummy"])
def test_tabular_games_against_brute_force(family, rng):
    for _ in range(6):
        shape = random_shape(rng, max_states=2, max_actions=3, max_joint_actions=40)
        game = FAMILIES[family](rng, shape)
        entries = brute_force(game)
        weights = np.sqrt([4 * (m // 2) * ((m + 1) // 2) / m for m in game.num_actions])
        for found, matrix in (
            (coupling(game), entries),
            (coupling_euclidean(game), weights[:, None] * entries * weights),
        ):
            expected = np.linalg.eigvalsh(matrix).max()
            assert expected * (1 - 1e-14) <= found <= expected * (1 + 1e-8)
        assert coupling(game) <= 2 * game.phi_max * (game.num_agents - 1)
        largest = 2 * game.phi_max * bounds.interaction_norm(game.num_actions)
        assert coupling_euclidean(game) <= largest * (1 + 1e-9)
        exact = coupling(game.exact())
        assert float(exact.numerator) / float(exact.denominator) == pytest.approx(coupling(game))


def games_of_loads(rng):
    some = [(2, [(0,), (1,), (2,)]), (2, [(0, 1), (2,), ()])]
    for table in (rng.integers(-64, 65, (2, 3, 5)) / 64, np.tile(np.arange(5.0) ** 2, (2, 3, 1))):
        for agents in (4, some):
            yield CongestionGame(table[..., 1:], agents, np.eye(2), discount=0.5)
            yield TeamGame(table, agents, np.eye(2), discount=0.5)


def test_games_of_loads_bound_what_their_tensors_have(rng):
    equal = 0
    for game in games_of_loads(rng):
        found, tensor = coupling(game), coupling(dense_team(game))
        assert tensor <= found * (1 + 1e-12)
        assert coupling_euclidean(dense_team(game)) <= coupling_euclidean(game) * (1 + 1e-12)
        equal += found == pytest.approx(tensor)
    assert equal >= 2  # the teams whose second differences are all the same


def test_a_million_agents_have_a_coupling_of_order_one():
    agents = 10**6
    paid = -np.arange(1, agents + 1) / agents
    start = time.perf_counter()
    found = coupling(CongestionGame(np.tile(paid, (1, 2, 1)), agents))
    assert time.perf_counter() - start < 10
    assert found == pytest.approx(2 * (agents - 1) / agents, rel=1e-8)


# The eigenvalue


def test_the_eigenvalue_is_bounded_for_certain(rng):
    for size in (1, 2, 5, 9):
        for _ in range(10):
            weights = rng.integers(0, 5, (size, size)) * (rng.random((size, size)) < 0.4)
            matrix = to_exact((weights + weights.T).astype(float))
            found = largest_eigenvalue(matrix)
            expected = max(np.linalg.eigvalsh((weights + weights.T).astype(float)).max(), 0)
            assert float(found.numerator) / float(found.denominator) == pytest.approx(expected)
            # (cI - A) has an inverse >= 0 exactly if c > λ: elimination without a zero pivot
            above = found + fmpq(1, 10**6)
            shifted = above * to_exact(np.eye(size)) - matrix
            for k in range(size):
                assert shifted[k, k] > 0
                for row in range(k + 1, size):
                    shifted[row] = shifted[row] - shifted[row, k] / shifted[k, k] * shifted[k]


# What it is for


def test_steps_and_coefficients():
    assert bounds.step_kl_coupling(2.0) == 2
    assert bounds.step_kl_coupling(fmpq(8, 3)) == fmpq(3, 2)
    coefficient = bounds.improvement_coefficient_coupling
    # (1/(1/4) - 8/8)/(1/4) = 12; at 4/λ it is 1/(2η(1-γ)), at 8/λ it is 0
    assert coefficient(step=0.25, coupling=8.0, discount=0.75) == 12
    at = bounds.step_kl_coupling(8.0)
    expected = bounds.improvement_coefficient(step=at, discount=0.75)
    assert coefficient(step=at, coupling=8.0, discount=0.75) == expected
    assert coefficient(step=2 * at, coupling=8.0, discount=0.75) == 0
    with pytest.raises(PmdError, match=r"step is 0.0, must be positive"):
        coefficient(step=0.0, coupling=8.0, discount=0.75)


@pytest.mark.parametrize("name", ["coupling", "coupling_euclidean"])
def test_a_coupling_that_is_too_small_is_refuted(name, monkeypatch):
    right = {"coupling": coupling, "coupling_euclidean": coupling_euclidean}[name]
    monkeypatch.setattr(improvement_coupling, name, lambda game: right(game) * 999 / 1000)
    verdict = pmd.verify("improvement-kl-coupling", instances=20)
    assert verdict.verdict == "refuted"
    assert verdict.ways["adversarial"]["failures"] > 0


def test_the_inequality_is_tight_for_every_number_of_agents():
    """Two roads, from (.505, .495): within 4e-5 of equality for 2, 8 and 32 agents."""
    worst = pmd.verify("improvement-kl-coupling", instances=20).ways["adversarial"]
    assert 1 <= worst["worst_slack"] < 1 + 4e-5


# Games that have none


def test_actions_that_move_the_state_are_refused():
    game = catalogue.stay_or_leave()
    assert not no_action_moves_the_state(game)
    with pytest.raises(PmdError, match="actions move the state: a coupling needs an exogenous"):
        coupling(game)
    shape = Shape((2, 2), 2, 0.0)  # γ = 0: what follows does not count
    kernel = FAMILIES["identical-interest"](np.random.default_rng(0), shape)
    assert no_action_moves_the_state(kernel)
    assert coupling(kernel) > 0


def test_a_game_without_a_potential_is_refused():
    rewards = [np.zeros((1, 2, 2)), np.ones((1, 2, 2))]
    with pytest.raises(NotPotentialError, match="states no potential"):
        coupling(TabularGame(rewards, np.eye(1), discount=0.0))


def test_another_kind_of_game_is_refused():
    class Other(CountGame):
        pass

    other = Other([0.0, 1.0, 0.0])
    assert coupling(other) == 2  # a kind of team
    game = catalogue.anti_coordination()
    masked = type("Masked", (), {"exogenous_kernel": game.exogenous_kernel})()
    with pytest.raises(PmdError, match="no coupling is known of a Masked"):
        coupling(masked)


def test_floats_agree_with_rationals(rng):
    for game in games_of_loads(rng):
        exact = coupling(game.exact())
        assert_allclose(coupling(game), float(exact.numerator) / float(exact.denominator))
        assert to_exact(coupling(game)) >= exact
