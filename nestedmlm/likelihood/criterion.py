"""The REML and ML criteria from the elimination's two results, in NumPy.

Bates, Mächler, Bolker & Walker (2015), eq. 34 (ML) and 41 (REML). The PyTensor graph in
`nestedmlm.optimum.graph` has the same heads; both use `profile` and `degrees`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.covariance.closed_forms import FEW, cholesky, upper_inverse
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
    """Profile the fixed effects out of ``S = [X y]' V^{-1} [X y]``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If S_xx is not positive definite.
    """
    p = S.shape[0] - 1
    if p <= FEW:
        return _profile_few(S, p)
    inverse = np.zeros_like(S)
    v = np.ones(p + 1)
    L = np.linalg.cholesky(S[:p, :p])
    Li = np.linalg.inv(L)
    inverse[:p, :p] = Li.T @ Li
    c = Li @ S[:p, p]
    v[:p] = -(Li.T @ c)
    log_sxx = 2.0 * float(np.log(L.diagonal()).sum())
    return Profiled(log_sxx, float(S[p, p] - c @ c), v, inverse)


def _profile_few(S: FloatArray, p: int) -> Profiled:
    """The same in Python's own numbers: for a few columns sooner done than LAPACK is called."""
    L: list[list[float]] = cholesky(S[:p, :p]).tolist()
    right: list[float] = S[p].tolist()
    log_sxx, r2, c, v = 0.0, right[p], right[:p], [1.0] * (p + 1)
    for a in range(p):
        for b in range(a):
            c[a] -= L[a][b] * c[b]
        c[a] /= L[a][a]
        r2 -= c[a] * c[a]
        log_sxx += 2.0 * math.log(L[a][a])
    for a in range(p - 1, -1, -1):
        v[a] = -c[a]
        for b in range(a + 1, p):
            v[a] -= L[b][a] * v[b]
        v[a] /= L[a][a]
    inverse = np.zeros((p + 1, p + 1))
    if p:
        R = upper_inverse(np.array(L).T)
        inverse[:p, :p] = R @ R.T
    return Profiled(log_sxx, r2, np.array(v), inverse)


def degrees(stats: CrossProducts, REML: bool) -> Degrees:
    """Degrees of freedom and constants of the criterion.

    Without fixed effects REML is ML, as in lme4.
    """
    reml = REML and stats.p > 0
    df = stats.n - stats.p if reml else stats.n
    constant = df * (1.0 + math.log(2.0 * math.pi / df)) - stats.sum_log_w
    if reml:
        constant += 2.0 * stats.log_det_R
    return Degrees(float(df), float(reml), float(constant))


class ResidualPart(NamedTuple):
    """Share of the residual sum of squares in the criterion: its value, and its derivative."""

    value: float
    slope: float


def residual_part(r2: float, df: float, sigma: float | None) -> ResidualPart:
    """``df log r^2`` with sigma profiled out, or ``r^2 / sigma^2`` and constants where it is known.

    The constant of `degrees` goes with both.
    """
    if sigma is None:
        return ResidualPart(df * logarithm(r2), df / r2)
    rest = df * (2.0 * math.log(sigma) + math.log(df) - 1.0)
    return ResidualPart(r2 / sigma**2 + rest, sigma**-2)


def logarithm(r2: float) -> float:
    """``log r2``; NaN where rounding left nothing of it."""
    return math.log(r2) if r2 > 0.0 else math.nan


def criterion(logdet: float, log_sxx: float, r2: float, stats: CrossProducts, REML: bool) -> float:
    """REML criterion or -2 log-likelihood, from the elimination's results.

    Sigma is profiled out unless it is known.
    """
    df, reml, constant = degrees(stats, REML)
    if r2 <= 0.0 and stats.sigma is None:
        return math.nan
    return logdet + reml * log_sxx + residual_part(r2, df, stats.sigma).value + constant
