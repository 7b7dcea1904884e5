"""What equilibria, and policies near them, lose in congestion games with affine costs.

A user of facility f pays a_f n + b_f for a load of n. Write C(π) = -Σ_i V_i^π(ρ) for the social
cost, gap_i for what agent i gains by a best response, o for any pure profile, x and y for the
loads of a facility under π (random) and under o.

*Anarchy.* Agent i pays at most C_i(o_i, π_-i) + gap_i. Summed over agents, the users of a facility
under o pay at most y (a (x + 1) + b). For whole numbers y (x + 1) <= 5/3 y² + 1/3 x², because
5 y² + x² - 3 x y - 3 y is (x - 1)(x - 2) for y = 1, and has no real root x for y >= 2. Hence
C(π) <= 5/3 C(o) + 1/3 C(π) + Σ gap_i, so C(π) <= 5/2 C(o) + 3/2 Σ gap_i.

*Stability.* Let Ψ be the expected Rosenthal cost Σ_f a n (n + 1)/2 + b n, discounted. Then
C(π) <= (1 + 1/√3) C(o) + Ψ(π) - Ψ(o) + 1/√3 Σ gap_i. With w = 1/√3 this follows, facility by
facility, from (w - ½) x² + ½ x - w x y + (½ + w) (y² - y) >= 0 for whole numbers. It holds for
y = 0; for y = 1 it reads (w - ½)(x² - x) >= 0. Since 4 (w - ½)(w + ½) = w², the squares are
(w - ½) u² with u = x - (2 + √3) y, and what is left is ½ u + ½ (1 + w) y: at least
½ (1 + w) y - 1/(16 (w - ½)) > 0 for y >= 2. (The term with b is ½ and more times b x >= 0.)

All states are alike and no action moves the state: both hold in Markov games state by state.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis.equilibrium import gaps
from pmdlib.analysis.policies import deterministic_policy, random_policy, uniform_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.analysis.welfare import inefficiency, social_optimum
from pmdlib.arithmetic import Array, argmax, eye, is_exact, sqrt, to_exact
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Sizes,
    value_rounding,
)
from pmdlib.claims.instances import CONCENTRATIONS
from pmdlib.games.affine import pigou, random_affine, triangle
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import all_agents
from pmdlib.learning.pmd import run_pmd

#: λ/(1-μ) and 1/(1-μ) of the smoothness inequality with λ = 5/3, μ = 1/3.
ANARCHY, ANARCHY_GAP = fmpq(5, 2), fmpq(3, 2)


def stability(like: Any) -> Any:
    """1 + 1/√3, in the arithmetic of a number."""
    return 1 + 1 / sqrt(3, like=like)


def social_cost(evaluation: Evaluation) -> Array:
    """C(π) = -Σ_i V_i^π(ρ): (...)."""
    return np.asarray(-(evaluation.values @ evaluation.game.initial).sum(axis=-1))


def total_gap(evaluation: Evaluation) -> Array:
    """Sum over agents of what a best response gains: (...)."""
    return np.asarray(all_agents(gaps(evaluation, evaluation.game.initial)).sum(axis=0))


def _instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield named games, then random ones: policies of all sorts, and the iterates of runs."""
    yield _instance(triangle(), "triangle", rng)
    yield _instance(pigou(), "pigou", rng)
    number = 0
    while True:
        states = int(rng.integers(1, min(sizes.states, 3), endpoint=True))
        game = random_affine(
            rng,
            agents=int(rng.integers(2, sizes.agents, endpoint=True)),
            facilities=int(rng.integers(2, 5)),
            actions=int(rng.integers(2, 3 if sizes.agents > 4 else 2, endpoint=True)),
            states=states,
            discount=float(rng.choice([0.0, 0.5])) if states > 1 else 0.0,
            bundles=bool(number % 3),
        )
        number += 1
        if game.phi_max > 0:  # else no action makes a difference
            yield _instance(game, f"affine:{number}", rng)


def _instance(game: CongestionGame, source: str, rng: np.random.Generator) -> Instance:
    """Collect random policies, iterates of a run, least potential, optimum, worst equilibrium."""
    drawn = [random_policy(game, rng, concentration=value) for value in CONCENTRATIONS]
    start = drawn[int(rng.integers(len(drawn)))]
    trace = run_pmd(game, "kl", "constant", 40, start, record_policies=True, progress=False)
    late = [tuple(own[t] for own in trace.policies) for t in (1, 5, 40)]
    last = worst_equilibrium(game) if game.num_states == 1 else uniform_policy(game)
    policies = [*drawn, *late, minimiser(game), social_optimum(game), last]
    batch = tuple(np.stack(parts) for parts in zip(*(tuple(p) for p in policies), strict=True))
    return Instance(game, batch, source, {"minimiser": [k == 9 for k in range(len(policies))]})


def minimiser(game: CongestionGame) -> Policy:
    """Pure profile of least Rosenthal cost, in every state by itself: N arrays (S, A_i)."""
    size = game.num_actions
    joint = deterministic_profiles(game)
    best = argmax(np.moveaxis(Evaluation(game, joint).stage_potential, 0, -1))
    own = np.stack(np.unravel_index(best, size))
    return tuple(np.asarray(eye(m, game.initial)[a]) for m, a in zip(size, own, strict=True))


def worst_equilibrium(game: CongestionGame) -> Policy:
    """Pure equilibrium of largest social cost, in a game of one state: N arrays (1, A_i)."""
    found = inefficiency(game)
    worst = found.equilibria[int(argmax(-found.welfare))]
    return deterministic_policy(game, worst[:, None])


