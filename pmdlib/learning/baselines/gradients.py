"""Rules that step along a gradient: of the value, regularised or not, or of the averaged Q."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pmdlib.analysis import bounds
from pmdlib.analysis.values import Evaluation, discounted_sum, expectation
from pmdlib.arithmetic import (
    Array,
    certainly_negative,
    exp,
    is_exact,
    log,
    log_normalise,
    sqrt,
    to_exact,
    to_float,
)
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import each_agent
from pmdlib.learning.baselines.kinds import PolicyLearner, SoftmaxLearner
from pmdlib.learning.learners import Sight
from pmdlib.learning.mirror_maps import project_to_simplex


def _visits(evaluation: Evaluation) -> Array:
    """Discounted number of visits d(s)/(1-γ), (..., S, 1): the weight of a state in a gradient."""
    game = evaluation.game
    return np.asarray(evaluation.occupancy(game.initial) / (1 - game.discount))[..., None]


class ProjectedGradient(PolicyLearner):
    """Projected gradient ascent: each agent follows the gradient of its own value.

    π_i^{t+1}(.|s) = Proj[ π_i^t(.|s) + η d(s)/(1-γ) Q_i^t(s,.) ], on the simplex of each state.
    Without the weight d(s)/(1-γ) it is the Euclidean step of PMD. Needs the evaluation, for d.

    References
    ----------
    Leonardos, Overman, Panageas, Piliouras, "Global Convergence of Multi-Agent Policy Gradient in
    Markov Potential Games", ICLR 2022; Zhang, Ren, Li, "Gradient Play in Stochastic Games", 2021.
    """

    name = "projected gradient"

    def theory_step(self, game: MarkovGame) -> Any:
        """(1-γ)³/(2 φmax M), M = Σ|A_i| (Zhang, Ren, Li 2021).

        Φ never falls: the slope of Φ changes by at most L = (1+γ) φmax M/(2(1-γ)³) per unit of
        distance [derived], and the step is at most 1/L.
        """
        given = {"phi_max": game.phi_max, "discount": game.discount}
        return (
            2
            * (1 - game.discount) ** 2
            * bounds.step_euclidean(**given, num_actions=game.num_actions)
        )

    def move(self, state: Policy, sight: Sight) -> Policy:
        """Project on the simplex."""
        step = sight.step * _visits(sight.evaluation)
        return each_agent(
            lambda own, q: project_to_simplex(own + step * q), state, sight.averaged_q
        )


class SoftmaxGradient(SoftmaxLearner):
    """Softmax policy gradient, with a log barrier if wanted, on F_i = V_i(ρ) + λ Σ log π_i(a|s).

    θ_i^{t+1} = θ_i^t + η [ d(s)/(1-γ) π_i(a|s) (Q_i(s,a) - <π_i,Q_i>) + λ (1 - |A_i| π_i(a|s)) ],
    π_i = softmax θ_i. The barrier keeps all probabilities away from zero. Needs the evaluation,
    for d.

    Parameters
    ----------
    barrier : float >= 0
        λ, in units of value.

    References
    ----------
    Zhang, Mei, Dai, Schuurmans, Li, "On the Global Convergence Rates of Decentralized Softmax
    Gradient Play in Markov Potential Games", NeurIPS 2022.
    """

    def __init__(self, barrier: float = 0.0) -> None:
        self.barrier = _not_negative("barrier", barrier)
        self.name = "softmax gradient + log barrier" if barrier else "softmax gradient"

    def theory_step(self, game: MarkovGame) -> Any:
        """1/(L + λ max|A_i|/2), L = φmax/(2(1-γ)³), at which Φ + λ Σ log π never falls [derived].

        The slope of Φ in the logits changes by at most L per unit of distance, for every N: a move
        in direction u changes the joint policy, to first and second order, by at most
        √(Σ_i Var_{π_i} u_i) <= 1/√2 and 2 Σ_i Var_{π_i} u_i <= 1 in each state. (The steps of the
        literature fall with N.) The slope of the barrier changes by at most λ |A_i|/2.
        """
        given = {"phi_max": game.phi_max, "discount": game.discount}
        smooth = 1 / (2 * (1 - game.discount) ** 2 * bounds.step_kl_constant(**given))
        return 1 / (smooth + _like(self.barrier, game.initial) * max(game.num_actions) / 2)

    def move(self, state: Any, sight: Sight) -> Any:
        """Climb in the logits."""
        visits, policy = _visits(sight.evaluation), sight.evaluation.policy

        def climb(logs: Array, own: Array, q: Array) -> Array:
            slope = visits * own * (q - expectation(own, q)[..., None])
            if self.barrier:
                slope = slope + _like(self.barrier, own) * (1 - own.shape[-1] * own)
            return log_normalise(logs + sight.step * slope)

        return each_agent(climb, state, policy, sight.averaged_q)


class NaturalGradient(SoftmaxLearner):
    """Natural policy gradient with a log barrier, on F_i = V_i(ρ) + λ Σ log π_i(a|s).

    log π_i^{t+1} = log π_i^t + η [ Q_i(s,a) + λ (1-γ) / (d(s) π_i(a|s)) ], normalised: that is
    θ + η (1-γ) G^† ∇F_i with the pseudo-inverse of the Fisher matrix G, in the units of rule (3),
    which it is for λ = 0. Needs the evaluation, for d, if λ > 0.

    The barrier pushes the harder the smaller a probability is, and overshoots unless
    η λ (1-γ) < d(s) π_i(a|s)² or so: start away from the boundary, with small steps.

    Parameters
    ----------
    barrier : float >= 0
        λ, in units of value.

    References
    ----------
    Zhang, Mei, Dai, Schuurmans, Li, NeurIPS 2022 (see `SoftmaxGradient`).
    """

    def __init__(self, barrier: float) -> None:
        self.barrier = _not_negative("barrier", barrier)
        self.name = "natural gradient + log barrier" if barrier else "natural gradient"

    def move(self, state: Any, sight: Sight) -> Any:
        """Climb along the natural gradient."""
        if not self.barrier:
            return each_agent(
                lambda logs, q: log_normalise(logs + sight.step * q), state, sight.averaged_q
            )
        visits = _visits(sight.evaluation)
        if not (visits > 0).all():
            where = int(np.argwhere(~(visits > 0))[0][-2])
            raise PmdError(
                f"state {where} is never visited from ρ: there the natural gradient of the barrier "
                "is infinite"
            )

        def climb(logs: Array, q: Array) -> Array:
            with np.errstate(over="ignore"):  # infinity shows as a policy that is not finite
                push = _like(self.barrier, logs) * exp(-logs) / visits
            return _finite_normalise(logs + sight.step * (q + push))

        return each_agent(climb, state, sight.averaged_q)


class EntropyRegularised(SoftmaxLearner):
    """Independent natural gradient on the value plus τ times the agent's own entropy.

    π_i^{t+1} ∝ (π_i^t)^{1 - ητ} exp(η Q_i^τ): mirror descent on F_i = V_i + τ H_i, with
    H_i(s) = E Σ γ^t entropy(π_i(.|s_t)) and Q_i^τ(s,a) = Q_i(s,a) + γτ Σ_s' P_i(s'|s,a) H_i(s').
    A fixed point is a logit equilibrium π_i ∝ exp(Q_i^τ/τ), a quantal response equilibrium; its
    Nash gap is at most τ times the discounted log|A_i|. With τ that falls in time (annealing) the
    iterates may come closer. Needs the evaluation, for H, in games whose state agents move.

    Parameters
    ----------
    temperature : float > 0, or function of the iteration
        τ, in units of reward, or a schedule t -> τ_t such as `Decay`.

    References
    ----------
    Cen, Chen, Chi, "Independent Natural Policy Gradient Methods for Potential Games: Finite-time
    Global Convergence with Entropy Regularization", CDC 2022 (one state); Sun, Liu, Kumar,
    Shahrampour, "Linear Convergence of Independent Natural Policy Gradient in Games with Entropy
    Regularization", 2024; McKelvey, Palfrey, "Quantal Response Equilibria for Normal Form Games",
    1995.
    """

    def __init__(self, temperature: float | Callable[[int], float]) -> None:
        self.temperature = temperature
        self.name = "natural gradient + entropy"
        if callable(temperature):
            self.name += ", annealed"
        else:
            _not_negative("temperature", temperature)

    def _temperature(self, iteration: int) -> Any:
        given = self.temperature
        return _not_negative("temperature", given(iteration) if callable(given) else given)

    def theory_step(self, game: MarkovGame) -> Any:
        """1/(√N φmax + τ), if no action moves the state: Φ + τ Σ_i H_i never falls [derived].

        The proof of Proposition V.5 with τ KL(π'||π) more: the entropy is that much above its
        tangent. τ is that of the first iteration. (Cen, Chen, Chi 2022 have the same but for a
        constant, in one state.)
        """
        if game.exogenous_kernel is None:
            raise PmdError(
                f"no theory gives a step for {self.name!r} where actions move the state: own "
                "entropies are no potential there; give a number, or `best_step`"
            )
        heat = _like(self._temperature(0), game.initial)
        return 1 / (sqrt(game.num_agents, like=game.phi_max) * game.phi_max + heat)

    def move(self, state: Any, sight: Sight) -> Any:
        """Step on the regularised Q, and shrink log-policies by 1 - ητ."""
        evaluation = sight.evaluation
        heat = _like(self._temperature(sight.iteration), evaluation.game.initial)
        kept = 1 - sight.step * heat
        if certainly_negative(np.asarray(kept)).any():
            raise PmdError(
                f"step is {np.max(to_float(sight.step)):g}, must be at most 1/τ for the "
                f"temperature τ = {float(to_float(heat)):g}"
            )
        q = sight.averaged_q
        if evaluation.game.exogenous_kernel is None and heat:
            q = each_agent(
                lambda own, table, kernel: (
                    table + heat * self._entropy_ahead(evaluation, own, kernel)
                ),
                evaluation.policy,
                q,
                evaluation.kernels,
            )
        return each_agent(
            lambda logs, table: log_normalise(kept * logs + sight.step * table), state, q
        )

    @staticmethod
    def _entropy_ahead(evaluation: Evaluation, own: Array, kernel: Array) -> Array:
        """γ Σ_s' P_i(s'|s,a) H_i(s'): (..., S, A)."""
        discount = evaluation.game.discount
        logs = np.where(own == 0, 0, log(np.where(own == 0, 1, own)))
        later = discounted_sum(evaluation.kernel, -expectation(own, logs)[..., None], discount)
        return np.asarray(discount * (kernel @ later[..., None, :, :])[..., 0])


@dataclass(frozen=True)
class Decay:
    """A schedule that falls like a power of the iteration: first · (1 + t)^-power."""

    first: float
    power: float = 0.5

    def __call__(self, iteration: int) -> float:
        """Value at an iteration t = 0, 1, .."""
        return float(self.first * (1 + iteration) ** -self.power)


class OptimisticKL(SoftmaxLearner):
    """Optimistic KL steps: expect the next Q to differ from the last as that from the one before.

    π_i^{t+1} ∝ π_i^t exp(η (2 Q_i^t - Q_i^{t-1})), with Q_i^{-1} = Q_i^0: the first step is plain.
    In zero-sum games it converges where plain steps circle outwards.

    References
    ----------
    Rakhlin, Sridharan, "Optimization, Learning, and Games with Predictable Sequences", 2013;
    Daskalakis, Panageas, "Last-Iterate Convergence: Zero-Sum Games and Constrained Min-Max
    Optimization", ITCS 2019.
    """

    name = "optimistic KL"

    def begin(self, policy: Policy) -> dict[str, Any]:
        """Log-policy, and no Q seen yet."""
        return {"logs": each_agent(log, policy), "seen": None}

    def log_policy(self, state: dict[str, Any]) -> Sequence[Array]:
        """Return the log-policy."""
        family: Sequence[Array] = state["logs"]
        return family

    def move(self, state: dict[str, Any], sight: Sight) -> dict[str, Any]:
        """Step on twice the averaged Q less the one before."""
        now = sight.averaged_q
        before = now if state["seen"] is None else state["seen"]
        logs = each_agent(
            lambda own, q, old: log_normalise(own + sight.step * (q + (q - old))),
            state["logs"],
            now,
            before,
        )
        return {"logs": logs, "seen": now}


def _like(number: Any, array: Array) -> Any:
    """Return a number in the arithmetic of an array."""
    return to_exact(number) if is_exact(array) else number


def _not_negative(name: str, value: Any) -> Any:
    if not 0 <= float(to_float(value)) < np.inf:
        raise PmdError(f"{name} is {value!r}, must be finite and >= 0")
    return value


def _finite_normalise(logs: Array) -> Array:
    """Normalise, or return NaN where logarithms are infinite, without a warning."""
    with np.errstate(invalid="ignore"):
        return log_normalise(logs)
