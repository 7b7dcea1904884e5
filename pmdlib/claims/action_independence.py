"""How the two steps depend on the number of actions: KL does not see copies, Euclidean counts them.

Split an action into copies that nothing tells apart. A KL step multiplies the mass of each copy by
the same number, so it does to their sum what it does to the action: merging copies commutes with
the step. The Euclidean step adds the same number to each copy, so the sum moves as many times.

For two agents the largest step that always improves is known for every number of actions m: ηQmax
is 4 for KL, and 4/w² for the Euclidean step, w² = 4 ⌊m/2⌋ ⌈m/2⌉ / m, which is m if m is even.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.equilibrium import constants_c, largest_gap
from pmdlib.analysis.policies import random_policy
from pmdlib.analysis.power_laws import slope_band, slope_weights
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import (
    UNIT_ROUNDOFF,
    Array,
    Ball,
    is_exact,
    log,
    rationals,
    to_exact,
    to_float,
)
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.instances import FULL_SUPPORT, exact_policy, mixed_policies, potential_instances
from pmdlib.claims.one_step import POTENTIAL, Step, phi
from pmdlib.claims.ways.symbolic import distributions, symbols
from pmdlib.games import catalogue
from pmdlib.games.aggregative import TeamGame
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap
from pmdlib.learning.pmd import run_pmd

#: For each agent, of which action each of its actions is a copy.
Labels = Sequence[Sequence[int]]

# Splitting and merging


def split(game: TabularGame, labels: Labels) -> TabularGame:
    """Return the game in which action k of agent i is a copy of its action ``labels[i][k]``."""
    picks = np.ix_(range(game.num_states), *labels)
    table = [rewards[picks] for rewards in game.rewards]
    kernel = game.kernel
    if not game.exogenous:
        kernel = kernel[np.ix_(range(game.num_states), *labels, range(game.num_states))]
    return TabularGame(
        table[0] if game.identical_interest else table,
        kernel,
        discount=game.discount,
        initial=game.initial,
        potential=game.potential[picks] if game.has_potential else None,
    )


def merged_game(game: MarkovGame, labels: Labels) -> MarkovGame:
    """Return the game with the first copy of every action, and no other."""
    first = [[own.index(a) for a in range(max(own) + 1)] for own in map(list, labels)]
    if isinstance(game, TabularGame):
        return split(game, first)
    if not isinstance(game, TeamGame):
        raise TypeError(f"a {type(game).__name__} cannot be merged")
    (size, bundles), *_ = game.bundles  # one population: all agents have the same actions
    return TeamGame(game.payoffs, [(size, [bundles[k] for k in first[0]])])


def merged(policy: Policy, labels: Labels) -> tuple[Array, ...]:
    """Add up the probabilities of all copies of an action: N arrays (..., S, A_i)."""
    copies = [np.equal.outer(own, np.arange(max(own) + 1)).astype(int) for own in labels]
    return tuple(own @ table for own, table in zip(policy, copies, strict=True))


def duplicated(policy: Policy, labels: Labels) -> tuple[Array, ...]:
    """Share the probability of every action evenly among its copies; inverse to `merged`.

    ``labels[i][k]`` is the action of agent i whose copy its action k is.
    """
    shared = []
    for own, of in zip(policy, labels, strict=True):
        counts = to_exact(np.bincount(of)) if is_exact(own) else np.bincount(of)
        shared.append((own / counts)[..., list(of)])
    return tuple(shared)


def needles(num_agents: int, actions: int, good: int = 1) -> TeamGame:
    """Return a team in which every agent has so many good actions: φ is the share who play one."""
    share = rationals(np.arange(num_agents + 1), np.full(num_agents + 1, num_agents))
    bundles = [(0,)] * good + [()] * (actions - good)
    return TeamGame(to_float(share)[None, None], [(num_agents, bundles)])


def buttons(actions: int, *, exact: bool = False) -> TeamGame:
    """Return anti-coordination of two agents, each with two choices on m buttons.

    ⌈m/2⌉ of the buttons are copies of the first choice.

    ``actions`` is m; ``exact`` gives payoffs over rationals.
    """
    payoffs = np.array([[[0, 1, 0]]])
    near = (actions + 1) // 2
    table = to_exact(payoffs) if exact else payoffs.astype(float)
    return TeamGame(table, [(2, [()] * near + [(0,)] * (actions - near))])


def _button_labels(actions: int) -> Labels:
    near = (actions + 1) // 2
    return ((0,) * near + (1,) * (actions - near),) * 2


def button_start(actions: int, offset: fmpq) -> tuple[Array, ...]:
    """Both agents make the first choice with probability ½ + offset, its buttons evenly; exact.

    ``actions`` is the number m of buttons of each.
    """
    own = np.array([[[fmpq(1, 2) + offset, fmpq(1, 2) - offset]]])
    return duplicated((own, own), _button_labels(actions))


def width(actions: int) -> fmpq:
    """w² = 4 ⌊m/2⌋ ⌈m/2⌉ / m, at most m; see `bounds.interaction_norm`."""
    return fmpq(4 * (actions // 2) * ((actions + 1) // 2), actions)


# Instances


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield potential games with copied actions, and every third time buttons; a grid once."""
    fewer = replace(sizes, joint_actions=max(sizes.joint_actions // 4, 4))
    grid = tuple(m for m in GRID if m <= sizes.joint_actions)
    yield _button_instance(rng, grid[-1], grid)
    for number, instance in enumerate(potential_instances(rng, fewer)):
        game, labels = instance.game, _draw_labels(rng, instance.game, sizes.joint_actions)
        copied = split(game, labels)
        agent = int(rng.integers(game.num_agents))
        extra = {
            "labels": labels,
            "units": float(rng.uniform(0.1, 4.0)),
            "deviation": (agent, random_policy(copied, rng)[agent]),
        }
        yield Instance(copied, mixed_policies(copied, rng), f"{instance.source}, split", extra)
        if number % 2:
            yield _button_instance(rng, round(2 * (grid[-1] / 2) ** rng.random()), ())


def _draw_labels(rng: np.random.Generator, game: MarkovGame, most: int) -> Labels:
    """Give every action one copy and a few at random more, while the game stays small."""
    labels = [list(range(actions)) for actions in game.num_actions]
    for _ in range(2 * game.num_agents):
        own = labels[int(rng.integers(game.num_agents))]
        if np.prod([len(other) for other in labels]) * (len(own) + 1) <= most * len(own):
            own.append(int(rng.integers(max(own) + 1)))
    return tuple(tuple(int(a) for a in rng.permutation(own)) for own in labels)


def _button_instance(rng: np.random.Generator, actions: int, grid: tuple[int, ...]) -> Instance:
    offset = fmpq(int(rng.integers(1, 9)), 64)
    start = button_start(actions, offset)
    deviation = (0, to_float(start[0][0]))
    extra = {
        "labels": _button_labels(actions),
        "units": float(rng.integers(1, 33)) / 8,
        "deviation": deviation,
        "offset": offset,
        "factor": 1 + fmpq(int(rng.integers(1, 5)), 8),
        "grid": grid,
    }
    source = f"buttons, m = {actions}"
    exact = extra | {"deviation": (0, start[0][0]), "units": to_exact(extra["units"])}
    twin = Instance(buttons(actions, exact=True), start, source, exact)
    floats = tuple(to_float(own) for own in start)
    return Instance(buttons(actions), floats, source, extra, lambda _: twin)


# Sides


def _sides(instance: Instance) -> Iterator[Comparison]:
    yield from _merging(instance)
    game, labels, tolerance = instance.game, instance.extra["labels"], value_rounding(instance.game)
    constant = bounds.step_kl_constant(**phi(game))
    taken = Step(instance.evaluation, KL(), constant)
    plain = Step(_merged_evaluation(instance), KL(), constant)
    coefficient = bounds.improvement_coefficient(step=constant, discount=game.discount)
    part = "inequality of Proposition V.5 at (1-γ)/φmax, divergences without copies"
    right = coefficient * plain.visited(plain.divergences)
    yield Comparison(taken.change, right, tolerance, ">=", part)
    if game.num_agents == 2:
        taken = Step(instance.evaluation, KL(), 4 * constant)
        yield Comparison(taken.change, 0, tolerance, ">=", "KL, two agents: no fall at 4/Qmax")
    if "offset" in instance.extra:
        yield from _thresholds(instance, len(labels[0]))
    if instance.extra.get("grid"):
        yield from _slopes(instance)


def _merged_evaluation(instance: Instance) -> Evaluation:
    labels = instance.extra["labels"]
    return Evaluation(merged_game(instance.game, labels), merged(instance.policy, labels))


def _merging(instance: Instance) -> Iterator[Comparison]:
    """Compare a step in the game with copies with the step in the game without."""
    game, labels = instance.game, instance.extra["labels"]
    exact = is_exact(game.initial)
    tolerance = value_rounding(game)
    with_copies, without = instance.evaluation, _merged_evaluation(instance)
    step = instance.extra["units"] * (1 - game.discount) / game.phi_max
    moved, plain = Step(with_copies, KL(), step), Step(without, KL(), step)
    rounded = 0 if exact else 4 * step * tolerance + 64 * sum(game.num_actions) * UNIT_ROUNDOFF
    yield Comparison(
        _flat(merged(moved.after.policy, labels)),
        _flat(plain.after.policy),
        rounded,
        "==",
        "KL: merging the copies commutes with the step",
    )
    copies = (q[..., list(of)] for q, of in zip(without.averaged_q, labels, strict=True))
    part = "the averaged Q of a copy is that of its action"
    yield Comparison(_flat(with_copies.averaged_q), _flat(copies), tolerance, "==", part)
    left, right = (
        np.concatenate(
            [evaluation.potential_values, largest_gap(evaluation, game.initial)[..., None]], axis=-1
        )
        for evaluation in (with_copies, without)
    )
    part = "potential and Nash gap are those without copies"
    yield Comparison(left, right, tolerance, "==", part)
    left, right = constants_c(with_copies), constants_c(without)
    rounded = 0 if exact else 64 * UNIT_ROUNDOFF
    yield Comparison(left, right, rounded, "==", "c is that of the game without copies")


def _flat(parts: Any) -> Array:
    """Join arrays of all agents, (B, S, A_i), along one axis: (B, ..)."""
    arrays = list(parts)
    return np.concatenate([part.reshape(len(part), -1) for part in arrays], axis=-1)


def _thresholds(instance: Instance, actions: int) -> Iterator[Comparison]:
    """Where both steps fail for two agents with so many buttons, from ½ + x."""
    exact = is_exact(instance.game.initial)
    tolerance, before = value_rounding(instance.game), instance.evaluation
    offset, factor = (_as(exact, instance.extra[name]) for name in ("offset", "factor"))
    taken = Step(before, Euclidean(), factor * 4 / _as(exact, width(actions)))
    change = 2 * offset**2 * (1 - (1 - 2 * factor) ** 2)
    part = "Euclidean, two agents: falls beyond 4/w², closed form"
    yield Comparison(taken.change[:, 0], change, tolerance, "==", part)
    # The step moves the log-odds L of the first choice by -2ηx; it fails where that passes -2L.
    odds = log((1 + 2 * offset) / (1 - 2 * offset))
    part = "KL, two agents: falls beyond log-odds/x, 4.1 at most, for any m"
    taken = Step(before, KL(), factor * odds / offset)
    yield Comparison(taken.change[:, 0], 0, tolerance, "<=", part)


#: Numbers of actions at which the largest step is bracketed and a slope is fitted.
GRID = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

#: The bracket, as multiples of the step that is known; offset of the start, and halvings.
BRACKET, OFFSET, HALVINGS = (fmpq(99, 100), fmpq(105, 100)), fmpq(1, 20), 8


@cache
def found_step(actions: int, mirror_map: str, exact: bool) -> Any:
    """Step at which two agents with so many buttons stop to gain, by bisection.

    ``actions`` is the number of buttons m. The step is sought between .99 and 1.05 times what is
    known: 4/w², or 4 for the KL step.

    Returns
    -------
    float, or a ball that is certain to hold such a step if ``exact``; wide, or NaN, if the
    potential does not rise at the lower end and fall at the upper
    """
    chosen: MirrorMap = KL() if mirror_map == "kl" else Euclidean()
    start = button_start(actions, OFFSET)
    policy = start if exact else tuple(to_float(own) for own in start)
    before = Evaluation(buttons(actions, exact=exact), policy)

    def rises(step: fmpq) -> bool:
        return bool(Step(before, chosen, _as(exact, step)).change[0, 0] > 0)

    known = fmpq(4) if mirror_map == "kl" else 4 / width(actions)
    low, high = (end * known for end in BRACKET)
    if not rises(low) or rises(high):
        return Ball(fmpq(0)).union(Ball(fmpq(10**6))) if exact else np.nan
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) else (low, middle)
    return Ball(low).union(Ball(high)) if exact else float(to_float(low + high)) / 2


def found_slope(grid: tuple[int, ...], mirror_map: str, exact: bool) -> Any:
    """Least-squares slope of log `found_step` over log m; exact: a ball."""
    steps = [found_step(actions, mirror_map, exact) for actions in grid]
    return slope_weights(_counts(grid, exact)) @ log(np.array(steps))


def _counts(grid: tuple[int, ...], exact: bool) -> Array:
    counts = np.array(grid)
    return rationals(counts, np.ones_like(counts)) if exact else counts.astype(float)


def _slopes(instance: Instance) -> Iterator[Comparison]:
    exact, grid = is_exact(instance.game.initial), instance.extra["grid"]
    band = slope_band(_counts(grid, exact), _as(exact, BRACKET[1] / BRACKET[0]))
    for mirror_map, slope, title in (("euclidean", -1, "Euclidean"), ("kl", 0, "KL")):
        away = abs(found_slope(grid, mirror_map, exact) - slope)
        part = f"{title}, two agents: slope {slope} over m, up to what the bracket leaves open"
        yield Comparison(np.array([away]), band, 2.0**-HALVINGS, "<=", part)


def _as(exact: bool, number: fmpq) -> Any:
    """Return a rational as it is, or as a float."""
    return number if exact else float(to_float(number))


def _generic() -> Iterator[Comparison]:
    """Merge the copies of a generic policy before a generic KL step, and after it."""
    for of in ((0, 1, 1), (0, 0, 1, 1), (0, 1, 2, 2)):
        own, gain = distributions("p", (1,), len(of)), symbols("g", (1, max(of) + 1))
        moved, plain = KL().update(own, gain[..., list(of)]), merged((own,), (of,))
        part = "KL: merging the copies commutes with the step"
        (after,) = merged((moved,), (of,))
        yield Comparison(after, KL().update(plain[0], gain), 0, "==", part)
        share = (plain[0] / KL().update(plain[0], gain))[..., list(of)]
        yield Comparison(moved * share, own, 0, "==", "copies keep their shares")


# Controls


def _euclidean_merges() -> Comparison:
    """Let merging commute with the Euclidean step: two buttons for each choice, step 1/2."""
    labels, start = _button_labels(4), button_start(4, OFFSET)
    taken = Step(Evaluation(buttons(4, exact=True), start), Euclidean(), fmpq(1, 2))
    plain = Step(Evaluation(buttons(2, exact=True), merged(start, labels)), Euclidean(), fmpq(1, 2))
    return Comparison(_flat(merged(taken.after.policy, labels)), _flat(plain.after.policy), 0, "==")


def _near_copies() -> Comparison:
    """Let merging commute with the KL step although one of two copies pays 1/100 less."""
    payoff = to_exact(catalogue.isolated().potential[0])
    table = np.stack([payoff[0], payoff[0] - fmpq(1, 100), payoff[1]])
    half, quarter = fmpq(1, 2), fmpq(1, 4)
    policy = (np.array([[[quarter, quarter, half]]]), np.array([[[half, half]]]))
    labels = ((0, 0, 1), (0, 1))
    game = TabularGame(table[None], np.eye(1), discount=0).exact()
    moved = Step(Evaluation(game, policy), KL(), fmpq(1)).after.policy
    plain = Step(Evaluation(merged_game(game, labels), merged(policy, labels)), KL(), fmpq(1))
    return Comparison(_flat(merged(moved, labels)), _flat(plain.after.policy), 0, "==")


def _euclidean_serves(agents: int, few: int, many: int) -> Comparison:
    """ΔΦ >= 0 on the half-face game of ``many`` actions, at the safe step for ``few``."""
    norm = bounds.interaction_norm((few,) * agents, like=fmpq(1))
    game = catalogue.half_face_team(agents, many, delta=fmpq(1, 1000))
    start = catalogue.half_face_team_start(agents, many, exact=True)
    policy = exact_policy(tuple(start))
    return Comparison(Step(Evaluation(game, policy), Euclidean(), 4 / norm).change, 0, 0, ">=")


def _uniform_start(few: int, many: int, iterations: int) -> Comparison:
    """Nash regret of KL from the uniform start: at most with many actions what it is with few."""
    left, right = (
        run_pmd(needles(2, m).exact(), "kl", "constant", iterations).nash_regret[-1:]
        for m in (many, few)
    )
    return Comparison(left, right, 0, "<=")


#: Grid of the controls that fit a slope.
CONTROL_GRID = (2, 8, 32, 128)


def _slope(mirror_map: str, claimed: Any, relation: Any) -> Comparison:
    return Comparison(np.array([found_slope(CONTROL_GRID, mirror_map, True)]), claimed, 0, relation)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="action-independence",
        tag="derived",
        label="Section V.B, action sets drop out of the KL step",
        statement=(
            r"\mathrm{merge}\big(\mathrm{KL}_\eta(\tilde\pi)\big) ="
            r" \mathrm{KL}_\eta\big(\mathrm{merge}(\tilde\pi)\big)"
            r" \ \text{for all copies of actions and all } \eta;\ \text{for two agents }"
            r" \eta_{KL}(m)\,Q_{\max} = 4, \quad \eta_E(m)\,Q_{\max} = \frac{4}{w_m^2}"
        ),
        notebook="10-action-spaces",
        hypotheses=(*POTENTIAL, FULL_SUPPORT),
        instances=_instances,
        compare=_sides,
        controls=(
            Control(
                "euclidean-merges",
                "the Euclidean step commutes with merging; anti-coordination on four buttons",
                _euclidean_merges,
            ),
            Control(
                "near-copies",
                "merging commutes with the KL step although one copy pays 1/100 less",
                _near_copies,
            ),
            Control(
                "euclidean-constant",
                "the safe Euclidean step for 2 actions, 4/Λ = 2/7 for 8 agents, serves 8 actions; "
                "half-face",
                partial(_euclidean_serves, 8, 2, 8),
            ),
            Control(
                "uniform-start",
                "from the uniform start KL has no more regret with 64 actions than with 2, one of "
                "them good; 8 updates",
                partial(_uniform_start, 2, 64, 8),
            ),
            Control(
                "slope-euclidean",
                "slope -1/2 or more of the largest Euclidean steps over m = 2, 8, 32, 128",
                partial(_slope, "euclidean", fmpq(-1, 2), ">="),
            ),
            Control(
                "slope-kl",
                "slope -1/2 or less of the largest KL steps over m = 2, 8, 32, 128",
                partial(_slope, "kl", fmpq(-1, 2), "<="),
            ),
        ),
        sizes={"quick": 120, "full": 2000},
        symbolic=_generic,
    ),
)
