"""Nash regret: measured along runs, against every bound of the theory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.analysis.equilibrium import argmax_mass, mismatch, nash_gap, tie_tolerance
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import (
    Array,
    enclose,
    is_exact,
    largest,
    largest_entries,
    log,
    smallest,
    sqrt,
    to_exact,
)
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    value_rounding,
)
from pmdlib.claims.instances import FULL_SUPPORT, IS_POTENTIAL, POSITIVE, exact_policy, runs
from pmdlib.claims.one_step import (
    same_step,
    stated_constant,
    stated_euclidean,
    stated_kl,
    sum_over,
)
from pmdlib.claims.ways.lemmas import CONSTANT_STEP, LOG_FORM
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.pmd import Trace, run_pmd

NOTEBOOK = "08-nash-regret"
SIZES = {"quick": 200, "full": 2500}


def _so_far(pick: Callable[..., Array], table: Array, axis: int) -> Array:
    """Largest or smallest entry up to each place of an axis."""
    if not is_exact(table):
        running = np.maximum if pick is largest else np.minimum
        return np.asarray(running.accumulate(table, axis=axis))
    rows = np.moveaxis(table, axis, 0)
    return np.moveaxis(np.stack([pick(rows[: t + 1], 0) for t in range(len(rows))]), 0, axis)


@dataclass(frozen=True)
class Run:
    """A run with its policies, and the quantities that the regret bounds are made of.

    Attributes
    ----------
    game : MarkovGame
    trace : Trace
        With recorded policies.
    """

    game: MarkovGame
    trace: Trace

    @cached_property
    def iterations(self) -> Array:
        """T = 1, 2, .., shaped to broadcast over batch axes."""
        return np.arange(1, self.trace.iterations + 1)[:, None]

    @cached_property
    def _kappas(self) -> Array:
        """κ_T and κ_μ for every T, (2, T, B): both denominators in one pass over the run."""
        states = self.game.num_states
        uniform = (0 * self.game.initial + 1) / states
        starts = np.stack([self.game.initial, uniform])
        each = mismatch(self.game, self.trace.policies, starts[:, None, None])
        return _so_far(largest, each, axis=1)

    @property
    def kappa(self) -> Array:
        """κ_T for every T, (T, B)."""
        return np.asarray(self._kappas[0])

    @property
    def kappa_uniform(self) -> Array:
        """κ_μ for every T, (T, B): the denominator starts from the uniform distribution."""
        return np.asarray(self._kappas[1])

    @cached_property
    def c(self) -> Array:
        """c_T for every T, (T, B)."""
        return _so_far(smallest, self.trace.c, axis=0)

    @property
    def regret(self) -> Array:
        """Nash regret for every T, (T, B)."""
        return self.trace.nash_regret


def record(
    game: MarkovGame, policy: Policy, iterations: int, mirror_map: str, step: str | float
) -> Run:
    """Run PMD from a batch of starts (B, S, A_i) and keep what the bounds need.

    Exact starts are enclosed in balls, because rationals grow with every iteration; not those of a
    single agent in a single state, whose Q never changes.
    """
    if game.num_agents * game.num_states > 1:
        policy = tuple(enclose(own) for own in policy)
    trace = run_pmd(
        game, mirror_map, step, iterations, policy, record_policies=True, progress=False
    )
    return Run(game, trace)


Bound = Callable[[Run, Array], Array]


def euclidean_bound(run: Run, kappa: Array, *, sharp: bool = False) -> Array:
    """Bound on the Euclidean Nash regret at the paper's step, (T, B).

    ``run`` is of a batch of B starts, ``kappa`` (T, B) its κ_T or κ_μ; ``sharp`` takes
    9.7 in place of 32.
    """
    formula = bounds.regret_euclidean_sharp if sharp else bounds.regret_euclidean
    return np.asarray(
        formula(
            phi_max=run.game.phi_max,
            discount=run.game.discount,
            num_actions=run.game.num_actions,
            mismatch=kappa,
            iterations=run.iterations,
        )
    )


def kl_bound(run: Run, kappa: Array, *, sharp: bool = False) -> Array:
    """Bound on the KL Nash regret at the paper's step (Theorem V.6), (T, B).

    ``run`` is of a batch of B starts, ``kappa`` (T, B) its κ_T or κ_μ; ``sharp`` takes
    8/3 in place of 12.
    """
    formula = bounds.regret_kl_sharp if sharp else bounds.regret_kl
    return np.asarray(
        formula(
            phi_max=run.game.phi_max,
            discount=run.game.discount,
            num_agents=run.game.num_agents,
            mismatch=kappa,
            c=run.c,
            iterations=run.iterations,
        )
    )


def kl_constant_bound(run: Run, kappa: Array) -> Array:
    """Bound on the KL Nash regret at the step (1-γ)/φmax, free of N, (T, B).

    ``run`` is of a batch of B starts, ``kappa`` (T, B) its κ_T or κ_μ.
    """
    return np.asarray(
        bounds.regret_kl_constant_step(
            phi_max=run.game.phi_max,
            discount=run.game.discount,
            mismatch=kappa,
            c=run.c,
            iterations=run.iterations,
        )
    )


def _regret_sides(
    mirror_map: str,
    step: str,
    stated: Callable[[MarkovGame], float],
    parts: dict[str, tuple[Bound, bool]],
    instance: Instance,
) -> Iterator[Comparison]:
    """Compare the regret after every T with each bound; κ_T or κ_μ as the part says."""
    run = record(instance.game, instance.policy, instance.extra["iterations"], mirror_map, step)
    for part, (bound, uniform) in parts.items():
        kappa = run.kappa_uniform if uniform else run.kappa
        yield Comparison(
            run.regret.T, bound(run, kappa).T, value_rounding(instance.game), "<=", part
        )
    yield same_step(instance, run.trace.step, stated(instance.game))


_EUCLIDEAN_PARTS: dict[str, tuple[Bound, bool]] = {
    "constant 32, κ_T": (euclidean_bound, False),
    "constant 32, κ_μ": (euclidean_bound, True),
    "constant 9.7 [beyond]": (partial(euclidean_bound, sharp=True), False),
}
_KL_PARTS: dict[str, tuple[Bound, bool]] = {
    "constant 12, κ_T": (kl_bound, False),
    "constant 12, κ_μ": (kl_bound, True),
    "constant 8/3 [beyond]": (partial(kl_bound, sharp=True), False),
}
_CONSTANT_PARTS: dict[str, tuple[Bound, bool]] = {
    "constant 2, κ_T": (kl_constant_bound, False),
    "constant 2, κ_μ": (kl_constant_bound, True),
}


def _euclidean_sides(instance: Instance) -> Iterator[Comparison]:
    yield from _regret_sides("euclidean", "paper", stated_euclidean, _EUCLIDEAN_PARTS, instance)
    game = instance.game
    step = bounds.step_euclidean_large(
        phi_max=game.phi_max, discount=game.discount, num_actions=game.num_actions
    )
    run = record(game, instance.policy, instance.extra["iterations"], "euclidean", step)
    bound = bounds.regret_euclidean_large_step(
        phi_max=game.phi_max,
        discount=game.discount,
        num_actions=game.num_actions,
        mismatch=run.kappa,
        iterations=run.iterations,
    )
    yield Comparison(
        run.regret.T,
        np.asarray(bound).T,
        value_rounding(game),
        "<=",
        "constant 4.5, eight times the step [beyond]",
    )
    yield same_step(instance, step, 8 * stated_euclidean(game))


def log_form(game: MarkovGame, trace: Trace) -> tuple[Array, Array]:
    """Both sides of the log form for every T: η Σ_t max_a A_i^t(s, a), Σ_phases log(1/π(a*)) + 2.

    A phase is a maximal stretch of iterations with the same best action a* of agent i in state s.

    ``trace`` is a KL run of a batch of B starts, with recorded policies.

    Returns
    -------
    left, right : ndarray (T, B, Σ_i S)
        One entry for each iteration, run of the batch, and agent and state.
    """
    evaluation = Evaluation(game, tuple(own[:-1] for own in trace.policies))
    lefts, rights = [], []
    for own, advantage in zip(evaluation.policy, evaluation.advantages, strict=True):
        best = largest_entries(advantage, 0).argmax(axis=-1)
        begins = np.ones(best.shape, dtype=bool)
        begins[1:] = best[1:] != best[:-1]
        mass = np.take_along_axis(own, best[..., None], axis=-1)[..., 0]
        lefts.append(trace.step * largest(advantage).cumsum(axis=0))
        rights.append(np.where(begins, -log(mass), 0).cumsum(axis=0) + 2)
    return np.concatenate(lefts, axis=-1), np.concatenate(rights, axis=-1)


def _log_sides(instance: Instance) -> Iterator[Comparison]:
    iterations = instance.extra["iterations"]
    run = record(instance.game, instance.policy, iterations, "kl", "constant")
    left, right = (np.swapaxes(side, 0, 1) for side in log_form(instance.game, run.trace))
    tolerance = iterations * run.trace.step * value_rounding(instance.game)
    yield Comparison(left, right, tolerance, "<=")


# Controls


def _rare_best_action(iterations: int, step: str | int) -> Run:
    start = exact_policy(catalogue.rare_best_action_start())
    return record(catalogue.rare_best_action().exact(), start, iterations, "kl", step)


#: φmax, γ and κ of the controls with one state and payoffs up to 1.
_ONE_STATE = {"phi_max": fmpq(1), "discount": fmpq(0), "mismatch": fmpq(1)}


def _without_c() -> Comparison:
    """C replaced by 1: one agent that starts with mass 1e-6 on its best action, ten iterations."""
    run = _rare_best_action(10, 1)
    claimed = bounds.regret_kl_constant_step(**_ONE_STATE, c=fmpq(1), iterations=10)
    return Comparison(run.regret[-1], claimed, 0, "<=")


def _without_c_paper_step() -> Comparison:
    """Replace c by 1 at the paper's step, with the constant 12 of Theorem V.6."""
    run = _rare_best_action(20, "paper")
    claimed = bounds.regret_kl(**_ONE_STATE, num_agents=1, c=fmpq(1), iterations=20)
    return Comparison(run.regret[-1], claimed, 0, "<=")


