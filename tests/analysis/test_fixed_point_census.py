"""Censuses: counts that are known in advance, and the way past a corner that is no equilibrium."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.analysis.fixed_points import fixed_points
from pmdlib.analysis.fixed_points.census import (
    KINDS,
    distances_to_non_nash,
    fixed_point_census,
    kind_of,
    random_payoffs,
    shares,
)
from pmdlib.games import catalogue

TIES = (0.0, 0.5, 1.0)


def test_generic_games_hold_and_tied_ones_rarely_do():
    draws = {"generic": random_payoffs((2, 2)), "tied": random_payoffs((2, 2), TIES)}
    census = fixed_point_census(draws, 60, np.random.default_rng(0))
    table = shares(census)
    assert list(table.index) == ["generic", "tied"]
    assert table.loc["generic", ["holds", "fails", "undecided"]].tolist() == [60, 0, 0]
    assert table.loc["generic", "share"] == 1
    assert 0 < table.loc["tied", "share"] < 0.5  # 18 of the 81 games
    assert census["complete"].all()
    counts = census.pivot_table(
        index=["sort", "game"], columns="kind", values="count", aggfunc="sum"
    )
    generic = counts.loc["generic"]
    assert set(counts.columns) <= set(KINDS)
    # Two or four corners are as many equilibria and others; a mixed point comes with two strict.
    assert (generic["strict Nash"] - generic["quasi-strict Nash"] == 1).all()
    assert (generic["strict Nash"] + generic["not Nash"] == 4).all()
    assert (generic[["continuum", "other Nash", "undecided"]] == 0).all(axis=None)
    assert (counts.loc["tied"]["continuum"] > 0).any()


def test_kinds_of_named_games():
    points = fixed_points(catalogue.three_agents_degenerate())
    kinds = [kind_of(point) for point in points]
    assert kinds.count("other Nash") == 1
    assert "continuum" in {kind_of(point) for point in fixed_points(catalogue.slow_switch(0.0))}
    assert kind_of(fixed_points(catalogue.isolated())[-1]) == "quasi-strict Nash"


def test_distance_of_a_run_that_is_drawn_by_hand():
    """From the middle past the corner (row 1, column 2), which is fixed but no equilibrium."""
    game = catalogue.isolated()
    rows = np.array([0.5, 0.9, 1.0])[:, None, None]  # probability of row 1, run 0 stays behind
    columns = np.array([0.5, 0.2, 0.6])[:, None, None]
    one, other = np.concatenate([rows, 1 - rows], -1), np.concatenate([columns, 1 - columns], -1)
    still = np.full((3, 1, 2), 0.5)
    policies = (np.stack([still, one], axis=1), np.stack([still, other], axis=1))
    table = distances_to_non_nash(game, policies)
    assert list(table["run"]) == [0, 0, 1, 1]
    corner = table[(table["run"] == 1)].sort_values("distance").iloc[0]
    assert corner["distance"] == pytest.approx(0.2)
    assert corner["iteration"] == 1
    assert table["pure"].all()
    assert (table[table["run"] == 0]["distance"] == 0.5).all()
    alone = distances_to_non_nash(game, pmd.uniform_policy(game))
    assert list(alone["distance"]) == [0.5, 0.5]


def test_runs_from_random_starts_pass_some_corner():
    rng, game = np.random.default_rng(1), catalogue.slow_switch(0.1)
    start = pmd.random_policy(game, rng, batch=(5,))
    trace = pmd.run_pmd(
        game, "kl", iterations=200, initial_policy=start, record_policies=True, progress=False
    )
    points = fixed_points(game)
    table = distances_to_non_nash(game, trace.policies, points)
    assert len(table) == 5 * sum(not point.nash for point in points)
    assert table["distance"].between(0, 1).all()
    assert table["iteration"].between(0, 200).all()


def test_a_game_without_such_points_is_named():
    game = catalogue.one_state([[0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(pmd.InvalidGameError, match="no isolated fixed point that is not Nash"):
        distances_to_non_nash(game, pmd.uniform_policy(game))
