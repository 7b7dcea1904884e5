"""Slow and plain second routes: loops over joint actions, power series, roll-outs.

Nothing here uses pmdlib but the tensors of a game: rewards, kernel, potential, discount, initial.
"""

import itertools
import math

import numpy as np

from pmdlib.games.families import FAMILIES, Shape, random_game


def joint_actions(game):
    """All joint actions, as tuples."""
    return itertools.product(*map(range, game.num_actions))


def next_states(game, state, joint):
    """Distribution of the next state, (S,)."""
    return game.kernel[state] if game.kernel.ndim == 2 else game.kernel[(state, *joint)]


def probability(policy, state, joint, *, without=None):
    """Probability of a joint action, agent ``without`` left out."""
    return math.prod(
        own[state, action]
        for agent, (own, action) in enumerate(zip(policy, joint, strict=True))
        if agent != without
    )


def stage(game, policy):
    """Rewards (N, S), potential (S,) and transition matrix (S, S) of the chain of a policy."""
    states = game.num_states
    rewards, moves = np.zeros((game.num_agents, states)), np.zeros((states, states))
    potential = np.zeros(states)
    tensors = game.rewards
    shifted = shifted_potential(game) if game.has_potential else None
    for state in range(states):
        for joint in joint_actions(game):
            weight = probability(policy, state, joint)
            moves[state] += weight * next_states(game, state, joint)
            for agent in range(game.num_agents):
                rewards[agent, state] += weight * tensors[(agent, state, *joint)]
            if shifted is not None:
                potential[state] += weight * shifted[(state, *joint)]
    return rewards, potential, moves


def shifted_potential(game):
    """Stage potential, starting at 0 if it is negative somewhere."""
    lowest = game.potential.min()
    return game.potential - lowest if lowest < 0 else game.potential


def horizon(discount):
    """Number of terms of a discounted series after which nothing visible is left."""
    return 1 if discount == 0 else math.ceil(math.log(1e-17) / math.log(discount)) + 1


def power_series(matrix, vector, discount):
    """Σ_t γ^t P^t v, term by term."""
    total, term = np.zeros_like(vector, dtype=float), np.array(vector, dtype=float)
    for _ in range(horizon(discount)):
        total += term
        term = discount * matrix @ term
    return total


def values(game, policy):
    """V_i(s), (N, S)."""
    rewards, _, moves = stage(game, policy)
    return power_series(moves, rewards.T, game.discount).T


def potential_values(game, policy):
    """Φ(s), (S,)."""
    _, potential, moves = stage(game, policy)
    return power_series(moves, potential, game.discount)


def occupancy(game, policy, initial):
    """(1-γ) Σ_t γ^t Pr(s_t = s), (S,)."""
    _, _, moves = stage(game, policy)
    return (1 - game.discount) * power_series(moves.T, initial, game.discount)


def induced(game, policy, agent, tensors):
    """Average ``tensors`` (S, joint) and the kernel over the others: (S, A_i), (S, A_i, S)."""
    count, states = game.num_actions[agent], game.num_states
    table, moves = np.zeros((states, count)), np.zeros((states, count, states))
    for state in range(states):
        for joint in joint_actions(game):
            weight = probability(policy, state, joint, without=agent)
            table[state, joint[agent]] += weight * tensors[(state, *joint)]
            moves[state, joint[agent]] += weight * next_states(game, state, joint)
    if game.kernel.ndim == 2:
        moves = np.repeat(game.kernel[:, None, :], count, axis=1)
    return table, moves


def averaged_q(game, policy):
    """Averaged Q of every agent, N arrays (S, A_i)."""
    worth = values(game, policy)
    tables = []
    for agent in range(game.num_agents):
        rewards, moves = induced(game, policy, agent, game.rewards[agent])
        tables.append(rewards + game.discount * moves @ worth[agent])
    return tables


def potential_q(game, policy):
    """Averaged Q of the identical-interest game with the potential as reward."""
    worth = potential_values(game, policy)
    tables = []
    for agent in range(game.num_agents):
        rewards, moves = induced(game, policy, agent, shifted_potential(game))
        tables.append(rewards + game.discount * moves @ worth)
    return tables


def small_games(count, *, seed=0, max_joint=60, discounts=(0.0, 0.3, 0.9, 0.99)):
    """Ragged games of all four families in turn; N = 1..6, S = 1..6, one-action agents too."""
    rng = np.random.default_rng(seed)
    games = []
    for index in range(count):
        agents = index % 6 + 1
        while True:
            actions = tuple(int(m) for m in rng.integers(1, 5, size=agents))
            if math.prod(actions) <= max_joint:
                break
        shape = Shape(
            num_actions=actions,
            num_states=int(rng.integers(1, 7)),
            discount=float(rng.choice(discounts)),
            kernel_concentration=float(rng.choice([1.0, 0.02])),
            zero_one=bool(rng.random() < 0.3),
            point_start=bool(rng.random() < 0.3),
        )
        family = list(FAMILIES)[(index + index // 6) % 4]
        games.append(random_game(rng, family, shape))
    return games


def near_vertex_policy(game, rng):
    """Random policy, near the vertices half of the time; made without pmdlib."""
    policy = []
    for actions in game.num_actions:
        weights = rng.random((game.num_states, actions)) + 1e-3
        if rng.random() < 0.5:
            weights **= 8
        policy.append(weights / weights.sum(axis=-1, keepdims=True))
    return tuple(policy)
