"""Bootstrap intervals from replicates of one statistic.

Percentile, basic, normal and bias-corrected accelerated intervals, with the conventions of R's
``boot::boot.ci`` (Davison & Hinkley 1997, chapter 5): quantiles are order statistics number
``(R + 1) alpha``, interpolated on the scale of normal quantiles.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from nestedmlm._typing import FloatArray

Interval = tuple[float, float]


def boot_quantiles(t: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles of replicates as `boot.ci` takes them.

    Parameters
    ----------
    t : (R,) array
    levels : (m,) array
        Probabilities.

    Returns
    -------
    (m,) array
        The smallest or largest replicate where R is too small for a level.
    """
    from scipy.special import ndtri

    R, ordered = len(t), np.sort(t)
    rank = (R + 1) * np.asarray(levels, dtype=float)
    below = np.floor(rank + 1e-10).astype(int)  # ranks such as 25.0000001 are meant to be whole
    inside = np.clip(below, 1, max(R - 1, 1))
    lower, upper = ordered[inside - 1], ordered[np.minimum(inside, R - 1)]
    low, high = ndtri(inside / (R + 1)), ndtri((inside + 1) / (R + 1))
    share = (ndtri(np.clip(levels, 1e-300, 1.0)) - low) / (high - low)
    between = np.where(rank - below > 1e-10, lower + share * (upper - lower), lower)
    out = np.where(below < 1, ordered[0], np.where(below >= R, ordered[-1], between))
    return np.asarray(out, dtype=float)


def percentile(t: FloatArray, t0: float, level: float, acceleration: float) -> Interval:
    """Quantiles of the replicates."""
    low, high = boot_quantiles(t, _tails(level))
    return float(low), float(high)


def basic(t: FloatArray, t0: float, level: float, acceleration: float) -> Interval:
    """Quantiles reflected in the estimate."""
    low, high = boot_quantiles(t, _tails(level))
    return float(2.0 * t0 - high), float(2.0 * t0 - low)


def normal(t: FloatArray, t0: float, level: float, acceleration: float) -> Interval:
    """Estimate minus bias, plus and minus a normal quantile of standard errors."""
    from scipy.special import ndtri

    centre = 2.0 * t0 - float(np.mean(t))
    reach = float(ndtri(0.5 * (1.0 + level)) * np.std(t, ddof=1))
    return centre - reach, centre + reach


def bca(t: FloatArray, t0: float, level: float, acceleration: float) -> Interval:
    """Bias-corrected and accelerated (Efron 1987); replicates equal to the estimate count half.

    Infinite bias (all replicates on one side of the estimate) leaves the interval undefined: NaN.
    """
    from scipy.special import ndtr, ndtri

    # at a boundary many replicates equal the estimate exactly; counting none would bias z0
    z0 = float(ndtri(np.mean(t < t0) + 0.5 * np.mean(t == t0)))
    if not np.isfinite(z0) or not np.isfinite(acceleration):
        return float("nan"), float("nan")
    z = z0 + ndtri(_tails(level))
    low, high = boot_quantiles(t, ndtr(z0 + z / (1.0 - acceleration * z)))
    return float(low), float(high)


KINDS: MappingProxyType[str, Callable[[FloatArray, float, float, float], Interval]] = (
    MappingProxyType({"perc": percentile, "basic": basic, "norm": normal, "bca": bca})
)


def interval(
    t: FloatArray, t0: float, *, kind: str, level: float, acceleration: float = 0.0
) -> Interval:
    """One interval from the finite replicates; NaN at both ends with fewer than two.

    Parameters
    ----------
    t : (R,) array
        Replicates; those that are not finite are left out.
    t0 : float
        The estimate.
    kind : str
        A key of `KINDS`.
    level : float
        Coverage, between 0 and 1.
    acceleration : float
        Of ``bca`` (see `acceleration`).
    """
    t = t[np.isfinite(t)]
    if len(t) < 2 or not np.isfinite(t0):
        return float("nan"), float("nan")
    return KINDS[kind](t, t0, level, acceleration)


def acceleration(jackknife: FloatArray) -> float:
    """Acceleration from estimates with one group left out each time (Efron 1987, eq. 6.6).

    Parameters
    ----------
    jackknife : (J,) array
        Estimates; NaN where there was none.
    """
    kept = jackknife[np.isfinite(jackknife)]
    if len(kept) < 2:
        return float("nan")
    d = kept.mean() - kept
    spread = float(np.sum(d**2))
    return float(np.sum(d**3)) / (6.0 * spread**1.5) if spread > 0 else 0.0


def _tails(level: float) -> FloatArray:
    return np.array([0.5 * (1.0 - level), 0.5 * (1.0 + level)])
