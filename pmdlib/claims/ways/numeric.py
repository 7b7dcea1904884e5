"""Numeric checks: both sides in float64 on many instances, tolerances from conditioning."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pmdlib.claims.claim import LARGE, Claim, Comparison, Instance
from pmdlib.claims.ways.evidence import Evidence


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
    return Evidence("numeric", checked, failures, report, vacuous, samples)


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
