"""Residuals by simulation, and tests that they are uniform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its distributions load on first use

from nestedmlm._typing import FloatArray


def ranks_among(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Places of the columns' values among those of their row, from 0 to 1, (n, m).

    Parameters
    ----------
    values : (n, m) array
        Responses of the same rows, observed or drawn: exchangeable if the model is right.
    rng : Generator
        Of the places of ties among each other, and within the steps.
    """
    order = np.lexsort((rng.uniform(size=values.shape), values))
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(values.shape[1], dtype=float)[None, :], axis=1)
    out: FloatArray = (ranks + rng.uniform(size=values.shape)) / values.shape[1]
    return out


def distance_from_uniform(u: FloatArray) -> FloatArray:
    """Largest distance of each column's distribution function from the uniform one, (m,).

    Parameters
    ----------
    u : (n, m) array
    """
    n = len(u)
    steps = (np.arange(n)[:, None] + 0.5) / n
    found: FloatArray = np.abs(np.sort(u, axis=0) - steps).max(axis=0) + 0.5 / n
    return found


def tail_by_draws(value: float, drawn: FloatArray) -> float:
    """p-value of a statistic that is large beside those of drawn responses."""
    return float((1.0 + np.sum(drawn >= value)) / (1.0 + len(drawn)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UniformTests:
    """Tests of residuals by simulation.

    Attributes
    ----------
    uniform_p : float
        Kolmogorov and Smirnov's test.
    outliers : int
        Residuals at an end: responses beyond all that were drawn.
    outlier_p : float
        Exact binomial test of their number.
    rank : (n,) array
        Ranks of the predictions, from 0 to 1; ties share theirs.
    trend_p : float
        F test of a slope and a bend of the normal quantiles along the ranks; NaN where predictions
        take fewer than three values.
    """

    uniform_p: float
    outliers: int
    outlier_p: float
    rank: FloatArray
    trend_p: float


def uniform_tests(u: FloatArray, predicted: FloatArray, nsim: int) -> UniformTests:
    """Test residuals for uniformity, outliers and a trend.

    Parameters
    ----------
    u : (n,) array
        Residuals between 0 and 1.
    predicted : (n,) array
    nsim : int
        How many responses each was compared with.

    Returns
    -------
    UniformTests
    """
    n, end = len(u), 1.0 / (nsim + 1.0)
    outliers = int(np.sum((u < end) | (u > 1.0 - end)))
    rank = (scipy.stats.rankdata(predicted) - 0.5) / n
    trend = np.nan
    if len(np.unique(rank)) > 2 and n > 4:
        # within the ends, where normal quantiles have no bounds
        z = scipy.stats.norm.ppf(np.clip(u, 0.5 * end, 1.0 - 0.5 * end))
        basis = np.linalg.qr(np.column_stack([np.ones(n), rank, rank**2]))[0]
        parts = (basis.T @ z)[1:]
        left = float(np.sum((z - basis @ (basis.T @ z)) ** 2)) / (n - 3)
        trend = float(scipy.stats.f.sf(float(parts @ parts) / 2.0 / left, 2, n - 3))
    return UniformTests(
        uniform_p=float(scipy.stats.kstest(u, "uniform").pvalue),
        outliers=outliers,
        outlier_p=float(scipy.stats.binomtest(outliers, n, 2.0 * end).pvalue),
        rank=rank,
        trend_p=trend,
    )
