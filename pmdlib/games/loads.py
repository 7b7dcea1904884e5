"""How many agents use a facility: averages over that load, for one agent and all others.

The load is a sum of independent indicators (Poisson-binomial). A few agents, and entries of any
exact arithmetic, go by divide and conquer: sums and products of probabilities, and no division.
Many agents go by frequencies, see `spectral_loads`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb, prod

import numpy as np

from pmdlib.arithmetic import Array, is_exact
from pmdlib.games.spectral_loads import average_by_frequencies, expect_by_frequencies

#: Floats are divided and conquered up to FEW_AGENTS agents, if there are also at most PER_COLUMN of
#: them for each column of the leading axes. That takes a number of NumPy calls that grows with the
#: agents, for all columns together; frequencies take as many as for so many agents, a column each.
#: Beyond FEW_AGENTS its N² operations a column count. Measured.
FEW_AGENTS, PER_COLUMN = 128, 6


def average_over_load(tables: Array, probabilities: Array, counts: Array) -> Array:
    """Average tables over the load that the others put on a facility, for all agents at once.

    E[t_k(L_{-i})] for an agent i of each group, where L_{-i} is the number of the other agents
    that use the facility, each by itself with its own probability.

    Parameters
    ----------
    tables : ndarray (..., K, N)
        t_k for each load of the N - 1 others, 0 .. N - 1.
    probabilities : ndarray (..., G)
        Probability that an agent uses the facility; the agents of one group share it.
    counts : ndarray (G,) of int
        Number of agents of each group, at least 1; N in all.

    Returns
    -------
    ndarray (..., K, G)
        Leading axes are broadcast. Exact if the entries are. Balls enclose the result also for
        agents with different probabilities within the same enclosure, because powers are
        products, factor by factor. Of floats, the absolute error is below 1e-12 max |t| for up to
        10^6 agents, whatever the probabilities (see `spectral_loads`). The cost depends on the
        number of groups, not of agents, if agents are many: a window of the tables is read.
    """
    lead = np.broadcast_shapes(tables.shape[:-2], probabilities.shape[:-1])
    if _divides(tables, probabilities, lead):
        by_load, groups = _grouped(tables, probabilities, counts, lead)
        parts = np.stack(_average_others(by_load, groups))
        return np.moveaxis(np.broadcast_to(parts, (*parts.shape[:2], *lead)), (0, 1), (-1, -2))
    averages = np.empty((*lead, tables.shape[-2], len(counts)))
    for column, table, own in _columns(tables, probabilities, lead):
        averages[column] = average_by_frequencies(table, own, counts)
    return averages


def expect_load(tables: Array, probabilities: Array, counts: Array) -> Array:
    """Average tables over the load of all agents, E[t_k(L)].

    Parameters
    ----------
    tables : ndarray (..., K, N + 1)
        t_k for each load of the N agents, 0 .. N.
    probabilities : ndarray (..., G)
    counts : ndarray (G,) of int
        As in `average_over_load`.

    Returns
    -------
    ndarray (..., K)
        As exact as `average_over_load`.
    """
    lead = np.broadcast_shapes(tables.shape[:-2], probabilities.shape[:-1])
    if _divides(tables, probabilities, lead):
        by_load, groups = _grouped(tables, probabilities, counts, lead)
        mean = _correlate(by_load, groups.weights)[0]
        return np.moveaxis(np.broadcast_to(mean, (len(mean), *lead)), 0, -1)
    means = np.empty((*lead, tables.shape[-2]))
    for column, table, own in _columns(tables, probabilities, lead):
        means[column] = expect_by_frequencies(table, own, counts)
    return means


def _divides(tables: Array, probabilities: Array, lead: tuple[int, ...]) -> bool:
    few = min(FEW_AGENTS, PER_COLUMN * (1 + prod(lead)))
    return tables.shape[-1] <= few or is_exact(tables) or is_exact(probabilities)


def _columns(
    tables: Array, probabilities: Array, lead: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Array, Array]]:
    """Go through the leading axes: index, tables (K, loads), probabilities (G,)."""
    tables = np.broadcast_to(tables, (*lead, *tables.shape[-2:]))
    probabilities = np.broadcast_to(probabilities, (*lead, *probabilities.shape[-1:]))
    for column in np.ndindex(*lead):
        yield column, tables[column], probabilities[column]


# Divide and conquer. Axes are (load, table, *lead): operations run over the leading axes at once.


@dataclass(frozen=True)
class _Groups:
    """Groups of agents as a tree: two halves, or a single group."""

    weights: Array  # distribution of the load of all of them: (n + 1, *lead)
    others: Array  # of all but one agent, of a single group: (n, *lead); () in a tree
    halves: "tuple[_Groups, ...]"


def _grouped(
    tables: Array, probabilities: Array, counts: Array, lead: tuple[int, ...]
) -> tuple[Array, _Groups]:
    """Tables with the load first, and the tree of the groups."""
    tables = tables.reshape((1,) * (len(lead) + 2 - tables.ndim) + tables.shape)
    by_group = np.moveaxis(probabilities, -1, 0)
    indicators = np.stack([1 - by_group, by_group], axis=1)  # (G, 2, *lead)
    return np.moveaxis(tables, (-1, -2), (0, 1)), _halve(indicators, counts.tolist())


def _halve(indicators: Array, counts: Sequence[int]) -> _Groups:
    if len(counts) == 1:
        others = _binomial(indicators[0], counts[0] - 1)
        return _Groups(_convolve(others, indicators[0]), others, ())
    middle = len(counts) // 2
    left = _halve(indicators[:middle], counts[:middle])
    right = _halve(indicators[middle:], counts[middle:])
    return _Groups(_convolve(left.weights, right.weights), np.array(()), (left, right))


def _average_others(tables: Array, groups: _Groups) -> list[Array]:
    """Averages for an agent of each group; averaging over one half leaves what the other needs."""
    if not groups.halves:
        return [_correlate(tables, groups.others)[0]]
    left, right = groups.halves
    return [
        *_average_others(_correlate(tables, right.weights), left),
        *_average_others(_correlate(tables, left.weights), right),
    ]


def _binomial(indicator: Array, agents: int) -> Array:
    """Distribution of the load of agents with the same indicator (2, *lead): (n + 1, *lead)."""
    powers = [np.ones_like(indicator)]
    for _ in range(agents):
        powers.append(powers[-1] * indicator)
    terms = [comb(agents, k) * powers[agents - k][0] * powers[k][1] for k in range(agents + 1)]
    return np.stack(terms)


def _convolve(left: Array, right: Array) -> Array:
    """Distribution of the sum of two loads."""
    short, long = sorted((left, right), key=len)
    total = np.zeros((len(short) + len(long) - 1, *long.shape[1:]), dtype=long.dtype)
    for k, weight in enumerate(short):
        total[k : k + len(long)] += weight * long
    return total


def _correlate(tables: Array, weights: Array) -> Array:
    """Average tables over an added load: Σ_k weights_k tables_{j+k} for each load j of the rest."""
    length = len(tables) - len(weights) + 1
    total = weights[0] * tables[:length]
    for k in range(1, len(weights)):
        total += weights[k] * tables[k : k + length]
    return np.asarray(total)
