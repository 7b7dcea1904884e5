"""How good an estimate of the averaged Q is: bias and variance, with confidence intervals."""

import numpy as np
import pandas as pd
from scipy.stats import chi2
from scipy.stats import t as student

from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array
from pmdlib.errors import PmdError
from pmdlib.games.game import Policy
from pmdlib.learning.feedback import Feedback

#: The squared error of a variance is taken to be larger than it looks, by this over √repeats: that
#: is enough for draws with the tails of an exponential distribution, from twenty on.
CAUTION = 8.0


def accuracy(
    feedback: Feedback,
    evaluation: Evaluation,
    repeats: int,
    *,
    confidence: float = 0.95,
    against: Policy | None = None,
) -> pd.DataFrame:
    """Measure bias and variance of every entry of an estimate, by drawing it again and again.

    Parameters
    ----------
    feedback : Feedback
    evaluation : Evaluation
        Of a single policy.
    repeats : int >= 3
        Number of independent estimates; what intervals rest on.
    confidence : float in (0, 1)
        Of each interval by itself: over many entries, count on some to miss.
    against : N arrays (S, A_i), optional
        What the estimates are compared with: the averaged Q by default.

    Returns
    -------
    DataFrame
        One row an entry: ``agent``, ``state``, ``action``, ``exact``; ``bias`` with the interval
        ``bias_low`` to ``bias_high``, by Student's t; ``variance`` with the interval
        ``variance_low`` to ``variance_high``, by a chi-squared distribution with as many degrees
        of freedom as the jackknife finds, made fewer by `CAUTION`. Estimates are not taken for
        normal: from some sixty repeats on, intervals hold at the stated rate even if they are as
        skewed as a single return.

    Raises
    ------
    PmdError
        If there are too few repeats, or an argument is bad.
    """
    if repeats < 3:
        raise PmdError(f"repeats is {repeats!r}, must be at least 3")
    if not 0 < confidence < 1:
        raise PmdError(f"confidence is {confidence!r}, must be in (0, 1)")
    if evaluation.policy[0].ndim != 2:
        raise PmdError("accuracy is of a single policy: N arrays (S, A_i), without batch axes")
    target = evaluation.averaged_q if against is None else against
    draws = np.stack([_flat(feedback.averaged_q(evaluation)) for _ in range(repeats)])
    exact = _flat(target)
    places = [
        (agent, *index) for agent, own in enumerate(target) for index in np.ndindex(*own.shape)
    ]
    frame = pd.DataFrame(places, columns=["agent", "state", "action"]).assign(exact=exact)
    quantile = student.ppf((1 + confidence) / 2, repeats - 1)
    bias, variance = draws.mean(axis=0) - exact, draws.var(axis=0, ddof=1)
    radius = quantile * np.sqrt(variance / repeats)
    freedom = _freedom(draws)
    low, high = (chi2.ppf((1 + side * confidence) / 2, freedom) / freedom for side in (1, -1))
    return frame.assign(
        bias=bias,
        bias_low=bias - radius,
        bias_high=bias + radius,
        variance=variance,
        variance_low=variance / low,
        variance_high=variance / high,
    )


def _flat(family: Policy) -> Array:
    return np.concatenate([own.reshape(-1) for own in family])


def _freedom(draws: Array) -> Array:
    """Degrees of freedom of the sample variance of (n, ...): 2 over the square of its own error.

    The jackknife gives that error, of the logarithm. It sees too little of long tails, the less the
    fewer draws there are.
    """
    count = len(draws)
    squares = (draws - draws.mean(axis=0)) ** 2
    # Leaving out one draw takes n/(n-1) of its squared distance from the sum of squares.
    total = squares.sum(axis=0)
    left = np.maximum(total - squares * count / (count - 1), np.finfo(float).tiny)
    logs = np.where(total > 0, np.log(left), 0.0)
    error = (count - 1) * logs.var(axis=0) * (1 + CAUTION / np.sqrt(count))
    return np.asarray(2 / np.maximum(error, 2 / (count - 1)))
