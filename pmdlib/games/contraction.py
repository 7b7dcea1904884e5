"""Averages of a joint tensor over everyone but one agent, for all agents at once."""

from collections.abc import Sequence
from math import log, prod

import numpy as np

from pmdlib.arithmetic import Array, join
from pmdlib.games.one_reading import both_products

#: Bytes from which on a shared tensor is read once for both products. Smaller ones stay in a core's
#: own cache, where the second reading costs no more than the first saves. Measured.
LARGE = 2**22

#: Numbers in a row of the table that is read once, as nearly as actions allow. Rows from half to
#: twice as long do as well: shorter ones leave longer averages to go on with, longer ones do not
#: fit in the registers (`one_reading`).
ROW = 2**7


def average_over_others(tensor: Array, policy: Sequence[Array]) -> list[Array]:
    """Average a joint tensor over everyone but i, for all agents i at once.

    The agents are split in two groups. Averaging the tensor over the right group leaves what the
    left group needs, and the other way round; each group is then treated the same way. So the
    tensor takes part in two products, where one contraction an agent would read it N times. A
    large one that the agents share is read once for both (`one_reading`); of tensors of their own
    each takes part in one product anyway.

    Parameters
    ----------
    tensor : ndarray (n, S, K, A_1 * .. * A_m)
        One tensor for each of the m agents (n = m), or one that they share (n = 1); K channels.
    policy : sequence of m arrays (..., S, A_i)

    Returns
    -------
    list of m arrays (..., S, K, A_i). With a single agent there is nobody to average over, and
    the batch axes of its policy do not appear.
    """
    if len(policy) == 1:
        return [tensor[..., 0, :, :, :]]
    once = tensor.nbytes >= LARGE and _readable_once(tensor, policy)
    half = _split_into_rows(policy) if once else len(policy) // 2
    return _averages(tensor, (_group(policy[:half]), _group(policy[half:])), once)


#: Some consecutive agents: how many they are, their joint policy (..., S, A_i * .. * A_j), and
#: the left and right half of them (a single agent has none).
_Group = tuple[int, Array, Sequence["_Group"]]


def _group(policy: Sequence[Array]) -> _Group:
    if len(policy) == 1:
        return 1, policy[0], ()
    half = len(policy) // 2
    halves = left, right = _group(policy[:half]), _group(policy[half:])
    return len(policy), join((left[1], right[1])), halves


def _averages(tensor: Array, halves: Sequence[_Group], once: bool = False) -> list[Array]:
    """Average a tensor over all but one agent; ``halves`` are the agents whose actions it has."""
    if not halves:
        return [tensor[..., 0, :, :, :]]
    (half, left_weights, left), (_, right_weights, right) = halves
    block = tensor.reshape(*tensor.shape[:-1], left_weights.shape[-1], right_weights.shape[-1])
    if once:
        over_right, over_left = both_products(block, right_weights[:, None], left_weights[:, None])
    else:
        shared = tensor.shape[-4] == 1
        for_left = block if shared else block[..., :half, :, :, :, :]
        for_right = block if shared else block[..., half:, :, :, :, :]
        over_right = (for_left @ right_weights[..., None, :, None, :, None])[..., 0]
        over_left = (left_weights[..., None, :, None, None, :] @ for_right)[..., 0, :]
    return _averages(over_right, left) + _averages(over_left, right)


def _readable_once(tensor: Array, policy: Sequence[Array]) -> bool:
    """Say whether a tensor is shared and of floats, and the policy a single one."""
    floats = all(array.dtype == np.float64 for array in (tensor, *policy))
    return floats and len(tensor) == 1 and policy[0].ndim == 2


def _split_into_rows(policy: Sequence[Array]) -> int:
    """Return the first agent of the right group, for rows of about `ROW` numbers."""
    sizes = [own.shape[-1] for own in policy]
    return min(range(1, len(sizes)), key=lambda half: abs(log(prod(sizes[half:]) / ROW)))
