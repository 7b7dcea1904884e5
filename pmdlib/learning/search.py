"""The best step of a learner, by search; learners side by side; and what an update costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from pmdlib.analysis.policies import check_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import Profile, each_agent, stacked
from pmdlib.learning.feedback import ExactFeedback
from pmdlib.learning.learners import Learner, Sight
from pmdlib.learning.pmd import run

#: Steps that `race` searches, in units of (1-γ)/max|r|: at 1 the largest value moves a logit by 1.
SEARCHED = (1e-2, 1e3)

#: Iterations per factor of e that `race` keeps: enough for curves on a logarithmic axis.
KEPT = 15

#: A function of steps (K,) that returns what is to be small, (K,); for all at once, to be fast.
Score = Callable[[Array], Array]

#: A game, and the policy or batch of policies (..., S, A_i) from which it is learned.
Task = tuple[MarkovGame, Policy]


@dataclass(frozen=True)
class StepSearch:
    """What a search for the best step found.

    Attributes
    ----------
    step : float
        The step of lowest score; the smallest such.
    score : float
    steps, scores : ndarray (K,)
        All that were tried, by size; the score of a run that failed is infinite.
    at_edge : bool
        Whether the best step is the smallest or the largest tried: better ones may lie beyond.
    """

    step: float
    score: float
    steps: Array
    scores: Array
    at_edge: bool


def best_step(
    score: Score, low: float, high: float, *, points: int = 13, rounds: int = 2
) -> StepSearch:
    """Minimise a score over the step: a grid of equal ratios, then finer grids round its best.

    The score may have several minima and jumps. Only the last grids, between the neighbours of
    the best step so far, assume that it is smooth enough to be worth it. The same at every call.

    Parameters
    ----------
    score : function of steps (K,), returning (K,)
        Such as `average_regret` or `iterations_until`. Where it raises PmdError it is asked again
        for half of the steps, and a single step that fails counts as infinity.
    low, high : float
        Ends of the first grid, 0 < low < high.
    points : int >= 3
        Steps of the first grid; each finer one adds half as many on either side of the best.
    rounds : int >= 0
        Number of finer grids.

    Raises
    ------
    PmdError
        If an argument is bad, or no step has a finite score.
    """
    if not 0 < low < high < np.inf or points < 3 or rounds < 0:
        raise PmdError(
            f"best_step needs 0 < low < high, points >= 3 and rounds >= 0, got {low=}, {high=}, "
            f"{points=}, {rounds=}"
        )
    tried: dict[float, float] = {}
    grid = np.geomspace(low, high, points)
    for _ in range(rounds + 1):
        tried |= dict(zip(grid.tolist(), _scored(score, grid), strict=True))
        steps = np.array(sorted(tried))
        scores = np.array([tried[step] for step in steps])
        best = int(np.argmin(scores))
        left, right = steps[max(best - 1, 0)], steps[min(best + 1, len(steps) - 1)]
        sides = [(left, steps[best]), (steps[best], right)]
        grids = [np.geomspace(*ends, points // 2 + 2)[1:-1] for ends in sides if ends[0] < ends[1]]
        grid = np.concatenate(grids)
    if not np.isfinite(scores[best]):
        raise PmdError(f"no step between {low:g} and {high:g} has a finite score")
    return StepSearch(
        float(steps[best]), float(scores[best]), steps, scores, best in (0, len(steps) - 1)
    )


def _scored(score: Score, steps: Array) -> list[float]:
    if not len(steps):
        return []
    try:
        found = np.asarray(score(steps), dtype=float)
    except PmdError:
        if len(steps) == 1:
            return [np.inf]
        half = len(steps) // 2
        return _scored(score, steps[:half]) + _scored(score, steps[half:])
    return [*np.where(np.isnan(found), np.inf, found)]


def average_regret(learner: Callable[[], Learner], tasks: Sequence[Task], iterations: int) -> Score:
    """Score steps by the Nash regret after some iterations, averaged over games and starts.

    Parameters
    ----------
    learner : function without arguments, such as a class
        Makes the learner anew for each run, with its own generator if it has one.
    tasks : sequence of (game, start policies)
    iterations : int >= 1

    Returns
    -------
    function of steps (K,). Each game counts in shares of max|r|/(1-γ), the scale of its values.
    """

    def score(steps: Array) -> Array:
        runs = [_shares(learner(), task, steps, iterations) for task in tasks]
        return np.asarray(np.mean([gap.mean(axis=(0, -1)) for gap in runs], axis=0))

    return score


def _shares(learner: Learner, task: Task, steps: Array, iterations: int) -> Array:
    """Nash gaps in shares of max|r|/(1-γ), (T, K, R), each step with each of the starts."""
    game, start = task
    axis = 1 if isinstance(start, Profile) else 0
    starts = each_agent(
        lambda own: np.repeat(np.expand_dims(own, axis), len(steps), axis=axis), start
    )
    columns = np.asarray(steps).reshape(-1, *[1] * start[0].ndim)
    gap = run(game, learner, lambda _: columns, iterations, starts, progress=False).nash_gap
    return np.asarray(gap.reshape(*gap.shape[:2], -1) * (1 - game.discount) / game.reward_bound)


def iterations_until(
    learner: Callable[[], Learner], tasks: Sequence[Task], tolerance: float, limit: int
) -> Score:
    """Score steps by the iterations until the Nash gap is within a tolerance for good.

    Parameters
    ----------
    learner : function without arguments
    tasks : sequence of (game, start policies)
    tolerance : float > 0
        In shares of max|r|/(1-γ).
    limit : int >= 1
        Length of the runs; one that is not within tolerance at its end counts twice as long.

    Returns
    -------
    function of steps (K,): mean over games and starts.
    """

    def score(steps: Array) -> Array:
        counts = []
        for task in tasks:
            outside = _shares(learner(), task, steps, limit) > tolerance
            last = (np.arange(1, limit + 1)[:, None, None] * outside).max(axis=0)
            counts.append(np.where(last == limit, 2 * limit, last).mean(axis=-1))
        return np.asarray(np.mean(counts, axis=0))

    return score


def seconds_per_update(
    game: MarkovGame, learner: Learner, step: Any, start: Policy, *, updates: int = 100
) -> float:
    """Measure the median time of an update: averages, linear solve and move, nothing observed.

    It differs from machine to machine and from call to call. A figure that is to be the same at
    every run takes such medians as given numbers, rounded.

    Parameters
    ----------
    game : MarkovGame
    learner : Learner
    step : float, or function of the iteration
    start : tuple of N arrays (..., S, A_i)
    updates : int >= 1

    Returns
    -------
    float, in seconds.
    """
    policy = learner.arrange(stacked(check_policy(game, start)))
    state, feedback, times = learner.begin(policy), ExactFeedback(), []
    for iteration in range(updates):
        begun = perf_counter()
        evaluation = Evaluation(game, policy)
        now = step(iteration) if callable(step) else step
        sight = Sight(evaluation, feedback.averaged_q(evaluation), now, iteration)
        state = learner.move(state, sight)
        policy = learner.policy(state)
        times.append(perf_counter() - begun)
    return float(np.median(times))


def race(
    learners: Sequence[Callable[[], Learner]],
    tasks: Mapping[str, Task],
    iterations: int,
    *,
    points: int = 11,
    rounds: int = 1,
) -> pd.DataFrame:
    """Run learners side by side: at their theory's step, and at the step that is best in hindsight.

    The best step is the one of least Nash regret over the same runs, for each game by itself. A
    learner without steps runs once and stands in both places; one without a theory only in the
    second.

    Parameters
    ----------
    learners : sequence of functions without arguments
        Each makes its learner anew for every run.
    tasks : mapping from a name to (game, start policies (R, S, A_i))
    iterations : int >= 1
    points, rounds : int
        Of the search, see `best_step`.

    Returns
    -------
    DataFrame
        Columns steps ("theory's step", "best step"), game, learner, step, at_edge, run, iteration
        (counted from 1; a few for each power of ten) and nash_gap.
    """
    shown = np.unique(np.geomspace(1, iterations, int(KEPT * np.log(iterations)) + 2).astype(int))
    frames = []
    for name, task in tasks.items():
        for make in learners:
            for steps, step, at_edge in _entries(make, task, iterations, points, rounds):
                gap = run(task[0], make(), step, iterations, task[1], progress=False).nash_gap
                rows = gap[shown - 1].reshape(len(shown), -1)
                runs = rows.shape[1]
                frames.append(
                    pd.DataFrame(
                        {
                            "steps": steps,
                            "game": name,
                            "learner": make().name,
                            "step": step,
                            "at_edge": at_edge,
                            "run": np.tile(np.arange(runs), len(shown)),
                            "iteration": np.repeat(shown, runs),
                            "nash_gap": rows.reshape(-1),
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def _entries(
    make: Callable[[], Learner], task: Task, iterations: int, points: int, rounds: int
) -> list[tuple[str, float, bool]]:
    """Find the steps with which a learner enters: name, step, and whether at an edge."""
    learner, game = make(), task[0]
    if not learner.uses_step:
        return [("theory's step", 1.0, False), ("best step", 1.0, False)]
    if not game.reward_bound > 0:
        raise PmdError("all rewards are 0: no step is better than another")
    unit = (1 - game.discount) / game.reward_bound
    score = average_regret(make, [task], iterations)
    low, high = (float(unit * end) for end in SEARCHED)
    found = best_step(score, low, high, points=points, rounds=rounds)
    entries = [("best step", found.step, found.at_edge)]
    try:
        return [("theory's step", float(learner.theory_step(game)), False), *entries]
    except PmdError:
        return entries
