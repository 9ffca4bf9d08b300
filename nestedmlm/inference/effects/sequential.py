"""Sequential sums of squares of the fixed effects: lme4's ``anova`` of one model."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray, IntArray


def sequential_sums_of_squares(
    beta: FloatArray, cov: FloatArray, sigma: float, assign: IntArray
) -> tuple[IntArray, FloatArray]:
    """Sums of squares of the terms, each after those before it.

    Parameters
    ----------
    beta : (p,) array
    cov : (p, p) array
        Covariance of `beta`.
    sigma : float
        Residual standard deviation.
    assign : (p,) array
        The term of each column, from 1 on; 0 is the intercept.

    Returns
    -------
    npar, squares : (number of terms,) arrays
        Columns of each term, and its sum of squares.
    """
    squares = (_unit_factor(cov, sigma) @ beta) ** 2
    terms = sorted(set(assign.tolist()) - {0})
    npar = np.array([np.sum(assign == term) for term in terms], dtype=int)
    return npar, np.array([squares[assign == term].sum() for term in terms])


def _unit_factor(cov: FloatArray, sigma: float) -> FloatArray:
    """Return lme4's R_X: upper triangular, ``cov = sigma^2 (R_X' R_X)^{-1}``.

    Taken from the Cholesky factor of the reversed `cov`, so that `cov` need not be inverted.
    """
    if cov.size == 0:
        return cov
    # with J reversing the order: J cov J = L L', hence cov = U U' with U = J L J upper triangular
    upper = np.linalg.cholesky(cov[::-1, ::-1])[::-1, ::-1]
    return np.asarray(sigma * np.linalg.solve(upper, np.eye(len(cov))), dtype=float)
