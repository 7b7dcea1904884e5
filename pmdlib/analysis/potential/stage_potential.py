"""The stage potential of a game in closed form, and a proof, where there is one, that it is right.

A value potential is a function Ψ(s, π) of state and policies such that, for all s, i, π, π_i',
V_i(π_i', π_-i)(s) - V_i(π)(s) = Ψ(π_i', π_-i)(s) - Ψ(π)(s). A stage potential is a function φ(s, a)
whose discounted sum Φ is a value potential.

**Every value potential comes from a stage potential.** Let φ(s, π) = Ψ(s, π) - γ P^π(s) Ψ(π).
If agent i changes its policy at other states than s, φ(s, .) changes as much as
V_i(s) - γ P^π V_i = r_i^π(s) does: not at all. So φ(s, π) depends on π(s) only. If agent i changes
at s, φ(s, .) changes by r_i^π'(s) - r_i^π(s) + γ (P^π' - P^π)(s) (V_i^π - Ψ^π), which is affine in
π_i'(s). So φ(s, .) is the average of a table φ(s, a), and Ψ = Φ.

**It is unique** up to φ(s, a) + h(s) - γ Σ P(s'|s, a) h(s') with any h: Ψ is known up to a function
of the start state.

**It has a closed form**, `stage_potential`: let the agents move from "all play action 0 everywhere"
to the joint action a at the one state s, in turn, and add up what the movers gain.
"""

import numpy as np
from scipy.optimize import linprog

from pmdlib.arithmetic import Array, eye, solve, to_exact, to_float
from pmdlib.errors import NotConvergedError
from pmdlib.games.tabular import TabularGame


def flat_tensors(game: TabularGame) -> tuple[Array, Array]:
    """Return rewards (N, S, J) and kernel (S, J, S) over the J joint actions."""
    states, kernel = game.num_states, game.kernel
    rewards = game.rewards.reshape(game.num_agents, states, -1)
    if game.exogenous:
        return rewards, np.broadcast_to(kernel[:, None], (states, rewards.shape[-1], states))
    return rewards, kernel.reshape(states, -1, states)


def stage_potential(game: TabularGame) -> Array:
    r"""Compute the stage potential that a game has if it is a Markov potential game.

    .. math::
        φ(s, a) = n(s, a) \sum_k \left[ \frac{A_k}{n}(s, a_1 .. a_k, 0 .. 0)
                                      - \frac{A_k}{n}(s, a_1 .. a_{k-1}, 0 .. 0) \right]

    where A_k(s, a) is the advantage of a joint action over "all play 0" (which all do elsewhere),
    and s is visited 1 / n(s, a) times as often if a is played there:
    n(s, a) = 1 - γ Σ (P(s'|s, a) - P(s'|s, 0)) N(s', s), N = (I - γ P(.|., 0))^-1. For agent k, the
    joint action a at s alone is worth V_k(x) + N(x, s) A_k(s, a) / n(s, a) from start state x.

    Parameters
    ----------
    game : TabularGame
        Exact tensors give an exact answer.

    Returns
    -------
    ndarray (S, A_1, .., A_N)
        In the gauge in which "all play action 0" is worth 0 in every state: φ(s, 0) = 0. If the
        game is no Markov potential game, a table that is not a potential.

    References
    ----------
    Derived; one state and γ = 0 is the sum of Monderer and Shapley (1996).
    """
    rewards, kernel = flat_tensors(game)
    states, discount, agents = game.num_states, game.discount, game.num_agents
    base = kernel[:, 0]
    visits = solve(eye(states, kernel) - discount * base, eye(states, kernel))
    values = visits @ rewards[:, :, 0].T
    advantages = rewards + discount * np.moveaxis(kernel @ values, -1, 0) - values.T[..., None]
    returns = ((kernel - base[:, None]) * visits.T[:, None]).sum(axis=-1)
    rarer = 1 - discount * returns
    gains = (advantages / rarer).reshape(agents, states, *game.num_actions)
    path = np.zeros_like(gains[0])
    every, zero = (slice(None),), (slice(0, 1),)
    for k, own in enumerate(gains):  # agents before k have moved, those behind it play 0
        after, before = every * (k + 2), every * (k + 1)
        path = path + own[after + zero * (agents - k - 1)] - own[before + zero * (agents - k)]
    return np.asarray(rarer.reshape(path.shape) * path)


