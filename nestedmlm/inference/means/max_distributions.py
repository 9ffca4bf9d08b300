"""Distributions of maxima of t statistics: t, studentized range, multivariate t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray

_SEED = 20140612  # of the quasi-random integration of "mvt": the same answer every time
_LOG2_POINTS = 14  # of the quasi-random points: 2**14


def t_pvalues(t: FloatArray, df: FloatArray, tail: int = 0) -> FloatArray:
    """p-values of both tails, or of the left (-1) or right (1) one; `df` may be infinite."""
    from scipy.special import ndtr, stdtr

    below = -np.abs(t) if tail == 0 else -tail * t
    finite = np.where(np.isfinite(df), df, 1.0)
    out: FloatArray = np.where(np.isfinite(df), stdtr(finite, below), ndtr(below))
    return out if tail else 2.0 * out


def t_critical(level: float | FloatArray, df: FloatArray, tail: int = 0) -> FloatArray:
    """Distance of an interval's end in standard errors; `df` may be infinite.

    With a tail that of a one-sided interval, which has one end.
    """
    from scipy.special import ndtri, stdtrit

    upper = np.asarray(level) if tail else 0.5 + 0.5 * np.asarray(level)
    finite = np.where(np.isfinite(df), df, 1.0)
    out: FloatArray = np.where(np.isfinite(df), stdtrit(finite, upper), ndtri(upper))
    return out


def range_cdf(q: FloatArray, means: float, df: FloatArray) -> FloatArray:
    """Distribution function of the studentized range."""
    from scipy.stats import studentized_range

    out = np.full(np.shape(q), np.nan)
    for i in np.flatnonzero(~np.isnan(q)):
        out[i] = studentized_range.cdf(q[i], means, df[i])
    return out


def dunnett_cdf(x: FloatArray, df: FloatArray, size: int) -> FloatArray:
    """Mixture (emmeans's) of Tukey's and Šidák's bounds for comparisons with one control."""
    weight = (size - 1) / size
    means = 0.5 * (1.0 + np.sqrt(1.0 + 8.0 * size))
    tukey = range_cdf(np.sqrt(2.0) * x, means, df) if size > 1 else np.zeros_like(x)
    sidak = (1.0 - t_pvalues(x, df)) ** size
    out: FloatArray = weight * tukey + (1.0 - weight) * sidak
    return out


def mvt_inside(x: float, df: float, corr: FloatArray) -> float:
    """P(all ``|T_j| < x``) for a multivariate t; `corr` may be singular, as of contrasts it is.

    The length of the vector is integrated exactly (its square over the rank has an F
    distribution), its direction by quasi-random points.
    """
    points = _spread(corr)
    return float(np.mean(_within(x / np.abs(points.at).max(axis=1), df, points.rank)))


def mvt_below(x: float, df: float, corr: FloatArray) -> float:
    """P(all ``T_j < x``) for a multivariate t, as `mvt_inside`."""
    points = _spread(corr)
    # both ends of each direction, as points of one hemisphere only are not enough
    farthest = np.concatenate([points.at.max(axis=1), (-points.at).max(axis=1)])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = _within(np.abs(x / farthest), df, points.rank)
    if x >= 0:  # any length where no part is positive
        return float(np.mean(np.where(farthest > 0, share, 1.0)))
    return float(np.mean(np.where(farthest < 0, 1.0 - share, 0.0)))


@dataclass(frozen=True, slots=True)
class _Spread:
    """Directions of a multivariate t: values of its variables for a vector of length one."""

    at: FloatArray
    rank: int


def _spread(corr: FloatArray) -> _Spread:
    values, vectors = np.linalg.eigh(corr)
    kept = values > 1e-10 * values.max()
    rank = int(kept.sum())
    return _Spread(_directions(rank) @ (vectors[:, kept] * np.sqrt(values[kept])).T, rank)


def _within(length: FloatArray, df: float, rank: int) -> FloatArray:
    """P(the vector is shorter than a length)."""
    from scipy.special import chdtr, fdtr

    square = length**2
    out: FloatArray = fdtr(rank, df, square / rank) if np.isfinite(df) else chdtr(rank, square)
    return out


def _directions(rank: int) -> FloatArray:
    """Points spread over the unit sphere, (2^14, rank)."""
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    if rank == 1:
        return np.ones((1, 1))
    z = ndtri(Sobol(rank, rng=np.random.default_rng(_SEED)).random_base2(_LOG2_POINTS))
    out: FloatArray = z / np.linalg.norm(z, axis=1, keepdims=True)
    return out


def each_df(df: FloatArray, critical: Callable[[float], Any]) -> FloatArray:
    """Evaluate something slow once for each different number of degrees of freedom.

    Numbers are alike that differ by rounding only, as those of balanced contrasts do.
    """
    own = [float(f"{v:.10g}") for v in df.tolist()]
    found = {v: np.nan if np.isnan(v) else float(critical(v)) for v in dict.fromkeys(own)}
    return np.array([found[v] for v in own])
