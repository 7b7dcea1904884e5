"""Phase portraits: the segments of fixed points, the names of types, and what is drawn."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from pmdlib.analysis.equilibrium import nash_gap
from pmdlib.analysis.fixed_points import fixed_point_residual, fixed_points
from pmdlib.analysis.fixed_points.census import fixed_point_census
from pmdlib.errors import InvalidGameError
from pmdlib.games import catalogue
from pmdlib.learning.pmd import run_pmd
from pmdlib.workspace import COLORS
from pmdlib.workspace.plots import kinds_plot
from pmdlib.workspace.portraits import (
    assumption_table,
    continua,
    fixed_point_table,
    kind,
    phase_portrait,
    portrait_legend,
)


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def at(p, q):
    return (np.array([[p, 1 - p]]), np.array([[q, 1 - q]]))


def marked(axes, marker):
    """Where the axes carry this marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return {tuple(np.round(point, 3)) for line in lines for point in line.get_xydata()}


def test_isolated_games_have_no_continuum():
    for game in (catalogue.isolated(), catalogue.anti_coordination(), catalogue.slow_switch(0.1)):
        assert list(continua(game)) == []


def test_the_edge_of_the_slow_switch_limit_is_cut_where_it_stops_being_nash():
    """Row 2 gains .75 (1 - q) - .5 over row 1: positive for q < 1/3."""
    low, high = continua(catalogue.slow_switch(0.0))
    assert low == ((1.0, 0.0), (1.0, pytest.approx(1 / 3)), False)
    assert high == ((1.0, pytest.approx(1 / 3)), (1.0, 1.0), True)


def test_a_tie_for_each_agent_gives_two_edges():
    """[[0,0],[0,1]]: row 1 and column 1 are fixed throughout, and only their corner is Nash."""
    segments = list(continua(catalogue.one_state([[0.0, 0.0], [0.0, 1.0]])))
    assert segments == [((0.0, 1.0), (1.0, 1.0), False), ((1.0, 0.0), (1.0, 1.0), False)]


def test_an_idle_agent_gives_a_line_across():
    """Agent 1 never cares; agent 2 does, except when agent 1 mixes evenly."""
    idle, other = np.zeros((1, 2, 2)), np.array([[[1.0, 0.0], [0.0, 1.0]]])
    game = catalogue.TabularGame([idle, other], np.eye(1), discount=0.0)
    segments = set(continua(game))
    assert ((0.5, 0.0), (0.5, 1.0), True) in segments
    assert segments - {((0.5, 0.0), (0.5, 1.0), True)} == {
        ((0.0, 1.0), (0.5, 1.0), False),
        ((0.5, 1.0), (1.0, 1.0), True),
        ((0.0, 0.0), (0.5, 0.0), True),
        ((0.5, 0.0), (1.0, 0.0), False),
    }


