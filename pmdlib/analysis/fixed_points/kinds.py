"""What kind of fixed point a policy is: Nash or not, strict or not, isolated or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pmdlib.analysis.fixed_points.face_jacobians import (
    is_regular,
    jacobian,
    smallest_singular_value,
)
from pmdlib.analysis.fixed_points.faces import (
    FaceFindings,
    Support,
    Zero,
    faces_between,
    mixing,
    policy_on,
)
from pmdlib.analysis.fixed_points.krawczyk import ENCLOSURE_BITS
from pmdlib.analysis.policies import check_policy
from pmdlib.analysis.values import Evaluation, evaluate, number_or_array
from pmdlib.arithmetic import (
    Array,
    Ball,
    UndecidedError,
    largest,
    precision,
    to_float,
)
from pmdlib.errors import InvalidGameError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame

#: Advantages below this times the largest payoff count as zero at a policy given in floats.
ZERO_TOLERANCE = 1e-9

#: A Jacobian whose smallest singular value is below this times the largest payoff is singular.
SINGULAR_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the KL map.

    Attributes
    ----------
    policy : tuple of N arrays (S, A_i) of float64
    support : tuple of N·S tuples of actions
        Those of agent i in state s at i·S + s: with one state, one tuple for each agent.
    nash : bool or None
        Whether no action has a positive advantage. None here and below: not decided.
    strict : bool or None
        Whether it is pure, and every unused action has a negative advantage.
    quasi_strict : bool or None
        Whether it is Nash and every unused action has a negative advantage.
    isolated : bool or None
        True: no other fixed point is near. False: it lies on a continuum of fixed points.
    conditioning : float
        Smallest singular value over the Jacobians of all faces: 0 on a continuum, infinity at a
        vertex without ties.
    enclosure : tuple of N object arrays (S, A_i), or None
        The point itself where its entries are rational, else balls that hold it and no other fixed
        point of the same support. None: `classify` was given floats, and nothing is certified.
    """

    policy: Policy
    support: Support
    nash: bool | None
    strict: bool | None
    quasi_strict: bool | None
    isolated: bool | None
    conditioning: float
    enclosure: Policy | None = field(default=None, repr=False)

    @property
    def certified(self) -> bool:
        """Whether it is proved to exist, and what is said about it to be true."""
        return self.enclosure is not None

    @property
    def rational(self) -> bool:
        """Whether its probabilities are rational and known exactly."""
        entries = (entry for own in self.enclosure or () for entry in own.flat)
        return self.certified and not any(isinstance(entry, Ball) for entry in entries)

    @property
    def pure(self) -> bool:
        """Whether every agent uses one action in every state."""
        return not mixing(self.support)


def fixed_point_residual(game: MarkovGame, policy: Policy) -> Array | float:
    """Compute max_{i,s} max_{a in supp π_i(.|s)} |A_i(s, a)|: zero exactly at fixed points.

    Parameters
    ----------
    game : MarkovGame
        Any number of states.
    policy : tuple of N arrays (..., S, A_i)

    Returns
    -------
    float, or ndarray (...) for a batch; units of reward. In rationals it is exact.
    """
    evaluation = evaluate(game, policy)
    residuals = [
        largest(np.where(own > 0, abs(advantage), 0), axis=(-1, -2))
        for own, advantage in zip(evaluation.policy, evaluation.advantages, strict=True)
    ]
    return number_or_array(largest(np.stack(residuals, axis=-1)))


def describe(
    exact: TabularGame,
    game: MarkovGame,
    face: Support,
    zero: Zero,
    findings: Mapping[Support, FaceFindings],
) -> FixedPoint:
    """Classify a certified zero by the signs of the advantages of unused actions."""
    enclosure = policy_on(exact, face, zero.weights)
    with precision(ENCLOSURE_BITS):
        advantages = _by_place(Evaluation(exact, enclosure).advantages)
    signs = [
        [0 if action in used else _sign(entry) for action, entry in enumerate(row)]
        for used, row in zip(face, advantages, strict=True)
    ]
    unused = [
        sign
        for used, row in zip(face, signs, strict=True)
        for action, sign in enumerate(row)
        if action not in used
    ]
    nash = _all_signs(unused, (-1, 0))
    quasi_strict = _all_signs(unused, (-1,))
    strict = quasi_strict if not mixing(face) else False
    policy = tuple(to_float(own) for own in enclosure)
    tied, possible = _actions(signs, (0,)), _actions(signs, (0, None))
    isolated = _isolated(exact, enclosure, zero, face, (tied, possible), findings)
    conditioning = 0.0
    if isolated is not False:
        matrices = [jacobian(game, policy, between) for between in faces_between(face, possible)]
        conditioning = min(smallest_singular_value(matrix) for matrix in matrices)
    return FixedPoint(policy, face, nash, strict, quasi_strict, isolated, conditioning, enclosure)


