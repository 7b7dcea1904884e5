"""Play: many copies of a game at once, decision by decision.

A `Simulator` knows a game and how each agent plays it; `play` goes through the time steps of many
plays, which end at random. All randomness comes from the generator that is passed, in a fixed
order: the same seed gives the same plays, bit for bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from weakref import WeakKeyDictionary

import numpy as np

from pmdlib.arithmetic import Array, is_exact
from pmdlib.errors import PmdError
from pmdlib.games.aggregative import CongestionGame, TeamGame
from pmdlib.games.facilities import FacilityGame
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import stacked
from pmdlib.games.tabular import TabularGame

#: Decisions of all agents that are drawn together: few enough to stay in the cache.
TOGETHER = 2**16


def thresholds(distributions: Array) -> Array:
    """Return where a uniform number has to be for each outcome: (..., A) -> (..., A - 1).

    The outcome is the number of thresholds that it has reached. One of probability 0 is never
    drawn: rounding cannot reach it, because the sum is divided out.
    """
    sums = np.cumsum(distributions, axis=-1)
    return np.asarray(sums[..., :-1] / sums[..., -1:])


class Mechanics(ABC):
    """What joint actions do in a game: rewards, and where the state goes."""

    @abstractmethod
    def outcomes(self, states: Array, actions: Array) -> tuple[Array, Array]:
        """Look up what happens in many plays.

        Parameters
        ----------
        states : ndarray (k,) of int
        actions : ndarray (N, k) of int

        Returns
        -------
        rewards : ndarray (N, k)
        following : ndarray (k, S - 1)
            `thresholds` of the next state.
        """


class _ByTensor(Mechanics):
    """Dense games: one flat index into tables whose rows are joint actions."""

    def __init__(self, game: TabularGame) -> None:
        tables = game.rewards[:1] if game.identical_interest else game.rewards
        self.rewards = np.ascontiguousarray(tables.reshape(len(tables), -1).T)
        edges = thresholds(game.kernel)
        self.following = edges.reshape(np.prod(edges.shape[:-1], dtype=int), edges.shape[-1])
        self.exogenous = game.exogenous
        self.num_actions = game.num_actions

    def outcomes(self, states: Array, actions: Array) -> tuple[Array, Array]:
        joint = states
        for own, count in zip(actions, self.num_actions, strict=True):
            joint = joint * count + own
        rewards = np.take(self.rewards, joint, axis=0).T
        following = np.take(self.following, states if self.exogenous else joint, axis=0)
        return np.broadcast_to(rewards, actions.shape), following


class _ByLoads(Mechanics):
    """Facility games: count who uses what, then look up what that pays."""

    def __init__(self, game: CongestionGame | TeamGame) -> None:
        self.team = isinstance(game, TeamGame)
        self.payoffs = game.potential_terms if isinstance(game, TeamGame) else game.payoffs
        self.moved = game.facility_kernel if isinstance(game, TeamGame) else None
        fixed = game.exogenous_kernel
        self.following = None if fixed is None else thresholds(fixed)
        ends = np.cumsum(game.populations)
        starts = [0, *ends[:-1]]
        self.groups = [*zip(map(slice, starts, ends), game.incidences, strict=True)]
        self.facilities = np.arange(self.payoffs.shape[1])

    def outcomes(self, states: Array, actions: Array) -> tuple[Array, Array]:
        loads = sum(
            np.stack([column[actions[group]].sum(axis=0) for column in incidence.T], axis=-1)
            for group, incidence in self.groups
        )
        places = (states[:, None], self.facilities)
        if self.team:
            common = self.payoffs[(*places, loads)].sum(axis=-1)
            rewards = np.broadcast_to(common, actions.shape)
        else:
            paid = self.payoffs[(*places, np.maximum(loads - 1, 0))]
            rewards = np.concatenate(
                [
                    np.take_along_axis((paid @ incidence.T).T, actions[group], axis=0)
                    for group, incidence in self.groups
                ]
            )
        if self.following is not None:
            return rewards, self.following[states]
        moved = np.asarray(self.moved)[(*places, loads)].sum(axis=1)
        return rewards, thresholds(moved)


class _ByAverages(Mechanics):
    """Any game: averages over others who play pure actions are what these actions do. Slow."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game

    def outcomes(self, states: Array, actions: Array) -> tuple[Array, Array]:
        states_all = np.ones(self.game.num_states)[:, None]
        pure = tuple(
            np.eye(count)[own][:, None, :] * states_all
            for own, count in zip(actions, self.game.num_actions, strict=True)
        )
        plays = np.arange(len(states))
        averages = self.game.average_rewards(pure)
        shapes = [(len(states), self.game.num_states, m) for m in self.game.num_actions]
        rewards = [
            np.broadcast_to(part, shape)[plays, states, own]
            for part, shape, own in zip(averages, shapes, actions, strict=True)
        ]
        kernel = self.game.average_kernel(pure)[0]
        kernel = np.broadcast_to(kernel, (*shapes[0], self.game.num_states))
        return np.stack(rewards), thresholds(kernel[plays, states, actions[0]])


