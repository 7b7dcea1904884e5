"""Every claim of the registry: verified on its instances, refuted in its controls."""

import json
from functools import cache

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.claims.claim import Claim

NAMES = {
    "performance-difference",
    "performance-difference-joint",
    "potential-advantage",
    "mirror-step-euclidean",
    "mirror-step-kl",
    "natural-gradient",
    "improvement-euclidean",
    "improvement-euclidean-sharp",
    "improvement-kl",
    "improvement-kl-constant-step",
    "best-action-progress",
    "fixed-points-kl",
    "isolated-fixed-points",
    "constant-c",
    "regret-euclidean",
    "regret-kl",
    "regret-kl-constant-step",
    "regret-kl-log",
}

#: What a control must give: (claim, control) -> (value, claimed), worked out in the theory.
CONTROL_VALUES = {
    ("performance-difference", "old-occupancy"): (9.0, 90.0),
    ("performance-difference", "no-factor"): (9.0, 0.9),
    ("potential-advantage", "stage-potential-only"): (2.25, 0.0),
    ("improvement-euclidean", "step-2.1"): (-1.05e-3, 0.0),
    ("improvement-euclidean-sharp", "step-2.1"): (-1.05e-3, 0.0),
    ("improvement-euclidean-sharp", "coefficient-half"): (4.95e-3, 5.5e-3),
    ("improvement-kl", "step-4.2"): (-9.65e-4, 0.0),
    ("improvement-kl", "coefficient-one"): (0.7515, 1.0),
    ("improvement-kl-constant-step", "coefficient-one"): (0.7515, 1.0),
    ("improvement-kl-constant-step", "two-agent-coefficient"): (0.7291, 0.75),
    ("best-action-progress", "step-1.5"): (0.6667, 1.0),
    ("regret-euclidean", "without-m"): (0.5097, 0.3536),
    ("regret-kl-constant-step", "without-c"): (0.9987, 0.4472),
    ("constant-c", "uniform-bound"): (4.63e-33, 1e-10),
    ("constant-c", "limit-bounds-c"): (6.995e-5, 0.01799),
    ("constant-c", "uniform-start"): (1.121e-6, 0.0625),
}

#: Claims about the paper itself, and the label that the paper prints.
LABELS = {
    "mirror-step-euclidean": "(2)",
    "mirror-step-kl": "(3)",
    "improvement-euclidean": "Section V.A",
    "improvement-kl": "Proposition V.5",
    "isolated-fixed-points": "Assumption V.4",
    "regret-kl": "Theorem V.6",
}


@pytest.fixture(scope="module")
def verdicts():
    """Verdicts by name, each computed once for all the tests of this module."""

    @cache
    def verdict(name):
        return pmd.verify(name, instances=40)

    return verdict


def test_the_registry_holds_the_claims_of_the_contract():
    assert set(pmd.claims) == NAMES
    notebooks = [claim.notebook for claim in pmd.claims.values()]
    assert notebooks == sorted(notebooks)
    for name, claim in pmd.claims.items():
        assert isinstance(claim, Claim)
        assert claim.name == name
        assert claim.tag in {"paper", "derived", "beyond"}
        assert claim.controls
        assert set(claim.sizes) == {"quick", "full"}
        assert claim.sizes["full"] > claim.sizes["quick"]
    for name, label in LABELS.items():
        assert label in pmd.claims[name].label


@pytest.mark.parametrize("name", sorted(NAMES))
def test_claim_is_verified_and_its_controls_refuted(name, verdicts):
    verdict = verdicts(name)
    assert verdict.verdict == "verified", verdict.ways
    assert verdict.verified
    numeric = verdict.ways["numeric"]
    assert numeric["instances"] >= 40
    assert numeric["failures"] == 0
    assert set(verdict.controls) == {control.name for control in pmd.claims[name].controls}
    assert all(result.refuted for result in verdict.controls.values())
    for part in numeric["parts"].values():
        if part["relation"] == "==":
            assert part["worst_slack"] <= 1
        elif "worst_slack" in part:
            assert part["worst_slack"] >= 1 - 1e-6
    assert len(verdict.samples) >= numeric["instances"]
    assert np.isfinite(verdict.samples[["left", "right"]].to_numpy()).any()


@pytest.mark.parametrize(("name", "control"), sorted(CONTROL_VALUES))
def test_control_gives_the_figure_of_the_theory(name, control, verdicts):
    result = verdicts(name).controls[control]
    value, claimed = CONTROL_VALUES[name, control]
    assert result.value == pytest.approx(value, rel=2e-3)
    assert result.claimed == pytest.approx(claimed, rel=2e-3)


@pytest.mark.parametrize("name", ["improvement-kl", "regret-kl-log"])
def test_a_verdict_repeats_itself_and_another_seed_differs(name, verdicts):
    first, again = verdicts(name), pmd.verify(name, instances=40)
    other = pmd.verify(name, seed=1, instances=40)
    assert first.to_dict() == again.to_dict()
    assert other.verified
    assert other.ways != first.ways


def test_verdicts_are_ready_for_json(verdicts):
    record = verdicts("regret-kl").to_dict()
    assert json.loads(json.dumps(record)) == record
    assert {"name", "tag", "label", "statement", "notebook", "verdict"} <= set(record)


def test_profiles_set_the_number_of_instances():
    verdict = pmd.verify("performance-difference", "quick")
    wanted = pmd.claims["performance-difference"].sizes["quick"]
    assert verdict.profile == "quick"
    assert wanted <= verdict.ways["numeric"]["instances"] < wanted + 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("improvement-kk",), "did you mean improvement-kl"),
        (("performance-difference", "fast"), r"profile is 'fast', must be one of"),
    ],
)
def test_bad_requests_are_named(arguments, message):
    with pytest.raises(pmd.PmdError, match=message):
        pmd.verify(*arguments)
    with pytest.raises(pmd.PmdError, match="instances is 0, must be at least 1"):
        pmd.verify("performance-difference", instances=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_claim_holds_on_other_seeds(name, seed):
    assert pmd.verify(name, "quick", seed=seed).verified
