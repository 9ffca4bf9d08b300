"""Methods of degrees of freedom made of coefficients, their covariance, and what moves it."""

from __future__ import annotations

from functools import partial

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.inference.effects.df_record import DfMethod
from nestedmlm.inference.effects.satterthwaite import Satterthwaite, combined_df, row_df


def wald(L: FloatArray, estimate: FloatArray, cov: FloatArray) -> float:
    """F statistic of the rows of L together."""
    return float(estimate @ np.linalg.solve(L @ cov @ L.T, estimate)) / len(L)


def by_satterthwaite(method: Satterthwaite, beta: FloatArray, sigma: float) -> DfMethod:
    """Satterthwaite's method for contrasts of some coefficients.

    Parameters
    ----------
    method : Satterthwaite
    beta : (p,) array
    sigma : float
    """

    def joint(L: FloatArray, estimate: FloatArray, rank: int) -> tuple[float, float, float]:
        # lmerTest's contestMD: the positive eigenvalues of the rows as they are given
        d, P = np.linalg.eigh(L @ method.cov @ L.T)
        d, P = d[len(d) - rank :], P[:, len(d) - rank :]
        F = float(np.mean((P.T @ estimate) ** 2 / d))
        return F, combined_df(row_df(method, P.T @ L)), 1.0

    return DfMethod(
        method="satterthwaite",
        beta=beta,
        cov=method.cov,
        sigma=sigma,
        notes=method.notes,
        rows=partial(row_df, method),
        joint=lambda L, estimate: joint(L, estimate, len(L)),
        joint_of_rank=joint,
    )


def by_constant_df(
    name: str, df: float, *, beta: FloatArray, cov: FloatArray, sigma: float, reference: str
) -> DfMethod:
    """The same degrees of freedom for every contrast.

    Parameters
    ----------
    name : str
    df : float
    beta, cov, sigma, reference
        As `DfMethod` has them.
    """
    return DfMethod(
        method=name,
        beta=beta,
        cov=cov,
        sigma=sigma,
        notes=(),
        reference=reference,
        rows=lambda L: np.full(len(L), df),
        joint=lambda L, estimate: (wald(L, estimate, cov), df, 1.0),
    )
