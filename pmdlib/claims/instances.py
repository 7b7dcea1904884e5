"""Where instances come from: the families, the catalogue, and the hypotheses they must meet."""

from collections.abc import Iterator, Sequence

import numpy as np

from pmdlib.analysis.fixed_points import find_fixed_points
from pmdlib.analysis.policies import random_policy, replace
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, exact_rows
from pmdlib.claims.claim import Hypothesis, Instance, Sizes, value_rounding
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, GRID, random_shape
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame

#: Policies drawn for one game: from the middle of the simplex to next to its vertices.
CONCENTRATIONS = (1.0, 1.0, 1.0, 0.3, 0.1, 0.02)

#: Catalogue games that state a true potential and are small enough for hundreds of evaluations.
POTENTIAL_GAMES = (
    "stay-or-leave",
    "anti-coordination",
    "isolated",
    "slow-switch",
    "three-agents-degenerate",
    "half-face",
    "rider",
    "needle",
    "rare-visit",
    "routing-in-weather",
)

#: Games of the literature for claims that hold in every Markov game.
OTHER_GAMES = (
    "stage-potential-only",
    "pollution-tax",
    "demand-response",
    "routing-with-wear",
    "separate-worlds",
)


def mixed_policies(game: MarkovGame, rng: np.random.Generator) -> Policy:
    """Draw one policy for each of `CONCENTRATIONS`: N arrays (B, S, A_i)."""
    drawn = [random_policy(game, rng, concentration=value) for value in CONCENTRATIONS]
    return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))


def exact_policy(policy: Policy) -> Policy:
    """Turn a start of the catalogue into a batch of one, over rationals: N arrays (1, S, A_i)."""
    return tuple(exact_rows(own[None]) for own in policy)


def games(
    rng: np.random.Generator, sizes: Sizes, *, names: tuple[str, ...] = POTENTIAL_GAMES
) -> Iterator[tuple[str, TabularGame]]:
    """Yield named catalogue games, then random games of the four families for ever."""
    for name in names:
        yield f"catalogue:{name}", catalogue.CATALOGUE[name]()
    number = 0
    while True:
        for family, make in FAMILIES.items():
            shape = random_shape(
                rng,
                max_agents=sizes.agents,
                max_states=sizes.states,
                max_actions=sizes.actions,
                max_joint_actions=sizes.joint_actions,
            )
            yield f"{family}:{number}", make(rng, shape)
            number += 1


def potential_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield Markov potential games, each with a batch of policies of full support.

    Parameters
    ----------
    rng : numpy.random.Generator
    sizes : Sizes
        How large the random games may be; the named games come first.

    Yields
    ------
    Instance
        Its ``extra`` holds a deviation, for the hypothesis `IS_POTENTIAL`.
    """
    for source, game in games(rng, sizes):
        yield Instance(
            game, mixed_policies(game, rng), source, {"deviation": _deviation(game, rng)}
        )


def any_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield Markov games, potential or not, with policies, target policies and a moving agent.

    ``sizes`` limits how large they are; they never end.
    """
    for source, game in games(rng, sizes, names=POTENTIAL_GAMES + OTHER_GAMES):
        agent = int(rng.integers(game.num_agents))
        extra = {"target": mixed_policies(game, rng), "agent": agent}
        yield Instance(game, mixed_policies(game, rng), source, extra)


def runs(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield potential instances whose policies are the starts of runs of ``iterations`` updates."""
    for instance in potential_instances(rng, sizes):
        iterations = int(rng.integers(sizes.iterations // 12 + 1, sizes.iterations, endpoint=True))
        yield instance.with_extra(iterations=iterations)


def _deviation(game: MarkovGame, rng: np.random.Generator) -> tuple[int, Array]:
    """One agent and a policy of full support for it to deviate to, different in every state."""
    agent = int(rng.integers(game.num_agents))
    return agent, random_policy(game, rng)[agent]


def _potential_tracks_values(instance: Instance) -> Array:
    """Whether one random deviation changes the agent's value and the potential alike, (B,)."""
    agent, own = instance.extra["deviation"]
    before = instance.evaluation
    own = np.broadcast_to(own, instance.policy[agent].shape)
    after = Evaluation(instance.game, replace(instance.policy, agent, own))
    gain = after.values[:, agent] - before.values[:, agent]
    change = after.potential_values - before.potential_values
    return np.asarray((abs(gain - change) <= value_rounding(instance.game)).all(axis=-1))


IS_POTENTIAL = Hypothesis(
    "the stated potential tracks a random state-dependent deviation in every state",
    _potential_tracks_values,
)

POSITIVE = Hypothesis("the largest stage potential is positive", lambda i: i.game.phi_max > 0)

FULL_SUPPORT = Hypothesis(
    "every action has positive probability",
    lambda i: np.all([(own > 0).all(axis=(-1, -2)) for own in i.policy], axis=0),
)


def small_game(rng: np.random.Generator, *, degenerate: bool, agents: int = 2) -> TabularGame:
    """Draw a one-state game: identical interest or dummy terms, ties on request.

    Two agents have two or three actions each, more agents have two. Nothing is rounded.
    """
    most = 3 if agents == 2 else 2
    shape = tuple(int(m) for m in rng.integers(2, most, size=agents, endpoint=True))
    payoff = rng.integers(3, size=shape) / 2 if degenerate else _on_grid(rng, shape)
    payoff.flat[rng.integers(payoff.size)] = 1.0
    if rng.random() < 0.5:
        return catalogue.one_state(payoff)
    others = [[1 if j == i else m for j, m in enumerate(shape)] for i in range(agents)]
    rewards = [(payoff + rng.integers(3, size=term) / 2)[None] for term in others]
    return TabularGame(rewards, np.eye(1), discount=0.0, potential=payoff[None])


def two_state_game(
    rng: np.random.Generator, *, values: Sequence[float] | None = None
) -> TabularGame:
    """Draw a game of two states and two agents with two actions each; γ = 1/2.

    Identical interest; every joint action stays with a probability from 1/8, .., 7/8. Payoffs are
    drawn from ``values``, by default from the multiples of 1/`GRID`.
    """
    shape, stay = (2, 2, 2), rng.integers(1, 8, size=(2, 2, 2)) / 8
    reward = _on_grid(rng, shape) if values is None else rng.choice(values, size=shape)
    return TabularGame(reward, np.stack([stay, 1 - stay], axis=-1), discount=0.5)


def _on_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(1, GRID, size=shape, endpoint=True) / GRID


def fixed_point_instance(game: TabularGame, source: str, rng: np.random.Generator) -> Instance:
    """Collect the certified fixed points of a small game: all of them, one of each continuum.

    The exact twin of each is the point itself, over rationals or balls that enclose it, in the
    game over rationals for which it is certified. ``extra`` holds what is known of the ``points``,
    and a seed for each.
    """
    found = find_fixed_points(game)
    points, seeds = found.points, rng.integers(2**32, size=len(found.points))

    def twin(which: int) -> Instance:
        one = slice(which, which + 1)
        return Instance(
            found.game,
            tuple(own[None] for own in points[which].enclosure or ()),
            f"{source}, point {which}",
            {"points": points[one], "seeds": seeds[one]},
        )

    policy = tuple(np.stack(parts) for parts in zip(*(p.policy for p in points), strict=True))
    return Instance(game, policy, source, {"points": points, "seeds": seeds}, twin)
