"""How much noise an improvement survives: a KL step on averages that are noisy and unbiased.

The proof stays in the logarithm, like that of the constant step: noise enters the normaliser of
each agent only, and costs ½ η² σ² of it. It asks that E e^{xξ} <= e^{x²σ²/2} for the noise ξ in
each single entry, and nothing of how entries depend on each other: across actions, states, agents.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, is_exact, to_exact
from pmdlib.claims.claim import Claim, Comparison, Control, Instance, Sizes, value_rounding
from pmdlib.claims.identities import all_starts, from_all_starts
from pmdlib.claims.instances import FULL_SUPPORT
from pmdlib.claims.one_step import POTENTIAL, phi, stated_constant, sum_over, with_step
from pmdlib.claims.ways.lemmas import CONSTANT_STEP
from pmdlib.games import catalogue
from pmdlib.games.game import Policy
from pmdlib.learning.mirror_maps import KL

NOTEBOOK = "11-noisy-feedback"


def _noisy_instances(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """Yield a potential game, a step, and noise that takes few values, each with its opposite."""
    patterns = 2 if sizes.joint_actions < 1000 else 4
    for instance in with_step(0.05, 2.0, rng, sizes):
        signs = tuple(
            rng.choice([-1, 1], size=(instance.count, patterns, *own.shape[1:]))
            for own in instance.policy
        )
        scale = float(2.0 ** rng.integers(-6, 2, endpoint=True))
        yield instance.with_extra(signs=signs, scale=scale)


def moved_by(evaluation: Evaluation, step: Any, noise: Policy) -> Evaluation:
    """Evaluate the policies after a KL step on the averaged Q plus noise."""
    moved = (
        KL().update(own, step * (q - q[..., :1] + error))
        for own, q, error in zip(evaluation.policy, evaluation.averaged_q, noise, strict=True)
    )
    return Evaluation(evaluation.game, tuple(moved))


def noise_floor(evaluation: Evaluation, step: Any, scale: Any) -> Array:
    """Lower bound on the expected improvement of a noisy KL step, from every start: (B, S + 1).

    1/(1-γ) Σ_s d^t(s) [η (1 - ηQmax/2) Σ_i Var_{π_i}(Q_i(s,.)) - ½ η² σ² N Φ^t(s)], with the
    occupancy of the policy before the step and σ the ``scale`` of the noise.
    """
    game = evaluation.game
    gain = bounds.variance_coefficient(step=step, **phi(game)) * sum_over(
        (own * advantage**2).sum(axis=-1)
        for own, advantage in zip(evaluation.policy, evaluation.advantages, strict=True)
    )
    price = (step * scale) ** 2 / 2 * game.num_agents * evaluation.potential_values
    visits = all_starts(evaluation) / (1 - game.discount)
    return np.asarray((visits @ (gain - price)[..., None])[..., 0])


def _noisy_sides(instance: Instance) -> Iterator[Comparison]:
    game, before = instance.game, instance.evaluation
    step = instance.extra["units"] * stated_constant(game)
    largest = bounds.largest_q(**phi(game))
    scale = instance.extra["scale"] * largest
    signs = instance.extra["signs"]
    if is_exact(game.initial):
        signs = tuple(to_exact(own) for own in signs)
    tolerance = value_rounding(game)
    changes = []
    for pattern, sign in product(range(signs[0].shape[1]), (1, -1)):
        after = moved_by(before, step, tuple(sign * scale * own[:, pattern] for own in signs))
        changes.append(from_all_starts(before, after.potential_values - before.potential_values))
    mean = sum_over(changes) / len(changes)
    floor = noise_floor(before, step, scale)
    yield Comparison(mean, floor, tolerance, ">=", "expected improvement")
    silent = moved_by(before, step, tuple(0 * own for own in before.policy))
    change = from_all_starts(before, silent.potential_values - before.potential_values)
    yield Comparison(
        change, noise_floor(before, step, 0 * scale), tolerance, ">=", "no noise, old occupancy"
    )


def coordination(agents: int, actions: int, share: fmpq) -> tuple[Array, Policy]:
    """Payoff 1 if everybody plays action 0, which each does with this probability; else 0.

    ``agents`` and ``actions`` say how many; the probability is ``share``. Returns the payoff tensor
    (A_1, .., A_N) and the policy, N arrays (1, 1, A_i).
    """
    payoff = np.zeros((actions,) * agents)
    payoff.flat[0] = 1.0
    others = [(1 - share) / (actions - 1)] * (actions - 1)
    return payoff, tuple(np.array([[[share, *others]]]) for _ in range(agents))


def mean_gain(payoff: Array, policy: Policy, step: fmpq, scale: fmpq) -> tuple[Any, Evaluation]:
    """Compute the expected change of Φ under noise ±σ, independent in every entry; one state.

    Φ is linear in each agent's policy, and agents are independent: so it is Φ of mean policies.
    """
    before = Evaluation(catalogue.one_state(payoff).exact(), policy)
    means = []
    for own, q in zip(policy, before.averaged_q, strict=True):
        signs = [*product((1, -1), repeat=own.shape[-1])]
        noise = scale * to_exact(np.array(signs)[:, None, :])
        moved = KL().update(own, step * (q - q[..., :1] + noise))
        means.append(moved.sum(axis=0, keepdims=True) / len(signs))
    after = Evaluation(before.game, tuple(means))
    return (after.potential_values - before.potential_values)[0], before


def _cheaper_noise(
    factor: fmpq, agents: int, actions: int, share: fmpq, step: fmpq, scale: fmpq
) -> Comparison:
    """Claim the bound with the price of noise multiplied by a factor, in a coordination game."""
    payoff, policy = coordination(agents, actions, share)
    gain, before = mean_gain(payoff, policy, step, scale)
    silent = noise_floor(before, step, fmpq(0))[0, -1]
    price = silent - noise_floor(before, step, scale)[0, -1]
    return Comparison(gain, np.array([silent - factor * price]), 0, ">=")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="noise-floor",
        tag="beyond",
        label="expected improvement of a KL step on noisy averages",
        statement=(
            r"\mathbb E\,\Phi^{t+1}(\rho) - \Phi^{t}(\rho) \ge \frac{1}{1-\gamma} \sum_s"
            r" d_\rho^{t}(s) \Big[\eta\Big(1-\frac{\eta Q_{\max}}{2}\Big) \sum_i"
            r" \mathrm{Var}_{\pi_i}(\bar Q_i^t(s,\cdot)) - \frac{\eta^2\sigma^2}{2}\,N\,"
            r"\Phi^t(s)\Big], \qquad \eta Q_{\max} \le 2"
        ),
        notebook=NOTEBOOK,
        hypotheses=(*POTENTIAL, FULL_SUPPORT),
        instances=_noisy_instances,
        compare=_noisy_sides,
        controls=(
            Control(
                "free-noise",
                "the bound of a step without noise, four agents coordinating, η = 1/2, σ = 2",
                partial(_cheaper_noise, fmpq(0), 4, 2, fmpq(3, 4), fmpq(1, 2), fmpq(2)),
            ),
            Control(
                "without-n",
                "the price of noise without N, eight agents coordinating, η = 1/2, σ = 1",
                partial(_cheaper_noise, fmpq(1, 8), 8, 2, fmpq(3, 4), fmpq(1, 2), fmpq(1)),
            ),
            Control(
                "a-quarter",
                "a quarter of the price of noise, one agent with four actions, η = 1/4, σ = 2",
                partial(_cheaper_noise, fmpq(1, 4), 1, 4, fmpq(3, 5), fmpq(1, 4), fmpq(2)),
            ),
        ),
        sizes={"quick": 300, "full": 4000},
        lemmas=CONSTANT_STEP,
    ),
)
