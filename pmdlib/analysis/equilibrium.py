"""Best responses, Nash gap and regret, the constant c, the mismatch coefficient κ."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pmdlib.analysis.policies import check_agent, check_policy, check_start
from pmdlib.analysis.values import (
    Evaluation,
    action_values,
    discounted_occupancy,
    discounted_sum,
    evaluate,
    expectation,
    number_or_array,
    state_kernel,
)
from pmdlib.arithmetic import (
    Array,
    Ball,
    UndecidedError,
    argmax,
    certainly_negative,
    eye,
    is_exact,
    largest,
    largest_entries,
    log,
    maximum,
    possibly_largest,
    smallest,
    to_exact,
    union,
)
from pmdlib.errors import InvalidPolicyError, NotConvergedError, PmdError
from pmdlib.games.game import InducedMDP, MarkovGame, Policy

#: Two action values tie when they differ by less than this times (largest reward)/(1-γ): some
#: thousand roundings of a value, far below any advantage that moves a policy.
TIE_TOLERANCE = 1e-12

#: Policy iteration visits each deterministic policy at most once; far fewer are ever needed.
POLICY_ITERATION_LIMIT = 1000


def tie_tolerance(game: MarkovGame) -> Any:
    """Difference of two action values of ``game`` below which they count as equal; 0 if exact."""
    if is_exact(game.initial):
        return 0
    return TIE_TOLERANCE * game.reward_bound / float(1 - game.discount)


def solve_mdp(mdp: InducedMDP, q: Array, tolerance: float) -> tuple[Array, Array]:
    """Solve one agent's MDP by policy iteration, started greedily at action values (..., S, A).

    An action is exchanged only for one that is better for certain, by more than ``tolerance`` (0 in
    exact arithmetic), so rounding cannot make the iteration cycle.

    Returns
    -------
    values : ndarray (..., S)
        Of balls: an enclosure of the optimal values.
    actions : ndarray (..., S) of int
        Of balls: optimal up to what they decide.
    """
    actions = argmax(q)
    pure = eye(q.shape[-1], q)
    for _ in range(POLICY_ITERATION_LIMIT):
        own = pure[actions]
        rewards = expectation(own, mdp.rewards)
        values = discounted_sum(state_kernel(mdp, own), rewards[..., None], mdp.discount)[..., 0]
        q = action_values(mdp, values)
        gain = largest(q) - expectation(own, q)
        switch = certainly_negative(tolerance - gain)
        if not switch.any():
            return _up_to(values, gain, mdp.discount), actions
        actions = np.where(switch, argmax(q), actions)
    raise NotConvergedError(
        f"policy iteration did not end in {POLICY_ITERATION_LIMIT} rounds on an MDP with "
        f"{q.shape[-2]} states and {q.shape[-1]} actions"
    )


def _up_to(values: Array, gain: Array, discount: Any) -> Array:
    """Enclose optimal values, given those of a policy that one step improves by ``gain`` (..., S).

    They exceed ``values`` by at most max_s gain(s)/(1-γ). That matters for balls, where an action
    may be better by less than can be decided; a rational gain is 0 here.
    """
    if not is_exact(values):
        return values
    most = largest(maximum(gain, 0), keepdims=True) / (1 - discount)
    return union(values, values + most)


def best_responses(evaluation: Evaluation) -> tuple[Array, tuple[Array, ...]]:
    """Solve every agent's MDP: optimal values (..., N, S) and N arrays (..., S) of actions.

    Agents with equally many actions are solved together, along an axis before the states.
    """
    game, mdps = evaluation.game, evaluation.mdps
    optimal: dict[int, Array] = {}
    chosen: dict[int, Array] = {}
    for count in set(game.num_actions):
        group = [agent for agent, actions in enumerate(game.num_actions) if actions == count]
        together = InducedMDP(
            np.stack([mdps[agent].rewards for agent in group], axis=-3),
            np.stack([mdps[agent].kernel for agent in group], axis=-4),
            game.discount,
        )
        q = np.stack([evaluation.averaged_q[agent] for agent in group], axis=-3)
        values, actions = solve_mdp(together, q, tie_tolerance(game))
        for place, agent in enumerate(group):
            optimal[agent], chosen[agent] = values[..., place, :], actions[..., place, :]
    agents = range(game.num_agents)
    return np.stack([optimal[i] for i in agents], axis=-2), tuple(chosen[i] for i in agents)


def best_response(game: MarkovGame, policy: Policy, agent: int) -> Array:
    """Find a best response of one agent to the others, by exact policy iteration.

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)
    agent : int

    Returns
    -------
    ndarray (..., S, A_i): a deterministic policy, optimal from every state.

    Raises
    ------
    InvalidPolicyError
        If the policy does not fit the game, or there is no such agent.
    """
    check_agent(game, agent)
    evaluation = evaluate(game, policy)
    mdp, q = evaluation.mdps[agent], evaluation.averaged_q[agent]
    optimal, actions = solve_mdp(mdp, q, tie_tolerance(game))
    _confirm(mdp, optimal, actions)
    return np.asarray(eye(game.num_actions[agent], q)[actions])


def _confirm(mdp: InducedMDP, optimal: Array, actions: Array, *, visits: bool = False) -> None:
    """Raise UndecidedError unless no other action can be better than these, (..., S).

    With ``visits`` only where the state goes counts: an action that moves it alike is no rival.
    """
    if not is_exact(optimal):
        return
    q = action_values(mdp, optimal)
    chosen = np.take_along_axis(q, actions[..., None], axis=-1)
    rivals = ~certainly_negative(q - chosen) & ~np.eye(q.shape[-1], dtype=bool)[actions]
    kernel = np.broadcast_to(mdp.kernel, (*q.shape, q.shape[-2]))
    for index in map(tuple, np.argwhere(rivals)):
        state = index[:-1]
        if visits and _same(kernel[index], kernel[state][actions[state]]):
            continue
        if q[index] > chosen[state][0]:  # raises if it cannot be decided
            raise UndecidedError("policy iteration on balls stopped short of a best response")


def _same(row: Array, other: Array) -> bool:
    """Whether two rows are equal for certain."""
    balls = any(isinstance(entry, Ball) for entry in (*row, *other))
    return not balls and bool((row == other).all())


def gaps(evaluation: Evaluation, initial: Array) -> Array:
    """Gain of each agent's best response, from ``initial`` (S,): (..., N)."""
    optimal, _ = best_responses(evaluation)
    gain = (optimal - evaluation.values) @ initial
    # Keeping one's own policy is a deviation of gain zero.
    return maximum(gain, 0)


