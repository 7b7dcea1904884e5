"""Censuses of fixed points: which kinds random games have, and how near runs pass by them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from pmdlib.analysis.fixed_points.enumeration import BUDGET, find_fixed_points
from pmdlib.analysis.fixed_points.kinds import FixedPoint
from pmdlib.analysis.policies import check_policy
from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.catalogue import one_state
from pmdlib.games.game import MarkovGame, Policy

#: The kinds of fixed points, from attractors to what no rule but KL keeps.
KINDS = ("strict Nash", "quasi-strict Nash", "other Nash", "not Nash", "continuum", "undecided")

#: How a game answers to Assumption V.4.
ANSWERS = {True: "holds", False: "fails", None: "undecided"}

Draw = Callable[[np.random.Generator], MarkovGame]


def kind_of(point: FixedPoint) -> str:
    """Name the kind of a fixed point, one of `KINDS`; a continuum goes before everything else."""
    if point.isolated is False:
        return "continuum"
    if point.isolated is None or point.nash is None or point.quasi_strict is None:
        return "undecided"
    if not point.nash:
        return "not Nash"
    if not point.quasi_strict:
        return "other Nash"
    return "strict Nash" if point.strict else "quasi-strict Nash"


def random_payoffs(shape: Sequence[int], values: Sequence[float] | None = None) -> Draw:
    """Return a function that draws one-state games of identical interest.

    Dummy terms, which turn them into any other potential game of one state, change no fixed point.

    Parameters
    ----------
    shape : sequence of int
        |A_1|, .., |A_N|.
    values : sequence of float, optional
        Payoffs are drawn from these, with equal chances; uniformly from [0, 1] by default.

    Returns
    -------
    callable (rng) -> TabularGame
    """

    def draw(rng: np.random.Generator) -> MarkovGame:
        return one_state(rng.random(shape) if values is None else rng.choice(values, size=shape))

    return draw


def fixed_point_census(
    draws: Mapping[str, Draw], games: int, rng: np.random.Generator, *, budget: int = BUDGET
) -> pd.DataFrame:
    """Count the fixed points of random games by kind.

    Parameters
    ----------
    draws : mapping from a name to a function that draws a game
        For example ``{"2 × 2": random_payoffs((2, 2))}``.
    games : int
        Games of each sort.
    rng : numpy.random.Generator
    budget : int
        As in `find_fixed_points`.

    Returns
    -------
    DataFrame
        One row for each game, kind and purity, zeros included: ``sort``, ``game``, ``kind``,
        ``pure``, ``count``; and repeated in each row of the game ``assumption`` ("holds", "fails"
        or "undecided") and ``complete``. A continuum counts once for each support that it meets.
    """
    rows = []
    for sort, draw in draws.items():
        for number in range(games):
            found = find_fixed_points(draw(rng), budget=budget)
            counts = Counter((kind_of(point), point.pure) for point in found.points)
            rows += [
                (sort, number, kind, pure, counts[kind, pure], ANSWERS[found.holds], found.complete)
                for kind in KINDS
                for pure in (True, False)
                if pure or kind != "strict Nash"
            ]
    columns = ["sort", "game", "kind", "pure", "count", "assumption", "complete"]
    return pd.DataFrame(rows, columns=columns)


def shares(census: pd.DataFrame) -> pd.DataFrame:
    """Say in how many games of each sort the assumption holds, fails, or is undecided.

    Returns
    -------
    DataFrame
        One row a sort, in the order of the census: games in which it ``holds``, ``fails`` or is
        ``undecided``, and the ``share`` that holds among those decided.
    """
    each = census.drop_duplicates(["sort", "game"])
    table = pd.crosstab(each["sort"], each["assumption"])
    table = table.reindex(index=each["sort"].unique(), columns=[*ANSWERS.values()], fill_value=0)
    decided = table["holds"] + table["fails"]
    return table.assign(share=table["holds"] / decided.where(decided > 0))


def distances_to_non_nash(
    game: MarkovGame, policies: Policy, points: Sequence[FixedPoint] | None = None
) -> pd.DataFrame:
    """Measure how near recorded runs came to isolated fixed points that are not Nash.

    The distance of two policies is the largest total variation over agents and states: the mass
    that would have to move. No run can stay at such a point, but the time spent near it counts.

    Parameters
    ----------
    game : MarkovGame
    policies : tuple of N arrays (T + 1, ..., S, A_i)
        All iterates of runs, such as ``run_pmd(..., record_policies=True).policies``; one run for
        each index of the axes between. Arrays (S, A_i) are taken as one iterate.
    points : sequence of FixedPoint, optional
        All fixed points of the game, if they are known already.

    Returns
    -------
    DataFrame
        One row for each run and point: ``run``, ``point`` (its place in ``points``), ``pure``,
        the closest ``distance`` and the first ``iteration`` at which it was reached.

    Raises
    ------
    InvalidGameError
        If the game has no isolated fixed point that is not Nash.
    InvalidPolicyError
        If the policies do not fit the game.
    """
    policies = check_policy(game, policies, name="policies")
    if policies[0].ndim < 3:
        policies = tuple(own[None] for own in policies)
    listed = find_fixed_points(game).points if points is None else points
    chosen = [(k, p) for k, p in enumerate(listed) if p.isolated and p.nash is False]
    if not chosen:
        raise InvalidGameError("the game has no isolated fixed point that is not Nash")
    rows = []
    for number, point in chosen:
        distance = _distance(policies, point.policy).reshape(len(policies[0]), -1)
        closest = distance.argmin(axis=0)
        rows += [
            (run, number, point.pure, float(distance[when, run]), int(when))
            for run, when in enumerate(closest)
        ]
    table = pd.DataFrame(rows, columns=["run", "point", "pure", "distance", "iteration"])
    return table.sort_values(["run", "point"], ignore_index=True)


def _distance(policies: Policy, target: Policy) -> Array:
    """Largest total variation over agents and states, (...)."""
    parts = [
        abs(own - goal).sum(axis=-1).max(axis=-1) / 2
        for own, goal in zip(policies, target, strict=True)
    ]
    return np.asarray(np.max(parts, axis=0))