def _without_m() -> Comparison:
    """M replaced by 1: one agent with 64 actions and no mass on the only good one."""
    start = exact_policy(catalogue.needle_start())
    run = record(catalogue.needle().exact(), start, 256, "euclidean", "paper")
    claimed = bounds.regret_euclidean(**_ONE_STATE, num_actions=(1,), iterations=256)
    return Comparison(run.regret[-1], claimed, 0, "<=")


def patient(actions: int) -> tuple[TabularGame, Policy]:
    """One agent, one state, γ = 99/100: the first action pays 1, and is hardly played for long.

    Two actions start even; of more, the first starts at zero, which only the Euclidean step leaves.
    """
    payoffs, one = to_exact(np.eye(1, actions)), to_exact(np.ones((1, 1)))
    own = to_exact(np.ones(actions))
    own[0] = fmpq(actions == 2)
    game = TabularGame(payoffs, one, discount=fmpq(99, 100))
    return game, ((own / own.sum())[None, None],)


def _short_horizon(
    bound: Bound, mirror_map: str, step: str, actions: int, iterations: int
) -> Comparison:
    """One half power of 1/(1-γ) less than proved, over a horizon of 100."""
    game, start = patient(actions)
    run = record(game, start, iterations, mirror_map, step)
    claimed = bound(run, np.asarray(fmpq(1))) * sqrt(1 - game.discount)
    return Comparison(run.regret[-1], claimed[-1], 0, "<=")


