"""Independent policy mirror descent: all agents step at once, each on its own averaged Q."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pmdlib.analysis.equilibrium import nash_regret
from pmdlib.analysis.policies import check_policy, uniform_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import (
    Array,
    exp,
    to_float,
)
from pmdlib.errors import InvalidPolicyError, PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import first_agent
from pmdlib.learning.feedback import ExactFeedback, Feedback
from pmdlib.learning.iteration import (
    TOGETHER,
    Iteration,
    along_time,
    step_in_arithmetic_of,
    with_time,
)
from pmdlib.learning.learners import Learner, MirrorDescent
from pmdlib.learning.mirror_maps import MirrorMap, get_mirror_map
from pmdlib.whole import whole_number

#: Without a tolerance of its own, a run counts as converged when its last Nash gap is below this
#: times max|r|/(1-γ): no agent can gain a visible digit.
CONVERGED_TOLERANCE = 1e-8

#: Seconds before a progress bar appears (on a terminal only).
PROGRESS_DELAY = 2.0


@dataclass(frozen=True)
class Trace:
    """What a run of T updates went through. Batch axes of the start policy follow the first axis.

    Attributes
    ----------
    mirror_map : str
    step : float, an exact number for an exact game, or a schedule
        The step size η that was used.
    nash_gap : ndarray (T, ...)
        Nash gap of π^0 .. π^{T-1}, units of reward.
    potential : ndarray (T + 1, ...) or None
        Φ^π(ρ) of π^0 .. π^T; None if the game states no potential.
    log_c : ndarray (T, ...)
        Logarithm of the mass on the best actions, the smallest over agents and states, of
        π^0 .. π^{T-1}. It is finite even where the mass itself, ``c``, underflows.
    policy : tuple of N arrays (..., S, A_i)
        The last policy π^T.
    policies : tuple of N arrays (T + 1, ..., S, A_i)
        All policies, if they were recorded; else empty.
    tolerance : float
        Nash gap at which the run counts as converged.

    Examples
    --------
    A trace begins with the start policy; the potential alone also has the last one.

    >>> from pmdlib.games.catalogue import isolated
    >>> trace = pmd.run_pmd(isolated(), "kl", step=1.0, iterations=20)
    >>> trace.iterations, trace.nash_gap.shape, trace.potential.shape
    (20, (20,), (21,))
    >>> trace.to_frame()[["iteration", "nash_gap", "c"]].round(3).tail(1).to_dict("records")
    [{'iteration': 19, 'nash_gap': 0.0, 'c': 1.0}]
    """

    mirror_map: str
    step: Any
    nash_gap: Array
    potential: Array | None
    log_c: Array
    policy: Policy
    policies: Policy
    tolerance: float

    @property
    def c(self) -> Array:
        """The constant c of each iterate, (T, ...): the exponential of ``log_c``."""
        return exp(self.log_c)

    @property
    def iterations(self) -> int:
        """Number of updates T."""
        return len(self.nash_gap)

    @property
    def converged(self) -> bool:
        """Whether the last recorded Nash gap, of every run of a batch, is within tolerance."""
        return bool((to_float(self.nash_gap[-1]) <= self.tolerance).all())

    @property
    def nash_regret(self) -> Array:
        """Average of the Nash gaps up to each iteration, (T, ...)."""
        return nash_regret(self.nash_gap)

    def to_frame(self) -> pd.DataFrame:
        """One row an iteration (and run of a batch): what seaborn likes to plot."""
        count = self.iterations
        runs = int(np.prod(self.nash_gap.shape[1:]))
        columns = {
            "iteration": np.repeat(np.arange(count), runs),
            "run": np.tile(np.arange(runs), count),
            "nash_gap": self.nash_gap.reshape(-1),
            "nash_regret": self.nash_regret.reshape(-1),
            "c": self.c.reshape(-1),
        }
        if self.potential is not None:
            columns["potential"] = self.potential[:-1].reshape(-1)
        steps = [self.step(t) if callable(self.step) else self.step for t in range(count)]
        step = np.repeat(np.array(steps), runs)
        return pd.DataFrame(columns).assign(mirror_map=self.mirror_map, step=step)


def run_pmd(
    game: MarkovGame,
    mirror_map: str | MirrorMap = "kl",
    step: str | float | Callable[[int], float] = "paper",
    iterations: int = 1000,
    initial_policy: Policy | None = None,
    *,
    feedback: Feedback | None = None,
    tolerance: float | None = None,
    record_policies: bool = False,
    progress: bool | None = None,
) -> Trace:
    """Run independent policy mirror descent, with exact averaged Q unless told otherwise.

    π_i^{t+1}(.|s) = argmax_p η <Q_i^t(s,.), p> - D_ψ(p, π_i^t(.|s)), all agents at once.

    Parameters
    ----------
    game : MarkovGame
    mirror_map : "kl", "euclidean", "tsallis", or a MirrorMap
    step : "paper", "constant", a positive number, or a function of the iteration
        ``"paper"``: the step of Section V for this map; ``"constant"``: (1-γ)/φmax, KL only; a
        function is a schedule t -> η_t for t = 0, 1, ..
    iterations : int >= 1
        Number of updates T.
    initial_policy : tuple of N arrays (..., S, A_i), optional
        Uniform by default. Leading batch axes run many starts at once.
    feedback : Feedback, optional
        What the agents step on: their averaged Q itself by default, or estimates from play. What
        the trace records is exact all the same.
    tolerance : float, optional
        Stop after the update of the first iterate whose Nash gap (in every run of the batch) is
        at most this. By default the run goes on to the end, and ``converged`` is judged by
        `CONVERGED_TOLERANCE`.
    record_policies : bool
        Keep all T + 1 policies, for `mismatch` and the like.
    progress : bool, optional
        Show a progress bar; by default on a terminal only, once a run takes some seconds.

    Returns
    -------
    Trace

    Raises
    ------
    InvalidPolicyError
        If the start does not fit, or has a zero that the mirror map could never revive.
    NotPotentialError
        If a step is asked for by name and the game states no potential.
    PmdError
        If another argument is bad, or the iteration leaves the finite numbers.

    References
    ----------
    Update rules (2) and (3), Section IV.

    Examples
    --------
    At the constant KL step the potential rises at every update, whatever the number of agents. At
    the step of the paper it takes longer to get as far.

    >>> from pmdlib.games.catalogue import isolated
    >>> constant = pmd.run_pmd(isolated(), "kl", step="constant", iterations=50)
    >>> paper = pmd.run_pmd(isolated(), "kl", step="paper", iterations=50)
    >>> bool((np.diff(constant.potential) > 0).all())
    True
    >>> bool(constant.nash_regret[-1] < paper.nash_regret[-1])
    True
    """
    chosen = get_mirror_map(mirror_map)
    return run(
        game,
        MirrorDescent(chosen),
        step if callable(step) else _step_size(game, chosen, step),
        iterations,
        initial_policy,
        feedback=feedback,
        tolerance=tolerance,
        record_policies=record_policies,
        progress=progress,
    )


def run(
    game: MarkovGame,
    learner: Learner,
    step: Any,
    iterations: int,
    initial_policy: Policy | None = None,
    *,
    feedback: Feedback | None = None,
    tolerance: float | None = None,
    record_policies: bool = False,
    progress: bool | None = None,
) -> Trace:
    """Run any learner; see `run_pmd` for what is not said here.

    Parameters
    ----------
    game : MarkovGame
    learner : Learner
    step : positive number, or function of the iteration
        Step size, or schedule t -> η_t for t = 0, 1, ..; of no effect on learners without steps.
    iterations : int >= 1
    initial_policy, feedback, tolerance, record_policies, progress
        As in `run_pmd`.

    Returns
    -------
    Trace
        Its Nash gap, potential and c are always exact, whatever the feedback.

    Raises
    ------
    InvalidPolicyError, PmdError
        As in `run_pmd`.
    """
    rounds = whole_number("iterations", iterations)
    if tolerance is not None and not tolerance >= 0:
        raise PmdError(f"tolerance is {tolerance!r}, must be >= 0")
    step = step if callable(step) else step_in_arithmetic_of(game, step, "a positive number")
    policy = _start(game, learner, initial_policy)
    scale = float(to_float(game.reward_bound / (1 - game.discount)))
    goal = CONVERGED_TOLERANCE * scale if tolerance is None else tolerance
    gap, potential, log_c, kept = [], [], [], [with_time(policy)]
    bar = tqdm(
        total=rounds,
        desc=f"PMD ({learner.name})" if isinstance(learner, MirrorDescent) else learner.name,
        disable=None if progress is None else not progress,
        delay=PROGRESS_DELAY,
        leave=False,
    )
    with bar:
        iteration = Iteration(game, learner, feedback or ExactFeedback(), step, policy)
        # Where a run may end at any iterate, none is made before the last is judged.
        together = TOGETHER if tolerance is None else 1
        for stretch in iteration.stretches(rounds, together=together, advance=bar.update):
            cut = None if tolerance is None else stretch.until(tolerance)
            part = cut or stretch
            gap.append(part.nash_gap)
            log_c.append(part.log_c)
            if part.potential is not None:
                potential.append(part.potential)
            policy = part.last
            if record_policies:
                kept.append(game.arrange(part.following))
            if cut:
                break
    if game.has_potential:
        last = Evaluation(game, policy).potential_values @ game.initial
        potential.append(np.asarray(last)[None])
    return Trace(
        mirror_map=learner.name,
        step=step,
        nash_gap=np.concatenate(gap),
        potential=np.concatenate(potential) if game.has_potential else None,
        log_c=np.concatenate(log_c),
        policy=game.arrange(policy),
        policies=along_time(kept) if record_policies else (),
        tolerance=goal,
    )


def _step_size(game: MarkovGame, mirror_map: MirrorMap, step: object) -> Any:
    if isinstance(step, str):
        return mirror_map.theory_step(game, step)
    return step_in_arithmetic_of(game, step, '"paper", "constant" or a positive number')


def _start(game: MarkovGame, learner: Learner, initial_policy: Policy | None) -> Policy:
    if initial_policy is None:
        return uniform_policy(game)
    policy = check_policy(game, initial_policy, name="initial_policy")
    agent = first_agent(lambda own: (own == 0).any(), policy) if learner.keeps_zeros else None
    if agent is not None:
        *_, state, action = np.argwhere(policy[agent] == 0)[0]
        raise InvalidPolicyError(
            f"initial_policy[agent={agent}][s={state}, a={action}] is 0, must be positive: "
            f"the {learner.name!r} step never revives an action of probability zero"
        )
    return policy
