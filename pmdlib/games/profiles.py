"""Quantities of all agents: one array per agent, kept once where agents share it.

Most code treats such a family as a sequence of N arrays. What is done to every agent goes through
`each_agent`, which works on a `Profile` one stack at a time: the cost of a million agents is that
of the arithmetic, and agents who share a policy cost as much as one of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from pmdlib.arithmetic import Array


@dataclass(frozen=True, eq=False)
class Roster:
    """Which agent has which row of the stacks of a `Profile`.

    Attributes
    ----------
    index : ndarray (N,) of int
        Row of each agent; rows are counted through all stacks.
    sizes : tuple of int
        Number of rows of each stack.
    """

    index: Array
    sizes: tuple[int, ...]

    @classmethod
    def alike(cls, populations: Sequence[int]) -> "Roster":
        """All agents of a population share a row; populations are given by their sizes."""
        index = np.repeat(np.arange(len(populations)), populations)
        return cls(index, (1,) * len(populations))

    @classmethod
    def apart(cls, populations: Sequence[int]) -> "Roster":
        """Every agent has its own row, in one stack for each population."""
        return cls(np.arange(sum(populations)), tuple(populations))

    @cached_property
    def counts(self) -> Array:
        """How many agents share each row, (R,)."""
        return np.bincount(self.index, minlength=sum(self.sizes))

    @cached_property
    def ends(self) -> Array:
        """Number of rows up to and with each stack."""
        return np.cumsum(self.sizes)

    @cached_property
    def members(self) -> list[list[int]]:
        """Agents of each stack in the order of its rows, if no two agents share one."""
        return [part.tolist() for part in np.split(np.argsort(self.index), self.ends[:-1])]

    def place(self, agent: int) -> tuple[int, int]:
        """Stack and row therein of an agent."""
        row = int(self.index[agent])
        stack = 0
        while row >= self.sizes[stack]:
            row -= self.sizes[stack]
            stack += 1
        return stack, row

    def some_agent(self, stack: int, row: int) -> int:
        """Return the first agent that has this row of this stack."""
        return int(np.argmax(self.index == self.ends[stack] - self.sizes[stack] + row))


class Profile(Sequence[Array]):
    """One array per agent, in stacks of equal shape: agents along the first axis.

    Parameters
    ----------
    stacks : sequence of arrays (rows, ...)
        Element i of the sequence is the row of agent i, a view.
    roster : Roster
        Profiles combine if they have the same roster.
    """

    def __init__(self, stacks: Iterable[Array], roster: Roster) -> None:
        self.stacks = tuple(stacks)
        self.roster = roster

    def __len__(self) -> int:
        return len(self.roster.index)

    @overload
    def __getitem__(self, agent: int) -> Array: ...
    @overload
    def __getitem__(self, agent: slice) -> tuple[Array, ...]: ...
    def __getitem__(self, agent: int | slice) -> Array | tuple[Array, ...]:
        if isinstance(agent, slice):
            return tuple(self[i] for i in range(*agent.indices(len(self))))
        stack, row = self.roster.place(agent)
        entry: Array = self.stacks[stack][row]
        return entry

    def __iter__(self) -> Iterator[Array]:
        every = [row for stack in self.stacks for row in stack]
        return map(every.__getitem__, self.roster.index.tolist())

    def __repr__(self) -> str:
        shapes = ", ".join(str(stack.shape) for stack in self.stacks)
        return f"Profile of {len(self)} agents in stacks {shapes}"


def stacked(family: Sequence[Array]) -> Profile:
    """Return a family as a `Profile`: arrays of one shape in one stack, a row for each agent."""
    if isinstance(family, Profile):
        return family
    members: dict[tuple[int, ...], list[int]] = {}
    for agent, array in enumerate(family):
        members.setdefault(array.shape, []).append(agent)
    index = np.empty(len(family), dtype=np.int64)
    index[[agent for agents in members.values() for agent in agents]] = np.arange(len(family))
    stacks = [np.stack([family[agent] for agent in agents]) for agents in members.values()]
    return Profile(stacks, Roster(index, tuple(map(len, members.values()))))


def stacked_like(arrays: Sequence[Array], family: Sequence[Array]) -> Sequence[Array]:
    """Return one array for each agent in the form of a family: a Profile if all its rows differ."""
    if not isinstance(family, Profile) or len(family) != sum(family.roster.sizes):
        return tuple(arrays)
    stacks = (np.array([arrays[i] for i in agents]) for agents in family.roster.members)
    return Profile(stacks, family.roster)


def _common_roster(families: Sequence[Sequence[Array]]) -> Roster | None:
    """Return the roster of Profiles that all have the same, else None."""
    rosters = {family.roster if isinstance(family, Profile) else None for family in families}
    return rosters.pop() if len(rosters) == 1 else None


def _stacks(profiles: Sequence[Sequence[Array]]) -> list[tuple[Array, ...]]:
    return [profile.stacks for profile in profiles if isinstance(profile, Profile)]


def each_agent(function: Callable[..., Any], *families: Sequence[Array]) -> Sequence[Array]:
    """Apply a function to the arrays of every agent.

    Parameters
    ----------
    function : callable
        It must treat leading axes as batch axes: it is called with whole stacks where all families
        are Profiles of one roster, else agent by agent.
    *families : sequences of N arrays (...)

    Returns
    -------
    Profile of the same roster, or tuple of N arrays.
    """
    roster = _common_roster(families)
    if roster is not None:
        return Profile(map(function, *_stacks(families)), roster)
    return tuple(function(*arrays) for arrays in zip(*families, strict=True))


def side_by_side(families: Sequence[Sequence[Array]]) -> Sequence[Array]:
    """Join families along a new axis, the first of every agent's array."""
    roster = _common_roster(families)
    if roster is not None:
        columns = zip(*_stacks(families), strict=True)
        return Profile((_along_new_axis(stacks, 1) for stacks in columns), roster)
    return tuple(_along_new_axis(arrays, 0) for arrays in zip(*families, strict=True))


