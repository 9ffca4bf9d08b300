"""The REML and ML criteria from the elimination's two results, in NumPy.

Bates, Mächler, Bolker & Walker (2015), eq. 34 (ML) and 41 (REML). The PyTensor graph in
`nestedmlm.optimum.graph` has the same heads; both use `profile` and `degrees`.
"""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.statistics.crossproducts import CrossProducts


def profile(S: FloatArray) -> tuple[float, float, FloatArray, FloatArray]:
    """Profile the fixed effects out of ``S = [X y]' V^{-1} [X y]``.

    Returns
    -------
    log_sxx : float
        ``log|S_xx|``.
    r2 : float
        ``S_yy - S_yx S_xx^{-1} S_xy``, the penalised weighted residual sum of squares.
    v : (p+1,) array
        ``(-beta, 1)`` in scaled columns.
    inverse : (p+1, p+1) array
        ``S_xx^{-1}``, padded with zeros to the size of S.
    """
    p = S.shape[0] - 1
    inverse = np.zeros_like(S)
    v = np.ones(p + 1)
    if p == 0:
        return 0.0, float(S[0, 0]), v, inverse
    L = np.linalg.cholesky(S[:p, :p])
    Li = np.linalg.inv(L)
    inverse[:p, :p] = Li.T @ Li
    c = Li @ S[:p, p]
    v[:p] = -(Li.T @ c)
    return 2.0 * float(np.log(L.diagonal()).sum()), float(S[p, p] - c @ c), v, inverse


def degrees(stats: CrossProducts, REML: bool) -> tuple[float, float, float]:
    """``(df, weight of log|S_xx|, additive constant)`` of the criterion.

    Without fixed effects REML is ML, as in lme4.
    """
    reml = REML and stats.p > 0
    df = stats.n - stats.p if reml else stats.n
    constant = df * (1.0 + np.log(2.0 * np.pi / df)) - stats.sum_log_w
    if reml:
        constant += 2.0 * stats.log_det_R
    return float(df), float(reml), float(constant)


def criterion(logdet: float, log_sxx: float, r2: float, stats: CrossProducts, REML: bool) -> float:
    """Put the pieces together: the REML criterion or -2 log-likelihood, sigma profiled."""
    df, reml, constant = degrees(stats, REML)
    return logdet + reml * log_sxx + df * float(np.log(r2)) + constant
