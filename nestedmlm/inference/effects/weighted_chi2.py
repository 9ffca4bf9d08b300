"""Tails of weighted sums of chi-squared variables over an independent one."""

from __future__ import annotations

import numpy as np
import scipy.special

from nestedmlm._typing import FloatArray

_LEFT_OUT_MASS = 1e-13  # of the mixture
_MOST_TERMS = 20_000  # of the mixture


def f_like_tail(statistic: float, weights: FloatArray, df: float) -> float:
    """Tail ``P(sum_i w_i chisq_1 > statistic chisq_df / df)``, all independent.

    Parameters
    ----------
    statistic : float
    weights : (k,) array
        Positive; equal ones give an F distribution.
    df : float
        Of the denominator; infinite where it is known: a mixture of chi-squared distributions.

    Notes
    -----
    A mixture of F distributions with positive weights, so that small tails keep their digits:
    Ruben (1962), Annals of Mathematical Statistics 33, 542-570; the recursion as in Farebrother
    (1984), Applied Statistics 33(3), algorithm AS 204.
    """
    least = float(weights.min())
    k, left = len(weights), 1.0 - least / weights
    a = [float(np.prod(np.sqrt(least / weights)))]
    powers, g = np.ones(k), []
    total, tail = 0.0, 0.0
    for j in range(_MOST_TERMS):
        if j:
            powers = powers * left
            g.append(0.5 * float(powers.sum()))
            a.append(float(np.dot(g[::-1], a)) / j)
        own = k + 2 * j
        total += a[j]
        if np.isinf(df):
            tail += a[j] * float(scipy.special.chdtrc(own, statistic / least))
        else:
            tail += a[j] * float(scipy.special.fdtrc(own, df, statistic / (least * own)))
        if 1.0 - total < _LEFT_OUT_MASS:
            break
    return min(tail + max(1.0 - total, 0.0), 1.0) if total < 1.0 - _LEFT_OUT_MASS else tail
