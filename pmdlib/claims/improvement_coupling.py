"""Policy improvement by how strongly actions interact: steps that know λ instead of φmax and N."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.coupling import coupling, coupling_euclidean, no_action_moves_the_state
from pmdlib.analysis.policies import random_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, is_exact, rationals, to_exact
from pmdlib.claims.claim import Claim, Comparison, Control, Hypothesis, Instance, Sizes
from pmdlib.claims.claim import value_rounding as rounding
from pmdlib.claims.instances import FULL_SUPPORT, mixed_policies, potential_instances
from pmdlib.claims.one_step import POTENTIAL, Step, anti_coordination, falls, same_step
from pmdlib.claims.ways.lemmas import PAPER_STEP
from pmdlib.games.aggregative import CongestionGame, TeamGame
from pmdlib.games.families import GRID
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.mirror_maps import KL, Euclidean

# Instances


def _coupled_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield tabular games in which no action moves the state, and every third a game of loads.

    Steps are in units of 1/λ, often 8, where the statement ends.
    """
    for instance in potential_instances(rng, sizes):
        if not no_action_moves_the_state(instance.game):
            continue
        many = _game_of_loads(rng, sizes) if rng.random() < 1 / 3 else instance
        units = 8.0 if rng.random() < 1 / 3 else rng.uniform(0.5, 12.0)
        yield many.with_extra(units=units)


def _game_of_loads(rng: np.random.Generator, sizes: Sizes) -> Instance:
    """Draw a congestion game, or a team with anonymous rewards; numbers are dyadic fractions."""
    agents = int(rng.integers(2, sizes.agents, endpoint=True))
    states, facilities = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    discount = float(rng.choice([0.0, 0.5, 29 / 32]))
    kernel = rng.multinomial(64, np.ones(states) / states, size=states) / 64
    groups: Any = agents
    if rng.random() < 0.5:  # two populations, with bundles
        first = int(rng.integers(1, agents))
        groups = [(size, _bundles(rng, facilities)) for size in (first, agents - first)]
    table = rng.integers(-GRID, GRID, (states, facilities, agents + 1), endpoint=True) / GRID
    table = table.cumsum(axis=-1) if rng.random() < 0.5 else table
    chosen = rng.random() < 0.5
    make: Any = CongestionGame if chosen else TeamGame
    payoffs = table[..., 1:] if chosen else table
    game = make(payoffs, groups, kernel, discount=discount)
    agent = int(rng.integers(agents))
    deviation = agent, random_policy(game, rng)[agent]
    name = f"{make.__name__}: {game.populations}"
    return Instance(game, mixed_policies(game, rng), name, {"deviation": deviation})


def _bundles(rng: np.random.Generator, facilities: int) -> list[tuple[int, ...]]:
    """Draw two or three different bundles."""
    numbers = rng.choice(2**facilities, size=int(rng.integers(2, 4)), replace=False)
    return [tuple(f for f in range(facilities) if number >> f & 1) for number in numbers]


EXOGENOUS = Hypothesis(
    "no action moves the state, or γ = 0", lambda i: no_action_moves_the_state(i.game)
)


# Sides


def _sides(instance: Instance) -> Iterator[Comparison]:
    game, tolerance = instance.game, rounding(instance.game)
    strength = coupling(game)
    # Without interaction every step improves, and any will do for the first part.
    step = bounds.step_kl_coupling(strength) if strength > 0 else 4 / game.phi_max
    taken = Step(instance.evaluation, KL(), step)
    half = bounds.improvement_coefficient(step=step, discount=game.discount)
    yield Comparison(
        taken.change,
        _where_known(taken, half),
        tolerance,
        ">=",
        "inequality of Proposition V.5 at 4/λ",
    )
    if not strength > 0:  # what follows is then an equality, of which balls can say little
        return
    yield same_step(instance, step, 4 / strength)
    taken = Step(instance.evaluation, KL(), instance.extra["units"] / strength)
    right = _where_known(taken, _coefficient(taken, strength))
    yield Comparison(taken.change, right, tolerance, ">=", "any step")
    taken = Step(instance.evaluation, KL(), 8 / strength)
    yield Comparison(taken.change, 0, tolerance, ">=", "the potential never falls up to 8/λ")
    strength = coupling_euclidean(game)
    taken = Step(instance.evaluation, Euclidean(), instance.extra["units"] / strength)
    right = _coefficient(taken, strength) * taken.visited(taken.squares)
    yield Comparison(taken.change, right, tolerance, ">=", "the Euclidean step, with λmax(WBW)")


def _coefficient(taken: Step, strength: Any) -> Any:
    return bounds.improvement_coefficient_coupling(
        step=taken.size, coupling=strength, discount=taken.before.game.discount
    )


def _where_known(taken: Step, coefficient: Any) -> Array:
    """Coefficient times Σ_s d(s) Σ_i J_i(s), (B, S + 1); -inf where a float underflows to J = inf.

    A step so large that a probability underflows leaves a divergence that floats do not know.
    """
    if is_exact(taken.before.game.initial):
        return np.asarray(coefficient * taken.visited(taken.divergences))
    known = np.isfinite(taken.divergences).all(axis=-1, keepdims=True)
    moved = taken.visited(np.where(known, taken.divergences, 0.0))
    return np.where(known, coefficient * moved, -np.inf)


