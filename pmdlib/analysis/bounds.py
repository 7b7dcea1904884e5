"""Every step size, constant and rate of the theory, one function each.

Notation: γ = ``discount``, φmax = ``phi_max``, Qmax = φmax/(1-γ), M = Σ_i |A_i|, η = ``step``,
κ = ``mismatch``, T = ``iterations``. Nothing here looks at a game, a policy or a run: these are
the formulas, and a claim is where they meet a measurement. They hold in every arithmetic: exact
numbers give exact numbers, or balls where a root is irrational.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.arithmetic import Ball, is_exact, sqrt, working_bits
from pmdlib.errors import PmdError

#: A float, an exact number, or an array of either.
Number = Any


def largest_q(*, phi_max: Number, discount: Number) -> Number:
    """Qmax = φmax/(1-γ), the largest value of the potential."""
    _check_discount(discount)
    return phi_max / (1 - discount)


def _check_discount(discount: Number) -> None:
    if not 0 <= discount < 1:
        raise PmdError(f"discount is {discount}, must be in [0, 1)")


def _check_positive(**values: Number) -> None:
    for name, value in values.items():
        if not np.all(np.asarray(value) > 0):
            raise PmdError(f"{name} is {value}, must be positive")


def _check_phi_max(phi_max: Number, discount: Number) -> None:
    _check_discount(discount)
    if not phi_max > 0 or (not is_exact(phi_max) and np.isinf(phi_max)):
        raise PmdError(f"phi_max is {phi_max}: a constant potential has no theory step; give one")


# Step sizes


def step_euclidean(*, phi_max: Number, discount: Number, num_actions: Sequence[int]) -> Number:
    """η_E = (1-γ)/(4 φmax M), the step of Section V.A [paper]."""
    _check_phi_max(phi_max, discount)
    return (1 - discount) / (4 * phi_max * sum(num_actions))


def step_euclidean_large(
    *, phi_max: Number, discount: Number, num_actions: Sequence[int]
) -> Number:
    """2(1-γ)/(φmax M): eight times the paper's step, same improvement bound [beyond]."""
    _check_phi_max(phi_max, discount)
    return 2 * (1 - discount) / (phi_max * sum(num_actions))


def step_kl(*, phi_max: Number, discount: Number, num_agents: int) -> Number:
    """η_KL = (1-γ)/(2 φmax √N), the step of Section V.B [paper]."""
    _check_phi_max(phi_max, discount)
    _check_positive(num_agents=num_agents)
    return (1 - discount) / (2 * phi_max * sqrt(num_agents, like=phi_max))


def step_kl_constant(*, phi_max: Number, discount: Number) -> Number:
    """(1-γ)/φmax for every N and every action set: the constant KL step [beyond]."""
    _check_phi_max(phi_max, discount)
    return (1 - discount) / phi_max


def step_kl_coupling(coupling: Number) -> Number:
    """4/λ, λ the coupling of a game whose state no action moves: no γ, no φmax, no N [beyond].

    The improvement bound of Proposition V.5 holds, and the potential never falls up to twice this
    step. The same of the Euclidean step, if λ is `pmdlib.analysis.coupling.coupling_euclidean`.

    Raises
    ------
    PmdError
        If λ is 0: agents do not interact, every step improves, and the theory prefers none.
    """
    if not coupling > 0:
        raise PmdError(f"coupling is {coupling}: without interaction every step improves; give one")
    return 4 / coupling


# Policy improvement


