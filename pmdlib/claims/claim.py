"""What a claim is: a statement, its hypotheses, two sides, and controls that must be refuted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import UNIT_ROUNDOFF, Array, is_exact, rationals, to_exact
from pmdlib.claims.ways.lemmas import Lemma
from pmdlib.games.game import MarkovGame, Policy

Tag = Literal["paper", "derived", "beyond"]
Relation = Literal["==", ">=", "<="]
Outcome = Literal["verified", "refuted", "inconclusive"]


def value_rounding(game: MarkovGame) -> Any:
    """Bound the rounding error of a value, or of a sum over states of occupancy times averaged Q.

    A value solves a system with condition number at most (1+γ)/(1-γ) and right-hand sides of size
    max|r|; sums run over S states and the agents' averages. 64 covers the constants of those sums
    and of Gaussian elimination for the sizes used here; it is not tuned to what passes. Exact games
    have no rounding: 0.
    """
    if is_exact(game.initial):
        return 0
    size = game.num_states + sum(game.num_actions)
    scale = game.reward_bound
    if game.has_potential:
        scale = max(scale, game.phi_max)
    return 64 * UNIT_ROUNDOFF * size * scale / (1 - game.discount) ** 2


@dataclass(frozen=True)
class Instance:
    """A game with a batch of policies, and whatever else a claim is about.

    Attributes
    ----------
    game : MarkovGame
    policy : tuple of N arrays (B, S, A_i)
        B policies; each counts as one instance.
    source : str
        Where it came from, enough to make it again.
    extra : mapping
        What else the sides need: a target policy, an agent, a step, a run. Lists and arrays of more
        than two axes have one entry for each policy; arrays of two axes are policies (S, A_i).
    twin : callable (which) -> Instance, optional
        An exact counterpart of one of the policies, where rounding would lose what the instance is
        about, such as being a fixed point.
    """

    game: Any
    policy: Policy
    source: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    twin: "Callable[[int], Instance] | None" = None

    def with_extra(self, **more: Any) -> "Instance":
        """Return the same instance with more in ``extra``."""
        return replace(self, extra={**self.extra, **more})

    def exact(self, which: int) -> "Instance":
        """Return one of the policies as an instance over rationals with short denominators.

        The game is the one that its floats are, exactly; probabilities are rounded to multiples of
        2^-`SHORT_BITS` (positive ones stay positive) and scaled to sum to one. An instance that
        brings a ``twin`` returns that.
        """
        if self.twin is not None:
            return self.twin(which)
        return Instance(
            self.game if is_exact(self.game.initial) else self.game.exact(),
            tuple(_short(own[[which]]) for own in self.policy),
            f"{self.source}, policy {which}",
            {name: _exactly(value, which) for name, value in self.extra.items()},
        )

    @property
    def count(self) -> int:
        """Number of policies B."""
        return len(self.policy[0])

    @property
    def evaluation(self) -> Evaluation:
        """Evaluation of the whole batch of policies."""
        return Evaluation(self.game, self.policy)


#: Bits of the probabilities of exact instances: enough to come close to the vertices, few enough
#: that rationals stay short through a step and two linear solves.
SHORT_BITS = 12


def _short(policy: Array) -> Array:
    if is_exact(policy):
        return policy
    weights = np.maximum(np.round(policy * 2**SHORT_BITS), policy > 0).astype(int)
    return rationals(weights, np.broadcast_to(weights.sum(-1, keepdims=True), weights.shape))


def _exactly(value: Any, which: int) -> Any:
    """Convert what an instance carries besides its policy."""
    if isinstance(value, tuple):
        return tuple(_exactly(part, which) for part in value)
    if isinstance(value, list):
        return [value[which]]
    if isinstance(value, np.ndarray):
        own = value if value.ndim == 2 else value[[which]]
        return _short(own) if own.dtype.kind == "f" else own
    return to_exact(np.float32(value)) if isinstance(value, float) else value


#: A ratio of two sides is reported if the smaller is this many tolerances: six digits are right.
VISIBLE = 10**6


@dataclass(frozen=True)
class Comparison:
    """Two sides of (one part of) a claim on an instance, computed by separate routes.

    Attributes
    ----------
    left, right : ndarray (B, ...)
        First axis: the policies of the instance.
    tolerance : float or ndarray
        How far rounding may move left - right: from conditioning, stated where it is computed.
    relation : "==", ">=" or "<="
    part : str
        Which part of the claim, where it has several.
    applies : ndarray (B,) of bool, optional
        For which policies this part says something; all by default. The others are not counted.

    Examples
    --------
    A bound that holds with room on the first policy and with equality on the second:

    >>> from pmdlib.claims.claim import Comparison
    >>> left, right = np.array([2.0, 3.0]), np.array([1.0, 3.0])
    >>> bound = Comparison(left, right, tolerance=1e-12, relation=">=")
    >>> bound.holds.tolist(), bound.slack.tolist()
    ([True, True], [2.0, 1.0])
    """

    left: Any
    right: Any
    tolerance: Any
    relation: Relation
    part: str = "statement"
    applies: Array | bool = True

    @property
    def violation(self) -> Array:
        """By how much the relation fails in floats, (B, ...); not positive where it holds."""
        left, right = np.asarray(self.left), np.asarray(self.right)
        with np.errstate(invalid="ignore"):
            if self.relation == "==":
                return np.asarray(abs(left - right))
            return np.asarray(right - left if self.relation == ">=" else left - right)

    @property
    def holds(self) -> Array:
        """Whether the relation holds within tolerance, (B, ...); never where a side is NaN."""
        return np.asarray(self.violation <= self.tolerance)

    @property
    def slack(self) -> Array:
        """How loose the relation is, (B, ...).

        For an inequality the larger side over the smaller, at least 1 where it holds; infinity
        where the smaller side is negative or too close to rounding for the ratio to say anything.
        For an equality the difference over the tolerance, at most 1 where it holds.
        """
        left, right = np.broadcast_arrays(self.left, self.right)
        if self.relation == "==":
            return np.asarray(self.violation / np.asarray(self.tolerance))
        larger, smaller = (left, right) if self.relation == ">=" else (right, left)
        visible = smaller > VISIBLE * np.asarray(self.tolerance)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(visible, larger / smaller, np.inf)


@dataclass(frozen=True)
class Hypothesis:
    """A condition that an instance must meet before a claim says anything about it."""

    name: str
    holds: Callable[[Instance], Array | bool]


@dataclass(frozen=True)
class Sizes:
    """How large random games may be, and how long runs.

    Attributes
    ----------
    agents, states, actions, joint_actions : int
        Upper limits; actions are those of one agent.
    iterations : int
        Upper limit on the updates of a run.
    """

    agents: int
    states: int
    actions: int
    joint_actions: int
    iterations: int


#: Games for floats, and smaller ones for exact numbers and balls.
LARGE = Sizes(agents=6, states=6, actions=5, joint_actions=1500, iterations=60)
SMALL = Sizes(agents=5, states=4, actions=4, joint_actions=120, iterations=8)


@dataclass(frozen=True)
class Control:
    """A false variant of a claim, with an instance that must refute it.

    Attributes
    ----------
    name : str
    description : str
        What was mutated or dropped, and on which instance.
    compare : callable () -> Comparison
        The false relation on that instance, in exact numbers: it must fail for certain.

    Examples
    --------
    The claim "no advantage is positive" is false away from equilibria: an instance says so,
    exactly.

    >>> from pmdlib.claims.claim import Comparison, Control
    >>> from pmdlib.claims.ways.certifying import certify_control
    >>> from pmdlib.games.catalogue import isolated
    >>> def nobody_gains():
    ...     game = isolated().exact()
    ...     gains = pmd.advantages(game, pmd.uniform_policy(game))
    ...     return Comparison(gains[0], 0, 0, "<=")
    >>> result = certify_control(Control("nobody-gains", "even mixtures", nobody_gains))
    >>> result.refuted, result.how, result.value
    (True, 'exact', 0.125)
    """

    name: str
    description: str
    compare: Callable[[], Comparison]


@dataclass(frozen=True)
class ControlResult:
    """What became of a control: the side that was measured, and the one that was claimed.

    Attributes
    ----------
    refuted : bool
        Whether the false relation fails for certain.
    how : str
        "exact", in rationals, or "certified at P bits", in balls; why not, if not refuted.
    value, claimed : float
        The two sides where they are the furthest apart, rounded.
    """

    refuted: bool
    how: str
    value: float
    claimed: float
    relation: Relation
    description: str


@dataclass(frozen=True)
class Claim:
    """One statement of the theory, and how to check it.

    Attributes
    ----------
    name : str
        What the command line and the ledger call it.
    tag : "paper", "derived" or "beyond"
    label : str
        The paper's label, or where the statement stands in the theory.
    statement : str
        LaTeX, without dollar signs.
    notebook : str
        The notebook that shows it.
    hypotheses : tuple of Hypothesis
    instances : callable (rng, sizes) -> iterator of Instance
        Endless; `Sizes` says how large games and how long runs may be.
    compare : callable (Instance) -> iterator of Comparison
    controls : tuple of Control
    sizes : mapping
        Number of instances for each profile.
    symbolic : callable () -> iterator of Comparison
        Sides of a generic game, whose entries are symbols: identities for all games of a shape.
    lemmas : tuple of Lemma
        Scalar facts that the proof rests on.
    attack : mapping, optional
        What an attack on it carries besides game and policy, such as ``units`` or ``iterations``;
        None if nobody attacks it.

    Examples
    --------
    An agent's advantages average to zero over its own policy. The control drops its weights.

    >>> from pmdlib.claims.checking import check
    >>> from pmdlib.claims.claim import Claim, Comparison, Control, value_rounding
    >>> from pmdlib.claims.instances import any_instances
    >>> from pmdlib.games.catalogue import isolated
    >>> def sides(instance):
    ...     own, gains = instance.policy[0], instance.evaluation.advantages[0]
    ...     yield Comparison((own * gains).sum(axis=-1), 0, value_rounding(instance.game), "==")
    >>> def unweighted():
    ...     game = isolated().exact()
    ...     gains = pmd.advantages(game, pmd.deterministic_policy(game, [[0], [0]]))
    ...     return Comparison(gains[0].sum(axis=-1), 0, 0, "==")
    >>> claim = Claim(
    ...     name="centred",
    ...     tag="derived",
    ...     label="definition of the advantage",
    ...     statement="the mean of A_i(s, .) under π_i(.|s) is 0",
    ...     notebook="01-markov-potential-games",
    ...     hypotheses=(),
    ...     instances=any_instances,
    ...     compare=sides,
    ...     controls=(Control("unweighted", "the plain sum", unweighted),),
    ...     sizes={"quick": 100, "full": 1000},
    ... )
    >>> check(claim, instances=5).verdict
    'verified'
    """

    name: str
    tag: Tag
    label: str
    statement: str
    notebook: str
    hypotheses: tuple[Hypothesis, ...]
    instances: Callable[[np.random.Generator, Sizes], Iterator[Instance]]
    compare: Callable[[Instance], Iterator[Comparison]]
    controls: tuple[Control, ...]
    sizes: Mapping[str, int]
    symbolic: Callable[[], Iterator[Comparison]] | None = None
    lemmas: tuple[Lemma, ...] = ()
    attack: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Verdict:
    """What checking a claim showed.

    Attributes
    ----------
    verdict : "verified", "refuted" or "inconclusive"
        Verified: it held on every instance that met the hypotheses, there were such instances, and
        every control was refuted. Refuted: it failed on an instance.
    ways : dict
        For each way of checking, what it showed; see `pmdlib.claims.checking`.
    controls : dict of ControlResult
    samples : DataFrame
        One row an instance and part: both sides at the tightest place, slack, sizes. For figures;
        not part of the ledger.
    """

    name: str
    tag: Tag
    label: str
    statement: str
    notebook: str
    verdict: Outcome
    profile: str
    seed: int
    ways: dict[str, dict[str, Any]]
    controls: dict[str, ControlResult]
    samples: pd.DataFrame = field(repr=False, compare=False)

    @property
    def verified(self) -> bool:
        """Whether the claim was verified, which includes that every control was refuted."""
        return self.verdict == "verified"

    def to_dict(self) -> dict[str, Any]:
        """Return what the ledger keeps: everything but the samples, ready for JSON."""
        kept = {
            key: getattr(self, key)
            for key in ("name", "tag", "label", "statement", "notebook", "verdict", "profile")
        }
        controls = {name: asdict(result) for name, result in self.controls.items()}
        return kept | {"seed": self.seed, "ways": self.ways, "controls": controls}