def deterministic_profiles(game: MarkovGame) -> Policy:
    """Every joint action, played in all states: N arrays (K, S, A_i)."""
    joint = np.indices(game.num_actions).reshape(game.num_agents, -1)
    states = np.zeros(game.num_states, dtype=int)
    return tuple(
        np.asarray(eye(m, game.initial)[own[:, None] + states])
        for m, own in zip(game.num_actions, joint, strict=True)
    )


def _sides(instance: Instance) -> Iterator[Comparison]:
    game, exact = instance.game, is_exact(instance.game.initial)
    best = Evaluation(game, game.arrange(social_optimum(game)))
    now = Evaluation(game, game.arrange(instance.policy))
    cost, least, gap = social_cost(now), social_cost(best), total_gap(now)
    tolerance = 8 * game.num_agents * value_rounding(game)
    at = (fmpq(5, 2), fmpq(3, 2)) if exact else (2.5, 1.5)
    part = "anarchy: C(π) <= 5/2 C(OPT) + 3/2 Σ gap"
    yield Comparison(cost, at[0] * least + at[1] * gap, tolerance, "<=", part)
    initial = game.initial
    rise = best.potential_values @ initial - now.potential_values @ initial
    factor = stability(game.discount if not exact else fmpq(1))
    part = "stability: C(π) <= (1 + 1/√3) C(OPT) + Ψ(π) - Ψ(OPT) + 1/√3 Σ gap"
    right = factor * least + rise + (factor - 1) * gap
    yield Comparison(cost, right, tolerance, "<=", part)
    least_potential = np.asarray(instance.extra["minimiser"])
    part = "price of stability: the least potential costs at most 1 + 1/√3 of the optimum"
    yield Comparison(cost, factor * least + 0 * cost, tolerance, "<=", part, least_potential)


AFFINE = Hypothesis(
    "costs are affine in the load, with coefficients >= 0", lambda i: _is_affine(i.game)
)


def _is_affine(game: CongestionGame) -> bool:
    costs = -game.payoffs
    slopes = np.diff(costs, axis=-1)
    constants = costs[..., 0] - (slopes[..., 0] if slopes.shape[-1] else 0)
    straight = (np.diff(slopes, axis=-1) == 0).all()
    return bool(straight and (slopes >= 0).all() and (constants >= 0).all())


# Controls


def _pure(game: CongestionGame, *actions: int) -> Evaluation:
    policy = deterministic_policy(game, [[a] for a in actions])
    return Evaluation(game, game.arrange(tuple(to_exact(own) for own in policy)))


def _ratio(game: CongestionGame, actions: tuple[int, ...], factor: fmpq, gaps: fmpq) -> Comparison:
    """C(a) <= factor · C(OPT) + gaps · Σ gap at a pure profile a."""
    exact = game.exact()
    now, best = _pure(exact, *actions), Evaluation(exact, exact.arrange(social_optimum(exact)))
    claimed = factor * social_cost(best) + gaps * total_gap(now)
    return Comparison(np.atleast_1d(social_cost(now)), claimed, 0, "<=")


def _without_potential() -> Comparison:
    """C <= (1 + 1/√3) C(OPT) + 1/√3 Σ gap at the worst equilibrium of the triangle."""
    exact = triangle().exact()
    now, best = _pure(exact, 1, 1, 1), _pure(exact, 0, 0, 0)
    factor = stability(fmpq(1))
    claimed = factor * social_cost(best) + (factor - 1) * total_gap(now)
    return Comparison(np.atleast_1d(social_cost(now)), claimed, 0, "<=")


def _crowded() -> Comparison:
    """Eight agents on a road that costs its load, the free alternative costs 1: nobody is there."""
    return _ratio(pigou(1.0, 8), (0,) * 8, ANARCHY, fmpq(0))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="anarchy-affine",
        tag="derived",
        label="social cost in affine congestion games",
        statement=(
            r"C(\pi) \le \tfrac52\,C(\mathrm{OPT}) + \tfrac32 \sum_i \mathrm{gap}_i(\pi), \qquad"
            r" C(\pi) \le \Big(1+\tfrac1{\sqrt3}\Big)\,C(\mathrm{OPT}) + \Psi(\pi) -"
            r" \Psi(\mathrm{OPT}) + \tfrac1{\sqrt3}\sum_i \mathrm{gap}_i(\pi)"
        ),
        notebook="13-open-questions",
        hypotheses=(AFFINE,),
        instances=_instances,
        compare=_sides,
        controls=(
            Control(
                "below-5/2",
                "2.49 in place of 5/2: the bad equilibrium of the triangle",
                lambda: _ratio(triangle(), (1, 1, 1), fmpq(249, 100), ANARCHY_GAP),
            ),
            Control(
                "quadratic",
                "costs n² in place of n: the same profile of the triangle",
                lambda: _ratio(triangle(2), (1, 1, 1), ANARCHY, ANARCHY_GAP),
            ),
            Control(
                "without-gap",
                "no term for the gaps: eight agents on one road of cost n, none on that of cost 1",
                _crowded,
            ),
            Control(
                "without-potential",
                "no potential in the bound of stability: the bad equilibrium of the triangle",
                _without_potential,
            ),
            Control(
                "stability-1.3",
                "1.3 in place of 1 + 1/√3: two roads, of cost n and 2.01",
                lambda: _ratio(pigou(2.01), (0, 0), fmpq(13, 10), fmpq(0)),
            ),
        ),
        sizes={"quick": 240, "full": 1500},
    ),
)
