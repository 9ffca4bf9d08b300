"""Pareto smoothing of importance weights, and the shape of their tail.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72), algorithm 1: the largest weights are
replaced by the quantiles of a generalised Pareto distribution fitted to them; its shape k-hat says
whether the weights can be trusted. The fit is Zhang & Stephens' (2009, Technometrics 51: 316-325).
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray

_SHARE, _ROOTS = 0.2, 3.0  # of all weights, and of their number's root: the tail, whichever is less
_LEAST = 5  # weights of a tail that can be fitted
_EQUAL = 1e-12  # of logarithms of weights of a tail: their range
_GRID, _QUARTILE, _SHRINKAGE = 30, 3.0, 10.0  # of Zhang & Stephens; the last towards k = 1/2


def smooth_weights(log_weights: FloatArray) -> tuple[FloatArray, float]:
    """Smooth the tail of importance weights.

    Parameters
    ----------
    log_weights : (n,) array

    Returns
    -------
    smoothed : (n,) array
        Logarithms, the largest at most 0 (weights relative to the largest raw one).
    khat : float
        Infinite if the tail is too short to be fitted, or a few weights are all there is; minus
        infinity of equal weights.
    """
    x = log_weights - log_weights.max()
    n = len(x)
    size = int(min(_SHARE * n, _ROOTS * np.sqrt(n)))
    order = np.argsort(x)
    tail = order[n - size :]
    if size < _LEAST or size >= n:
        return x, np.inf
    cutoff = max(x[order[n - size - 1]], np.log(np.finfo(float).tiny))
    excess = np.exp(x[tail]) - np.exp(cutoff)
    excess = excess[excess > 0.0]
    if x[tail[-1]] - x[tail[0]] <= _EQUAL:
        return x, -np.inf  # no tail at all
    if len(excess) < _LEAST:
        return x, np.inf  # beside a few weights the others vanish
    k, sigma = fit_pareto(excess)
    at = (np.arange(size) + 0.5) / size
    out = x.copy()
    out[tail] = np.minimum(np.log(_quantiles(at, k, sigma) + np.exp(cutoff)), 0.0)
    return out, k


def fit_pareto(x: FloatArray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution of ascending positive values."""
    n = len(x)
    m = _GRID + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    b = 1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))
    b = b / (_QUARTILE * quartile) + 1.0 / x[-1]
    k = np.log1p(-b[:, None] * x).mean(axis=1)
    profile = n * (np.log(-b / k) - k - 1.0)
    weights = np.exp(profile - profile.max())
    weights /= weights.sum()
    chosen = float(np.sum(b * weights))
    shape = float(np.log1p(-chosen * x).mean())
    sigma = -shape / chosen
    return (n * shape + 0.5 * _SHRINKAGE) / (n + _SHRINKAGE), sigma


def _quantiles(p: FloatArray, k: float, sigma: float) -> FloatArray:
    survival = np.log1p(-p)
    out: FloatArray = -sigma * survival if abs(k) < 1e-8 else sigma * np.expm1(-k * survival) / k
    return out
