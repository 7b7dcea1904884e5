"""Which policies the KL step leaves where they are."""

from collections.abc import Iterator

import numpy as np

from pmdlib.analysis.equilibrium import gaps
from pmdlib.analysis.fixed_points import (
    fixed_points,
)
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, value_rounding
from pmdlib.claims.instances import games, small_game
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.learning.mirror_maps import KL, Euclidean


def _partial_supports(game: MarkovGame, rng: np.random.Generator, batch: int) -> Policy:
    """Policies on random supports, vertices included, different in every state: (B, S, A_i)."""
    policy = []
    for actions in game.num_actions:
        shape = (batch, game.num_states, actions)
        used = rng.random(shape) < rng.random((batch, 1, 1))
        np.put_along_axis(used, rng.integers(actions, size=(*shape[:2], 1)), True, axis=-1)
        weights = used * rng.standard_exponential(shape)
        policy.append(weights / weights.sum(axis=-1, keepdims=True))
    return tuple(policy)


def _fixed_and_moving(rng: np.random.Generator) -> Iterator[Instance]:
    """Random policies with zeros, and in turn all fixed points of random two-agent games."""
    for source, game in games(rng):
        yield Instance(game, _partial_supports(game, rng, 6), source, {"fixed": False})
        small = small_game(rng, degenerate=False)
        points = fixed_points(small)
        policy = tuple(np.stack(parts) for parts in zip(*(p.policy for p in points), strict=True))
        yield Instance(small, policy, f"fixed points beside {source}", {"fixed": True})


def _fixed_sides(instance: Instance) -> Iterator[Comparison]:
    game, evaluation = instance.game, instance.evaluation
    step = (1 - game.discount) / max(game.reward_bound, np.finfo(float).tiny)
    tolerance = value_rounding(game)
    largest, spreads, moves, changes = [], [], [], []
    for own, q, advantage in zip(
        evaluation.policy, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        used = own > 0
        logs = KL().coordinates(own)
        moved = KL().step(logs, step * q)
        with np.errstate(invalid="ignore"):
            moves.append(_spread(np.where(used, moved - logs, np.nan)))
        spreads.append(_spread(np.where(used, advantage, np.nan)))
        largest.append(np.where(used, abs(advantage), 0.0).max(axis=-1))
        changes.append(abs(np.exp(moved) - own).max(axis=-1))
    logs_rounding = 1e3 * UNIT_ROUNDOFF
    yield Comparison(
        _flat(moves),
        step * _flat(spreads),
        logs_rounding + step * tolerance,
        "==",
        "log-probabilities move by η times the spread of the advantage on the support",
    )
    yield Comparison(
        _flat(largest),
        _flat(spreads),
        2 * tolerance,
        "<=",
        "no spread on the support means advantage zero there",
    )
    if instance.extra["fixed"]:
        yield Comparison(
            _flat(changes),
            np.zeros(1),
            logs_rounding + step * tolerance,
            "==",
            "enumerated fixed points do not move",
        )


def _spread(table: Array) -> Array:
    return np.asarray(np.nanmax(table, axis=-1) - np.nanmin(table, axis=-1))


def _flat(parts: list[Array]) -> Array:
    return np.concatenate(parts, axis=-1)


def _vertex() -> Evaluation:
    """Evaluate a fixed point of the isolated 2x2 game that is no equilibrium: row 1, column 2."""
    policy = (np.array([[[1.0, 0.0]]]), np.array([[[0.0, 1.0]]]))
    return Evaluation(catalogue.isolated(), policy)


def _fixed_is_nash() -> Comparison:
    evaluation = _vertex()
    gap = gaps(evaluation, evaluation.game.initial).max(axis=-1)
    return Comparison(gap, np.zeros(1), value_rounding(evaluation.game), "==")


def _zero_everywhere() -> Comparison:
    evaluation = _vertex()
    return Comparison(evaluation.advantages[0], np.zeros(1), value_rounding(evaluation.game), "==")


def _euclidean_fixed() -> Comparison:
    evaluation = _vertex()
    own, q = evaluation.policy[0], evaluation.averaged_q[0]
    return Comparison(Euclidean().update(own, 0.1 * q), own, value_rounding(evaluation.game), "==")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="fixed-points-kl",
        tag="derived",
        label="fixed points of update rule (3)",
        statement=(
            r"\pi \text{ is fixed by the KL step} \iff \bar A_i^{\pi}(s,a) = 0"
            r" \ \text{ for all } i, s \text{ and } a \in \operatorname{supp} \pi_i(\cdot|s)"
        ),
        notebook="06-isolated-fixed-points",
        hypotheses=(),
        instances=_fixed_and_moving,
        compare=_fixed_sides,
        controls=(
            Control(
                "fixed-is-nash",
                "every fixed point is an equilibrium: Nash gap at (row 1, column 2), isolated 2x2",
                _fixed_is_nash,
            ),
            Control(
                "zero-everywhere",
                "advantages vanish on all actions, used or not, at (row 1, column 2)",
                _zero_everywhere,
            ),
            Control(
                "euclidean-fixed",
                "the Euclidean step has the same fixed points, at (row 1, column 2)",
                _euclidean_fixed,
            ),
        ),
        sizes={"quick": 300, "full": 6000},
    ),
)
