"""How the largest step that always improves depends on the number of agents.

For N agents with m actions each let η_E(N) and η_KL(N) be the largest ηQmax up to which a step
lowers the potential of no game. Two theorems bound them from below; for every N there is a game
that bounds them from above. So slopes on log-log axes are known before anything is fitted.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.policies import random_policy
from pmdlib.analysis.power_laws import slope_band, slope_weights
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, Ball, is_exact, log, rationals, to_exact, to_float
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.instances import POSITIVE
from pmdlib.claims.one_step import Step
from pmdlib.claims.ways.attacks import Population
from pmdlib.games import catalogue
from pmdlib.games.aggregative import CountGame, TeamGame
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import Profile, Roster
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap

#: Largest steps in 1/Qmax: the Euclidean one is this over Λ, safe by theorem; half-face falls
#: beyond twice it. The KL one is safe up to 2; `catalogue.one_or_two` falls at 4.2, for every N.
SAFE, HALF_FACE = {"euclidean": 4, "kl": 2}, 8
ONE_OR_TWO = fmpq(21, 5)

#: How far above the safe steps the failing ones lie that are known for every N; see `found_step`.
GAP = fmpq(21, 10)

#: δ of the half-face game where a threshold is measured: what it adds to the threshold is of this
#: relative size.
DELTA = fmpq(1, 1000)

TITLES = {"euclidean": "Euclidean", "kl": "KL"}

#: Halvings of the bracket in which a threshold is sought.
HALVINGS = 12


def change(game: MarkovGame, policy: Policy, mirror_map: MirrorMap, step: Any) -> Array:
    """Change of the potential of a one-state game in one step of all agents, (...).

    Agents who share a policy are moved once, so that it costs the same for any number of them.
    """
    taken = Step(Evaluation(game, policy), mirror_map, step)
    change = taken.after.potential_values - taken.before.potential_values
    return np.asarray(change[..., 0])


def half_face_change(agents: int, actions: int, q_step: Any, delta: Any) -> Any:
    """Change of the potential of `catalogue.half_face_team` in one Euclidean step at ηQmax.

    (1-x)^{N-1} (1 - δ + x (N - 1 + δ)) - (1-δ), where each agent crosses with probability
    x = ηδw²/4, as long as x <= 1 [derived].

    ``agents`` is N, ``actions`` the number of actions of each, ``q_step`` is ηQmax and ``delta`` is
    δ.
    """
    crossing = q_step * delta * _as(is_exact(delta), _width(actions)) / 4
    stay = (1 - crossing) ** (agents - 1)
    return stay * (1 - delta + crossing * (agents - 1 + delta)) - (1 - delta)


def half_face_loss(agents: int, factor: Any, delta: Any) -> Any:
    """Least loss of the half-face game at ηQmaxΛ = 8·factor, N x δ (f - 1 - δ f (2f - 1)).

    Positive for every N and m if δ < (f-1)/(f(2f-1)), so that no step beyond 8/Λ is safe [beyond].
    The proof expands `half_face_change`, with (1-x)^n <= 1 - nx + n(n-1)x²/2, n = N - 1.
    """
    crossing = 2 * factor * delta / (agents - 1)
    return agents * crossing * delta * (factor - 1 - delta * factor * (2 * factor - 1))


def _width(actions: int) -> fmpq:
    """w² of `bounds.interaction_norm`: Λ = (N - 1) w² if all agents have so many actions."""
    return fmpq(4 * (actions // 2) * ((actions + 1) // 2), actions)


def safe_step(agents: int, actions: int, mirror_map: str) -> fmpq:
    """Return the largest ηQmax that is proved never to lower the potential: 4/Λ, or 2.

    ``actions`` is the number of actions of each of the ``agents``.
    """
    if mirror_map == "kl":
        return fmpq(SAFE["kl"])
    return SAFE["euclidean"] / ((agents - 1) * _width(actions))


@cache
def found_step(agents: int, actions: int, mirror_map: str, exact: bool) -> Any:
    """Step ηQmax at which the worst game known for every N stops to rise, by bisection.

    Half-face for the Euclidean step, one-or-two for KL: the potential rises at the safe step and
    falls at `GAP` times it, and both are checked. ``actions`` is the number of actions of each of
    the ``agents``.

    Returns
    -------
    float, or a ball that is certain to hold such a step if ``exact``
    """
    chosen: MirrorMap = KL() if mirror_map == "kl" else Euclidean()
    if mirror_map == "kl":
        game, start = _one_or_two(agents, exact)
    else:
        game, start = _half_face(agents, actions, DELTA, exact)

    def rises(step: fmpq) -> bool:
        return bool(change(game, start, chosen, _as(exact, step)) > 0)

    low = safe_step(agents, actions, mirror_map)
    high = GAP * low
    if not rises(low) or rises(high):
        return fmpq(0) if exact else np.nan  # nothing holds of its logarithm
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) else (low, middle)
    return Ball(low).union(Ball(high)) if exact else float(to_float(low + high)) / 2


def _half_face(agents: int, actions: int, delta: Any, exact: bool) -> tuple[TeamGame, Profile]:
    game = catalogue.half_face_team(agents, actions, delta=_as(exact, delta))
    return game, catalogue.half_face_team_start(agents, actions, exact=exact)


def _one_or_two(agents: int, exact: bool) -> tuple[TeamGame, Profile]:
    game = catalogue.one_or_two(agents)
    return game.exact() if exact else game, catalogue.one_or_two_start(agents, exact=exact)


def others(grid: tuple[int, ...], exact: bool) -> Array:
    """Numbers of other agents N - 1, exact or not: slopes are fitted over their logarithms."""
    counts = np.array(grid) - 1
    return rationals(counts, np.ones_like(counts)) if exact else counts.astype(float)


def found_slope(grid: tuple[int, ...], actions: int, mirror_map: str, exact: bool) -> Any:
    """Least-squares slope of log `found_step` over log(N - 1), on a grid of N; exact: a ball."""
    steps = [found_step(agents, actions, mirror_map, exact) for agents in grid]
    return slope_weights(others(grid, exact)) @ log(np.array(steps))


# The claim

#: What `catalogue.one_or_two` loses at least at ηQmax = 4.2, of 1: least for two agents.
LEAST_LOSS = fmpq(9, 10_000)

#: Relative rounding of a step from the linear program: a gain is a difference of probabilities
#: over the square of a move, and `attacks.SMALLEST_MOVE` is 2^-7.
PROGRAM_ROUNDING = 2.0**-30

#: Rounding of a slope: sums of a few logarithms.
SLOPE_ROUNDING = 2.0**-40


def _sides(instance: Instance) -> Iterator[Comparison]:
    game, exact = instance.game, is_exact(instance.game.initial)
    agents, actions = game.num_agents, game.num_actions[0]
    tolerance, once = value_rounding(game), np.arange(instance.count) == 0

    for mirror_map in () if exact else SAFE:
        safe = float(to_float(safe_step(agents, 2, mirror_map)))
        places = np.array(instance.extra[mirror_map])
        failing = Population(agents, mirror_map).failing_step(places).min(axis=-1)
        part = f"{TITLES[mirror_map]}: what fails first, whatever the payoffs by count"
        yield Comparison(failing, safe, PROGRAM_ROUNDING * safe, ">=", part)

    step = SAFE["euclidean"] / bounds.interaction_norm(game.num_actions, like=game.phi_max)
    rise = change(game, instance.policy, Euclidean(), step / game.phi_max)
    yield Comparison(rise, 0, tolerance, ">=", "Euclidean: no fall at 4/(Qmax Λ)")
    rise = change(game, instance.policy, KL(), SAFE["kl"] / game.phi_max)
    yield Comparison(rise, 0, tolerance, ">=", "KL: no fall at 2/Qmax")

    factor = to_exact(instance.extra["factor"])
    delta = (factor - 1) / (2 * factor * (2 * factor - 1))
    beyond = factor * HALF_FACE / ((agents - 1) * _width(actions))
    fall = change(*_half_face(agents, actions, delta, exact), Euclidean(), _as(exact, beyond))
    lost = _as(exact, half_face_loss(agents, factor, delta))
    part = "Euclidean: half-face falls beyond 8/(Qmax Λ)"
    yield Comparison(_each(-fall, once), lost, tolerance, ">=", part, once)
    closed = half_face_change(agents, actions, _as(exact, beyond), _as(exact, delta))
    part = "Euclidean: change of half-face, closed form"
    yield Comparison(_each(fall, once), closed, tolerance, "==", part, once)
    fall = change(*_one_or_two(agents, exact), KL(), _as(exact, ONE_OR_TWO))
    part = "KL: one-or-two falls at 4.2/Qmax"
    yield Comparison(_each(-fall, once), _as(exact, LEAST_LOSS), tolerance, ">=", part, once)

    grid = instance.extra["grid"]
    for mirror_map, slope in (("euclidean", -1), ("kl", 0)):
        band = slope_band(others(grid, exact), _as(exact, GAP)) if grid else 0
        found = found_slope(grid, actions, mirror_map, exact) if grid else 0
        away = _each(abs(found - slope), once)
        part = f"{TITLES[mirror_map]}: slope {slope} over N - 1, but for what a factor 2.1 allows"
        yield Comparison(away, band, SLOPE_ROUNDING, "<=", part, once & bool(grid))


def _each(side: Any, like: Array) -> Array:
    """Give a side the axis of policies."""
    return np.broadcast_to(side, like.shape)


def _as(exact: bool, number: fmpq) -> Any:
    """Return a rational as it is, or as a float."""
    return number if exact else float(to_float(number))


#: Numbers of agents for which steps are found and a slope is fitted, at the size of an instance.
GRID = (2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025)

#: Policies of an instance, the first of which is the one that its payoffs are the worst for; and
#: places of `Population` for each, where the linear program is solved.
POLICIES, PLACES = 4, 16

#: Payoffs are multiples of one over this, so that rationals stay short.
PAYOFFS = 1024


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield teams of one state: a grid for each of three action sets, then random sizes for ever.

    The number of agents goes up to a quarter of the joint actions that a dense game may have.
    """
    most = sizes.joint_actions // 4
    grid = tuple(agents for agents in GRID if agents <= most)
    for actions in (2, 3, 4):
        game, _ = _half_face(grid[-1], actions, DELTA, exact=False)
        yield _instance(game, rng, f"half-face, N = {grid[-1]}, m = {actions}", grid=grid)
    while True:
        agents = round(2 * (most / 2) ** rng.random())
        for mirror_map in SAFE:
            game, probability = _worst_payoffs(agents, mirror_map, rng)
            source = f"worst payoffs for {mirror_map}, N = {agents}"
            yield _instance(game, rng, source, probability=probability)
        actions = int(rng.integers(2, 4, endpoint=True))
        yield _instance(
            _random_team(agents, actions, rng), rng, f"random, N = {agents}, m = {actions}"
        )


