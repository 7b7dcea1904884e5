"""Mirror maps: a divergence, and the step that trades reward against it.

A PMD step solves π' = argmax_p <η Q, p> - D_ψ(p, π) over the simplex, state by state. A map says
in which ``coordinates`` a run keeps its policy, how to read the ``policy`` off them, and how to
``step``. For a Legendre function ψ the coordinates are ∇ψ(π) up to a constant per state, and a
step adds η Q to them: that is the default, so a new map is three short methods (see `Tsallis`).
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib import plugins
from pmdlib.analysis import bounds
from pmdlib.arithmetic import (
    Array,
    exp,
    is_exact,
    largest,
    log,
    log_normalise,
    maximum,
    rounds,
    sort,
    tilt,
    to_exact,
)
from pmdlib.errors import NotConvergedError, PmdError
from pmdlib.games.game import MarkovGame


class MirrorMap(ABC):
    """A mirror map ψ on the simplex. All methods act on the last axis, (..., A).

    Examples
    --------
    Three methods make a map. For ψ = 2 Σ p log p, twice the entropy, a step is a KL step of half
    the size: with η Q = (2 log 3, 0) the odds grow by 3, not by 9.

    >>> class Twice(pmd.MirrorMap):
    ...     name = "twice KL"
    ...
    ...     def divergence(self, new, old):
    ...         return 2 * (new * np.log(new / old)).sum(axis=-1)
    ...
    ...     def coordinates(self, policy):
    ...         return 2 * np.log(policy)
    ...
    ...     def policy(self, coordinates):
    ...         weights = np.exp(coordinates / 2)
    ...         return weights / weights.sum(axis=-1, keepdims=True)
    >>> Twice().update(np.array([0.5, 0.5]), np.array([2 * np.log(3), 0.0])).round(4).tolist()
    [0.75, 0.25]
    """

    #: The word that `run_pmd` and `Trace` know it by.
    name: str
    #: Whether an action of probability zero keeps it for ever (ψ has infinite slope there).
    keeps_zeros: bool = True

    @abstractmethod
    def divergence(self, new: Array, old: Array) -> Array:
        """Bregman divergence D_ψ(new, old): (..., A), (..., A) -> (...)."""

    @abstractmethod
    def coordinates(self, policy: Array) -> Array:
        """Coordinates in which a run keeps ``policy``: (..., A) -> (..., A)."""

    @abstractmethod
    def policy(self, coordinates: Array) -> Array:
        """Policy with these coordinates: (..., A) -> (..., A)."""

    def step(self, coordinates: Array, gradient: Array) -> Array:
        """Coordinates after one PMD step with ``gradient`` = η Q: (..., A) -> (..., A).

        Both ``coordinates`` and ``gradient`` may have leading batch axes.
        """
        return np.asarray(coordinates + gradient)

    def log_policy(self, coordinates: Array) -> Array:
        """Logarithm of the policy with these coordinates, -inf for zeros: (..., A) -> (..., A)."""
        return log(self.policy(coordinates))

    def update(self, policy: Array, gradient: Array) -> Array:
        """Policy after one PMD step with ``gradient`` = η Q: (..., A) -> (..., A)."""
        return self.policy(self.step(self.coordinates(policy), gradient))

    def theory_step(self, game: MarkovGame, rule: str) -> Any:
        """Step size that the theory names ``rule``; PmdError where it names none."""
        raise PmdError(
            f"the theory gives no step {rule!r} for the mirror map {self.name!r}: give a number"
        )


class KL(MirrorMap):
    """Negative entropy ψ = Σ p log p: π' ∝ π exp(ηQ), the natural policy gradient (rule (3)).

    Coordinates are log-probabilities, so that probabilities of 1e-80 and below stay apart.
    """

    name = "kl"

    def divergence(self, new: Array, old: Array) -> Array:
        """Kullback-Leibler divergence Σ p log(p/q), accurate for near-equal policies too."""
        if is_exact(new) or is_exact(old):
            return np.asarray(_exact_terms(new, old).sum(axis=-1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            change = (new - old) / old
            # Far apart, the change rounds to -1 or overflows; the logarithms do not.
            logs = np.log(new) - np.log(old)
            far = np.where(abs(change) < 0.5, np.log1p(change), logs)
            near = np.where(abs(change) < 0.03, change, 0.0)
            terms = np.where(near == change, old * _entropy_excess(near), new * far - (new - old))
        terms = np.where(new == 0, old, np.where(old == 0, np.inf, terms))
        return np.asarray(terms.sum(axis=-1))

    def coordinates(self, policy: Array) -> Array:
        """Log-probabilities; -inf where the probability is zero, and it stays so."""
        return log(policy)

    def policy(self, coordinates: Array) -> Array:
        """Exponential of the log-probabilities."""
        return exp(coordinates)

    def log_policy(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the log-probabilities."""
        return coordinates

    def step(self, coordinates: Array, gradient: Array) -> Array:
        """Log π + ηQ, normalised."""
        return log_normalise(coordinates + gradient)

    def update(self, policy: Array, gradient: Array) -> Array:
        """π e^{ηQ}, normalised; a policy with equal ηQ on its support comes back as it is."""
        return tilt(policy, gradient)

    def theory_step(self, game: MarkovGame, rule: str) -> Any:
        """``"paper"``: (1-γ)/(2 φmax √N); ``"constant"``: (1-γ)/φmax, free of N [beyond]."""
        if rule == "paper":
            return bounds.step_kl(
                phi_max=game.phi_max, discount=game.discount, num_agents=game.num_agents
            )
        if rule == "constant":
            return bounds.step_kl_constant(phi_max=game.phi_max, discount=game.discount)
        return super().theory_step(game, rule)


