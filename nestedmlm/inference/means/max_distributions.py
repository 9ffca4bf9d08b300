"""Distributions of maxima of t statistics: t, studentized range, multivariate t."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray

_SEED = 20140612  # of the quasi-random integration of "mvt": the same answer every time
_LOG2_POINTS = 14  # of the quasi-random points: 2**14


def t_pvalues(t: FloatArray, df: FloatArray) -> FloatArray:
    """Two-sided p-values; `df` may be infinite."""
    from scipy.special import ndtr, stdtr

    size = np.abs(t)
    finite = np.where(np.isfinite(df), df, 1.0)
    out: FloatArray = 2.0 * np.where(np.isfinite(df), stdtr(finite, -size), ndtr(-size))
    return out


def t_critical(level: float | FloatArray, df: FloatArray) -> FloatArray:
    """Half width of a two-sided interval in standard errors; `df` may be infinite."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + 0.5 * np.asarray(level)
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
    from scipy.special import chdtr, fdtr

    values, vectors = np.linalg.eigh(corr)
    kept = values > 1e-10 * values.max()
    r = int(kept.sum())
    widest = np.abs(_directions(r) @ (vectors[:, kept] * np.sqrt(values[kept])).T).max(axis=1)
    reach = (x / widest) ** 2
    inside = fdtr(r, df, reach / r) if np.isfinite(df) else chdtr(r, reach)
    return float(np.mean(inside))


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
