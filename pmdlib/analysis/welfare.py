"""Social welfare of a policy, the best there is, and what equilibria lose against it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pmdlib.analysis.equilibrium import nash_gap, solve_mdp, tie_tolerance
from pmdlib.analysis.policies import pure_policy
from pmdlib.analysis.values import evaluate, number_or_array
from pmdlib.arithmetic import Array, argmax, largest, smallest, to_float
from pmdlib.errors import PmdError
from pmdlib.games.affine import joint_loads
from pmdlib.games.aggregative import CongestionGame, TeamGame
from pmdlib.games.game import InducedMDP, MarkovGame, Policy
from pmdlib.games.tabular import TabularGame

#: Largest number of joint actions that are looked at one by one.
MOST_JOINT = 2**18


def social_welfare(game: MarkovGame, policy: Policy) -> Array | float:
    """Compute W(π) = Σ_i V_i^π(ρ), in units of reward; the social cost is -W.

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)

    Returns
    -------
    number, or ndarray (...) for a batch of policies.

    Raises
    ------
    InvalidPolicyError
        If the policy does not fit the game.
    """
    return number_or_array((evaluate(game, policy).values @ game.initial).sum(axis=-1))


def _check_size(game: MarkovGame) -> None:
    if float(np.prod(np.asarray(game.num_actions, dtype=float))) > MOST_JOINT:
        raise PmdError(
            f"the game has more than {MOST_JOINT} joint actions: they are not looked at one by one"
        )


def stage_welfare(game: MarkovGame) -> Array:
    """Sum the rewards of all agents, for every state and joint action: (S, A_1, .., A_N).

    Raises
    ------
    PmdError
        If there are too many joint actions, or the game is of an unknown kind.
    """
    _check_size(game)
    if isinstance(game, TabularGame):
        return np.asarray(game.rewards.sum(axis=0))
    if isinstance(game, CongestionGame):
        per_load = game.payoffs * np.arange(1, game.payoffs.shape[-1] + 1)
        table = np.concatenate([0 * per_load[..., :1], per_load], axis=-1)
    elif isinstance(game, TeamGame):
        table = game.num_agents * game.potential_terms
    else:
        raise PmdError(f"no joint rewards are known for a {type(game).__name__}")
    loads = joint_loads(game)
    return np.asarray(sum(table[:, f, loads[..., f]] for f in range(table.shape[1])))


def social_optimum(game: MarkovGame) -> Policy:
    """Find a deterministic policy of largest welfare, from every state: what a centre would play.

    Joint actions are looked at one by one, and weighed over time by policy iteration if they move
    the state. If all agents are alike and pick one facility each, loads are looked at instead, so
    that there may be hundreds of agents.

    Parameters
    ----------
    game : TabularGame, CongestionGame, or TeamGame whose state no action moves

    Returns
    -------
    tuple of N arrays (S, A_i)

    Raises
    ------
    PmdError
        As `stage_welfare`.
    """
    if _by_loads(game):
        joint = np.stack([_best_loads(table) for table in game.payoffs], axis=-1)  # type: ignore[attr-defined]
    else:
        rewards = stage_welfare(game).reshape(game.num_states, -1)
        if game.exogenous_kernel is not None:
            best = argmax(rewards)
        elif isinstance(game, TabularGame):
            kernel = game.kernel.reshape(game.num_states, -1, game.num_states)
            mdp = InducedMDP(rewards, kernel, game.discount)
            _, best = solve_mdp(mdp, rewards, game.num_agents * tie_tolerance(game))
        else:
            raise PmdError(f"planning needs a TabularGame here, not {type(game).__name__}")
        joint = np.stack(np.unravel_index(best, game.num_actions))
    return pure_policy(game, joint)


def _by_loads(game: MarkovGame) -> bool:
    """Whether agents are alike and pick one of the facilities each, all in their order."""
    if not isinstance(game, CongestionGame) or len(game.bundles) > 1:
        return False
    bundles = [tuple(bundle) for bundle in game.bundles[0][1]]
    return bundles == [(f,) for f in range(game.payoffs.shape[1])]


def _best_loads(payoffs: Array) -> Array:
    """Best facility of each agent, (N,), for payoffs (F, N): loads by dynamic programming."""
    agents = payoffs.shape[1]
    worth = np.concatenate([0 * payoffs[:, :1], payoffs * np.arange(1, agents + 1)], axis=1)
    best, taken = worth[0], [np.arange(agents + 1)]
    for own in worth[1:]:
        most = [int(argmax(best[: n + 1][::-1] + own[: n + 1])) for n in range(agents + 1)]
        taken.append(np.array(most))
        best = np.array([best[n - k] + own[k] for n, k in enumerate(most)], dtype=own.dtype)
    chosen, left = [], agents
    for facility in range(len(worth) - 1, -1, -1):
        load = int(taken[facility][left])
        chosen += [facility] * load
        left -= load
    return np.array(chosen[::-1])


@dataclass(frozen=True)
class Inefficiency:
    """What the pure equilibria of a game of one state are worth, beside the optimum.

    Attributes
    ----------
    optimum : number
        Largest welfare Σ_i r_i of a joint action.
    best, worst : number
        Largest and smallest welfare of a pure equilibrium.
    equilibria : ndarray (K, N) of int
        All pure equilibria.
    welfare : ndarray (K,)
        What they are worth.
    """

    optimum: Any
    best: Any
    worst: Any
    equilibria: Array
    welfare: Array

    @property
    def anarchy(self) -> Any:
        """Price of anarchy over pure equilibria, at least 1: of costs worst/optimum."""
        return _loss(self.worst, self.optimum)

    @property
    def stability(self) -> Any:
        """Price of stability over pure equilibria, at least 1: of costs best/optimum."""
        return _loss(self.best, self.optimum)


def _loss(reached: Any, optimum: Any) -> Any:
    """Ratio of costs if welfare is negative, of welfares if positive; infinity for nothing."""
    if optimum <= 0:
        return reached / optimum if optimum < 0 else (1 if reached == 0 else np.inf)
    return optimum / reached if reached > 0 else np.inf


def inefficiency(game: MarkovGame) -> Inefficiency:
    """List the pure equilibria of a game of one state, and compare them with the optimum.

    Raises
    ------
    PmdError
        If there are several states, too many joint actions, or no pure equilibrium.
    """
    if game.num_states != 1:
        raise PmdError(f"inefficiency needs a game of one state, this one has {game.num_states}")
    welfare = stage_welfare(game)[0].reshape(-1)
    joint = np.stack(np.unravel_index(np.arange(len(welfare)), game.num_actions))
    gap = np.asarray(nash_gap(game, pure_policy(game, joint[..., None])))
    stays = np.flatnonzero(gap <= tie_tolerance(game))
    if not len(stays):
        raise PmdError("the game has no pure equilibrium")
    values = welfare[stays]
    low, high = number_or_array(smallest(values)), number_or_array(largest(values))
    best = number_or_array(largest(welfare))
    return Inefficiency(best, high, low, joint[:, stays].T, values)


def welfare_ratio(game: MarkovGame, policies: Policy, optimum: Policy) -> Array:
    """Compare social costs (or welfares) with the optimum: the loss of each policy, (...), >= 1.

    Costs, that is negative welfare, give C(π)/C(OPT); positive welfare W(OPT)/W(π).
    """
    reached = np.asarray(to_float(social_welfare(game, policies)), dtype=float)
    best = float(np.asarray(to_float(social_welfare(game, optimum))))
    return reached / best if best < 0 else best / reached
