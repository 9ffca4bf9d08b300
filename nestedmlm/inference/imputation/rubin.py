"""Rubin's rules: estimates pooled over imputed data sets, and tests D1, D2, D3.

Rubin (1987), Multiple Imputation for Nonresponse in Surveys; Barnard & Rubin (1999), Biometrika 86,
948-955; Li, Raghunathan & Rubin (1991), JASA 86, 1065-1073; Li, Meng, Raghunathan & Rubin (1991),
Statistica Sinica 1, 65-92; Meng & Rubin (1992), Biometrika 79, 103-111; Reiter (2007), Biometrika
94, 502-508. The R packages mice and mitml compute the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestedmlm._typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RubinPool:
    """Pooled estimates.

    Attributes
    ----------
    m : int
        Imputed data sets.
    estimate : (p,) array
    within, between, total : (p, p) arrays
        Mean covariance of the estimates, covariance of the estimates over the data sets, and
        ``within + (1 + 1 / m) between``.
    """

    m: int
    estimate: FloatArray
    within: FloatArray
    between: FloatArray
    total: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTest:
    """An F test pooled over imputed data sets.

    Attributes
    ----------
    F, num_df, den_df, p_value : float
    riv : float
        Average relative increase in variance due to what is missing.
    """

    F: float
    num_df: int
    den_df: float
    p_value: float
    riv: float


def rubin(estimates: FloatArray, covariances: FloatArray) -> RubinPool:
    """Pool (m, p) estimates with their (m, p, p) covariances."""
    m = len(estimates)
    mean = estimates.mean(axis=0)
    off = estimates - mean
    within, between = covariances.mean(axis=0), off.T @ off / (m - 1)
    return RubinPool(
        m=m,
        estimate=mean,
        within=within,
        between=between,
        total=within + (1.0 + 1.0 / m) * between,
    )


def missing_shares(pool: RubinPool, L: FloatArray, df: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Relative increase in variance, and fraction of missing information, of each row of L."""
    within, between = _forms(L, pool.within), _forms(L, pool.between)
    with np.errstate(divide="ignore", invalid="ignore"):
        riv = (1.0 + 1.0 / pool.m) * between / within
        return riv, (riv + 2.0 / (df + 3.0)) / (riv + 1.0)


def barnard_rubin(pool: RubinPool, L: FloatArray, complete: FloatArray) -> FloatArray:
    """Degrees of freedom of each row of L, given those of complete data (may be infinite)."""
    total = _forms(L, pool.total)
    with np.errstate(divide="ignore", invalid="ignore"):
        missing = (1.0 + 1.0 / pool.m) * _forms(L, pool.between) / total
        old = (pool.m - 1.0) / missing**2
        observed = np.where(
            np.isfinite(complete), (complete + 1.0) / (complete + 3.0) * complete, np.inf
        ) * (1.0 - missing)
        return np.asarray(1.0 / (1.0 / old + 1.0 / observed))


def wald_test(
    pool: RubinPool, L: FloatArray, difference: FloatArray, complete: float
) -> PooledTest:
    """D1: Wald test of the rows of L together, which have full rank.

    Parameters
    ----------
    pool : RubinPool
    L : (k, p) array
    difference : (k,) array
        ``L estimate`` minus its hypothetical value.
    complete : float
        Denominator degrees of freedom of complete data: where they are infinite, those of the test
        are Li et al.'s, else Reiter's; for one row Barnard and Rubin's, as for its t test.
    """
    k = len(L)
    within = L @ pool.within @ L.T
    r = (1.0 + 1.0 / pool.m) * float(np.trace(np.linalg.solve(within, L @ pool.between @ L.T))) / k
    F = float(difference @ np.linalg.solve(within, difference)) / (k * (1.0 + r))
    if k == 1:
        df = float(barnard_rubin(pool, L, np.array([complete]))[0])
    else:
        df = min(wald_df(k, pool.m, r, complete), complete)
    return _tested(F, k, df, r)


def statistics_test(statistics: FloatArray, k: int) -> PooledTest:
    """D2: of (m,) chi-squared statistics with k degrees of freedom alone."""
    m = len(statistics)
    r = (1.0 + 1.0 / m) * float(np.var(np.sqrt(statistics), ddof=1))
    F = (float(statistics.mean()) / k - (m + 1.0) / (m - 1.0) * r) / (1.0 + r)
    df = k ** (-3.0 / m) * (m - 1.0) * (1.0 + 1.0 / r) ** 2 if r > 0 else float("inf")
    return _tested(max(F, 0.0), k, df, r)


def likelihood_test(own: FloatArray, pooled: FloatArray, k: int) -> PooledTest:
    """D3: likelihood ratios at each data set's estimates and at the pooled ones, (m,) arrays."""
    m = len(own)
    r = (m + 1.0) / (k * (m - 1.0)) * float(own.mean() - pooled.mean())
    F = float(pooled.mean()) / (k * (1.0 + r))
    return _tested(max(F, 0.0), k, wald_df(k, m, r, float("inf")), r)


def wald_df(k: int, m: int, r: float, complete: float) -> float:
    """Denominator degrees of freedom of D1 and D3."""
    t = k * (m - 1.0)
    if r <= 0.0:
        return complete
    if t <= 4.0:  # Reiter's have a pole there
        return t * (1.0 + 1.0 / k) * (1.0 + 1.0 / r) ** 2 / 2.0
    if np.isinf(complete):
        return 4.0 + (t - 4.0) * (1.0 + (1.0 - 2.0 / t) / r) ** 2
    a = r * t / (t - 2.0)
    v = (complete + 1.0) / (complete + 3.0) * complete
    one, b, c = 1.0 + a, v - 2.0 * (1.0 + a), v - 4.0 * (1.0 + a)
    rest = (
        a**2 * b / (one**2 * c)
        + 8.0 * a**2 * b / (one * c**2)
        + 4.0 * a**2 / (one * c)
        + 4.0 * a**2 / (c * b)
        + 16.0 * a**2 * b / c**3
        + 8.0 * a**2 / c**2
    )
    return 4.0 + 1.0 / (1.0 / c + rest / (t - 4.0))


def _tested(F: float, k: int, df: float, r: float) -> PooledTest:
    from scipy.special import chdtrc, fdtrc

    p = chdtrc(k, k * F) if np.isinf(df) else fdtrc(k, df, F)
    return PooledTest(F=F, num_df=k, den_df=float(df), p_value=float(p), riv=r)


def _forms(L: FloatArray, A: FloatArray) -> FloatArray:
    out: FloatArray = np.einsum("mi,ij,mj->m", L, A, L)
    return out
