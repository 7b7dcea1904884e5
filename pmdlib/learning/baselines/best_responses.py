"""Rules that best respond: one agent at a time, or to what the others did so far."""

import numpy as np

from pmdlib.analysis.equilibrium import (
    best_responses,
    gaps,
    tie_tolerance,
)
from pmdlib.arithmetic import (
    Array,
    argmax,
    certainly_negative,
    eye,
)
from pmdlib.errors import PmdError
from pmdlib.games.game import Policy
from pmdlib.games.profiles import all_agents, by_row, each_agent, told_apart
from pmdlib.learning.baselines.kinds import PolicyLearner
from pmdlib.learning.learners import Sight


class SequentialBestResponse(PolicyLearner):
    """One agent at a time plays a best response to the others: finite improvement.

    π_i^{t+1} = argmax_{π_i'} V_i^{π_i', π_-i^t} for the agent i whose turn it is, if it gains by
    that from ρ. In a Markov potential game Φ(ρ) rises at each move, by the gain. Each agent has its
    first policy or a deterministic one, so that there are finitely many profiles: after finitely
    many moves nobody gains. Needs the evaluation: it solves MDPs. There is no step size.

    Parameters
    ----------
    order : "cyclic" or "largest gain"
        Agent t mod N moves at iteration t; or the one that gains most from ρ.

    References
    ----------
    Monderer, Shapley, "Potential Games", 1996; Nash-CA of Song, Mei, Bai, "When Can We Learn
    General-Sum Markov Games with a Large Number of Players Sample-Efficiently?", ICLR 2022;
    sequential maximum improvement of Guo, Li, Maheshwari, Sastry, Wu, "Markov α-Potential Games",
    2023.
    """

    uses_step = False

    def __init__(self, order: str = "cyclic") -> None:
        if order not in ("cyclic", "largest gain"):
            raise PmdError(f'order is {order!r}, must be "cyclic" or "largest gain"')
        self.order = order
        self.name = "sequential best response"
        if order == "largest gain":
            self.name += ", largest gain first"

    def arrange(self, policy: Policy) -> Policy:
        """Policy with every agent stored apart."""
        return told_apart(policy, np.arange(len(policy)))

    def move(self, state: Policy, sight: Sight) -> Policy:
        """Let one agent best-respond."""
        evaluation = sight.evaluation
        game = evaluation.game
        gain = all_agents(gaps(evaluation, game.initial))
        agents = np.arange(game.num_agents).reshape(-1, *[1] * (gain.ndim - 1))
        if self.order == "cyclic":
            turn = np.asarray(sight.iteration % game.num_agents)
        else:
            turn = argmax(np.moveaxis(gain, 0, -1))
        moves = (agents == turn) & certainly_negative(tie_tolerance(game) - gain)
        _, actions = best_responses(evaluation)
        return each_agent(_respond, state, actions, by_row(moves, state))


def _respond(own: Array, actions: Array, moves: Array) -> Array:
    return np.where(moves[..., None, None], eye(own.shape[-1], own)[actions], own)


class FictitiousPlay(PolicyLearner):
    """Everyone plays a best response to what the others did on average so far.

    b_i^{t+1} = b_i^t + (BR_i(b_-i^t) - b_i^t)/(t + 2). The policy of an iterate is the average b,
    the belief of the others, taken state by state; the start counts as one observation. Best
    responses solve MDPs, ties go to the first action. Needs the evaluation. There is no step size.

    References
    ----------
    Brown, "Iterative Solution of Games by Fictitious Play", 1951; Monderer, Shapley, "Fictitious
    Play Property for Games with Identical Interests", 1996. With several states this averaging is a
    rule of thumb.
    """

    name, uses_step = "fictitious play", False

    def move(self, state: Policy, sight: Sight) -> Policy:
        """Add the best responses to the averages."""
        _, actions = best_responses(sight.evaluation)
        share = sight.iteration + 2
        return each_agent(
            lambda own, best: own + (eye(own.shape[-1], own)[best] - own) / share, state, actions
        )