@singledispatch
def mechanics_of(game: MarkovGame) -> Mechanics:
    """Return the `Mechanics` of a game; kinds of games register their own."""
    return _ByAverages(game)


mechanics_of.register(TabularGame, _ByTensor)
mechanics_of.register(FacilityGame, _ByLoads)

_KNOWN: WeakKeyDictionary[MarkovGame, Mechanics] = WeakKeyDictionary()


def _mechanics(game: MarkovGame) -> Mechanics:
    """Mechanics of a game, prepared once; not kept where they would keep the game."""
    if is_exact(game.initial):
        raise PmdError("the game is over exact numbers; it is played in floats: game.rounded()")
    if game not in _KNOWN:
        found = mechanics_of(game)
        if isinstance(found, _ByAverages):
            return found
        _KNOWN[game] = found
    return _KNOWN[game]


@dataclass(frozen=True)
class Moment:
    """One time step of many plays.

    Attributes
    ----------
    plays : ndarray (k,) of int
        Which plays still go on, in order.
    states, following : ndarray (k,) of int
        The state of each, and the next one: of the plays that end here, what it would have been.
    actions : ndarray (N, k) of int
    rewards : ndarray (N, k)
    """

    plays: Array
    states: Array
    actions: Array
    rewards: Array
    following: Array


class Simulator:
    """A game with the policies that its agents play.

    Parameters
    ----------
    game : MarkovGame
        In floats. Dense games and facility games are fast; any other is played by its averages.
    policy : tuple of N arrays (S, A_i), or Profile
        A single policy: no batch axes.

    Raises
    ------
    PmdError
        If the game is over exact numbers.
    """

    def __init__(self, game: MarkovGame, policy: Policy) -> None:
        self.game = game
        self.mechanics = _mechanics(game)
        profile = stacked(policy)
        ends = profile.roster.ends
        places = np.searchsorted(ends, profile.roster.index, side="right")
        self._stacks = []
        for number, stack in enumerate(profile.stacks):
            agents = np.flatnonzero(places == number)
            rows = profile.roster.index[agents] - (ends[number] - len(stack))
            edges = np.moveaxis(thresholds(stack), -1, 0)  # (A - 1, rows, S)
            self._stacks.append((agents, edges[:, rows]))
        self._starts = thresholds(game.initial)

    @property
    def block(self) -> int:
        """How many plays to simulate together."""
        return max(TOGETHER // self.game.num_agents, 1)

    def start(self, count: int, rng: np.random.Generator) -> Array:
        """Draw start states from the game's initial distribution: (count,)."""
        return np.searchsorted(self._starts, rng.random(count), side="right")

    def decide(self, states: Array, rng: np.random.Generator) -> Array:
        """Draw the action of every agent in each of these states: (k,) -> (N, k)."""
        actions = np.empty((self.game.num_agents, len(states)), dtype=np.int64)
        for agents, edges in self._stacks:
            draws = rng.random((len(agents), len(states)))
            chosen = np.zeros(draws.shape, dtype=np.int64)
            for edge in edges:
                chosen += draws >= np.take(edge, states, axis=1)
            actions[agents] = chosen
        return actions

    def step(self, states: Array, actions: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return rewards (N, k), and next states (k,) drawn from the kernel.

        ``states`` (k,) and ``actions`` (N, k) are those of k plays.
        """
        rewards, following = self.mechanics.outcomes(states, actions)
        if self.game.num_states == 1:
            return rewards, np.zeros_like(states)
        return rewards, (rng.random(len(states))[:, None] >= following).sum(axis=1)


def play(
    simulator: Simulator,
    states: Array,
    rng: np.random.Generator,
    *,
    continuation: float,
    horizon: int | None = None,
    first: tuple[Array, Array] | None = None,
) -> Iterator[Moment]:
    """Go through the time steps of many plays at once.

    Parameters
    ----------
    simulator : Simulator
    states : ndarray (n,) of int
        Where the plays start.
    rng : numpy.random.Generator
    continuation : float in [0, 1]
        After every step a play goes on with this probability. With γ, the sum of a play's rewards
        is an unbiased estimate of its discounted value.
    horizon : int >= 1, optional
        Number of steps after which all plays end.
    first : pair of ndarrays (n,) of int, optional
        An agent, and what it does in the first step, in place of what its policy says.

    Yields
    ------
    Moment
    """
    plays = np.arange(len(states))
    time = 0
    while len(plays) and time != horizon:
        actions = simulator.decide(states, rng)
        if first is not None and time == 0:
            agents, chosen = first
            actions[agents, plays] = chosen
        rewards, following = simulator.step(states, actions, rng)
        yield Moment(plays, states, actions, rewards, following)
        if continuation < 1:
            on = rng.random(len(plays)) < continuation
            plays, following = plays[on], following[on]
        states = following
        time += 1
