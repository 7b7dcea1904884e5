"""Every play of a small game, with its probability: what an estimator is on average, exactly.

The estimator's own code runs on all of them at once, in rational arithmetic, and is averaged.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, eye
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.returns import FirstVisits, own_returns
from pmdlib.learning.simulation import Moment

#: Steps of the plays that are written down. Who still plays then is credited with the exact value
#: of what follows.
STEPS = 2


@dataclass(frozen=True)
class EveryPlay:
    """All plays of so many steps, with their probabilities.

    Attributes
    ----------
    moments : list of Moment
        As `pmdlib.learning.simulation.play` yields them.
    weights : ndarray (n,)
        Probability of each play.
    alive : ndarray (n,) of bool
        Which have not ended when the writing stops.
    following : ndarray (n,) of int
        The state in which these would go on.
    """

    moments: list[Moment]
    weights: Array
    alive: Array
    following: Array


def every_play(
    game: MarkovGame,
    policy: Policy,
    start: Array,
    continuation: Any,
    steps: int = STEPS,
    first: tuple[int, int] | None = None,
) -> EveryPlay:
    """Write down all plays of a small game: a policy (S, A_i), a distribution of start states.

    ``first`` says what one agent does in the first step, in place of what its policy says.
    """
    if not isinstance(game, TabularGame):
        raise PmdError(f"every play is written down of a TabularGame, not {type(game).__name__}")
    states = range(game.num_states)
    one, rewards, kernel = 1 + 0 * continuation, game.rewards, game.kernel
    # (probability, what happened, next state); None once a play has ended
    open_plays: list[Any] = [(start[s], (), s) for s in states if start[s] != 0]
    finished: list[Any] = []
    for time in range(steps):
        grown = []
        for (weight, past, state), joint in product(
            open_plays, product(*map(range, game.num_actions))
        ):
            chance = weight
            for agent, action in enumerate(joint):
                forced = time == 0 and first is not None and agent == first[0]
                own = int(action == first[1]) if forced and first else policy[agent][state, action]
                chance = chance * own
            if chance == 0:
                continue
            done = (*past, (state, joint, rewards[(slice(None), state, *joint)]))
            if one != continuation:
                finished.append((chance * (one - continuation), done, None))
            row = kernel[state] if game.exogenous else kernel[(state, *joint)]
            grown += [
                (chance * continuation * row[after], done, after)
                for after in states
                if row[after] * continuation != 0
            ]
        open_plays = grown
    return _together(finished + open_plays, steps)


def _together(plays: list[Any], steps: int) -> EveryPlay:
    moments = []
    for time in range(steps):
        index = np.array([i for i, (_, past, _) in enumerate(plays) if len(past) > time], dtype=int)
        if not len(index):
            break
        seen = [plays[i][1][time] for i in index]
        moments.append(
            Moment(
                index,
                np.array([state for state, _, _ in seen], dtype=int),
                np.array([joint for _, joint, _ in seen], dtype=int).T,
                np.array([paid for _, _, paid in seen]).T,
                np.zeros(len(seen), dtype=int),
            )
        )
    alive = np.array([after is not None for _, _, after in plays])
    following = np.array([after or 0 for _, _, after in plays], dtype=int)
    return EveryPlay(moments, np.array([weight for weight, _, _ in plays]), alive, following)


def mean_roll_out(
    evaluation: Evaluation, agent: int, state: int, action: int, *, credit: bool = True
) -> Any:
    """Mean of `own_returns` over every play from a state, with a first action of one agent."""
    game, policy = evaluation.game, evaluation.policy
    start = eye(game.num_states, game.initial)[state]
    plays = every_play(game, policy, start, game.discount, first=(agent, action))
    agents = np.full(len(plays.weights), agent)
    returns = own_returns(iter(plays.moments), agents, 0 * plays.weights)
    if credit:
        values = evaluation.values[agent][plays.following]
        returns = returns + np.where(plays.alive, values, 0 * values)
    return (plays.weights * returns).sum()


def mean_first_visits(evaluation: Evaluation, weigh: bool = True) -> tuple[list[Array], Array]:
    """Mean over every play of what `FirstVisits` says of Q, (S, A_i), and chances of a visit (S,).

    The evaluation is of what the agents play. ``weigh`` divides by the probability of the action.
    """
    game, policy = evaluation.game, evaluation.policy
    plays = every_play(game, policy, game.initial, game.discount)
    shape = (game.num_agents, len(plays.weights), game.num_states)
    first = FirstVisits.of(iter(plays.moments), shape, object)
    rest = np.where(plays.alive, evaluation.values[:, plays.following], 0)
    first = FirstVisits(first.visited, first.actions, first.returns + rest[..., None])
    weights = np.where(first.visited, plays.weights[:, None], 0)
    found = []
    for agent, own in enumerate(policy):
        divisor = own if weigh else 1 + 0 * own
        terms = first.weighted(agent, divisor)
        found.append(np.asarray((weights[..., None] * terms).sum(axis=0)))
    return found, np.asarray(weights.sum(axis=0))
