"""Standard deviations and correlations of a covariance matrix that may be singular."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray


def standard_deviations(cov: FloatArray) -> FloatArray:
    """Roots of the diagonal of a (k, k) covariance matrix, shape (k,)."""
    out: FloatArray = np.sqrt(np.maximum(np.diag(cov), 0.0))
    return out


def correlation_matrix(cov: FloatArray) -> FloatArray:
    """Correlations of a (k, k) covariance matrix; NaN beside a standard deviation of zero."""
    sd = standard_deviations(cov)
    scale = np.outer(sd, sd)
    known = scale > 0
    corr: FloatArray = np.full(cov.shape, np.nan)
    np.divide(cov, scale, out=corr, where=known)
    corr[known] = np.clip(corr[known], -1.0, 1.0)
    np.fill_diagonal(corr, 1.0)
    return corr
