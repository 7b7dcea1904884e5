"""Any learner with less in step: own step sizes, moves of only some agents, news that is late."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array, is_exact, to_exact
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import Profile, by_row, each_agent, told_apart
from pmdlib.learning.learners import Learner, Sight
from pmdlib.whole import whole_number


class Variant(Learner):
    """A learner that changes how another one moves; all else is the other's.

    Parameters
    ----------
    learner : Learner
    manner : str
        What is different, in words: it goes into the name.
    """

    def __init__(self, learner: Learner, manner: str) -> None:
        self.learner = learner
        self.name = f"{learner.name}, {manner}"
        self.keeps_zeros, self.uses_step = learner.keeps_zeros, learner.uses_step

    def theory_step(self, game: MarkovGame) -> Any:
        """Step size of the plain learner: no theory says that it still serves."""
        return self.learner.theory_step(game)

    def arrange(self, policy: Policy) -> Policy:
        """Policy in the form in which the learner keeps it."""
        return self.learner.arrange(policy)

    def begin(self, policy: Policy) -> Any:
        """State of the learner."""
        return self.learner.begin(policy)

    def policy(self, state: Any) -> Policy:
        """Policy of the learner."""
        return self.learner.policy(state)

    def log_policy(self, state: Any) -> Sequence[Array]:
        """Logarithm of the policy of the learner."""
        return self.learner.log_policy(state)


class StepSizes(Variant):
    """Agents with step sizes of their own: η_i = η f_i.

    Parameters
    ----------
    learner : Learner
    factors : array (N,) of positive numbers
        f_i. An update costs as many moves of the learner as there are different factors.
    """

    def __init__(self, learner: Learner, factors: ArrayLike) -> None:
        super().__init__(learner, "own step sizes")
        self.factors = np.asarray(factors, dtype=float)
        good = np.isfinite(self.factors) & (self.factors > 0)
        if self.factors.ndim != 1 or not good.all():
            raise PmdError(f"factors are {factors!r}, must be N positive numbers, one per agent")

    def arrange(self, policy: Policy) -> Policy:
        """Policy with agents of different steps stored apart."""
        if len(policy) != len(self.factors):
            raise PmdError(f"factors are {len(self.factors)}, the game has {len(policy)} agents")
        return told_apart(self.learner.arrange(policy), self.factors)

    def move(self, state: Any, sight: Sight) -> Any:
        """Let all agents move with each step size, and keep for each what its own led to."""
        policy, result = sight.evaluation.policy, None
        for factor in np.unique(self.factors):
            like = to_exact(factor) if is_exact(sight.step) else factor
            own = sight.step if factor == 1 else sight.step * like
            moved = self.learner.move(state, replace(sight, step=own))
            theirs = by_row(_with_batch_axes(self.factors == factor, policy), policy)
            result = moved if result is None else chosen(theirs, moved, result)
        return result


class Asynchronous(Variant):
    """Only some agents move at a time, the others wait.

    Parameters
    ----------
    learner : Learner
    who : float in (0, 1], or function of the iteration
        Probability with which each agent moves, independently (also in each run of a batch); or a
        schedule that returns who moves, (N,) of bool.
    rng : numpy.random.Generator, optional
        Needed for a probability. Every run draws on from it: for the same run, pass a new one with
        the same seed.
    """

    def __init__(
        self,
        learner: Learner,
        who: float | Callable[[int], ArrayLike],
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(learner, "asynchronous")
        self.who = who
        self.rng: Any = rng
        if callable(who):
            return
        if not 0 < who <= 1:
            raise PmdError(f"who is {who!r}, must be a probability > 0, or a schedule")
        if not isinstance(rng, np.random.Generator):
            raise PmdError(f"rng is {rng!r}, must be a Generator: who moves is drawn at random")

    def arrange(self, policy: Policy) -> Policy:
        """Policy with every agent stored apart, unless all move all the time."""
        policy = self.learner.arrange(policy)
        return policy if self.who == 1 else told_apart(policy, np.arange(len(policy)))

    def move(self, state: Any, sight: Sight) -> Any:
        """Let all agents move, and undo it for those who wait."""
        policy = sight.evaluation.policy
        moved = by_row(self._movers(policy, sight.iteration), policy)
        return chosen(moved, self.learner.move(state, sight), state)

    def _movers(self, policy: Policy, iteration: int) -> Array:
        """Who moves, (N, ...) of bool."""
        agents = len(policy)
        if not callable(self.who):
            return np.asarray(self.rng.random((agents, *policy[0].shape[:-2])) < self.who)
        movers: Array = np.asarray(self.who(iteration))
        if movers.shape != (agents,) or movers.dtype.kind != "b":
            raise PmdError(
                f"the schedule returned an array {movers.shape} of {movers.dtype} at iteration "
                f"{iteration}, must be ({agents},) of bool"
            )
        return _with_batch_axes(movers, policy)


class Delayed(Variant):
    """All agents learn of things late: they move on what was to be seen d iterations ago.

    At iteration t the averaged Q, and whatever else the learner looks at, is that of the policy
    π^{t-d}; before iteration d it is that of the start. Step and iteration are the present ones.

    Parameters
    ----------
    learner : Learner
    delay : int >= 0
        d, in iterations; so many evaluations are kept.
    """

    def __init__(self, learner: Learner, delay: int) -> None:
        super().__init__(learner, f"delay {delay}")
        self.delay = whole_number("delay", delay, 0)

    def begin(self, policy: Policy) -> dict[str, Any]:
        """State of the learner, and nothing seen yet."""
        return {"own": self.learner.begin(policy), "seen": ()}

    def policy(self, state: dict[str, Any]) -> Policy:
        """Policy of the learner."""
        return self.learner.policy(state["own"])

    def log_policy(self, state: dict[str, Any]) -> Sequence[Array]:
        """Logarithm of the policy of the learner."""
        return self.learner.log_policy(state["own"])

    def move(self, state: dict[str, Any], sight: Sight) -> dict[str, Any]:
        """Move on the oldest sight that is kept."""
        seen = (*state["seen"], sight)[-self.delay - 1 :]
        old = replace(seen[0], step=sight.step, iteration=sight.iteration)
        return {"own": self.learner.move(state["own"], old), "seen": seen}


def _with_batch_axes(numbers: Array, policy: Policy) -> Array:
    """Numbers of the agents (N,), the same for each run of a batch: (N, 1, ..)."""
    return numbers.reshape(-1, *[1] * (policy[0].ndim - 2))


def chosen(moved: Sequence[Array], new: Any, old: Any) -> Any:
    """Mix two states of a learner: agents who moved, N arrays (...) of bool, have the new one.

    States are families of N arrays (..., S, A_i), or dicts of such; what else a dict holds, and
    what there was nothing of before, is new.
    """
    if isinstance(new, dict):
        return {name: chosen(moved, new[name], old[name]) for name in new}
    if old is None or not _is_family(new):
        return new
    return each_agent(lambda m, a, b: np.where(m[..., None, None], a, b), moved, new, old)


def _is_family(state: Any) -> bool:
    return isinstance(state, Profile) or (
        isinstance(state, tuple) and all(isinstance(own, np.ndarray) for own in state)
    )
