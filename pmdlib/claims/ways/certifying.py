"""Exact and certified checks: on rationals and balls a relation is proved, disproved or undecided.

An instance over rationals goes through the same code as one over floats. What stays rational is
decided as it is. Where a step takes an exponential or a root, the sides come out as balls, and the
precision is raised until the balls decide, or until `LAST_BITS`: then the instance is reported as
undecided, never guessed. No tolerance enters.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import fmpq

from pmdlib.arithmetic import (
    FIRST_BITS,
    LAST_BITS,
    Array,
    Ball,
    UndecidedError,
    precision,
    to_float,
)
from pmdlib.claims.claim import (
    SMALL,
    Claim,
    Comparison,
    Control,
    ControlResult,
    Instance,
    Relation,
)
from pmdlib.claims.ways.evidence import Evidence
from pmdlib.errors import NotConvergedError

#: Two balls cannot prove two irrational numbers equal. They agree if their difference encloses 0 in
#: a ball no wider than this times the larger of 1 and the sides.
AGREEMENT = 1e-20

PROVED, AGREES, UNDECIDED, DISPROVED = range(4)

#: Numbers that are what they say, or enclose it.
_CERTAIN = (int, np.integer, fmpq, Ball)


def decide(comparison: Comparison) -> Array:
    """Decide a relation entry by entry: `PROVED`, `AGREES`, `UNDECIDED` or `DISPROVED`, (B, ...).

    Raises
    ------
    TypeError
        If a side holds floats, whose errors nobody knows.
    """
    left, right = np.broadcast_arrays(comparison.left, comparison.right)
    decided = np.empty(left.shape, dtype=int)
    for index in np.ndindex(*left.shape):
        decided[index] = _decide(left[index], right[index], comparison.relation)
    return decided


def _decide(left: Any, right: Any, relation: Relation) -> int:
    if not all(isinstance(side, _CERTAIN) for side in (left, right)):
        raise TypeError(
            f"{left!r} {relation} {right!r} cannot be certified: a side is a float, or no number"
        )
    difference = left - right if relation != "<=" else right - left
    if not isinstance(difference, Ball):
        holds = difference == 0 if relation == "==" else difference >= 0
        return PROVED if holds else DISPROVED
    enclosed = difference.arb
    if not enclosed.is_finite():
        return UNDECIDED
    if relation != "==":
        return PROVED if enclosed >= 0 else DISPROVED if enclosed < 0 else UNDECIDED
    if enclosed != 0:
        return DISPROVED
    if enclosed == 0:
        return PROVED
    size = max(1.0, abs(float(to_float(left))))
    return AGREES if difference.width <= AGREEMENT * size else UNDECIDED


def _decided(
    sides: Callable[[], Iterable[Comparison]],
) -> tuple[list[tuple[Comparison, Array]], int, str]:
    """Decide comparisons with as many bits as it takes.

    Returns
    -------
    list of (Comparison, decisions), empty if they could not even be computed
    int
        The bits of the last attempt.
    str
        What stayed undecided at `LAST_BITS`; nothing if it was decided.
    """
    bits = FIRST_BITS
    while True:
        with precision(bits):
            try:
                decided = [(comparison, decide(comparison)) for comparison in sides()]
                worst = max((int(d.max(initial=PROVED)) for _, d in decided), default=PROVED)
                reason = f"two sides are too close at {bits} bits" if worst == UNDECIDED else ""
            except (UndecidedError, NotConvergedError) as error:
                decided, reason = [], str(error)
        if not reason or bits >= LAST_BITS:
            return decided, bits, reason
        bits *= 2


@dataclass
class _Part:
    """Running account of one part of a claim."""

    relation: Relation
    counts: list[int] = field(default_factory=lambda: [0] * 4)
    slack: float = np.inf
    error: float = 0.0
    balls: bool = False

    def report(self) -> dict[str, Any]:
        """Say what the ledger keeps of this part."""
        said: dict[str, Any] = {"relation": self.relation, "compared": sum(self.counts)}
        names = ("proved", "agree", "undecided", "disproved")
        said |= {name: n for name, n in zip(names, self.counts, strict=True) if n}
        if self.relation != "==" and np.isfinite(self.slack):
            said["worst_slack"] = self.slack
        if self.relation == "==":
            said["worst_error"] = self.error
        return said

    def add(self, comparison: Comparison, decided: Array) -> None:
        """Count what one comparison of one instance showed: the worst of its entries."""
        self.counts[int(decided.max(initial=PROVED))] += 1
        left, right = np.broadcast_arrays(comparison.left, comparison.right)
        for low, high in zip(left.flat, right.flat, strict=True):
            larger, smaller = (high, low) if comparison.relation == "<=" else (low, high)
            self.balls |= isinstance(low, Ball) or isinstance(high, Ball)
            if comparison.relation == "==":
                self.error = max(self.error, abs(float(to_float(low - high))))
            elif float(to_float(smaller)) > 0:
                self.slack = min(self.slack, float(to_float(larger / smaller)))


@dataclass
class Account:
    """What exact and certified checks of a claim have shown so far.

    Attributes
    ----------
    instances, failures, undecided, skipped : int
    agreeing : int
        How many only agree, in the first part of the claim, because balls prove no equality.
    bits : int
        The largest precision that was needed; 0 while everything was rational.
    parts : dict
    first_failure, first_undecided : str
        The instance and the reason.
    """

    instances: int = 0
    failures: int = 0
    undecided: int = 0
    skipped: int = 0
    agreeing: int = 0
    bits: int = 0
    parts: dict[str, _Part] = field(default_factory=dict)
    first_failure: str = ""
    first_undecided: str = ""

    def check(self, claim: Claim, instance: Instance) -> None:
        """Check one exact instance, with balls as precise as it takes."""

        def sides() -> Iterator[Comparison]:
            if all(np.all(hypothesis.holds(instance)) for hypothesis in claim.hypotheses):
                yield from (c for c in claim.compare(instance) if np.all(c.applies))

        comparisons, bits, reason = _decided(sides)
        with precision(bits):
            self._keep(instance, comparisons, bits, reason)

    def _keep(
        self,
        instance: Instance,
        comparisons: list[tuple[Comparison, Array]],
        bits: int,
        reason: str,
    ) -> None:
        if not comparisons and not reason:  # a hypothesis is not met, or no part applies
            self.skipped += 1
            return
        self.instances += 1
        for comparison, decided in comparisons:
            part = self.parts.setdefault(comparison.part, _Part(comparison.relation))
            part.add(comparison, decided)
            if part.balls:
                self.bits = max(self.bits, bits)
        if any((decided == DISPROVED).any() for _, decided in comparisons):
            self.failures += 1
            self.first_failure = self.first_failure or instance.source
        elif reason:
            self.undecided += 1
            self.first_undecided = self.first_undecided or f"{instance.source}: {reason}"
        else:
            statement = next(iter(self.parts))
            self.agreeing += any(
                (decided == AGREES).any()
                for comparison, decided in comparisons
                if comparison.part == statement
            )

    @property
    def decided(self) -> int:
        """How many instances were decided, for or against the claim."""
        return self.instances - self.undecided

    def report(self) -> dict[str, Any]:
        """Say what the ledger keeps."""
        said: dict[str, Any] = {
            "instances": self.decided,
            "skipped": self.skipped,
            "failures": self.failures,
            "undecided": self.undecided,
        }
        said |= {"agreeing": self.agreeing} if self.agreeing else {}
        said |= {"bits": self.bits} if self.bits else {}
        said |= {"first_failure": self.first_failure} if self.first_failure else {}
        said |= {"first_undecided": self.first_undecided} if self.first_undecided else {}
        said["parts"] = {name: part.report() for name, part in self.parts.items()}
        return said | (next(iter(self.parts.values())).report() if self.parts else {})


def exact_instances(claim: Claim, rng: np.random.Generator) -> Iterator[Instance]:
    """Turn what a claim's generator yields into exact instances, one policy of each game."""
    for number, instance in enumerate(claim.instances(rng, SMALL)):
        yield instance.exact(number % instance.count)


