"""Ways to check a claim. Each way turns a claim into evidence; `verify` gathers them in a verdict.

A way is a function (claim, generator, profile) -> Evidence. ``numeric`` runs both sides in float64
on many instances, with tolerances that follow from conditioning.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from pmdlib.claims.certifying import Account, certify_control, exact_instances
from pmdlib.claims.claim import (
    LARGE,
    Claim,
    Comparison,
    Instance,
    Outcome,
    Verdict,
)
from pmdlib.errors import PmdError

PROFILES = ("quick", "full")


@dataclass(frozen=True)
class Evidence:
    """What one way of checking found.

    Attributes
    ----------
    instances : int
        How many were checked; those that failed a hypothesis are not among them.
    failures : int
        How many of them violate the claim.
    report : dict
        What the ledger says of this way.
    vacuous : tuple of str
        Parts of the claim that said nothing about any instance.
    samples : DataFrame
    """

    instances: int
    failures: int
    vacuous: tuple[str, ...]
    report: dict[str, Any]
    samples: pd.DataFrame


@dataclass
class _Part:
    """Running account of one part of a claim."""

    relation: str
    slack: float
    error: float = 0.0
    compared: int = 0
    samples: list[pd.DataFrame] = field(default_factory=list)

    def add(self, comparison: Comparison, kept: Any) -> Any:
        """Take in one comparison; return which instances hold, or are not spoken of."""
        batch = len(kept)
        applies = np.broadcast_to(comparison.applies, kept.shape)
        kept = kept & applies
        self.compared += int(kept.sum())
        holds = _rows(comparison.holds, batch).all(axis=1)
        slack = _rows(comparison.slack, batch)
        tightest = slack.argmax(axis=1) if self.relation == "==" else slack.argmin(axis=1)
        rows = np.arange(batch)
        worst = slack[rows, tightest]
        if kept.any():
            pick = np.max if self.relation == "==" else np.min
            self.slack = float(pick([self.slack, *worst[kept]]))
            self.error = max(self.error, float(_rows(comparison.violation, batch)[kept].max()))
        left, right = (
            _rows(np.broadcast_to(side, np.shape(comparison.violation)), batch)[rows, tightest]
            for side in (comparison.left, comparison.right)
        )
        frame = pd.DataFrame({"left": left, "right": right, "slack": worst, "holds": holds})
        self.samples.append(frame[kept])
        return holds | ~applies

    def report(self) -> dict[str, Any]:
        """Say what the ledger keeps of this part; no slack where no ratio was visible."""
        said: dict[str, Any] = {"relation": self.relation, "compared": self.compared}
        if np.isfinite(self.slack):
            said["worst_slack"] = self.slack
        if self.relation == "==":
            said["worst_error"] = self.error
        return said


def _rows(array: Any, batch: int) -> Any:
    return np.asarray(array).reshape(batch, -1)


def check_numerically(
    claim: Claim, rng: np.random.Generator, profile: str, count: int | None = None
) -> Evidence:
    """Check both sides of a claim in float64 on instances drawn from its generator.

    Parameters
    ----------
    claim : Claim
    rng : numpy.random.Generator
    profile : "quick" or "full"
        Says how many instances (`Claim.sizes`), unless ``count`` does.
    count : int, optional
        Number of instances that meet the hypotheses.

    Returns
    -------
    Evidence
        The report holds, for the claim and for each of its parts, the relation and the worst
        slack. For an inequality that is the smallest ratio of the larger side to the smaller (at
        least 1: it holds); for an equality the largest difference over the bound on rounding (at
        most 1: it holds), and ``worst_error`` is the largest difference itself. ``compared``
        counts the comparisons of a part: one for each instance, or for each of its agents.
    """
    wanted = claim.sizes[profile] if count is None else count
    parts: dict[str, _Part] = {}
    unmet = {hypothesis.name: 0 for hypothesis in claim.hypotheses}
    checked = failures = skipped = 0
    first_failure = ""
    for instance in claim.instances(rng, LARGE):
        kept = _meets(claim, instance, unmet)
        skipped += int((~kept).sum())
        if kept.any():
            good = np.ones(instance.count, dtype=bool)
            for comparison in claim.compare(instance):
                start = 0.0 if comparison.relation == "==" else np.inf
                part = parts.setdefault(comparison.part, _Part(comparison.relation, start))
                good &= part.add(comparison, kept)
                _describe(part.samples[-1], instance, comparison.part)
            failed = kept & ~good
            if failed.any() and not failures:
                first_failure = f"{instance.source}, policy {int(np.argmax(failed))}"
            failures += int(failed.sum())
            checked += int(kept.sum())
        if checked >= wanted or (checked == 0 and skipped > 20 * wanted):
            break
    report: dict[str, Any] = {
        "instances": checked,
        "skipped": skipped,
        "failures": failures,
        "parts": {name: part.report() for name, part in parts.items()},
    }
    if parts:
        report |= next(iter(parts.values())).report()
    if first_failure:
        report["first_failure"] = first_failure
    if skipped:
        report["unmet"] = {name: number for name, number in unmet.items() if number}
    frames = [frame for part in parts.values() for frame in part.samples]
    samples = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    vacuous = tuple(name for name, part in parts.items() if not part.compared)
    return Evidence(checked, failures, vacuous, report, samples)


def _meets(claim: Claim, instance: Instance, unmet: dict[str, int]) -> Any:
    """Which policies of an instance meet all hypotheses."""
    kept = np.ones(instance.count, dtype=bool)
    for hypothesis in claim.hypotheses:
        met = np.broadcast_to(hypothesis.holds(instance), kept.shape)
        unmet[hypothesis.name] += int((~met).sum())
        kept &= met
    return kept


def _describe(frame: pd.DataFrame, instance: Instance, part: str) -> None:
    game = instance.game
    frame["part"] = part
    frame["source"] = instance.source
    frame["agents"] = game.num_agents
    frame["states"] = game.num_states
    frame["actions"] = sum(game.num_actions)
    frame["discount"] = game.discount


#: Instances that the exact and certified way decides.
CERTIFIED = {"quick": 10, "full": 200}


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
    vacuous = tuple(name for name, part in account.parts.items() if not sum(part.counts))
    return Evidence(account.decided, account.failures, vacuous, account.report(), pd.DataFrame())


#: The ways of checking, by the name that the ledger uses.
WAYS: dict[str, Callable[..., Evidence]] = {
    "numeric": check_numerically,
    "certified": check_rigorously,
}


def check(
    claim: Claim, profile: str = "quick", *, seed: int = 0, instances: int | None = None
) -> Verdict:
    """Check a claim in every way, and its controls.

    Parameters
    ----------
    claim : Claim
    profile : "quick" or "full"
    seed : int
        The same seed gives the same instances and the same verdict.
    instances : int, optional
        Number of instances, in place of what the profile says.

    Returns
    -------
    Verdict

    Raises
    ------
    PmdError
        If the profile or the number of instances makes no sense.
    """
    if profile not in PROFILES:
        raise PmdError(f"profile is {profile!r}, must be one of {PROFILES}")
    if instances is not None and instances < 1:
        raise PmdError(f"instances is {instances}, must be at least 1")
    if seed < 0:
        raise PmdError(f"seed is {seed}, must not be negative")
    found = {
        name: way(claim, np.random.default_rng(seed), profile, instances)
        for name, way in WAYS.items()
    }
    controls = {control.name: certify_control(control) for control in claim.controls}
    outcome: Outcome = "verified"
    if any(evidence.failures for evidence in found.values()):
        outcome = "refuted"
    elif (
        not controls
        or not all(result.refuted for result in controls.values())
        or any(evidence.instances == 0 or evidence.vacuous for evidence in found.values())
    ):
        outcome = "inconclusive"
    return Verdict(
        name=claim.name,
        tag=claim.tag,
        label=claim.label,
        statement=claim.statement,
        notebook=claim.notebook,
        verdict=outcome,
        profile=profile,
        seed=seed,
        ways={name: evidence.report for name, evidence in found.items()},
        controls=controls,
        samples=pd.concat([e.samples for e in found.values()], ignore_index=True),
    )


def unknown_claim(name: str, known: list[str]) -> PmdError:
    """Build the error for a claim that is not registered, with the nearest names."""
    close = get_close_matches(name, known)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"
    return PmdError(f"there is no claim {name!r}{hint}")
