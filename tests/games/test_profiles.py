"""Families of one array per agent: stacks, rows, and what is done to every agent."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pmdlib.games.profiles import (
    Profile,
    Roster,
    all_agents,
    each_agent,
    first_agent,
    from_rows,
    rows,
    side_by_side,
    stacked,
)

# Agents 0, 3 share row 0 of the first stack, 1 has its row 1; 2, 4 have the rows of the second.
ROSTER = Roster(np.array([0, 1, 2, 0, 3]), (2, 2))


def profile():
    return Profile([np.arange(4.0).reshape(2, 2), np.arange(10.0, 16.0).reshape(2, 3)], ROSTER)


def test_agents_see_their_rows():
    family = profile()
    assert len(family) == 5
    assert [part.tolist() for part in family] == [
        [0, 1],
        [2, 3],
        [10, 11, 12],
        [0, 1],
        [13, 14, 15],
    ]
    assert family[-1].tolist() == [13, 14, 15]
    assert [part.tolist() for part in family[1:3]] == [[2, 3], [10, 11, 12]]
    with pytest.raises(IndexError):
        family[5]
    assert "5 agents" in repr(family)
    assert ROSTER.counts.tolist() == [2, 1, 1, 1]
    assert [ROSTER.some_agent(*ROSTER.place(agent)) for agent in range(5)] == [0, 1, 2, 0, 4]


def test_a_function_is_called_once_a_stack():
    calls = []

    def double(array):
        calls.append(array.shape)
        return 2 * array

    doubled = each_agent(double, profile())
    assert isinstance(doubled, Profile)
    assert calls == [(2, 2), (2, 3)]
    assert doubled[4].tolist() == [26, 28, 30]
    both = each_agent(np.add, profile(), doubled)
    assert isinstance(both, Profile)
    assert both[1].tolist() == [6, 9]


def test_families_of_different_rosters_are_combined_agent_by_agent():
    mixed = each_agent(np.add, profile(), tuple(profile()))
    assert isinstance(mixed, tuple)
    assert mixed[3].tolist() == [0, 2]
    other = Profile(profile().stacks, Roster(ROSTER.index.copy(), ROSTER.sizes))
    assert isinstance(each_agent(np.add, profile(), other), tuple)
    with pytest.raises(ValueError, match="argument 2 is"):
        each_agent(np.add, profile(), tuple(profile())[:4])


def test_rows_and_back():
    sums = each_agent(lambda array: array.sum(axis=-1), profile())
    assert rows(sums).tolist() == [1, 5, 33, 42]
    assert all_agents(sums).tolist() == [1, 5, 33, 1, 42]
    again = from_rows(rows(sums) + 1, sums)
    assert [float(x) for x in again] == [2, 6, 34, 2, 43]
    plain = (np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert_array_equal(rows(plain), [[1, 2], [3, 4]])
    assert_array_equal(all_agents(plain), rows(plain))
    assert_array_equal(from_rows(rows(plain), plain)[1], plain[1])


def test_a_tuple_is_stacked_by_shape():
    family = (np.ones(2), np.zeros(3), np.full(2, 5.0))
    together = stacked(family)
    assert [stack.shape for stack in together.stacks] == [(2, 2), (1, 3)]
    for mine, theirs in zip(together, family, strict=True):
        assert_array_equal(mine, theirs)
    assert stacked(together) is together


def test_rosters_of_populations():
    alike, apart = Roster.alike((2, 3)), Roster.apart((2, 3))
    assert (alike.index.tolist(), alike.sizes) == ([0, 0, 1, 1, 1], (1, 1))
    assert (apart.index.tolist(), apart.sizes) == ([0, 1, 2, 3, 4], (2, 3))


def test_the_first_agent_that_fails():
    family = profile()
    assert first_agent(lambda array: (array > 12).any(), family) == 4
    assert first_agent(lambda array: (array == 0).any(), family) == 0
    assert first_agent(lambda array: (array > 99).any(), family) is None
    assert first_agent(lambda array: (array == 11).any(), tuple(family)) == 2


def test_families_side_by_side():
    one, other = profile(), each_agent(lambda own: own + 100, profile())
    joined = side_by_side([one, other, one])
    assert isinstance(joined, Profile)
    assert joined.roster is ROSTER
    assert joined[4].tolist() == [[13, 14, 15], [113, 114, 115], [13, 14, 15]]
    for mixed in ([one, tuple(other)], [tuple(one), tuple(other)]):
        apart = side_by_side(mixed)
        assert isinstance(apart, tuple)
        assert apart[3].tolist() == [[0, 1], [100, 101]]
