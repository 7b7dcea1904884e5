"""Planning together: the centralised answer, for games that fit in a joint table."""

import numpy as np

from pmdlib.analysis.equilibrium import solve_mdp, tie_tolerance
from pmdlib.analysis.policies import pure_policy
from pmdlib.arithmetic import Array, argmax
from pmdlib.errors import PmdError
from pmdlib.games.game import InducedMDP, MarkovGame, Policy
from pmdlib.games.profiles import stacked_like
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.baselines.kinds import PolicyLearner
from pmdlib.learning.learners import Sight


class JointPolicyIteration(PolicyLearner):
    """Policy iteration by a centre that picks joint actions to raise the potential: no learning.

    a^{t+1}(s) = argmax_a [ φ(s,a) + γ Σ_s' P(s'|s,a) Φ^t(s') ]. A joint action in each state is a
    deterministic product policy, so agents can play it independently. It reaches the largest Φ of
    all policies, and an equilibrium: the best that independent learners could. Needs the whole
    table of a `TabularGame` with a potential. There is no step size.

    References
    ----------
    Howard, "Dynamic Programming and Markov Processes", 1960.
    """

    name, uses_step = "joint policy iteration", False

    def move(self, state: Policy, sight: Sight) -> Policy:
        """Improve greedily in all states at once."""
        mdp = joint_mdp(sight.evaluation.game)
        values = sight.evaluation.potential_values[..., None, :, None]
        q = mdp.rewards + mdp.discount * (mdp.kernel @ values)[..., 0]
        return stacked_like(_played(sight.evaluation.game, argmax(q)), state)


def joint_mdp(game: MarkovGame) -> InducedMDP:
    """MDP of a centre that picks joint actions, numbered 0.. in order, and is paid the potential.

    Raises
    ------
    PmdError
        If the game is no `TabularGame`; NotPotentialError if it states no potential.
    """
    if not isinstance(game, TabularGame):
        raise PmdError(f"planning together needs a TabularGame, not {type(game).__name__}")
    states = game.num_states
    rewards = game.potential.reshape(states, -1) + game.potential_shift
    kernel = game.kernel[:, None, :] if game.exogenous_kernel is not None else game.kernel
    kernel = np.broadcast_to(kernel.reshape(states, -1, states), (*rewards.shape, states))
    return InducedMDP(rewards, kernel, game.discount)


def best_joint_policy(game: MarkovGame) -> Policy:
    """Find a deterministic policy of largest potential, from every state: the centralised answer.

    Parameters
    ----------
    game : TabularGame with a potential

    Returns
    -------
    tuple of N arrays (S, A_i). In a Markov potential game it is an equilibrium.

    Raises
    ------
    PmdError
        As `joint_mdp`.
    """
    mdp = joint_mdp(game)
    _, actions = solve_mdp(mdp, mdp.rewards, tie_tolerance(game))
    return _played(game, actions)


def _played(game: MarkovGame, joint: Array) -> tuple[Array, ...]:
    """Deterministic policies (..., S, A_i) that play these joint actions (..., S)."""
    return pure_policy(game, np.stack(np.unravel_index(joint, game.num_actions)))
