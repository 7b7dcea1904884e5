"""Policy improvement of the KL step: with √N as in the paper, and with a constant step."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, value_rounding
from pmdlib.claims.instances import (
    FULL_SUPPORT,
    exact_policy,
    potential_instances,
)
from pmdlib.claims.one_step import (
    MANY,
    POTENTIAL,
    Step,
    anti_coordination,
    falls,
    phi,
    same_step,
    stated_constant,
    stated_kl,
    sum_over,
    with_step,
)
from pmdlib.claims.ways.lemmas import CONSTANT_STEP, PAPER_STEP
from pmdlib.games import catalogue
from pmdlib.learning.mirror_maps import KL


def _kl_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    step = bounds.step_kl(**phi(game), num_agents=game.num_agents)
    taken = Step(instance.evaluation, KL(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    tolerance = value_rounding(game)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.divergences),
        tolerance,
        ">=",
        "symmetric divergence",
    )
    kl, pairs = KL(), zip(taken.before.policy, taken.after.policy, strict=True)
    forward = sum_over(kl.divergence(new, old) for old, new in pairs)
    yield Comparison(
        taken.change, coefficient * taken.visited(forward), tolerance, ">=", "KL(new, old) alone"
    )
    yield same_step(instance, KL().theory_step(game, "paper"), stated_kl(game))


def _kl_constant_sides(instance: Instance) -> Iterator[Comparison]:
    game = instance.game
    tolerance = value_rounding(game)
    step = bounds.step_kl_constant(**phi(game))
    taken = Step(instance.evaluation, KL(), step)
    coefficient = bounds.improvement_coefficient(step=step, discount=game.discount)
    yield Comparison(
        taken.change,
        coefficient * taken.visited(taken.divergences),
        tolerance,
        ">=",
        "inequality of Proposition V.5 at (1-γ)/φmax",
    )
    yield same_step(instance, KL().theory_step(game, "constant"), stated_constant(game))
    taken = Step(instance.evaluation, KL(), instance.extra["units"] * step)
    factor = bounds.variance_coefficient(step=taken.size, **phi(game))
    yield Comparison(
        taken.one_state_gain,
        factor * taken.variances,
        tolerance,
        ">=",
        "variance bound per state, ηQmax <= 2",
    )
    yield Comparison(
        taken.one_state_gain,
        factor / taken.size**2 * taken.divergences,
        tolerance,
        ">=",
        "divergence bound per state, ηQmax <= 2",
    )
    yield Comparison(
        taken.change,
        0,
        tolerance,
        ">=",
        "the potential never falls at any state, ηQmax <= 2",
    )


def _full_divergence() -> Comparison:
    """Coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides."""
    taken = anti_coordination(KL(), 1)
    return Comparison(taken.one_state_gain / taken.divergences, 1, 0, ">=")


def _two_agent_coefficient() -> Comparison:
    """1 - ηQmax/4, the coefficient of two agents, claimed for ten at ηQmax = 1."""
    start = exact_policy(catalogue.crowd_start())
    taken = Step(Evaluation(catalogue.crowd().exact(), start), KL(), 1)
    claimed = np.array([fmpq(3, 4)])
    return Comparison(taken.one_state_gain / taken.divergences, claimed, 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="improvement-kl",
        tag="derived",
        label="Proposition V.5",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i J_i(s), \qquad"
            r" \eta = \frac{1-\gamma}{2\,\phi_{\max}\sqrt N}"
        ),
        notebook="05-policy-improvement-kl",
        hypotheses=(*POTENTIAL, FULL_SUPPORT),
        instances=potential_instances,
        compare=_kl_sides,
        controls=(
            Control(
                "step-4.2",
                "the potential does not fall at step 4.2, anti-coordination from (.55, .45)",
                partial(falls, KL(), fmpq(21, 5)),
            ),
            Control(
                "coefficient-one",
                "coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides",
                _full_divergence,
            ),
        ),
        sizes=MANY,
        lemmas=PAPER_STEP,
        attack={},
    ),
    Claim(
        name="improvement-kl-constant-step",
        tag="beyond",
        label="Proposition V.5 without the factor √N",
        statement=(
            r"\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{2\eta(1-\gamma)} \sum_s"
            r" d_\rho^{t+1}(s) \sum_i J_i(s) \quad \text{at } \eta = \frac{1-\gamma}{\phi_{\max}}"
            r" \text{ for every } N"
        ),
        notebook="05-policy-improvement-kl",
        hypotheses=(*POTENTIAL, FULL_SUPPORT),
        instances=partial(with_step, 0.05, 2.0),
        compare=_kl_constant_sides,
        controls=(
            Control(
                "coefficient-one",
                "coefficient 1/η in place of 1/(2η) at ηQmax = 1, as the ratio of both sides",
                _full_divergence,
            ),
            Control(
                "two-agent-coefficient",
                "1 - ηQmax/4, right for two agents, for ten agents that must not crowd",
                _two_agent_coefficient,
            ),
            Control(
                "step-4.2",
                "the potential does not fall at step 4.2, anti-coordination from (.55, .45)",
                partial(falls, KL(), fmpq(21, 5)),
            ),
        ),
        sizes=MANY,
        lemmas=CONSTANT_STEP,
        attack={"units": 1.0},
    ),
)