def test_segments_are_fixed_and_their_type_is_right_in_every_small_game():
    """All 81 identical-interest games with payoffs 0, ½, 1, against the definitions.

    A point that is not isolated lies on a segment; the middle of a segment does not move.
    """
    for number in range(1, 81):
        digits = np.array([number // 3**k % 3 for k in range(4)])
        if (digits == digits[0]).all():
            continue
        game = catalogue.one_state(digits.reshape(2, 2) / 2)
        segments = list(continua(game))
        for start, end, nash in segments:
            middle = at(*np.mean([start, end], axis=0))
            assert fixed_point_residual(game, middle) < 1e-12
            assert (nash_gap(game, middle) < 1e-12) == nash
        alone = [point for point in fixed_points(game) if point.isolated]
        assert (len(alone) < len(fixed_points(game))) == bool(segments)


def test_constant_games_have_no_portrait():
    with pytest.raises(InvalidGameError, match="every policy of this game is a fixed point"):
        list(continua(catalogue.one_state(np.ones((2, 2)))))


@pytest.mark.parametrize("game", [catalogue.rider(), catalogue.stay_or_leave()])
def test_other_shapes_are_refused(game, axes):
    with pytest.raises(InvalidGameError, match="needs one state and two agents with two actions"):
        phase_portrait(axes, game)


def test_kinds():
    names = [kind(point) for point in fixed_points(catalogue.isolated())]
    assert names == ["strict Nash", "not Nash", "not Nash", "strict Nash", "mixed Nash"]
    degenerate = [kind(point) for point in fixed_points(catalogue.three_agents_degenerate())]
    assert degenerate.count("Nash, not quasi-strict") == 1
    limit = {kind(point) for point in fixed_points(catalogue.slow_switch(0.0))}
    assert limit == {"continuum, Nash", "continuum, not Nash", "not Nash", "strict Nash"}


def test_the_table_says_where_the_points_are():
    table = fixed_point_table(catalogue.isolated())
    assert list(table["value"]) == ["1.0000", "0.3000", "0.2000", "0.6000", "0.4909"]
    assert list(table["Nash gap"]) == ["0.0000", "0.7000", "0.8000", "0.0000", "0.0000"]
    assert table.loc[5, "π_1"] == "(4/11, 7/11)"
    assert table.loc[5, "π_2"] == "(3/11, 8/11)"
    assert list(table["smallest singular value"]) == ["–", "–", "–", "–", "1.100"]
    assert not table.astype(str).stack().str.contains("-0").any()


def test_points_that_no_short_fraction_names_are_rounded():
    """1, 2, 3, 2 for 0 .. 3 agents at their second action: they meet at 1/√2."""
    crowd = fixed_point_table(catalogue.crowd([1.0, 2.0, 3.0, 2.0]))
    assert (crowd["π_1"] == "(0.2929, 0.7071)").sum() == 1
    long = fixed_point_table(catalogue.one_state([[1.0, 0.0], [0.0, 0.1234]]))
    assert long.loc[5, "π_1"] == "(0.1098, 0.8902)"


def test_what_is_certified_of_several_games():
    table = assumption_table(
        {
            "isolated": catalogue.isolated(),
            "limit": catalogue.slow_switch(0.0),
            "crowd": catalogue.crowd([1.0, 2.0, 3.0, 2.0]),
        }
    )
    assert list(table["points"]) == [5, 5, 12]
    assert table.loc["isolated", "of these"] == "2 strict Nash, 1 quasi-strict Nash, 2 not Nash"
    assert table.loc["limit", "of these"] == "1 strict Nash, 1 not Nash, 3 continuum"
    assert table.loc["crowd", "known as"] == "11 rational, 1 enclosed"
    assert list(table["Assumption V.4"]) == ["holds", "fails", "holds"]
    assert set(table["complete"]) == {"yes"}
    assert "continuum" in table.loc["limit", "reason"]


def test_bars_show_the_shares_of_a_census(axes):
    draws = {"isolated": lambda rng: catalogue.isolated(), "limit": lambda rng: limit}
    limit = catalogue.slow_switch(0.0)
    kinds_plot(axes, fixed_point_census(draws, 2, np.random.default_rng(0)))
    widths = {
        container.get_label(): [round(bar.get_width(), 3) for bar in container]
        for container in axes.containers
    }
    assert widths == {
        "strict Nash": [0.4, 0.2],
        "quasi-strict Nash": [0.2, 0],
        "not Nash": [0.4, 0.2],
        "continuum": [0, 0.6],
    }
    assert [text.get_text() for text in axes.texts] == ["5.0", "5.0", "points"]
    assert axes.get_ylim() == (1.5, -0.5)


def test_fixed_points_are_marked_for_the_map_that_has_them(axes):
    phase_portrait(axes, catalogue.isolated(), "kl", starts=[(0.5, 0.5)])
    assert marked(axes, "s") == {(1, 0), (0, 1)}
    assert marked(axes, "D") == {(0.364, 0.273)}
    assert {(1, 1), (0, 0)} < marked(axes, "o")
    other, euclidean = plt.subplots()
    phase_portrait(euclidean, catalogue.isolated(), "euclidean", starts=[(0.5, 0.5)])
    assert marked(euclidean, "s") == set()
    assert marked(euclidean, "D") == {(0.364, 0.273)}
    plt.close(other)


def test_a_run_is_drawn_as_it_goes(axes):
    game = catalogue.slow_switch(0.1)
    phase_portrait(axes, game, "kl", starts=[(0.5, 0.9), (0.3, 0.3)], step=0.3, iterations=20)
    start = tuple(own[0] for own in at(0.5, 0.9))
    run = run_pmd(game, "kl", 0.3, 20, tuple(own[None] for own in start), record_policies=True)
    drawn = axes.lines[0].get_xydata()
    assert np.allclose(drawn, np.stack([own[:, 0, 0] for own in run.policies], axis=-1))


def test_arrows_point_where_the_step_goes(axes):
    """In anti-coordination both agents flee from (1, 1) and (0, 0); the centre is still."""
    phase_portrait(axes, catalogue.anti_coordination(), "kl", starts=[(0.2, 0.3)], grid=3)
    quiver = next(c for c in axes.collections if hasattr(c, "U"))
    arrows = {
        tuple(np.round(place, 2)): (float(u), float(v))
        for place, u, v in zip(quiver.XY, quiver.U, quiver.V, strict=True)
    }
    assert (0.5, 0.5) not in arrows
    assert len(arrows) == 8
    assert arrows[0.17, 0.17] == pytest.approx((0.5**0.5, 0.5**0.5))
    assert arrows[0.83, 0.83] == pytest.approx((-(0.5**0.5), -(0.5**0.5)))


def test_the_continuum_is_drawn_whole_for_kl_and_its_equilibria_for_euclidean(axes):
    game = catalogue.slow_switch(0.0)

    def lengths(axes):
        lines = [line for line in axes.lines if line.get_color() == COLORS["control"]]
        return sorted(round(float(np.ptp(line.get_ydata())), 3) for line in lines)

    phase_portrait(axes, game, "kl", starts=[(0.5, 0.5)])
    assert lengths(axes) == [0.333, 0.667]
    axes.clear()
    phase_portrait(axes, game, "euclidean", starts=[(0.5, 0.5)])
    assert lengths(axes) == [0.667]


def test_the_legend_explains_the_marks_that_are_there(axes):
    def explained(*games):
        for legend in axes.figure.legends:
            legend.remove()
        axes.clear()
        for game in games:
            phase_portrait(axes, game, "kl", starts=[(0.5, 0.5)])
        portrait_legend(axes.figure)
        return [text.get_text() for text in axes.figure.legends[-1].get_texts()]

    nash, mixed, moving = (
        "strict Nash equilibrium",
        "mixed Nash equilibrium (saddle)",
        "fixed by KL",
    )
    assert explained(catalogue.isolated()) == [nash, mixed, f"{moving}, not Nash"]
    assert explained(catalogue.slow_switch(0.1)) == [nash, f"{moving}, not Nash"]
    everything = explained(catalogue.isolated(), catalogue.slow_switch(0.0))
    assert everything[2:] == [f"{moving}, not Nash", "continuum, Nash", "continuum, not Nash"]
