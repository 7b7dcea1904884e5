"""Averages of a joint tensor over everyone but one agent, for all agents at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import log, prod

import numpy as np

from pmdlib.arithmetic import Array, join
from pmdlib.games.one_reading import products
from pmdlib.games.profiles import Profile, stacked, stacked_like

#: Bytes from which on tensors are streamed (`one_reading`): one that the agents share, which saves
#: its second reading, and tensors of their own. NumPy is as fast up to there; of four times as much
#: it takes two to four times as long. Measured.
LARGE, LARGE_OWN = 2**21, 2**23

#: Bytes that the first products leave of all tensors up to which these go on as channels of one.
#: That copies some numbers and saves calls: a tenth of the time for most games. Measured.
SMALL = 2**16

#: Numbers in a row of a table that is streamed, as nearly as actions allow. Rows from half to twice
#: as long do as well: shorter ones leave longer averages to go on with, longer ones do not fit in
#: the registers.
ROW = 2**7


#: Some consecutive agents, by the numbers of their actions.
_Team = tuple[int, ...]


def average_over_others(tensors: Sequence[Array], policy: Sequence[Array]) -> list[Sequence[Array]]:
    """Average joint tensors over everyone but i, for all agents i at once.

    The agents are split in two teams. Averaging a tensor over the right team leaves what the left
    team needs, and the other way round; each team is then treated the same way. So the tensor
    takes part in two products, where one contraction an agent would read it N times. Large tensors
    are streamed: read once, at the speed of the memory (`one_reading`). Teams with the same numbers
    of actions are treated together, and so is what the first products leave of all tensors, if it
    is small.

    Parameters
    ----------
    tensors : sequence of arrays (n, S, K, A_1 * .. * A_m)
        One for each of the m agents (n = m), or one that they share (n = 1); K channels.
    policy : sequence of m arrays (..., S, A_i)

    Returns
    -------
    list
        For each tensor m arrays (..., S, K, A_i), in the form of the policy. With a single agent
        there is nobody to average over, and the batch axes of its policy do not appear.
    """
    if len(policy) == 1:
        return [stacked_like([tensor[0]], policy) for tensor in tensors]
    family = _one_stack_for_each_size(policy)
    everyone = tuple(own.shape[-1] for own in family)
    streamed = [_is_streamed(tensor, family) for tensor in tensors]
    first = _split_into_rows(everyone) if any(streamed) else len(everyone) // 2
    (top, *others), agents = _plan(everyone, first)
    places, weights = _joint_policies(family, others, agents)
    batch = (1,) * (family.stacks[0].ndim - 3)
    tops = [
        top.averages(tensor.reshape(1, *batch, *tensor.shape), weights, streamed=large)
        for tensor, large in zip(tensors, streamed, strict=True)
    ]
    small = sum(part.nbytes for halves in tops for part in halves) <= SMALL
    pairs = list(zip(tensors, tops, strict=True))
    found = []
    for lot in [pairs] if small else [[pair] for pair in pairs]:
        together, lot_tops = zip(*lot, strict=True)
        halves = map(_channels_of_one, zip(*lot_tops, strict=True))
        stacks = _averages_of_each(zip(top.halves, halves, strict=True), others, weights, places)
        for place in _channels(together):
            averages = Profile([stack[..., place, :] for stack in stacks], family.roster)
            in_form = averages if family is policy else stacked_like(tuple(averages), policy)
            found.append(in_form)
    return found


def _averages_of_each(
    halves: Iterable[tuple[_Team, Array]],
    splits: Sequence["_Split"],
    weights: Mapping[_Team, Array],
    places: Mapping[_Team, Array],
) -> list[Array]:
    """Go on with tables of both halves of all agents, down to stacks (rows, ..., S, K, A)."""
    tables: dict[_Team, list[Array]] = {}
    for team, table in halves:
        tables.setdefault(team, []).append(table)
    for split in splits:
        table = _concatenate(tables.pop(split.team))
        for team, part in zip(split.halves, split.averages(table, weights), strict=True):
            tables.setdefault(team, []).append(part)
    stacks = []
    for alone, rows in places.items():
        averages = _concatenate(tables[alone])[..., 0, :, :, :]
        stacks.append(np.empty(averages.shape, averages.dtype))
        stacks[-1][rows] = averages
    return stacks


def _joint_policies(
    family: Profile, splits: Sequence["_Split"], agents: Mapping[_Team, Array]
) -> tuple[dict[_Team, Array], dict[_Team, Array]]:
    """Rows of the teams of one agent in their stack, and joint policies (teams, ..., S, A)."""
    places: dict[_Team, Array] = {}
    weights: dict[_Team, Array] = {}
    for stack in family.stacks:
        alone = (stack.shape[-1],)
        before = sum(map(len, places.values()))
        places[alone] = family.roster.index[agents[alone]] - before
        weights[alone] = stack[places[alone]]
    for split in reversed(splits):
        weights[split.team] = join(split.sides(weights))
    return places, weights


def _channels(tables: Sequence[Array]) -> list[slice]:
    """Places of the channels of each table (..., K, A) among those of all."""
    counts = [table.shape[-2] for table in tables]
    return [slice(end - k, end) for k, end in zip(counts, accumulate(counts), strict=True)]


def _channels_of_one(tables: Sequence[Array]) -> Array:
    """Join tables (teams, ..., n, S, K, A) along their channels, n = 1 broadcast to the others."""
    if len(tables) == 1:
        return tables[0]
    *lead, _, states, _, actions = tables[0].shape
    tensors, places = max(table.shape[-4] for table in tables), _channels(tables)
    shape = (*lead, tensors, states, places[-1].stop, actions)
    joined = np.empty(shape, np.result_type(*tables))
    for table, place in zip(tables, places, strict=True):
        joined[..., place, :] = table
    return joined


@dataclass(frozen=True)
class _Split:
    """All teams with the same numbers of actions, split in two.

    Attributes
    ----------
    team : tuple of int
    halves : pair of tuples of int
        Numbers of actions of the left agents of such a team, and of the right ones.
    places : pair of slices
        Where the halves stand among all teams like them.
    """

    team: _Team
    halves: tuple[_Team, _Team]
    places: tuple[slice, slice]

    def sides(self, weights: Mapping[_Team, Array]) -> tuple[Array, Array]:
        """Joint policies of the left and of the right halves, (teams, ..., S, A) each."""
        (left, right), (place, other_place) = self.halves, self.places
        return weights[left][place], weights[right][other_place]

    def averages(
        self, table: Array, weights: Mapping[_Team, Array], *, streamed: bool = False
    ) -> tuple[Array, Array]:
        """Average tables (teams, ..., n, S, K, A) over the right halves, and over the left ones."""
        left, right = self.sides(weights)
        left, right = left[..., None, :, None, :], right[..., None, :, None, :]
        block = table.reshape(*table.shape[:-1], left.shape[-1], right.shape[-1])
        shared, first = table.shape[-4] == 1, len(self.halves[0])
        if streamed and shared:
            over_right, over_left = products(block, right, left)
            return over_right, over_left
        for_left = block if shared else block[..., :first, :, :, :, :]
        for_right = block if shared else block[..., first:, :, :, :, :]
        if streamed:
            return products(for_left, across=right)[0], products(for_right, down=left)[0]
        over_right = (for_left @ right[..., None])[..., 0]
        over_left = (left[..., None, :] @ for_right)[..., 0, :]
        return over_right, over_left


@lru_cache(maxsize=256)
def _plan(everyone: _Team, first: int) -> tuple[list[_Split], dict[_Team, Array]]:
    """Split all agents after the first so many, then every team in the middle, large ones first.

    Returns
    -------
    splits : list
    agents : dict
        Which agents the teams of one agent are, for each number of actions.
    """
    splits: list[_Split] = []
    starts = {everyone: [0]}  # the first agent of each team
    while len(team := max(starts, key=len)) > 1:
        middle = len(team) // 2 if splits else first
        halves, places, met = (team[:middle], team[middle:]), [], starts.pop(team)
        for half, offset in zip(halves, (0, middle), strict=True):
            known = starts.setdefault(half, [])
            places.append(slice(len(known), len(known) + len(met)))
            known += [start + offset for start in met]
        splits.append(_Split(team, halves, (places[0], places[1])))
    return splits, {alone: np.array(agents) for alone, agents in starts.items()}


def _one_stack_for_each_size(policy: Sequence[Array]) -> Profile:
    """Return a policy with a row for each agent, and a stack for each number of actions."""
    if isinstance(policy, Profile):
        sizes = {stack.shape[-1] for stack in policy.stacks}
        if len(sizes) == len(policy.stacks) and len(policy) == sum(policy.roster.sizes):
            return policy
        policy = tuple(policy)
    if len({own.shape[:-1] for own in policy}) > 1:
        batch = np.broadcast_shapes(*(own.shape[:-1] for own in policy))
        policy = [np.broadcast_to(own, (*batch, own.shape[-1])) for own in policy]
    return stacked(policy)


def _concatenate(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _is_streamed(tensor: Array, policy: Profile) -> bool:
    """Say whether a tensor is large, and of floats, and the policy a single one."""
    large = tensor.nbytes >= (LARGE if len(tensor) == 1 else LARGE_OWN)
    floats = all(array.dtype == np.float64 for array in (tensor, *policy.stacks))
    return large and floats and policy.stacks[0].ndim == 3


@lru_cache(maxsize=256)
def _split_into_rows(everyone: _Team) -> int:
    """Return the first agent of the right team, for rows of about `ROW` numbers."""
    middles = range(1, len(everyone))
    return min(middles, key=lambda middle: abs(log(prod(everyone[middle:]) / ROW)))
