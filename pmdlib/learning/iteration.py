"""Iterates of a learner and what is observed of them, stretch by stretch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.equilibrium import largest_gap, log_constants_c
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, Ball, UndecidedError, is_exact, not_finite, to_exact, to_float
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import Profile, each_agent, first_agent, side_by_side, stacked
from pmdlib.learning.compiled import MOST_OPERATIONS, Update, compile_update
from pmdlib.learning.feedback import Feedback
from pmdlib.learning.learners import Learner, MirrorDescent, Sight

#: From this many iterations on the update of a small game is compiled, if it has no more than
#: WORTH operations for each: compiling takes some 15 µs an operation, a plain update some 200 µs.
LEAST_COMPILED, WORTH = 500, 10

#: Iterates of a plain run that are observed together, and numbers in these policies and in the
#: kernels beside them: enough to hide the cost of a call, few enough to stay in the cache.
TOGETHER, NUMBERS = 64, 2**16

#: Policies (iterates times starts) of a compiled run that are evaluated together: enough to hide
#: the cost of a call, few enough to stay in the cache.
STRETCH = 4096


@dataclass(frozen=True)
class Stretch:
    """Consecutive iterates π^t, .., π^{t+k-1}, and the policies that follow each of them.

    Attributes
    ----------
    nash_gap, log_c : ndarray (k, ...)
    potential : ndarray (k, ...) or None
    following : tuple of N arrays (k, ..., S, A_i), or Profile of arrays (rows, k, ..., S, A)
        π^{t+1}, .., π^{t+k}.
    """

    nash_gap: Array
    log_c: Array
    potential: Array | None
    following: Policy

    @property
    def last(self) -> Policy:
        """The last policy, N arrays (..., S, A_i)."""
        axis = _time_axis(self.following)
        return each_agent(lambda own: np.take(own, -1, axis), self.following)

    def until(self, tolerance: float) -> "Stretch | None":
        """Cut after the first iterate whose Nash gap, in every run, is within a tolerance."""
        within = to_float(self.nash_gap).reshape(len(self.nash_gap), -1) <= tolerance
        hits = np.flatnonzero(within.all(axis=1))
        if not len(hits):
            return None
        kept, axis = np.arange(hits[0] + 1), _time_axis(self.following)
        return Stretch(
            self.nash_gap[kept],
            self.log_c[kept],
            None if self.potential is None else self.potential[kept],
            each_agent(lambda own: np.take(own, kept, axis), self.following),
        )


def step_in_arithmetic_of(game: MarkovGame, step: object, required: str) -> Any:
    """Check a step size and turn it into the kind of number that a game is made of."""
    number = isinstance(step, Real | fmpq | Ball) and not isinstance(step, bool)
    if not number or not 0 < float(to_float(step)) < np.inf:
        raise PmdError(f"step is {step!r}, must be {required}")
    if not is_exact(game.initial):
        return float(to_float(step))
    return step if isinstance(step, Ball) else to_exact(step)


def _alone(number: Any) -> Any:
    """Give what was observed of a single iterate the axis of iterates."""
    return None if number is None else np.asarray(number)[None]


def _time_axis(policies: Policy) -> int:
    """Axis of consecutive iterates: the first, but for that of the agents of a `Profile`."""
    return 1 if isinstance(policies, Profile) else 0


def along_time(stretches: Sequence[Policy]) -> Policy:
    """Join policies along their iterates."""
    first = stretches[0]
    rosters = {id(part.roster) if isinstance(part, Profile) else None for part in stretches}
    if not isinstance(first, Profile) or len(rosters) > 1:
        return tuple(map(np.concatenate, zip(*stretches, strict=True)))
    stacks = zip(*(part.stacks for part in stretches if isinstance(part, Profile)), strict=True)
    return Profile((np.concatenate(parts, axis=1) for parts in stacks), first.roster)


def with_time(policy: Policy) -> Policy:
    """Give a policy the axis of iterates: a stretch of one."""
    return each_agent(lambda own: np.expand_dims(own, _time_axis(policy)), policy)


@dataclass(frozen=True)
class Iteration:
    """A run: who learns how from what, and from which policy on.

    Agents with equally many actions are kept in one stack as far as the game goes along.

    Attributes
    ----------
    game : MarkovGame
    learner : Learner
    feedback : Feedback
    step : float, exact number, or function of the iteration
        The step size, or the schedule t -> η_t, t = 0, 1, ..
    start : tuple of N arrays (..., S, A_i), or Profile
    """

    game: MarkovGame
    learner: Learner
    feedback: Feedback
    step: Any
    start: Policy

    def stretches(
        self,
        iterations: int,
        *,
        together: int = TOGETHER,
        advance: Callable[[int], object] = lambda _: None,
    ) -> Iterator[Stretch]:
        """Yield stretches of so many iterates in all; PmdError where one is not finite.

        Parameters
        ----------
        iterations : int >= 1
        together : int >= 1
            Longest stretch, if nothing is compiled.
        advance : callable
            It is told how many iterations have been made since it was last told.
        """
        update, learner = None, self.learner
        constant = self.feedback.exact and not callable(self.step)
        if type(learner) is MirrorDescent and constant and iterations >= LEAST_COMPILED:
            most = min(MOST_OPERATIONS, WORTH * iterations)
            update = compile_update(self.game, learner.mirror_map, most=most)
            if update is not None:
                return self._compiled(update, learner, iterations, advance)
        return self._plain(iterations, together, advance)

    def _step(self, iteration: int) -> Any:
        """Step size of an iteration, of a schedule checked."""
        if not callable(self.step):
            return self.step
        step = self.step(iteration)
        if isinstance(step, np.ndarray) and step.ndim:  # one for each run of a batch
            return step
        return step_in_arithmetic_of(self.game, step, f"a positive number at iteration {iteration}")

    def _observe(
        self, evaluation: Evaluation, log_policy: Sequence[Array]
    ) -> tuple[Array, Array, Array | None]:
        """Nash gap, logarithm of the constant c, and potential of an iterate: (...) each."""
        initial = self.game.initial
        gap = largest_gap(evaluation, initial)
        log_c = log_constants_c(evaluation, log_policy)
        potential = evaluation.potential_values @ initial if self.game.has_potential else None
        return gap, log_c, potential

    def _plain(
        self, iterations: int, together: int, advance: Callable[[int], object]
    ) -> Iterator[Stretch]:
        policy = stacked(self.start) if len(self.start) > 1 else self.start
        policy = self.learner.arrange(policy)
        state = self.learner.begin(policy)
        length = min(together, self._longest(policy))
        seen: list[tuple[Evaluation, Sequence[Array], Policy]] = []
        for iteration in range(iterations):
            evaluation, log_policy = Evaluation(self.game, policy), self.learner.log_policy(state)
            step = self._step(iteration)
            q = self.feedback.averaged_q(evaluation)
            state = self.learner.move(state, Sight(evaluation, q, step, iteration))
            policy = self.learner.policy(state)
            self._check_finite(policy, iteration + 1)
            seen.append((evaluation, log_policy, policy))
            advance(1)
            if len(seen) == length or iteration == iterations - 1:
                yield self._stretch(*zip(*seen, strict=True))
                seen = []

    def _longest(self, policy: Policy) -> int:
        """Say how many iterates to observe together: one, where a call costs little beside them."""
        if is_exact(self.game.initial):
            return 1
        stacks = policy.stacks if isinstance(policy, Profile) else policy
        numbers = self.game.num_states * sum(stack.size for stack in stacks)
        return max(NUMBERS // numbers, 1)

    def _stretch(
        self,
        evaluations: Sequence[Evaluation],
        log_policies: Sequence[Sequence[Array]],
        following: Sequence[Policy],
    ) -> Stretch:
        if len(evaluations) == 1:
            gap, log_c, potential = map(_alone, self._observe(evaluations[0], log_policies[0]))
            return Stretch(gap, log_c, potential, with_time(following[0]))
        observed = self._observe(Evaluation.together(evaluations), side_by_side(log_policies))
        return Stretch(*observed, side_by_side(following))

    def _compiled(
        self,
        update: Update,
        learner: MirrorDescent,
        iterations: int,
        advance: Callable[[int], object],
    ) -> Iterator[Stretch]:
        """Run some iterations in machine code, then evaluate them all at once."""
        policy, coordinates = self.start, tuple(learner.begin(self.start))
        starts = int(np.prod(policy[0].shape[:-2]))
        length = max(STRETCH // max(starts, 1), 1)
        for done in range(0, iterations, length):
            count = min(length, iterations - done)
            path = update.run(coordinates, self.step, count)
            with np.errstate(invalid="ignore", over="ignore"):
                policies = tuple(learner.policy(path))
            for own, start in zip(policies, policy, strict=True):
                own[0] = start
            self._check_all_finite(policies, done)
            evaluation = Evaluation(self.game, tuple(own[:-1] for own in policies))
            logs = learner.log_policy(tuple(own[:-1] for own in path))
            observed = self._observe(evaluation, logs)
            advance(count)
            yield Stretch(*observed, tuple(own[1:] for own in policies))
            policy, coordinates = (tuple(own[-1] for own in part) for part in (policies, path))

    def _check_all_finite(self, policies: Policy, done: int) -> None:
        others = [np.isfinite(own).all(axis=tuple(range(1, own.ndim))) for own in policies]
        finite = np.logical_and.reduce(others)
        if not finite.all():
            index = int(np.argmin(finite))
            self._check_finite(tuple(own[index] for own in policies), done + index)

    def _check_finite(self, policy: Policy, iteration: int) -> None:
        agent = first_agent(lambda own: not_finite(own).any(), policy)
        if agent is None:
            return
        if is_exact(policy[agent]):
            raise UndecidedError(
                f"after iteration {iteration} nothing is known of the policy of agent {agent}"
            )
        step = self._step(iteration - 1)
        raise PmdError(
            f"the policy of agent {agent} is not finite after iteration {iteration} "
            f"with step {np.max(step):g}"
        )
