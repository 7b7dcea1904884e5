"""Feedback: what agents learn about their averaged Q, exactly or from play.

Every kind answers one question, `Feedback.averaged_q`, so that a learner does not know which it is
given. Estimates differ in what they are estimates of, and `Feedback.expectation` says it:

- `NoisyFeedback`: the averaged Q plus noise of a chosen size. The clean experiment.
- `MonteCarloFeedback`: roll-outs from every state and own action. Unbiased, and it needs a
  simulator that can be set to any state.
- `BanditFeedback`: each agent sees its own actions and rewards along common plays. Unbiased, given
  that the state was visited, for the averaged Q of what the agents really play, exploration
  included.
- `TemporalDifferenceFeedback`: each agent fits its own MDP to what it sees. Biased at finite
  samples, consistent.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from pmdlib.analysis.policies import replace
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, is_exact
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import each_agent, stacked, stacked_like
from pmdlib.learning.returns import Experience, FirstVisits, capped_q, explore, own_returns
from pmdlib.learning.simulation import Moment, Simulator, play
from pmdlib.whole import whole_number


class Feedback(ABC):
    """What the agents are told of their averaged Q under the present policy.

    Examples
    --------
    Agents who are told their values to one digit cannot tell actions apart that differ by less, and
    stay where they are; the trace knows better.

    >>> from pmdlib.games.profiles import each_agent
    >>> from pmdlib.learning.feedback import Feedback
    >>> class OneDigit(Feedback):
    ...     def averaged_q(self, evaluation):
    ...         return each_agent(lambda q: q.round(1), evaluation.averaged_q)
    >>> game = pmd.TabularGame(np.array([[0.52, 0.48]]), np.eye(1), discount=0.0)
    >>> trace = pmd.run_pmd(game, "kl", step=1.0, iterations=100, feedback=OneDigit())
    >>> trace.policy[0].tolist(), trace.nash_gap[-1].round(9).item()
    ([[0.5, 0.5]], 0.02)
    """

    @property
    def exact(self) -> bool:
        """Whether it is the averaged Q itself: then small games may run as machine code."""
        return False

    @abstractmethod
    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return (an estimate of) the averaged Q of each agent: N arrays (..., S, A_i)."""

    def expectation(self, evaluation: Evaluation) -> Policy:
        """Return what `averaged_q` is on average over its draws, exactly: N arrays (..., S, A_i).

        Raises
        ------
        PmdError
            If it is not known.
        """
        raise PmdError(f"what {type(self).__name__} gives on average is not known exactly")


class ExactFeedback(Feedback):
    """The averaged Q itself: the full information that the paper assumes."""

    @property
    def exact(self) -> bool:
        """True, unless a subclass has it another way."""
        return type(self) is ExactFeedback

    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q of each agent, exactly."""
        return evaluation.averaged_q

    def expectation(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q of each agent."""
        return evaluation.averaged_q


class NoisyFeedback(Feedback):
    """The averaged Q plus independent Gaussian noise in every entry.

    Parameters
    ----------
    rng : numpy.random.Generator
    scale : float >= 0
        Standard deviation σ of the noise, in units of reward. At 0, without bias, a run is the
        exact run, bit for bit.
    bias : float
        Mean of the noise. One that is the same for all actions moves no policy.
    """

    def __init__(self, rng: np.random.Generator, scale: float, bias: float = 0.0) -> None:
        self.rng = _generator(rng)
        if not (0 <= scale < np.inf and np.isfinite(bias)):
            raise PmdError(f"scale is {scale!r} and bias {bias!r}, must be finite, scale >= 0")
        self.scale, self.bias = scale, bias

    @property
    def exact(self) -> bool:
        """Whether there is neither noise nor bias."""
        return type(self) is NoisyFeedback and self.scale == 0 and self.bias == 0

    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q of each agent plus noise."""
        if self.scale == 0 == self.bias:
            return evaluation.averaged_q
        _check_floats(evaluation.game)
        family = _apart(evaluation.averaged_q)
        return each_agent(lambda q: q + self.rng.normal(self.bias, self.scale, q.shape), family)

    def expectation(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q of each agent plus the bias."""
        return each_agent(lambda q: q + self.bias, evaluation.averaged_q)


