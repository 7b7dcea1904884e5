"""Runs for the explorer: the page and the widget take their numbers from `explore`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.analysis.equilibrium import nash_regret
from pmdlib.analysis.values import Evaluation, expectation
from pmdlib.arithmetic import Array
from pmdlib.claims.claim import value_rounding
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame
from pmdlib.games.profiles import Profile, stacked
from pmdlib.learning.mirror_maps import KL
from pmdlib.learning.pmd import run_pmd
from pmdlib.workspace.explorer.scenes import Scene, group_policy
from pmdlib.workspace.explorer.theory import guaranteed_improvement, theory

#: Updates of a run.
ITERATIONS = 128


@dataclass(frozen=True)
class Runs:
    """K runs of one game with one mirror map, seen at P iterates. NaN: no bound is known.

    Attributes
    ----------
    times : ndarray (P,) of int
        Which iterates t < T the other attributes belong to.
    points : ndarray (P, K, 2)
        Probability of action 1 in each group.
    potential, nash_gap, c : ndarray (P, K)
    regret, regret_bound : ndarray (P, K)
        Average Nash gap of the first t + 1 iterates, and what a theorem says it is at most.
    improvement, guarantee : ndarray (P, K)
        Φ^{t+1} - Φ^t, and what the theory says it is at least.
    falls, first_fall : ndarray (K,) of int
        At how many of the T updates the potential falls by more than rounding, and at which first,
        counted from 1; 0 if at none.
    """

    times: Array
    points: Array
    potential: Array
    nash_gap: Array
    c: Array
    regret: Array
    regret_bound: Array
    improvement: Array
    guarantee: Array
    falls: Array
    first_fall: Array


def explore(
    scene: Scene,
    mirror_map: str,
    agents: int,
    steps: ArrayLike,
    starts: ArrayLike,
    *,
    iterations: int = ITERATIONS,
    times: ArrayLike | None = None,
) -> Runs:
    """Run mirror descent from several starts, and set it beside the bounds of the theory.

    Parameters
    ----------
    scene : Scene
    mirror_map : "kl" or "euclidean"
    agents : int >= 2
    steps : array (K,) or number
        Step size of each run.
    starts : array (K, 2)
        Probability of action 1 in each group, in (0, 1).
    iterations : int >= 1
        Number of updates T.
    times : array (K,) of int, optional
        Iterates to report, increasing and below T; all of them by default.

    Returns
    -------
    Runs
    """
    points = np.atleast_2d(np.asarray(starts, dtype=float))
    sizes = np.broadcast_to(np.asarray(steps, dtype=float), len(points))
    _check_batch(points, sizes)
    seen = np.arange(iterations) if times is None else np.asarray(times)
    game, each = scene.game(agents), sizes[:, None, None]
    schedule: Any = lambda _: each  # noqa: E731  (one step size for each run of the batch)
    start = group_policy(points, agents)
    trace = run_pmd(
        game, mirror_map, schedule, iterations, start, record_policies=True, progress=False
    )
    paths, potential = trace.policies, trace.potential
    if not isinstance(paths, Profile) or potential is None:
        raise PmdError(f"the game {scene.name!r} keeps no groups, or states no potential")
    change = np.diff(potential, axis=0)
    fell = change < -value_rounding(game)
    known, elapsed = theory(game, mirror_map), np.arange(1, iterations + 1)
    least_c = np.minimum.accumulate(trace.c, axis=0)
    limits = np.empty_like(least_c)
    for step in np.unique(sizes):
        mine = sizes == step
        limits[:, mine] = known.regret_bound(step, least_c[:, mine], elapsed[:, None])
    return Runs(
        times=seen,
        points=np.moveaxis(paths.stacks[0][..., 0, 1][:, seen], 0, -1),
        potential=potential[seen],
        nash_gap=trace.nash_gap[seen],
        c=trace.c[seen],
        regret=nash_regret(trace.nash_gap)[seen],
        regret_bound=limits[seen],
        improvement=change[seen],
        guarantee=_guarantee(game, mirror_map, sizes, paths, seen),
        falls=fell.sum(axis=0),
        first_fall=np.where(fell.any(axis=0), fell.argmax(axis=0) + 1, 0),
    )


def _check_batch(points: Array, sizes: Array) -> None:
    if points.ndim != 2 or points.shape[1] != 2:
        raise PmdError(f"starts have shape {points.shape}, must be (K, 2)")
    inside = (points > 0) & (points < 1)
    if not inside.all():
        raise PmdError(f"a start is {points[~inside.all(axis=1)][0]}, must be inside (0, 1)")
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise PmdError(f"steps are {sizes}, must be positive numbers")


def _guarantee(
    game: MarkovGame, mirror_map: str, sizes: Array, paths: Profile, times: Array
) -> Array:
    """Lower bound on the improvement at some iterates, (P, K)."""
    roster, policies = paths.roster, paths.stacks[0]
    old, new = policies[:, times], policies[:, times + 1]
    if mirror_map == "kl":
        moved = KL().divergence(new, old) + KL().divergence(old, new)
        advantages = stacked(Evaluation(game, Profile([old], roster)).advantages)
        variances = expectation(old, advantages.stacks[0] ** 2)
    else:
        moved = ((new - old) ** 2).sum(axis=-1)
        variances = np.zeros_like(moved)

    def summed(each: Array) -> Array:
        return np.asarray(np.tensordot(roster.counts, each[..., 0], axes=1))

    return guaranteed_improvement(
        game, mirror_map, sizes, moved=summed(moved), variances=summed(variances)
    )