def _horizon_control(
    bound: Bound, mirror_map: str, step: str, actions: int, iterations: int
) -> Control:
    return Control(
        "short-horizon",
        f"(1-γ)² in place of (1-γ)³: one agent, {actions} actions, γ = 99/100, T = {iterations}",
        partial(_short_horizon, bound, mirror_map, step, actions, iterations),
    )


def _without_mismatch(mirror_map: str, step: str) -> Comparison:
    """κ = 1 in the step that the proof sums: gap² <= κ/(1-γ)² Σ d^{t+1}(s) (A*)²."""
    game = catalogue.rare_visit().exact()
    start = exact_policy(catalogue.rare_visit_start())
    run = record(game, start, 1, mirror_map, step)
    before = Evaluation(game, start)
    after = Evaluation(game, tuple(own[1] for own in run.trace.policies))
    best = sum_over(largest(part) ** 2 for part in before.advantages)
    visited = (after.occupancy(game.initial) * best).sum(axis=-1)
    gap = np.asarray(nash_gap(game, start))
    return Comparison(gap**2, visited / (1 - game.discount) ** 2, 0, "<=")


def _one_phase() -> Comparison:
    """Only the first phase counted: slow-switch, where the best row changes once."""
    game = catalogue.slow_switch(0.05).exact()
    start = exact_policy(catalogue.slow_switch_start())
    run = record(game, start, 200, "kl", "constant")
    left = log_form(game, run.trace)[0][-1]
    first = Evaluation(game, start)
    mass = [
        argmax_mass(own, q, tie_tolerance(game))
        for own, q in zip(first.policy, first.averaged_q, strict=True)
    ]
    return Comparison(left, 2 - log(np.concatenate(mass, axis=-1)), 0, "<=")


def _without_log() -> Comparison:
    """Drop the phase term: at most 2, although the best action starts at 1e-6."""
    run = _rare_best_action(10, 1)
    return Comparison(log_form(run.game, run.trace)[0][-1], 2, 0, "<=")


def _finite_mismatch(instance: Instance) -> Array:
    """Every state that matters is reachable: κ_T is finite if every state is visited from ρ."""
    visits = instance.evaluation.occupancy(instance.game.initial)
    return np.asarray((visits > 0).all(axis=-1))


