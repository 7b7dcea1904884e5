"""Slopes on log-log axes: the fit, its uncertainty, and what a fit cannot know."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array, is_exact, log
from pmdlib.errors import PmdError


@dataclass(frozen=True)
class PowerLaw:
    """The least-squares line of log y against log x.

    Attributes
    ----------
    slope, error : float
        The slope and its standard error.
    low, high : float
        Ends of the confidence interval of the slope, by Student's t with n - 2 degrees of freedom.
        It takes residuals for independent noise of one size. Those of computed numbers are
        curvature instead: compare ``last``.
    confidence : float
    factor : float
        The line is y = factor · x^slope.
    last : float
        Slope between the two largest x.
    x, y : ndarray (n,)
        What was fitted.
    """

    slope: float
    error: float
    low: float
    high: float
    confidence: float
    factor: float
    last: float
    x: Array
    y: Array

    def __call__(self, x: ArrayLike) -> Array:
        """Evaluate the line."""
        return np.asarray(self.factor * np.asarray(x, dtype=float) ** self.slope)

    @property
    def half_width(self) -> float:
        """Half the length of the confidence interval."""
        return (self.high - self.low) / 2


def fit_power_law(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> PowerLaw:
    """Fit y = factor · x^slope by least squares in the logarithms.

    Parameters
    ----------
    x, y : arrays (n,) of positive numbers
        At least three points, and two different x.
    confidence : float in (0, 1)

    Returns
    -------
    PowerLaw

    Raises
    ------
    PmdError
        If there are too few points, or numbers without a logarithm.
    """
    points, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if points.shape != values.shape or points.ndim != 1 or len(points) < 3:
        raise PmdError(
            f"x and y have shapes {points.shape} and {values.shape}, must be (n,) for n >= 3 points"
        )
    for name, numbers in (("x", points), ("y", values)):
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            raise PmdError(f"{name} is {numbers}, must be positive and finite")
    if not 0 < confidence < 1:
        raise PmdError(f"confidence is {confidence}, must be in (0, 1)")
    from scipy.stats import t  # half a second to import, which only a fit should pay

    weights, logs = slope_weights(points), np.log(values)
    slope = float(weights @ logs)
    centre = np.log(points).mean()
    residuals = logs - logs.mean() - slope * (np.log(points) - centre)
    error = float(np.sqrt((weights @ weights) * (residuals @ residuals) / (len(points) - 2)))
    reach = float(t.ppf((1 + confidence) / 2, len(points) - 2)) * error
    before, end = np.argsort(points, kind="stable")[-2:]
    rise = np.log(points[end] / points[before])
    return PowerLaw(
        slope=slope,
        error=error,
        low=slope - reach,
        high=slope + reach,
        confidence=confidence,
        factor=float(np.exp(logs.mean() - slope * centre)),
        last=float(np.log(values[end] / values[before]) / rise) if rise else np.nan,
        x=points,
        y=values,
    )


def slope_weights(x: Array) -> Array:
    """Return w with slope = Σ_k w_k log y_k, the least-squares slope over log x: (n,).

    Of floats, or exact: balls, for rational x.

    Raises
    ------
    PmdError
        If all x are equal.
    """
    logs = log(x)
    centred = logs - logs.sum() / len(logs)
    square = (centred * centred).sum()
    if not square > 0:
        raise PmdError(f"x is {x}: a slope needs two different points")
    return np.asarray(centred / square)


def slope_band(x: Array, factor: Any) -> Any:
    """Bound how far the fitted slope can lie from s, if y is C·x^s up to a factor.

    If C x^s <= y <= factor · C x^s at every point, then |slope - s| <= ½ log(factor) Σ_k |w_k|: a
    bound for certain, whatever y does in between. It shrinks as the range of x grows.

    Parameters
    ----------
    x : array (n,) of positive numbers
    factor : number >= 1

    Returns
    -------
    float, or a ball
    """
    weights = slope_weights(x)
    logs = log(np.asarray(factor, dtype=object if is_exact(weights) else float))
    return abs(weights).sum() * logs / 2