#: Instances that the exact and certified way decides.
CERTIFIED = {"quick": 24, "full": 200}


def check_rigorously(
    claim: Claim, rng: np.random.Generator, profile: str, count: int | None = None
) -> Evidence:
    """Check a claim on rationals, and on balls where a side is irrational: no tolerance.

    Parameters
    ----------
    claim : Claim
    rng : numpy.random.Generator
    profile : "quick" or "full"
        Says how many instances to decide: `CERTIFIED`.
    count : int, optional
        An upper limit on that number.

    Returns
    -------
    Evidence
        The report says how many instances were decided, at how many bits the hardest, and how many
        stayed undecided; they do not count.
    """
    wanted = min(CERTIFIED[profile], count or CERTIFIED[profile])
    account = Account()
    for number, instance in enumerate(exact_instances(claim, rng)):
        account.check(claim, instance)
        if account.decided >= wanted or number > 20 * wanted:
            break
    way = "certified" if account.bits else "exact"
    return Evidence(way, account.decided, account.failures, account.report())


def certify_control(control: Control) -> ControlResult:
    """Evaluate the false relation of a control: it must fail for certain."""
    decided, bits, reason = _decided(lambda: [control.compare()])
    if not decided:
        return ControlResult(False, reason, np.nan, np.nan, "==", control.description)
    comparison, entries = decided[0]
    return _result(control, comparison, bool((entries == DISPROVED).any()), bits)


def _result(control: Control, comparison: Comparison, refuted: bool, bits: int) -> ControlResult:
    sides = np.broadcast_arrays(comparison.left, comparison.right)
    left, right = (np.asarray(to_float(side)) for side in sides)
    apart = {"==": abs(left - right), ">=": right - left, "<=": left - right}
    place = np.unravel_index(np.argmax(apart[comparison.relation]), left.shape)
    balls = any(isinstance(side[place], Ball) for side in sides)
    how = f"certified at {bits} bits" if balls else "exact"
    return ControlResult(
        refuted,
        how if refuted else f"not refuted, {how}",
        float(left[place]),
        float(right[place]),
        comparison.relation,
        control.description,
    )