def _isolated(
    game: TabularGame,
    policy: Policy,
    zero: Zero,
    face: Support,
    ties: tuple[Support, Support],
    findings: Mapping[Support, FaceFindings],
) -> bool | None:
    tied, possible = ties
    if zero.alone is False:
        return False
    for between in faces_between(face, tied):
        found = findings[between]
        if found.flat and found.continuum:
            return False  # the conditions hold here too, so this is a limit of its points
        ends = (policy_on(game, between, end) for other in found.zeros for end in other.ends)
        if any(_same(end, policy) for end in ends):
            return False
    around = [between for between in faces_between(face, possible) if not findings[between].finite]
    if all(is_regular(jacobian(game, policy, between)) for between in around):
        return True
    return None


def _same(end: Policy, policy: Policy) -> bool:
    """Compare with a policy of rationals; one with irrational entries is another."""
    pairs = [
        pair
        for own in zip(end, policy, strict=True)
        for pair in zip(*map(np.ravel, own), strict=True)
    ]
    return all(not isinstance(b, Ball) and bool(a == b) for a, b in pairs)


def _by_place(parts: Policy) -> list[Array]:
    return [row for part in parts for row in part]


def _sign(entry: Any) -> int | None:
    try:
        return int(entry > 0) - int(entry < 0)
    except UndecidedError:
        return None


def _all_signs(signs: list[int | None], wanted: tuple[int, ...]) -> bool | None:
    if any(sign not in (*wanted, None) for sign in signs):
        return False
    return None if None in signs else True


def _actions(signs: list[list[int | None]], wanted: tuple[int | None, ...]) -> Support:
    return tuple(tuple(a for a, sign in enumerate(row) if sign in wanted) for row in signs)


def classify(game: MarkovGame, policy: Policy) -> FixedPoint:
    """Say what kind of fixed point a policy in floats is, up to rounding; nothing is certified.

    Advantages within `ZERO_TOLERANCE` of zero count as zero. ``isolated`` follows from the
    Jacobians of all faces alone; a singular one proves a continuum with two agents and one state,
    and at a vertex from which one agent can mix for free in one state.

    Raises
    ------
    InvalidGameError
        If the policy is no fixed point.
    """
    policy = check_policy(game, policy)
    scale = max(game.reward_bound, np.finfo(float).tiny)
    residual = fixed_point_residual(game, policy)
    if residual > ZERO_TOLERANCE * scale:
        raise InvalidGameError(f"the policy is no fixed point of the game: residual {residual:g}")
    advantages = _by_place(evaluate(game, policy).advantages)
    zero = ZERO_TOLERANCE * scale
    signs: list[list[int | None]] = [
        [int(entry > zero) - int(entry < -zero) for entry in row] for row in advantages
    ]
    support = tuple(tuple(map(int, np.flatnonzero(row > 0))) for row in _by_place(policy))
    tied = _actions(signs, (0,))
    nash = all(sign <= 0 for row in signs for sign in row if sign is not None)
    quasi_strict = nash and tied == support
    conditioning = min(
        smallest_singular_value(jacobian(game, policy, face))
        for face in faces_between(support, tied)
    )
    isolated: bool | None = conditioning > SINGULAR_TOLERANCE * scale
    if not isolated:
        linear = game.num_agents <= 2 and game.num_states == 1
        isolated = False if linear or (not mixing(support) and tied != support) else None
    strict = quasi_strict and not mixing(support)
    return FixedPoint(policy, support, nash, strict, quasi_strict, isolated, conditioning)