def nash_gap(game: MarkovGame, policy: Policy, *, per_agent: bool = False) -> Array | float:
    """Compute the Nash gap max_i max_{π_i'} V_i^{π_i', π_-i}(ρ) - V_i^π(ρ).

    Parameters
    ----------
    game : MarkovGame
    policy : tuple of N arrays (..., S, A_i)
    per_agent : bool
        Return the gain of each agent, (..., N), in place of the largest.

    Returns
    -------
    float, or ndarray (...) for a batch of policies; non-negative, in units of reward.

    Raises
    ------
    InvalidPolicyError
        If the policy does not fit the game.
    """
    gain = gaps(evaluate(game, policy), game.initial)
    if per_agent:
        return gain
    return number_or_array(largest(gain))


def nash_regret(gap: Array) -> Array:
    """Average the Nash gaps of the first T policies: (1/T) Σ_{t<T} gap_t for T = 1, 2, ..

    Parameters
    ----------
    gap : ndarray (T, ...)
        Nash gaps along a run, such as ``trace.nash_gap``.

    Returns
    -------
    ndarray (T, ...): entry T-1 is the Nash regret after T iterations.

    Raises
    ------
    PmdError
        If there is no gap to average.
    """
    gap = np.asarray(gap)
    gap = to_exact(gap) if is_exact(gap) else gap
    if gap.ndim == 0 or len(gap) == 0:
        raise PmdError("nash_regret needs at least one Nash gap, along the first axis")
    if not is_exact(gap) and not np.isfinite(gap).all():
        raise PmdError("nash_regret needs finite Nash gaps")
    lengths = np.arange(1, len(gap) + 1).reshape(-1, *[1] * (gap.ndim - 1))
    return np.asarray(np.cumsum(gap, axis=0) / lengths)


def argmax_mass(policy: Array, table: Array, tolerance: float) -> Array:
    """Mass that ``policy`` (..., A) puts on the largest entries of ``table``, ties included.

    Where balls cannot decide which entries are largest, the mass is enclosed: it is no less than
    the least probable candidate's, and no more than that of all candidates.
    """
    try:
        ties = largest_entries(table, tolerance)
    except UndecidedError:
        candidates = possibly_largest(table)
        most = np.where(candidates, policy, 0).sum(axis=-1)
        return union(smallest(np.where(candidates, policy, 1)), most)
    return np.asarray(np.where(ties, policy, 0).sum(axis=-1))