def _instance(
    game: TeamGame,
    rng: np.random.Generator,
    source: str,
    *,
    probability: float | None = None,
    grid: tuple[int, ...] = (),
) -> Instance:
    """Add policies: all agents alike or all different, in the middle or next to a vertex."""
    policy = random_policy(game, rng, concentration=rng.choice([0.1, 1.0]), batch=(POLICIES,))
    stack = policy.stacks[0] if isinstance(policy, Profile) else np.stack(policy)
    stack[:, :2] = stack[:1, :2]  # the first two: all alike
    if probability is not None:
        stack[:, 0] = 1 - probability, probability
    alike = Profile([stack], Roster.apart(game.populations))
    factor = 1 + float(rng.integers(1, 8, endpoint=True)) / 8
    places = {
        mirror_map: [_places(game.num_agents, mirror_map, rng, PLACES) for _ in range(POLICIES)]
        for mirror_map in SAFE
    }
    return Instance(game, alike, source, {"factor": factor, "grid": grid, **places})


def _places(agents: int, mirror_map: str, rng: np.random.Generator, count: int) -> Array:
    """Draw places of `Population`: rare or common actions, small and large moves, (count, 2)."""
    rare = np.where(
        rng.random(count) < 0.5, rng.uniform(0.2, 2, count) / agents, rng.uniform(0, 0.6, count)
    )
    reach = rng.uniform(0.01, 1, count)
    if mirror_map == "kl":
        return np.stack([np.log(rare / (1 - rare)), np.log(2 * reach)], axis=-1)
    return np.stack([rare * (rng.random(count) < 0.7), np.log(reach / agents)], axis=-1)