# Controls


def _too_large_share(part: int, step: Any) -> Comparison:
    """Coefficient 1/η - λ/part, anti-coordination from (.55, .45)."""
    taken = anti_coordination(KL(), step)
    strength = coupling(taken.before.game)
    claimed = (1 / taken.size - strength / part) * taken.visited(taken.divergences)
    return Comparison(taken.change, claimed, 0, ">=")


def _two_roads(units: Any) -> Comparison:
    """ΔΦ >= 0 at ``units``/λ: six agents on two roads that pay less the more use them."""
    payoffs = rationals(-np.arange(1, 7)[None, None], np.full((1, 1, 6), 6)).repeat(2, axis=1)
    game = CongestionGame(payoffs, 6)
    own = rationals(np.array([[[51, 49]]]), np.full((1, 1, 2), 100))
    taken = Step(Evaluation(game, (own,) * 6), KL(), units / coupling(game))
    return Comparison(taken.change, 0, 0, ">=")


def _average_difference() -> Comparison:
    """Anti-coordination with a third action that always pays one half, and is hardly played."""
    payoff = to_exact(np.array([[0, 1, 0.5], [1, 0, 0.5], [0.5, 0.5, 0.5]]))
    first, second = np.triu_indices(3, 1)
    differences = payoff[first] - payoff[second]
    mixed = abs(differences[:, first] - differences[:, second])
    game = TabularGame(payoff[None], np.eye(1), discount=0)
    own = rationals(np.array([[[54, 45, 1]]]), np.full((1, 1, 3), 100))
    taken = Step(Evaluation(game.exact(), (own, own)), KL(), fmpq(1))
    claimed = (1 - mixed.mean() / 8) * taken.visited(taken.divergences)
    return Comparison(taken.change, claimed, 0, ">=")


def _moving_state() -> Comparison:
    """ΔΦ >= 0 at step 16 where φ = [s = 1] has λ = 0, but agents who differ reach state 1."""
    potential, kernel = np.zeros((2, 2, 2)), np.zeros((2, 2, 2, 2))
    potential[1] = 1
    kernel[0, ..., 0], kernel[0, ..., 1] = np.eye(2), 1 - np.eye(2)
    kernel[1, ..., 0] = 1
    game = TabularGame(potential, kernel, discount=0.5).exact()
    own = rationals(np.array([[[55, 45], [50, 50]]]), np.full((1, 2, 2), 100))
    return Comparison(Step(Evaluation(game, (own, own)), KL(), fmpq(16)).change, 0, 0, ">=")


def _same_coupling_for_euclidean() -> Comparison:
    """λ in place of λmax(WBW) in the Euclidean coefficient, at step 1."""
    taken = anti_coordination(Euclidean(), fmpq(1))
    strength = coupling(taken.before.game)
    claimed = (1 - strength / 8) * taken.visited(taken.squares)
    return Comparison(taken.change, claimed, 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="improvement-kl-coupling",
        tag="beyond",
        label="Proposition V.5 with the coupling λ in place of φmax and N",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{1-\gamma}\Big(\frac1\eta -"
            r" \frac\lambda8\Big) \sum_s d_\rho^{t+1}(s) \sum_i J_i(s) \quad \text{if no action"
            r" moves the state},\ \lambda = \lambda_{\max}(B),\ B_{ij} = \max \big\vert"
            r" \partial_{a_i} \partial_{a_j} \phi \big\vert"
        ),
        notebook="09-many-players",
        hypotheses=(*POTENTIAL, FULL_SUPPORT, EXOGENOUS),
        instances=_coupled_instances,
        compare=_sides,
        controls=(
            Control(
                "a-ninth",
                "coefficient 1/η - λ/9 at η = 1, anti-coordination from (.55, .45)",
                partial(_too_large_share, 9, fmpq(1)),
            ),
            Control(
                "step-8.1",
                "no fall at 8.1/λ, six agents on two roads that pay -load/6, all from (.51, .49)",
                partial(_two_roads, fmpq(81, 10)),
            ),
            Control(
                "average-difference",
                "the mean second difference in place of the largest, anti-coordination with a "
                "third action that pays 1/2",
                _average_difference,
            ),
            Control(
                "moving-state",
                "the coupling of φ where actions move the state: φ = [s = 1] has λ = 0, step 16",
                _moving_state,
            ),
            Control(
                "euclidean-unweighted",
                "λ in place of λmax(WBW) for the Euclidean step, anti-coordination from (.55, .45)",
                _same_coupling_for_euclidean,
            ),
            Control(
                "step-4.2",
                "no fall at step 4.2 > 8/λ = 4, anti-coordination from (.55, .45)",
                partial(falls, KL(), fmpq(21, 5)),
            ),
        ),
        sizes={"quick": 300, "full": 4000},
        lemmas=PAPER_STEP,
        attack={"units": 4.0},
    ),
)
