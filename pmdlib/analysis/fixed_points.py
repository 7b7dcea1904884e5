r"""Fixed points of the KL map in games of one state: all of them, and which are isolated.

A policy is fixed by the KL step, at every step size, exactly if each agent's averaged advantage
vanishes on its support. Around such a point x with supports S_i, let B_i ⊇ S_i be the actions of
advantage zero, used or not. Fixed points near x have supports between S and B, so x is isolated
if, on every face S ⊆ B' ⊆ B, the square system "advantages equal on B'" has a non-singular Jacobian
at x. With two agents the converse holds too, and then B = S: an unused action a ∈ B_i \ S_i leaves
the line of fixed points on which agent i moves mass to a while the other stands still.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np
import sympy
from scipy.optimize import linprog

from pmdlib.analysis.policies import check_policy, replace
from pmdlib.analysis.values import evaluate, number_or_array
from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame, Policy

Support = tuple[tuple[int, ...], ...]

#: Advantages below this times the largest payoff count as zero at a computed fixed point.
ZERO_TOLERANCE = 1e-9

#: A Jacobian whose smallest singular value is below this times the largest payoff is singular.
SINGULAR_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the KL map in a game of one state.

    Attributes
    ----------
    policy : tuple of N arrays (1, A_i)
    support : tuple of N tuples of actions
    nash : bool
        Whether no agent can gain: no action has a positive advantage.
    quasi_strict : bool
        Whether every unused action has a negative advantage.
    isolated : bool or None
        True: all Jacobians are non-singular. False: it lies on a continuum of fixed points. None:
        a Jacobian is singular, which decides nothing with three or more agents.
    conditioning : float
        Smallest singular value over the Jacobians of all faces; infinity at a strict vertex.
    """

    policy: Policy
    support: Support
    nash: bool
    quasi_strict: bool
    isolated: bool | None
    conditioning: float


def fixed_point_residual(game: MarkovGame, policy: Policy) -> Array | float:
    """Compute max_{i,s} max_{a in supp π_i(.|s)} |A_i(s, a)|: zero exactly at fixed points.

    Parameters
    ----------
    game : MarkovGame
        Any number of states.
    policy : tuple of N arrays (..., S, A_i)

    Returns
    -------
    float, or ndarray (...) for a batch; units of reward.
    """
    evaluation = evaluate(game, policy)
    residuals = [
        np.where(own > 0, abs(advantage), 0.0).max(axis=(-1, -2))
        for own, advantage in zip(evaluation.policy, evaluation.advantages, strict=True)
    ]
    return number_or_array(np.asarray(np.max(residuals, axis=0)))


def fixed_points(game: MarkovGame) -> list[FixedPoint]:
    """Find the fixed points of the KL map, support by support.

    For two agents the indifference conditions are linear, and one point of each continuum is
    returned (with ``isolated`` False). For three or more agents they are polynomial; SymPy solves
    them over the decimals of the payoffs, and continua in the interior of a face are not sought.

    Parameters
    ----------
    game : MarkovGame
        One state, small action sets.

    Returns
    -------
    list of FixedPoint, vertices first.

    Raises
    ------
    InvalidGameError
        If the game has more than one state.
    """
    if game.num_states != 1:
        raise InvalidGameError(
            f"fixed_points needs a game of one state, this one has {game.num_states}"
        )
    supports = sorted(product(*map(_subsets, game.num_actions)), key=lambda s: sum(map(len, s)))
    solve = _linear_solutions if game.num_agents <= 2 else _polynomial_solutions
    return [classify(game, policy) for support in supports for policy in solve(game, support)]


