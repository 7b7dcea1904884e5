"""Averages of a joint tensor over everyone but one agent, for all agents at once."""

from collections.abc import Sequence
from math import log, prod

import numpy as np

from pmdlib.arithmetic import Array, is_exact, join

#: Bytes of a panel. It must stay in a core's own cache (1 MiB and more on processors of today)
#: until its second product; smaller panels spend more time on calls.
PANEL = 2**19

#: Bytes from which on a tensor is read in panels. Smaller ones often stay in the cache that the
#: cores share, from which a second reading is no slower than panels are.
LARGE = 2**24

#: Numbers in a row of a panel, as nearly as actions allow. A dot product for each row streams from
#: memory at full speed, if a row and its weights fit together in the innermost cache (32 KiB) and
#: are long enough to be worth a call.
ROW, SHORTEST_ROW, LONGEST_ROW = 2**9, 2**6, 2**11


def average_over_others(tensor: Array, policy: Sequence[Array]) -> list[Array]:
    """Average a joint tensor over everyone but i, for all agents i at once.

    The agents are split in two groups. Averaging the tensor over the right group leaves what the
    left group needs, and the other way round; each group is then treated the same way. So the
    tensor takes part in two products, where one contraction an agent would read it N times. A
    large one is fetched from memory once, in panels that stay in the cache for both products.

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
    panels = tensor.nbytes >= LARGE and _worth_panels(tensor, policy)
    half = _split_into_rows(policy) if panels else len(policy) // 2
    return _averages(tensor, (_group(policy[:half]), _group(policy[half:])), panels)


#: Some consecutive agents: how many they are, their joint policy (..., S, A_i * .. * A_j), and
#: the left and right half of them (a single agent has none).
_Group = tuple[int, Array, Sequence["_Group"]]


def _group(policy: Sequence[Array]) -> _Group:
    if len(policy) == 1:
        return 1, policy[0], ()
    half = len(policy) // 2
    halves = left, right = _group(policy[:half]), _group(policy[half:])
    return len(policy), join((left[1], right[1])), halves


def _averages(tensor: Array, halves: Sequence[_Group], panels: bool = False) -> list[Array]:
    """Average a tensor over all but one agent; ``halves`` are the agents whose actions it has."""
    if not halves:
        return [tensor[..., 0, :, :, :]]
    (half, left_weights, left), (_, right_weights, right) = halves
    block = tensor.reshape(*tensor.shape[:-1], left_weights.shape[-1], right_weights.shape[-1])
    shared = tensor.shape[-4] == 1
    if panels:
        over_right, over_left = _in_panels(block[0], left_weights, right_weights)
    else:
        for_left = block if shared else block[..., :half, :, :, :, :]
        for_right = block if shared else block[..., half:, :, :, :, :]
        over_right = (for_left @ right_weights[..., None, :, None, :, None])[..., 0]
        over_left = (left_weights[..., None, :, None, None, :] @ for_right)[..., 0, :]
    return _averages(over_right, left) + _averages(over_left, right)


def _worth_panels(tensor: Array, policy: Sequence[Array]) -> bool:
    """Say whether a large tensor is shared, of floats, with enough of them for each channel."""
    floats = not any(map(is_exact, (tensor, *policy)))
    return floats and len(tensor) == 1 and tensor[0, 0, 0].nbytes >= PANEL


def _split_into_rows(policy: Sequence[Array]) -> int:
    """Return the first agent of the right group, for rows of about `ROW` numbers."""
    sizes = [own.shape[-1] for own in policy]
    return min(range(1, len(sizes)), key=lambda half: abs(log(prod(sizes[half:]) / ROW)))


def _in_panels(block: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Average a block (S, K, L, R) over the right (..., S, R), and over the left (..., S, L).

    Returns arrays (..., 1, S, K, L) and (..., 1, S, K, R).
    """
    states, channels, height, width = block.shape
    lefts, rights = left.reshape(-1, states, height), right.reshape(-1, states, width)
    over_right = np.empty((len(rights), 1, states, channels, height))
    over_left = np.zeros((len(lefts), 1, states, channels, width))
    step = max(1, PANEL // (width * block.itemsize))
    by_rows = len(rights) == 1 and SHORTEST_ROW <= width <= LONGEST_ROW
    for state, channel in np.ndindex(states, channels):
        table, across, down = block[state, channel], rights[:, state], lefts[:, state]
        averages, sums = over_right[:, 0, state, channel], over_left[:, 0, state, channel]
        for start in range(0, height, step):
            rows = slice(start, start + step)
            panel = table[rows]
            if by_rows:
                np.vecdot(panel, across, out=averages[0, rows])
            else:
                np.matmul(across, panel.T, out=averages[:, rows])
            sums += down[:, rows] @ panel
    return (
        over_right.reshape(*right.shape[:-2], *over_right.shape[1:]),
        over_left.reshape(*left.shape[:-2], *over_left.shape[1:]),
    )
