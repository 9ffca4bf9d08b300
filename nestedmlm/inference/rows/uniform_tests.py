"""Tests of residuals that are uniform if the model is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its distributions load on first use

from nestedmlm._typing import FloatArray


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
