"""Which policies the KL step leaves where they are."""

from collections.abc import Iterator

import numpy as np

from pmdlib.analysis.equilibrium import largest_gap
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, eye, is_exact, largest, log, smallest, unit_roundoff
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.instances import fixed_point_instance, games, small_game, two_state_game
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


#: Every so many games of fixed points have three agents, and two states, which take longer.
THREE_AGENTS, TWO_STATES = 3, 16


def _fixed_and_moving(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Random policies with zeros, and in turn all fixed points of random small games."""
    for number, (source, game) in enumerate(games(rng, sizes)):
        yield Instance(game, _partial_supports(game, rng, 6), source)
        kind, small = "two agents", small_game(rng, degenerate=number % 2 == 1)
        if number % TWO_STATES == 1:
            kind, small = "two states", two_state_game(rng)
        elif number % THREE_AGENTS == 1:
            kind, small = "three agents", small_game(rng, degenerate=False, agents=3)
        yield fixed_point_instance(small, f"fixed points, {kind}:{number}", rng)


def _fixed_sides(instance: Instance) -> Iterator[Comparison]:
    """Compare the step with the advantages.

    An irrational fixed point is enclosed by balls. Those show that its probabilities stay, to some
    twenty digits, but not that 0 is at most 0: the middle part is left to rational policies.
    """
    game, evaluation = instance.game, instance.evaluation
    step = (1 - game.discount) / (game.reward_bound or 1)
    tolerance = value_rounding(game)
    sizes, spreads, moves, changes = [], [], [], []
    for own, q, advantage in zip(
        evaluation.policy, evaluation.averaged_q, evaluation.advantages, strict=True
    ):
        used = own > 0
        moved = KL().update(own, step * (q - q[..., :1]))
        ratio = np.where(used, moved, 1) / np.where(used, own, 1)
        moves.append(_spread(log(ratio), own))
        spreads.append(_spread(advantage, own))
        sizes.append(largest(abs(np.where(used, advantage, 0))))
        changes.append(largest(abs(moved - own)))
    logs_rounding = 1000 * unit_roundoff(spreads[0])
    yield Comparison(
        _flat(moves),
        step * _flat(spreads),
        logs_rounding + step * tolerance,
        "==",
        "log-probabilities move by η times the spread of the advantage on the support",
    )
    yield Comparison(
        _flat(sizes),
        _flat(spreads),
        2 * tolerance,
        "<=",
        "no spread on the support means advantage zero there",
        not is_exact(game.initial) or all(p.rational for p in instance.extra.get("points", ())),
    )
    if "points" in instance.extra:
        yield Comparison(
            _flat(changes),
            0,
            logs_rounding + step * tolerance,
            "==",
            "enumerated fixed points do not move",
        )


def _spread(table: Array, own: Array) -> Array:
    """Range of a table (..., A) over the actions in use."""
    someone = np.take_along_axis(table, own.argmax(axis=-1)[..., None], axis=-1)
    there = np.where(own > 0, table, someone)
    return largest(there) - smallest(there)


def _flat(parts: list[Array]) -> Array:
    return np.concatenate(parts, axis=-1)


def _vertex() -> Evaluation:
    """Evaluate a fixed point of the isolated 2x2 game that is no equilibrium: row 1, column 2."""
    game = catalogue.isolated().exact()
    pure = eye(2, game.initial)
    return Evaluation(game, (pure[[[0]]], pure[[[1]]]))


def _fixed_is_nash() -> Comparison:
    evaluation = _vertex()
    return Comparison(largest_gap(evaluation, evaluation.game.initial), 0, 0, "==")


def _zero_everywhere() -> Comparison:
    return Comparison(_vertex().advantages[0], 0, 0, "==")


def _euclidean_fixed() -> Comparison:
    evaluation = _vertex()
    own, q = evaluation.policy[0], evaluation.averaged_q[0]
    return Comparison(Euclidean().update(own, q / 10), own, 0, "==")


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
