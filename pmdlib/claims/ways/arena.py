"""Where an adversary searches: games of one size with their policies, as points of a box."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from pmdlib.arithmetic import Array
from pmdlib.claims.ways.attacks import DIGITS, RATIO_DECIMALS, ROUNDING_COST, nelder_mead
from pmdlib.claims.ways.worst import simple
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

#: Log-probabilities of policies and kernels stay within this of the middle: 1e-6 is the rarest.
RAREST = 7.0

#: Largest discount that a search may choose.
LARGEST_DISCOUNT = 0.9

#: What a measure is at most, also where it is infinite and would end a descent.
FAR = 1e6

#: Gain and move of a step so small that rounding decides their quotient: both are raised by this.
VANISHING = 1e-9


@dataclass(frozen=True)
class Arena:
    """Identical-interest games of one size with their policies, as points of a box.

    A point holds the payoffs, in [0, 1], and log-weights of every agent's policy; for several
    states also log-weights of the kernel and of ρ, and the discount.
    """

    num_actions: tuple[int, ...]
    num_states: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the payoffs (S, A_1, .., A_N)."""
        return (self.num_states, *self.num_actions)

    @property
    def limits(self) -> list[tuple[float, float]]:
        """Lower and upper end of each coordinate of the box."""
        weights, moves = self.num_states * sum(self.num_actions), self.num_states > 1
        if moves:
            weights += prod(self.shape) * self.num_states + self.num_states
        box = [(0.0, 1.0)] * prod(self.shape) + [(-RAREST, RAREST)] * weights
        return box + [(0.0, LARGEST_DISCOUNT)] * moves

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw a point: payoffs rounded or not, policies near the middle or not."""
        low, high = np.array(self.limits).T
        point = np.where(low < 0, rng.normal(size=len(low)) * rng.choice([0.5, 1.5]), high / 2)
        payoffs = rng.random(prod(self.shape)).round(int(rng.integers(0, 3)))
        payoffs[rng.integers(len(payoffs))] = 1.0
        point[: len(payoffs)] = payoffs
        return np.asarray(np.clip(point, low, high))

    def read(self, point: Array) -> tuple[TabularGame, Policy]:
        """Return the game, its largest payoff 1, and the policy (1, S, A_i) at a point."""
        sizes = [prod(self.shape), *[self.num_states * m for m in self.num_actions]]
        payoffs, *logs, rest = np.split(point, np.cumsum(sizes))
        policy = tuple(softmax(own.reshape(1, self.num_states, -1), axis=-1) for own in logs)
        table = payoffs.reshape(self.shape) / max(payoffs.max(), VANISHING)
        if self.num_states == 1:
            return TabularGame(table, np.eye(1), discount=0.0), policy
        kernel, initial, discount = np.split(rest, [-self.num_states - 1, -1])
        kernel = softmax(kernel.reshape(*self.shape, self.num_states), axis=-1)
        start = softmax(initial)
        return TabularGame(table, kernel, discount=float(discount[0]), initial=start), policy


def shorten(game: TabularGame, policy: Policy, digits: int) -> tuple[TabularGame, Policy]:
    """Round a game of identical interest and a policy to decimals, as exact rationals."""
    rounded = TabularGame(
        simple(game.potential, digits),
        _distributions(game.kernel, digits),
        discount=simple([game.discount], digits)[0],
        initial=_distributions(game.initial, digits),
    )
    return rounded, tuple(_distributions(own, digits) for own in policy)


def _distributions(rows: Array, digits: int) -> Array:
    """Round distributions to decimals; their largest entries take up the difference."""
    rounded = simple(rows, digits)
    largest = np.expand_dims(rows.argmax(axis=-1), -1)
    off = 1 - rounded.sum(axis=-1, keepdims=True)
    np.put_along_axis(
        rounded, largest, np.take_along_axis(rounded, largest, axis=-1) + off, axis=-1
    )
    return rounded


#: A measure takes a game and a policy, exact or in floats, to what is to be made small.
Measure = Callable[[TabularGame, Policy], float]


def descend(
    arena: Arena, measure: Measure, rng: np.random.Generator, starts: int
) -> tuple[TabularGame, Policy, float]:
    """Descend from random points; shorten the best one while the measure hardly changes."""

    def at(point: Array) -> float:
        if not point[: prod(arena.shape)].any():
            return FAR  # no payoff, no step
        return min(measure(*arena.read(point)), FAR)

    runs = [
        minimize(at, arena.draw(rng), method="L-BFGS-B", bounds=arena.limits) for _ in range(starts)
    ]
    best = min(runs, key=lambda run: float(run.fun))
    best = nelder_mead(at, best.x, bounds=arena.limits, maxfev=40 * len(arena.limits))
    for digits in DIGITS:
        game, policy = shorten(*arena.read(best.x), digits)
        kept = measure(game, policy)
        if kept <= best.fun * (1 + ROUNDING_COST) + ROUNDING_COST:
            break
    return game, policy, round(kept, RATIO_DECIMALS)