def excess_game(game: TabularGame, potential: Array) -> TabularGame:
    """Return the game with rewards r_i - φ.

    φ is a stage potential exactly if no agent's own policy ever matters there, that is, if all
    averaged advantages vanish at every policy (by the performance difference identity).
    """
    rewards = list(game.rewards - potential)
    return TabularGame(rewards, game.kernel, discount=game.discount, initial=game.initial)


def is_certainly_potential(game: TabularGame, potential: Array) -> bool:
    """Prove, for all policies at once, that φ is a stage potential; False says nothing.

    Sufficient for agent i: with u = r_i - φ and some h(s), the rest w = u + γ P h - h does not
    depend on agent i's own action, and w = 0 on K, the states whose probability agent i's action
    can change, and all that can follow them. (h is the value of u when all play action 0.)

    Proof: let two copies of the world differ in agent i's policy only. Move them together as long
    as the others' actions and the next states can be made the same; until they part they earn the
    same w, and once they have parted both are in K, where w = 0. So the value of w, and with it
    that of u, which is larger by h, does not depend on agent i's policy. It holds in all four
    families of `pmdlib.games.families`.

    Parameters
    ----------
    game : TabularGame
        Exact tensors; floats are taken as the rationals that they are.
    potential : ndarray (S, A_1, .., A_N)
    """
    exact = game.exact()
    rewards, kernel = flat_tensors(exact)
    states, joint = exact.num_states, (exact.num_states, *exact.num_actions)
    excess = rewards - to_exact(potential).reshape(rewards[0].shape)
    base = exact.discount * kernel[:, 0]
    offsets = solve(eye(states, kernel) - base, excess[:, :, 0].T)
    rest = excess + exact.discount * np.moveaxis(kernel @ offsets, -1, 0) - offsets.T[..., None]
    follows: Array = np.any(kernel != 0, axis=1)
    for agent in range(exact.num_agents):
        own = rest[agent].reshape(joint)
        if (own != own.take([0], axis=1 + agent)).any():
            return False
        if not exact.exogenous:
            moves = kernel.reshape(*joint, states)
            parted = (moves != moves.take([0], axis=1 + agent)).reshape(-1, states).any(axis=0)
            for _ in range(states):
                parted = parted | follows[parted].any(axis=0)
            if (own[parted] != 0).any():
                return False
    return True


def smallest_range(game: TabularGame, potential: Array) -> Array:
    """Choose, among all stage potentials of a game, one with the smallest range φmax.

    Step sizes and regret bounds pay for φmax, and the gauge h in φ + h(s) - γ Σ P(s'|s, a) h(s') is
    free: a linear program in h finds the best. It is rounded to floats, which are some h as well,
    so that an exact potential stays one.

    Parameters
    ----------
    game : TabularGame
    potential : ndarray (S, A_1, .., A_N)
        A stage potential.

    Returns
    -------
    ndarray (S, A_1, .., A_N), in the arithmetic of ``potential``, with minimum 0.

    Raises
    ------
    NotConvergedError
        If the linear program is not solved.
    """
    exact = game.exact() if potential.dtype == object else game
    _, kernel = flat_tensors(exact)
    states = game.num_states
    flat = potential.reshape(states, -1)
    plain = to_float(flat)
    scale = float(np.ptp(plain)) or 1.0
    shaping = np.eye(states)[:, None] - float(to_float(game.discount)) * to_float(kernel)
    shaping = shaping.reshape(-1, states)
    ones, zeros = np.ones((plain.size, 1)), np.zeros((plain.size, 1))
    above = np.hstack([shaping, -ones, zeros])  # φ + h - γPh <= top
    below = np.hstack([-shaping, zeros, ones])  # bottom <= φ + h - γPh
    solution = linprog(
        np.append(np.zeros(states), [1.0, -1.0]),
        A_ub=np.vstack([above, below]),
        b_ub=np.append(-plain, plain) / scale,
        bounds=(None, None),
    )
    if solution.x is None:
        raise NotConvergedError(f"the linear program of the gauge failed: {solution.message}")
    gauge = scale * (solution.x[:states] - solution.x[0])
    if potential.dtype == object:
        gauge = to_exact(gauge)
    shaped = flat + gauge[:, None] - exact.discount * (kernel @ gauge)
    return np.asarray(shaped - shaped.min()).reshape(potential.shape)
