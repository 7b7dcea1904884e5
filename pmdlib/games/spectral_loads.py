"""The average over the load of many agents, by frequencies: linear in the number of agents.

The load L = Σ_i Bernoulli(p_i) has the characteristic function φ(θ) = Π_i (1 + p_i z), where
z = e^{iθ} - 1. That of the load of all but agent i is φ / (1 + p_i z). On a window of w loads,

    E t(L_{-i}) = Re Σ_m T_m φ(θ_m) / (1 + p_i z_m),    θ_m = 2πm/w,  0 <= m < w/2,

with T the discrete Fourier transform of t over the window, doubled for m > 0. Two facts keep the
cost at some hundred operations an agent, however many agents there are:

- *Few frequencies.* |1 + pz|² = 1 - 2p(1-p)(1 - cos θ), so |φ(θ)| <= exp(-σ²(1 - cos θ)) with the
  variance σ² = Σ p_i(1-p_i); and a window 18 σ + 58 long will do. Some 30 frequencies are left,
  up to 74 if σ is small.
- *Power sums.* With q = min(p, 1-p), 1 + pz is 1 + qz, or e^{iθ}(1 + q z̄) if p > 1/2. Hence
  log φ follows from -Σ_j (-z)^j S_j / j with S_j = Σ_i q_i^j, the same for all frequencies, and
  1 / (1 + qz) = Σ_j (-z)^j q^j makes the average a polynomial in q, the same for all agents. The
  series are short: if σ is large, then θ is small; and if σ is small, then q is, for all agents
  but a few, and for those nothing is expanded.

Error bound, relative to half the range of t over the window; u is the unit round-off, Φ² the sum of
|φ(θ_m)|² over the whole circle. Φ is about (w / 3.5σ)^½: 2.3 if σ is large, 2.7 at σ = 5, and at
most √w. By Cauchy and Parseval, relative errors δ_m of φ(θ_m) cost (Σ_m |δ_m φ(θ_m)|²)^½.

- Tails beyond the window (Bernstein's inequality) and their aliases: 4 e^-40.
- Frequencies left out, and series cut after 32 terms: each below 10^-17, so 2·10^-17 √w.
- Fourier transform and powers of z and q: about (5 log₂ w + 64) u Φ.
- Power sums: relative errors of β = (PANEL + 40) u. The exponent but for its mean part is at most
  3x, x = σ²(1 - cos θ), term by term; and x exp(-x) is small: 4 β.
- The mean part, iθ (mean - centre of the window), has no error that grows with N below 2^27
  agents: the first powers are summed exactly, and the centre taken off before any rounding.
- Agents treated by themselves: 4 u a factor of φ, of which there are less than 370: 1480 u Φ.

In all 4 β + (5 log₂ w + 64 + 1480) u Φ, below 8·10^-13 for a million agents, nearly all of it worst
cases of long sums and products. Observed: below 10^-14, and mostly below 10^-15.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, factorial, sqrt

import numpy as np

from pmdlib.arithmetic import Array

#: What has a factor e^-LEVEL is left out: 4e-18, a small part of the unit round-off.
LEVEL = 40.0

#: Rows of a table of powers q^0 .. q^15; with a factor q^16 they give all TERMS powers.
ROWS = 16
TERMS = 2 * ROWS

#: If the variance is small, agents with q up to here go by power sums: (|z| q)^TERMS <= 4^-32. Of
#: the others, each has a variance of at least 7/64, so they are fewer than 370.
NEAR = 1 / 8

#: Agents treated at a time: their powers stay in the cache of a core.
BLOCK = 4096

#: Terms added in a row; beyond, pairwise. It bounds the rounding of the power sums.
PANEL = 512

#: Multiples of 1 / GRID, up to 1/2, have exact sums in float64 for fewer than 2^27 agents.
GRID = 2.0**27

#: Coefficients of (θ - sin θ) / θ³ in powers of θ²; the next would add less than 1e-18 at π.
ARC = np.array([(-1) ** k / factorial(2 * k + 3) for k in range(15)])


def average_by_frequencies(table: Array, probabilities: Array, counts: Array) -> Array:
    """Average a table over the load of all agents but one, for one agent of each group.

    Parameters
    ----------
    table : ndarray (K, N)
        t_k for each load of the N - 1 others. Only a window of it is read.
    probabilities : ndarray (G,)
        Probability that an agent of the group uses the facility.
    counts : ndarray (G,)
        Number of agents of each group, N in all.

    Returns
    -------
    ndarray (K, G)
        Absolute error below 1e-12 max |t| for N <= 10^6, see the module.
    """
    found = _spectrum(table, probabilities, counts)
    spectrum, turned = found.spectrum, found.spectrum * np.exp(-1j * found.angles)
    low, high = (spectrum @ found.powers).real, (turned @ found.powers.conj()).real
    averages = _polynomials((low + high) / 2, (low - high) / 2, probabilities, found.reach)
    averages[:, found.far] = (spectrum @ (1 / found.factors).T).real
    averages += found.base
    return averages


def expect_by_frequencies(table: Array, probabilities: Array, counts: Array) -> Array:
    """Average a table (K, N + 1) over the load of all agents: (K,). The bounds are the same."""
    found = _spectrum(table, probabilities, counts)
    return np.asarray(found.base[:, 0] + found.spectrum.sum(axis=1).real)


@dataclass(frozen=True)
class _Spectrum:
    """A table in frequencies, times the characteristic function of the load of all agents."""

    spectrum: Array  # T_m φ(θ_m), (K, M)
    angles: Array  # θ_m, (M,)
    powers: Array  # (-z_m)^j, (M, TERMS)
    base: Array  # what was taken off the table, (K, 1)
    reach: float  # agents with q up to here went by power sums
    far: Array  # the others
    factors: Array  # and theirs, 1 + p z_m, (F, M)


def _spectrum(table: Array, probabilities: Array, counts: Array) -> _Spectrum:
    """Transform a table of as many loads as it has entries."""
    weights = counts.astype(float)
    mean = float(weights @ probabilities)
    variance = float(weights @ (probabilities * (1 - probabilities)))
    size, centre, loads = _window(table.shape[-1], mean, variance)
    angles = 2 * np.pi / size * np.arange(size // 2 + 1)
    decay = max(variance - 0.25, 0.0)  # of the others: an agent has a variance of at most 1/4
    angles = angles[decay * (1 - np.cos(angles)) <= LEVEL]
    reach = 0.5 if decay >= LEVEL else NEAR  # if 1/2, all angles are at most π/2
    far = np.flatnonzero(np.minimum(probabilities, 1 - probabilities) > reach)

    inside = table[:, loads[0] : loads[-1] + 1]
    base = (inside.max(axis=1, keepdims=True) + inside.min(axis=1, keepdims=True)) / 2
    window = np.zeros((len(table), size))
    window[:, (loads - centre) % size] = inside - base  # errors scale with what is left
    spectrum = np.fft.rfft(window)[:, : len(angles)] / size
    spectrum[:, 1:] *= 2

    turns = np.expm1(1j * angles)  # z
    powers = np.vander(-turns, TERMS, increasing=True)
    factors = 1 + probabilities[far, None] * turns
    sums, signed, offset = _power_sums(probabilities, weights, reach, centre)
    series = powers[:, 1:] / np.arange(1, TERMS)
    exponents = 1j * (series.imag @ signed[1:] + offset * _arc_minus_sine(angles))
    exponents += series.real @ sums[1:]
    spectrum *= np.exp(-exponents)
    spectrum *= np.repeat(factors, counts[far], axis=0).prod(axis=0)
    return _Spectrum(spectrum, angles, powers, base, reach, far, factors)


def _window(agents: int, mean: float, variance: float) -> tuple[int, int, Array]:
    """Length and centre of a window for the loads of all agents but one, and the loads in it.

    Outside lies at most 2 e^-LEVEL of the probability, by Bernstein's inequality for a load whose
    mean is at most 1 from the centre; and nothing, if the window is as long as the table. The
    length is odd, so that no angle is π, where 1 + pz has a zero.
    """
    centre = min(round(mean - 0.5), agents - 1)
    third = LEVEL / 3
    half = ceil(third + sqrt(third**2 + 2 * LEVEL * variance) + 1)
    if half >= agents // 2:
        return 2 * (agents // 2) + 1, centre, np.arange(agents)
    first, last = max(centre - half, 0), min(centre + half, agents - 1)
    return 2 * half + 1, centre, np.arange(first, last + 1)


def _arc_minus_sine(angles: Array) -> Array:
    """θ - sin θ = θ³/3! - θ⁵/5! + ..., without cancellation, for 0 <= θ <= π."""
    return np.asarray(angles**3 * (np.vander(angles**2, len(ARC), increasing=True) @ ARC))


def _tabulate(probabilities: Array, reach: float) -> Iterator[tuple[slice, Array, Array]]:
    """Go through the agents in blocks: where, powers of q (ROWS, B), and factors (4, B).

    The factors are 1, s, q^16, s q^16, where the side s is 1 if q = p and -1 if q = 1 - p; they
    are zero beyond the reach.
    """
    for start in range(0, len(probabilities), BLOCK):
        block = slice(start, start + BLOCK)
        p = probabilities[block]
        powers = np.empty((ROWS, len(p)))
        powers[0] = 1
        q = np.minimum(p, 1 - p, out=powers[1])
        for j in range(2, ROWS):
            np.multiply(powers[j - 1], q, out=powers[j])
        factors = np.empty((4, len(p)))
        np.less_equal(q, reach, out=factors[0])
        np.copysign(factors[0], 0.5 - p, out=factors[1])
        np.multiply(factors[:2], powers[-1] * q, out=factors[2:])
        yield block, powers, factors


def _power_sums(
    probabilities: Array, weights: Array, reach: float, centre: int
) -> tuple[Array, Array, float]:
    """Σ q^j and Σ s q^j (TERMS,) over the agents within reach, and the offset k of the centre.

    k is the centre less the number of agents with s = -1: the load that the others make up. Of
    the signed sums, the first power is returned less k: near the mean less the centre.
    """
    sums, coarse, fine = [], 0.0, 0.0
    for block, powers, factors in _tabulate(probabilities, reach):
        weighted = factors * weights[block]
        panels = [slice(first, first + PANEL) for first in range(0, weighted.shape[1], PANEL)]
        sums += [weighted[:, panel] @ powers[:, panel].T for panel in panels]
        scaled = powers[1] * GRID
        whole = np.rint(scaled)
        coarse += weighted[1] @ whole
        fine += weighted[1] @ (scaled - whole)
    total = np.stack(sums, axis=-1).sum(axis=-1).reshape(2, 2, ROWS)  # pairwise
    plain, signed = total[:, 0].reshape(TERMS), total[:, 1].reshape(TERMS)
    offset = centre - (plain[0] - signed[0]) / 2
    signed[1] = (coarse / GRID - offset) + fine / GRID
    return plain, signed, offset


def _polynomials(even: Array, odd: Array, probabilities: Array, reach: float) -> Array:
    """Σ_j (even_kj + s odd_kj) q^j for coefficients (K, TERMS): (K, G), zero beyond the reach."""
    outputs = len(even)
    parts = np.stack([even.reshape(-1, 2, ROWS), odd.reshape(-1, 2, ROWS)], axis=2)
    matrix = parts.reshape(4 * outputs, ROWS)
    result = np.empty((outputs, len(probabilities)))
    for block, powers, factors in _tabulate(probabilities, reach):
        values = (matrix @ powers).reshape(outputs, 4, -1)
        values *= factors
        values.sum(axis=1, out=result[:, block])
    return result