def _worst_payoffs(
    agents: int, mirror_map: str, rng: np.random.Generator
) -> tuple[TeamGame, float]:
    """Payoffs by count that lose most in a safe step from a random place; see `attacks`."""
    population = Population(agents, mirror_map)
    q_step = float(to_float(safe_step(agents, 2, mirror_map)))
    while True:
        (place,) = _places(agents, mirror_map, rng, 1)
        payoffs = population.payoffs(place, q_step)
        if not np.isnan(payoffs).any() and payoffs.max() > 0:
            rounded = np.round(payoffs * PAYOFFS) / PAYOFFS
            if rounded.max() > rounded.min():
                return CountGame(rounded), float(population.probabilities(place)[0])


def _random_team(agents: int, actions: int, rng: np.random.Generator) -> TeamGame:
    """Draw payoffs by the loads of two facilities: of zeros and ones, or any."""
    table = rng.integers(0, PAYOFFS, size=(1, 2, agents + 1), endpoint=True) / PAYOFFS
    if rng.random() < 0.5:
        table = np.round(table)
    table[0, 0, 0] = 1.0
    bundles = [(0,), (1,), (), (0, 1)][:actions]
    return TeamGame(table, [(agents, bundles)])


# Controls


def _serves(actions: int, agents: int, q_step: fmpq) -> Comparison:
    """ΔΦ >= 0 on the half-face game, at a Euclidean step that is too large for so many agents."""
    game, start = _half_face(agents, actions, DELTA, exact=True)
    return Comparison(change(game, start, Euclidean(), q_step), 0, 0, ">=")


