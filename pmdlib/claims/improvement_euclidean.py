"""Policy improvement of the Euclidean step, at the paper's step size and at any other."""

from collections.abc import Iterator
from functools import partial

from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import to_exact
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, value_rounding
from pmdlib.claims.instances import exact_policy, potential_instances
from pmdlib.claims.one_step import (
    MANY,
    POTENTIAL,
    Step,
    anti_coordination,
    falls,
    phi,
    same_step,
    stated_euclidean,
    with_step,
)
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import Euclidean


def _euclidean_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    step = bounds.step_euclidean(**phi(game), num_actions=game.num_actions)
    taken = Step(instance.evaluation, Euclidean(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.squares),
        value_rounding(game),
        ">=",
        "improvement",
    )
    yield same_step(instance, Euclidean().theory_step(game, "paper"), stated_euclidean(game))


def _euclidean_sharp_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    norm = bounds.interaction_norm(game.num_actions, like=game.phi_max)
    q_max = bounds.largest_q(**phi(game))
    tolerance = value_rounding(game)
    # A single agent has Λ = 0 and no largest step: measure its steps in 1/Qmax instead.
    step = instance.extra["units"] / (q_max * (norm if game.num_agents > 1 else 1))
    taken = Step(instance.evaluation, Euclidean(), step)
    coefficient = bounds.improvement_coefficient_sharp(
        step=step, **phi(game), num_actions=game.num_actions
    )
    yield Comparison(
        taken.change, coefficient * taken.visited(taken.squares), tolerance, ">=", "any step"
    )
    large = bounds.step_euclidean_large(**phi(game), num_actions=game.num_actions)
    taken = Step(instance.evaluation, Euclidean(), large)
    coefficient = bounds.improvement_coefficient(step=large, discount=game.discount)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.squares),
        tolerance,
        ">=",
        "the paper's inequality at eight times its step",
    )
    yield same_step(instance, large, 8 * stated_euclidean(game))
    largest_step = 4 / (q_max * (norm if game.num_agents > 1 else 1))
    taken = Step(instance.evaluation, Euclidean(), largest_step)
    yield Comparison(taken.change, 0, tolerance, ">=", "the potential never falls up to 4/(Qmax Λ)")


def _too_large_coefficient() -> Comparison:
    """Coefficient 1/(2η) at η = 2.2/(Qmax Λ), where it is (1/η - Qmax Λ/4) < 1/(2η)."""
    norm = bounds.interaction_norm((2, 2), like=fmpq(1))
    taken = anti_coordination(Euclidean(), fmpq(11, 5) / norm)
    claimed = taken.visited(taken.squares) / (2 * taken.size)
    return Comparison(taken.change, claimed, 0, ">=")


def _half_face(factor: fmpq) -> Comparison:
    """ΔΦ >= 0 at a multiple of 8/((N-1)m), on the half-face game of 8 agents."""
    game = catalogue.half_face(8, 2).exact()
    start = exact_policy(catalogue.half_face_start(8, 2))
    step = factor * to_exact(bounds.half_face_threshold(num_agents=8, num_actions=2))
    taken = Step(Evaluation(game, start), Euclidean(), step)
    return Comparison(taken.change, 0, 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="improvement-euclidean",
        tag="derived",
        label="Section V.A, policy improvement",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i \|D_i(s)\|_2^2, \qquad"
            r" \eta = \frac{1-\gamma}{4\,\phi_{\max}\sum_i |\mathcal A_i|}"
        ),
        notebook="04-policy-improvement-euclidean",
        hypotheses=POTENTIAL,
        instances=potential_instances,
        compare=_euclidean_sides,
        controls=(
            Control(
                "step-2.1",
                "the potential does not fall at step 2.1, anti-coordination from (.55, .45)",
                partial(falls, Euclidean(), fmpq(21, 10)),
            ),
            Control(
                "half-face",
                "the potential does not fall 1 % above 8/((N-1)m), half-face game of 8 agents",
                partial(_half_face, fmpq(101, 100)),
            ),
        ),
        sizes=MANY,
        attack={},
    ),
    Claim(
        name="improvement-euclidean-sharp",
        tag="beyond",
        label="Section V.A, any step",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{1-\gamma}\Big(\frac1\eta -"
            r" \frac{Q_{\max}\Lambda}{4}\Big) \sum_s d_\rho^{t+1}(s) \sum_i \|D_i(s)\|_2^2"
            r" \quad \text{for every } \eta > 0"
        ),
        notebook="04-policy-improvement-euclidean",
        hypotheses=POTENTIAL,
        instances=partial(with_step, 0.1, 4.0),
        compare=_euclidean_sharp_sides,
        controls=(
            Control(
                "coefficient-half",
                "coefficient 1/(2η) at η = 2.2/(Qmax Λ), anti-coordination from (.55, .45)",
                _too_large_coefficient,
            ),
            Control(
                "step-2.1",
                "no fall at step 2.1 > 4/(Qmax Λ) = 2, anti-coordination from (.55, .45)",
                partial(falls, Euclidean(), fmpq(21, 10)),
            ),
        ),
        sizes=MANY,
        attack={"units": 2.0},
    ),
)