class SampledFeedback(Feedback):
    """Base of estimates from play.

    Attributes
    ----------
    steps : int
        Number of joint actions played so far: the sample budget that was spent.
    """

    def __init__(self, rng: np.random.Generator, horizon: int | None) -> None:
        self.rng = _generator(rng)
        self.horizon = None if horizon is None else whole_number("horizon", horizon)
        self.steps = 0

    @abstractmethod
    def estimate(self, game: MarkovGame, policy: Policy) -> list[Array]:
        """Estimate the averaged Q of a single policy: N arrays (S, A_i)."""

    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return an estimate of the averaged Q of each agent, policy after policy of a batch."""
        game, policy = evaluation.game, evaluation.policy
        _check_floats(game)
        batch = policy[0].shape[:-2]
        singles = [
            self.estimate(game, policy if not batch else tuple(own[index] for own in policy))
            for index in np.ndindex(*batch)
        ]
        found = [
            np.stack(parts).reshape(*batch, *parts[0].shape) for parts in zip(*singles, strict=True)
        ]
        return stacked_like(found, policy)

    def _counted(self, moments: Iterator[Moment]) -> Iterator[Moment]:
        for moment in moments:
            self.steps += len(moment.plays)
            yield moment


class MonteCarloFeedback(SampledFeedback):
    """Independent roll-outs for every agent, state and own action; the others play their policies.

    A roll-out goes on with probability γ after each step, and what counts is the plain sum of the
    agent's rewards: unbiased for the averaged Q, with no horizon at which to cut.

    Parameters
    ----------
    rng : numpy.random.Generator
    samples : int >= 1
        Roll-outs for each agent, state and own action: S Σ|A_i| samples/(1-γ) joint actions.
    horizon : int >= 1, optional
        End roll-outs after so many steps. That loses what comes later, γ^horizon of the value,
        and makes estimates biased.
    """

    def __init__(
        self, rng: np.random.Generator, samples: int, *, horizon: int | None = None
    ) -> None:
        super().__init__(rng, horizon)
        self.samples = whole_number("samples", samples)

    def sample(self, game: MarkovGame, policy: Policy) -> list[Array]:
        """Draw the returns of all roll-outs under a single policy: N arrays (S, A_i, samples)."""
        sizes = [game.num_states * count for count in game.num_actions]
        agents = np.repeat(np.arange(game.num_agents), sizes)
        pairs = np.concatenate([np.arange(size) for size in sizes])
        states, actions = np.divmod(pairs, np.asarray(game.num_actions)[agents])
        starts = [np.repeat(each, self.samples) for each in (agents, states, actions)]
        returns = self._roll_out(Simulator(game, policy), *starts)
        parts = np.split(returns, np.cumsum(sizes)[:-1] * self.samples)
        return [part.reshape(game.num_states, -1, self.samples) for part in parts]

    def estimate(self, game: MarkovGame, policy: Policy) -> list[Array]:
        """Estimate the averaged Q of a single policy: N arrays (S, A_i)."""
        return [own.mean(axis=-1) for own in self.sample(game, policy)]

    def _roll_out(
        self, simulator: Simulator, agents: Array, states: Array, actions: Array
    ) -> Array:
        returns, block = np.zeros(len(agents)), simulator.block
        for begin in range(0, len(agents), block):
            part = slice(begin, begin + block)
            moments = play(
                simulator,
                states[part],
                self.rng,
                continuation=simulator.game.discount,
                horizon=self.horizon,
                first=(agents[part], actions[part]),
            )
            returns[part] = own_returns(self._counted(moments), agents[part], returns[part])
        return returns

    def expectation(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q, or that of the first ``horizon`` steps."""
        return evaluation.averaged_q if self.horizon is None else capped_q(evaluation, self.horizon)


#: How `BanditFeedback` weighs what agents did: see there.
WEIGHTINGS = ("importance", "average")


