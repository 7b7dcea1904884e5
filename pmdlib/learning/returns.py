"""What plays tell of returns and transitions, gathered step by step; and what returns are exactly.

The return of a play is the sum of an agent's rewards until the play ends. As a play goes on with
probability γ after every step, no reward is discounted: its mean is the discounted value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pmdlib.analysis.values import (
    Evaluation,
    action_values,
    discounted_sum,
    expectation,
    state_kernel,
)
from pmdlib.arithmetic import Array, maximum
from pmdlib.errors import PmdError
from pmdlib.games.game import InducedMDP, Policy
from pmdlib.games.profiles import each_agent
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.simulation import Moment


def explore(policy: Policy, exploration: Any) -> Policy:
    """Mix every agent's policy with the uniform one: (1 - ε) π_i + ε/|A_i|."""
    if not exploration:
        return policy
    return each_agent(lambda own: (1 - exploration) * own + exploration / own.shape[-1], policy)


def own_returns(moments: Iterable[Moment], agents: Array, zero: Array) -> Array:
    """Return of one agent in each play, (n,); ``agents`` (n,) says of which, ``zero`` is 0 (n,)."""
    total = zero.copy()
    for now in moments:
        total[now.plays] += now.rewards[agents[now.plays], np.arange(len(now.plays))]
    return total


@dataclass(frozen=True)
class FirstVisits:
    """What followed when each play came to each state for the first time.

    Given that a play comes to a state, what happens from then on is a fresh play from there.

    Attributes
    ----------
    visited : ndarray (n, S) of bool
    actions : ndarray (N, n, S) of int
        What each agent did on that visit.
    returns : ndarray (N, n, S)
        Rewards of each agent from that visit on, until the play ended.
    """

    visited: Array
    actions: Array
    returns: Array

    @classmethod
    def of(
        cls, moments: Iterable[Moment], shape: tuple[int, int, int], dtype: type
    ) -> "FirstVisits":
        """Gather them from plays; ``shape`` is (N, n, S), rewards have this dtype."""
        visited = np.zeros(shape[1:], dtype=bool)
        actions = np.zeros(shape, dtype=np.int64)
        before: Array = np.zeros(shape, dtype=dtype)
        total: Array = np.zeros(shape[:2], dtype=dtype)
        for now in moments:
            new = ~visited[now.plays, now.states]
            plays, states = now.plays[new], now.states[new]
            visited[plays, states] = True
            actions[:, plays, states] = now.actions[:, new]
            before[:, plays, states] = total[:, plays]
            total[:, now.plays] += now.rewards
        return cls(visited, actions, total[:, :, None] - before)

    def weighted(self, agent: int, behaviour: Array, baseline: Array | float = 0) -> Array:
        """Importance-weighted estimates of one agent's Q, one for each play: (n, S, A_i).

        b + 1[a_i = a] (G - b) / β_i(a|s), with G the return, β_i what the agent really played, and
        b a baseline. Given that the play comes to s, its mean is the averaged Q under β of all
        agents, whatever the baseline. Where the play did not come to s it says nothing; here, b.
        """
        chosen = self.chose(agent, behaviour.shape[-1])
        surprise = (self.returns[agent] - baseline)[..., None]
        played = np.where(chosen, behaviour, 1)  # what nobody plays divides nothing
        return np.asarray(np.where(chosen, surprise / played, 0) + baseline)

    def chose(self, agent: int, actions: int) -> Array:
        """Whether a play came to a state and the agent then took this action: (n, S, A_i)."""
        same = self.actions[agent][..., None] == np.arange(actions)
        return np.asarray(same & self.visited[..., None])


@dataclass
class Experience:
    """What one agent has seen of the MDP that it faces.

    Attributes
    ----------
    counts, rewards : ndarray (S, A_i)
        How often it took an action in a state, and the sum of what it then received.
    following : ndarray (S, A_i, S)
        How often which state came next.
    """

    counts: Array
    rewards: Array
    following: Array

    @classmethod
    def none(cls, states: int, actions: int) -> "Experience":
        """Experience of nothing yet."""
        shape = (states, actions)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros((*shape, states)))

    def add(self, now: Moment, agent: int) -> None:
        """Take in one time step of many plays."""
        states, actions = self.counts.shape
        pair = now.states * actions + now.actions[agent]
        counts = np.bincount(pair, minlength=states * actions)
        rewards = np.bincount(pair, now.rewards[agent], minlength=states * actions)
        after = np.bincount(pair * states + now.following, minlength=self.following.size)
        self.counts += counts.reshape(self.counts.shape)
        self.rewards += rewards.reshape(self.counts.shape)
        self.following += after.reshape(self.following.shape)

    def q(self, own: Array, discount: float) -> Array:
        """Q of a policy of its own (S, A_i) if the MDP is what it has seen: (S, A_i).

        This is the least-squares solution of the temporal differences r + γ E_π Q(s', .) - Q(s, a),
        one unknown for each state and action. An action never tried in a state counts as the mean
        of those tried there; a state never seen is worth 0, whatever one does.
        """
        seen, visits = self.counts > 0, self.counts.sum(axis=-1, keepdims=True)
        mean = self.rewards.sum(axis=-1, keepdims=True) / np.maximum(visits, 1)
        stay = np.eye(len(self.counts)) * (visits == 0)
        mean_after = self.following.sum(axis=-2) / np.maximum(visits, 1) + stay
        number = np.maximum(self.counts, 1)
        rewards = np.where(seen, self.rewards / number, mean)
        kernel = self.following / number[..., None]
        mdp = InducedMDP(rewards, np.where(seen[..., None], kernel, mean_after[:, None]), discount)
        system = state_kernel(mdp.kernel, own)
        values = discounted_sum(system, expectation(own, rewards)[..., None], discount)[..., 0]
        return action_values(mdp, values)


def capped_q(evaluation: Evaluation, horizon: int) -> Policy:
    """Mean return of plays that end after so many steps at the latest: N arrays (..., S, A_i)."""
    found = []
    for own, mdp in zip(evaluation.policy, evaluation.mdps, strict=True):
        q = mdp.rewards + 0 * own
        for _ in range(horizon - 1):
            q = action_values(mdp, expectation(own, q))
        found.append(q)
    return tuple(found)


def return_variances(evaluation: Evaluation) -> Policy:
    """Compute the variance of the return, given an agent's state and first action, exactly.

    The square of a return, r + G' with G' = 0 if the play ends, has the mean r² + 2γ r V(s') +
    γ E G'²: a Bellman equation again, so that squares are the Q of a game with other rewards.

    Returns
    -------
    tuple of N arrays (S, A_i), in units of reward squared.

    Raises
    ------
    PmdError
        If the game is not dense, or the policy has batch axes.
    """
    game = evaluation.game
    if not isinstance(game, TabularGame) or evaluation.policy[0].ndim != 2:
        raise PmdError("variances of returns need a TabularGame and a single policy (S, A_i)")
    kernel = game.kernel
    after = (
        kernel.reshape(game.num_states, *[1] * game.num_agents, -1) if game.exogenous else kernel
    )
    squares = [
        own**2 + 2 * game.discount * own * (after @ value)
        for own, value in zip(game.rewards, evaluation.values, strict=True)
    ]
    other = TabularGame(squares, kernel, discount=game.discount, initial=game.initial)
    moments = Evaluation(other, evaluation.policy).averaged_q
    return tuple(maximum(m - q**2, 0) for m, q in zip(moments, evaluation.averaged_q, strict=True))
