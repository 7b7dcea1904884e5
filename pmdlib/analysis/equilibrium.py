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
from pmdlib.games.profiles import Profile, all_agents, each_agent, rows, stacked

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
        kernel = state_kernel(mdp.kernel, own)
        values = discounted_sum(kernel, rewards[..., None], mdp.discount)[..., 0]
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


def best_responses(evaluation: Evaluation) -> tuple[Sequence[Array], Sequence[Array]]:
    """Solve every agent's MDP: optimal values and actions, each N arrays (..., S).

    Agents with equally many actions are solved together, along an axis before all others.
    """
    game = evaluation.game
    together = stacked(evaluation.averaged_q)
    rewards, kernels = (stacked(family) for family in _with_batch_axes(evaluation))
    solved = [
        solve_mdp(InducedMDP(reward, kernel, game.discount), q, tie_tolerance(game))
        for q, reward, kernel in zip(together.stacks, rewards.stacks, kernels.stacks, strict=True)
    ]
    values, actions = (Profile(part, together.roster) for part in zip(*solved, strict=True))
    return values, actions


def _with_batch_axes(evaluation: Evaluation) -> tuple[Policy, Policy]:
    """Averaged rewards and kernels with the batch axes of the policy, even if these do not count.

    They do not for a single agent, nor for the kernel if no action moves the state.
    """
    like, states = evaluation.averaged_q, evaluation.game.num_states

    def reward(q: Array, own: Array) -> Array:
        return own if own.shape == q.shape else np.broadcast_to(own, q.shape)

    def kernel(q: Array, own: Array) -> Array:
        shape = (*q.shape, states)
        return own if own.shape == shape else np.broadcast_to(own, shape)

    return (
        each_agent(reward, like, evaluation.rewards),
        each_agent(kernel, like, evaluation.kernels),
    )


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

    Examples
    --------
    Against an even mixture the first row pays 0.65, the second 0.4.

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> pmd.best_response(game, pmd.uniform_policy(game), agent=0).tolist()
    [[1.0, 0.0]]
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


def gaps(evaluation: Evaluation, initial: Array) -> Sequence[Array]:
    """Gain of each agent's best response, from ``initial`` (S,): N arrays (...)."""
    if evaluation.game.exogenous_kernel is None:
        optimal, _ = best_responses(evaluation)
        gain = each_agent(
            lambda best, own: (best - own) @ initial, optimal, evaluation.agent_values
        )
    else:  # the agent's own actions move no state: it gains in each what its best action gains
        visits = evaluation.occupancy(initial) / (1 - evaluation.game.discount)
        gain = each_agent(
            lambda own, rewards: ((largest(rewards) - expectation(own, rewards)) * visits).sum(-1),
            evaluation.policy,
            evaluation.rewards,
        )
    # Keeping one's own policy is a deviation of gain zero.
    return each_agent(lambda agent: maximum(agent, 0), gain)


def largest_gap(evaluation: Evaluation, initial: Array) -> Array:
    """Largest gain of a best response over the agents: (...)."""
    return largest(rows(gaps(evaluation, initial)), axis=0)


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

    Examples
    --------
    The uniform policy pays 0.525. Agent 1 could have 0.65 alone, agent 2 could have 0.6.

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> pmd.nash_gap(game, pmd.uniform_policy(game), per_agent=True).round(9).tolist()
    [0.125, 0.075]
    >>> mixed = (np.array([[4, 7]]) / 11, np.array([[3, 8]]) / 11)
    >>> round(pmd.nash_gap(game, mixed), 9)
    0.0
    """
    evaluation = evaluate(game, policy)
    if per_agent:
        return np.moveaxis(all_agents(gaps(evaluation, game.initial)), 0, -1)
    return number_or_array(largest_gap(evaluation, game.initial))


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

    Examples
    --------
    >>> pmd.nash_regret(np.array([1.0, 0.5, 0.0])).tolist()
    [1.0, 0.75, 0.5]
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
    masses = each_agent(
        lambda own, q: smallest(argmax_mass(own, q, tolerance)),
        evaluation.policy,
        evaluation.averaged_q,
    )
    return smallest(rows(masses), axis=0)


def log_constants_c(evaluation: Evaluation, log_policy: Sequence[Array]) -> Array:
    """Logarithm of the smallest mass on the best actions, from log-policies (..., S, A_i): (...).

    It stays finite where the mass itself underflows.
    """
    if is_exact(evaluation.game.initial):  # nothing can underflow
        return log(constants_c(evaluation))
    tolerance = tie_tolerance(evaluation.game)

    def least(logs: Array, q: Array) -> Array:
        best = np.where(largest_entries(q, tolerance), logs, -np.inf)
        return smallest(np.asarray(np.logaddexp.reduce(best, axis=-1)))

    return smallest(rows(each_agent(least, log_policy, evaluation.averaged_q)), axis=0)


def constant_c(game: MarkovGame, policy: Policy) -> Array | float:
    """Compute c = min_{i,s} Σ_{a in argmax Q_i(s,.)} π_i(a|s), the mass on the best actions.

    Actions tie when their averaged Q differ by less than `TIE_TOLERANCE` · max|r| / (1-γ); tied
    actions count together, as in the definition of the argmax set.

    Returns
    -------
    float in [0, 1], positive for a policy with full support; an array for a batch. Along a run
    use ``trace.log_c``, which does not underflow.

    Examples
    --------
    An agent that hardly ever plays its best action makes c tiny. If all its actions are equally
    good, they count together, and c is 1.

    >>> game = pmd.TabularGame(np.array([[1.0, 0.0]]), np.eye(1), discount=0.0)
    >>> policy = (np.array([[1e-6, 1 - 1e-6]]),)
    >>> pmd.constant_c(game, policy)
    1e-06
    >>> indifferent = pmd.TabularGame(np.array([[1.0, 1.0]]), np.eye(1), discount=0.0)
    >>> pmd.constant_c(indifferent, policy)
    1.0
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

    Raises
    ------
    InvalidPolicyError
        If the policies do not fit the game, or are not at least two along the first axis.

    References
    ----------
    Section V; the convention t + 1 is the one that the proofs need.

    Examples
    --------
    The best response goes where the iterates go once in ten thousand: bounds on regret pay for
    that.

    >>> from pmdlib.games.catalogue import rare_visit, rare_visit_start
    >>> game, start = rare_visit(), rare_visit_start(1e-4)
    >>> trace = pmd.run_pmd(game, "kl", "constant", 3, start, record_policies=True)
    >>> pmd.mismatch(game, trace.policies).round(-2).tolist()
    [10000.0, 10000.0, 10000.0]
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

    def worst(reward: Array, kernel: Array, best: Array, actions: Array) -> Array:
        mdp = InducedMDP(reward, kernel, game.discount)
        _confirm(mdp, best, actions, visits=True)
        own = eye(reward.shape[-1], following)[actions]
        visited = discounted_occupancy(state_kernel(kernel, own), game.initial, game.discount)
        return largest(_visits_ratio(visited, following))

    ratios = each_agent(worst, *_with_batch_axes(before), optimal, responses)
    return largest(rows(ratios), axis=0)


def _ratio(x: Any, y: Any) -> Any:
    return x / y if isinstance(x, Ball) or x != 0 else x


def _visits_ratio(visited: Array, following: Array) -> Array:
    """Divide occupancies (..., S); a state that is never visited above counts as 0."""
    if is_exact(visited):
        return np.asarray(np.frompyfunc(_ratio, 2, 1)(visited, following))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(visited > 0, visited / following, 0.0)
