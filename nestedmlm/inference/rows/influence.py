"""Measures of influence: what leaving out one case or group after another does to the estimates."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray


def standardized_changes(change: FloatArray, vcov_without: FloatArray) -> FloatArray:
    """Changes of the fixed effects over their standard errors without each (lme4's ``dfbetas``).

    Parameters
    ----------
    change : (m, p) array
        Estimates without each of m, minus the estimates with all.
    vcov_without : (m, p, p) array

    Returns
    -------
    (m, p) array
    """
    out: FloatArray = change / np.sqrt(np.diagonal(vcov_without, axis1=1, axis2=2))
    return out


def deletion_distances(change: FloatArray, vcov: FloatArray) -> FloatArray:
    """lme4's Cook's distances of refits: ``(m - p) / (m p) d' vcov^{-1} d``.

    The factor is that of ``cooks.distance(influence(fit))``, with m the number left out.

    Parameters
    ----------
    change : (m, p) array
        d: estimates without each of m, minus the estimates with all.
    vcov : (p, p) array

    Returns
    -------
    (m,) array
        NaN where there are no fixed effects.
    """
    m, p = change.shape
    if not p:
        return np.full(m, np.nan)
    half = np.linalg.solve(np.linalg.cholesky(vcov), change.T)
    out: FloatArray = (m - p) / (m * p) * np.sum(half**2, axis=0)
    return out