def classify(game: MarkovGame, policy: Policy) -> FixedPoint:
    """Say what kind of fixed point a policy of a one-state game is.

    Raises
    ------
    InvalidGameError
        If the game has several states, or the policy is no fixed point.
    """
    policy = check_policy(game, policy)
    scale = max(game.reward_bound, np.finfo(float).tiny)
    evaluation = evaluate(game, policy)
    residual = fixed_point_residual(game, policy)
    if game.num_states != 1 or residual > ZERO_TOLERANCE * scale:
        raise InvalidGameError(
            f"the policy is no fixed point of a one-state game: residual {residual:g}, "
            f"{game.num_states} states"
        )
    advantages = [part[0] for part in evaluation.advantages]
    support = tuple(tuple(map(int, np.flatnonzero(own[0] > 0))) for own in policy)
    tied = tuple(
        tuple(map(int, np.flatnonzero(abs(advantage) <= ZERO_TOLERANCE * scale)))
        for advantage in advantages
    )
    nash = all(advantage.max() <= ZERO_TOLERANCE * scale for advantage in advantages)
    conditioning = min(
        (_smallest_singular_value(game, policy, face) for face in _faces(support, tied)),
        default=np.inf,
    )
    isolated: bool | None = conditioning > SINGULAR_TOLERANCE * scale
    if not isolated and game.num_agents > 2 and not _unilateral_tie(support, tied):
        isolated = None
    return FixedPoint(policy, support, nash, nash and tied == support, isolated, conditioning)


def jacobian(game: MarkovGame, policy: Policy, face: Support) -> Array:
    """Differentiate the advantage differences on a face, in its tangent coordinates.

    Row (i, k): averaged reward of the k-th action of ``face[i]`` minus that of its first. Column
    (j, l): agent j moves mass from its first action to its l-th. Averages are affine in each
    agent's policy, so the differences below are exact derivatives, not approximations.
    """
    columns = []
    for agent, actions in enumerate(face):
        for action in actions[1:]:
            moved = [
                _differences(
                    game, replace(policy, agent, np.eye(game.num_actions[agent])[[a]]), face
                )
                for a in (action, actions[0])
            ]
            columns.append(moved[0] - moved[1])
    return np.stack(columns, axis=-1) if columns else np.empty((0, 0))


def _differences(game: MarkovGame, policy: Policy, face: Support) -> Array:
    rewards = game.average_rewards(policy)
    return np.concatenate(
        [
            part[0, list(acts[1:])] - part[0, acts[0]]
            for part, acts in zip(rewards, face, strict=True)
        ]
    )


def _smallest_singular_value(game: MarkovGame, policy: Policy, face: Support) -> float:
    matrix = jacobian(game, policy, face)
    return float(np.linalg.svd(matrix, compute_uv=False)[-1]) if matrix.size else np.inf


def _faces(support: Support, tied: Support) -> Iterator[Support]:
    """All products of action sets between the support and the tied actions."""
    choices = []
    for used, zero in zip(support, tied, strict=True):
        unused = [action for action in zero if action not in used]
        choices.append(
            [
                tuple(sorted(used + extra))
                for extra in chain.from_iterable(
                    combinations(unused, k) for k in range(len(unused) + 1)
                )
            ]
        )
    return product(*choices)


def _unilateral_tie(support: Support, tied: Support) -> bool:
    """Say whether an agent of a pure profile can mix for free, and nobody else has a choice."""
    pure = all(len(used) == 1 for used in support)
    return pure and any(len(zero) > 1 for zero in tied)


def _subsets(actions: int) -> list[tuple[int, ...]]:
    every = range(actions)
    return [s for k in range(1, actions + 1) for s in combinations(every, k)]


def _linear_solutions(game: MarkovGame, support: Support) -> Iterator[Policy]:
    """Interior solutions of the indifference conditions of one or two agents, at most one.

    For each agent, mix over its own support so that the other is indifferent over the other's:
    the linear program pushes the smallest probability up, so it finds an interior point if any.
    """
    policy: dict[int, Array] = {}
    # The smaller support has more conditions than unknowns, if any has: it decides fastest.
    for agent in sorted(range(len(support)), key=lambda i: len(support[i])):
        used = support[agent]
        conditions = np.zeros((0, len(used)))
        if game.num_agents == 2:
            other = 1 - agent
            table = _payoff_table(game, other, agent)[np.ix_(support[other], used)]
            conditions = table[1:] - table[:1]
        own = _interior_point(conditions)
        if own is None:
            return
        full = np.zeros((1, game.num_actions[agent]))
        full[0, list(used)] = own
        policy[agent] = full
    yield tuple(policy[agent] for agent in range(len(support)))