def _along_new_axis(arrays: Sequence[Array], axis: int) -> Array:
    """Do what ``np.stack`` does, in half the time: for arrays of one shape that has this axis."""
    shape = arrays[0].shape
    return np.concatenate(arrays, axis).reshape(*shape[:axis], len(arrays), *shape[axis:])


def rows(family: Sequence[Array]) -> Array:
    """Join the arrays of all agents, of one shape (...), each kept once: (R, ...)."""
    if isinstance(family, Profile):
        return family.stacks[0] if len(family.stacks) == 1 else np.concatenate(family.stacks)
    return np.stack(family)


def from_rows(array: Array, like: Sequence[Array]) -> Sequence[Array]:
    """Undo `rows`: hand the rows of an array (R, ...) out to the agents as in ``like``."""
    if not isinstance(like, Profile):
        return tuple(array)
    parts = np.split(array, like.roster.ends[:-1]) if len(like.stacks) > 1 else [array]
    return Profile(parts, like.roster)


def all_agents(family: Sequence[Array]) -> Array:
    """Join the arrays of all agents, of one shape (...), one for each: (N, ...)."""
    joined = rows(family)
    return joined[family.roster.index] if isinstance(family, Profile) else joined


def first_agent(test: Callable[[Array], Any], family: Sequence[Array]) -> int | None:
    """Return the first agent whose array passes a test, or None.

    The test must hold of a stack if it holds of one of its rows: rows are looked at only then.
    """
    if not isinstance(family, Profile):
        return next((agent for agent, array in enumerate(family) if test(array)), None)
    found = [
        family.roster.some_agent(number, next(i for i, row in enumerate(stack) if test(row)))
        for number, stack in enumerate(family.stacks)
        if test(stack)
    ]
    return min(found, default=None)


def told_apart(policy: Sequence[Array], labels: Array) -> Sequence[Array]:
    """Return a policy in which agents share a row only if they also share a label, (N,).

    Only a `Profile` has shared rows; any other policy comes back as it is.
    """
    if not isinstance(policy, Profile):
        return policy
    pairs = np.stack([policy.roster.index, np.unique(labels, return_inverse=True)[1]])
    kept, index = np.unique(pairs, axis=1, return_inverse=True)
    if kept.shape[1] == sum(policy.roster.sizes):
        return policy
    ends = np.searchsorted(kept[0], policy.roster.ends)  # rows are sorted, so stacks stay together
    parts = np.split(kept[0], ends[:-1])
    first = policy.roster.ends - policy.roster.sizes
    stacks = [
        stack[rows - start] for stack, rows, start in zip(policy.stacks, parts, first, strict=True)
    ]
    return Profile(stacks, Roster(index.reshape(-1), tuple(len(rows) for rows in parts)))


def by_row(numbers: Array, like: Sequence[Array]) -> Sequence[Array]:
    """Hand out numbers of the agents, (N, ...), in the form of a policy, one array (...) for each.

    Agents who share a row must have the same numbers.
    """
    if not isinstance(like, Profile):
        return tuple(numbers)
    _, leaders = np.unique(like.roster.index, return_index=True)
    return from_rows(numbers[leaders], like)