def constants_c(evaluation: Evaluation) -> Array:
    """Smallest mass on the best actions over agents and states: (...)."""
    tolerance = tie_tolerance(evaluation.game)
    masses = [
        smallest(argmax_mass(own, q, tolerance))
        for own, q in zip(evaluation.policy, evaluation.averaged_q, strict=True)
    ]
    return smallest(np.stack(masses, axis=-1))


def log_constants_c(evaluation: Evaluation, log_policy: Sequence[Array]) -> Array:
    """Logarithm of the smallest mass on the best actions, from log-policies (..., S, A_i): (...).

    It stays finite where the mass itself underflows.
    """
    if is_exact(evaluation.game.initial):  # nothing can underflow
        return log(constants_c(evaluation))
    tolerance = tie_tolerance(evaluation.game)
    least = []
    for logs, q in zip(log_policy, evaluation.averaged_q, strict=True):
        mass = np.logaddexp.reduce(np.where(largest_entries(q, tolerance), logs, -np.inf), axis=-1)
        least.append(mass.min(axis=-1))
    return np.asarray(np.stack(least, axis=-1).min(axis=-1))


def constant_c(game: MarkovGame, policy: Policy) -> Array | float:
    """Compute c = min_{i,s} Σ_{a in argmax Q_i(s,.)} π_i(a|s), the mass on the best actions.

    Actions tie when their averaged Q differ by less than `TIE_TOLERANCE` · max|r| / (1-γ); tied
    actions count together, as in the definition of the argmax set.

    Returns
    -------
    float in [0, 1], positive for a policy with full support; an array for a batch. Along a run
    use ``trace.log_c``, which does not underflow.
    """
    return number_or_array(constants_c(evaluate(game, policy)))


def mismatch(game: MarkovGame, policies: Policy, below: Array | None = None) -> Array:
    """Compute the distribution mismatch of each iteration of a run.

    κ_t = max_i || d_ρ^{(π_i^{†t}, π_-i^t)} / d_ν^{π^{t+1}} ||_∞, where π_i^{†t} is a best response
    to π^t, the denominator belongs to the NEXT iterate, and ν = ρ unless ``below`` says otherwise.
    The coefficient κ_T of the regret bounds is the largest entry.

    Parameters
    ----------
    game : MarkovGame
    policies : tuple of N arrays (T + 1, ..., S, A_i)
        Consecutive iterates along the first axis, such as ``trace.policies``.
    below : ndarray (S,), optional
        Start distribution ν of the denominator; the uniform one gives κ_μ <= S/(1-γ).

    Returns
    -------
    ndarray (T, ...). A state that the next iterate never visits and the best response does gives
    infinity; a state that the best response never visits does not count.

    References
    ----------
    Section V; the convention t + 1 is the one that the proofs need.
    """
    checked = check_policy(game, policies, name="policies")
    if min(part.ndim for part in checked) < 3 or len(checked[0]) < 2:
        raise InvalidPolicyError(
            f"policies[agent=0] has shape {checked[0].shape}, must be (T + 1, .., S, A_i) with at "
            "least two consecutive iterates along the first axis"
        )
    lower = game.initial if below is None else check_start(game, below, name="below")
    before = Evaluation(game, tuple(part[:-1] for part in checked))
    following = Evaluation(game, tuple(part[1:] for part in checked)).occupancy(lower)
    optimal, responses = best_responses(before)
    ratios = []
    for agent, (mdp, actions) in enumerate(zip(before.mdps, responses, strict=True)):
        _confirm(mdp, optimal[..., agent, :], actions, visits=True)
        own = eye(mdp.rewards.shape[-1], following)[actions]
        visited = discounted_occupancy(state_kernel(mdp, own), game.initial, game.discount)
        ratios.append(largest(_visits_ratio(visited, following)))
    return largest(np.stack(np.broadcast_arrays(*ratios), axis=-1))


def _ratio(x: Any, y: Any) -> Any:
    return x / y if isinstance(x, Ball) or x != 0 else x


def _visits_ratio(visited: Array, following: Array) -> Array:
    """Divide occupancies (..., S); a state that is never visited above counts as 0."""
    if is_exact(visited):
        return np.asarray(np.frompyfunc(_ratio, 2, 1)(visited, following))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(visited > 0, visited / following, 0.0)