def _payoff_table(game: MarkovGame, agent: int, other: int) -> Array:
    """Payoff of ``agent``, its actions in rows against the pure actions of ``other`` in columns."""
    columns = []
    for action in range(game.num_actions[other]):
        policy = [np.full((1, m), 1 / m) for m in game.num_actions]
        policy[other] = np.eye(game.num_actions[other])[[action]]
        columns.append(game.average_rewards(tuple(policy))[agent][0])
    return np.stack(columns, axis=-1)


def _interior_point(conditions: Array) -> Array | None:
    """Probabilities p > 0 with ``conditions @ p = 0``, the smallest as large as possible."""
    count = conditions.shape[-1]
    if count == 1:
        return np.ones(1) if np.allclose(conditions, 0, atol=ZERO_TOLERANCE) else None
    equalities = np.vstack([conditions, np.ones(count)])
    total = np.append(np.zeros(len(conditions)), 1.0)
    only, _, rank, _ = np.linalg.lstsq(equalities, total)
    if rank == count:  # at most one solution, no program needed
        fits = np.allclose(equalities @ only, total, rtol=0, atol=ZERO_TOLERANCE)
        return only if fits and only.min() > ZERO_TOLERANCE else None
    result = linprog(
        np.append(np.zeros(count), -1.0),
        A_eq=np.hstack([equalities, np.zeros((len(equalities), 1))]),
        b_eq=total,
        A_ub=np.hstack([-np.eye(count), np.ones((count, 1))]),
        b_ub=np.zeros(count),
        bounds=[(0, 1)] * (count + 1),
    )
    if result.x is None or result.x[-1] <= ZERO_TOLERANCE:
        return None
    # The program's answer is feasible to its own tolerance: project it on the conditions.
    point = result.x[:count]
    residual = equalities @ point - total
    return np.asarray(point - np.linalg.lstsq(equalities, residual, rcond=None)[0])


def _polynomial_solutions(game: MarkovGame, support: Support) -> Iterator[Policy]:
    """Interior solutions of the indifference conditions of three or more agents, by SymPy."""
    policy, unknowns = [], []
    for agent, (used, actions) in enumerate(zip(support, game.num_actions, strict=True)):
        free = [sympy.Symbol(f"p{agent}_{action}", real=True) for action in used[1:]]
        own = np.full((1, actions), sympy.Integer(0), dtype=object)
        own[0, list(used)] = [1 - sum(free), *free]
        policy.append(own)
        unknowns += free
    equations = _symbolic_conditions(game, policy, support)
    if not unknowns:
        solutions: list[dict[sympy.Symbol, sympy.Expr]] = [{}]
    else:
        nontrivial = [equation for equation in equations if equation != 0]
        solutions = sympy.solve(nontrivial, unknowns, dict=True) if nontrivial else []
    for solution in solutions:
        if set(unknowns) - set(solution) or any(v.free_symbols for v in solution.values()):
            continue  # a continuum in the interior of the face
        values = [
            np.array([[complex(sympy.N(sympy.sympify(x).subs(solution), 30)) for x in own[0]]])
            for own in policy
        ]
        real = all(abs(own.imag).max() < ZERO_TOLERANCE for own in values)
        if real and all(
            (own.real[0, list(used)] > ZERO_TOLERANCE).all()
            for own, used in zip(values, support, strict=True)
        ):
            yield tuple(own.real for own in values)


def _symbolic_conditions(
    game: MarkovGame, policy: Sequence[Array], support: Support
) -> list[sympy.Expr]:
    """Expand averaged reward differences in the unknown probabilities, over exact decimals.

    Averages are multilinear in the others' policies, so their coefficients are averages at pure
    profiles; the unknowns multiply them.
    """
    equations = []
    for agent, used in enumerate(support):
        others = [j for j in range(game.num_agents) if j != agent]
        totals = {action: sympy.Integer(0) for action in used}
        for profile in product(*(support[j] for j in others)):
            pure = [np.full((1, m), 1 / m) for m in game.num_actions]
            weight = sympy.Integer(1)
            for j, action in zip(others, profile, strict=True):
                pure[j] = np.eye(game.num_actions[j])[[action]]
                weight *= policy[j][0, action]
            rewards = game.average_rewards(tuple(pure))[agent][0]
            for action in used:
                totals[action] += weight * sympy.Rational(repr(float(rewards[action])))
        equations += [sympy.expand(totals[a] - totals[used[0]]) for a in used[1:]]
    return equations
