"""Every claim of the registry: verified on its instances, refuted in its controls."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from claims.published import NAMES

import pmdlib as pmd
from pmdlib import plugins
from pmdlib.claims.claim import Claim

TESTS = Path(__file__).parent
#: All claims of this package: the published ones, and those that are in the making.
BUILT_IN = [name for name in pmd.claims if plugins.origin(name) is None]

#: What every control must give: (claim, control) -> (value, claimed). Those that the theory names
#: are worked out there (9 and 90, -1.05e-3, .7515, .667, .9987 and .447, .510 and .354, ..).
CONTROL_VALUES = {
    ("potential-advantage", "averaged-q"): (2.369, 0.8756),
    ("potential-advantage", "stage-potential-only"): (2.25, 0),
    ("mirror-step-euclidean", "rescaled"): (0.4231, 0.43),
    ("mirror-step-euclidean", "zeros-stay-zero"): (0.5, 0),
    ("mirror-step-kl", "not-legendre"): (0.2294, 0.3),
    ("mirror-step-kl", "zeros-revive"): (0, 0.5),
    ("natural-gradient", "descent"): (0.6829, 0.7165),
    ("natural-gradient", "plain-gradient"): (0.6829, 0.6929),
    ("performance-difference", "new-Q"): (9, 0.9),
    ("performance-difference", "no-factor"): (9, 0.9),
    ("performance-difference", "old-occupancy"): (9, 90),
    ("performance-difference-joint", "new-Q"): (9, 0.9),
    ("performance-difference-joint", "no-factor"): (9, 0.9),
    ("performance-difference-joint", "old-occupancy"): (9, 90),
    ("performance-difference-joint", "sum-of-agents"): (-0.495, 0.11),
    ("improvement-euclidean", "half-face"): (-2.273e-08, 0),
    ("improvement-euclidean", "step-2.1"): (-0.00105, 0),
    ("improvement-euclidean-sharp", "coefficient-half"): (0.00495, 0.0055),
    ("improvement-euclidean-sharp", "step-2.1"): (-0.00105, 0),
    ("improvement-kl", "coefficient-one"): (0.7515, 1),
    ("improvement-kl", "step-4.2"): (-0.0009653, 0),
    ("improvement-kl-constant-step", "coefficient-one"): (0.7515, 1),
    ("improvement-kl-constant-step", "step-4.2"): (-0.0009653, 0),
    ("improvement-kl-constant-step", "two-agent-coefficient"): (0.7291, 0.75),
    ("improvement-kl-coupling", "a-ninth"): (0.003735, 0.003866),
    ("improvement-kl-coupling", "average-difference"): (0.003007, 0.003547),
    ("improvement-kl-coupling", "euclidean-unweighted"): (0.005, 0.0075),
    ("improvement-kl-coupling", "moving-state"): (-0.01198, 0),
    ("improvement-kl-coupling", "step-4.2"): (-0.0009653, 0),
    ("improvement-kl-coupling", "step-8.1"): (-2.503e-05, 0),
    ("fixed-points-kl", "euclidean-fixed"): (0.985, 1),
    ("fixed-points-kl", "fixed-is-nash"): (0.7, 0),
    ("fixed-points-kl", "zero-everywhere"): (0.3, 0),
    ("isolated-fixed-points", "continuum"): (0, 0.01),
    ("isolated-fixed-points", "converse-three-agents"): (1, 0),
    ("isolated-fixed-points", "full-face-only"): (0, 0.05),
    ("isolated-fixed-points", "quasi-strict"): (0, -0.01),
    ("isolated-fixed-points", "support-only"): (0, 1),
    ("best-action-progress", "largest-magnitude"): (0.0006338, 1),
    ("best-action-progress", "step-1.5"): (0.6667, 1),
    ("constant-c", "limit-bounds-c"): (6.995e-05, 0.01799),
    ("constant-c", "never-falls"): (-0.6483, 0),
    ("constant-c", "uniform-bound"): (4.628e-33, 1e-10),
    ("constant-c", "uniform-start"): (1.121e-06, 0.0625),
    ("regret-euclidean", "without-m"): (0.5097, 0.3536),
    ("regret-euclidean", "without-mismatch"): (0.1945, 9.844e-05),
    ("regret-kl", "without-c"): (0.9983, 0.7746),
    ("regret-kl", "without-mismatch"): (0.1945, 0.0002249),
    ("regret-kl-constant-step", "without-c"): (0.9987, 0.4472),
    ("regret-kl-constant-step", "short-horizon"): (38.1, 20),
    ("regret-kl", "short-horizon"): (38.05, 34.64),
    ("regret-euclidean", "short-horizon"): (92.74, 69.37),
    ("regret-kl-constant-step", "without-mismatch"): (0.1945, 0.0002248),
    ("regret-kl-log", "one-phase"): (19.45, 2.693),
    ("regret-kl-log", "without-log"): (9.987, 2),
    ("action-independence", "euclidean-constant"): (-4.56e-06, 0),
    ("action-independence", "euclidean-merges"): (0.5, 0.525),
    ("action-independence", "near-copies"): (0.4391, 0.4378),
    ("action-independence", "slope-euclidean"): (-1, -0.5),
    ("action-independence", "slope-kl"): (0, -0.5),
    ("action-independence", "uniform-start"): (0.4374, 0.1),
    ("estimator-unbiased", "continuation"): (4, 9),
    ("estimator-unbiased", "forgotten-exploration"): (0.7375, 0.825),
    ("estimator-unbiased", "forgotten-visits"): (4.5, 10),
    ("estimator-unbiased", "forgotten-weights"): (0.325, 0.65),
    ("estimator-unbiased", "truncated"): (0.9, 9),
    ("noise-floor", "a-quarter"): (0.02977, 0.03375),
    ("noise-floor", "free-noise"): (-0.05006, 0.05006),
    ("noise-floor", "without-n"): (-0.009475, -0.002492),
    ("player-scaling", "euclidean-beyond-8"): (-1.984e-08, 0),
    ("player-scaling", "euclidean-constant"): (-1.030e-04, 0),
    ("player-scaling", "euclidean-root"): (-2.424e-05, 0),
    ("player-scaling", "kl-root"): (0.05853, 0),
    ("player-scaling", "slope-euclidean"): (-0.9997, -0.5),
    ("player-scaling", "slope-kl"): (-0.04395, -0.5),
    ("improvement-kl-own-steps", "full-variance"): (0.003109, 0.003713),
    ("improvement-kl-own-steps", "late"): (-0.003984, 0),
    ("improvement-kl-own-steps", "mean-step"): (0.008635, 0.0099),
    ("improvement-kl-own-steps", "opposed"): (-0.01599, 0),
    ("improvement-kl-own-steps", "smaller-step"): (-9.924e-05, 0),
    ("last-iterate-strict", "anywhere"): (5.378, 0),
    ("last-iterate-strict", "euclidean-faster"): (0.1364, 0.115),
    ("last-iterate-strict", "mixed-equilibrium"): (0.009128, 0.0003),
    ("last-iterate-strict", "state-by-state"): (-0.125, 0.125),
    ("last-iterate-strict", "tied-equilibrium"): (1.4718e-05, 1.4683e-05),
    ("last-iterate-strict", "twice-the-rate"): (6.711e-14, 1.459e-25),
    ("last-iterate-strict", "wider-basin"): (0.315, 0.35),
    ("anarchy-affine", "below-5/2"): (15, 14.94),
    ("anarchy-affine", "quadratic"): (27, 15),
    ("anarchy-affine", "stability-1.3"): (4, 3.913),
    ("anarchy-affine", "without-gap"): (64, 20),
    ("anarchy-affine", "without-potential"): (15, 9.464),
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
    assert set(BUILT_IN) >= NAMES
    notebooks = [pmd.claims[name].notebook for name in BUILT_IN]
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


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_claim_is_verified_and_its_controls_refuted(name, verdicts):
    verdict = verdicts(name)
    assert verdict.verdict == "verified", verdict.ways
    assert verdict.verified
    numeric = verdict.ways["numeric"]
    assert numeric["instances"] >= 40
    assert set(verdict.controls) == {control.name for control in pmd.claims[name].controls}
    for result in verdict.controls.values():
        assert result.refuted
        assert result.how == "exact" or result.how.startswith("certified at ")
    (rigorous,) = (verdict.ways[way] for way in ("exact", "certified") if way in verdict.ways)
    assert rigorous["instances"] >= 10
    for name_of_way, way in verdict.ways.items():
        assert way["failures"] == 0, name_of_way
    for part in numeric["parts"].values():
        if part["relation"] == "==":
            assert part["worst_slack"] <= 1
        elif "worst_slack" in part:
            assert part["worst_slack"] >= 1 - 1e-6
    assert len(verdict.samples) >= numeric["instances"]
    assert np.isfinite(verdict.samples[["left", "right"]].to_numpy()).any()


def test_every_control_is_pinned():
    pairs = {(n, control.name) for n in NAMES for control in pmd.claims[n].controls}
    assert pairs == set(CONTROL_VALUES)


def test_a_claim_in_the_making_has_a_test_that_names_its_controls():
    sources = [path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py")]
    for name in set(BUILT_IN) - NAMES:
        words = [name, *[control.name for control in pmd.claims[name].controls]]
        assert any(all(f'"{word}"' in source for word in words) for source in sources), words


@pytest.mark.parametrize(("name", "control"), sorted(CONTROL_VALUES))
def test_control_gives_the_figure_of_the_theory(name, control, verdicts):
    result = verdicts(name).controls[control]
    value, claimed = CONTROL_VALUES[name, control]
    assert result.value == pytest.approx(value, rel=2e-3, abs=1e-15)
    assert result.claimed == pytest.approx(claimed, rel=2e-3, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("improvement-euclidean-sharp", 1.001),
        ("fixed-points-kl", 1.05),
        ("best-action-progress", 1.05),
        ("regret-kl-log", 1.2),
    ],
)
def test_a_sharp_claim_comes_close_to_equality(name, room):
    """A wrong constant on the safe side would show as slack that is not there."""
    parts = pmd.verify(name, "quick").ways["numeric"]["parts"].values()
    slack = [p["worst_slack"] for p in parts if p["relation"] != "==" and "worst_slack" in p]
    assert 1 - 1e-6 <= min(slack) < room


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
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_claim_holds_on_other_seeds(name, seed):
    assert pmd.verify(name, "quick", seed=seed).verified
