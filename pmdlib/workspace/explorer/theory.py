"""What the theory says of a game of one state: steps, and bounds at a given step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isclose

import numpy as np

from pmdlib.analysis import bounds
from pmdlib.analysis.coupling import coupling, coupling_euclidean
from pmdlib.arithmetic import Array
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame

#: Two steps are the same if they differ by less than this, relatively: a few roundings.
SAME_STEP = 1e-9

#: A bound on the average regret of the first T iterates, from the smallest c so far and T.
RegretBound = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class NamedStep:
    """A step size that a theorem takes.

    Attributes
    ----------
    name : str
        In words.
    value : float
    regret : callable or None
        The tightest bound of the theory on the average regret at this step, if it states one.
    """

    name: str
    value: float
    regret: RegretBound | None = None


@dataclass(frozen=True)
class Theory:
    """What is known before a run starts.

    Attributes
    ----------
    steps : tuple of NamedStep
    limit : float
        The largest step at which it is proved that the potential never falls.
    reason : str
        Where the limit comes from.
    """

    steps: tuple[NamedStep, ...]
    limit: float
    reason: str

    def names(self, step: float) -> list[str]:
        """Names of a step size, none for most."""
        return [named.name for named in self.steps if _same(named.value, step)]

    def regret_bound(self, step: float, c: Array, iterations: Array) -> Array:
        """Bound the average regret at a step; NaN where no theorem does.

        Parameters
        ----------
        step : float
        c : array (T, ...)
            Smallest mass on best actions up to each iterate.
        iterations : array (T, 1, ..)
            1, 2, .., T.
        """
        found = [
            named.regret(c, iterations)
            for named in self.steps
            if named.regret is not None and _same(named.value, step)
        ]
        return np.min(found, axis=0) if found else np.full(np.shape(c), np.nan)


def _same(left: float, right: float) -> bool:
    return isclose(left, right, rel_tol=SAME_STEP)


def theory(game: MarkovGame, mirror_map: str) -> Theory:
    """Collect the steps of the theory for a game of one state whose agents interact.

    Parameters
    ----------
    game : MarkovGame
    mirror_map : "kl" or "euclidean"
    """
    if game.num_states != 1:
        raise PmdError(f"the explorer shows games of one state, this one has {game.num_states}")
    if mirror_map not in ("kl", "euclidean"):
        raise PmdError(f"mirror_map is {mirror_map!r}, must be 'kl' or 'euclidean'")
    phi = {"phi_max": game.phi_max, "discount": game.discount}
    # In a single state nothing can be visited more often than it is: the mismatch is 1.
    known = phi | {"mismatch": 1.0}
    if mirror_map == "kl":
        agents = {"num_agents": game.num_agents}
        free = bounds.step_kl_constant(**phi)
        steps = (
            NamedStep(
                "the paper's step",
                bounds.step_kl(**phi, **agents),
                partial(_with_c, bounds.regret_kl_sharp, known | agents),
            ),
            NamedStep(
                "the N-free step",
                free,
                partial(_with_c, bounds.regret_kl_constant_step, known),
            ),
            NamedStep("the coupling step", bounds.step_kl_coupling(coupling(game))),
        )
        general = 2 * free
    else:
        actions = {"num_actions": game.num_actions}
        steps = (
            NamedStep(
                "the paper's step",
                bounds.step_euclidean(**phi, **actions),
                partial(_without_c, bounds.regret_euclidean_sharp, known | actions),
            ),
            NamedStep(
                "eight times the paper's",
                bounds.step_euclidean_large(**phi, **actions),
                partial(_without_c, bounds.regret_euclidean_large_step, known | actions),
            ),
            NamedStep("the coupling step", bounds.step_kl_coupling(coupling_euclidean(game))),
        )
        general = 4 / (bounds.largest_q(**phi) * bounds.interaction_norm(game.num_actions))
    coupled = 2 * steps[-1].value
    reason = "the coupling λ" if coupled > general else "φmax, for all games alike"
    return Theory(steps, max(coupled, general), reason)


def _with_c(formula: Callable[..., Array], known: dict[str, object], c: Array, t: Array) -> Array:
    return np.asarray(formula(**known, c=c, iterations=t))


def _without_c(
    formula: Callable[..., Array], known: dict[str, object], c: Array, t: Array
) -> Array:
    return np.broadcast_to(formula(**known, iterations=t), np.shape(c))


def guaranteed_improvement(
    game: MarkovGame,
    mirror_map: str,
    steps: Array,
    *,
    moved: Array,
    variances: Array,
) -> Array:
    """Bound the improvement of a step from below, by the best of the theory's bounds.

    Parameters
    ----------
    game : MarkovGame
        Of one state.
    mirror_map : "kl" or "euclidean"
    steps : array (...)
    moved : array (...)
        Σ_i J_i for KL, Σ_i ||D_i||² for the Euclidean step.
    variances : array (...)
        Σ_i Var_{π_i}(Q_i); only looked at for KL.

    Returns
    -------
    ndarray (...): NaN where no bound is positive, and so none says anything.
    """
    phi = {"phi_max": game.phi_max, "discount": game.discount}
    # J is infinite where a probability has underflowed; of a sum of terms >= 0 less is safe.
    moved = np.where(np.isfinite(moved), moved, 0.0)
    if mirror_map == "kl":
        free = bounds.step_kl_constant(**phi)
        tolerated = free * (1 + SAME_STEP)
        candidates = [
            coupled(game, steps, coupling(game)) * moved,
            np.where(
                steps <= tolerated,
                bounds.improvement_coefficient(step=steps, discount=game.discount) * moved,
                0.0,
            ),
            np.where(
                steps <= 2 * tolerated,
                bounds.variance_coefficient(step=steps, **phi) * variances,
                0.0,
            ),
        ]
    else:
        sharp = bounds.improvement_coefficient_sharp(
            step=steps, num_actions=game.num_actions, **phi
        )
        candidates = [sharp * moved, coupled(game, steps, coupling_euclidean(game)) * moved]
    best = np.max(np.broadcast_arrays(*candidates), axis=0)
    return np.where(best > 0, best, np.nan)


def coupled(game: MarkovGame, steps: Array, strength: float) -> Array:
    """Return the coefficient of the improvement bound by coupling."""
    return np.asarray(
        bounds.improvement_coefficient_coupling(
            step=steps, coupling=strength, discount=game.discount
        )
    )