class Euclidean(MirrorMap):
    """ψ = ½||p||²: π' is the projection of π + ηQ on the simplex, projected Q-ascent (rule (2)).

    Not Legendre: steps reach the boundary and leave it again. Coordinates are the policy itself.
    """

    name = "euclidean"
    keeps_zeros = False

    def divergence(self, new: Array, old: Array) -> Array:
        """½||p - q||²."""
        return np.asarray(((new - old) ** 2).sum(axis=-1) / 2)

    def coordinates(self, policy: Array) -> Array:
        """Return the policy itself."""
        return policy

    def policy(self, coordinates: Array) -> Array:
        """Return the policy itself."""
        return coordinates

    def step(self, coordinates: Array, gradient: Array) -> Array:
        """Project π + ηQ on the simplex."""
        return project_to_simplex(coordinates + gradient)

    def theory_step(self, game: MarkovGame, rule: str) -> Any:
        """``"paper"``: (1-γ)/(4 φmax M)."""
        if rule == "paper":
            return bounds.step_euclidean(
                phi_max=game.phi_max, discount=game.discount, num_actions=game.num_actions
            )
        return super().theory_step(game, rule)


class Tsallis(MirrorMap):
    """ψ = -4 Σ √p (Tsallis entropy of index ½): π' = 4/(λ - θ - ηQ)², with θ = -2/√π.

    It explores more than KL: probabilities shrink like a power of t, not exponentially.
    """

    name = "tsallis"

    def divergence(self, new: Array, old: Array) -> Array:
        """Σ 2 (√p - √q)² / √q; infinite off the support."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = 2 * (np.sqrt(new) - np.sqrt(old)) ** 2 / np.sqrt(old)
        return np.asarray(np.where(new == old, 0.0, terms).sum(axis=-1))

    def coordinates(self, policy: Array) -> Array:
        """-2/√π; -inf where the probability is zero."""
        if is_exact(policy):
            raise PmdError("a Tsallis step is iterated in floats: it takes no exact numbers")
        with np.errstate(divide="ignore"):
            return np.asarray(-2 / np.sqrt(policy))

    def policy(self, coordinates: Array) -> Array:
        """4/(λ - θ)², λ found by Newton from the left, where the sum is convex and too large."""
        theta = coordinates - coordinates.max(axis=-1, keepdims=True)
        level = np.full((*theta.shape[:-1], 1), 2.0)
        for _ in range(100):
            root = 2 / (level - theta)
            excess = (root**2).sum(axis=-1, keepdims=True) - 1
            if excess.max() <= 1e-13:
                return np.asarray(root**2 / (1 + excess))
            level = level + excess / (root**3).sum(axis=-1, keepdims=True)
        raise NotConvergedError("the normalisation of a Tsallis step did not converge")


def project_to_simplex(points: Array) -> Array:
    """Project on the probability simplex, exactly: sort, find the threshold, clip.

    Parameters
    ----------
    points : ndarray (..., A)

    Returns
    -------
    ndarray (..., A): non-negative, summing to one; rational for rational points, and enclosed for
    balls, whether or not it is certain which entries are clipped.
    """
    # The projection does not see a common shift; with the largest entry at 0 no digit of the 1 that
    # the entries must sum to is lost to large points.
    points = points - largest(points, keepdims=True) if rounds(points) else to_exact(points)
    ordered = sort(points)[..., ::-1]
    counts = np.arange(1, points.shape[-1] + 1)
    thresholds = (ordered.cumsum(axis=-1) - 1) / (
        counts.astype(object) if is_exact(points) else counts
    )
    # They rise while entries exceed them, then fall: the one to clip at is the largest.
    return maximum(points - largest(thresholds, keepdims=True), 0)


def _exact_terms(new: Array, old: Array) -> Array:
    """Terms p log(p/q) of exact or symbolic entries; 0 where p is exactly 0."""

    def term(p: Any, q: Any) -> Any:
        return p if isinstance(p, fmpq | int) and p == 0 else p * log(p / q)

    return np.asarray(np.frompyfunc(term, 2, 1)(new, old), dtype=object)


def _entropy_excess(x: Array) -> Array:
    """(1 + x) log(1 + x) - x >= 0 for |x| < 0.03, by its series: the difference would cancel."""
    return np.asarray(x**2 * sum((-x) ** k / ((k + 1) * (k + 2)) for k in range(10)))


#: The maps that `run_pmd` knows by name.
MIRROR_MAPS: dict[str, MirrorMap] = {m.name: m for m in (KL(), Euclidean(), Tsallis())}


def get_mirror_map(mirror_map: str | MirrorMap) -> MirrorMap:
    """Look a mirror map up by name; a `MirrorMap` passes through; PmdError for anything else.

    Names of `MIRROR_MAPS` come first, then those that other distributions offer.
    """
    if isinstance(mirror_map, MirrorMap):
        return mirror_map
    try:
        return MIRROR_MAPS[mirror_map]
    except (KeyError, TypeError):
        offered: dict[str, MirrorMap] = plugins.mirror_maps(MirrorMap, MIRROR_MAPS)
    for name, found in offered.items():
        if name == mirror_map:
            return found
    left_out = "".join(f"; left out: {text}" for text in plugins.problems(plugins.MIRROR_MAPS))
    raise PmdError(
        f"mirror_map is {mirror_map!r}, must be one of {sorted({*MIRROR_MAPS, *offered})} or a "
        f"MirrorMap{left_out}"
    )