class BanditFeedback(SampledFeedback):
    """Common plays, of which each agent sees states, its own actions and its own rewards.

    Plays start from the game's initial distribution and go on with probability γ after each step.
    Everybody plays β_i = (1-ε) π_i + ε/|A_i|. For each state, what counts is the first visit of
    each play: the action taken then, and the sum G of own rewards from then on. So the estimate of
    Q_i(s, a) is, over the plays that visit s,

    - ``"importance"``: the mean of b + 1[a_i = a] (G - b)/β_i(a|s);
    - ``"average"``: the mean of G over those in which the agent took a.

    Given that s was visited (and, for the average, that a was taken there), its mean is the
    averaged Q under β, exactly: of what the agents really play, not of π. Exploration of all agents
    moves that by O(ε N). A state that was not visited is given 0 for all actions, and an action
    not taken in a visited state the mean of G there (average): neither says anything.

    Parameters
    ----------
    rng : numpy.random.Generator
    trajectories : int >= 1
        Number of plays.
    exploration : float in [0, 1]
        ε.
    weighting : "importance" or "average"
    baseline : float
        b, in units of reward; the mean does not depend on it, the variance does.
    horizon : int >= 1, optional
        End plays after so many steps; what is lost then makes estimates biased.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        trajectories: int,
        *,
        exploration: float = 0.0,
        weighting: str = "importance",
        baseline: float = 0.0,
        horizon: int | None = None,
    ) -> None:
        super().__init__(rng, horizon)
        self.trajectories = whole_number("trajectories", trajectories)
        self.exploration = _probability("exploration", exploration)
        if weighting not in WEIGHTINGS:
            raise PmdError(f"weighting is {weighting!r}, must be one of {WEIGHTINGS}")
        if not np.isfinite(baseline):
            raise PmdError(f"baseline is {baseline!r}, must be finite")
        self.weighting, self.baseline = weighting, baseline

    def first_visits(self, game: MarkovGame, policy: Policy) -> FirstVisits:
        """Play, and keep what followed the first visits: all that the estimate is made of."""
        simulator, parts = Simulator(game, explore(policy, self.exploration)), []
        for begin in range(0, self.trajectories, simulator.block):
            count = min(simulator.block, self.trajectories - begin)
            starts = simulator.start(count, self.rng)
            moments = play(
                simulator, starts, self.rng, continuation=game.discount, horizon=self.horizon
            )
            shape = (game.num_agents, count, game.num_states)
            parts.append(FirstVisits.of(self._counted(moments), shape, float))
        return FirstVisits(
            np.concatenate([part.visited for part in parts]),
            np.concatenate([part.actions for part in parts], axis=1),
            np.concatenate([part.returns for part in parts], axis=1),
        )

    def estimate(self, game: MarkovGame, policy: Policy) -> list[Array]:
        """Estimate the averaged Q of a single policy: N arrays (S, A_i)."""
        first = self.first_visits(game, policy)
        played = explore(policy, self.exploration)
        visits = np.maximum(first.visited.sum(axis=0), 1)[:, None]
        seen = first.visited.sum(axis=0)[:, None] > 0
        if self.weighting == "importance":
            terms = (first.weighted(i, own, self.baseline) for i, own in enumerate(played))
            return [
                np.where(first.visited[..., None], each, 0.0).sum(axis=0) / visits for each in terms
            ]
        found = []
        for agent, own in enumerate(played):
            chose = first.chose(agent, own.shape[-1])
            returns = np.where(first.visited, first.returns[agent], 0.0)[..., None]
            taken = chose.sum(axis=0)
            mean = np.where(chose, returns, 0.0).sum(axis=0) / np.maximum(taken, 1)
            found.append(np.where(seen & (taken == 0), returns.sum(axis=0) / visits, mean))
        return found

    def expectation(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q under what the agents really play: right for visited states."""
        if self.horizon is not None:
            return super().expectation(evaluation)
        played = explore(evaluation.policy, self.exploration)
        return Evaluation(evaluation.game, played).averaged_q


class TemporalDifferenceFeedback(SampledFeedback):
    """Each agent fits the MDP that it faces to common plays, and takes the Q of its own policy.

    That is least-squares temporal differences with one feature for each state and own action: an
    on-policy regression, if nobody explores. It uses every step of a play and knows its own policy,
    so that it varies less than `BanditFeedback`. Its bias vanishes with the number of steps if all
    states and actions are seen; then the limit is the Q of π_i against the others' β_-i, see
    `limit`.

    Parameters
    ----------
    rng : numpy.random.Generator
    trajectories, horizon : int >= 1
        Number of plays, from the game's initial distribution, and of steps of each.
    exploration : float in [0, 1]
        ε of β_i = (1-ε) π_i + ε/|A_i|.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        trajectories: int,
        horizon: int,
        *,
        exploration: float = 0.0,
    ) -> None:
        super().__init__(rng, whole_number("horizon", horizon))
        self.trajectories = whole_number("trajectories", trajectories)
        self.exploration = _probability("exploration", exploration)

    def estimate(self, game: MarkovGame, policy: Policy) -> list[Array]:
        """Estimate the averaged Q of a single policy: N arrays (S, A_i)."""
        simulator = Simulator(game, explore(policy, self.exploration))
        seen = [Experience.none(game.num_states, count) for count in game.num_actions]
        for begin in range(0, self.trajectories, simulator.block):
            count = min(simulator.block, self.trajectories - begin)
            starts = simulator.start(count, self.rng)
            moments = play(simulator, starts, self.rng, continuation=1.0, horizon=self.horizon)
            for moment in self._counted(moments):
                for agent, experience in enumerate(seen):
                    experience.add(moment, agent)
        return [e.q(own, game.discount) for e, own in zip(seen, policy, strict=True)]

    def limit(self, evaluation: Evaluation) -> Policy:
        """Return what estimates tend to with more plays: Q of π_i against β_-i, (..., S, A_i)."""
        game, policy = evaluation.game, evaluation.policy
        played = tuple(explore(policy, self.exploration))
        return tuple(
            Evaluation(game, replace(played, agent, own)).averaged_q[agent]
            for agent, own in enumerate(policy)
        )


def _apart(family: Policy) -> Policy:
    """Give every agent arrays of its own, where agents share them."""
    rows = stacked(family).roster
    return family if len(family) == sum(rows.sizes) else stacked(tuple(family))


def _check_floats(game: MarkovGame) -> None:
    if is_exact(game.initial):
        raise PmdError("the game is over exact numbers; feedback draws floats: use game.rounded()")


def _generator(rng: object) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise PmdError(f"rng is {rng!r}, must be a generator, such as np.random.default_rng(0)")
    return rng


def _probability(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise PmdError(f"{name} is {value!r}, must be in [0, 1]")
    return float(value)
