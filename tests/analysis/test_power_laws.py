"""Fits on log-log axes: known slopes, an outside oracle, honest coverage, and bad input."""

import numpy as np
import pytest
from flint import fmpq
from scipy import stats

from pmdlib.analysis.power_laws import fit_power_law, slope_band, slope_weights
from pmdlib.arithmetic import Ball, log, to_float
from pmdlib.errors import PmdError

X = np.geomspace(2, 2048, 11)


def test_an_exact_power_law_comes_back():
    line = fit_power_law(X, 3 * X**-1.5)
    assert line.slope == pytest.approx(-1.5, abs=1e-12)
    assert line.factor == pytest.approx(3, rel=1e-12)
    assert line.error < 1e-12
    assert line.last == pytest.approx(-1.5, abs=1e-12)
    assert line(np.array([4.0])) == pytest.approx(3 / 8)


def test_the_fit_is_that_of_scipy():
    rng = np.random.default_rng(0)
    y = X**0.5 * np.exp(rng.normal(size=len(X)) / 10)
    line, oracle = fit_power_law(X, y, confidence=0.9), stats.linregress(np.log(X), np.log(y))
    assert line.slope == pytest.approx(oracle.slope, rel=1e-12)
    assert line.error == pytest.approx(oracle.stderr, rel=1e-12)
    assert line.factor == pytest.approx(np.exp(oracle.intercept), rel=1e-12)
    reach = stats.t.ppf(0.95, len(X) - 2) * oracle.stderr
    assert (line.low, line.high) == pytest.approx((oracle.slope - reach, oracle.slope + reach))
    assert line.half_width == pytest.approx(reach)


def test_intervals_cover_the_slope_as_often_as_they_say():
    rng = np.random.default_rng(1)
    few = X[:5]
    lines = [fit_power_law(few, few**-1.0 * np.exp(rng.normal(size=5))) for _ in range(2000)]
    covered = np.mean([line.low <= -1 <= line.high for line in lines])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_curvature_shows_in_the_last_slope():
    line = fit_power_law(X, 1 / (1 + X))  # slope -1, but for an offset that the start still sees
    assert line.high < -0.8
    assert line.slope > -0.97
    assert line.last == pytest.approx(-1, abs=1e-3)


def test_the_band_holds_and_is_attained():
    weights = slope_weights(X)
    band = slope_band(X, 2.0)
    rng = np.random.default_rng(2)
    free = [weights @ np.log(X**-1.0 * 2 ** rng.random(len(X))) for _ in range(200)]
    assert abs(np.array(free) + 1).max() <= band
    worst = X**-1.0 * np.where(weights > 0, 2, 1)
    assert weights @ np.log(worst) == pytest.approx(-1 + band, rel=1e-12)


def test_exact_points_give_balls_around_the_floats():
    x = np.array([fmpq(k) for k in (1, 4, 16, 64)], dtype=object)
    exact, floats = slope_weights(x), slope_weights(to_float(x))
    assert all(isinstance(weight, Ball) for weight in exact)
    assert to_float(exact) == pytest.approx(floats, rel=1e-12)
    assert (exact @ log(x * x)).overlaps(2)
    assert to_float(slope_band(x, fmpq(2))) == pytest.approx(slope_band(to_float(x), 2.0))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0], "n >= 3 points"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "shapes"),
        ([1.0, 2.0, 3.0], [1.0, 0.0, 2.0], "y is .* must be positive"),
        ([1.0, 2.0, np.inf], [1.0, 1.0, 2.0], "x is .* must be positive"),
        ([2.0, 2.0, 2.0], [1.0, 1.0, 2.0], "two different points"),
    ],
)
def test_bad_points_are_named(x, y, message):
    with pytest.raises(PmdError, match=message):
        fit_power_law(x, y)
    with pytest.raises(PmdError, match="confidence is 1"):
        fit_power_law(X, X, confidence=1)
