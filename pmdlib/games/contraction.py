"""Averages of a joint tensor over everyone but one agent, for all agents at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import log, prod

import numpy as np

from pmdlib.arithmetic import Array, join
from pmdlib.games.one_reading import both_products
from pmdlib.games.profiles import Profile, stacked, stacked_like

#: Bytes from which on a shared tensor is read once for both products. Smaller ones stay in a core's
#: own cache, where the second reading costs no more than the first saves. Measured.
LARGE = 2**21

#: Numbers in a row of the table that is read once, as nearly as actions allow. Rows from half to
#: twice as long do as well: shorter ones leave longer averages to go on with, longer ones do not
#: fit in the registers (`one_reading`).
ROW = 2**7


#: Some consecutive agents, by the numbers of their actions.
_Team = tuple[int, ...]


def average_over_others(tensor: Array, policy: Sequence[Array]) -> Sequence[Array]:
    """Average a joint tensor over everyone but i, for all agents i at once; see `Others`."""
    return Others(policy).average(tensor)


class Others:
    """Averages of joint tensors over everyone but i, for all agents i at once.

    The agents are split in two teams. Averaging a tensor over the right team leaves what the left
    team needs, and the other way round; each team is then treated the same way. So the tensor
    takes part in two products, where one contraction an agent would read it N times. A large one
    that the agents share is read once for both (`one_reading`); of tensors of their own each takes
    part in one product anyway. Teams with the same numbers of actions are treated together.

    Parameters
    ----------
    policy : sequence of m arrays (..., S, A_i)
        The joint policies of its teams are the same for all tensors, and computed once.
    """

    def __init__(self, policy: Sequence[Array]) -> None:
        self._policy = policy
        self._joint: dict[int, tuple[dict[_Team, Array], dict[_Team, Array]]] = {}

    @cached_property
    def _family(self) -> Profile:
        return _one_stack_for_each_size(self._policy)

    @cached_property
    def _everyone(self) -> _Team:
        return tuple(own.shape[-1] for own in self._family)

    def average(self, tensor: Array) -> Sequence[Array]:
        """Average one tensor.

        Parameters
        ----------
        tensor : ndarray (n, S, K, A_1 * .. * A_m)
            One for each of the m agents (n = m), or one that they share (n = 1); K channels.

        Returns
        -------
        sequence of m arrays (..., S, K, A_i), in the form of the policy. With a single agent there
        is nobody to average over, and the batch axes of its policy do not appear.
        """
        if len(self._policy) == 1:
            return stacked_like([tensor[..., 0, :, :, :]], self._policy)
        family, everyone = self._family, self._everyone
        once = tensor.nbytes >= LARGE and _readable_once(tensor, family)
        first = _split_into_rows(everyone) if once else len(everyone) // 2
        splits, _ = _plan(everyone, first)
        places, weights = self._joint_policies(first)
        batch = (1,) * (family.stacks[0].ndim - 3)
        tables = {everyone: [tensor.reshape(1, *batch, *tensor.shape)]}
        for split in splits:
            table = _concatenate(tables.pop(split.team))
            for team, part in zip(split.halves, split.averages(table, weights, once), strict=True):
                tables.setdefault(team, []).append(part)
            once = False
        found = []
        for alone, rows in places.items():
            averages = _concatenate(tables[alone])[..., 0, :, :, :]
            found.append(np.empty(averages.shape, averages.dtype))
            found[-1][rows] = averages
        result = Profile(found, family.roster)
        return result if family is self._policy else stacked_like(tuple(result), self._policy)

    def _joint_policies(self, first: int) -> tuple[dict[_Team, Array], dict[_Team, Array]]:
        """Rows of the teams of one agent, and joint policies (teams, ..., S, A) of all teams."""
        if first not in self._joint:
            splits, agents = _plan(self._everyone, first)
            places: dict[_Team, Array] = {}
            weights: dict[_Team, Array] = {}
            for stack in self._family.stacks:
                alone = (stack.shape[-1],)
                before = sum(map(len, places.values()))
                places[alone] = self._family.roster.index[agents[alone]] - before
                weights[alone] = stack[places[alone]]
            for split in reversed(splits[1:]):
                weights[split.team] = join(split.sides(weights))
            self._joint[first] = places, weights
        return self._joint[first]


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
        self, table: Array, weights: Mapping[_Team, Array], once: bool
    ) -> tuple[Array, Array]:
        """Average tables (teams, ..., n, S, K, A) over the right halves, and over the left ones."""
        left, right = self.sides(weights)
        left, right = left[..., None, :, None, :], right[..., None, :, None, :]
        block = table.reshape(*table.shape[:-1], left.shape[-1], right.shape[-1])
        if once:
            return both_products(block, right, left)
        shared, first = table.shape[-4] == 1, len(self.halves[0])
        for_left = block if shared else block[..., :first, :, :, :, :]
        for_right = block if shared else block[..., first:, :, :, :, :]
        over_right = (for_left @ right[..., None])[..., 0]
        over_left = (left[..., None, :] @ for_right)[..., 0, :]
        return over_right, over_left


@lru_cache(maxsize=256)
def _plan(everyone: _Team, first: int) -> tuple[list[_Split], dict[_Team, list[int]]]:
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
    return splits, starts


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


def _readable_once(tensor: Array, policy: Profile) -> bool:
    """Say whether a tensor is shared and of floats, and the policy a single one."""
    floats = all(array.dtype == np.float64 for array in (tensor, *policy.stacks))
    return floats and len(tensor) == 1 and policy.stacks[0].ndim == 3


@lru_cache(maxsize=256)
def _split_into_rows(everyone: _Team) -> int:
    """Return the first agent of the right team, for rows of about `ROW` numbers."""
    middles = range(1, len(everyone))
    return min(middles, key=lambda middle: abs(log(prod(everyone[middle:]) / ROW)))