def _kl_shrinks(agents: int, q_step: Any) -> Comparison:
    """ΔΦ <= 0 on one-or-two at a step where a shrinking threshold would have it fall."""
    game, start = _one_or_two(agents, exact=True)
    return Comparison(change(game, start, KL(), q_step), 0, 0, "<=")


#: Grid of the controls that fit a slope.
CONTROL_GRID = (2, 5, 17, 65)


def _slope(mirror_map: str, claimed: Any, relation: Any) -> Comparison:
    slope = found_slope(CONTROL_GRID, 2, mirror_map, exact=True)
    return Comparison(np.array([slope]), claimed, 0, relation)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="player-scaling",
        tag="beyond",
        label="the largest step that always improves, against N",
        statement=(
            r"\frac{4}{(N-1)\,w^2} \le \eta_E(N)\,Q_{\max} \le \frac{8}{(N-1)\,w^2},"
            r" \qquad 2 \le \eta_{KL}(N)\,Q_{\max} \le 4.2 \qquad \text{for every } N \ge 2"
        ),
        notebook="09-many-players",
        hypotheses=(POSITIVE,),
        instances=_instances,
        compare=_sides,
        controls=(
            Control(
                "euclidean-constant",
                "the safe Euclidean step of two agents, 4/Λ = 2, serves sixteen; half-face",
                partial(_serves, 2, 16, safe_step(2, 2, "euclidean")),
            ),
            Control(
                "euclidean-root",
                "the safe Euclidean step shrinks like (N-1)^-1/2: 2/8 for 65 agents; half-face",
                partial(_serves, 2, 65, fmpq(1, 4)),
            ),
            Control(
                "euclidean-beyond-8",
                "safe up to 8.08/Λ for 65 agents with three actions; half-face",
                partial(_serves, 3, 65, fmpq(808, 100) / (64 * _width(3))),
            ),
            Control(
                "kl-root",
                "the failing KL step shrinks like (N-1)^-1/2: one-or-two falls at 4/8 for N = 65",
                partial(_kl_shrinks, 65, fmpq(1, 2)),
            ),
            Control(
                "slope-euclidean",
                "slope -1/2 or more of the Euclidean steps found, N = 2, 5, 17, 65",
                partial(_slope, "euclidean", fmpq(-1, 2), ">="),
            ),
            Control(
                "slope-kl",
                "slope -1/2 or less of the KL steps found, N = 2, 5, 17, 65",
                partial(_slope, "kl", fmpq(-1, 2), "<="),
            ),
        ),
        sizes={"quick": 120, "full": 800},
    ),
)