def interaction_norm(num_actions: Sequence[int], *, like: Number = 1.0) -> Number:
    """Λ = λmax(w wᵀ - diag w²), w_i² = 4 ⌊m_i/2⌋ ⌈m_i/2⌉ / m_i [beyond].

    It measures how strongly simultaneous Euclidean moves of the agents can interfere;
    Λ <= M - min_i m_i, and Λ = w_1 w_2 for two agents. An eigenvector is w_i/(Λ + w_i²), so Λ is
    the root of the decreasing function Σ_i w_i²/(Λ + w_i²) - 1; it is bisected in rationals.

    Parameters
    ----------
    num_actions : sequence of int
    like : number
        What kind of number to return: a float, or for an exact one a ball (a rational if Λ is
        found exactly).

    Returns
    -------
    float, or an exact number like ``like``
    """
    counts = [int(m) for m in num_actions]
    groups = Counter(fmpq(4 * (m // 2) * ((m + 1) // 2), m) for m in counts if m > 1)
    low, high = fmpq(0), fmpq(sum(counts) - min(counts) if groups else 0)
    if len(groups) == 1:
        low = high = next(square * (n - 1) for square, n in groups.items())
    while low < high and high - low > fmpq(2) ** -working_bits():
        middle = (low + high) / 2
        excess = sum(n * square / (middle + square) for square, n in groups.items()) - 1
        low = middle if excess >= 0 else low
        high = middle if excess <= 0 else high
    if not is_exact(like):
        return float((low + high) / 2)
    return low if low == high else Ball(low).union(high)


def improvement_coefficient(*, step: Number, discount: Number) -> Number:
    """1/(2η(1-γ)): what multiplies Σ_s d(s) Σ_i ||D_i||² (Euclidean) or J_i (KL) [derived]."""
    _check_discount(discount)
    _check_positive(step=step)
    return 1 / (2 * step * (1 - discount))


def improvement_coefficient_sharp(
    *, step: Number, phi_max: Number, discount: Number, num_actions: Sequence[int]
) -> Number:
    """(1/η - Qmax Λ/4)/(1-γ): the Euclidean coefficient at any step [beyond]."""
    q_max = largest_q(phi_max=phi_max, discount=discount)
    norm = interaction_norm(num_actions, like=q_max)
    return (1 / step - q_max * norm / 4) / (1 - discount)


def improvement_coefficient_coupling(*, step: Number, coupling: Number, discount: Number) -> Number:
    """(1/η - λ/8)/(1-γ) at any step, if no action moves the state [beyond].

    It multiplies Σ_s d(s) Σ_i J_i for the KL step, and ||D_i||² for the Euclidean one with λ from
    `pmdlib.analysis.coupling.coupling_euclidean`.
    """
    _check_discount(discount)
    _check_positive(step=step)
    return (1 / step - coupling / 8) / (1 - discount)


def variance_coefficient(*, step: Number, phi_max: Number, discount: Number) -> Number:
    """η(1 - ηQmax/2): multiplies Σ_i Var_{π_i}(Q_i) in a KL step, for ηQmax <= 2 [beyond].

    Divided by η², it multiplies Σ_i J_i in the same place.
    """
    return step * (1 - step * largest_q(phi_max=phi_max, discount=discount) / 2)


def half_face_threshold(*, num_agents: int, num_actions: int) -> float:
    """8/((N-1)m): above it the Euclidean step loses on the half-face game, φmax = 1, γ = 0."""
    _check_positive(others=num_agents - 1, num_actions=num_actions)
    return 8 / ((num_agents - 1) * num_actions)


# Nash regret


def _regret(
    constant: Number, phi_max: Number, discount: Number, mismatch: Number, iterations: Number
) -> Number:
    _check_discount(discount)
    _check_positive(mismatch=mismatch, iterations=iterations)
    square = constant * mismatch / ((1 - discount) ** 3 * iterations)
    return phi_max * sqrt(square)


def regret_euclidean(
    *,
    phi_max: Number,
    discount: Number,
    num_actions: Sequence[int],
    mismatch: Number,
    iterations: Number,
) -> Number:
    """φmax √(32 κ M / ((1-γ)³ T)) at the step `step_euclidean` [derived]."""
    return _regret(32 * sum(num_actions), phi_max, discount, mismatch, iterations)


def regret_euclidean_sharp(
    *,
    phi_max: Number,
    discount: Number,
    num_actions: Sequence[int],
    mismatch: Number,
    iterations: Number,
) -> Number:
    """9.7 in place of 32, at the same step [beyond]."""
    return _regret(97 * sum(num_actions), phi_max, discount, mismatch, 10 * iterations)


def regret_euclidean_large_step(
    *,
    phi_max: Number,
    discount: Number,
    num_actions: Sequence[int],
    mismatch: Number,
    iterations: Number,
) -> Number:
    """(√2 + 1/√M)² <= 4.5 in place of 32, at the step `step_euclidean_large` [beyond]."""
    total = sum(num_actions)
    root = sqrt(2, like=phi_max) + 1 / sqrt(total, like=phi_max)
    return _regret(root**2 * total, phi_max, discount, mismatch, iterations)


def regret_kl(
    *,
    phi_max: Number,
    discount: Number,
    num_agents: int,
    mismatch: Number,
    c: Number,
    iterations: Number,
) -> Number:
    """φmax √(12 κ √N / (c (1-γ)³ T)) at the step `step_kl` (Theorem V.6) [derived]."""
    root = sqrt(num_agents, like=phi_max)
    return _regret(12 * root / c, phi_max, discount, mismatch, iterations)


def regret_kl_sharp(
    *,
    phi_max: Number,
    discount: Number,
    num_agents: int,
    mismatch: Number,
    c: Number,
    iterations: Number,
) -> Number:
    """8/3 in place of 12, at the same step [beyond]."""
    root = sqrt(num_agents, like=phi_max)
    return _regret(8 * root / (3 * c), phi_max, discount, mismatch, iterations)


def regret_kl_constant_step(
    *, phi_max: Number, discount: Number, mismatch: Number, c: Number, iterations: Number
) -> Number:
    """φmax √(2 κ / (c (1-γ)³ T)) at the step `step_kl_constant`: no N at all [beyond]."""
    return _regret(2 / c, phi_max, discount, mismatch, iterations)
