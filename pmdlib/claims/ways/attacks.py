"""The adversary against one step: for given policies the worst payoffs are a linear program.

Fix the policies before and after a step. That the step leads from one to the other is linear in
the payoffs, and so is the gain of the potential: the worst payoffs in [0, 1] solve a linear
program. Outside it there is only the search over policies.

In a symmetric population of N agents with two actions, the payoffs c_0 .. c_N count who plays 1,
and the step is one equation Σ_k a_k c_k = t in a box: a fractional knapsack, solved by sorting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq
from scipy.optimize import minimize
from scipy.special import expit

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, to_float
from pmdlib.claims.one_step import Step
from pmdlib.claims.ways.worst import FIRST_FALLS, Attack, simple
from pmdlib.errors import PmdError
from pmdlib.games.aggregative import CountGame
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import MIRROR_MAPS

#: Smallest move that the search may use: below it, gains drown in rounding.
SMALLEST_MOVE = 2.0**-7

#: Slopes below this are zero: no payoff can matter through them.
NEGLIGIBLE = 1e-200

#: Decimals to try for a short instance, and how much of the ratio they may cost.
DIGITS, ROUNDING_COST = range(3, 15), 1e-7

#: What is minimised: how much of its first order a step keeps.
MEASURES = {"kl": "η · gain / Σ J", "euclidean": "η · gain / Σ ||D||²"}

#: Decimals to which a ratio that was computed in floats can be trusted, and is stored.
RATIO_DECIMALS = 9


# The linear program with one equation


def worst_payoffs(slopes: Array, gains: Array, target: Array) -> Array:
    """Minimise gains·c over c in [0, 1] with slopes·c = target.

    Start where slopes·c is smallest; then move the entries that cost least for each unit of the
    target, in that order.

    Parameters
    ----------
    slopes, gains : ndarray (..., K)
    target : ndarray (...)

    Returns
    -------
    ndarray (..., K); NaN where no c meets the equation.
    """
    order, sizes, _ = _by_price(slopes, gains)
    ends = np.minimum(slopes, 0).sum(axis=-1, keepdims=True) + sizes.cumsum(axis=-1)
    filled = (target[..., None] - (ends - sizes)) / np.maximum(sizes, NEGLIGIBLE)
    moved = np.take_along_axis(np.clip(filled, 0, 1), order.argsort(axis=-1), axis=-1)
    payoffs = np.where(slopes > 0, moved, 1 - moved)
    payoffs = np.where(abs(slopes) > NEGLIGIBLE, payoffs, gains < 0)
    begin = ends[..., :1] - sizes[..., :1]
    feasible = (begin <= target[..., None]) & (target[..., None] <= ends[..., -1:])
    return np.where(feasible, payoffs, np.nan)


def largest_losing_target(slopes: Array, gains: Array) -> Array:
    """Find the largest target for which some c in [0, 1] has slopes·c = target, gains·c <= 0.

    The least gain is convex and piecewise linear in the target, and at target 0 not positive.
    """
    _, sizes, prices = _by_price(slopes, gains)
    ends = np.minimum(slopes, 0).sum(axis=-1, keepdims=True) + sizes.cumsum(axis=-1)
    idle = np.where((slopes < 0) | ((slopes <= NEGLIGIBLE) & (gains < 0)), gains, 0)
    least = idle.sum(axis=-1, keepdims=True) + (sizes * prices).cumsum(axis=-1)
    # Where an interval ends with a loss, all of it counts; else up to where the gain is zero.
    before, begin = least - sizes * prices, ends - sizes
    crossing = begin - before / np.where(prices > 0, prices, np.inf)
    reached = np.where(least <= 0, ends, np.where(before <= 0, crossing, -np.inf))
    return np.asarray(reached.max(axis=-1))


def _by_price(slopes: Array, gains: Array) -> tuple[Array, Array, Array]:
    """Order entries by what a unit of the target costs; return order, |slopes| and prices."""
    matters = abs(slopes) > NEGLIGIBLE
    prices = np.divide(gains, slopes, out=np.full(gains.shape, np.inf), where=matters)
    order = prices.argsort(axis=-1, kind="stable")
    sizes = np.where(matters, abs(slopes), 0)
    ordered = np.take_along_axis(np.where(matters, prices, 0), order, axis=-1)
    return order, np.take_along_axis(sizes, order, axis=-1), ordered


# Symmetric populations


@dataclass(frozen=True)
class Population:
    """N agents with two actions and the same policy, all of whom take the same step.

    A place is a pair (x, log d): x says the probability p of action 1, by its log-odds for the KL
    step and as it is for the Euclidean one; d is how far the step moves x.
    """

    agents: int
    mirror_map: str

    def probabilities(self, places: Array) -> tuple[Array, Array, Array]:
        """Return p before and after the step, and d, for places (..., 2)."""
        x, move = places[..., 0], np.maximum(np.exp(places[..., 1]), self.smallest_move)
        if self.mirror_map == "kl":
            return expit(x), expit(x + move), move
        before = np.clip(x, 0, 1)
        return before, before + move, move

    @property
    def smallest_move(self) -> float:
        """Smallest d; the Euclidean step measures it in probability."""
        return SMALLEST_MOVE if self.mirror_map == "kl" else SMALLEST_MOVE / self.agents

    def program(self, places: Array) -> tuple[Array, Array, Array, Array]:
        """Return slopes, gains (..., N + 1), the target at ηQmax = 1, and Σ J or Σ ||D||²."""
        from scipy.stats import binom  # half a second to import, which only a search should pay

        before, after, move = self.probabilities(places)
        others = binom.pmf(np.arange(self.agents), self.agents - 1, before[..., None])
        slopes = -np.diff(others, prepend=0, append=0, axis=-1)
        counts = np.arange(self.agents + 1)
        gains = binom.pmf(counts, self.agents, np.minimum(after, 1)[..., None])
        gains = gains - binom.pmf(counts, self.agents, before[..., None])
        if self.mirror_map == "kl":
            moved = self.agents * (after - before) * move
            return slopes, np.asarray(gains), move, moved
        target = np.where(after <= 1, 2 * move, np.inf)  # beyond the simplex there is no step
        return slopes, np.asarray(gains), target, 2 * self.agents * move**2

    def payoffs(self, places: Array, q_step: float) -> Array:
        """Worst payoffs by count, (..., N + 1).

        ``places`` (..., 2) are points of the search, ``q_step`` is ηQmax.
        """
        slopes, gains, target, _ = self.program(places)
        return worst_payoffs(slopes, gains, target / q_step)

    def ratio(self, places: Array, q_step: float) -> Array:
        """Least gain · η / Σ J (or Σ ||D||²) over payoffs; infinite where there is no step.

        ``places`` (..., 2) are points of the search, ``q_step`` is ηQmax.
        """
        slopes, gains, target, moved = self.program(places)
        gain = (gains * worst_payoffs(slopes, gains, target / q_step)).sum(axis=-1)
        return np.where(np.isnan(gain), np.inf, q_step * gain / moved)

    def failing_step(self, places: Array) -> Array:
        """Smallest ηQmax for which this very step may lose; infinite where there is no step."""
        slopes, gains, target, _ = self.program(places)
        return np.asarray(target / largest_losing_target(slopes, gains))

    def minimise(self, measure: Callable[[Array], Array]) -> Array:
        """Search the places: a grid, then Nelder-Mead from its three best."""
        if self.mirror_map == "kl":
            x = np.linspace(-4 - np.log(self.agents), 2, 61)
            moves = np.linspace(np.log(self.smallest_move), 1.5, 41)
        else:
            x, moves = np.linspace(0, 1, 61) ** 2, np.linspace(np.log(self.smallest_move), 0, 41)
        places = np.stack(np.meshgrid(x, moves), axis=-1).reshape(-1, 2)
        best = places[np.argsort(measure(places))[:3]]
        found = [nelder_mead(lambda x: float(measure(x)), start) for start in best]
        return np.asarray(min(found, key=lambda result: float(result.fun)).x)


def nelder_mead(
    measure: Callable[[Array], float],
    start: Array,
    *,
    bounds: list[tuple[float, float]] | None = None,
    maxfev: int = 1200,
) -> Any:
    """Descend without derivatives, as far as rounding lets the measure be told apart."""
    options: Any = {"xatol": 1e-9, "fatol": 1e-13, "maxfev": maxfev}
    return minimize(measure, start, method="Nelder-Mead", bounds=bounds, options=options)


def gain_and_move(
    game: CountGame | TabularGame, policy: Policy, mirror_map: str, q_step: float
) -> tuple[float, float]:
    """Take a step in floats: η · gain, and Σ J (KL) or Σ ||D||² (Euclidean).

    Parameters
    ----------
    game : CountGame or TabularGame
        Identical interest, one state.
    policy : tuple of N arrays (1, 1, A_i)
    mirror_map : "kl" or "euclidean"
    q_step : float
        ηQmax.
    """
    floats = game.rounded()
    before = Evaluation(floats, tuple(to_float(own) for own in policy))
    taken = Step(before, MIRROR_MAPS[mirror_map], q_step / floats.phi_max)
    moved = taken.divergences if mirror_map == "kl" else taken.squares
    return float(taken.size * taken.one_state_gain[0, 0]), float(moved[0, 0])


def share(game: CountGame | TabularGame, policy: Policy, mirror_map: str, q_step: float) -> float:
    """Quotient of the two parts of `gain_and_move`: 1 in the limit of small steps.

    ``q_step`` is ηQmax.
    """
    gain, moved = gain_and_move(game, policy, mirror_map, q_step)
    return round(gain / moved, RATIO_DECIMALS)


def _short_instance(
    population: Population, place: Array, q_step: float
) -> tuple[CountGame, Policy, float]:
    """Round a place and its worst payoffs to few decimals; return the share that is left."""
    payoffs = population.payoffs(place, q_step)
    probability = float(population.probabilities(place)[0])
    aim = float(population.ratio(place, q_step)) + ROUNDING_COST
    for digits in DIGITS:
        own = simple([1 - probability, probability], digits)
        own[0] = 1 - own[1]
        game = CountGame(simple(payoffs, digits))
        policy = (own[None, None],) * population.agents
        kept = share(game, policy, population.mirror_map, q_step)
        if kept <= aim:
            break
    return game, policy, kept


def _attack_population(
    claim: str, num_agents: int, q_step: float, *, step: str, proved: float, **extra: fmpq
) -> Attack:
    """Find the symmetric population that gains least from a step, for its first order."""
    if num_agents < 2 or not 0 < q_step < np.inf:
        raise PmdError(
            f"num_agents is {num_agents} and ηQmax is {q_step:g}: an attack needs at least two "
            "agents, whose steps can interfere, and a positive finite step"
        )
    mirror_map = "kl" if "kl" in claim else "euclidean"
    population = Population(num_agents, mirror_map)
    place = population.minimise(lambda places: population.ratio(places, q_step))
    game, policy, ratio = _short_instance(population, place, q_step)
    return Attack(
        claim=claim,
        case=f"symmetric, N = {num_agents}, {step}",
        measure=MEASURES[mirror_map],
        ratio=ratio,
        proved=proved,
        found="linear program over payoffs by count, Nelder-Mead over p and the move",
        game=game,
        policy=policy,
        extra=extra,
    )


def exchangeable_kl_attack(num_agents: int, q_step: float) -> Attack:
    """Attack the constant KL step at ηQmax = ``q_step``: proved is 1 - ηQmax/2."""
    units = fmpq(*float(q_step).as_integer_ratio())
    return _attack_population(
        "improvement-kl-constant-step",
        num_agents,
        q_step,
        step=f"ηQmax = {q_step:.6g}",
        proved=1 - q_step / 2,
        units=units,
    )


def exchangeable_euclidean_attack(num_agents: int, units: float) -> Attack:
    """Attack the Euclidean step at η = ``units``/(Qmax Λ): proved is 1 - ηQmaxΛ/4."""
    return _attack_population(
        "improvement-euclidean-sharp",
        num_agents,
        units / largest_interaction(num_agents),
        step=f"ηQmaxΛ = {units:.6g}",
        proved=1 - units / 4,
        units=fmpq(*float(units).as_integer_ratio()),
    )


def paper_step_attack(num_agents: int, mirror_map: str) -> Attack:
    """Attack the step of the paper, at which one half is proved."""
    if mirror_map == "kl":
        q_step = bounds.step_kl(phi_max=1.0, discount=0.0, num_agents=num_agents)
    else:
        actions = (2,) * num_agents
        q_step = bounds.step_euclidean(phi_max=1.0, discount=0.0, num_actions=actions)
    claim = f"improvement-{mirror_map}"
    return _attack_population(claim, num_agents, q_step, step="the paper's step", proved=0.5)


def largest_interaction(num_agents: int) -> float:
    """Λ of so many agents with two actions, 2(N - 1); see `bounds.interaction_norm`."""
    return 2.0 * (num_agents - 1)


def first_fall(num_agents: int, mirror_map: str = "kl") -> Attack:
    """Find the smallest ηQmax at which a step makes the potential of a symmetric population fall.

    The ratio of the attack is that ηQmax, with the margin that rounding asks for, and ``proved``
    is the largest one that is proved safe: 2 for KL, 4/Λ for the Euclidean step.
    """
    population = Population(num_agents, mirror_map)
    place = population.minimise(population.failing_step)
    least = float(population.failing_step(place))
    scale = 10 ** np.ceil(3.5 - np.log10(least))  # a little above, to four digits or so
    q_step = float((np.ceil(least * scale) + 1) / scale)
    game, policy, kept = _short_instance(population, place, q_step)
    if not kept < 0:
        raise PmdError(f"the step ηQmax = {q_step} was to lose, and gains {kept:.3g}")
    safe = 2.0 if mirror_map == "kl" else 4 / largest_interaction(num_agents)
    return Attack(
        claim=FIRST_FALLS[mirror_map],
        case=f"symmetric, N = {num_agents}",
        measure="ηQmax at which the potential falls",
        ratio=q_step,
        proved=safe,
        found="largest losing target of the linear program, Nelder-Mead over p and the move",
        game=game,
        policy=policy,
        extra={"step": simple([q_step], 7)[0]},
    )


def smallest_failing_step(num_agents: int, mirror_map: str = "kl") -> float:
    """Return the smallest ηQmax found at which the potential of a symmetric population falls."""
    population = Population(num_agents, mirror_map)
    return float(population.failing_step(population.minimise(population.failing_step)))
