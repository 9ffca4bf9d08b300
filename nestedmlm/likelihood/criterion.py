"""The REML and ML criteria from the elimination's two results, in NumPy.

Bates, Mächler, Bolker & Walker (2015), eq. 34 (ML) and 41 (REML). The PyTensor graph in
`nestedmlm.optimum.graph` has the same heads; both use `profile` and `degrees`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.statistics.crossproducts import CrossProducts


class Profiled(NamedTuple):
    """The rest of ``S = [X y]' V^{-1} [X y]`` when the fixed effects are profiled out.

    Attributes
    ----------
    log_sxx : float
        ``log|S_xx|``.
    r2 : float
        ``S_yy - S_yx S_xx^{-1} S_xy``, the penalised weighted residual sum of squares.
    v : (p+1,) array
        ``(-beta, 1)`` in scaled columns.
    inverse : (p+1, p+1) array
        ``S_xx^{-1}``, padded with zeros to the size of S.
    """

    log_sxx: float
    r2: float
    v: FloatArray
    inverse: FloatArray


class Degrees(NamedTuple):
    """Numbers of the criterion that no parameter changes.

    Attributes
    ----------
    df : float
        Residual degrees of freedom: n - p for REML, n for ML.
    reml : float
        Weight of ``log|S_xx|``: 1 for REML, 0 for ML.
    constant : float
        What is added in the end.
    """

    df: float
    reml: float
    constant: float


def profile(S: FloatArray) -> Profiled:
    """Profile the fixed effects out of ``S = [X y]' V^{-1} [X y]``."""
    p = S.shape[0] - 1
    inverse = np.zeros_like(S)
    v = np.ones(p + 1)
    if p == 0:
        return Profiled(0.0, float(S[0, 0]), v, inverse)
    L = np.linalg.cholesky(S[:p, :p])
    Li = np.linalg.inv(L)
    inverse[:p, :p] = Li.T @ Li
    c = Li @ S[:p, p]
    v[:p] = -(Li.T @ c)
    log_sxx = 2.0 * float(np.log(L.diagonal()).sum())
    return Profiled(log_sxx, float(S[p, p] - c @ c), v, inverse)


def degrees(stats: CrossProducts, REML: bool) -> Degrees:
    """Degrees of freedom and constants of the criterion.

    Without fixed effects REML is ML, as in lme4.
    """
    reml = REML and stats.p > 0
    df = stats.n - stats.p if reml else stats.n
    constant = df * (1.0 + np.log(2.0 * np.pi / df)) - stats.sum_log_w
    if reml:
        constant += 2.0 * stats.log_det_R
    return Degrees(float(df), float(reml), float(constant))


def criterion(logdet: float, log_sxx: float, r2: float, stats: CrossProducts, REML: bool) -> float:
    """REML criterion or -2 log-likelihood, sigma profiled, from the elimination's results."""
    df, reml, constant = degrees(stats, REML)
    return logdet + reml * log_sxx + df * float(np.log(r2)) + constant