_EUCLIDEAN_HYPOTHESES = (
    IS_POTENTIAL,
    POSITIVE,
    Hypothesis("every state is visited, so that κ_T is finite", _finite_mismatch),
)
_HYPOTHESES = (*_EUCLIDEAN_HYPOTHESES, FULL_SUPPORT)


def _no_mismatch(mirror_map: str, step: str) -> Control:
    return Control(
        "without-mismatch",
        "κ = 1 in the step that the proof sums, rare-visit game, as squared gaps",
        partial(_without_mismatch, mirror_map, step),
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="regret-euclidean",
        tag="derived",
        label="Section V.A, Nash regret",
        statement=(
            r"\frac1T \sum_{t<T} \mathrm{gap}_t \le \phi_{\max}"
            r" \sqrt{\frac{32\,\kappa_T \sum_i |\mathcal A_i|}{(1-\gamma)^3\, T}}, \qquad"
            r" \eta = \frac{1-\gamma}{4\,\phi_{\max}\sum_i|\mathcal A_i|}"
        ),
        notebook=NOTEBOOK,
        hypotheses=_EUCLIDEAN_HYPOTHESES,
        instances=runs,
        compare=_euclidean_sides,
        controls=(
            Control(
                "without-m", "Σ|A_i| replaced by 1: 64 actions, no mass on the good one", _without_m
            ),
            _no_mismatch("euclidean", "paper"),
            _horizon_control(euclidean_bound, "euclidean", "paper", 8, 532),
        ),
        sizes=SIZES,
        attack={"iterations": 4},
    ),
    Claim(
        name="regret-kl",
        tag="derived",
        label="Theorem V.6",
        statement=(
            r"\frac1T \sum_{t<T} \mathrm{gap}_t \le \phi_{\max}"
            r" \sqrt{\frac{12\,\kappa_T \sqrt N}{c_T\,(1-\gamma)^3\, T}}, \qquad"
            r" \eta = \frac{1-\gamma}{2\,\phi_{\max}\sqrt N}"
        ),
        notebook=NOTEBOOK,
        hypotheses=_HYPOTHESES,
        instances=runs,
        compare=partial(_regret_sides, "kl", "paper", stated_kl, _KL_PARTS),
        controls=(
            Control(
                "without-c",
                "c replaced by 1: the best action starts at 1e-6, twenty iterations",
                _without_c_paper_step,
            ),
            _no_mismatch("kl", "paper"),
            _horizon_control(kl_bound, "kl", "paper", 2, 200),
        ),
        sizes=SIZES,
        lemmas=CONSTANT_STEP,
        attack={"iterations": 4},
    ),
    Claim(
        name="regret-kl-constant-step",
        tag="beyond",
        label="Theorem V.6 without N",
        statement=(
            r"\frac1T \sum_{t<T} \mathrm{gap}_t \le \phi_{\max}"
            r" \sqrt{\frac{2\,\kappa_T}{c_T\,(1-\gamma)^3\, T}}, \qquad"
            r" \eta = \frac{1-\gamma}{\phi_{\max}}"
        ),
        notebook=NOTEBOOK,
        hypotheses=_HYPOTHESES,
        instances=runs,
        compare=partial(_regret_sides, "kl", "constant", stated_constant, _CONSTANT_PARTS),
        controls=(
            Control(
                "without-c",
                "c replaced by 1: the best action starts at 1e-6, step 1, ten iterations",
                _without_c,
            ),
            _no_mismatch("kl", "constant"),
            _horizon_control(kl_constant_bound, "kl", "constant", 2, 100),
        ),
        sizes=SIZES,
        lemmas=CONSTANT_STEP,
        attack={"iterations": 4},
    ),
    Claim(
        name="regret-kl-log",
        tag="beyond",
        label="log form of the KL regret",
        statement=(
            r"\eta \sum_{t<T} \max_a \bar A_i^t(s,a) \le \sum_{\text{phases of } a^*}"
            r" \log\frac{1}{\pi_i^{\text{start}}(a^*|s)} + 2, \qquad"
            r" \eta = \frac{1-\gamma}{\phi_{\max}}"
        ),
        notebook=NOTEBOOK,
        hypotheses=(IS_POTENTIAL, POSITIVE, FULL_SUPPORT),
        instances=runs,
        compare=_log_sides,
        controls=(
            Control(
                "without-log", "the bound 2 alone: the best action starts at 1e-6", _without_log
            ),
            Control(
                "one-phase",
                "only the first phase counted, slow-switch ε = 0.05",
                _one_phase,
            ),
        ),
        sizes=SIZES,
        lemmas=LOG_FORM,
        attack={"iterations": 4},
    ),
)
